// Package node speaks to one Redis node: it binds every connection to one run of the Redis process, guards it with a
// circuit breaker, and tells errors that surely had no effect from those that may have had one.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"

	"captop/service"
)

// Config says which node, and how patient to be with it.
type Config struct {
	Name            string        // service.G1 or service.G2
	URL             string        // redis:// or rediss://; with ?master_name= for Sentinel, ?cluster=true for Redis Cluster
	Timeout         time.Duration // of a dial, and of a background contact
	BreakerFailures uint32        // consecutive failures that open the breaker
	BreakerOpenFor  time.Duration // how long it stays OPEN before a probe
	Now             func() time.Time
	Logger          *slog.Logger
}

// DefaultConfig is what the settings' defaults come to.
func DefaultConfig(name, url string) Config {
	return Config{Name: name, URL: url, Timeout: 2 * time.Second, BreakerFailures: 5, BreakerOpenFor: 2 * time.Second,
		Now: time.Now, Logger: slog.Default()}
}

// heartbeat is how often an idle node is contacted, so that its state is known without traffic.
const heartbeat = 250 * time.Millisecond

// Node is one Redis node as this instance sees it. Safe for concurrent use.
type Node struct {
	config  Config
	place   place
	locate  func(context.Context) (addr string, err error)
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	health  *health
	stop    context.CancelFunc
	stopped sync.WaitGroup
	cluster *cluster // the node is a cluster, or what a cluster is for one bucket: the fields above and below have no use then
	bucket  int

	dialing chan struct{} // holds one token: who has it may replace current
	mu      sync.Mutex    // guards current
	current *Incarnation
}

// Open starts watching the node. A node that can't be reached is no error; a URL that can't be used is.
func Open(config Config) (*Node, error) {
	at, err := parseURL(config.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of %s: %w", config.Name, err)
	}
	if at.clustered {
		return openCluster(config, at), nil
	}
	return start(config, at), nil
}

// start watches one process, or one group under Sentinels.
func start(config Config, at place) *Node {
	n := &Node{config: config, place: at, locate: at.locator(config.Timeout), health: newHealth(config), dialing: make(chan struct{}, 1)}
	n.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Name:          config.Name,
		MaxRequests:   1,
		Timeout:       config.BreakerOpenFor,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= config.BreakerFailures },
		OnStateChange: n.health.breakerChanged,
		IsSuccessful:  func(err error) bool { return !isFailure(err) },
		IsExcluded:    saysNothing,
	})
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.stopped.Go(func() { n.beat(ctx) })
	return n
}

// Name gives db_g1 or db_g2.
func (n *Node) Name() string { return n.config.Name }

// Close ends the watch and every connection.
func (n *Node) Close() error {
	if n.cluster != nil {
		return n.cluster.close()
	}
	n.stop()
	n.stopped.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil {
		return nil
	}
	n.current.over.Store(true)
	return n.current.client.Close()
}

// State tells what is known of the node, without I/O. Rejoin, staleness and queue are the mode's to fill in.
func (n *Node) State() service.NodeState {
	if n.cluster != nil {
		return n.cluster.state(n.bucket)
	}
	state := n.health.state()
	state.Breaker = n.health.breaker(n.breaker.State())
	if inc := n.peek(); inc != nil {
		state.RunID = inc.RunID
	}
	return state
}

// Standing is what State tells of whether the node can be asked, for those who want to know it for every request.
type Standing struct {
	Reachable bool   // the last contact succeeded
	Closed    bool   // the breaker is CLOSED
	RunID     string // of the Redis process last spoken to
}

// Standing tells whether the node can be asked, without I/O.
func (n *Node) Standing() Standing {
	if n.cluster != nil {
		owner, err := n.cluster.owner(n.bucket)
		if err != nil {
			return Standing{Closed: true} // there is no breaker, either
		}
		return owner.Standing()
	}
	standing := n.health.standing()
	if inc := n.peek(); inc != nil {
		standing.RunID = inc.RunID
	}
	return standing
}

// Current gives the incarnation that is running now, connecting to it where there is none yet. Errors: ErrOpen,
// ErrRestarted, the context's, or what the dial met; none of them had an effect on the node.
func (n *Node) Current(ctx context.Context) (*Incarnation, error) {
	if n.cluster != nil {
		owner, err := n.cluster.owner(n.bucket)
		if err != nil {
			return nil, err
		}
		return owner.Current(ctx)
	}
	if inc := n.peek(); inc != nil {
		return inc, nil
	}
	select {
	case n.dialing <- struct{}{}:
		defer func() { <-n.dialing }()
	case <-ctx.Done():
		return nil, &connectError{node: n.config.Name, err: ctx.Err()}
	}
	if inc := n.peek(); inc != nil {
		return inc, nil
	}
	var inc *Incarnation
	err := n.guarded(ctx, func() (err error) {
		inc, err = n.incarnate(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	n.replace(inc)
	return inc, nil
}

// peek gives the current incarnation if it is not known to be over, else nil.
func (n *Node) peek() *Incarnation {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current == nil || n.current.over.Load() {
		return nil
	}
	return n.current
}

func (n *Node) replace(inc *Incarnation) {
	n.mu.Lock()
	old := n.current
	n.current = inc
	n.mu.Unlock()
	if old == nil {
		return
	}
	old.client.Close() // its process is gone, or is no primary any more; nobody waits for its answer
	if old.RunID != inc.RunID {
		n.config.Logger.Info("NODE_RESTARTED", "node", n.config.Name, "run_id", inc.RunID, "before", old.RunID)
	}
}

// incarnate connects to the node and binds the new pool to the run that it finds. A group's primary must have a
// majority behind it before it is asked anything.
func (n *Node) incarnate(ctx context.Context) (*Incarnation, error) {
	addr, err := n.locate(ctx)
	if err != nil {
		return nil, &connectError{node: n.config.Name, err: err}
	}
	inc := &Incarnation{node: n, addr: addr}
	if n.place.grouped() {
		inc.fence = &fence{inc: inc}
	}
	options := n.place.clientOptions(n.config, addr)
	options.OnConnect, options.Dialer = inc.verify, unseenFailures(n.config.Name, inc.familiar(redis.NewDialer(options)))
	inc.client = redis.NewClient(options)
	inc.client.AddHook(refusedPipelines{})
	err = inc.client.Ping(ctx).Err()
	if err == nil && inc.fence != nil {
		err = inc.fence.pass(ctx)
	}
	if err != nil {
		inc.client.Close()
		return nil, &connectError{node: n.config.Name, err: err}
	}
	return inc, nil
}

// insisting is the context key of Insist.
type insisting struct{}

// Insist makes contacts under ctx pass a breaker that is not CLOSED: for probes of the caller's own, and for callers that
// learned by one that the node is back before the breaker did.
func Insist(ctx context.Context) context.Context { return context.WithValue(ctx, insisting{}, true) }

func insists(ctx context.Context) bool { return ctx.Value(insisting{}) != nil }

// guarded runs one contact through the breaker and keeps the books.
func (n *Node) guarded(ctx context.Context, contact func() error) error {
	done, err := n.allow(ctx)
	if err != nil {
		return err
	}
	err = contact()
	n.contacted(done, err)
	return err
}

// allow asks the breaker for one contact; contacted is to be told how it went.
func (n *Node) allow(ctx context.Context) (done func(error), err error) {
	if err := ctx.Err(); err != nil {
		return nil, &connectError{node: n.config.Name, err: err} // too late to blame the node
	}
	done, err = n.breaker.Allow()
	switch {
	case err != nil && !insists(ctx):
		return nil, fmt.Errorf("%s: %w", n.config.Name, ErrOpen)
	case err != nil:
		return func(error) {}, nil // the breaker takes no part in this one
	}
	return done, nil
}

func (n *Node) contacted(done func(error), err error) {
	done(err)
	n.health.contacted(err)
}

// beat contacts the node at every heartbeat, so that a restart is noticed and a breaker closes without traffic.
func (n *Node) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		n.ping(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *Node) ping(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, n.config.Timeout)
	defer cancel()
	if n.place.grouped() && n.relocated(ctx) {
		ctx = Insist(ctx) // the breaker is about the former primary
	}
	inc, err := n.Current(ctx)
	if err != nil {
		return // the books have it
	}
	// What the ping met is in the books too; there is nobody to tell, but for the map of a cluster.
	if inc.Do(ctx, func(client *redis.Client) error { return client.Ping(ctx).Err() }) != nil && n.place.member != nil {
		n.place.member.suspect()
	}
}

// relocated reports whether a group that does not answer has another primary now, and ends the incarnation then.
func (n *Node) relocated(ctx context.Context) bool {
	inc := n.peek()
	if inc == nil || n.health.state().Reachable {
		return false
	}
	addr, err := n.locate(ctx)
	if err != nil || addr == inc.addr {
		return false
	}
	inc.over.Store(true)
	return true
}
