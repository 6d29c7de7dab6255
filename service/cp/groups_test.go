package cp

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/linearizable"
	"captop/service/node/nodetest"
	"captop/service/sharded"
)

// The same proof where each node is a group: its primary is killed, or hangs until another has its place and then goes on
// as if nothing had been, with one instance that has not heard of its successor; replicas hang.

// groupTrialTime is how long a trial with groups lasts at least: elections take their time.
const groupTrialTime = 12 * time.Second

// newGroupTrial opens three instances; urls gives the two nodes as one of them sees them.
func newGroupTrial(t *testing.T, seed uint64, urls func(instance int) [2]string) *trial {
	tr := &trial{t: t, seed: seed, length: groupTrialTime, tailFalls: true,
		count: map[string]int{}}
	var parts [3]func(key string) *Store
	for i := range tr.stores {
		at := urls(i)
		tr.stores[i], parts[i] = openGroups(t, at)
	}
	tr.part = func(instance int, key string) *Store { return parts[instance](key) }
	for _, s := range tr.stores {
		eventually(t, "settling", func() error { return wellSettled(s) })
	}
	tr.history = linearizable.NewHistory() // from when they are settled
	return tr
}

// openGroups opens an instance over groups, and gives the store of each key beside it.
func openGroups(t *testing.T, urls [2]string) (service.Store, func(key string) *Store) {
	nodes := openNodes(t, urls[0], urls[1])
	if !nodes[0].Clustered() {
		s := openOver(t, nodes[0], nodes[1], nil, nil)
		return s, func(string) *Store { return s }
	}
	var parts [layout.Buckets]*Store
	turns := NewTurns()
	s, err := sharded.Open([2]func() service.NodeState{nodes[0].State, nodes[1].State}, func(b int) (service.Store, error) {
		parts[b] = openOver(t, nodes[0].Bucket(b), nodes[1].Bucket(b), []int{b}, turns)
		return parts[b], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, func(key string) *Store { return parts[layout.Bucket(key)] }
}

func newSentinelTrial(t *testing.T, seed uint64) *trial {
	nodetest.Alone(t)
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

// newClusterTrial has two clusters of three primaries with a replica each. The slot of a key in use moves under load, a
// primary is killed, or hangs until its replica has its place and then goes on.
func newClusterTrial(t *testing.T, seed uint64) *trial {
	nodetest.Alone(t)
	var clusters [2]*nodetest.Cluster
	var starting sync.WaitGroup
	for i := range clusters {
		starting.Go(func() { clusters[i] = nodetest.StartCluster(t, 1) })
	}
	starting.Wait()
	tr := newGroupTrial(t, seed, func(int) [2]string { return [2]string{clusters[0].URL(), clusters[1].URL()} })
	tr.breaking = func(ctx context.Context) {
		r := rand.New(rand.NewPCG(seed, 999))
		for i, kind := r.IntN(2), r.IntN(3); ctx.Err() == nil; i, kind = 1-i, (kind+1)%3 {
			sleep(ctx, time.Duration(200+r.IntN(500))*time.Millisecond)
			begun := time.Now()
			tr.breakCluster(ctx, r, kind, clusters[i])
			clusters[i].AwaitWhole()
			t.Logf("db_g%d was whole again after %s", i+1, time.Since(begun).Round(time.Millisecond))
		}
	}
	return tr
}

// breakCluster breaks what serves one of the keys in use, and mends it.
func (tr *trial) breakCluster(ctx context.Context, r *rand.Rand, kind int, c *nodetest.Cluster) {
	slot := layout.Slot(layout.Bucket(tr.key(r)))
	primary := c.Owner(slot)
	aWhile := func() { sleep(ctx, time.Duration(r.IntN(1500))*time.Millisecond) }
	switch kind {
	case 0:
		to := primary
		for to == primary || to.Role() != "master" {
			to = c.Members[r.IntN(len(c.Members))]
		}
		tr.t.Logf("slot %d moved", slot)
		c.Migrate(slot, to)
	case 1:
		tr.t.Log("primary killed")
		primary.Kill()
		c.AwaitFailover(slot, primary)
		aWhile()
		primary.Restart()
	default:
		tr.t.Log("primary paused, replaced and resumed")
		primary.Pause()
		c.AwaitFailover(slot, primary)
		aWhile()
		primary.Resume()
	}
}

func TestLinearizableOverClusters(t *testing.T) { trials(t, newClusterTrial) }
