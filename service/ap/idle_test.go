package ap

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"captop/service/layout"
	"captop/service/node/nodetest"
)

// idlePolls is the most polls a second that a node may see of an instance that has nothing to do: between one every
// idleEvery and one every pollEvery.
const idlePolls = 7

// TestIdlePairIsLeftAlone: by the nodes' own clocks and counts, polls are rare while nobody writes, and often again
// after a write.
func TestIdlePairIsLeftAlone(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "v")
	await(t, "the pair is idle", func() error {
		if !s.quiet(g1) {
			return errors.New("it is not")
		}
		return nil
	})
	before, since := polls(t, p.servers[g1])
	var count, seconds float64
	await(t, "two seconds have gone by at the node", func() error {
		now, at := polls(t, p.servers[g1])
		count, seconds = now-before, at.Sub(since).Seconds()
		if seconds < 2 {
			return fmt.Errorf("%.1f s have", seconds)
		}
		return nil
	})
	if count/seconds > idlePolls {
		t.Errorf("%.0f polls in %.1f s of idleness; %d a second would do", count, seconds, idlePolls)
	}
	if count == 0 {
		t.Error("no poll at all: what another instance writes would never be found")
	}
	mustWrite(t, s, "k", "w")
	if s.quiet(g1) || s.quiet(g2) {
		t.Error("a write has not ended the idleness")
	}
}

// polls gives how often a node was asked for its marks, and its time.
func polls(t *testing.T, server *nodetest.Server) (float64, time.Time) {
	t.Helper()
	at, err := client(t, server).Time(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return float64(server.Calls("zrange")) / layout.Buckets, at
}
