package nodetest

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// slots is how many hash slots a Redis Cluster has.
const slots = 16384

// Cluster is a Redis Cluster of three primaries with one replica each, six processes.
type Cluster struct {
	Members []*Server
	ids     map[string]*Server // by node id
	t       testing.TB
}

// clusterPrimaries is how many primaries a cluster begins with.
const clusterPrimaries = 3

// StartCluster runs a cluster with that many replicas of each primary until the test ends, and waits until it is whole.
func StartCluster(t testing.TB, replicas int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, ids: map[string]*Server{}}
	buses := map[*Server]string{}
	for range clusterPrimaries * (1 + replicas) {
		_, bus, _ := net.SplitHostPort(FreeAddr(t))
		member := startMember(t, "cluster-enabled yes", "cluster-node-timeout "+downAfter, "cluster-port "+bus,
			"cluster-allow-replica-migration no", "cluster-require-full-coverage no")
		buses[member] = bus
		c.Members = append(c.Members, member)
		id, err := member.Ask("CLUSTER", "MYID")
		if err != nil {
			t.Fatal(err)
		}
		c.ids[id.(string)] = member
	}
	for i, member := range c.Members {
		member.must([]any{"CLUSTER", "SET-CONFIG-EPOCH", i + 1})
		if i < clusterPrimaries {
			member.must([]any{"CLUSTER", "ADDSLOTSRANGE", i * slots / clusterPrimaries, (i+1)*slots/clusterPrimaries - 1})
		}
	}
	for _, member := range c.Members[1:] {
		host, port, _ := net.SplitHostPort(member.addr)
		c.Members[0].must([]any{"CLUSTER", "MEET", host, port, buses[member]})
	}
	for i, member := range c.Members[clusterPrimaries:] {
		primary := c.id(c.Members[i%clusterPrimaries])
		await(t, "a replica attaches", func() error { _, err := member.Ask("CLUSTER", "REPLICATE", primary); return err })
	}
	c.AwaitWhole()
	return c
}

// URL leads to the cluster by way of three of its members.
func (c *Cluster) URL() string {
	return fmt.Sprintf("redis://%s?cluster=true&replicas=%d&addr=%s&addr=%s", c.Members[0].addr,
		len(c.Members)/clusterPrimaries-1, c.Members[1].addr, c.Members[len(c.Members)-1].addr)
}

func (c *Cluster) id(of *Server) string {
	for id, member := range c.ids {
		if member == of {
			return id
		}
	}
	return ""
}

// clusterNode is a line of CLUSTER NODES.
type clusterNode struct {
	id, primary string
	flags       string
	linked      bool
	slots       []string
}

// nodes reads what a member says of all.
func (c *Cluster) nodes(member *Server) ([]clusterNode, error) {
	answer, err := member.Ask("CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	var all []clusterNode
	for line := range strings.Lines(answer.(string)) {
		if f := strings.Fields(line); len(f) >= 8 {
			all = append(all, clusterNode{id: f[0], flags: f[2], primary: f[3], linked: f[7] == "connected", slots: f[8:]})
		}
	}
	return all, nil
}

// Owner is the primary that serves a slot, as most members see it.
func (c *Cluster) Owner(slot int) *Server {
	c.t.Helper()
	var owner *Server
	await(c.t, fmt.Sprintf("one owner of slot %d", slot), func() error {
		votes := map[*Server]int{}
		for _, member := range c.Members {
			nodes, err := c.nodes(member)
			if err != nil {
				continue
			}
			for _, n := range nodes {
				if n.has(slot) {
					votes[c.ids[n.id]]++
				}
			}
		}
		for server, count := range votes {
			if 2*count > len(c.Members) {
				owner = server
				return nil
			}
		}
		return fmt.Errorf("votes: %v", votes)
	})
	return owner
}

func (n clusterNode) has(slot int) bool {
	for _, text := range n.slots {
		from, to := 0, 0
		switch count, _ := fmt.Sscanf(text, "%d-%d", &from, &to); count {
		case 1:
			to = from
		case 0:
			continue
		}
		if from <= slot && slot <= to {
			return true
		}
	}
	return false
}

// AwaitFailover waits until another member than before owns the slot.
func (c *Cluster) AwaitFailover(slot int, before *Server) {
	c.t.Helper()
	await(c.t, "a failover from "+before.addr, func() error {
		if now := c.Owner(slot); now == before || now.Role() != "master" {
			return fmt.Errorf("slot %d is still %s's", slot, now.addr)
		}
		return nil
	})
}

// AwaitWhole waits until every member sees every other one, every slot is served and every replica is in step.
func (c *Cluster) AwaitWhole() {
	c.t.Helper()
	await(c.t, "a whole cluster", func() error {
		for _, member := range c.Members {
			if err := c.whole(member); err != nil {
				return fmt.Errorf("as %s sees it: %w", member.addr, err)
			}
		}
		return nil
	})
}

func (c *Cluster) whole(seenBy *Server) error {
	nodes, err := c.nodes(seenBy)
	if err != nil {
		return err
	}
	if len(nodes) != len(c.Members) {
		return fmt.Errorf("%d members", len(nodes))
	}
	state, err := seenBy.Ask("CLUSTER", "INFO")
	if err != nil {
		return err
	}
	for _, want := range []string{"cluster_state:ok", fmt.Sprint("cluster_slots_ok:", slots)} {
		if !strings.Contains(state.(string), want) {
			return fmt.Errorf("not yet %s", want)
		}
	}
	replicas := 0
	for _, n := range nodes {
		if strings.Contains(n.flags, "fail") || !n.linked || strings.Contains(n.flags, "handshake") {
			return fmt.Errorf("%s is %s", c.ids[n.id].addr, n.flags)
		}
		if primary := c.ids[n.primary]; primary != nil {
			replicas++
			if err := attached(c.ids[n.id], primary); err != nil {
				return err
			}
		}
	}
	if want := len(c.Members) - clusterPrimaries; replicas != want {
		return fmt.Errorf("%d of %d replicas", replicas, want)
	}
	return nil
}

// Migrate moves a slot with all its keys to another primary, as redis-cli --cluster reshard does.
func (c *Cluster) Migrate(slot int, to *Server) {
	c.t.Helper()
	from := c.Owner(slot)
	if from == to {
		return
	}
	fromID, toID := c.id(from), c.id(to)
	to.must([]any{"CLUSTER", "SETSLOT", slot, "IMPORTING", fromID})
	from.must([]any{"CLUSTER", "SETSLOT", slot, "MIGRATING", toID})
	host, port, _ := net.SplitHostPort(to.addr)
	await(c.t, "the keys of a slot move", func() error {
		answer, err := from.Ask("CLUSTER", "GETKEYSINSLOT", slot, 10)
		if err != nil {
			return err
		}
		keys := answer.([]any)
		if len(keys) == 0 {
			return nil
		}
		if _, err := from.Ask(append([]any{"MIGRATE", host, port, "", 0, 5000, "REPLACE", "KEYS"}, keys...)...); err != nil {
			return err
		}
		return fmt.Errorf("more to move")
	})
	to.must([]any{"CLUSTER", "SETSLOT", slot, "NODE", toID})
	for _, member := range c.Members {
		if member.Role() == "master" {
			member.must([]any{"CLUSTER", "SETSLOT", slot, "NODE", toID})
		}
	}
}
