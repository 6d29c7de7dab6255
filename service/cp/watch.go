package cp

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

// watchEvery is how often the head is looked over for overdue writes, and either node for a new run; stampsEvery how
// often a node is asked whether it is still settled under the run that is known to be (who empties it takes that away).
const (
	watchEvery  = 500 * time.Millisecond
	stampsEvery = 2 * time.Second
)

// overdueAtOnce bounds how many overdue writes of one bucket are resolved per look.
const overdueAtOnce = 128

// watch is what the looks have found.
type watch struct {
	mu    sync.Mutex
	seen  [2]time.Time // of the last look that succeeded, by side
	dirty int64
	since time.Time // of the oldest dirty key; zero if there is none
	join  [2]service.Rejoin

	emptied [2]atomic.Bool // whether join waits for that, for requests to see

	settledRun [2]string    // the run under which a node was found settled
	settledAt  [2]time.Time // and when
	looked     [2]bool      // whether it was found to be settled or not
}

// start has both nodes unsettled until they were looked at: what is not known is not called well.
func (w *watch) start(now time.Time) {
	w.seen = [2]time.Time{now, now}
	for which := range w.join {
		w.join[which] = service.Rejoin{Active: true, Since: now, Waiting: service.NotLookedAt}
	}
}

// settledUnder reports whether a run of a node was found settled a moment ago.
func (w *watch) settledUnder(which side, run string, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settledRun[which] == run && now.Sub(w.settledAt[which]) < stampsEvery
}

// Nodes tells the state of db_g1 and db_g2 without I/O.
func (s *Store) Nodes() []service.NodeState {
	now := s.config.Now()
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	states := make([]service.NodeState, 0, 2)
	for _, which := range []side{tail, head} {
		state := s.nodes[which].State()
		state.Settle(s.watch.join[which], s.watch.settledRun[which])
		state.Staleness = s.watch.staleness(which, state.Reachable, now)
		if which == head {
			state.QueueDepth = s.watch.dirty
		}
		states = append(states, state)
	}
	return states
}

// staleness is the age of the oldest dirty key; of a node that is away, the time since it was not; of one that
// rejoins, the time since it had to.
func (w *watch) staleness(which side, reachable bool, now time.Time) time.Duration {
	var age time.Duration
	if which == head && !w.since.IsZero() {
		age = now.Sub(w.since)
	}
	if !reachable {
		age = max(age, now.Sub(w.seen[which]))
	}
	if w.join[which].Active {
		age = max(age, now.Sub(w.join[which].Since))
	}
	return max(age, 0)
}

// every calls f at once and then at each interval, until ctx ends, and each time in its turn.
func every(ctx context.Context, interval time.Duration, turns chan struct{}, f func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		inTurn(ctx, turns, func() { f(ctx) })
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweepNodes settles what has restarted; the tail first, for a head is settled from a tail that is.
func (s *Store) sweepNodes(ctx context.Context) {
	for _, which := range []side{tail, head} {
		if s.unsettled(which) {
			s.sweep(ctx, which)
		}
		if s.unsettled(which) {
			return
		}
	}
}

func (s *Store) unsettled(which side) bool {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return s.watch.looked[which] && s.watch.join[which].Active
}

// lookAt reads what the buckets of one node say about themselves, and resolves overdue writes. What fails is in the
// node's own books.
func (s *Store) lookAt(ctx context.Context, which side) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	p := s.newPair()
	inc, err := p.at(ctx, which)
	if err != nil {
		return
	}
	now := s.config.Now()
	known := s.watch.settledUnder(which, inc.RunID, now)
	if which == tail && known {
		return
	}
	settled, dirty, err := s.readBuckets(ctx, inc, which, !known)
	if err != nil {
		return
	}
	s.watch.note(which, inc.RunID, known || settled, dirty, now)
	if dirty.late && s.unfold(ctx, inc, dirty.clock) != nil {
		return
	}
	if which == head && dirty.age > s.config.Timeout {
		s.resolveOverdue(ctx, p)
	}
}

// note takes in what a look has found.
func (w *watch) note(which side, run string, settled bool, dirty inFlight, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[which] = now
	if which == head {
		w.dirty, w.since = dirty.count, time.Time{}
		if dirty.count > 0 {
			w.since = now.Add(-dirty.age)
		}
	}
	w.noteSettled(which, run, settled, now)
}

// setJoin notes how the rejoin of a node stands; mu is held.
func (w *watch) setJoin(which side, join service.Rejoin) {
	w.join[which] = join
	w.emptied[which].Store(join.Waiting == service.Emptied)
}

func (w *watch) noteSettled(which side, run string, settled bool, now time.Time) {
	first := !w.looked[which]
	w.looked[which] = true
	switch {
	case settled:
		if w.settledRun[which] != run || now.Sub(w.settledAt[which]) >= stampsEvery {
			w.settledRun[which], w.settledAt[which] = run, now
		}
		w.setJoin(which, service.Rejoin{})
	case first || !w.join[which].Active:
		w.setJoin(which, service.Rejoin{Active: true, Since: now})
	}
}

// inFlight sums up the dirty keys of the head.
type inFlight struct {
	count int64         // a batch counts for one, until it is late
	age   time.Duration // of the oldest, by the head's clock
	late  bool          // there are batches to be unfolded
	clock time.Time     // the head's
}

// add takes in a set of marks.
func (f *inFlight) add(count *redis.IntCmd, oldest *redis.ZSliceCmd) {
	f.count += count.Val()
	for _, z := range oldest.Val() {
		f.age = max(f.age, f.clock.Sub(time.UnixMilli(int64(z.Score))))
	}
}

// readBuckets tells what is dirty at the head and, with stamped, whether every bucket is settled under the node's
// present run.
func (s *Store) readBuckets(ctx context.Context, inc *node.Incarnation, which side, stamped bool) (settled bool, dirty inFlight, err error) {
	var stamps [layout.Buckets]*redis.StringCmd
	var counts []*redis.IntCmd
	var oldest []*redis.ZSliceCmd
	var clock *redis.TimeCmd
	err = inc.Do(ctx, func(client *redis.Client) error {
		_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			clock = pipe.Time(ctx)
			count := func(set string) {
				if which == head {
					counts, oldest = append(counts, pipe.ZCard(ctx, set)), append(oldest, pipe.ZRangeWithScores(ctx, set, 0, 0))
				}
			}
			count(s.marks.set) // first: batches become marks of keys, and never the other way round
			for _, b := range s.config.Buckets {
				count(layout.CPDirty(b))
				if stamped {
					stamps[b] = pipe.HGet(ctx, layout.CPMeta(b), layout.CPSettled)
				}
			}
			return nil
		})
		return err
	})
	if err != nil && err != redis.Nil {
		return false, dirty, err
	}
	settled = stamped
	for _, b := range s.config.Buckets {
		settled = settled && stamps[b].Val() == inc.RunID
	}
	dirty.clock = clock.Val()
	for i := range counts {
		dirty.add(counts[i], oldest[i])
		if i == 0 { // the batches
			dirty.late = dirty.age > unfoldAfter
		}
	}
	return settled, dirty, nil
}

// resolveOverdue ends the writes that have been in flight for longer than any request may last.
func (s *Store) resolveOverdue(ctx context.Context, p *pair) {
	inc := p.incs[head]
	for _, b := range s.config.Buckets {
		var members []string
		err := inc.Do(ctx, func(client *redis.Client) error {
			now, err := client.Time(ctx).Result()
			if err != nil {
				return err
			}
			members, err = client.ZRangeArgs(ctx, redis.ZRangeArgs{Key: layout.CPDirty(b), ByScore: true, Start: "-inf",
				Stop: strconv.FormatInt(now.Add(-s.config.Timeout).UnixMilli(), 10), Count: overdueAtOnce}).Result()
			return err
		})
		if err != nil {
			return
		}
		for _, member := range members {
			if s.resolveMember(ctx, p, inc, member) != nil {
				return
			}
		}
	}
}

func (s *Store) resolveMember(ctx context.Context, p *pair, inc *node.Incarnation, member string) error {
	key, ok := layout.CPUserKey(member)
	if !ok {
		return nil
	}
	var promise []any
	err := inc.Do(ctx, func(client *redis.Client) (err error) {
		promise, err = client.HMGet(ctx, member, "dn", "dt").Result()
		return err
	})
	if err != nil {
		return err
	}
	n, _ := promise[0].(string)
	tx, _ := promise[1].(string)
	if n == "" { // finished meanwhile
		_, err := inc.Run(ctx, scripts["unmark"], scriptKeys(key))
		return err
	}
	return s.resolve(ctx, p, key, task{dirty: n, dirtyTx: tx}, s.config.Timeout+1)
}
