package cp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/node/nodetest"
)

// asked fails the test where a server does not do what it is told.
func asked(t *testing.T, server *nodetest.Server, command ...any) {
	t.Helper()
	if _, err := server.Ask(command...); err != nil {
		t.Fatalf("%v: %v", command, err)
	}
}

// evict has a node delete some of its keys as one does that is short of memory, and none after.
func evict(t *testing.T, server *nodetest.Server, keys ...string) {
	t.Helper()
	asked(t, server, "CONFIG", "SET", "maxmemory-policy", "volatile-random")
	asked(t, server, "CONFIG", "SET", "maxmemory", "1")
	eventually(t, "evicting", func() error {
		for _, key := range keys {
			asked(t, server, "EXPIRE", layout.CPKey(key), 1000) // only such keys go
		}
		_, _ = server.Ask("SET", "x", "refused, for there is no memory")
		for _, key := range keys {
			if n, err := server.Ask("EXISTS", layout.CPKey(key)); err != nil || n != int64(0) {
				return fmt.Errorf("%s is still there: %v, %v", key, n, err)
			}
		}
		return nil
	})
	asked(t, server, "CONFIG", "SET", "maxmemory", "0")
}

// forgetful reports whether a refusal says that a node has deleted keys.
func forgetful(err error, name string) error {
	var refused *service.Error
	switch {
	case !asRefusal(err, &refused):
		return fmt.Errorf("it was not refused: %w", err)
	case refused.Code != service.CodeRejoining || !strings.Contains(refused.Message, name+" "+service.Evicted):
		return fmt.Errorf("it was refused with %s: %s", refused.Code, refused.Message)
	case refused.Outcome == service.Unknown:
		return errors.New("its outcome was called unknown")
	}
	return nil
}

// TestEvictedKey: what a node has evicted is read from its peer, or not at all; nothing is promised, decided or settled on its
// word; and its next run has it again.
func TestEvictedKey(t *testing.T) {
	for victim, name := range map[side]string{tail: service.G1, head: service.G2} {
		t.Run(name, func(t *testing.T) {
			servers := map[side]*nodetest.Server{tail: nodetest.Start(t), head: nodetest.Start(t)}
			s := openStore(t, servers[tail].URL(), servers[head].URL())
			eventually(t, "settling", func() error { return wellSettled(s) })
			mustWrite(t, s, "gone", "1")
			mustWrite(t, s, "kept", "1")
			mustHold(t, s, "gone", "1")
			evict(t, servers[victim], "gone")
			for range 4 {
				if got, err := read(s, "gone", ""); err != nil || got.Value != "1" {
					t.Errorf("read %q (%v)", got.Value, err)
				}
			}
			if _, err := read(s, "gone", service.G1); victim == tail && forgetful(err, name) != nil {
				t.Errorf("reading at %s: %v", service.G1, forgetful(err, name))
			}
			for _, key := range []string{"gone", "new"} {
				if _, err := write(s, key, "2"); forgetful(err, name) != nil {
					t.Errorf("writing %s: %v", key, forgetful(err, name))
				}
			}
			mustWrite(t, s, "kept", "2")
			mustHold(t, s, "kept", "2")

			servers[1-victim].Restart() // its peer takes nothing for deleted that this one lacks
			eventually(t, "waiting", func() error {
				for _, n := range s.Nodes() {
					if n.Name != name && !strings.Contains(n.Rejoin.Waiting, name+" "+service.Evicted) {
						return fmt.Errorf("%s waits for %q", n.Name, n.Rejoin.Waiting)
					}
				}
				return nil
			})
			servers[victim].Restart()
			eventually(t, "settling", func() error { return wellSettled(s) })
			mustHold(t, s, "gone", "1")
			mustWrite(t, s, "gone", "2")
			mustWrite(t, s, "new", "2")
			mustHold(t, s, "gone", "2")
		})
	}
}

// TestEvictedBesideAWrite: a write that was acknowledged, and is promised still at db_g2, is not given up because db_g1 has evicted it.
func TestEvictedBesideAWrite(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "settling", func() error { return wellSettled(s) })
	p := s.newPair()
	if err := p.both(t.Context()); err != nil {
		t.Fatal(err)
	}
	written := takes(t, s, p, "k", newWrite(p.runs(), "tx", "1"), "commit")
	if written.result != applied {
		t.Fatalf("it was not committed: %+v", written)
	}
	evict(t, g1, "k")
	ended, err := s.run(t.Context(), p, "k", newResolve(p.runs(), written.n, "tx", true))
	if !errors.As(err, new(evictedError)) {
		t.Errorf("it was resolved: %+v, %v", ended, err)
	}
	g1.Restart()
	eventually(t, "settling", func() error { return wellSettled(s) })
	mustHold(t, s, "k", "1")
}

// evictions has one node after the other delete keys that it holds, some by name, some of all it has, and restarts it.
func (tr *trial) evictions(ctx context.Context) {
	r := rand.New(rand.NewPCG(tr.seed, 999))
	for ctx.Err() == nil {
		server := tr.servers[r.IntN(2)]
		var keys []string
		for range 3 {
			keys = append(keys, tr.key(r))
		}
		burst := tr.burstKeys()
		if evict(tr.t, server, append(keys, burst[:4]...)...); r.IntN(3) == 0 {
			asked(tr.t, server, "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
			asked(tr.t, server, "CONFIG", "SET", "maxmemory", "1")
			sleep(ctx, time.Duration(r.IntN(20))*time.Millisecond)
			asked(tr.t, server, "CONFIG", "SET", "maxmemory", "0")
		}
		sleep(ctx, time.Duration(100+r.IntN(400))*time.Millisecond)
		server.Restart()
		eventually(tr.t, "settling", func() error { return wellSettled(tr.stores[0]) })
	}
}

func TestLinearizableWhileKeysAreEvicted(t *testing.T) {
	trials(t, func(t *testing.T, seed uint64) *trial {
		tr := newTrial(t, seed, trialTime, true)
		tr.breaking = tr.evictions
		return tr
	})
}
