// Package cache answers reads from memory for a short while, for a store that answers rather than waits. What it answers
// says how old it may be, as every answer of such a store does; CP must never have one.
package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"captop/service"
)

// What is kept: so many keys, the longest unused of which give way, and no large values: 80 MB at the most.
const (
	maxKeys  = 20_000
	maxValue = 4 << 10 // bytes
)

// Store is a store with a memory. It is safe for concurrent use.
type Store struct {
	service.Store
	bound    time.Duration
	maxStale time.Duration
	now      func() time.Time

	mu   sync.Mutex
	kept *simplelru.LRU[string, entry]
}

// entry is what is known of one key.
type entry struct {
	value service.Value
	read  time.Time // when it was; zero where no value is kept
	asof  time.Time // the answer has all that was acknowledged up to here
	least service.Version
}

// New keeps what a store answers for so long as bound. maxStale is MAX_STALENESS_MS.
func New(store service.Store, bound, maxStale time.Duration, now func() time.Time) (*Store, error) {
	kept, err := simplelru.NewLRU[string, entry](maxKeys, nil)
	if err != nil {
		return nil, fmt.Errorf("making the cache: %w", err)
	}
	return &Store{Store: store, bound: bound, maxStale: maxStale, now: now, kept: kept}, nil
}

// Read answers from memory what was read within the bound, unless a node is named or the session has written since.
func (s *Store) Read(ctx context.Context, key string, options service.ReadOptions) (service.Value, error) {
	if options.Node != "" {
		return s.Store.Read(ctx, key, options)
	}
	if value, ok := s.recall(key, options.After); ok {
		return value, nil
	}
	value, err := s.Store.Read(ctx, key, options)
	if err == nil && len(value.Value) <= maxValue {
		s.keep(value)
	}
	return value, err
}

func (s *Store) recall(key string, after service.Version) (service.Value, bool) {
	s.mu.Lock()
	e, ok := s.kept.Get(key)
	s.mu.Unlock()
	now := s.now()
	if !ok || e.read.IsZero() || now.Sub(e.read) > s.bound || !s.newer(e.value.Version, after) {
		return service.Value{}, false
	}
	age := now.Sub(e.asof)
	e.value.StalenessMS = int64((age + time.Millisecond - 1) / time.Millisecond)
	e.value.Stale, e.value.Cached = age > s.maxStale, true
	return e.value, true
}

// newer says that a is no older than b, where there is a b. A version of which that cannot be told counts as older: the
// store says what is wrong with it.
func (s *Store) newer(a, b service.Version) bool {
	if b == "" {
		return true
	}
	newer, err := s.Store.Newer(a, b)
	return err == nil && newer
}

// keep remembers an answer that has just come, unless a newer value is known to be there.
func (s *Store) keep(value service.Value) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.kept.Peek(value.Key); ok && !s.newer(value.Version, e.least) {
		return
	}
	s.kept.Add(value.Key, entry{value: value, read: now, asof: now.Add(-time.Duration(value.StalenessMS) * time.Millisecond), least: value.Version})
}

// Write forgets what the key was: whoever writes here reads here no older value afterwards, with a session or without.
func (s *Store) Write(ctx context.Context, key string, value []byte) (service.Written, error) {
	written, err := s.Store.Write(ctx, key, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	least := written.Version // none where the write failed, and then it may have taken effect all the same
	if e, ok := s.kept.Peek(key); ok && !s.newer(least, e.least) {
		least = e.least
	}
	if least != "" {
		s.kept.Add(key, entry{least: least})
	}
	return written, err
}
