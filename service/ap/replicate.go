package ap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"captop/service/node"
)

const (
	// batchKeys and batchBytes bound what one script does, and what is taken from one bucket at a time; a value may go beyond.
	// A node serves nobody else meanwhile, so that who writes during a catch-up waits longer with more keys; with fewer most of
	// its time goes into round trips. At 96 the p99 of writes is 1.6 to 2.3 times what it is without (40: 1.1 to 1.6), and
	// the catch-up half as fast again (BenchmarkCatchUp).
	batchKeys  = 96
	batchBytes = 256 << 10
	// handKeys and handBytes bound what waits to be handed over.
	handKeys  = 4096
	handBytes = 4 << 20
	// gather is how long a carrier lets writes come together.
	gather = 3 * time.Millisecond
	// clearAfter is how long the marks of what was handed over may stay, and batchKeys how many: to clear many costs a node
	// little more than to clear one, and keeps it from its other callers. Each seems to be behind as long as its mark is there.
	clearAfter = 10 * time.Millisecond
	// leaseFor is how long a direction may stay without a carrier when its holder dies.
	leaseFor   = time.Second
	leaseRenew = leaseFor / 3
	// asofEvery is how often a node is told up to when it has everything.
	asofEvery = 500 * time.Millisecond
	// backoffMax bounds the pause after failures.
	backoffMax = time.Second
)

// flow carries dirty keys from one node to its peer, in two ways. What this instance writes it hands over itself, from
// memory; to lose that is harmless, for the mark stays. What is marked for longer than that takes (the peer was away, or
// the instance that wrote it is) is taken from the node: every instance could, and the one with the lease does. Two at a
// time, or one that stops anywhere, do no harm: a merge may be repeated and may come late.
type flow struct {
	store   *Store
	from    side
	holder  string
	dirty   atomic.Uint64 // bit b: bucket b may have marks that are old
	marked  atomic.Int64  // when a mark was last made or found, Unix microseconds
	wake    chan struct{} // there may be something to take
	written chan struct{} // there is something to hand over

	mu      sync.Mutex
	handed  []item // written by this instance, not carried yet
	bytes   int    // of these
	failing bool   // nothing can be handed over now

	// Used by turn alone.
	held     bool
	renewAt  time.Time
	asofNext time.Time

	// Used by carryHanded alone.
	spare    []item
	merged   []item    // the peer has them, their marks are still there; without values
	mergedAt time.Time // the first of them
}

func newFlow(s *Store, from side, holder string) *flow {
	return &flow{store: s, from: from, holder: holder, wake: make(chan struct{}, 1), written: make(chan struct{}, 1)}
}

// handOver takes what this instance has just written, by its clock at a time (microseconds). Where there is too much, the
// node has it marked all the same.
func (f *flow) handOver(x item, now int64) {
	f.marked.Store(now)
	f.mu.Lock()
	taken := !f.failing && len(x.value) < soloBytes && len(f.handed) < handKeys && f.bytes < handBytes
	if taken {
		f.handed = append(f.handed, x)
		f.bytes += len(x.value)
	}
	f.mu.Unlock()
	rouse(f.written) // where nothing was taken, too: that is how it notices that the peer is back
	if !taken {
		f.found(1 << x.bucket)
	}
}

// found tells which buckets have marks that are to be taken.
func (f *flow) found(buckets uint64) {
	if buckets == 0 {
		return
	}
	f.dirty.Or(buckets)
	f.marked.Store(f.store.config.Now().UnixMicro())
	rouse(f.wake)
}

func rouse(who chan<- struct{}) {
	select {
	case who <- struct{}{}:
	default:
	}
}

// lastDirty is when a mark was last made or found.
func (f *flow) lastDirty() time.Time { return time.UnixMicro(f.marked.Load()) }

// run carries until ctx ends, and then hands the lease back. What this instance writes does not wait for what was marked
// long ago, of which there may be a million keys.
func (f *flow) run(ctx context.Context) {
	ticker := time.NewTicker(f.store.slow * leaseRenew)
	defer ticker.Stop()
	var hand sync.WaitGroup
	hand.Go(func() { f.repeat(ctx, f.written, nil, gather, f.carryHanded) })
	f.repeat(ctx, f.wake, ticker.C, 0, f.turn)
	hand.Wait()
	f.release()
}

// repeat works a moment after there is something to do, until ctx ends; behind a failure it waits longer and longer.
func (f *flow) repeat(ctx context.Context, wake <-chan struct{}, tick <-chan time.Time, moment time.Duration, work func(context.Context) error) {
	for pause := moment; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-wake:
		case <-tick:
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		limited, cancel := context.WithTimeout(ctx, f.store.config.Timeout)
		if err := work(limited); err != nil {
			pause = min(max(2*pause, pollEvery), backoffMax)
		} else {
			pause = moment
		}
		cancel()
	}
}

// turn renews the lease, and takes what is dirty if it is held.
func (f *flow) turn(ctx context.Context) error {
	source, err := f.store.nodes[f.from].Current(ctx)
	if err != nil {
		return err
	}
	if err := f.lease(ctx, source); err != nil || !f.held {
		return err
	}
	target, err := f.store.nodes[f.from.peer()].Current(ctx)
	if err != nil {
		return err
	}
	if err := f.noteAsof(ctx, target); err != nil {
		return err
	}
	buckets := f.dirty.Swap(0)
	if buckets == 0 {
		return nil
	}
	if err := f.carry(ctx, source, target, buckets); err != nil {
		f.found(buckets)
		return err
	}
	return nil
}

// carryHanded carries what this instance wrote, and clears the marks of what was carried a while ago. What fails is left to
// its marks.
func (f *flow) carryHanded(ctx context.Context) error {
	if err := f.mergeHanded(ctx); err != nil {
		return err
	}
	return f.clearMerged(ctx)
}

func (f *flow) mergeHanded(ctx context.Context) error {
	reachable := f.store.nodes[f.from.peer()].Standing().Reachable
	f.mu.Lock()
	items := f.handed
	f.handed, f.bytes = f.spare[:0], 0
	f.failing = f.failing && !reachable
	f.mu.Unlock()
	if f.spare = items[:0]; len(items) == 0 {
		return nil
	}
	err := f.mergeItems(ctx, items)
	f.mu.Lock()
	f.failing = err != nil
	f.mu.Unlock()
	defer clear(items)
	if err != nil {
		f.merged = append(f.merged, items...)
		f.leave()
		return err
	}
	if len(f.merged) == 0 {
		f.mergedAt = time.Now()
		time.AfterFunc(clearAfter, func() { rouse(f.written) })
	}
	for _, x := range items {
		x.value = ""
		f.merged = append(f.merged, x)
	}
	return nil
}

func (f *flow) mergeItems(ctx context.Context, items []item) error {
	target, err := f.store.nodes[f.from.peer()].Current(ctx)
	if err != nil {
		return err
	}
	if err := merge(ctx, target, bundles(items)); err != nil {
		return fmt.Errorf("merging into the peer: %w", err)
	}
	return nil
}

// clearMerged clears the marks of what the peer has by now, once they are many or the first was merged a while ago.
func (f *flow) clearMerged(ctx context.Context) error {
	if len(f.merged) == 0 || len(f.merged) < batchKeys && time.Since(f.mergedAt) < clearAfter {
		return nil
	}
	source, err := f.store.nodes[f.from].Current(ctx)
	if err == nil {
		_, err = pipelined(ctx, source, clearing(f.merged))
	}
	if err != nil {
		f.leave()
		return fmt.Errorf("clearing marks: %w", err)
	}
	f.merged = f.merged[:0]
	return nil
}

// leave leaves what was handed over to its marks.
func (f *flow) leave() {
	var buckets uint64
	for _, x := range f.merged {
		buckets |= 1 << x.bucket
	}
	clear(f.merged) // with values
	f.merged = f.merged[:0]
	f.found(buckets)
}

// lease takes or renews the lease when it is time to.
func (f *flow) lease(ctx context.Context, source *node.Incarnation) error {
	now := f.store.config.Now()
	if now.Before(f.renewAt) {
		return nil
	}
	f.held = false
	reply, err := source.Run(ctx, leaseScript, []string{f.store.lease}, f.holder, (f.store.slow * leaseFor).Milliseconds())
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	f.held = reply == int64(1)
	f.renewAt = now.Add(f.store.slow * leaseRenew)
	return nil
}

func (f *flow) release() {
	if !f.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseRenew)
	defer cancel()
	if source, err := f.store.nodes[f.from].Current(ctx); err == nil {
		// Where it fails the lease runs out by itself.
		_, _ = source.Run(ctx, releaseScript, []string{f.store.lease}, f.holder)
	}
}

// noteAsof tells the target up to when it has everything.
func (f *flow) noteAsof(ctx context.Context, target *node.Incarnation) error {
	now := f.store.config.Now()
	own, at, ok := f.store.asof(f.from.peer())
	if now.Before(f.asofNext) || !ok || own.inc != target {
		return nil
	}
	f.asofNext = now.Add(asofEvery)
	_, err := target.Run(ctx, asofScript, []string{f.store.meta}, target.RunID, at)
	return err
}

// carry takes the oldest marks of the buckets, merges them into the target, and clears them, one bucket after the other: while
// the target merges one the source clears the one before and takes the next, so that neither node waits for the other, and
// neither is kept from its other callers by more than one bucket.
func (f *flow) carry(ctx context.Context, source, target *node.Incarnation, buckets uint64) error {
	var taken, merged []bundle
	for buckets != 0 || len(taken) > 0 || len(merged) > 0 {
		next := buckets & -buckets
		buckets &^= next
		merging := make(chan error, 1)
		go func() { merging <- merge(ctx, target, taken) }()
		coming, err := clearAndTake(ctx, source, merged, next)
		if err != nil {
			err = fmt.Errorf("clearing marks and taking what is dirty: %w", err)
		}
		if failed := <-merging; failed != nil {
			err = errors.Join(err, fmt.Errorf("merging into the peer: %w", failed))
		}
		if err != nil {
			return err
		}
		// There may be more in these, or writes that came meanwhile; the first bucket without marks ends it.
		for _, b := range taken {
			f.found(1 << b.bucket)
		}
		taken, merged = coming, taken
	}
	return nil
}
