package alerts

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Series names what a sample belongs to. It is not changed, and may be kept.
type Series struct{ labels labels.Labels }

// Name is the metric's name.
func (s Series) Name() string { return s.labels.Get(model.MetricNameLabel) }

// Get gives a label's value, "" where there is none.
func (s Series) Get(label string) string { return s.labels.Get(label) }

// Labels are all labels but the name.
func (s Series) Labels() map[string]string { return withoutName(s.labels) }

// Visit is told of one sample of a page. The ref stays the same for a series while its samples come, and is never used
// for another, so what was read from the labels may be kept under it. It must not call the Engine.
type Visit func(ref uint64, series Series, value float64)

// target is something that is scraped.
type target struct {
	labels labels.Labels
	up     *source
	cache  map[string]*source // by the series as the page writes it
	order  []*source          // as the last page had them
	scrape uint64             // counts pages
}

// source is a series of a target.
type source struct {
	text   string // as the page writes it
	labels labels.Labels
	series *series // nil before its first sample
	seen   uint64  // the scrape in which it was last there
	timed  bool    // the page gave its time: no marker when it ends
}

// reading is one sample of a page that may yet turn out not to parse.
type reading struct {
	from *source
	t    int64
	v    float64
}

// target finds a target or begins it.
func (e *Engine) target(named map[string]string) *target {
	of := labels.FromMap(named)
	if known, ok := e.targets[of]; ok {
		return known
	}
	up := labels.NewBuilder(of).Set(model.MetricNameLabel, "up").Labels()
	made := &target{labels: of, up: &source{labels: up}, cache: map[string]*source{}}
	e.targets[of] = made
	return made
}

// Ingest takes a page in the Prometheus text format that was scraped from a target at a time: its samples are kept, up
// is 1, and series that were there before and are not any more end. The target's labels are added to every series; where
// the page has one of the same name, that becomes exported_NAME. Visit, which may be nil, is told of every sample.
//
// A page that does not parse is a failed scrape: nothing of it is kept or visited, and the error says why.
func (e *Engine) Ingest(named map[string]string, page string, at time.Time, visit Visit) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	to, t := e.target(named), at.UnixMilli()
	to.scrape++
	if err := e.read(to, page, t); err != nil {
		e.lose(to, t)
		return fmt.Errorf("reading the metrics page of %s: %w", to.labels, err)
	}
	e.store.mu.Lock()
	for _, r := range e.readings {
		e.store.put(r.from, r.t, r.v)
	}
	to.endUnseen(e.readings, t)
	e.store.put(to.up, t, 1)
	e.store.mu.Unlock()
	if visit != nil {
		for _, r := range e.readings {
			visit(r.from.series.ref, Series{r.from.labels}, r.v)
		}
	}
	return nil
}

// put appends a sample to a source's series. The caller holds the lock for writing.
func (s *store) put(to *source, t int64, v float64) {
	if to.series == nil || to.series.gone {
		to.series = s.series(to.labels)
	}
	to.series.add(t, v)
}

// read parses a page into e.readings.
func (e *Engine) read(to *target, page string, t int64) error {
	e.readings = e.readings[:0]
	e.page = append(e.page[:0], page...)
	if len(page) == 0 {
		return nil
	}
	parser := textparse.NewPromParser(e.page, e.symbols, false)
	for {
		entry, err := parser.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case entry != textparse.EntrySeries:
			continue
		}
		text, stamp, v := parser.Series()
		from, err := to.source(text, len(e.readings), parser)
		if err != nil {
			return err
		}
		switch {
		case stamp != nil:
			from.timed = true
			e.readings = append(e.readings, reading{from, *stamp, v})
		case from.seen != to.scrape: // a second sample of the same series is dropped
			from.seen, from.timed = to.scrape, false
			e.readings = append(e.readings, reading{from, t, v})
		}
	}
}

// source finds the series that a line of the page names. It is most likely the one that stood there the last time.
func (to *target) source(text []byte, place int, parser textparse.Parser) (*source, error) {
	if place < len(to.order) && to.order[place].text == string(text) {
		return to.order[place], nil
	}
	if known, ok := to.cache[string(text)]; ok {
		return known, nil
	}
	var exposed labels.Labels
	parser.Labels(&exposed)
	if !exposed.Has(model.MetricNameLabel) {
		return nil, fmt.Errorf("a series without a name: %s", text)
	}
	of := to.with(exposed)
	if name, twice := of.HasDuplicateLabelNames(); twice {
		return nil, fmt.Errorf("the label %s stands twice in %s", name, text)
	}
	if !of.IsValid(model.UTF8Validation) {
		return nil, fmt.Errorf("invalid metric name or label names: %s", of)
	}
	made := &source{text: string(text), labels: of}
	to.cache[made.text] = made
	return made, nil
}

// with adds the target's labels to those that the page has.
func (to *target) with(exposed labels.Labels) labels.Labels {
	builder := labels.NewBuilder(exposed)
	var taken []labels.Label
	to.labels.Range(func(l labels.Label) {
		if had := exposed.Get(l.Name); had != "" {
			taken = append(taken, labels.Label{Name: l.Name, Value: had})
		}
		builder.Set(l.Name, l.Value)
	})
	slices.SortStableFunc(taken, func(a, b labels.Label) int { return len(a.Name) - len(b.Name) })
	for _, l := range taken {
		name := model.ExportedLabelPrefix + l.Name
		for builder.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		builder.Set(name, l.Value)
	}
	return builder.Labels()
}

// endUnseen ends the series that the page just read did not have, and remembers the order of those that it had.
func (to *target) endUnseen(page []reading, t int64) {
	to.order = to.order[:0]
	for _, r := range page {
		to.order = append(to.order, r.from)
	}
	if len(to.order) == len(to.cache) && len(to.order) > 0 && !to.order[0].timed {
		return // each was there once
	}
	for text, from := range to.cache {
		if from.seen == to.scrape || from.timed {
			continue
		}
		if from.series != nil && !from.series.stale() {
			from.series.add(t, staleMarker)
		}
		delete(to.cache, text)
	}
}

// Lost notes that a target could not be scraped: up is 0, and its series end.
func (e *Engine) Lost(named map[string]string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	e.lose(e.target(named), at.UnixMilli())
}

func (e *Engine) lose(to *target, t int64) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	to.end(t)
	e.store.put(to.up, t, 0)
}

// end ends every series of a target but up.
func (to *target) end(t int64) {
	for _, from := range to.cache {
		if from.series != nil && !from.timed && !from.series.stale() {
			from.series.add(t, staleMarker)
		}
	}
}

// Forget notes that a target is not to be scraped any more: all its series end, up too.
func (e *Engine) Forget(named map[string]string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	to, t := e.target(named), at.UnixMilli()
	delete(e.targets, to.labels)
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	to.end(t)
	if to.up.series != nil {
		to.up.series.add(t, staleMarker)
	}
}

// Set adds a sample of captop's own, such as redis_up.
func (e *Engine) Set(name string, named map[string]string, v float64, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	of := ownLabels(name, named)
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	e.store.series(of).add(at.UnixMilli(), v)
}

// End ends a series that Set made: its value is not known any more.
func (e *Engine) End(name string, named map[string]string, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notice(at)
	of := ownLabels(name, named)
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	if known, ok := e.store.all[of]; ok && !known.stale() {
		known.add(at.UnixMilli(), staleMarker)
	}
}

func ownLabels(name string, named map[string]string) labels.Labels {
	all := maps.Clone(named)
	if all == nil {
		all = map[string]string{}
	}
	all[model.MetricNameLabel] = name
	return labels.FromMap(all)
}

// withoutName gives labels as a map, without the metric's name.
func withoutName(of labels.Labels) map[string]string {
	made := make(map[string]string, of.Len())
	of.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			made[l.Name] = l.Value
		}
	})
	return made
}
