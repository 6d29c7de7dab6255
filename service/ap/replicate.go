package ap

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

const (
	// batchKeys and batchBytes bound what one script does, and what is taken from one bucket at a time; a value may go beyond.
	// A node serves nobody else meanwhile, so that who writes during a catch-up waits longer with more keys; with fewer most of
	// its time goes into round trips: where these are slow, 64, 48 and 32 carry nine, eight and six tenths of what 96 do, and
	// the p99 of writes is the same; where they are fast, it is a third lower with 40 (BenchmarkCatchUp).
	batchKeys  = 96
	batchBytes = 256 << 10
	// handKeys and handBytes bound what waits to be handed over.
	handKeys  = 4096
	handBytes = 4 << 20
	// gather is how long a carrier lets writes come together.
	gather = 3 * time.Millisecond
	// unfoldBatches is how many late batches are unfolded in one round trip.
	unfoldBatches = 32
	// leaseFor is how long a direction may stay without a carrier when its holder dies.
	leaseFor   = time.Second
	leaseRenew = leaseFor / 3
	// asofEvery is how often a node is told up to when it has everything.
	asofEvery = 500 * time.Millisecond
	// backoffMax bounds the pause after failures.
	backoffMax = time.Second
)

// flow carries from one node to its peer what that lacks, in two ways. What this instance writes it hands over itself, from
// memory, a batch at a time, with one mark for all of it: a mark for each key costs a node as much as the write. To lose what is
// handed over is harmless, for the mark stays. A batch that stays longer than that takes (the peer was away, or the instance
// that wrote it is) is unfolded: each of its keys is marked, and so is what is written as long as nothing can be handed over.
// So what a node knows of its peer's lack is bounded by the number of keys, not of writes. What is marked so is taken from the
// node, and is a batch again until the peer has it: every instance could take it, and the one with the lease does. Two at a time,
// or one that stops anywhere, do no harm: a merge may be repeated and may come late, and a mark too many, or too old, costs a
// merge.
type flow struct {
	store   *Store
	from    side
	holder  string
	dirty   atomic.Uint64 // bit b: bucket b may have marks that are old
	late    atomic.Int64  // by the node's clock, microseconds: batches from before it are to be unfolded; 0: none
	marked  atomic.Int64  // when a mark was last made or found, Unix microseconds
	wake    chan struct{} // there may be something to take
	written chan struct{} // there is something to hand over

	mu      sync.Mutex
	handed  []item // written by this instance, not carried yet
	marks   []any  // of their batches
	bytes   int    // of these
	failing bool   // nothing can be handed over now

	// Used by turn alone.
	held     bool
	drawn    uint64 // names of batches
	renewAt  time.Time
	asofNext time.Time

	// Used by carryHanded alone.
	spare      []item
	spareMarks []any
}

func newFlow(s *Store, from side, holder string) *flow {
	return &flow{store: s, from: from, holder: holder, wake: make(chan struct{}, 1), written: make(chan struct{}, 1)}
}

// send makes a round trip of writes at the node, and hands over what was written.
func (f *flow) send(ctx context.Context, client *redis.Client, asked []item, answers []node.Answer[any]) {
	if !f.hands() {
		f.sendMarked(ctx, client, asked, answers)
		return
	}
	keys := make([]string, len(asked))
	for i, x := range asked {
		keys[i] = x.key
	}
	mark := layout.Batch(string(layout.APVersion(asked[0].at, asked[0].origin)), keys)
	sendWrites(ctx, client, f.store.clock, batch{f.store.batches, mark}, asked, answers)
	f.handOver(mark, asked, answers)
}

// sendMarked makes a round trip of writes with a mark for each key, for the node to be asked for them.
func (f *flow) sendMarked(ctx context.Context, client *redis.Client, asked []item, answers []node.Answer[any]) {
	sendWrites(ctx, client, f.store.clock, batch{}, asked, answers)
	var buckets uint64
	for i, x := range asked {
		if taken(answers[i]) {
			buckets |= 1 << x.bucket
		}
	}
	f.found(buckets)
	rouse(f.written) // that is how it notices that the peer is back
}

// hands reports whether what is written now is to be handed over.
func (f *flow) hands() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.failing && len(f.handed) < handKeys && f.bytes < handBytes
}

// handOver takes what this instance has just written under one mark.
func (f *flow) handOver(mark string, asked []item, answers []node.Answer[any]) {
	f.marked.Store(f.store.config.Now().UnixMicro())
	f.mu.Lock()
	before := len(f.handed)
	for i, x := range asked {
		if taken(answers[i]) {
			f.handed = append(f.handed, x)
			f.bytes += len(x.value)
		}
	}
	some := len(f.handed) > before
	if some {
		f.marks = append(f.marks, mark)
	}
	f.mu.Unlock()
	if some {
		rouse(f.written)
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

// foundBatches tells that there are batches which nobody hands over, and the node's clock.
func (f *flow) foundBatches(clock int64) {
	f.late.Store(clock - handWait.Microseconds())
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
	f.leave()
}

// repeat works a moment after there is something to do, until ctx ends; behind a failure it waits longer and longer.
func (f *flow) repeat(ctx context.Context, wake <-chan struct{}, tick <-chan time.Time, moment time.Duration, work func(context.Context) error) {
	said := false // since it last went well
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
			said = said || f.complain(err)
		} else {
			pause, said = moment, false
		}
		cancel()
	}
}

// complain logs why nothing is carried, where a node has said why; that one cannot be reached is in its own books.
func (f *flow) complain(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	f.store.config.Logger.Error("CARRY_FAILED", "from", f.store.nodes[f.from].Name(), "to", f.store.nodes[f.from.peer()].Name(), "error", err.Error())
	return true
}

// turn renews the lease, and if it is held unfolds late batches and takes what is dirty. Only its holder does, which has nothing on
// the way then: what it takes is a late batch, too.
func (f *flow) turn(ctx context.Context) error {
	source, err := f.store.nodes[f.from].Current(ctx)
	if err != nil {
		return err
	}
	if err := f.lease(ctx, source); err != nil || !f.held {
		return err
	}
	if err := f.unfold(ctx, source); err != nil {
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

// carryHanded carries what this instance wrote, and takes its marks away. What fails is left to them.
func (f *flow) carryHanded(ctx context.Context) error {
	reachable := f.store.nodes[f.from.peer()].Standing().Reachable
	f.mu.Lock()
	items, marks := f.handed, f.marks
	f.handed, f.marks, f.bytes = f.spare[:0], f.spareMarks[:0], 0
	f.failing = f.failing && !reachable
	f.mu.Unlock()
	f.spare, f.spareMarks = items[:0], marks[:0]
	if len(items) == 0 {
		return nil
	}
	defer func() { clear(items); clear(marks) }()
	err := f.mergeItems(ctx, items)
	f.mu.Lock()
	f.failing = err != nil
	f.mu.Unlock()
	if err != nil {
		return err
	}
	source, err := f.store.nodes[f.from].Current(ctx)
	if err != nil {
		return err
	}
	return f.clear(ctx, source, marks...)
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

// unfold marks each key of the late batches in the place of these.
func (f *flow) unfold(ctx context.Context, source *node.Incarnation) error {
	before := f.late.Swap(0)
	for n := unfoldBatches; before > 0 && n == unfoldBatches; {
		var late []redis.Z
		err := source.Do(ctx, func(client *redis.Client) (err error) {
			oldest := &redis.ZRangeBy{Min: "-inf", Max: decimal(before), Count: unfoldBatches}
			late, err = client.ZRangeByScoreWithScores(ctx, f.store.batches, oldest).Result()
			return err
		})
		if err == nil {
			err = f.unfoldAll(ctx, source, late)
		}
		if err != nil {
			return fmt.Errorf("unfolding batches: %w", err) // the next poll finds them again
		}
		n = len(late)
	}
	return nil
}

func (f *flow) unfoldAll(ctx context.Context, source *node.Incarnation, batches []redis.Z) error {
	var calls []scriptCall
	var buckets uint64
	for _, z := range batches {
		mark, _ := z.Member.(string)
		call := scriptCall{unfoldScript, []string{f.store.batches}, []any{mark, int64(z.Score)}}
		for _, key := range layout.BatchKeys(mark) {
			bucket := layout.Bucket(key)
			call.keys, call.args = append(call.keys, layout.APDirty(bucket)), append(call.args, key)
			buckets |= 1 << bucket
		}
		calls = append(calls, call)
	}
	_, err := pipelined(ctx, source, calls)
	f.found(buckets)
	return err
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

// leave unfolds what was not handed over, and gives the lease back. Where that fails, others find the batches, and the lease runs
// out by itself.
func (f *flow) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaseRenew)
	defer cancel()
	source, err := f.store.nodes[f.from].Current(ctx)
	if err != nil {
		return
	}
	f.late.Store(math.MaxInt64)
	_ = f.unfold(ctx, source)
	if f.held {
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

// carry takes what is dirty in the buckets, merges it into the target, and clears it away, one bucket after the other: while the
// target merges one the source clears the one before and takes the next, so that neither node waits for the other, and neither is
// kept from its other callers by more than one bucket.
func (f *flow) carry(ctx context.Context, source, target *node.Incarnation, buckets uint64) error {
	var taken, merged bundle
	for buckets != 0 || taken.mark != "" || merged.mark != "" {
		next := buckets & -buckets
		buckets &^= next
		merging := make(chan error, 1)
		go func() { merging <- mergeTaken(ctx, target, taken) }()
		coming, err := f.clearAndTake(ctx, source, merged, next)
		if err = errors.Join(err, <-merging); err != nil {
			return err
		}
		// There may be more in this one, or writes that came meanwhile; the first time that nothing is there ends it.
		if taken.mark != "" {
			f.found(1 << taken.bucket)
		}
		taken, merged = coming, taken
	}
	return nil
}

func mergeTaken(ctx context.Context, target *node.Incarnation, taken bundle) error {
	if taken.mark == "" {
		return nil
	}
	if err := merge(ctx, target, []bundle{taken}); err != nil {
		return fmt.Errorf("merging into the peer: %w", err)
	}
	return nil
}

// clearAndTake clears away what is done, and takes from the bucket whose bit is set, if one is.
func (f *flow) clearAndTake(ctx context.Context, source *node.Incarnation, done bundle, next uint64) (bundle, error) {
	switch {
	case next != 0:
		return f.take(ctx, source, bits.TrailingZeros64(next), done.mark)
	case done.mark != "":
		return bundle{}, f.clear(ctx, source, done.mark)
	}
	return bundle{}, nil
}
