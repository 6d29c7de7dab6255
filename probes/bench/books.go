package bench

import (
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type operation string

const (
	read    operation = "read"
	write   operation = "write"
	refused operation = "refused" // reads and writes that failed
)

// The range of the histograms in microseconds, with three digits: an hour is longer than anything waits.
const (
	leastMicros = 1
	mostMicros  = int64(time.Hour / time.Microsecond)
)

// books are what was measured so far, in shards so that the connections seldom wait for each other.
type books struct {
	shards []*shard
	late   *hdrhistogram.Histogram // requests that were never sent
	series []Point
	begun  time.Time // of the point that is being measured
}

// shard is the books of some connections.
type shard struct {
	mu       sync.Mutex
	sent     int64
	latency  map[operation]*hdrhistogram.Histogram
	lately   *hdrhistogram.Histogram // since the last point
	failed   int64                   // since the last point
	failures map[Failure]int64
}

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(leastMicros, mostMicros, digits)
}

func newBooks() *books {
	b := &books{late: newHistogram(3)}
	for range runtime.GOMAXPROCS(0) {
		b.shards = append(b.shards, &shard{lately: newHistogram(2), failures: map[Failure]int64{},
			latency: map[operation]*hdrhistogram.Histogram{read: newHistogram(3), write: newHistogram(3), refused: newHistogram(3)}})
	}
	return b
}

func (b *books) shard(connection int) *shard { return b.shards[connection%len(b.shards)] }

func (b *books) sent() (sum int64) {
	for _, s := range b.shards {
		s.mu.Lock()
		sum += s.sent
		s.mu.Unlock()
	}
	return sum
}

func (b *books) unsent(waited time.Duration) { record(b.late, waited) }

// record books a time, within the range of the histogram.
func record(h *hdrhistogram.Histogram, took time.Duration) {
	_ = h.RecordValue(min(max(took.Microseconds(), leastMicros), mostMicros)) // in range, so it never fails
}

func (s *shard) began() {
	s.mu.Lock()
	s.sent++
	s.mu.Unlock()
}

func (s *shard) succeed(what operation, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record(s.latency[what], took)
	record(s.lately, took)
}

func (s *shard) fail(f Failure, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record(s.latency[refused], took)
	s.failures[f]++
	s.failed++
}

// point takes what was booked since the last one.
func (b *books) point(now time.Time) Point {
	lately := newHistogram(2)
	p := Point{At: now, Seconds: now.Sub(b.begun).Seconds()}
	for _, s := range b.shards {
		s.mu.Lock()
		lately.Merge(s.lately)
		s.lately.Reset()
		p.Failed += s.failed
		s.failed = 0
		s.mu.Unlock()
	}
	p.Answered = lately.TotalCount()
	if p.Answered > 0 {
		p.P50, p.P99, p.Max = quantile(lately, 50), quantile(lately, 99), milliseconds(lately.Max())
	}
	b.begun = now
	b.series = append(b.series, p)
	return p
}

// all merges the histograms of some operations over all connections.
func (b *books) all(operations ...operation) *hdrhistogram.Histogram {
	sum := newHistogram(3)
	for _, s := range b.shards {
		s.mu.Lock()
		for _, o := range operations {
			sum.Merge(s.latency[o])
		}
		s.mu.Unlock()
	}
	return sum
}
