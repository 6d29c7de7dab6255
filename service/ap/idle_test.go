package ap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
)

// idlePolls is the most polls a second that a node may see of an instance that has nothing to do: between one every
// idleEvery and one every pollEvery.
const idlePolls = 7

// TestIdlePairIsLeftAlone: by the nodes' own clocks and counts, polls are rare while nobody writes, and often again
// after a write.
func TestIdlePairIsLeftAlone(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	client := client(t, p.servers[g1])
	mustWrite(t, s, "k", "v")
	await(t, "the pair is idle", func() error {
		if !s.quiet(g1) {
			return errors.New("it is not")
		}
		return nil
	})
	before, since := polls(t, client)
	var count, seconds float64
	await(t, "two seconds have gone by at the node", func() error {
		now, at := polls(t, client)
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
func polls(t *testing.T, client *redis.Client) (float64, time.Time) {
	t.Helper()
	at, err := client.Time(context.Background()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return calls(t, client, "zrange") / layout.Buckets, at
}

// calls gives how often a node ran a command, which it must have.
func calls(t *testing.T, client *redis.Client, command string) (count float64) {
	t.Helper()
	stats, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(stats) {
		if rest, found := strings.CutPrefix(line, "cmdstat_"+command+":calls="); found {
			if _, err := fmt.Sscanf(rest, "%f,", &count); err != nil {
				t.Fatalf("reading %q: %v", line, err)
			}
		}
	}
	if count == 0 {
		t.Fatalf("no %s among the commands:\n%s", command, stats)
	}
	return count
}
