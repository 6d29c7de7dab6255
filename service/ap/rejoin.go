package ap

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

const (
	// scanKeys is how many names one SCAN asks for; moveKeys how many registers are read in one round trip.
	scanKeys = 1000
	moveKeys = 64
	// rejoinAbandoned is how long a reconciliation may show no progress until another instance takes it over.
	rejoinAbandoned = 3 * time.Second
)

// errTakenOver: the node was emptied, or another instance went on with its reconciliation.
var errTakenOver = errors.New("the reconciliation was interrupted")

// rejoinWhenNeeded tries to reconcile a node once for each look at it that finds it in need of that, until ctx ends.
func (s *Store) rejoinWhenNeeded(ctx context.Context, which side) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.watch[which].unsettled:
			s.rejoinIfNeeded(ctx, which)
		}
	}
}

// rejoinIfNeeded reconciles a node that runs under another run id than it was last reconciled under, or has lost its
// meta: it restarted, was restored from a copy, came back empty, or was emptied.
func (s *Store) rejoinIfNeeded(ctx context.Context, which side) {
	w := s.watch[which]
	own := w.view()
	if own == nil || own.settled {
		w.wait("")
		return
	}
	name, peerName := s.nodes[which].Name(), s.nodes[which.peer()].Name()
	step, cancel := context.WithTimeout(ctx, s.config.Timeout)
	peer, err := s.nodes[which.peer()].Current(step)
	cancel()
	if err != nil || !s.nodes[which.peer()].State().Reachable {
		w.wait(peerName + " cannot be reached")
		return
	}
	step, cancel = context.WithTimeout(ctx, s.config.Timeout)
	inc, err := s.nodes[which].Current(step)
	cancel()
	if err != nil || !s.nodes[which].State().Reachable {
		w.wait(name + " cannot be reached")
		return
	}
	w.wait("")
	if own.rejoins {
		return
	}
	r := &rejoin{store: s, name: name, token: fmt.Sprint(rand.Uint64()), node: inc, peer: peer}
	began, err := r.run(ctx)
	switch {
	case !began || ctx.Err() != nil:
	case err != nil:
		w.wait(err.Error())
		s.config.Logger.Warn("REJOIN_FAILED", "node", name, "error", err.Error())
	default:
		s.config.Logger.Info("REJOINED", "node", name, "run_id", inc.RunID, "keys", r.done, "copied", r.copied)
		s.poll(ctx, which)
	}
}

// rejoinState is what is known of a node's reconciliation.
func (s *Store) rejoinState(which side, own *view) service.Rejoin {
	if own.settled {
		return service.Rejoin{}
	}
	w := s.watch[which]
	w.mu.Lock()
	defer w.mu.Unlock()
	return service.Rejoin{Active: true, Since: w.since, Done: own.done, Total: own.total, Waiting: w.waiting}
}

// rejoin is one reconciliation. Both incarnations are bound to one run of their node: if either restarts, it fails and
// starts anew.
type rejoin struct {
	store      *Store
	name       string
	token      string
	node, peer *node.Incarnation
	done       int64
	copied     int64
}

// run copies in both directions what one node has newer than the other, and declares the node reconciled. False if
// another instance is at it.
//
// SCAN gives every key that is there from its beginning to its end, and what is written meanwhile is marked for the
// peer as ever: so at the end the node lacks nothing but what is marked.
func (r *rejoin) run(ctx context.Context) (began bool, err error) {
	total, err := r.count(ctx)
	if err != nil {
		return true, fmt.Errorf("counting keys: %w", err)
	}
	reply, err := r.script(ctx, rejoinBeginScript, r.token, total, rejoinAbandoned.Microseconds())
	if err != nil || reply != int64(1) {
		return err != nil, err
	}
	r.store.config.Logger.Info("REJOIN_BEGIN", "node", r.name, "run_id", r.node.RunID, "keys", total)
	if err := r.copyNewer(ctx, r.peer, r.node); err != nil {
		return true, fmt.Errorf("copying from the peer: %w", err)
	}
	if err := r.copyNewer(ctx, r.node, r.peer); err != nil {
		return true, fmt.Errorf("copying to the peer: %w", err)
	}
	reply, err = r.script(ctx, rejoinEndScript, r.token, r.node.RunID)
	if err == nil && reply != int64(1) {
		err = errTakenOver
	}
	return true, err
}

// count estimates how many keys there are to visit.
func (r *rejoin) count(ctx context.Context) (total int64, err error) {
	if len(r.store.config.Buckets) == 1 {
		return 0, nil // how many keys one bucket has is not known
	}
	for _, inc := range []*node.Incarnation{r.peer, r.node} {
		err := r.do(ctx, inc, func(ctx context.Context, client *redis.Client) error {
			n, err := client.DBSize(ctx).Result()
			total += n
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return total, nil
}

// copyNewer visits every register at from and copies those that are newer there than at to.
func (r *rejoin) copyNewer(ctx context.Context, from, to *node.Incarnation) error {
	for cursor := uint64(0); ; {
		var names []string
		err := r.do(ctx, from, func(ctx context.Context, client *redis.Client) (err error) {
			names, cursor, err = client.Scan(ctx, cursor, r.store.pattern(), scanKeys).Result()
			return err
		})
		if err != nil {
			return err
		}
		var keys []string
		for _, name := range names {
			if key, ok := layout.APUserKey(name); ok {
				keys = append(keys, key)
			}
		}
		if err := r.copyKeys(ctx, from, to, keys); err != nil {
			return err
		}
		r.done += int64(len(names))
		reply, err := r.script(ctx, rejoinStepScript, r.token, r.done)
		if err != nil {
			return err
		}
		if reply != int64(1) {
			return errTakenOver
		}
		if cursor == 0 {
			return nil
		}
	}
}

// pattern matches the names that a reconciliation looks for.
func (s *Store) pattern() string {
	if len(s.config.Buckets) == 1 {
		return layout.APRegisters(s.config.Buckets[0]) + "*"
	}
	return ""
}

func (r *rejoin) copyKeys(ctx context.Context, from, to *node.Incarnation, keys []string) error {
	there, err := r.read(ctx, from, keys, "t", "o")
	if err != nil {
		return err
	}
	here, err := r.read(ctx, to, keys, "t", "o")
	if err != nil {
		return err
	}
	var newer []string
	for i, key := range keys {
		if olderFields(here[i], there[i]) {
			newer = append(newer, key)
		}
	}
	for len(newer) > 0 {
		n := min(moveKeys, len(newer))
		if err := r.move(ctx, from, to, newer[:n]); err != nil {
			return err
		}
		newer = newer[n:]
	}
	return nil
}

// move copies registers as they are now.
func (r *rejoin) move(ctx context.Context, from, to *node.Incarnation, keys []string) error {
	registers, err := r.read(ctx, from, keys, "t", "o", "v")
	if err != nil {
		return err
	}
	var items []item
	for i, key := range keys {
		if x := registers[i]; x[0] != "" {
			items = append(items, newItem(key, x[0], x[1], x[2]))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.store.config.Timeout)
	defer cancel()
	r.copied += int64(len(keys))
	return merge(ctx, to, bundles(items))
}

// read gives fields of registers, in one round trip.
func (r *rejoin) read(ctx context.Context, inc *node.Incarnation, keys []string, fields ...string) ([][]string, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	commands := make([]*redis.SliceCmd, len(keys))
	err := r.do(ctx, inc, func(ctx context.Context, client *redis.Client) error {
		pipe := client.Pipeline()
		for i, key := range keys {
			commands[i] = pipe.HMGet(ctx, layout.APRegister(key), fields...)
		}
		_, _ = pipe.Exec(ctx) // every command has its error
		for _, command := range commands {
			if err := command.Err(); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values := make([][]string, len(keys))
	for i, command := range commands {
		values[i] = texts(command.Val())
		if command.Err() != nil { // as of one that is not there: merging puts a register in the place of anything else
			values[i] = make([]string, len(fields))
		}
	}
	return values, nil
}

// do bounds one step.
func (r *rejoin) do(ctx context.Context, inc *node.Incarnation, f func(context.Context, *redis.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.store.config.Timeout)
	defer cancel()
	return inc.Do(ctx, func(client *redis.Client) error { return f(ctx, client) })
}

func (r *rejoin) script(ctx context.Context, script *redis.Script, args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, r.store.config.Timeout)
	defer cancel()
	return r.node.Run(ctx, script, []string{r.store.meta}, args...)
}

// olderFields reports whether register a, read as stamp and origin, is older than b.
func olderFields(a, b []string) bool {
	return stamp{number(a[0]), number(a[1])}.before(stamp{number(b[0]), number(b[1])})
}
