package cp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

// sweepPage is how many keys a sweep settles in one round trip.
const sweepPage = 256

// sweepLease keeps the sweep of a node to one instance at a time; to lose it costs work, nothing else.
const (
	sweepLease    = "cp:sweep"
	sweepLeaseFor = 3 * time.Second
)

// lone reports whether the store has one bucket only, and gives it: then all that the store keeps lies in its slot.
func (s *Store) lone() (bucket int, ok bool) { return s.config.Buckets[0], len(s.config.Buckets) == 1 }

func (s *Store) sweepLease() string {
	if b, ok := s.lone(); ok {
		return layout.CPBucket(b) + "sweep"
	}
	return sweepLease
}

// bucketKeys has a key in each bucket, to name a bucket to the scripts by.
var bucketKeys = func() (keys []string) {
	keys = make([]string, layout.Buckets)
	for i, left := 0, layout.Buckets; left > 0; i++ {
		key := strconv.Itoa(i)
		if b := layout.Bucket(key); keys[b] == "" {
			keys[b] = key
			left--
		}
	}
	return keys
}()

// sweep settles every key of a node that has restarted, and then declares the node settled. Requests go on meanwhile:
// they settle the keys that they meet.
func (s *Store) sweep(ctx context.Context, which side) {
	err := s.trySweep(ctx, which)
	waiting := ""
	var emptied emptiedError
	switch {
	case errors.As(err, &emptied) && emptied.node == s.nodes[which].Name():
		waiting = service.Emptied
	case errors.As(err, &emptied): // its peer was: that is restarted first
		waiting = emptied.Error()
	case errors.Is(err, errLeased), errors.Is(err, errSwept):
	case err != nil:
		waiting = err.Error()
	default:
		s.config.Logger.Info("REJOIN_END", "node", s.nodes[which].Name())
	}
	s.watch.mu.Lock()
	join := s.watch.join[which]
	news := join.Active && waiting != "" && waiting != join.Waiting
	if join.Active { // else a look has found meanwhile that another instance was through
		join.Waiting = waiting
		s.watch.setJoin(which, join)
	}
	s.watch.mu.Unlock()
	if news {
		s.config.Logger.Warn("REJOIN_FAILED", "node", s.nodes[which].Name(), "error", err)
	}
}

var (
	// errLeased: another instance sweeps the node.
	errLeased = errors.New("another instance sweeps this node")
	// errSwept: another instance has swept it since this one looked.
	errSwept = errors.New("another instance has swept this node")
	// errInterrupted: what was swept of the node so far says nothing of what it holds now.
	errInterrupted = errors.New("the node was emptied, or another instance went on with its sweep")
)

// sweeping is one sweep of one node.
type sweeping struct {
	store *Store
	pair  *pair
	which side
	token string // in the lease: who has it, and that the node was not emptied since
	marks []any  // of the node's run in each bucket, as its peer knows them
}

func (s *Store) trySweep(ctx context.Context, which side) error {
	w := &sweeping{store: s, pair: s.newPair(), which: which, token: rand.Text()}
	if err := s.bounded(ctx, func(ctx context.Context) error { return w.pair.both(ctx) }); err != nil {
		return fmt.Errorf("reaching both nodes: %w", err)
	}
	for _, named := range []side{head, tail} {
		if err := s.bounded(ctx, func(ctx context.Context) error { return w.name(ctx, named) }); err != nil {
			return fmt.Errorf("naming the run of %s: %w", s.nodes[named].Name(), err)
		}
	}
	if err := s.bounded(ctx, w.readMarks); err != nil {
		return err
	}
	if err := s.bounded(ctx, w.lease); err != nil {
		return err
	}
	s.config.Logger.Info("REJOIN_BEGIN", "node", s.nodes[which].Name(), "run_id", w.inc().RunID)
	err := w.settleAll(ctx)
	if err == nil {
		err = s.bounded(ctx, w.declareSettled)
	}
	if err != nil {
		w.release(ctx)
	}
	return err
}

// release lets go of the lease, so that the next try, of whichever instance, does not wait for its end. A lease that stays
// costs that time and nothing else.
func (w *sweeping) release(ctx context.Context) {
	_ = w.store.bounded(context.WithoutCancel(ctx), func(ctx context.Context) error { return w.run(ctx, "report", nil, "0 0", 1) })
}

// inc is the run of the node that is swept.
func (w *sweeping) inc() *node.Incarnation { return w.pair.incs[w.which] }

// bounded gives one piece of a sweep the time of one request.
func (s *Store) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return f(ctx)
}

// name names the run of one node to the other in every bucket.
func (w *sweeping) name(ctx context.Context, named side) error {
	buckets := w.store.config.Buckets
	names, keys := make([]task, len(buckets)), make([]string, len(buckets))
	for i, b := range buckets {
		names[i], keys[i] = newName(w.pair.runs(), named, rand.Text()), bucketKeys[b]
	}
	return w.store.runAll(ctx, w.pair, keys, names)
}

// readMarks reads the marks of the node's run that its peer knows. Where the node has another it was emptied.
func (w *sweeping) readMarks(ctx context.Context) error {
	known, err := w.readMetas(ctx, w.which.peer(), layout.CPNamed)
	if err != nil {
		return err
	}
	own, err := w.readMetas(ctx, w.which, layout.CPMark)
	if err != nil {
		return err
	}
	w.marks = known
	for i := range known {
		if run, _, _ := strings.Cut(known[i].(string), " "); run == w.inc().RunID && own[i] != known[i] {
			return emptiedError{w.store.nodes[w.which].Name()}
		}
	}
	return nil
}

// readMetas reads a field of every bucket's meta; one that is not there is an empty text.
func (w *sweeping) readMetas(ctx context.Context, at side, field string) ([]any, error) {
	buckets := w.store.config.Buckets
	values := make([]any, len(buckets))
	err := w.pair.incs[at].Do(ctx, func(client *redis.Client) error {
		commands, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, b := range buckets {
				pipe.HGet(ctx, layout.CPMeta(b), field)
			}
			return nil
		})
		for i, command := range commands {
			values[i] = command.(*redis.StringCmd).Val()
		}
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading marks of runs at %s: %w", w.store.nodes[at].Name(), err)
	}
	return values, nil
}

// lease takes the sweep of a node, or reads the progress of who has it. Who takes it looks whether that is still of use:
// an instance finds out late that another one is through.
func (w *sweeping) lease(ctx context.Context) error {
	s, leased := w.store, false
	err := w.inc().Do(ctx, func(client *redis.Client) error {
		// SET with NX cannot be mistaken for a data write: a second one would only find the first.
		err := client.SetArgs(ctx, s.sweepLease(), w.token+" 0 0", redis.SetArgs{Mode: "NX", TTL: sweepLeaseFor}).Err()
		if !errors.Is(err, redis.Nil) {
			return err
		}
		leased = true
		progress, err := client.Get(ctx, s.sweepLease()).Result()
		switch {
		case errors.Is(err, redis.Nil): // it has just run out
			return nil
		case err == nil:
			w.follow(progress)
		}
		return err
	})
	// Not from within Do, which would take it for a failure of the node.
	if err == nil && leased {
		return errLeased
	}
	if err != nil {
		return err
	}
	settled, _, err := s.readBuckets(ctx, w.inc(), w.which, true)
	if err != nil || !settled {
		return err
	}
	if err := w.declareSettled(ctx); err != nil {
		return err
	}
	return errSwept
}

// follow notes how far the instance is that holds the lease.
func (w *sweeping) follow(held string) {
	var token string
	var done, total int64
	if _, err := fmt.Sscan(held, &token, &done, &total); err == nil { // else it is an older build's
		w.note(done, total)
	}
}

func (w *sweeping) note(done, total int64) {
	watch := &w.store.watch
	watch.mu.Lock()
	defer watch.mu.Unlock()
	watch.join[w.which].Done, watch.join[w.which].Total = done, total
}

// settleAll settles the keys that either node holds.
func (w *sweeping) settleAll(ctx context.Context) error {
	s := w.store
	var done, total int64
	_, part := s.lone() // how many keys one bucket has is not known
	for _, at := range []side{head, tail} {
		var size int64
		err := s.bounded(ctx, func(ctx context.Context) error {
			return w.pair.incs[at].Do(ctx, func(client *redis.Client) (err error) {
				size, err = client.DBSize(ctx).Result()
				return err
			})
		})
		if err != nil {
			return fmt.Errorf("counting the keys of %s: %w", s.nodes[at].Name(), err)
		}
		total += size
	}
	if part {
		total = 0
	}
	for _, at := range []side{head, tail} {
		cursor := uint64(0)
		for {
			err := s.bounded(ctx, func(ctx context.Context) (err error) {
				var seen int
				cursor, seen, err = w.settlePage(ctx, at, cursor)
				done += int64(seen)
				if err != nil {
					return err
				}
				if !part {
					done = min(done, total)
				}
				return w.report(ctx, done, total)
			})
			if err != nil {
				return err
			}
			if cursor == 0 {
				break
			}
		}
	}
	return nil
}

// settlePage settles one page of the keys that the node at holds.
func (w *sweeping) settlePage(ctx context.Context, at side, cursor uint64) (next uint64, seen int, err error) {
	s, p := w.store, w.pair
	var page []string
	err = p.incs[at].Do(ctx, func(client *redis.Client) (err error) {
		page, next, err = client.Scan(ctx, cursor, s.pattern(), s.pageSize()).Result()
		return err
	})
	if err != nil {
		return cursor, 0, fmt.Errorf("scanning %s: %w", s.nodes[at].Name(), err)
	}
	keys, err := w.unsettled(ctx, page)
	if err != nil {
		return cursor, 0, fmt.Errorf("reading which keys of %s are settled: %w", s.nodes[w.which].Name(), err)
	}
	tasks := make([]task, len(keys))
	for i := range tasks {
		if w.which == head {
			tasks[i] = newSettleHead(p.runs())
		} else {
			tasks[i] = newSettleTail(p.runs())
		}
	}
	if err := s.runAll(ctx, p, keys, tasks); err != nil {
		return cursor, 0, fmt.Errorf("settling keys of %s: %w", s.nodes[w.which].Name(), err)
	}
	for i, t := range tasks {
		s.leave(keys[i], p, t)
	}
	return next, len(page), nil
}

// unsettled gives the keys among these names that the node has not settled under its present run: most are found twice,
// for both nodes hold them, and what requests have met is settled already. What is no key of ours in the place of one is not.
func (w *sweeping) unsettled(ctx context.Context, page []string) (keys []string, err error) {
	for _, name := range page {
		if key, ok := layout.CPUserKey(name); ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	stamps := make([]*redis.StringCmd, len(keys))
	err = w.inc().Do(ctx, func(client *redis.Client) error {
		_, _ = client.Pipelined(ctx, func(pipe redis.Pipeliner) error { // every command has its error
			for i, key := range keys {
				stamps[i] = pipe.HGet(ctx, layout.CPKey(key), layout.CPSettled)
			}
			return nil
		})
		for _, stamp := range stamps {
			if err := stamp.Err(); err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	left := keys[:0]
	for i, key := range keys {
		if stamps[i].Val() != w.inc().RunID {
			left = append(left, key)
		}
	}
	return left, nil
}

// pageSize is how many names one SCAN looks at. Of those of a cluster's member few are in the bucket that is swept.
func (s *Store) pageSize() int64 {
	if _, ok := s.lone(); ok {
		return 8 * sweepPage
	}
	return sweepPage
}

// pattern matches the names that a sweep looks for.
func (s *Store) pattern() string {
	if b, ok := s.lone(); ok {
		return layout.CPBucket(b) + "k:*"
	}
	return ""
}

// runAll takes tasks of one kind, one for each key, to their end, a round trip for each step of all.
func (s *Store) runAll(ctx context.Context, p *pair, keys []string, tasks []task) error {
	for {
		var at side
		var waiting []int
		for i, t := range tasks {
			if t.result != pending {
				continue
			}
			if len(waiting) == 0 {
				at = t.request().at
			}
			if t.request().at == at {
				waiting = append(waiting, i)
			}
		}
		if len(waiting) == 0 {
			return nil
		}
		if err := s.stepAll(ctx, p, at, keys, tasks, waiting); err != nil {
			return err
		}
	}
}

func (s *Store) stepAll(ctx context.Context, p *pair, at side, keys []string, tasks []task, waiting []int) error {
	askKeys, requests := make([]string, len(waiting)), make([]request, len(waiting))
	for i, index := range waiting {
		askKeys[i], requests[i] = keys[index], tasks[index].request()
	}
	replies, err := sendAll(ctx, p.incs[at], askKeys, requests)
	if err != nil {
		return fmt.Errorf("asking %s: %w", s.nodes[at].Name(), err)
	}
	for i, index := range waiting {
		t := tasks[index].answered(replies[i])
		if t.need != nothing {
			if err := s.settle(ctx, p, keys[index], t); err != nil {
				return err
			}
		}
		tasks[index] = t
	}
	return nil
}

// report renews the lease and shows the progress to the other instances.
func (w *sweeping) report(ctx context.Context, done, total int64) error {
	w.note(done, total)
	return w.run(ctx, "report", nil, fmt.Sprint(done, total), sweepLeaseFor.Milliseconds())
}

// declareSettled makes every key of the node believed under its present run: those that exist are settled, and one
// that does not was never written.
func (w *sweeping) declareSettled(ctx context.Context) error {
	s, metas := w.store, make([]string, len(w.store.config.Buckets))
	for i, b := range s.config.Buckets {
		metas[i] = layout.CPMeta(b)
	}
	if err := w.run(ctx, "declare", metas, append([]any{w.inc().RunID}, w.marks...)...); err != nil {
		return fmt.Errorf("declaring %s settled: %w", s.nodes[w.which].Name(), err)
	}
	s.watch.mu.Lock()
	s.watch.noteSettled(w.which, w.inc().RunID, true, s.config.Now())
	s.watch.mu.Unlock()
	return nil
}

// run runs a script of the sweep for as long as that is its own.
func (w *sweeping) run(ctx context.Context, script string, keys []string, args ...any) error {
	reply, err := w.inc().Run(ctx, scripts[script], append([]string{w.store.sweepLease()}, keys...), append([]any{w.token}, args...)...)
	if err == nil && reply != int64(1) {
		err = errInterrupted
	}
	return err
}
