// Package service is the domain of the pair: keys, versions, outcomes, node states, and the errors that both modes share.
//
// It imports nothing of captop. The packages below it serve: node talks to one Redis node, cp and ap keep the two
// promises, api speaks HTTP. A Store is what a mode offers; everything above is written against it.
package service

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Mode is the promise that an instance keeps.
type Mode string

// The two promises.
const (
	ModeCP Mode = "cp" // refuse rather than lie
	ModeAP Mode = "ap" // answer rather than wait
)

// The names of the two nodes, as settings, metrics and screens show them.
const (
	G1 = "db_g1"
	G2 = "db_g2"
)

// Peer is the name of the other node.
func Peer(node string) string {
	if node == G1 {
		return G2
	}
	return G1
}

// Limits of what can be written.
const (
	MaxKeyBytes   = 512
	MaxValueBytes = 1 << 20
)

// Outcome says whether a write took effect.
type Outcome string

// Every answer to a write carries one of these.
const (
	Applied    Outcome = "applied"     // it is the value, or was until a newer write
	NotApplied Outcome = "not_applied" // it never took effect and never will
	Unknown    Outcome = "unknown"     // it may have taken effect, or may still
)

// Version orders the writes of one key. Clients treat it as opaque; CP counts ("42"), AP writes its hybrid clock
// ("1763868000123456.817263"). Only the store of the same mode compares two of them.
type Version string

// Written is the answer to an acknowledged write.
type Written struct {
	Key     string   `json:"key"`
	Version Version  `json:"version"`
	Nodes   []string `json:"nodes"` // the nodes that hold it at the time of the answer
	Outcome Outcome  `json:"outcome"`
}

// Value is the answer to a read.
type Value struct {
	Key         string  `json:"key"`
	Value       string  `json:"value"`
	Version     Version `json:"version"`
	Node        string  `json:"node"`             // the node that answered
	StalenessMS int64   `json:"staleness_ms"`     // upper bound of how far that node is behind, milliseconds
	Stale       bool    `json:"stale"`            // StalenessMS is above MAX_STALENESS_MS
	Cached      bool    `json:"cached,omitempty"` // AP: the node had said so a moment ago (AP_CACHE_MS), which StalenessMS counts in
}

// ReadOptions narrow a read.
type ReadOptions struct {
	Node  string  // read at this node or not at all; "" lets the store choose
	After Version // the version that a session wrote; the store looks for one that is no older. "" asks for nothing
}

// Store is one mode's promise over the two nodes. Its methods are safe for concurrent use; their errors are *Error.
type Store interface {
	// Write makes value the value of key, within ctx's deadline.
	Write(ctx context.Context, key string, value []byte) (Written, error)
	// Read answers the value of key. A key that was never written gives an *Error with CodeNotFound. Where
	// options.After cannot be reached, AP answers what it has (compare with Newer); CP refuses.
	Read(ctx context.Context, key string, options ReadOptions) (Value, error)
	// Newer reports whether version a is at least as new as b; false with an error where either is not of this mode.
	Newer(a, b Version) (bool, error)
	// Nodes answers the state of db_g1 and db_g2, in that order, from memory: no I/O.
	Nodes() []NodeState
	// Close ends background work and connections. Work in flight fails.
	Close() error
}

// BreakerState numbers the states of a circuit breaker as the metric circuit_breaker_state does.
type BreakerState int

// The states, in the order that the metric numbers them.
const (
	BreakerClosed   BreakerState = 0
	BreakerHalfOpen BreakerState = 1
	BreakerOpen     BreakerState = 2
)

// String gives CLOSED, HALF_OPEN or OPEN.
func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "CLOSED"
	case BreakerHalfOpen:
		return "HALF_OPEN"
	case BreakerOpen:
		return "OPEN"
	}
	return fmt.Sprintf("BreakerState(%d)", int(s))
}

// Breaker is the state of the circuit breaker before one node.
type Breaker struct {
	Node      string
	State     BreakerState
	Since     time.Time // when it entered State
	Failures  uint32    // consecutive failures
	NextProbe time.Time // when an OPEN breaker lets the next call through; zero otherwise
}

// NotLookedAt is why the rejoin of a node waits of whose present run nothing is known yet.
const NotLookedAt = "not looked at yet"

// Emptied is why the rejoin of a node waits that lost everything under its present run: CP believes only its next one.
const Emptied = "emptied while it ran"

// Evicted is what a node has done that CP does not believe about what it lacks: its maxmemory-policy had it.
const Evicted = "has deleted keys for want of memory"

// Rejoin is the progress of a node that is being reconciled from its peer before it is believed.
type Rejoin struct {
	Active  bool
	Since   time.Time // when the reconciliation became necessary
	Done    int64     // keys settled so far
	Total   int64     // keys to settle, as estimated at the start; 0 while unknown
	Waiting string    // why it cannot go on, "" while it does
}

// HeldByPeer reports whether a node waits for what a restart of its peer alone can give: it comes back with what it has evicted, and
// db_g1 with db_g2's copy in the place of what is no key of ours. Not db_g2, which would have nobody to take that from.
func (r Rejoin) HeldByPeer(node string) bool {
	return r.Active && (strings.Contains(r.Waiting, Evicted) || node == G2 && strings.Contains(r.Waiting, "WRONGTYPE"))
}

// NodeState is what one instance knows of one node.
type NodeState struct {
	Name       string
	Reachable  bool // the last contact succeeded
	Since      time.Time
	LastError  string // of the last failed contact; "" while reachable
	Refusal    string // its reply to commands that it does not let the instance run; "" where it has not refused any of late
	RunID      string // of the Redis process last spoken to
	Breaker    Breaker
	Rejoin     Rejoin
	ClockError string        // AP: how far the instance's clock is from the node's; it writes nothing there. "" while they agree
	Staleness  time.Duration // upper bound of how far the node is behind, computed when asked
	QueueDepth int64         // AP: writes held by the peer for this node. CP: dirty keys at the head
	Attempts   uint64        // connections and commands tried
	Failures   uint64        // of these, failed for want of a connection or an answer
}

// Settle notes what is known of the node's rejoin, found out under a run of it. That one run needs none says nothing about
// the next one.
func (s *NodeState) Settle(known Rejoin, run string) {
	if !known.Active && run != "" && s.RunID != "" && s.RunID != run {
		known = Rejoin{Active: true, Since: s.Since, Waiting: NotLookedAt}
	}
	s.Rejoin = known
}

// CheckKey refuses a key that cannot be stored: empty, over MaxKeyBytes, invalid UTF-8, or with control characters.
func CheckKey(key string) error {
	switch {
	case key == "":
		return &Error{Code: CodeKeyEmpty, Outcome: NotApplied, Message: "the key is empty; name one, as in /write/{key}"}
	case len(key) > MaxKeyBytes:
		return &Error{Code: CodeKeyTooLong, Outcome: NotApplied,
			Message: fmt.Sprintf("the key has %d bytes; %d are allowed", len(key), MaxKeyBytes)}
	case !utf8.ValidString(key):
		return &Error{Code: CodeKeyInvalid, Outcome: NotApplied, Message: "the key is not valid UTF-8"}
	}
	for i, r := range key {
		if unicode.IsControl(r) {
			return &Error{Code: CodeKeyInvalid, Outcome: NotApplied,
				Message: fmt.Sprintf("the key has the control character U+%04X at byte %d", r, i)}
		}
	}
	return nil
}

// CheckValue refuses a value over MaxValueBytes.
func CheckValue(value []byte) error {
	if len(value) > MaxValueBytes {
		return &Error{Code: CodeValueTooLarge, Outcome: NotApplied,
			Message: fmt.Sprintf("the value has %d bytes; %d are allowed", len(value), MaxValueBytes)}
	}
	return nil
}
