package cp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
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
	switch {
	case errors.Is(err, errLeased):
	case err != nil:
		waiting = err.Error()
	default:
		s.config.Logger.Info("REJOIN_END", "node", s.nodes[which].Name())
	}
	s.watch.mu.Lock()
	s.watch.join[which].Waiting = waiting
	s.watch.mu.Unlock()
}

// errLeased: another instance sweeps the node.
var errLeased = errors.New("another instance sweeps this node")

func (s *Store) trySweep(ctx context.Context, which side) error {
	p := s.newPair()
	if err := s.bounded(ctx, func(ctx context.Context) error { return p.both(ctx) }); err != nil {
		return fmt.Errorf("reaching both nodes: %w", err)
	}
	if err := s.bounded(ctx, func(ctx context.Context) error { return s.lease(ctx, p, which) }); err != nil {
		return err
	}
	s.config.Logger.Info("REJOIN_BEGIN", "node", s.nodes[which].Name(), "run_id", p.incs[which].RunID)
	names, keys := make([]task, len(s.config.Buckets)), make([]string, len(s.config.Buckets))
	for i, b := range s.config.Buckets {
		names[i], keys[i] = newNameHead(p.runs()), bucketKeys[b]
	}
	if err := s.bounded(ctx, func(ctx context.Context) error { return s.runAll(ctx, p, keys, names) }); err != nil {
		return fmt.Errorf("naming the head's run: %w", err)
	}
	if err := s.settleAll(ctx, p, which); err != nil {
		return err
	}
	return s.bounded(ctx, func(ctx context.Context) error { return s.declareSettled(ctx, p, which) })
}

// bounded gives one piece of a sweep the time of one request.
func (s *Store) bounded(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	return f(ctx)
}

// lease takes the sweep of a node, or reads the progress of who has it.
func (s *Store) lease(ctx context.Context, p *pair, which side) error {
	leased := false
	err := p.incs[which].Do(ctx, func(client *redis.Client) error {
		// SET with NX cannot be mistaken for a data write: a second one would only find the first.
		err := client.SetArgs(ctx, s.sweepLease(), "0 0", redis.SetArgs{Mode: "NX", TTL: sweepLeaseFor}).Err()
		if !errors.Is(err, redis.Nil) {
			return err
		}
		leased = true
		progress, err := client.Get(ctx, s.sweepLease()).Result()
		switch {
		case errors.Is(err, redis.Nil): // it has just run out
			return nil
		case err == nil:
			s.noteProgress(which, progress)
		}
		return err
	})
	// Not from within Do, which would take it for a failure of the node.
	if err == nil && leased {
		err = errLeased
	}
	return err
}

func (s *Store) noteProgress(which side, progress string) {
	var done, total int64
	if _, err := fmt.Sscan(progress, &done, &total); err != nil {
		return
	}
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.join[which].Done, s.watch.join[which].Total = done, total
}

// settleAll settles the keys that either node holds.
func (s *Store) settleAll(ctx context.Context, p *pair, which side) error {
	var done, total int64
	_, part := s.lone() // how many keys one bucket has is not known
	for _, at := range []side{head, tail} {
		var size int64
		err := s.bounded(ctx, func(ctx context.Context) error {
			return p.incs[at].Do(ctx, func(client *redis.Client) (err error) {
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
				cursor, seen, err = s.settlePage(ctx, p, which, at, cursor)
				done += int64(seen)
				if err != nil {
					return err
				}
				if !part {
					done = min(done, total)
				}
				return s.report(ctx, p, which, done, total)
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
func (s *Store) settlePage(ctx context.Context, p *pair, which, at side, cursor uint64) (next uint64, seen int, err error) {
	var page []string
	err = p.incs[at].Do(ctx, func(client *redis.Client) (err error) {
		page, next, err = client.Scan(ctx, cursor, s.pattern(), sweepPage).Result()
		return err
	})
	if err != nil {
		return cursor, 0, fmt.Errorf("scanning %s: %w", s.nodes[at].Name(), err)
	}
	var keys []string
	var tasks []task
	for _, redisKey := range page {
		if key, ok := layout.CPUserKey(redisKey); ok {
			keys = append(keys, key)
			if which == head {
				tasks = append(tasks, newSettleHead(p.runs()))
			} else {
				tasks = append(tasks, newSettleTail(p.runs()))
			}
		}
	}
	if err := s.runAll(ctx, p, keys, tasks); err != nil {
		return cursor, 0, fmt.Errorf("settling keys of %s: %w", s.nodes[which].Name(), err)
	}
	for i, t := range tasks {
		s.leave(keys[i], p, t)
	}
	return next, len(page), nil
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
		return err
	}
	for i, index := range waiting {
		t := tasks[index].answered(replies[i])
		if t.need != nothing {
			if err := s.settle(ctx, p, keys[index], t.need); err != nil {
				return err
			}
		}
		tasks[index] = t
	}
	return nil
}

// report renews the lease and shows the progress to the other instances.
func (s *Store) report(ctx context.Context, p *pair, which side, done, total int64) error {
	progress := fmt.Sprintf("%d %d", done, total)
	s.noteProgress(which, progress)
	return p.incs[which].Do(ctx, func(client *redis.Client) error {
		return client.Set(ctx, s.sweepLease(), progress, sweepLeaseFor).Err()
	})
}

// declareSettled makes every key of the node believed under its present run: those that exist are settled, and one
// that does not was never written.
func (s *Store) declareSettled(ctx context.Context, p *pair, which side) error {
	inc := p.incs[which]
	err := inc.Do(ctx, func(client *redis.Client) error {
		_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, b := range s.config.Buckets {
				pipe.HSet(ctx, layout.CPMeta(b), layout.CPSettled, inc.RunID)
			}
			pipe.Del(ctx, s.sweepLease())
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("declaring %s settled: %w", s.nodes[which].Name(), err)
	}
	s.watch.mu.Lock()
	s.watch.noteSettled(which, inc.RunID, true, s.config.Now())
	s.watch.mu.Unlock()
	return nil
}
