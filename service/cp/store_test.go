package cp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// requestTime is NETWORK_TIMEOUT_SEC in these tests: short, for faults to be over soon.
const requestTime = 500 * time.Millisecond

// openStore starts an instance that reaches the nodes at these URLs.
func openStore(t testing.TB, g1, g2 string) *Store {
	t.Helper()
	nodes := openNodes(t, g1, g2)
	return openOver(t, nodes[0], nodes[1], nil, nil)
}

func openNodes(t testing.TB, g1, g2 string) []*node.Node {
	t.Helper()
	nodes := make([]*node.Node, 2)
	for i, url := range []string{g1, g2} {
		config := node.DefaultConfig([]string{service.G1, service.G2}[i], url)
		config.Timeout, config.BreakerOpenFor = requestTime, 300*time.Millisecond
		config.Logger = slog.New(slog.DiscardHandler)
		n, err := node.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		nodes[i] = n
	}
	return nodes
}

func openOver(t testing.TB, g1, g2 *node.Node, buckets []int, turns *Turns) *Store {
	t.Helper()
	s, err := Open(Config{G1: g1, G2: g2, Buckets: buckets, Turns: turns, Timeout: requestTime, Instance: "test", Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func write(s service.Store, key, value string) (service.Written, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	return s.Write(ctx, key, []byte(value))
}

func read(s service.Store, key, at string) (service.Value, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	return s.Read(ctx, key, service.ReadOptions{Node: at})
}

func asRefusal(err error, refused **service.Error) bool { return errors.As(err, refused) }

// eventually waits until f gives no error.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wellSettled gives no error once neither node rejoins.
func wellSettled(s service.Store) error {
	for _, n := range s.Nodes() {
		if !n.Reachable || n.Rejoin.Active {
			return fmt.Errorf("%s is not settled: %+v", n.Name, n)
		}
	}
	return nil
}

func mustHold(t *testing.T, s *Store, key, value string) {
	t.Helper()
	for _, at := range []string{service.G1, service.G2} {
		got, err := read(s, key, at)
		if err != nil || got.Value != value {
			t.Fatalf("reading %s at %s: got %q, %v; want %q", key, at, got.Value, err, value)
		}
	}
}

func mustWrite(t *testing.T, s *Store, key, value string) {
	t.Helper()
	eventually(t, "writing "+key, func() error { _, err := write(s, key, value); return err })
}

func TestWriteIsReadAtBothNodes(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	if _, err := read(s, "k", ""); service.CodeOf(err) != service.CodeNotFound {
		t.Fatalf("a key that was never written: %v", err)
	}
	for i := 1; i <= 20; i++ {
		w, err := write(s, "k", fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		if w.Version != service.Version(fmt.Sprint(i)) || w.Outcome != service.Applied {
			t.Fatalf("write %d answered %+v", i, w)
		}
		mustHold(t, s, "k", fmt.Sprint(i))
	}
	mustWrite(t, s, "binary", "\x00\xff\r\n")
	mustHold(t, s, "binary", "\x00\xff\r\n")
}

func TestRefusesWhileANodeIsAway(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	mustWrite(t, s, "k", "v1")
	eventually(t, "settling", func() error { return wellSettled(s) })
	g2.Kill()
	_, err := write(s, "k", "v2")
	var refused *service.Error
	if !asRefusal(err, &refused) || refused.Outcome != service.NotApplied {
		t.Fatalf("a write without db_g2: %v", err)
	}
	if got, err := read(s, "k", ""); err != nil || got.Value != "v1" || got.Node != service.G1 {
		t.Fatalf("a read without db_g2: %+v, %v", got, err)
	}
	g2.Restart()
	mustWrite(t, s, "k", "v3")
	mustHold(t, s, "k", "v3")
	eventually(t, "settling", func() error { return wellSettled(s) })
	g1.Kill()
	eventually(t, "reading at db_g2 while db_g1 is away", func() error {
		got, err := read(s, "k", "")
		if err == nil && (got.Value != "v3" || got.Node != service.G2) {
			t.Fatalf("read %+v", got)
		}
		return err
	})
	if _, err := write(s, "k", "v4"); err == nil {
		t.Fatal("a write without db_g1 was acknowledged")
	}
}

// TestRestartIsNotWellBeforeItWasLookedAt: of a run that no look has seen, the word on the one before says nothing.
func TestRestartIsNotWellBeforeItWasLookedAt(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "settling", func() error { return wellSettled(s) })
	_ = s.Close() // no more looks
	was := s.watch.settledRun[head]
	s.watch.settledRun[head] = "another"
	for _, n := range s.Nodes() {
		if n.Rejoin.Active != (n.Name == s.nodes[head].Name()) {
			t.Errorf("with its last look at another run than %s: %+v", was, n)
		}
	}
}

// TestLostDataIsSettledBeforeItIsBelieved: a node that comes back empty, or from an old copy, gives no old answer.
func TestLostDataIsSettledBeforeItIsBelieved(t *testing.T) {
	for name, lose := range map[string]func(s *nodetest.Server, copied string){
		"empty":    func(s *nodetest.Server, _ string) { s.Wipe() },
		"old copy": func(s *nodetest.Server, copied string) { s.LoadDisk(copied) },
		"something else": func(s *nodetest.Server, _ string) {
			for k := range 10 {
				if _, err := s.Ask("SET", layout.CPKey(fmt.Sprint("k", k)), "no key of ours"); err != nil {
					panic(err)
				}
			}
		},
	} {
		for i, victim := range []string{service.G1, service.G2} {
			t.Run(name+" "+victim, func(t *testing.T) {
				servers := []*nodetest.Server{nodetest.Start(t), nodetest.Start(t)}
				s := openStore(t, servers[0].URL(), servers[1].URL())
				for k := range 50 {
					mustWrite(t, s, fmt.Sprint("k", k), "old")
				}
				eventually(t, "settling", func() error { return wellSettled(s) })
				copied := servers[i].SaveDisk()
				for k := range 100 {
					mustWrite(t, s, fmt.Sprint("k", k), "new")
				}
				lose(servers[i], copied)
				servers[i].Restart()
				for k := range 100 {
					eventually(t, "reading", func() error {
						got, err := read(s, fmt.Sprint("k", k), victim)
						if err == nil && got.Value != "new" || service.CodeOf(err) == service.CodeNotFound {
							t.Fatalf("k%d was read as %q (%v) at %s, which had lost it", k, got.Value, err, victim)
						}
						return err
					})
				}
				eventually(t, "settling", func() error { return wellSettled(s) })
				for k := range 100 {
					mustHold(t, s, fmt.Sprint("k", k), "new")
				}
				mustWrite(t, s, "k1", "newer")
				mustHold(t, s, "k1", "newer")
			})
		}
	}
}

// What stands in the place of a key at the node that did not restart leaves that key alone without an answer, and is named.
func TestNoKeyAtThePeerOfARestartedNode(t *testing.T) {
	for i, victim := range []string{service.G1, service.G2} {
		t.Run(victim, func(t *testing.T) {
			servers := []*nodetest.Server{nodetest.Start(t), nodetest.Start(t)}
			s := openStore(t, servers[0].URL(), servers[1].URL())
			eventually(t, "settling", func() error { return wellSettled(s) })
			mustWrite(t, s, "k", "1")
			mustWrite(t, s, "other", "1")
			peer := servers[1-i]
			if _, err := peer.Ask("SET", layout.CPKey("k"), "no key of ours"); err != nil {
				t.Fatal(err)
			}
			servers[i].Restart()
			eventually(t, "naming what is in the way", func() error {
				if waiting := s.Nodes()[i].Rejoin.Waiting; !strings.Contains(waiting, layout.CPKey("k")+": WRONGTYPE") {
					return fmt.Errorf("%s waits for %q", victim, waiting)
				}
				return nil
			})
			mustWrite(t, s, "other", "2")
			mustHold(t, s, "other", "2")
			if got, err := read(s, "k", ""); err == nil || service.CodeOf(err) == service.CodeNotFound {
				t.Errorf("k is read as %q, %v", got.Value, err)
			}
			if victim == service.G1 {
				const want = "a node that this needs refuses it: WRONGTYPE Operation against a key holding the wrong kind of value"
				var refused *service.Error
				if _, err := write(s, "k", "2"); !asRefusal(err, &refused) || refused.Outcome != service.NotApplied || refused.Message != want {
					t.Errorf("writing k: %v", err)
				}
				if _, err := peer.Ask("DEL", layout.CPKey("k")); err != nil {
					t.Fatal(err)
				}
			} else {
				peer.Restart()
			}
			eventually(t, "settling", func() error { return wellSettled(s) })
			if got, err := read(s, "k", victim); err != nil || got.Value != "1" {
				t.Errorf("%s reads k as %q, %v", victim, got.Value, err)
			}
		})
	}
}

func TestBothRestart(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	s := openStore(t, g1.URL(), g2.URL())
	for k := range 50 {
		mustWrite(t, s, fmt.Sprint("k", k), "v")
	}
	g1.Kill()
	g2.Kill()
	if _, err := read(s, "k1", ""); err == nil {
		t.Fatal("read without any node")
	}
	g1.Restart()
	g2.Restart()
	eventually(t, "settling", func() error { return wellSettled(s) })
	for k := range 50 {
		mustHold(t, s, fmt.Sprint("k", k), "v")
	}
}

func TestOneRedisForBothIsRefused(t *testing.T) {
	g := nodetest.Start(t)
	s := openStore(t, g.URL(), g.URL())
	if _, err := write(s, "k", "v"); service.CodeOf(err) != service.CodeInternal {
		t.Fatalf("writing with both nodes on one Redis: %v", err)
	}
}

// TestSweepOfAnotherInstance: that another instance sweeps a node is nothing that the node did wrong.
func TestSweepOfAnotherInstance(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	other := redis.NewClient(&redis.Options{Addr: g1.Addr()})
	defer other.Close()
	if err := other.Set(t.Context(), sweepLease, "another 3 10", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, g1.URL(), g2.URL())
	eventually(t, "learning of the other's progress", func() error {
		if n := s.Nodes()[0]; n.Rejoin.Done != 3 || n.Rejoin.Total != 10 || n.Attempts < 30 {
			return fmt.Errorf("db_g1 is %+v", n)
		}
		return nil
	})
	if n := s.Nodes()[0]; n.Failures != 0 || !n.Reachable {
		t.Errorf("db_g1 is said to fail: %+v", n)
	}
	if err := other.Del(t.Context(), sweepLease).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "settling once the other is gone", func() error { return wellSettled(s) })
}
