package cp

import "context"

// turnsAtOnce is how many stores of an instance have their turn at a time: enough to keep every member of a cluster busy.
const turnsAtOnce = 8

// Turns has the stores of one instance look after their nodes a few at a time, where each bucket has a store of its own. All
// 64 at once need more connections than a slow machine makes within the patience of a look, and those that fail are
// made again: it never gets out of that.
type Turns struct {
	looks, sweeps chan struct{} // apart, for a sweep may be long
}

// NewTurns gives the turns of one instance.
func NewTurns() *Turns {
	return &Turns{looks: make(chan struct{}, turnsAtOnce), sweeps: make(chan struct{}, turnsAtOnce)}
}

// inTurn calls f once it has one of the turns, unless ctx ends before.
func inTurn(ctx context.Context, turns chan struct{}, f func()) {
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
		f()
	case <-ctx.Done():
	}
}
