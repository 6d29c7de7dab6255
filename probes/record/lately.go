package record

import (
	"sync"
	"time"

	"captop/probes"
)

// How the live Snapshots are thinned out: the older ones lie thinStep apart, as far as the steps of a screen go.
const (
	thinStep    = 10 * time.Second
	fullShare   = 4  // one in so many of the limit is kept in full
	leastLately = 40 // Snapshots, however many targets there are
)

// lately is what a dashboard saw in the last minutes: every Snapshot of the last moments, and fewer of what was before.
// It is safe for concurrent use.
type lately struct {
	mu   sync.Mutex
	kept []moment // oldest first
}

// moment is a Snapshot; what came right after it may have been let go.
type moment struct {
	*probes.Snapshot
	thinned bool
}

// saw keeps a Snapshot.
func (l *lately) saw(snapshot *probes.Snapshot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit := max(limitOf(len(snapshot.Services)+len(snapshot.Nodes)), leastLately); len(l.kept) >= limit {
		l.kept = thin(l.kept, limit)
	}
	l.kept = append(l.kept, moment{Snapshot: snapshot})
}

// thin makes room: of all but the newest it leaves one for each thinStep, and forgets the oldest of those.
func thin(all []moment, limit int) []moment {
	full := len(all) - limit/fullShare
	var left []moment
	for _, k := range all[:full] {
		if n := len(left); n > 0 && k.At.Sub(left[n-1].At) < thinStep && !k.At.Before(left[n-1].At) {
			left[n-1].thinned = true
			continue
		}
		left = append(left, k)
	}
	left = left[max(0, len(left)-limit/2):]
	return append(left[:len(left):len(left)], all[full:]...)
}

// at gives the Snapshot of t, or one that is older by less than near; nil where it is not known that there is none
// between.
func (l *lately) at(t time.Time, near time.Duration) *probes.Snapshot {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := after(len(l.kept), func(i int) time.Time { return l.kept[i].At }, t)
	if i == 0 || i == len(l.kept) {
		return nil
	}
	if found := l.kept[i-1]; !found.thinned || t.Sub(found.At) < near {
		return found.Snapshot
	}
	return nil
}
