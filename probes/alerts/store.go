package alerts

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// chunkSamples is how many samples one compressed chunk takes: as many as in Prometheus.
const chunkSamples = 120

// staleMarker is the value that ends a series.
var staleMarker = math.Float64frombits(value.StaleNaN)

// store keeps the samples of the last while in memory. It may be read while it is written.
type store struct {
	keep time.Duration

	mu      sync.RWMutex
	lastRef uint64
	byName  map[string]*metric
	all     map[labels.Labels]*series
	swept   int64            // when old samples were last dropped, in milliseconds
	ranges  map[string]int64 // how far back the rules read more than one sample, in milliseconds, by metric

	cache sync.Mutex // guards the found of every metric; taken after mu
}

// metric are the series of one name.
type metric struct {
	back   int64                // as in ranges
	series []*series            // never changed in place but at its end
	found  map[string][]*series // by matchers; emptied when series change
}

// series is one time series.
type series struct {
	ref    uint64
	labels labels.Labels
	metric *metric
	closed []chunk // full, oldest first, not changed any more
	head   *chunkenc.XORChunk
	append chunkenc.Appender
	min    int64 // of head
	lastT  int64
	lastV  float64
	gone   bool    // dropped for its age: who holds it has to look it up anew
	recent []point // the last samples once more, where rules read them again and again: so nobody has to unpack them
}

// point is a sample as it is.
type point struct {
	t int64
	v float64
}

// chunk is a full piece of a series.
type chunk struct {
	max  int64
	data *chunkenc.XORChunk
}

func newStore(keep time.Duration) *store {
	return &store{keep: keep, byName: map[string]*metric{}, all: map[labels.Labels]*series{}, swept: math.MinInt64}
}

// series finds a series or begins it. The caller holds the lock for writing.
func (s *store) series(of labels.Labels) *series {
	if known, ok := s.all[of]; ok {
		return known
	}
	s.lastRef++
	name := of.Get(model.MetricNameLabel)
	under := s.byName[name]
	if under == nil {
		under = &metric{back: s.ranges[name]}
		s.byName[name] = under
	}
	made := &series{ref: s.lastRef, labels: of, metric: under, lastT: math.MinInt64}
	s.all[of] = made
	under.series = append(under.series, made)
	under.found = nil
	return made
}

// add puts a sample at the end of a series. One that is not newer than the last is dropped, as in Prometheus.
// The caller holds the lock for writing.
func (x *series) add(t int64, v float64) {
	if t <= x.lastT {
		return
	}
	if x.head != nil && x.head.NumSamples() >= chunkSamples {
		x.head.Compact()
		x.closed = append(x.closed, chunk{max: x.lastT, data: x.head})
		x.head = nil
	}
	if x.head == nil {
		x.head = chunkenc.NewXORChunk()
		x.append, _ = x.head.Appender() // fails for a damaged chunk only
		x.min = t
	}
	x.append.Append(0, t, v)
	x.lastT, x.lastV = t, v
	if back := x.metric.back; back > 0 {
		x.remember(point{t, v}, t-back)
	}
}

// remember adds to recent, and lets go of what is older than rules read. What was handed to a reader is not touched.
func (x *series) remember(p point, from int64) {
	if len(x.recent) == cap(x.recent) {
		old, _ := slices.BinarySearchFunc(x.recent, from, func(p point, t int64) int { return cmp.Compare(p.t, t) })
		old = max(0, old-1) // one sample more, so that it is seen that nothing is missing
		left := x.recent[old:]
		x.recent = append(make([]point, 0, len(left)+len(left)/4+8), left...)
	}
	x.recent = append(x.recent, p)
}

// readAgain tells how far back the rules read more than one sample, by metric.
func (s *store) readAgain(ranges map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ranges = ranges
	for name, under := range s.byName {
		if under.back = ranges[name]; under.back > 0 {
			continue
		}
		for _, x := range under.series {
			x.recent = nil
		}
	}
}

// stale says whether the series has ended.
func (x *series) stale() bool { return x.lastT == math.MinInt64 || value.IsStaleNaN(x.lastV) }

// sweep drops what is older than is kept; now and then is enough.
func (s *store) sweep(now int64) {
	keep := s.keep.Milliseconds()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.swept != math.MinInt64 && now < s.swept+keep/16 && now >= s.swept {
		return
	}
	s.swept = now
	for name, under := range s.byName {
		ended := 0
		for _, x := range under.series {
			x.drop(now - keep)
			if x.gone {
				delete(s.all, x.labels)
				ended++
			}
		}
		if ended == 0 {
			continue
		}
		// A copy, for somebody may be reading the old one.
		left := make([]*series, 0, len(under.series)-ended)
		for _, x := range under.series {
			if !x.gone {
				left = append(left, x)
			}
		}
		under.series, under.found = left, nil
		if len(left) == 0 {
			delete(s.byName, name)
		}
	}
}

// drop lets go of the chunks that end before a time.
func (x *series) drop(before int64) {
	old := 0
	for old < len(x.closed) && x.closed[old].max < before {
		old++
	}
	x.closed = x.closed[old:]
	x.gone = x.lastT < before
}

// find gives the series that match.
func (s *store) find(matchers []*labels.Matcher) []*series {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, m := range matchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return s.findIn(s.byName[m.Value], slices.Concat(matchers[:i], matchers[i+1:]))
		}
	}
	names := make([]string, 0, len(s.byName))
	for name := range s.byName {
		names = append(names, name)
	}
	slices.Sort(names) // so that a sum comes out the same every time
	var found []*series
	for _, name := range names {
		found = append(found, matching(s.byName[name].series, matchers)...)
	}
	return found
}

// findIn gives the series of one name that match, from memory where the same was asked before.
func (s *store) findIn(under *metric, matchers []*labels.Matcher) []*series {
	if under == nil {
		return nil
	}
	if len(matchers) == 0 {
		return under.series
	}
	key := ""
	for _, m := range matchers {
		key += m.String() + ","
	}
	s.cache.Lock()
	found, ok := under.found[key]
	s.cache.Unlock()
	if ok {
		return found
	}
	found = matching(under.series, matchers)
	s.cache.Lock()
	defer s.cache.Unlock()
	if under.found == nil || len(under.found) >= 64 {
		under.found = map[string][]*series{}
	}
	under.found[key] = found
	return found
}

func matching(all []*series, matchers []*labels.Matcher) []*series {
	var found []*series
	for _, x := range all {
		if fits(x.labels, matchers) {
			found = append(found, x)
		}
	}
	return found
}

func fits(of labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(of.Get(m.Name)) {
			return false
		}
	}
	return true
}
