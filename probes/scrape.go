package probes

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"captop/probes/alerts"
)

// errNotCapd: a page of metrics lacks what capd always exports.
var errNotCapd = errors.New("the page has no circuit_breaker_state; is it capd?")

// The names that captop reads. They are fixed between services and rules.
const (
	requestsTotal   = "app_requests_total"
	latencySeconds  = "app_request_latency_seconds"
	breakerState    = "circuit_breaker_state"
	failuresTotal   = "db_connection_failures_total"
	processStart    = "process_start_time_seconds"
	firstErrorClass = '5' // of HTTP statuses
)

// scrape is what one page of /metrics says, as running totals.
type scrape struct {
	at       time.Time
	start    float64            // of the process, Unix seconds; 0 where not exported
	requests map[string]float64 // by HTTP status, over operations
	failures map[string]float64 // failed contacts by node
	bounds   []float64          // upper bounds of the latency histogram in seconds, the last one +Inf
	buckets  []float64          // cumulative counts beside bounds, over operations
}

// meaning is what a series says to captop: a figure of the scrape, under a key or a bound.
type meaning struct {
	figure figure
	key    string  // an HTTP status, or a node
	bound  float64 // of a bucket
}

type figure int

const (
	figureOther figure = iota
	figureRequests
	figureFailures
	figureStart
	figureBucket
	figureBreaker
)

// reader takes what captop itself needs from pages while the alert engine walks over them, and remembers what each
// series means.
type reader struct {
	known  map[uint64]meaning
	scrape scrape
	counts map[float64]float64 // of the latency's buckets, over operations, by upper bound
	isCapd bool
}

func newReader() *reader { return &reader{known: map[uint64]meaning{}, counts: map[float64]float64{}} }

// begin is for a new page.
func (r *reader) begin(at time.Time) {
	r.scrape = scrape{at: at, requests: map[string]float64{}, failures: map[string]float64{}}
	r.isCapd = false
	clear(r.counts)
}

// visit takes one sample.
func (r *reader) visit(ref uint64, series alerts.Series, value float64) {
	m, known := r.known[ref]
	if !known {
		if len(r.known) > maxKnown { // series come and go: what has gone is not told
			clear(r.known)
		}
		m = meaningOf(series)
		r.known[ref] = m
	}
	switch m.figure {
	case figureRequests:
		r.scrape.requests[m.key] += value
	case figureFailures:
		r.scrape.failures[m.key] += value
	case figureStart:
		r.scrape.start = value
	case figureBucket:
		r.counts[m.bound] += value
	case figureBreaker:
		r.isCapd = true
	}
}

// maxKnown bounds what is remembered of one target's series.
const maxKnown = 10_000

// exposed gives a label as the page has it, also where the target has one of the same name.
func exposed(series alerts.Series, name string) string {
	if own := series.Get("exported_" + name); own != "" {
		return own
	}
	return series.Get(name)
}

func meaningOf(series alerts.Series) meaning {
	switch series.Name() {
	case requestsTotal:
		return meaning{figure: figureRequests, key: exposed(series, "status")}
	case failuresTotal:
		return meaning{figure: figureFailures, key: exposed(series, "node")}
	case processStart:
		return meaning{figure: figureStart}
	case breakerState:
		return meaning{figure: figureBreaker}
	case latencySeconds + "_bucket":
		bound, err := strconv.ParseFloat(exposed(series, "le"), 64)
		if err == nil {
			return meaning{figure: figureBucket, bound: bound}
		}
	}
	return meaning{}
}

// end gives what the page said, once all of it was visited. Operations are summed up: they have the same bounds, for one
// program exports them.
func (r *reader) end() (scrape, error) {
	if !r.isCapd {
		return scrape{}, errNotCapd
	}
	r.scrape.bounds = slices.Sorted(maps.Keys(r.counts))
	for _, bound := range r.scrape.bounds {
		r.scrape.buckets = append(r.scrape.buckets, r.counts[bound])
	}
	return r.scrape, nil
}

// increase is what was counted between two scrapes.
type increase struct {
	from, to time.Time
	requests float64
	errors   float64 // of these, answered with 500 and above
	failures map[string]float64
	bounds   []float64
	buckets  []float64
}

// since gives what was counted between before and s. After a restart of the process, all that s has was.
func (s scrape) since(before scrape) increase {
	if s.restartedSince(before) {
		before = scrape{at: before.at}
	}
	in := increase{from: before.at, to: s.at, failures: map[string]float64{}, bounds: s.bounds}
	for status, count := range s.requests {
		more := count - before.requests[status]
		in.requests += more
		if status != "" && status[0] >= firstErrorClass {
			in.errors += more
		}
	}
	for node, count := range s.failures {
		in.failures[node] = count - before.failures[node]
	}
	in.buckets = make([]float64, len(s.buckets))
	for i, count := range s.buckets {
		in.buckets[i] = count
		if len(before.buckets) == len(s.buckets) {
			in.buckets[i] -= before.buckets[i]
		}
	}
	return in
}

// restartedSince tells by the process' start time, or by a total that fell.
func (s scrape) restartedSince(before scrape) bool {
	if s.start != before.start {
		return true
	}
	for status, count := range before.requests {
		if s.requests[status] < count {
			return true
		}
	}
	for node, count := range before.failures {
		if s.failures[node] < count {
			return true
		}
	}
	return false
}

// quantile estimates the q-quantile of cumulative buckets by interpolation within the bucket, as Prometheus'
// histogram_quantile does. In the +Inf bucket it gives the bucket's lower bound. Unknown where nothing was counted.
func quantile(q float64, bounds, buckets []float64) (time.Duration, bool) {
	if len(buckets) == 0 || buckets[len(buckets)-1] <= 0 {
		return 0, false
	}
	rank := q * buckets[len(buckets)-1]
	i := sort.Search(len(buckets)-1, func(i int) bool { return buckets[i] >= rank })
	lower, below := 0.0, 0.0
	if i > 0 {
		lower, below = bounds[i-1], buckets[i-1]
	}
	if math.IsInf(bounds[i], 1) {
		return seconds(lower), true
	}
	share := 1.0
	if within := buckets[i] - below; within > 0 {
		share = (rank - below) / within
	}
	return seconds(lower + (bounds[i]-lower)*share), true
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
