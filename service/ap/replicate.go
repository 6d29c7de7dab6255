package ap

import (
	"context"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
	"captop/service/node"
)

const (
	// batchKeys and batchBytes bound what is taken from one bucket at a time; of all buckets together, memory holds
	// 64 times as much at worst, and one value each beyond it.
	batchKeys  = 64
	batchBytes = 256 << 10
	// gather is how long a carrier lets writes come together.
	gather = 2 * time.Millisecond
	// leaseFor is how long a direction may stay without a carrier when its holder dies.
	leaseFor   = time.Second
	leaseRenew = leaseFor / 3
	// asofEvery is how often a node is told up to when it has everything.
	asofEvery = 500 * time.Millisecond
	// backoffMax bounds the pause after failures.
	backoffMax = time.Second
)

// flow carries dirty keys from one node to its peer. Every instance has one per direction, and the one with the lease
// works. Two at a time, or one that stops anywhere, do no harm: a merge may be repeated and may come late.
type flow struct {
	store  *Store
	from   side
	holder string
	dirty  atomic.Uint64 // bit b: bucket b may have marks
	marked atomic.Int64  // when a mark was last made or found, Unix microseconds
	wake   chan struct{}

	// Used by run alone.
	held     bool
	renewAt  time.Time
	asofNext time.Time
}

func newFlow(s *Store, from side, holder string) *flow {
	return &flow{store: s, from: from, holder: holder, wake: make(chan struct{}, 1)}
}

// mark tells of a write of this instance.
func (f *flow) mark(bucket int) { f.found(1 << bucket) }

// found tells which buckets have marks.
func (f *flow) found(buckets uint64) {
	if buckets == 0 {
		return
	}
	f.dirty.Or(buckets)
	f.marked.Store(f.store.config.Now().UnixMicro())
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
	ticker := time.NewTicker(leaseRenew)
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

// turn renews the lease, and carries what is dirty if it is held.
func (f *flow) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.store.config.Timeout)
	defer cancel()
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

// lease takes or renews the lease when it is time to.
func (f *flow) lease(ctx context.Context, source *node.Incarnation) error {
	now := f.store.config.Now()
	if now.Before(f.renewAt) {
		return nil
	}
	f.held = false
	reply, err := source.Run(ctx, leaseScript, []string{layout.APLease}, f.holder, leaseFor.Milliseconds())
	if err != nil {
		return fmt.Errorf("renewing the lease: %w", err)
	}
	f.held = reply == int64(1)
	f.renewAt = now.Add(leaseRenew)
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
		_, _ = source.Run(ctx, releaseScript, []string{layout.APLease}, f.holder)
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
	_, err := target.Run(ctx, asofScript, []string{layout.APMeta}, target.RunID, at)
	return err
}

// taken is what was dirty in one bucket.
type taken struct {
	bucket int
	clock  string // the source's, when they were taken
	items  []item
}

type item struct{ key, at, origin, value string }

// carry takes the oldest marks of the buckets, merges them into the target, and clears them.
func (f *flow) carry(ctx context.Context, source, target *node.Incarnation, buckets uint64) error {
	batch, err := take(ctx, source, buckets)
	if err != nil {
		return fmt.Errorf("taking what is dirty: %w", err)
	}
	if len(batch) == 0 {
		return nil
	}
	if err := merge(ctx, target, batch); err != nil {
		return fmt.Errorf("merging into the peer: %w", err)
	}
	if err := clearMarks(ctx, source, batch); err != nil {
		return fmt.Errorf("clearing marks: %w", err)
	}
	// There may be more in these, or writes that came meanwhile; the first bucket without marks ends it.
	var more uint64
	for _, t := range batch {
		more |= 1 << t.bucket
	}
	f.found(more)
	return nil
}

func take(ctx context.Context, source *node.Incarnation, buckets uint64) ([]taken, error) {
	replies, err := eval(ctx, source, func(do func(text string, keys []string, args ...any)) {
		for left := buckets; left != 0; left &= left - 1 {
			b := bits.TrailingZeros64(left)
			do(takeText, []string{layout.APDirty(b)}, batchKeys, batchBytes, layout.APRegisters(b))
		}
	})
	if err != nil {
		return nil, err
	}
	var batch []taken
	for left, i := buckets, 0; left != 0; left, i = left&(left-1), i+1 {
		t, err := readTaken(bits.TrailingZeros64(left), replies[i])
		if err != nil {
			return nil, err
		}
		if len(t.items) > 0 {
			batch = append(batch, t)
		}
	}
	return batch, nil
}

func readTaken(bucket int, reply any) (taken, error) {
	parts, ok := reply.([]any)
	if !ok || len(parts) == 0 {
		return taken{}, fmt.Errorf("unexpected answer %T", reply)
	}
	t := taken{bucket: bucket, items: make([]item, 0, len(parts)-1)}
	t.clock, _ = parts[0].(string)
	for _, part := range parts[1:] {
		fields, _ := part.([]any)
		if len(fields) != 4 {
			return taken{}, fmt.Errorf("unexpected item %v", part)
		}
		x := texts(fields)
		t.items = append(t.items, item{x[0], x[1], x[2], x[3]})
	}
	return t, nil
}

// merge applies a batch at the target, last writer wins.
func merge(ctx context.Context, target *node.Incarnation, batch []taken) error {
	_, err := eval(ctx, target, func(do func(text string, keys []string, args ...any)) {
		for _, t := range batch {
			var keys []string
			var args []any
			for _, x := range t.items {
				keys = append(keys, layout.APRegisters(t.bucket)+x.key)
				args = append(args, x.at, x.origin, x.value)
			}
			do(mergeText, keys, args...)
		}
	})
	return err
}

func clearMarks(ctx context.Context, source *node.Incarnation, batch []taken) error {
	_, err := eval(ctx, source, func(do func(text string, keys []string, args ...any)) {
		for _, t := range batch {
			keys := []string{layout.APDirty(t.bucket)}
			args := []any{t.clock}
			for _, x := range t.items {
				keys = append(keys, layout.APRegisters(t.bucket)+x.key)
				args = append(args, x.key, x.at, x.origin)
			}
			do(clearText, keys, args...)
		}
	})
	return err
}

// eval runs several scripts in one round trip. It sends their texts: a pipeline can't come back for a script that the
// node does not know.
func eval(ctx context.Context, inc *node.Incarnation, fill func(do func(text string, keys []string, args ...any))) ([]any, error) {
	var commands []*redis.Cmd
	err := inc.Do(ctx, func(client *redis.Client) error {
		pipe := client.Pipeline()
		fill(func(text string, keys []string, args ...any) {
			commands = append(commands, pipe.Eval(ctx, text, keys, args...))
		})
		_, err := pipe.Exec(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	replies := make([]any, len(commands))
	for i, command := range commands {
		replies[i] = command.Val()
	}
	return replies, nil
}
