package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/layout"
)

// mapEvery is how often a cluster is asked who owns what, mapPause how soon it is asked again where something was amiss.
const (
	mapEvery = time.Second
	mapPause = 50 * time.Millisecond
)

// whole stands in the place of a bucket for the whole node.
const whole = -1

// errNoOwner: nobody is known to own the slot of a bucket.
var errNoOwner = errors.New("no member of the cluster is known to own this key's slot")

// cluster is a node that is a Redis Cluster: who owns the slot of which bucket. Each member that owns one is a node of its own,
// with its own breaker and runs.
type cluster struct {
	config  Config
	place   place
	stale   chan struct{} // somebody was told that the map is not right
	stop    context.CancelFunc
	stopped sync.WaitGroup
	asking  map[string]*redis.Client // by address: of the members that are asked for the map; follow's own

	mu      sync.Mutex
	owners  [layout.Buckets]string // addresses; "" while unknown
	members map[string]*Node       // by address; they own a bucket
	known   []string               // addresses of all that can be asked
	lastErr error
	gone    [2]uint64 // attempts and failures of those that are no members any more
}

func openCluster(config Config, at place) *Node {
	c := &cluster{config: config, place: at, stale: make(chan struct{}, 1), asking: map[string]*redis.Client{}, members: map[string]*Node{},
		known: append([]string{at.options.Addr}, at.addrs...), lastErr: errors.New("not contacted yet")}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.stopped.Go(func() { c.follow(ctx) })
	return &Node{config: config, cluster: c, bucket: whole}
}

// Clustered reports whether the node is a Redis Cluster: only what Bucket gives can be asked then.
func (n *Node) Clustered() bool { return n.cluster != nil }

// Bucket gives the node as it is for one bucket: of a Redis Cluster, the member that owns its slot at the time. Not to be
// closed.
func (n *Node) Bucket(bucket int) *Node {
	if n.cluster == nil {
		return n
	}
	return &Node{config: n.config, cluster: n.cluster, bucket: bucket}
}

// follow keeps the map until ctx ends.
func (c *cluster) follow(ctx context.Context) {
	ticker := time.NewTicker(mapEvery)
	defer ticker.Stop()
	defer c.keepAsking(nil)
	for ctx.Err() == nil {
		c.refresh(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-c.stale:
			select {
			case <-ctx.Done():
			case <-time.After(mapPause):
			}
		}
	}
}

// suspect has the map read anew soon.
func (c *cluster) suspect() {
	select {
	case c.stale <- struct{}{}:
	default:
	}
}

// moved takes in the error of a member that does not own a slot any more: MOVED slot host:port.
func (c *cluster) moved(reply error) {
	c.suspect()
	fields := strings.Fields(reply.Error())
	if len(fields) < 3 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := range c.owners {
		if strconv.Itoa(layout.Slot(b)) == fields[1] && c.members[fields[2]] != nil {
			c.owners[b] = fields[2]
		}
	}
}

// claim is that a member owns the slot of a bucket.
type claim struct {
	addr  string
	epoch int64 // the higher one wins
}

// opinions are what one member says of the cluster.
type opinions struct {
	claims [layout.Buckets]claim
	known  []string
	err    error
}

// refresh asks all members and believes, for each slot, the newest claim that a majority of them, or those that answer in
// time, know of. A wrong one does no harm: the group does not confirm what a former owner says.
func (c *cluster) refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout/2)
	defer cancel()
	c.mu.Lock()
	asked := c.known
	c.mu.Unlock()
	answers := make(chan opinions, len(asked))
	c.keepAsking(asked)
	for _, addr := range asked {
		client := c.asking[addr]
		go func() { answers <- ask(ctx, client) }()
	}
	var best [layout.Buckets]claim
	known := append([]string{c.place.options.Addr}, c.place.addrs...)
	var lastErr error
	for answered, i := 0, 0; i < len(asked) && 2*answered <= len(asked); i++ {
		o := <-answers
		if o.err != nil {
			lastErr = o.err
			continue
		}
		answered++
		known = append(known, o.known...)
		for b, claim := range o.claims {
			if claim.addr != "" && claim.epoch >= best[b].epoch {
				best[b] = claim
			}
		}
	}
	slices.Sort(known)
	c.take(best, slices.Compact(known), lastErr)
}

// take makes a map the present one.
func (c *cluster) take(claims [layout.Buckets]claim, known []string, lastErr error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	owning := map[string]bool{}
	for b, claim := range claims {
		if claim.addr != "" {
			c.owners[b] = claim.addr
		}
		owning[c.owners[b]] = true
	}
	if lastErr != nil {
		c.lastErr = lastErr
	}
	if len(known) > len(c.place.addrs)+1 {
		c.known = known
	}
	delete(owning, "")
	for addr := range owning {
		if c.members[addr] == nil {
			c.members[addr] = c.openMember(addr)
		}
	}
	for addr, member := range c.members {
		if !owning[addr] {
			state := member.State()
			c.gone[0], c.gone[1] = c.gone[0]+state.Attempts, c.gone[1]+state.Failures
			delete(c.members, addr)
			c.stopped.Go(func() { _ = member.Close() })
		}
	}
}

func (c *cluster) openMember(addr string) *Node {
	config, at := c.config, c.place
	config.Name += " at " + addr
	options := *at.options
	options.Addr = addr
	at.options, at.member = &options, c
	return start(config, at)
}

// keepAsking has a client for each of these members, and for no other one. It keeps them from one refresh to the next: new
// connections are what a machine has no time for when it is short of it.
func (c *cluster) keepAsking(addrs []string) {
	for addr, client := range c.asking {
		if !slices.Contains(addrs, addr) {
			client.Close() // nobody waits for an answer of a member that is none any more
			delete(c.asking, addr)
		}
	}
	for _, addr := range addrs {
		if c.asking[addr] == nil {
			options := c.place.clientOptions(c.config, addr)
			options.PoolSize = 1
			c.asking[addr] = redis.NewClient(options)
		}
	}
}

// ask reads what one member says.
func ask(ctx context.Context, client *redis.Client) opinions {
	addr := client.Options().Addr
	text, err := client.ClusterNodes(ctx).Result()
	if err != nil {
		return opinions{err: fmt.Errorf("asking the cluster member at %s: %w", addr, err)}
	}
	return readNodes(text, addr)
}

// readNodes reads CLUSTER NODES as the member at addr has answered it: id, address, flags, primary, two times, epoch, link, slots.
func readNodes(text, addr string) opinions {
	var o opinions
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 || strings.Contains(fields[2], "noaddr") || strings.Contains(fields[2], "handshake") {
			continue
		}
		at, _, _ := strings.Cut(fields[1], "@")
		if host, port, err := net.SplitHostPort(at); err == nil && host == "" {
			host, _, _ = net.SplitHostPort(addr) // it does not know its own
			at = net.JoinHostPort(host, port)
		}
		o.known = append(o.known, at)
		epoch, err := strconv.ParseInt(fields[6], 10, 64)
		if err != nil {
			return opinions{err: fmt.Errorf("asking the cluster member at %s: its answer has an epoch %q", addr, fields[6])}
		}
		for _, slots := range fields[8:] {
			from, to, isRange := strings.Cut(slots, "-")
			if !isRange {
				to = from
			}
			first, err1 := strconv.Atoi(from)
			last, err2 := strconv.Atoi(to)
			if err1 != nil || err2 != nil {
				continue // a slot on its way: [93-<-ID]
			}
			for b := range o.claims {
				if slot := layout.Slot(b); first <= slot && slot <= last {
					o.claims[b] = claim{at, epoch}
				}
			}
		}
	}
	return o
}

// owner gives the member that owns a bucket's slot.
func (c *cluster) owner(bucket int) (*Node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if member := c.members[c.owners[bucket]]; member != nil {
		return member, nil
	}
	return nil, &connectError{node: c.config.Name, err: fmt.Errorf("%w: %w", errNoOwner, c.lastErr)}
}

// bucketsOf gives the buckets of one member.
func (c *cluster) bucketsOf(addr string) (buckets []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for b, owner := range c.owners {
		if owner == addr {
			buckets = append(buckets, b)
		}
	}
	return buckets
}

// state is that of the member that owns a bucket, or of the worst of all for the whole.
func (c *cluster) state(bucket int) service.NodeState {
	if bucket != whole {
		member, err := c.owner(bucket)
		if err != nil {
			return service.NodeState{Name: c.config.Name, LastError: err.Error(), Breaker: service.Breaker{Node: c.config.Name}}
		}
		return c.named(member.State())
	}
	c.mu.Lock()
	members := make([]*Node, 0, len(c.members))
	for _, member := range c.members {
		members = append(members, member)
	}
	worst := service.NodeState{LastError: c.lastErr.Error()}
	attempts, failures := c.gone[0], c.gone[1]
	c.mu.Unlock()
	for i, member := range members {
		state := member.State()
		attempts, failures = attempts+state.Attempts, failures+state.Failures
		if i == 0 || worse(state, worst) {
			worst = state
		}
	}
	worst.Attempts, worst.Failures = attempts, failures
	return c.named(worst)
}

func (c *cluster) named(state service.NodeState) service.NodeState {
	state.Name, state.Breaker.Node = c.config.Name, c.config.Name
	return state
}

// worse reports whether a is in a worse state than b; of two that are as bad, the one that has been so for longer.
func worse(a, b service.NodeState) bool {
	switch {
	case a.Reachable != b.Reachable:
		return !a.Reachable
	case a.Breaker.State != b.Breaker.State:
		return a.Breaker.State > b.Breaker.State
	}
	return a.Since.Before(b.Since)
}

func (c *cluster) close() error {
	c.stop()
	c.mu.Lock()
	members := c.members
	c.members = map[string]*Node{}
	c.mu.Unlock()
	var all error
	for _, member := range members {
		all = errors.Join(all, member.Close())
	}
	c.stopped.Wait()
	return all
}
