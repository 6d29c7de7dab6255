package cp

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTurns: no more than that many at a time, everyone once, and nobody who waits when all ends.
func TestTurns(t *testing.T) {
	turns := NewTurns().looks
	var running, most, done atomic.Int64
	full := make(chan struct{})
	isFull := sync.OnceFunc(func() { close(full) })
	var all sync.WaitGroup
	for range 4 * turnsAtOnce {
		all.Go(func() {
			inTurn(t.Context(), turns, func() {
				now := running.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				if now == turnsAtOnce {
					isFull()
				}
				<-full // as many as may come are in here together
				done.Add(1)
				running.Add(-1)
			})
		})
	}
	all.Wait()
	if most.Load() != turnsAtOnce || done.Load() != 4*turnsAtOnce {
		t.Errorf("up to %d at a time, %d in all", most.Load(), done.Load())
	}
	for range turnsAtOnce {
		turns <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inTurn(ctx, turns, func() { t.Error("called without a turn") })
}
