// Package ap keeps the promise to answer rather than wait: each key is a last-writer-wins register on two nodes. A
// write is acknowledged by one of them and carried to the other behind it; a read says how far behind it may be.
package ap

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

// side names one of the two nodes by its place: the preferred one first.
type side int

const (
	g1 side = 0
	g2 side = 1
)

func (s side) peer() side { return 1 - s }

// Config says where to keep data and which bounds to keep.
type Config struct {
	G1, G2       *node.Node
	Buckets      []int         // the only ones to serve, where the nodes are those of a bucket; nil for all
	Polls        *Polls        // shared by the stores of an instance; nil where it has one
	Timeout      time.Duration // NETWORK_TIMEOUT_SEC: bounds a whole request, and each contact of the background work
	MaxStaleness time.Duration // MAX_STALENESS_MS: an answer that may be older is marked stale
	MaxClockSkew time.Duration // between an instance and a node, or a stored write: beyond it writes are refused
	Instance     string
	Now          func() time.Time
	Logger       *slog.Logger
}

// Store keeps the promise of AP. Many may run on the same two nodes.
type Store struct {
	config  Config
	meta    string        // the key of what a node says about itself
	lease   string        // the key of who carries its dirty keys to the peer
	batches string        // the key of the batches that the peer lacks
	slow    time.Duration // factor of all intervals
	nodes   [2]*node.Node
	clock   *clock
	origin  string // of the stamps that it draws, as registers have it
	watch   [2]*watch
	flows   [2]*flow // by the side that they carry from
	writes  [2]*node.Lane[item, any]
	reads   [2]*node.Lane[string, reading]
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Open starts a store; nodes that are away now may come later. Close ends it, and not the nodes.
func Open(config Config) (*Store, error) {
	switch {
	case config.G1 == nil || config.G2 == nil:
		return nil, errors.New("opening the AP store: it needs two nodes")
	case config.Timeout <= 0 || config.MaxStaleness <= 0 || config.MaxClockSkew <= 0:
		return nil, errors.New("opening the AP store: timeout, staleness and clock skew must be above zero")
	}
	meta, lease, batches, slow := layout.APMeta, layout.APLease, layout.APBatches, time.Duration(1)
	if config.Buckets == nil {
		config.Buckets = layout.All()
	} else {
		b := config.Buckets[0]
		meta, lease, batches, slow = layout.APMetaOf(b), layout.APLeaseOf(b), layout.APBatchesOf(b), bucketSlow
	}
	if config.Polls == nil {
		config.Polls = NewPolls()
	}
	// Numbers below 2^53 are exact in Lua; two instances share an origin once in 10^14.
	origin := rand.Int64N(1 << 48)
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{config: config, meta: meta, lease: lease, batches: batches, slow: slow, nodes: [2]*node.Node{config.G1, config.G2}, stop: cancel,
		clock: &clock{now: config.Now, origin: origin, maxSkew: config.MaxClockSkew}, origin: decimal(origin)}
	holder := config.Instance + "/" + s.origin
	for _, which := range []side{g1, g2} {
		s.watch[which] = newWatch(config.Now())
		s.flows[which] = newFlow(s, which, holder)
		s.writes[which], s.reads[which] = node.NewLane(s.flows[which].send), node.NewLane(readsOf(meta))
	}
	for _, which := range []side{g1, g2} {
		s.done.Go(func() { config.Polls.every(ctx, slow*pollEvery, func() { s.pollUnlessQuiet(ctx, which) }) })
		s.done.Go(func() { s.rejoinWhenNeeded(ctx, which) })
		s.done.Go(func() { s.flows[which].run(ctx) })
	}
	return s, nil
}

// Close ends the background work.
func (s *Store) Close() error {
	s.stop()
	s.done.Wait()
	return nil
}

// Newer reports whether version a is at least as new as b.
func (s *Store) Newer(a, b service.Version) (bool, error) {
	first, err := parseVersion(a)
	if err != nil {
		return false, err
	}
	second, err := parseVersion(b)
	if err != nil {
		return false, err
	}
	return !first.before(second), nil
}

// Nodes answers the state of both nodes from memory. The staleness of a node of which nothing is known counts from
// 1970, as does that of a node that came back empty and is not reconciled yet.
func (s *Store) Nodes() []service.NodeState {
	now := s.config.Now()
	states := make([]service.NodeState, 2)
	for _, which := range []side{g1, g2} {
		state := s.nodes[which].State()
		own := s.watch[which].view()
		peer := s.watch[which.peer()].view()
		state.Staleness = staleness(own, peer, now)
		if peer != nil {
			state.QueueDepth = peer.depth
		}
		if own != nil {
			state.Settle(s.rejoinState(which, own), own.inc.RunID)
		}
		if err := s.watch[which].skew(); err != nil {
			state.ClockError = err.Error()
		}
		states[which] = state
	}
	return states
}

// order gives both sides, the one to ask first in front: a node that answers and is reconciled before one that is not
// reconciled, before one that can't be reached; db_g1 among equals.
func (s *Store) order() [2]side {
	if s.rank(g2) < s.rank(g1) {
		return [2]side{g2, g1}
	}
	return [2]side{g1, g2}
}

const (
	rankGood = iota
	rankUnsettled
	rankAway
)

func (s *Store) rank(which side) int {
	standing := s.nodes[which].Standing()
	own := s.watch[which].view()
	switch {
	case !standing.Reachable:
		return rankAway
	case own == nil, !own.settled, own.inc.RunID != standing.RunID:
		return rankUnsettled
	}
	return rankGood
}

// insist lets requests pass the breaker of a node that answered when it was last asked, as polls ask it now and then whatever
// the breaker says: that may be open for failures from before a fault was mended, or not have noticed yet that it was, and the
// other node may just have gone.
func (s *Store) insist(ctx context.Context, which side) context.Context {
	if standing := s.nodes[which].Standing(); standing.Reachable && !standing.Closed {
		return node.Insist(ctx)
	}
	return ctx
}

// attempt bounds the first of two attempts: a node that hangs may not use up the time in which the other could answer.
func (s *Store) attempt(ctx context.Context, now time.Time, other side) *service.Limit {
	deadline, _ := ctx.Deadline()
	share := deadline.Sub(now) / 3
	if s.rank(other) == rankAway {
		share *= 2
	}
	return service.Until(ctx, now.Add(share))
}
