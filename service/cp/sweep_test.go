package cp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node/nodetest"
)

// fill writes that many keys, a few dozen at a time.
func fill(t *testing.T, s *Store, keys int, value string) {
	t.Helper()
	var writers sync.WaitGroup
	const at = 32
	for w := range at {
		writers.Go(func() {
			for k := w; k < keys; k += at {
				if _, err := write(s, fmt.Sprint("k", k), value); err != nil {
					t.Errorf("writing k%d: %v", k, err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// TestEmptiedWhileItIsSwept: what was settled of a node before it was emptied is not called settled after.
func TestEmptiedWhileItIsSwept(t *testing.T) {
	const keys = 5000
	for which, victim := range map[side]string{tail: service.G1, head: service.G2} {
		t.Run(victim, func(t *testing.T) {
			servers := map[side]*nodetest.Server{tail: nodetest.Start(t), head: nodetest.Start(t)}
			s := openStore(t, servers[tail].URL(), servers[head].URL())
			eventually(t, "settling", func() error { return wellSettled(s) })
			fill(t, s, keys, "v")
			flush := redis.NewClient(&redis.Options{Addr: servers[which].Addr()})
			defer flush.Close()
			eventually(t, "emptying "+victim+" in the middle of a sweep", func() error {
				servers[which].Restart()
				for {
					s.watch.mu.Lock()
					join := s.watch.join[which]
					s.watch.mu.Unlock()
					switch {
					case join.Active && join.Done > keys/2 && join.Done < 3*keys/2:
						return flush.FlushAll(context.Background()).Err()
					case !join.Active && s.nodes[which].State().Reachable && wellSettled(s) == nil:
						return errors.New("it was over before")
					}
				}
			})
			eventually(t, "settling", func() error { return wellSettled(s) })
			for k := range keys {
				got, err := read(s, fmt.Sprint("k", k), victim)
				if err != nil || got.Value != "v" {
					t.Fatalf("k%d was read as %q (%v) at %s", k, got.Value, err, victim)
				}
			}
		})
	}
}

// TestOneSweepOfMany: a node that restarts is swept by one instance, and not by each of them in turn.
func TestOneSweepOfMany(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	var stores [4]*Store
	for i := range stores {
		stores[i] = openStore(t, g1.URL(), g2.URL())
	}
	const g2State = 1 // of Nodes
	restart := func() {
		t.Helper()
		was := stores[0].Nodes()[g2State].RunID
		g2.Restart()
		for _, s := range stores {
			eventually(t, "settling", func() error {
				if now := s.Nodes()[g2State].RunID; now == was || now == "" {
					return errors.New("the restart was not noticed")
				}
				return wellSettled(s)
			})
		}
	}
	for _, s := range stores {
		eventually(t, "settling", func() error { return wellSettled(s) })
	}
	restart()
	mustWrite(t, stores[0], "k", "v")
	before := g1.Calls("scan")
	const restarts = 3
	for range restarts {
		restart()
	}
	if now := g1.Calls("scan"); now != before+restarts {
		t.Errorf("%d sweeps after %d restarts", now-before, restarts)
	}
}
