package ap

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/node/nodetest"
	"captop/service/sharded"
)

// groupTimeout is a request's time over groups: a dozen processes share the machine.
const groupTimeout = 3 * testTimeout

// sentinelPair is two groups; links are the first instance's to their Sentinels.
type sentinelPair struct {
	*pair
	sets  [2]*nodetest.Sentinels
	links [2][]*nodetest.Link
	first [2]string // the URLs of the first instance
}

func newSentinelPair(t testing.TB, replicas [2]int) *sentinelPair {
	nodetest.Alone(t)
	p := &sentinelPair{pair: &pair{openFor: 200 * time.Millisecond, timeout: groupTimeout}}
	var starting sync.WaitGroup
	for i := range p.sets {
		starting.Go(func() { p.sets[i] = nodetest.StartSentinels(t, replicas[i]) })
	}
	starting.Wait()
	for i, set := range p.sets {
		p.urls[i] = set.URL()
		p.first[i], p.links[i] = set.LinkedURL()
	}
	return p
}

// TestAnswersAndConvergesOverSentinels is the same proof where each node is a group: a primary is killed, or hangs until
// another has its place and then goes on as if nothing had been, with one instance that has not heard of its successor.
func TestAnswersAndConvergesOverSentinels(t *testing.T) {
	length, seed := chaosSettings(t)
	p := newSentinelPair(t, [2]int{2, 1})
	c := newChaos(t, seed, p.pair, func(name string) *instance { return p.start(t, name) })
	linked := &pair{urls: p.first, openFor: p.openFor, timeout: p.timeout}
	_ = c.instances[0].Swap(linked.start(t, "linked")).Close()
	c.run(length, func() { c.breakGroup(p) })
	c.finish()
}

func (c *chaos) breakGroup(p *sentinelPair) {
	which := c.random.IntN(2)
	set := p.sets[which]
	primary := set.Primary()
	lasts := time.Duration(50+c.random.IntN(1500)) * time.Millisecond
	say := func(what string) {
		name := fmt.Sprintf("%s at db_g%d, %s", what, which+1, lasts)
		c.faults = append(c.faults, name)
		c.say(name)
		c.t.Log(name)
	}
	switch c.random.IntN(4) {
	case 0:
		say("primary killed")
		primary.Kill()
		set.AwaitFailover(primary)
		time.Sleep(lasts)
		primary.Restart()
	case 1, 2:
		say("primary paused, replaced and resumed")
		for _, link := range p.links[which] {
			link.Cut()
		}
		primary.Pause()
		set.AwaitFailover(primary)
		primary.Resume()
		time.Sleep(lasts)
		for _, link := range p.links[which] {
			link.Heal()
		}
	default:
		say("replica paused")
		for _, member := range set.Members {
			if member != primary {
				member.Pause()
				time.Sleep(lasts)
				member.Resume()
				break
			}
		}
	}
	c.say("after " + c.faults[len(c.faults)-1])
	set.AwaitWhole()
	for i := range c.instances {
		c.instances[i].Load().awaitGood(c.t)
	}
}

// TestWithoutAnyMajority: reads are answered by what a primary knows of itself, writes are not called applied.
func TestWithoutAnyMajority(t *testing.T) {
	p := newSentinelPair(t, [2]int{1, 1})
	s := p.ready(t, "alone")
	mustWrite(t, s, "k", "v")
	awaitValue(t, s, service.G2, "k", "v")
	for _, set := range p.sets {
		set.Members[1].Pause()
	}
	paused := time.Now()
	await(t, "a read long after the majorities were lost", func() error {
		v, err := s.Read(context.Background(), "k", service.ReadOptions{})
		switch {
		case err != nil:
			return err
		case v.Value != "v":
			t.Fatalf("read %+v", v)
		case !v.Stale || time.Since(paused) < 3*time.Second:
			return fmt.Errorf("not stale yet: %+v", v)
		}
		return nil
	})
	if _, err := s.Write(context.Background(), "k", []byte("w")); err == nil {
		t.Fatal("a write that no majority has was acknowledged")
	}
	for _, set := range p.sets {
		set.Members[1].Resume()
	}
	awaitGood(t, s, g1, g2)
	mustWrite(t, s, "k", "x")
	awaitValue(t, s, service.G2, "k", "x")
}

// TestAnswersAndConvergesOverClusters is the same proof where each node is a Redis Cluster: the slot of a key moves under load,
// a primary is killed, or hangs until its replica has its place and then goes on.
func TestAnswersAndConvergesOverClusters(t *testing.T) {
	nodetest.Alone(t)
	length, seed := chaosSettings(t)
	p := &pair{openFor: 200 * time.Millisecond, timeout: groupTimeout}
	var clusters [2]*nodetest.Cluster
	var starting sync.WaitGroup
	for i := range clusters {
		starting.Go(func() { clusters[i] = nodetest.StartCluster(t, 1) })
	}
	starting.Wait()
	for i, cluster := range clusters {
		p.urls[i] = cluster.URL()
	}
	c := newChaos(t, seed, p, func(name string) *instance { return p.startBuckets(t, name) })
	_ = c.instances[2].Swap(c.instances[1].Load()).Close() // two instances of 64 stores are enough for the machine
	c.mayRefuse = true
	c.pause = 20 * time.Millisecond
	kind := c.random.IntN(3)
	c.least = 3 // one of each kind
	c.run(length, func() {
		c.breakCluster(clusters[:], kind)
		kind = (kind + 1) % 3
	})
	c.finish()
}

// startBuckets opens an instance that is one store for each bucket.
func (p *pair) startBuckets(t testing.TB, name string) *instance {
	nodes := p.openNodes(t)
	i, polls := &instance{}, NewPolls()
	s, err := sharded.Open([2]func() service.NodeState{nodes[0].State, nodes[1].State}, func(b int) (service.Store, error) {
		part := p.openOver(t, nodes[0].Bucket(b), nodes[1].Bucket(b), []int{b}, polls, name, time.Now)
		i.parts = append(i.parts, part)
		return part, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	i.Store = s
	i.awaitGood(t)
	return i
}

func (c *chaos) breakCluster(clusters []*nodetest.Cluster, kind int) {
	which := c.random.IntN(2)
	cluster := clusters[which]
	slot := layout.Slot(layout.Bucket(chaosKey(c.random.IntN(chaosKeys))))
	primary := cluster.Owner(slot)
	lasts := time.Duration(50+c.random.IntN(1500)) * time.Millisecond
	say := func(what string) {
		name := fmt.Sprintf("%s at db_g%d, %s", what, which+1, lasts)
		c.faults = append(c.faults, name)
		c.say(name)
		c.t.Log(name)
	}
	switch kind {
	case 0:
		to := primary
		for to == primary || to.Role() != "master" {
			to = cluster.Members[c.random.IntN(len(cluster.Members))]
		}
		say(fmt.Sprintf("slot %d moved", slot))
		cluster.Migrate(slot, to)
	case 1:
		say("primary killed")
		primary.Kill()
		cluster.AwaitFailover(slot, primary)
		time.Sleep(lasts)
		primary.Restart()
	default:
		say("primary paused, replaced and resumed")
		primary.Pause()
		cluster.AwaitFailover(slot, primary)
		time.Sleep(lasts)
		primary.Resume()
	}
	c.say("after " + c.faults[len(c.faults)-1])
	cluster.AwaitWhole()
	for i := range c.instances {
		c.instances[i].Load().awaitGood(c.t)
	}
}
