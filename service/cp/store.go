// Package cp refuses rather than lies: a two-node chain with apportioned queries (CRAQ), every key linearizable.
//
// db_g2 is the head, which promises versions; db_g1 is the tail, the only place where a write is decided. A write is
// prepared at the head, committed at the tail, acknowledged, and finished at the head in the background. A node that
// has restarted may have lost its newest changes: each key is settled with the peer before it is believed. steps.go is
// the protocol; lua/ holds the steps that the nodes take; store.go and run.go drive them; marks.go notes at the head what is in
// flight, watch.go resolves what was left so, and sweep.go settles restarted nodes key by key.
package cp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"captop/service"
	"captop/service/layout"
	"captop/service/node"
)

// Config says which nodes, and how patient to be.
type Config struct {
	G1, G2   *node.Node
	Buckets  []int         // the only ones to serve, where the nodes are those of a bucket; nil for all
	Turns    *Turns        // shared by the stores of an instance; nil where it has one
	Timeout  time.Duration // NETWORK_TIMEOUT_SEC: after this a write in flight is anybody's to resolve
	Instance string
	Now      func() time.Time
	Logger   *slog.Logger
}

// Store keeps the promise of CP. Many may run on the same two nodes.
type Store struct {
	config Config
	nodes  [2]*node.Node // by side
	lanes  [2]lanes      // by side
	marks  *marks
	watch  watch
	turn   atomic.Uint64 // of reads, between the nodes
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// Open starts a store; nodes that are away now may come later. Close ends it, and not the nodes.
func Open(config Config) (*Store, error) {
	if config.G1 == nil || config.G2 == nil || config.Timeout <= 0 {
		return nil, errors.New("opening the CP store: it needs two nodes and a timeout above zero")
	}
	looks := watchEvery
	if config.Buckets == nil {
		config.Buckets = layout.All()
	} else {
		looks *= 2 // there are 64 stores then
	}
	turns := config.Turns
	if turns == nil {
		turns = NewTurns()
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Store{config: config, nodes: [2]*node.Node{head: config.G2, tail: config.G1}, marks: newMarks(layout.CPBatches), stop: cancel}
	if b, ok := s.lone(); ok {
		s.marks = newMarks(layout.CPBatchesOf(b))
	}
	s.lanes = [2]lanes{newLanes(s.marks), newLanes(s.marks)}
	s.watch.start(config.Now())
	for _, which := range []side{tail, head} {
		s.done.Go(func() { every(ctx, looks, turns.looks, func(ctx context.Context) { s.lookAt(ctx, which) }) })
	}
	s.done.Go(func() { every(ctx, looks, turns.sweeps, s.sweepNodes) })
	s.done.Go(func() { s.clearMarks(ctx) })
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
	x, err := strconv.ParseUint(string(a), 10, 64)
	if err != nil {
		return false, fmt.Errorf("comparing versions: %q is not one of CP", a)
	}
	y, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return false, fmt.Errorf("comparing versions: %q is not one of CP", b)
	}
	return x >= y, nil
}

// attempts bounds how often an operation starts over because a node turned out to have restarted: nothing of it has
// taken effect then.
const attempts = 4

// Write makes value the value of key at both nodes, or says why not.
func (s *Store) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	for which, node := range s.nodes {
		if s.watch.emptied[which].Load() { // to promise what db_g1 cannot take leaves an outcome that nobody knows
			return service.Written{}, refusal(emptiedError{node.Name()}, service.NotApplied)
		}
	}
	var t task
	var err error
	tx := rand.Text()
	inner, cancel := withReserve(ctx)
	defer cancel()
	for range attempts {
		p := s.newPair()
		if err = p.both(inner); err == nil {
			t, err = s.runWithin(ctx, inner, p, key, newWrite(p.runs(), tx, string(value)))
			s.leave(key, p, t)
		}
		if !errors.Is(err, node.ErrRestarted) || t.n != "" {
			break // or a promise was had: a second one could make the write appear twice
		}
	}
	switch t.result {
	case applied:
		return service.Written{Key: key, Version: service.Version(t.n), Nodes: []string{service.G1, service.G2},
			Outcome: service.Applied}, nil
	case unknown:
		return service.Written{}, refusal(err, service.Unknown)
	}
	return service.Written{}, refusal(err, service.NotApplied)
}

// Read answers the newest value of key, or refuses.
func (s *Store) Read(ctx context.Context, key string, options service.ReadOptions) (service.Value, error) {
	sides, err := s.readOrder(options.Node)
	if err != nil {
		return service.Value{}, err
	}
	var t task
	for range attempts {
		for i, at := range sides {
			t, err = s.readAt(ctx, key, at, i < len(sides)-1)
			if err == nil {
				return s.answer(key, t, at, options.After)
			}
		}
		if !errors.Is(err, node.ErrRestarted) {
			break
		}
	}
	return service.Value{}, refusal(err, "")
}

// readOrder gives the nodes to ask, in order. Turns share the load between them.
func (s *Store) readOrder(name string) ([]side, error) {
	switch name {
	case service.G1:
		return []side{tail}, nil
	case service.G2:
		return []side{head}, nil
	case "":
		if s.turn.Add(1)%2 == 0 {
			return []side{head, tail}, nil
		}
		return []side{tail, head}, nil
	}
	return nil, &service.Error{Code: service.CodeBadRequest, Message: fmt.Sprintf("there is no node %q; name %s or %s", name, service.G1, service.G2)}
}

// readAt reads at one node first. Where another is left to try, a node that hangs may take half of the time only.
func (s *Store) readAt(ctx context.Context, key string, at side, more bool) (task, error) {
	if deadline, ok := ctx.Deadline(); ok && more {
		half := service.Until(ctx, deadline.Add(-time.Until(deadline)/2))
		defer half.Stop()
		ctx = half
	}
	return s.run(ctx, s.newPair(), key, newRead([2]string{}, at))
}

func (s *Store) answer(key string, t task, at side, after service.Version) (service.Value, error) {
	if after != "" && t.result == absent {
		t.n = "0"
	}
	if after != "" {
		newer, err := s.Newer(service.Version(t.n), after)
		if err == nil && !newer {
			return service.Value{}, &service.Error{Code: service.CodeRejoining,
				Message: fmt.Sprintf("the nodes hold version %s of this key, older than the session's %s: both have lost data", t.n, after)}
		}
	}
	if t.result == absent {
		return service.Value{}, &service.Error{Code: service.CodeNotFound, Message: fmt.Sprintf("the key %q was never written", key)}
	}
	if t.viaTail {
		at = tail
	}
	return service.Value{Key: key, Value: t.value, Version: service.Version(t.n), Node: s.nodes[at].Name()}, nil
}
