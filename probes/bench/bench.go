// Package bench measures what a target can do: it sends reads and writes over a number of connections, as fast as they are
// answered or at a given rate, and tells how long they took and what was refused.
//
// The client shares the machine with what it measures, most often: it writes requests that are made beforehand into plain
// connections, and reads no more of an answer than it needs.
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"captop/service"
)

// Prefix begins every key that is written here, so that nobody's data are touched.
const Prefix = "captop-bench:"

// The bounds of a Plan.
const (
	MaxConnections = 10_000
	MaxKeys        = 1_000_000_000
	MaxRate        = 1_000_000
)

// Plan is what to send.
type Plan struct {
	Connections int
	Reads       float64       // share of reads, 0 to 1; the rest are writes
	Keys        int           // how many there are
	Zipf        bool          // a few keys get most of the requests; else all get as many
	ValueBytes  int           // of each write
	Rate        float64       // requests a second, over all connections; 0 sends the next one when the last was answered
	Duration    time.Duration // how long; 0 is no bound
	Requests    int64         // how many at most; 0 is no bound
	Timeout     time.Duration // of one request
}

// Check refuses a plan that cannot work, saying what would.
func (p Plan) Check() error {
	switch {
	case p.Connections < 1 || p.Connections > MaxConnections:
		return fmt.Errorf("%d connections: give 1 to %d", p.Connections, MaxConnections)
	case !(p.Reads >= 0 && p.Reads <= 1): // so that NaN fails too
		return fmt.Errorf("a share of reads of %v: give 0 to 1", p.Reads)
	case p.Keys < 1 || p.Keys > MaxKeys:
		return fmt.Errorf("%d keys: give 1 to %d", p.Keys, MaxKeys)
	case p.ValueBytes < 0 || p.ValueBytes > service.MaxValueBytes:
		return fmt.Errorf("values of %d bytes: give 0 to %d", p.ValueBytes, service.MaxValueBytes)
	case !(p.Rate >= 0 && p.Rate <= MaxRate):
		return fmt.Errorf("a rate of %v: give 0 (as fast as answered) to %d requests a second", p.Rate, MaxRate)
	case p.Duration < 0 || p.Requests < 0 || p.Duration == 0 && p.Requests == 0:
		return errors.New("give how long or how many, above 0")
	case p.Timeout <= 0:
		return fmt.Errorf("a timeout of %s: give one above 0", p.Timeout)
	}
	return nil
}

// Progress is how far a run has come.
type Progress struct {
	Share float64 // of the whole, 0 to 1
	Point         // of the time since the last Progress
}

// Run sends what the plan says and tells what came of it. Where progress is not nil, it is called now and then, and at the
// end with a Share of 1, from one goroutine. A run that ctx ends early is told as far as it came, with ctx's error.
func Run(ctx context.Context, target Target, plan Plan, progress func(Progress)) (Result, error) {
	if err := plan.Check(); err != nil {
		return Result{}, err
	}
	r := &run{target: target, plan: plan, books: newBooks()}
	if err := r.connect(ctx); err != nil {
		return Result{}, err
	}
	r.start = time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { r.watch(ended, progress) })
	// A request in flight is not cut off at the end: it is part of what was measured.
	stop := context.AfterFunc(ctx, func() { r.over.Store(true) })
	defer stop()
	var group sync.WaitGroup
	for _, w := range r.workers {
		group.Go(w.work)
	}
	group.Wait()
	took := time.Since(r.start)
	close(ended)
	watching.Wait() // the last point is in
	r.countUnsent()
	return r.result(took), ctx.Err()
}

// Fill writes every key once, as fast as it is answered, so that reads find them.
func Fill(ctx context.Context, target Target, plan Plan, progress func(Progress)) (Result, error) {
	plan.Reads, plan.Rate, plan.Duration, plan.Requests, plan.Zipf = 0, 0, 0, int64(plan.Keys), false
	target.inOrder = true
	return Run(ctx, target, plan, progress)
}

// run is one Run.
type run struct {
	target  Target
	plan    Plan
	books   *books
	start   time.Time
	next    atomic.Int64 // the number of the next request
	over    atomic.Bool  // somebody wants the end
	workers []*worker
}

// connect opens all connections before the clock runs.
func (r *run) connect(ctx context.Context) error {
	for i := range r.plan.Connections {
		address := r.target.addresses[i%len(r.target.addresses)]
		w := &worker{run: r, shard: r.books.shard(i), wire: newWire(address, r.plan.Timeout),
			random: rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))}
		w.prepare()
		if err := w.wire.dial(ctx); err != nil {
			for _, earlier := range r.workers {
				earlier.wire.close()
			}
			return fmt.Errorf("connecting to %s (connection %d of %d): %w", address, i+1, r.plan.Connections, err)
		}
		r.workers = append(r.workers, w)
	}
	return nil
}

// due is when a request of an open loop is to be sent.
func (r *run) due(number int64) time.Time {
	return r.start.Add(time.Duration(float64(number) / r.plan.Rate * float64(time.Second)))
}

// ended says whether nothing is to be sent from now on.
func (r *run) ended(number int64, now time.Time) bool {
	return r.over.Load() || r.plan.Requests > 0 && number >= r.plan.Requests ||
		r.plan.Duration > 0 && now.Sub(r.start) >= r.plan.Duration
}

// countUnsent books what was due before the end and found no connection free: it waited for at least so long.
func (r *run) countUnsent() {
	if r.plan.Rate == 0 || r.plan.Duration == 0 || r.over.Load() {
		return
	}
	end := r.start.Add(r.plan.Duration)
	last := int64(r.plan.Duration.Seconds() * r.plan.Rate)
	if r.plan.Requests > 0 {
		last = min(last, r.plan.Requests)
	}
	for number := r.books.sent(); number < last; number++ {
		r.books.unsent(end.Sub(r.due(number)))
	}
}
