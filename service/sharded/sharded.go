// Package sharded is a store of many: one for each bucket of keys, for nodes that are Redis Clusters. There a bucket lies in one
// slot, and so on one member of each cluster: a pair of nodes of its own.
package sharded

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"captop/service"
	"captop/service/layout"
)

// Store spreads keys over one store for each bucket. It is safe for concurrent use.
type Store struct {
	nodes [2]func() service.NodeState
	parts [layout.Buckets]service.Store
}

// Open opens a store for each bucket. The nodes tell the states of db_g1 and db_g2 as a whole, without I/O.
func Open(nodes [2]func() service.NodeState, open func(bucket int) (service.Store, error)) (*Store, error) {
	s := &Store{nodes: nodes}
	for b := range s.parts {
		part, err := open(b)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening the store of bucket %d: %w", b, err), s.Close())
		}
		s.parts[b] = part
	}
	return s, nil
}

// Write makes value the value of key.
func (s *Store) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	return s.parts[layout.Bucket(key)].Write(ctx, key, value)
}

// Read answers the value of key.
func (s *Store) Read(ctx context.Context, key string, options service.ReadOptions) (service.Value, error) {
	return s.parts[layout.Bucket(key)].Read(ctx, key, options)
}

// Newer reports whether version a is at least as new as b.
func (s *Store) Newer(a, b service.Version) (bool, error) { return s.parts[0].Newer(a, b) }

// Nodes gives, of each node, the worst of its members and the worst of its buckets.
func (s *Store) Nodes() []service.NodeState {
	states := []service.NodeState{s.nodes[0](), s.nodes[1]()}
	for _, part := range s.parts {
		for i, of := range part.Nodes() {
			add(&states[i], of)
		}
	}
	return states
}

// add takes the state of one bucket into that of its node.
func add(whole *service.NodeState, part service.NodeState) {
	whole.QueueDepth += part.QueueDepth
	whole.Staleness = max(whole.Staleness, part.Staleness)
	if !part.Rejoin.Active {
		return
	}
	r := &whole.Rejoin
	if !r.Active || part.Rejoin.Since.Before(r.Since) {
		r.Since = part.Rejoin.Since
	}
	r.Active = true
	r.Done += part.Rejoin.Done
	if r.Waiting == "" {
		r.Waiting = part.Rejoin.Waiting
	}
}

// Close closes every part.
func (s *Store) Close() error {
	var closing sync.WaitGroup
	var failed [layout.Buckets]error
	for b, part := range s.parts {
		if part != nil {
			closing.Go(func() { failed[b] = part.Close() })
		}
	}
	closing.Wait()
	return errors.Join(failed[:]...)
}
