package keyspace

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"time"

	"captop/probes"
	"captop/service"
)

// Copy is what one node has of a key in one mode.
type Copy struct {
	Node    string
	Error   string // why it cannot be told; then the rest means nothing
	Exists  bool
	Value   string // the beginning, at most ShownBytes
	Length  int64  // bytes of the whole value
	Version service.Version
	// Settled says that the node was settled with its peer since its Redis started: until then its services do not
	// believe what it has of this key.
	Settled bool
	// Waiting says in AP that the peer lacks a write of the key and a mark for it is there, and in CP (at db_g2) that a
	// write is in flight. WaitingFor is how long, by the node's clock.
	Waiting    bool
	WaitingFor time.Duration

	sum [sha256.Size]byte // of the whole value, where it was read
}

// State is how the two copies of a key stand to each other.
type State int

// The states, the worst last.
const (
	CannotTell State = iota // a node could not be read
	Absent                  // neither node has the key
	Same                    // both have the same
	InFlight                // they differ, and somebody is at work on it
	Unsettled               // they differ, and a node that restarted was not settled with its peer yet
	Divergent               // they differ, and nobody is at work on it
)

// String gives a word or two for a screen.
func (s State) String() string {
	return [...]string{"cannot tell", "absent", "same", "in flight", "not settled", "DIFFERENT"}[s]
}

// judge tells how the copies of a key at db_g1 and db_g2 stand to each other at one moment, and why, in one sentence. A
// difference at one moment is not yet one: the copies are read one after the other.
func judge(mode service.Mode, copies [2]Copy) (State, string) {
	for _, c := range copies {
		if c.Error != "" {
			return CannotTell, c.Node + " cannot be read: " + c.Error
		}
	}
	a, b := copies[g1], copies[g2]
	inFlight := mode == service.ModeCP && b.Waiting
	switch {
	case inFlight:
		return InFlight, fmt.Sprintf("a write is in flight: %s has promised it %s ago and not finished it", b.Node, probes.Span(b.WaitingFor))
	case !a.Exists && !b.Exists:
		return Absent, "neither node has the key"
	case same(a, b):
		return Same, ""
	}
	if mode == service.ModeAP {
		newer, older := a, b
		if !a.Exists || b.Exists && versionBefore(a.Version, b.Version) {
			newer, older = b, a
		}
		if newer.Waiting {
			return InFlight, fmt.Sprintf("%s lacks the newest write; %s has held a mark for it for %s", older.Node, newer.Node, probes.Span(newer.WaitingFor))
		}
	}
	difference := differ(a, b)
	for _, c := range copies {
		if !c.Settled {
			return Unsettled, difference + "; " + c.Node + " has restarted and is not settled with its peer yet: the services do not believe it"
		}
	}
	if mode == service.ModeAP {
		return Divergent, difference + ", and no mark says that it will be carried over; a new write of the key mends it"
	}
	return Divergent, difference + ", and no write is in flight; a new write of the key mends it"
}

func same(a, b Copy) bool {
	return a.Exists == b.Exists && a.Version == b.Version && a.Length == b.Length && a.sum == b.sum
}

// differ says what the difference is.
func differ(a, b Copy) string {
	switch {
	case !b.Exists:
		return b.Node + " lacks the key that " + a.Node + " has"
	case !a.Exists:
		return a.Node + " lacks the key that " + b.Node + " has"
	case a.Version == b.Version:
		return "one version with two values"
	case versionBefore(a.Version, b.Version):
		return a.Node + " has an older version than " + b.Node
	}
	return b.Node + " has an older version than " + a.Node
}

// versionBefore compares versions of one mode: numbers, in AP two with a dot between. What is no number is the oldest.
func versionBefore(a, b service.Version) bool {
	firstA, secondA, _ := strings.Cut(string(a), ".")
	firstB, secondB, _ := strings.Cut(string(b), ".")
	if order := number(firstA).Cmp(number(firstB)); order != 0 {
		return order < 0
	}
	return number(secondA).Cmp(number(secondB)) < 0
}

func number(text string) *big.Int {
	if n, ok := new(big.Int).SetString(text, 10); ok {
		return n
	}
	return big.NewInt(-1)
}
