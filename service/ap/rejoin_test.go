package ap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node/nodetest"
)

// client speaks to a server directly, past the links.
func client(t testing.TB, server *nodetest.Server) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: server.Addr(), Protocol: 2})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// fill writes keys and waits until both nodes have them.
func fill(t testing.TB, s *Store, keys int, value string) {
	t.Helper()
	for i := range keys {
		mustWrite(t, s, fmt.Sprint("k", i), value)
	}
	awaitCarried(t, s)
}

// awaitCarried waits until a poll from now on finds no marks at either node.
func awaitCarried(t testing.TB, s *Store) {
	t.Helper()
	begun := time.Now()
	await(t, "both nodes were seen without marks", func() error {
		for which := range s.nodes {
			if v := s.watch[which].view(); v == nil || v.sent.Before(begun) || v.oldest != 0 {
				return fmt.Errorf("%+v", s.Nodes()[which])
			}
		}
		return nil
	})
}

// believe reads at a node until it counts as reconciled, and fails on any answer that is older than it says: the keys
// were written before since.
func believe(t testing.TB, s *Store, which side, keys int, want string, since time.Time) {
	t.Helper()
	name := s.nodes[which].Name()
	await(t, name+" is reconciled", func() error {
		for i := range keys {
			begun := time.Now()
			v, err := s.Read(context.Background(), fmt.Sprint("k", i), service.ReadOptions{Node: name})
			switch {
			case service.CodeOf(err) == service.CodeNodeUnavailable, service.CodeOf(err) == service.CodeRejoining:
				return err
			case err != nil:
				t.Fatalf("%s says that a key was never written: %v", name, err)
			case v.Value != want && time.Duration(v.StalenessMS)*time.Millisecond < begun.Sub(since):
				t.Fatalf("%s answers %+v and is %s behind", name, v, begun.Sub(since))
			case v.Value != want:
				return fmt.Errorf("%+v", s.Nodes()[which])
			}
		}
		if s.rank(which) != rankGood {
			return fmt.Errorf("%+v", s.Nodes()[which])
		}
		return nil
	})
}

func TestNodeThatLostDataIsReconciledBeforeItIsBelieved(t *testing.T) {
	const keys = 300
	losses := map[string]func(t *testing.T, server *nodetest.Server, oldDisk string){
		"empty disk": func(_ *testing.T, server *nodetest.Server, _ string) { server.Wipe(); server.Restart() },
		"old copy":   func(_ *testing.T, server *nodetest.Server, old string) { server.LoadDisk(old); server.Restart() },
		"FLUSHALL": func(t *testing.T, server *nodetest.Server, _ string) {
			if err := client(t, server).FlushAll(context.Background()).Err(); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, lose := range losses {
		for _, which := range []side{g1, g2} {
			t.Run(fmt.Sprintf("%s of db_g%d", name, which+1), func(t *testing.T) {
				t.Parallel()
				p := newPair(t)
				s := p.ready(t, "a")
				fill(t, s, keys, "old")
				disk := p.servers[which].SaveDisk()
				fill(t, s, keys, "new")
				written := time.Now()
				lose(t, p.servers[which], disk)
				believe(t, s, which, keys, "new", written)
				for i := range keys {
					v, err := s.Read(context.Background(), fmt.Sprint("k", i), service.ReadOptions{})
					if err != nil || v.Value != "new" {
						t.Fatalf("read %+v, %v", v, err)
					}
				}
			})
		}
	}
}

// TestRestartIsNotWellBeforeItWasLookedAt: of a run that no poll has seen, the word of the one before says nothing.
func TestRestartIsNotWellBeforeItWasLookedAt(t *testing.T) {
	s := newPair(t).ready(t, "a")
	state, own := s.nodes[g2].State(), *s.watch[g2].view()
	state.RunID = "another"
	state.Settle(s.rejoinState(g2, &own), own.inc.RunID)
	if r := state.Rejoin; !r.Active || r.Waiting != service.NotLookedAt {
		t.Errorf("%+v", r)
	}
}

// An old copy without its peer answers, and says how old it is.
func TestOldCopyAloneSaysHowOldItIs(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	fill(t, s, 10, "old")
	await(t, "the node knows up to when it has everything", func() error {
		return client(t, p.servers[0]).HGet(context.Background(), layout.APMeta, "asof").Err()
	})
	disk := p.servers[0].SaveDisk()
	fill(t, s, 10, "new")
	written := time.Now()
	time.Sleep(2 * time.Second) // the copy must be older than MAX_STALENESS
	p.servers[1].Kill()
	p.servers[0].LoadDisk(disk)
	p.servers[0].Restart()
	// Also an instance that has seen nothing of what was before.
	for _, reader := range []*Store{s, p.open(t, "b", time.Now)} {
		var v service.Value
		await(t, "the old copy answers", func() (err error) {
			v, err = reader.Read(context.Background(), "k0", service.ReadOptions{})
			return err
		})
		behind := time.Since(written)
		if bound := time.Duration(v.StalenessMS) * time.Millisecond; v.Value != "old" || !v.Stale || bound < behind || bound > behind+20*time.Second {
			t.Errorf("%s behind it answers %+v", behind, v)
		}
		await(t, "the node's state says why", func() error {
			if r := reader.Nodes()[g1].Rejoin; !r.Active || !strings.Contains(r.Waiting, service.G2) {
				return fmt.Errorf("%+v", r)
			}
			return nil
		})
	}
	mustWrite(t, s, "k1", "newest")
	p.servers[1].Restart()
	awaitGood(t, s, g1, g2)
	awaitValue(t, s, service.G1, "k0", "new")
	awaitValue(t, s, service.G2, "k1", "newest")
}

// What one node alone has is carried over by a reconciliation too, without a mark.
func TestRejoinCopiesBothWays(t *testing.T) {
	p := newPair(t)
	ctx := context.Background()
	for i, server := range p.servers {
		key := fmt.Sprint("only", i+1)
		err := client(t, server).HSet(ctx, layout.APRegister(key), "t", 5, "o", 1, "v", "x").Err()
		if err != nil {
			t.Fatal(err)
		}
		if err := client(t, server).Set(ctx, "somebody else's", "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s := p.ready(t, "a")
	for _, key := range []string{"only1", "only2"} {
		awaitValue(t, s, service.G1, key, "x")
		awaitValue(t, s, service.G2, key, "x")
	}
	// And when one node alone has to be reconciled.
	err := client(t, p.servers[1]).HSet(ctx, layout.APRegister("later"), "t", 5, "o", 1, "v", "y").Err()
	if err != nil {
		t.Fatal(err)
	}
	p.servers[1].Restart()
	awaitValue(t, s, service.G1, "later", "y")
}

// Several instances, a node emptied while it is being reconciled, and writes all the while.
func TestNodeEmptiedDuringItsReconciliation(t *testing.T) {
	const keys = 2000
	p := newPair(t)
	stores := []*Store{p.ready(t, "a"), p.ready(t, "b")}
	fill(t, stores[0], keys, "v")
	flush := client(t, p.servers[1])
	writing, stop := context.WithCancel(context.Background())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; writing.Err() == nil; i++ {
			if _, err := stores[i%2].Write(context.Background(), fmt.Sprint("k", i%keys), []byte("v")); err != nil {
				t.Errorf("write: %v", err)
			}
		}
	})
	for i := range 10 {
		if err := flush.FlushAll(context.Background()).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10*i) * time.Millisecond)
	}
	for _, s := range stores {
		await(t, "db_g2 is noticed and reconciled", func() error {
			if v := s.watch[g2].view(); !v.settled {
				return fmt.Errorf("%+v", s.Nodes()[g2])
			}
			return nil
		})
	}
	stop()
	writer.Wait()
	awaitCarried(t, stores[0])
	n, err := flush.Eval(context.Background(), "local n = 0 for _, k in ipairs(redis.call('KEYS', 'ap:{*}k:*')) do n = n + 1 end return n", nil).Int()
	if err != nil || n != keys {
		t.Errorf("db_g2 has %d of %d keys (%v)", n, keys, err)
	}
}

// Somebody begins, and dies later: nobody else tries before, which a hundred instances would do for minutes.
func TestAbandonedReconciliationIsTakenOver(t *testing.T) {
	p := newPair(t)
	c, ctx := client(t, p.servers[0]), context.Background()
	begun, err := rejoinBeginScript.Run(ctx, c, []string{layout.APMeta}, "another", 7, time.Minute.Microseconds()).Int()
	if err != nil || begun != 1 {
		t.Fatal(begun, err)
	}
	s := p.open(t, "a", time.Now)
	await(t, "its progress is seen, and db_g2 is reconciled", func() error {
		peer := s.watch[g2].view() // nil before the first look at it
		if r := s.Nodes()[g1].Rejoin; !r.Active || r.Total != 7 || peer == nil || !peer.settled {
			return fmt.Errorf("%+v", s.Nodes())
		}
		return nil
	})
	const looks = 10
	tried := p.servers[0].Calls("dbsize") // which a reconciliation begins with
	first, _ := polls(t, p.servers[0])
	await(t, "it was looked at some more times", func() error {
		if n, err := rejoinStepScript.Run(ctx, c, []string{layout.APMeta}, "another", 1).Int(); n != 1 {
			t.Fatalf("the first one cannot go on: %d, %v", n, err)
		}
		if now, _ := polls(t, p.servers[0]); now < first+looks {
			return fmt.Errorf("%.0f times", now-first)
		}
		return nil
	})
	if now := p.servers[0].Calls("dbsize"); now != tried {
		t.Errorf("%d attempts beside it, in %d looks", now-tried, looks)
	}
	awaitGood(t, s, g1, g2)
}

func TestRejoinEndNeedsItsToken(t *testing.T) {
	p := newPair(t)
	c := client(t, p.servers[0])
	ctx := context.Background()
	run := func(script *redis.Script, args ...any) int {
		t.Helper()
		n, err := script.Run(ctx, c, []string{layout.APMeta}, args...).Int()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if run(rejoinBeginScript, "one", 1, time.Minute.Microseconds()) != 1 {
		t.Fatal("a first reconciliation did not begin")
	}
	if run(rejoinBeginScript, "two", 1, time.Minute.Microseconds()) != 0 {
		t.Error("a second one began beside it")
	}
	if err := c.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if run(rejoinStepScript, "one", 1) != 0 || run(rejoinEndScript, "one", "run") != 0 {
		t.Error("it went on after the node had been emptied")
	}
	if err := c.HGet(ctx, layout.APMeta, "settled").Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the emptied node is settled: %v", err)
	}
}

// The word of a node that lost data is not taken for the pair's, from the first read on.
func TestReadGoesPastANodeThatLostData(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	fill(t, s, 1, "new")
	if err := s.Close(); err != nil { // it polls no more, and believes in db_g1
		t.Fatal(err)
	}
	ctx, c := context.Background(), client(t, p.servers[0])
	if err := c.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for _, old := range []bool{false, true} {
		if old {
			if err := c.HSet(ctx, layout.APRegister("k0"), "t", 5, "o", 1, "v", "old").Err(); err != nil {
				t.Fatal(err)
			}
		}
		v, err := s.Read(ctx, "k0", service.ReadOptions{})
		if err != nil || v.Value != "new" || v.Node != service.G2 {
			t.Errorf("read %+v, %v", v, err)
		}
	}
	p.servers[1].Kill()
	if v, err := s.Read(ctx, "k0", service.ReadOptions{}); err != nil || v.Value != "old" || !v.Stale {
		t.Errorf("alone it answers %+v, %v", v, err)
	}
	if _, err := s.Read(ctx, "k1", service.ReadOptions{}); service.CodeOf(err) != service.CodeRejoining {
		t.Errorf("a key that it may have lost: %v", err)
	}
}
