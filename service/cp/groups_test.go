package cp

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"captop/service/node/nodetest"
)

// The same proof where each node is a group: its primary is killed, or hangs until another has its place and then goes on
// as if nothing had been, with one instance that has not heard of its successor; replicas hang.

// groupTrialTime is how long a trial with groups lasts at least: elections take their time.
const groupTrialTime = 12 * time.Second

// newGroupTrial opens three instances; urls gives the two nodes as one of them sees them.
func newGroupTrial(t *testing.T, seed uint64, urls func(instance int) [2]string) *trial {
	tr := &trial{t: t, seed: seed, length: groupTrialTime, tailFalls: true,
		history: history{start: time.Now(), count: map[string]int{}}}
	for i := range tr.stores {
		at := urls(i)
		tr.stores[i] = openStore(t, at[0], at[1])
	}
	for _, s := range tr.stores {
		eventually(t, "settling", func() error { return wellSettled(s) })
	}
	tr.history.start = time.Now()
	return tr
}

func newSentinelTrial(t *testing.T, seed uint64) *trial {
	var sets [2]*nodetest.Sentinels
	var starting sync.WaitGroup
	for i := range sets {
		starting.Go(func() { sets[i] = nodetest.StartSentinels(t, 2-i) }) // db_g2 has one replica
	}
	starting.Wait()
	var links [2][]*nodetest.Link // of the first instance to the Sentinels
	tr := newGroupTrial(t, seed, func(instance int) (urls [2]string) {
		for i, set := range sets {
			urls[i] = set.URL()
			if instance == 0 {
				urls[i], links[i] = set.LinkedURL()
			}
		}
		return urls
	})
	tr.breaking = func(ctx context.Context) {
		r := rand.New(rand.NewPCG(seed, 999))
		for i := r.IntN(2); ctx.Err() == nil; i = 1 - i {
			sleep(ctx, time.Duration(200+r.IntN(800))*time.Millisecond)
			begun := time.Now()
			tr.breakSet(ctx, r, sets[i], links[i])
			sets[i].AwaitWhole()
			t.Logf("db_g%d was whole again after %s", i+1, time.Since(begun).Round(time.Millisecond))
		}
	}
	return tr
}

// breakSet breaks one member of a set and mends it.
func (tr *trial) breakSet(ctx context.Context, r *rand.Rand, set *nodetest.Sentinels, links []*nodetest.Link) {
	primary := set.Primary()
	aWhile := func() { sleep(ctx, time.Duration(r.IntN(1500))*time.Millisecond) }
	switch kind := r.IntN(5); kind {
	case 0:
		tr.t.Log("primary killed")
		primary.Kill()
		set.AwaitFailover(primary)
		aWhile()
		primary.Restart()
	case 1, 2, 3:
		tr.t.Log("primary paused, replaced and resumed")
		for _, link := range links {
			link.Cut()
		}
		primary.Pause()
		set.AwaitFailover(primary)
		aWhile()
		primary.Resume()
		aWhile()
		for _, link := range links {
			link.Heal()
		}
	default:
		tr.t.Log("replica paused")
		for _, member := range set.Members {
			if member != primary {
				member.Pause()
				aWhile()
				member.Resume()
				return
			}
		}
	}
}

func TestLinearizableOverSentinels(t *testing.T) { trials(t, newSentinelTrial) }
