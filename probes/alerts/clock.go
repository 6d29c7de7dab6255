package alerts

import (
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// setBack is how far a time has to lie before the newest one to be taken for a clock that was set back. Scrapes of one
// poll lie closer together than that.
const setBack = time.Minute

// notice watches the time that callers give. A sample that is not newer than the last of its series is dropped, so after
// a clock was set back by an hour all would look for an hour as it did. Therefore the samples are dropped then, and
// alerts are moved to the new time with what they have held.
func (e *Engine) notice(at time.Time) {
	if at.After(e.newest) || e.newest.IsZero() {
		e.newest = at
		return
	}
	by := at.Sub(e.newest)
	if by > -setBack {
		return
	}
	e.newest = at
	e.store.clear()
	for _, g := range e.groups {
		g.next, g.last = time.Time{}, time.Time{}
		for _, r := range g.rules {
			if r, ok := r.(*alertingRule); ok {
				r.shift(by)
			}
		}
	}
}

// shift moves all that a rule remembers to another time.
func (r *alertingRule) shift(by time.Duration) {
	for _, a := range r.active {
		for _, t := range []*time.Time{&a.activeAt, &a.firedAt, &a.keptSince, &a.resolvedAt, &a.seen} {
			if !t.IsZero() {
				*t = t.Add(by)
			}
		}
	}
	for of, f := range r.frozen {
		f.Since = f.Since.Add(by)
		r.frozen[of] = f
	}
}

// clear drops all samples.
func (s *store) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		x.gone = true
	}
	s.all, s.byName = map[labels.Labels]*series{}, map[string]*metric{}
}
