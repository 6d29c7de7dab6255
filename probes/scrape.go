package probes

import (
	"errors"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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

// parseScrape reads a page in Prometheus' text format.
func parseScrape(page string, at time.Time) (scrape, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		return scrape{}, fmt.Errorf("parsing the metrics: %w", err)
	}
	if families[breakerState] == nil {
		return scrape{}, errNotCapd
	}
	s := scrape{at: at, requests: map[string]float64{}, failures: map[string]float64{}}
	for _, m := range families[requestsTotal].GetMetric() {
		s.requests[label(m, "status")] += m.GetCounter().GetValue()
	}
	for _, m := range families[failuresTotal].GetMetric() {
		s.failures[label(m, "node")] += m.GetCounter().GetValue()
	}
	for _, m := range families[processStart].GetMetric() {
		s.start = m.GetGauge().GetValue()
	}
	s.readLatency(families[latencySeconds])
	return s, nil
}

// readLatency adds the histograms of all operations; they have the same bounds, for one program exports them.
func (s *scrape) readLatency(family *dto.MetricFamily) {
	counts := map[float64]float64{}
	for _, m := range family.GetMetric() {
		histogram := m.GetHistogram()
		for _, bucket := range histogram.GetBucket() {
			if !math.IsInf(bucket.GetUpperBound(), 1) {
				counts[bucket.GetUpperBound()] += float64(bucket.GetCumulativeCount())
			}
		}
		counts[math.Inf(1)] += float64(histogram.GetSampleCount())
	}
	for bound := range counts {
		s.bounds = append(s.bounds, bound)
	}
	sort.Float64s(s.bounds)
	for _, bound := range s.bounds {
		s.buckets = append(s.buckets, counts[bound])
	}
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
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
