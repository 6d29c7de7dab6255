package node_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
	"captop/service/node/nodetest"
)

func TestWhatNoMajorityConfirmsIsNoAnswer(t *testing.T) {
	set := nodetest.StartSentinels(t, 1)
	n := open(t, set.URL())
	inc := current(t, n, "")
	eventually(t, "a confirmed write", func() bool { _, err := inc.Run(within(t), echo, []string{"k"}, "v1"); return err == nil })
	replica := set.Members[1]
	replica.Pause()
	for range 3 {
		_, err := inc.Run(within(t), echo, []string{"k"}, "v2")
		if err == nil || !node.Sent(err) && !errors.Is(err, node.ErrOpen) {
			t.Fatalf("a write that the replica has not seen: %v", err)
		}
	}
	eventually(t, "the node's state tells", func() bool { return !n.State().Reachable })
	replica.Resume()
	eventually(t, "a confirmed write after all", func() bool {
		inc, err := n.Current(within(t))
		if err == nil {
			_, err = inc.Run(within(t), echo, []string{"k"}, "v3")
		}
		return err == nil
	})
}

// A primary that was replaced while it hung tells what it knew then, as if it were current: it must not count.
func TestFormerPrimaryIsNotBelieved(t *testing.T) {
	set := nodetest.StartSentinels(t, 2)
	url, links := set.LinkedURL()
	first := current(t, open(t, url), "")
	if _, err := first.Run(within(t), echo, []string{"k"}, "old"); err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		link.Cut() // who holds the first one never hears of the second
	}
	former := set.Primary()
	former.Pause()
	set.AwaitFailover(former)
	second := current(t, open(t, set.URL()), first.RunID)
	config := node.DefaultConfig(service.G1, set.URL())
	config.Timeout = 300 * time.Millisecond
	plain, err := node.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	eventually(t, "a plain client finds the new primary", func() bool { return plain.Set(t.Context(), "session", "s", 0).Err() == nil })
	eventually(t, "a write to the new primary", func() bool {
		_, err := second.Run(node.Insist(within(t)), echo, []string{"k"}, "new")
		return err == nil
	})
	direct := redis.NewClient(&redis.Options{Addr: former.Addr()})
	defer direct.Close()
	former.Resume()
	if got, err := direct.Get(t.Context(), "k").Result(); err != nil || got != "old" {
		t.Logf("the former primary had been told already: %q, %v", got, err)
	}
	for range 20 {
		var got string
		err := first.Do(node.Insist(within(t)), func(c *redis.Client) (err error) { got, err = c.Get(within(t), "k").Result(); return err })
		if err == nil {
			t.Fatalf("the former primary's %q was believed", got)
		}
	}
	set.AwaitWhole()
}

func TestAGroupLargerThanItsURLSaysIsRefused(t *testing.T) {
	set := nodetest.StartSentinels(t, 1)
	n := open(t, "redis://"+set.Sentinels[0].Addr()+"?master_name=pair&replicas=0")
	eventually(t, "the replica is noticed", func() bool {
		return n.State().LastError != "" && n.State().RunID == "" && n.State().Failures > 0
	})
	t.Log(n.State().LastError)
}

// clusterOf opens a cluster, and gives a bucket with the member that owns its slot.
func clusterOf(t *testing.T) (c *nodetest.Cluster, n *node.Node, bucket int, owner *nodetest.Server) {
	c = nodetest.StartCluster(t, 1)
	n = open(t, c.URL())
	bucket = 7
	return c, n, bucket, c.Owner(layout.Slot(bucket))
}

func TestSlotsOfBuckets(t *testing.T) {
	c, _, _, _ := clusterOf(t)
	for _, b := range layout.All() {
		if got, err := c.Members[0].Ask("CLUSTER", "KEYSLOT", layout.CPMeta(b)); err != nil || got != int64(layout.Slot(b)) {
			t.Fatalf("bucket %d: slot %d, says Redis %v, %v", b, layout.Slot(b), got, err)
		}
	}
}

func TestAMovedBucketIsAnotherRun(t *testing.T) {
	c, n, bucket, owner := clusterOf(t)
	one := n.Bucket(bucket)
	first := current(t, one, "")
	key := layout.CPMeta(bucket)
	if _, err := first.Run(within(t), echo, []string{key}, "v1"); err != nil {
		t.Fatal(err)
	}
	to := c.Members[0]
	if to == owner {
		to = c.Members[1]
	}
	c.Migrate(layout.Slot(bucket), to)
	_, err := first.Run(within(t), echo, []string{key}, "late")
	if !errors.Is(err, node.ErrRestarted) || node.Sent(err) {
		t.Fatalf("a write at the former owner: %v", err)
	}
	config := node.DefaultConfig(service.G1, c.URL())
	plain, err := node.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if got, err := plain.Get(t.Context(), key).Result(); err != nil || got != "v1" {
		t.Fatalf("a plain client reads %q, %v", got, err)
	}
	second := current(t, one, first.RunID)
	var got string
	err = second.Do(within(t), func(c *redis.Client) (err error) { got, err = c.Get(within(t), key).Result(); return err })
	if err != nil || got != "v1" {
		t.Fatalf("after the move: %q, %v", got, err)
	}
}

func TestFormerMemberIsNotBelieved(t *testing.T) {
	c, n, bucket, former := clusterOf(t)
	one := n.Bucket(bucket)
	first := current(t, one, "")
	key := layout.CPMeta(bucket)
	if _, err := first.Run(within(t), echo, []string{key}, "old"); err != nil {
		t.Fatal(err)
	}
	former.Pause()
	c.AwaitFailover(layout.Slot(bucket), former)
	if _, err := c.Owner(layout.Slot(bucket)).Ask("SET", key, "new"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the whole is as bad as its worst member", func() bool { return !n.State().Reachable })
	former.Resume()
	for range 20 {
		var got string
		err := first.Do(node.Insist(within(t)), func(c *redis.Client) (err error) { got, err = c.Get(within(t), key).Result(); return err })
		if err == nil {
			t.Fatalf("the former primary's %q was believed", got)
		}
	}
	second := current(t, one, first.RunID)
	eventually(t, "its successor is believed once it has a majority", func() bool {
		var got string
		err := second.Do(node.Insist(within(t)), func(c *redis.Client) (err error) { got, err = c.Get(within(t), key).Result(); return err })
		return err == nil && got == "new"
	})
	eventually(t, "the whole is well", func() bool { return n.State().Reachable && n.State().Name == service.G1 })
}
