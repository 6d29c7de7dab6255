package ap

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"captop/service"
	"captop/service/node/nodetest"
)

// sentinelPair is two groups; links are the first instance's to their Sentinels.
type sentinelPair struct {
	*pair
	sets  [2]*nodetest.Sentinels
	links [2][]*nodetest.Link
	first [2]string // the URLs of the first instance
}

func newSentinelPair(t testing.TB, replicas [2]int) *sentinelPair {
	p := &sentinelPair{pair: &pair{openFor: 200 * time.Millisecond}}
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
	c := newChaos(t, seed, p.pair)
	linked := &pair{urls: p.first, openFor: p.openFor}
	c.instances[0].Swap(linked.ready(t, "linked")).Close()
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
		awaitGood(c.t, c.instances[i].Load(), g1, g2)
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
