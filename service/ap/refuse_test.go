package ap

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"captop/service"
	"captop/service/layout"
)

// A script that does not end keeps its node from serving anybody: at first it is silent, then it refuses everything.
func TestNodeBusyWithAScriptIsPassedBy(t *testing.T) {
	p := newPair(t, "--lua-time-limit", "100")
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "1")
	awaitValue(t, s, service.G2, "k", "1")
	db := client(t, p.servers[g1])
	ended := make(chan error, 1)
	go func() { ended <- db.Eval(context.Background(), "while true do end", nil).Err() }()
	until := time.Now().Add(3 * testTimeout)
	var all errgroup.Group
	all.Go(func() error {
		for known := false; time.Now().Before(until); time.Sleep(time.Millisecond) {
			switch state := s.Nodes()[g1]; {
			case !state.Reachable:
				known = true
			case known:
				return fmt.Errorf("a node that refuses everything counts as well again: %+v", state)
			}
		}
		return nil
	})
	for range 8 {
		all.Go(func() error {
			for ; time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
				if _, err := s.Read(context.Background(), "k", service.ReadOptions{}); err != nil {
					return err
				}
			}
			_, err := s.Write(context.Background(), "k", []byte("2"))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	if state := s.Nodes()[g1]; state.Reachable || state.Breaker.State == service.BreakerClosed {
		t.Errorf("a node that refuses everything counts as well: %+v", state)
	}
	if err := client(t, p.servers[g1]).ScriptKill(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the script ended by itself")
	}
	awaitGood(t, s, g1, g2)
	awaitValue(t, s, service.G1, "k", "2")
}

// db_g1 can be read, and has refused every write for longer than an answer may be behind.
func TestStaleAnswerGivesWayToThatOfAWellNode(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "1")
	mustWrite(t, s, "other", "1")
	awaitValue(t, s, service.G2, "k", "1")
	awaitValue(t, s, service.G2, "other", "1")
	if err := client(t, p.servers[g1]).ConfigSet(context.Background(), "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, "k", "2")
	await(t, "what db_g1 answers is stale", func() error {
		v, err := s.Read(context.Background(), "k", service.ReadOptions{Node: service.G1})
		if err == nil && !v.Stale {
			err = errors.New("it is fresh")
		}
		return err
	})
	if refusal := s.Nodes()[g1].Refusal; refusal != "NOREPLICAS Not enough good replicas to write" {
		t.Errorf("db_g1 is said to refuse with %q", refusal)
	}
	for key, want := range map[string]string{"k": "2", "other": "1"} {
		v, err := s.Read(context.Background(), key, service.ReadOptions{})
		if err != nil || v.Value != want || v.Stale || v.Node != service.G2 {
			t.Errorf("reading %s: %+v, %v, want %q of db_g2, not stale", key, v, err, want)
		}
	}
}

// Somebody has put something else in the place of registers, by hand: at one node, at the other, and before one comes back.
func TestWhatIsNoRegisterHoldsUpNothing(t *testing.T) {
	p, ctx := newPair(t), context.Background()
	s := p.ready(t, "a")
	spoil := func(which side, key string) {
		t.Helper()
		if err := client(t, p.servers[which]).Del(ctx, layout.APRegister(key)).Err(); err != nil {
			t.Fatal(err)
		}
		if err := client(t, p.servers[which]).RPush(ctx, layout.APRegister(key), "no register").Err(); err != nil {
			t.Fatal(err)
		}
	}
	keys := sameBucket(4)
	for _, key := range keys {
		mustWrite(t, s, key, "1")
		awaitValue(t, s, service.G2, key, "1")
	}
	spoil(g2, keys[0])
	spoil(g1, keys[1])
	for _, key := range keys {
		mustWrite(t, s, key, "2")
	}
	for _, node := range []string{service.G1, service.G2} {
		for _, key := range keys {
			awaitValue(t, s, node, key, "2")
		}
	}
	awaitCarried(t, s)

	p.servers[g2].Pause()
	awaitAway(t, s, g2)
	for _, key := range keys {
		mustWrite(t, s, key, "3")
	}
	spoil(g1, keys[2]) // of what waits to be carried
	p.servers[g2].Resume()
	for _, key := range []string{keys[0], keys[1], keys[3]} {
		awaitValue(t, s, service.G2, key, "3")
	}
	awaitCarried(t, s)

	spoil(g2, keys[3])
	p.servers[g2].Kill()
	p.servers[g2].Restart()
	awaitGood(t, s, g1, g2)
	var kept service.Value // "3" only if the instance still had it to hand over
	await(t, "db_g2 answers again", func() (err error) {
		kept, err = s.Read(ctx, keys[2], service.ReadOptions{Node: service.G2})
		return err
	})
	for key, want := range map[string]string{keys[2]: kept.Value, keys[3]: "3"} {
		for _, node := range []string{service.G1, service.G2} {
			awaitValue(t, s, node, key, want)
		}
	}
}
