package cp

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// TestEmptiedWhileItIsSwept: what was settled of a node before it was emptied is not called settled after, nor anything else
// until it has been restarted.
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
			eventually(t, "noticing", func() error { return waitsFor(s, victim, service.Emptied) })
			var refused *service.Error
			if _, err := write(s, "new", "v"); !asRefusal(err, &refused) || refused.Code != service.CodeRejoining ||
				refused.Outcome != service.NotApplied || !strings.Contains(refused.Message, victim+" was "+service.Emptied) {
				t.Errorf("a write was answered with %v", err)
			}
			if got, err := read(s, "k1", victim); err == nil && got.Value != "v" || service.CodeOf(err) == service.CodeNotFound {
				t.Errorf("k1 was read as %q (%v)", got.Value, err)
			}
			servers[which].Restart()
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

// emptied takes everything from a node that runs, and waits until the store has noticed, one way or the other.
func emptied(t *testing.T, s *Store, which side, server *nodetest.Server) {
	t.Helper()
	if _, err := server.Ask("FLUSHALL"); err != nil {
		t.Fatalf("emptying a node: %v", err)
	}
	name := s.nodes[which].Name()
	eventually(t, "noticing that "+name+" is empty", func() error { return waitsFor(s, name, service.Emptied) })
}

// takes runs the next steps of a task, as far as the script named last.
func takes(t *testing.T, s *Store, p *pair, key string, at task, until string) task {
	t.Helper()
	for {
		if at.step == ended {
			t.Fatalf("it ended before %s", until)
		}
		asked := at.request()
		next, err := s.step(t.Context(), p, p.incs[asked.at], key, at)
		if err != nil {
			t.Fatalf("%s: %v", asked.script, err)
		}
		if asked.script == until {
			return next
		}
		at = next
	}
}

// TestEmptiedBesideAWrite: a node that was emptied does not say what it has forgotten to have promised, or answered.
func TestEmptiedBesideAWrite(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s, second := openStore(t, g1.URL(), g2.URL()), openStore(t, g1.URL(), g2.URL())
	for _, run := range []struct {
		key    string
		victim side
		server *nodetest.Server
		before func(p *pair) task // what is under way when the node is emptied
		then   string             // its script that arrives after that
		want   string
	}{
		{"promised", head, g2, func(p *pair) task {
			return takes(t, s, p, "promised", newWrite(p.runs(), "tx", "v"), "prepare")
		}, "commit", "v"},
		{"fenced", tail, g1, func(p *pair) task {
			written := takes(t, s, p, "fenced", newWrite(p.runs(), "tx", "v"), "prepare")
			return takes(t, s, p, "fenced", newResolve(p.runs(), written.n, "tx", true), "fence")
		}, "end", ""},
	} {
		t.Run(run.key, func(t *testing.T) {
			eventually(t, "settling", func() error { return wellSettled(s) })
			p := s.newPair()
			if err := p.both(t.Context()); err != nil {
				t.Fatal(err)
			}
			under := run.before(p)
			emptied(t, s, run.victim, run.server)
			takes(t, s, p, run.key, under, run.then)
			for _, at := range []string{service.G1, service.G2} {
				got, err := read(s, run.key, at)
				if code := service.CodeOf(err); code != service.CodeRejoining && (got.Value != run.want || code == service.CodeNotFound && run.want != "") {
					t.Errorf("emptied: read %q (%v) at %s", got.Value, err, at)
				}
			}
			run.server.Restart()
			for _, each := range []*Store{s, second} { // one of them sweeps, the other finds that done
				eventually(t, "settling", func() error { return wellSettled(each) })
				mustWrite(t, each, "another", "v")
			}
			for _, at := range []string{service.G1, service.G2} {
				if got, err := read(s, run.key, at); got.Value != run.want || err != nil && run.want != "" {
					t.Errorf("restarted: read %q (%v) at %s", got.Value, err, at)
				}
			}
		})
	}
}

// TestRestartedBesideAnEmptiedPeer: a node that restarts beside an emptied one waits for that one, is not called emptied
// itself, and does not keep the lease of a sweep that came to nothing.
func TestRestartedBesideAnEmptiedPeer(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "settling", func() error { return wellSettled(s) })
	mustWrite(t, s, "k", "v")
	emptied(t, s, tail, g1)
	g2.Restart()
	eventually(t, "noticing that db_g2 has restarted", func() error {
		if !s.unsettled(head) {
			return errors.New("it is settled")
		}
		return nil
	})
	s.sweep(t.Context(), head) // as it does before it has noticed what db_g1 has lost
	if err := waitsFor(s, service.G2, emptiedError{service.G1}.Error()); err != nil {
		t.Error(err)
	}
	if left, err := g2.Ask("PTTL", s.sweepLease()); err != nil || left != int64(-2) && left != int64(0) && left != int64(1) {
		t.Errorf("the lease lasts for %v ms more (%v)", left, err)
	}
	g1.Restart()
	eventually(t, "settling", func() error { return wellSettled(s) })
	if got, err := read(s, "k", service.G1); err != nil || got.Value != "v" {
		t.Errorf("k was read as %q (%v)", got.Value, err)
	}
}

// waitsFor says of a node whose rejoin does not wait for that reason.
func waitsFor(s *Store, name, reason string) error {
	for _, n := range s.Nodes() {
		if n.Name == name && n.Rejoin.Waiting != reason {
			return fmt.Errorf("%s waits for %q", name, n.Rejoin.Waiting)
		}
	}
	return nil
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
