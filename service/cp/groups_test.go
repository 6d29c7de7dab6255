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
// as if nothing had been; replicas are killed or hang.

// groupTrialTime is how long a trial with groups lasts at least: elections take their time.
const groupTrialTime = 12 * time.Second

func newGroupTrial(t *testing.T, seed uint64, urls [2]string) *trial {
	tr := &trial{t: t, seed: seed, length: groupTrialTime, tailFalls: true,
		history: history{start: time.Now(), count: map[string]int{}}}
	for i := range tr.stores {
		tr.stores[i] = openStore(t, urls[0], urls[1])
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
	tr := newGroupTrial(t, seed, [2]string{sets[0].URL(), sets[1].URL()})
	tr.breaking = func(ctx context.Context) {
		r := rand.New(rand.NewPCG(seed, 999))
		for i := r.IntN(2); ctx.Err() == nil; i = 1 - i {
			tr.breakSet(ctx, r, sets[i])
		}
	}
	return tr
}

// breakSet breaks one member of a set, and waits until the set is whole again.
func (tr *trial) breakSet(ctx context.Context, r *rand.Rand, set *nodetest.Sentinels) {
	primary := set.Primary()
	sleep(ctx, time.Duration(200+r.IntN(800))*time.Millisecond)
	switch kind := r.IntN(5); kind {
	case 0:
		tr.t.Log("primary killed")
		primary.Kill()
		set.AwaitFailover(primary)
		sleep(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
		primary.Restart()
	case 1, 2:
		tr.t.Log("primary paused past the failover and resumed")
		primary.Pause()
		set.AwaitFailover(primary)
		sleep(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
		primary.Resume()
	default:
		for _, member := range set.Members {
			if member == primary {
				continue
			}
			tr.t.Log("a replica down")
			member.Pause()
			sleep(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
			member.Resume()
			break
		}
	}
	set.AwaitWhole()
}

func TestLinearizableOverSentinels(t *testing.T) { trials(t, newSentinelTrial) }
