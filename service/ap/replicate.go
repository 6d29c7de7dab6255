package ap

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

const (
	// batchKeys bounds what one script does, batchBytes what is taken from one bucket at a time, and takeBuckets how many
	// buckets are taken from in one round trip; memory holds the product of these at worst, and one value each beyond it.
	// Twice as many keys make a catch-up a fifth faster, and a request meanwhile waits for half as long again.
	batchKeys   = 32
	batchBytes  = 256 << 10
	takeBuckets = 2
	// handKeys and handBytes bound what waits to be handed over.
	handKeys  = 4096
	handBytes = 4 << 20
	// gather is how long a carrier lets writes come together.
	gather = 3 * time.Millisecond
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
	store  *Store
	from   side
	holder string
	dirty  atomic.Uint64 // bit b: bucket b may have marks that are old
	marked atomic.Int64  // when a mark was last made or found, Unix microseconds
	wake   chan struct{}

	mu      sync.Mutex
	handed  []item // written by this instance, not carried yet
	bytes   int    // of these
	failing bool   // nothing can be handed over now

	// Used by run alone.
	held     bool
	renewAt  time.Time
	asofNext time.Time
	spare    []item
}

func newFlow(s *Store, from side, holder string) *flow {
	return &flow{store: s, from: from, holder: holder, wake: make(chan struct{}, 1)}
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
	if taken {
		f.rouse()
	} else {
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
	f.rouse()
}

func (f *flow) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// lastDirty is when a mark was last made or found.
func (f *flow) lastDirty() time.Time { return time.UnixMicro(f.marked.Load()) }

// run works until ctx ends, and then hands the lease back.
func (f *flow) run(ctx context.Context) {
	pause := time.Duration(0)
	ticker := time.NewTicker(f.store.slow * leaseRenew)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-f.wake:
		case <-ticker.C:
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(pause, gather)):
		}
		if err := f.turn(ctx); err != nil {
			pause = min(max(2*pause, pollEvery), backoffMax)
		} else {
			pause = 0
		}
	}
	f.release()
}

// turn carries what was handed over, renews the lease, and takes what is dirty if it is held.
func (f *flow) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.store.config.Timeout)
	defer cancel()
	if err := f.carryHanded(ctx); err != nil {
		return err
	}
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

// carryHanded carries what this instance wrote. What fails is left to its marks.
func (f *flow) carryHanded(ctx context.Context) error {
	reachable := f.store.nodes[f.from.peer()].State().Reachable
	f.mu.Lock()
	items := f.handed
	f.handed, f.bytes = f.spare[:0], 0
	f.failing = f.failing && !reachable
	f.mu.Unlock()
	if f.spare = items[:0]; len(items) == 0 {
		return nil
	}
	err := f.carryItems(ctx, items)
	f.mu.Lock()
	f.failing = err != nil
	f.mu.Unlock()
	if err != nil {
		var buckets uint64
		for _, x := range items {
			buckets |= 1 << x.bucket
		}
		f.found(buckets)
	}
	clear(items)
	return err
}

func (f *flow) carryItems(ctx context.Context, items []item) error {
	target, err := f.store.nodes[f.from.peer()].Current(ctx)
	if err != nil {
		return err
	}
	source, err := f.store.nodes[f.from].Current(ctx)
	if err != nil {
		return err
	}
	if err := merge(ctx, target, items); err != nil {
		return fmt.Errorf("merging into the peer: %w", err)
	}
	if _, err := pipelined(ctx, source, clearing(items)); err != nil {
		return fmt.Errorf("clearing marks: %w", err)
	}
	return nil
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

// item is a register to write or to carry.
type item struct {
	key, at, origin, value string
	bucket                 int   // of the key
	taken                  int64 // the source's clock when it was as it is here, microseconds
}

func newItem(key, at, origin, value string) item {
	return item{key: key, at: at, origin: origin, value: value, bucket: layout.Bucket(key)}
}

// register is the name of its hash.
func (x item) register() string { return layout.APRegisters(x.bucket) + x.key }

// carry takes the oldest marks of the buckets, merges them into the target, and clears them: half of the buckets beside
// the other half, so that no node waits for the other.
func (f *flow) carry(ctx context.Context, source, target *node.Incarnation, buckets uint64) error {
	const even = 0x5555555555555555
	other := make(chan error, 1)
	go func() { other <- f.carrySome(ctx, source, target, buckets&even) }()
	err := f.carrySome(ctx, source, target, buckets&^even)
	return errors.Join(err, <-other)
}

// carrySome carries a few buckets at a time: no node is kept from its other callers for long. What is done with goes to
// the source together with the question for what comes next.
func (f *flow) carrySome(ctx context.Context, source, target *node.Incarnation, buckets uint64) error {
	var items []item
	for buckets != 0 || len(items) > 0 {
		var some uint64
		for ; buckets != 0 && bits.OnesCount64(some) < takeBuckets; buckets &= buckets - 1 {
			some |= buckets & -buckets
		}
		var err error
		if items, err = clearAndTake(ctx, source, items, some); err != nil {
			return fmt.Errorf("clearing marks and taking what is dirty: %w", err)
		}
		if err := merge(ctx, target, items); err != nil {
			return fmt.Errorf("merging into the peer: %w", err)
		}
		// There may be more in these, or writes that came meanwhile; the first bucket without marks ends it.
		var more uint64
		for _, x := range items {
			more |= 1 << x.bucket
		}
		f.found(more)
	}
	return nil
}

// clearAndTake clears the marks of items that are done, and takes the oldest that are dirty in the buckets.
func clearAndTake(ctx context.Context, source *node.Incarnation, done []item, buckets uint64) ([]item, error) {
	calls := clearing(done)
	cleared := len(calls)
	var asked []int
	for left := buckets; left != 0; left &= left - 1 {
		b := bits.TrailingZeros64(left)
		asked = append(asked, b)
		calls = append(calls, scriptCall{takeScript, []string{layout.APDirty(b)}, []any{batchKeys, batchBytes, layout.APRegisters(b)}})
	}
	replies, err := pipelined(ctx, source, calls)
	if err != nil {
		return nil, err
	}
	var items []item
	for i, reply := range replies[cleared:] {
		if items, err = readTaken(items, asked[i], reply); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func readTaken(items []item, bucket int, reply any) ([]item, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts)%4 != 1 {
		return nil, fmt.Errorf("unexpected answer %T of %d parts", reply, len(parts))
	}
	x := texts(parts)
	clock := number(x[0])
	for x = x[1:]; len(x) > 0; x = x[4:] {
		items = append(items, item{x[0], x[1], x[2], x[3], bucket, clock})
	}
	return items, nil
}

// merge applies items at the target, last writer wins.
func merge(ctx context.Context, target *node.Incarnation, items []item) error {
	var calls []scriptCall
	for some := range slices.Chunk(items, batchKeys) {
		keys, args := make([]string, 0, len(some)), make([]any, 0, 3*len(some))
		for i := range some {
			x := &some[i] // as an argument a string itself would be copied to the heap
			keys, args = append(keys, x.register()), append(args, &x.at, &x.origin, &x.value)
		}
		calls = append(calls, scriptCall{mergeScript, keys, args})
	}
	_, err := pipelined(ctx, target, calls)
	return err
}

// clearing puts items in the order of their buckets, and gives the calls that clear their marks.
func clearing(items []item) []scriptCall {
	slices.SortFunc(items, func(a, b item) int { return a.bucket - b.bucket })
	var calls []scriptCall
	for some := range slices.Chunk(items, batchKeys) {
		call := scriptCall{script: clearScript, args: make([]any, 0, 6*len(some))}
		for len(some) > 0 {
			bucket, n := some[0].bucket, 1
			for n < len(some) && some[n].bucket == bucket {
				n++
			}
			call.keys, call.args = append(call.keys, layout.APDirty(bucket)), appendMarks(call.args, bucket, some[:n])
			some = some[n:]
		}
		calls = append(calls, call)
	}
	return calls
}

// appendMarks adds what the script is told of the items of one bucket. Of the times at which they were taken the first
// stands for all: that makes a mark older at most, and so a bound larger.
func appendMarks(args []any, bucket int, items []item) []any {
	taken := items[0].taken
	for _, x := range items {
		taken = min(taken, x.taken)
	}
	args = append(args, layout.APRegisters(bucket), taken, len(items))
	for i := range items {
		x := &items[i]
		args = append(args, &x.key, &x.at, &x.origin)
	}
	return args
}

// scriptCall is one call of a script.
type scriptCall struct {
	script *redis.Script
	keys   []string
	args   []any
}

// pipelined runs several scripts in one round trip, and once more where the node did not know one: all of them may be
// repeated.
func pipelined(ctx context.Context, inc *node.Incarnation, calls []scriptCall) ([]any, error) {
	if len(calls) == 0 {
		return nil, nil
	}
	replies := make([]any, len(calls))
	run := func(send func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd) error {
		return inc.Do(ctx, func(client *redis.Client) error {
			commands := make([]*redis.Cmd, len(calls))
			pipe := client.Pipeline()
			for i, call := range calls {
				commands[i] = send(pipe, call)
			}
			_, err := pipe.Exec(ctx)
			for i, command := range commands {
				replies[i] = command.Val()
			}
			return err
		})
	}
	err := run(func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd {
		return call.script.EvalSha(ctx, pipe, call.keys, call.args...)
	})
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		err = run(func(pipe redis.Pipeliner, call scriptCall) *redis.Cmd {
			return call.script.Eval(ctx, pipe, call.keys, call.args...)
		})
	}
	return replies, err
}
