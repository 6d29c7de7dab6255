package alerts

import (
	"cmp"
	"context"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier lets PromQL read the store.
func (s *store) Querier(from, to int64) (storage.Querier, error) {
	return &querier{store: s, from: from, to: to}, nil
}

// querier reads the samples between two times, in milliseconds.
type querier struct {
	store    *store
	from, to int64
}

// Select gives the series that match.
func (q *querier) Select(_ context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := q.store.find(matchers)
	if sorted {
		found = slices.SortedFunc(slices.Values(found), func(a, b *series) int { return labels.Compare(a.labels, b.labels) })
	}
	set := &seriesSet{next: make([]view, len(found))}
	from, newestBy := q.from, int64(0)
	if hints != nil {
		from = hints.Start
		if hints.Range == 0 && hints.End-hints.Start < lookback.Milliseconds() {
			// It asks for the newest sample of a moment, and nothing before it.
			newestBy = hints.End
		}
	}
	for i, x := range found {
		set.next[i] = view{store: q.store, series: x, from: from, newestBy: newestBy}
	}
	return set
}

// LabelValues gives the values of a label, sorted.
func (q *querier) LabelValues(_ context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	values := map[string]bool{}
	for _, x := range q.store.find(matchers) {
		if v := x.labels.Get(name); v != "" {
			values[v] = true
		}
	}
	limited, _ := hints.ApplyLimit(sortedKeys(values))
	return limited, nil, nil
}

// LabelNames gives the names of labels, sorted.
func (q *querier) LabelNames(_ context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names := map[string]bool{}
	for _, x := range q.store.find(matchers) {
		x.labels.Range(func(l labels.Label) { names[l.Name] = true })
	}
	limited, _ := hints.ApplyLimit(sortedKeys(names))
	return limited, nil, nil
}

func sortedKeys[V any](of map[string]V) []string {
	keys := make([]string, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// Close does nothing: a querier holds nothing.
func (q *querier) Close() error { return nil }

// seriesSet walks over what was found.
type seriesSet struct {
	next []view
	at   *view
}

func (s *seriesSet) Next() bool {
	if len(s.next) == 0 {
		return false
	}
	s.at, s.next = &s.next[0], s.next[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.at }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// view is one series as a query sees it.
type view struct {
	store    *store
	series   *series
	from     int64
	newestBy int64 // not 0: only the newest sample until then is wanted
}

func (v *view) Labels() labels.Labels { return v.series.labels }

// Iterator reads the samples that are there now; what is appended later it does not see.
func (v *view) Iterator(old chunkenc.Iterator) chunkenc.Iterator {
	it, ok := old.(*iterator)
	if !ok {
		it = &iterator{}
	}
	v.store.mu.RLock()
	defer v.store.mu.RUnlock()
	it.reset(v)
	return it
}

// millis is a time in milliseconds since 1970, as samples have it.
type millis = int64

// iterator reads a series: its full chunks, then the one that is still written.
type iterator struct {
	closed  []chunk
	inner   chunkenc.Iterator // the chunk that is read; nil before the first, and for a single sample
	max     int64             // the newest time in inner
	full    chunkenc.Iterator // reads one of closed
	head    chunkenc.Iterator // reads what head held at reset; it may be written meanwhile
	hasHead bool
	headMax int64

	plain  bool // the series is points, as they are
	points []point
	one    [1]point
	at     int // in points; -1 before the first
}

func (it *iterator) reset(v *view) {
	x := v.series
	it.closed, it.inner, it.hasHead, it.at = nil, nil, false, -1
	if v.newestBy != 0 && x.lastT <= v.newestBy {
		it.one[0] = point{x.lastT, x.lastV}
		it.plain, it.points = true, it.one[:]
		return
	}
	if len(x.recent) > 0 && x.recent[0].t < v.from {
		it.plain, it.points = true, x.recent
		return
	}
	it.plain, it.closed = false, x.closed
	for len(it.closed) > 0 && it.closed[0].max < v.from {
		it.closed = it.closed[1:]
	}
	if x.head != nil {
		it.head = x.head.Iterator(it.head)
		it.hasHead, it.headMax = true, x.lastT
	}
}

// advance goes on to the next chunk.
func (it *iterator) advance() bool {
	switch {
	case len(it.closed) > 0:
		it.full = it.closed[0].data.Iterator(it.full)
		it.inner, it.max, it.closed = it.full, it.closed[0].max, it.closed[1:]
	case it.hasHead:
		it.inner, it.max, it.hasHead = it.head, it.headMax, false
	default:
		return false
	}
	return true
}

func (it *iterator) Next() chunkenc.ValueType {
	if it.plain {
		it.at++
		return it.point()
	}
	for {
		if it.inner != nil {
			if kind := it.inner.Next(); kind != chunkenc.ValNone || it.inner.Err() != nil {
				return kind
			}
		}
		if !it.advance() {
			return chunkenc.ValNone
		}
	}
}

func (it *iterator) Seek(t millis) chunkenc.ValueType {
	if it.plain {
		it.at = max(it.at, 0)
		if left := it.points[min(it.at, len(it.points)):]; len(left) > 0 && left[0].t < t {
			further, _ := slices.BinarySearchFunc(left, t, func(p point, t int64) int { return cmp.Compare(p.t, t) })
			it.at += further
		}
		return it.point()
	}
	for {
		if it.inner != nil && it.max >= t {
			if kind := it.inner.Seek(t); kind != chunkenc.ValNone || it.inner.Err() != nil {
				return kind
			}
		}
		if !it.advance() {
			return chunkenc.ValNone
		}
	}
}

// point says whether there is one at the place that was reached.
func (it *iterator) point() chunkenc.ValueType {
	if it.at < len(it.points) {
		return chunkenc.ValFloat
	}
	return chunkenc.ValNone
}

func (it *iterator) At() (int64, float64) {
	if it.plain {
		return it.points[it.at].t, it.points[it.at].v
	}
	return it.inner.At()
}

func (it *iterator) AtT() int64 {
	if it.plain {
		return it.points[it.at].t
	}
	return it.inner.AtT()
}

func (it *iterator) AtST() int64 { return 0 }

// AtHistogram and AtFloatHistogram are never asked: the text format has no native histograms.
func (it *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) { return 0, nil }

func (it *iterator) AtFloatHistogram(*histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return 0, nil
}

func (it *iterator) Err() error {
	if it.plain || it.inner == nil {
		return nil
	}
	return it.inner.Err()
}
