package bench

import (
	"cmp"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"captop/service"
)

// Result is what a run has measured. Times are in milliseconds; they count from when a request was due at the given rate
// (an open loop: coordinated omission is corrected), else from when it was sent (a closed loop: a target that stalls is
// asked less, and looks better than its users would say).
type Result struct {
	Target      string        `json:"target"`
	Loop        string        `json:"loop"` // open or closed
	Began       time.Time     `json:"began"`
	Seconds     float64       `json:"seconds"`
	Rate        float64       `json:"requests_per_second"` // answered well
	Answered    int64         `json:"answered"`            // well: status 2xx
	Failed      int64         `json:"failed"`
	Unsent      int64         `json:"unsent"` // were due before the end, and found no connection free
	All         Latency       `json:"all"`    // answered well, and the unsent with how long they had waited at the end
	Reads       Latency       `json:"reads"`
	Writes      Latency       `json:"writes"`
	FailedTimes Latency       `json:"failed_requests"`
	Failures    []FailedCount `json:"failures"`
	Shape       []Bar         `json:"shape"`  // how All is distributed
	Series      []Point       `json:"series"` // in order of time
}

// Latency sums up how long requests took, in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p99_9_ms"`
	Max   float64 `json:"max_ms"`
}

// Failure is one way in which a request failed.
type Failure struct {
	Operation operation       `json:"operation"`
	Code      string          `json:"code"`              // the service's own, http_STATUS, or one of the Code constants here
	Outcome   service.Outcome `json:"outcome,omitempty"` // of a write
}

// FailedCount is how often it did.
type FailedCount struct {
	Failure
	Count int64 `json:"count"`
}

// Bar is a range of latencies.
type Bar struct {
	UpTo  float64 `json:"up_to_ms"`
	Count int64   `json:"count"`
}

// Point is a stretch of time within a run.
type Point struct {
	At       time.Time `json:"at"` // its end
	Seconds  float64   `json:"seconds"`
	Answered int64     `json:"answered"`
	Failed   int64     `json:"failed"`
	P50      float64   `json:"p50_ms"` // 0 where nothing was answered
	P99      float64   `json:"p99_ms"`
	Max      float64   `json:"max_ms"`
}

// Rate is how many requests a second were answered well in that time.
func (p Point) Rate() float64 {
	if p.Seconds <= 0 {
		return 0
	}
	return float64(p.Answered) / p.Seconds
}

func milliseconds(micros int64) float64 { return float64(micros) / 1000 }

func quantile(h *hdrhistogram.Histogram, percent float64) float64 {
	return milliseconds(min(h.ValueAtQuantile(percent), h.Max()))
}

func summary(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	return Latency{Count: h.TotalCount(), P50: quantile(h, 50), P95: quantile(h, 95), P99: quantile(h, 99),
		P999: quantile(h, 99.9), Max: milliseconds(h.Max())}
}

// points is into how many stretches of time a run is cut, where its length is known; each has at least leastPoint.
const (
	points     = 60
	leastPoint = 100 * time.Millisecond
)

// watch takes a point now and then until ended is told.
func (r *run) watch(ended <-chan struct{}, progress func(Progress)) {
	every := max(r.plan.Duration/points, leastPoint)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	r.books.begun = r.start
	for {
		select {
		case <-ended:
			p := r.books.point(time.Now())
			if progress != nil {
				progress(Progress{Share: 1, Point: p})
			}
			return
		case now := <-ticker.C:
			p := r.books.point(now)
			if progress != nil {
				progress(Progress{Share: r.share(now), Point: p})
			}
		}
	}
}

// share is how much of the run is done.
func (r *run) share(now time.Time) (done float64) {
	if r.plan.Duration > 0 {
		done = float64(now.Sub(r.start)) / float64(r.plan.Duration)
	}
	if r.plan.Requests > 0 {
		done = max(done, float64(r.books.sent())/float64(r.plan.Requests))
	}
	return min(done, 1)
}

func (r *run) result(took time.Duration) Result {
	well := r.books.all(read, write)
	answered := well.TotalCount()
	well.Merge(r.books.late)
	bad := r.books.all(refused)
	result := Result{Target: r.target.Name, Loop: "closed", Began: r.start, Seconds: took.Seconds(),
		Answered: answered, Failed: bad.TotalCount(), Unsent: r.books.late.TotalCount(),
		Rate: float64(answered) / took.Seconds(), All: summary(well), Reads: summary(r.books.all(read)),
		Writes: summary(r.books.all(write)), FailedTimes: summary(bad), Failures: r.books.failures(), Shape: shape(well),
		Series: r.books.series}
	if r.plan.Rate > 0 {
		result.Loop = "open"
	}
	return result
}

// failures are the ways in which requests failed, the most frequent first.
func (b *books) failures() []FailedCount {
	sums := map[Failure]int64{}
	for _, s := range b.shards {
		for f, n := range s.failures {
			sums[f] += n
		}
	}
	all := make([]FailedCount, 0, len(sums))
	for f, n := range sums {
		all = append(all, FailedCount{f, n})
	}
	slices.SortFunc(all, func(a, b FailedCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Operation, b.Operation))
	})
	return all
}

// shape puts a histogram into ranges that end at 1, 2 or 5 times a power of ten.
func shape(h *hdrhistogram.Histogram) []Bar {
	var bars []Bar
	upTo, step := int64(100), 0
	next := func() {
		upTo = upTo * []int64{2, 5, 2}[step%3] / []int64{1, 2, 1}[step%3]
		step++
	}
	var count int64
	for _, bar := range h.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for bar.To > upTo {
			if count > 0 || len(bars) > 0 {
				bars = append(bars, Bar{milliseconds(upTo), count})
			}
			count = 0
			next()
		}
		count += bar.Count
	}
	if count > 0 {
		bars = append(bars, Bar{milliseconds(upTo), count})
	}
	return bars
}
