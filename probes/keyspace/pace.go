package keyspace

import (
	"context"
	"time"
)

// pace keeps a long look at the nodes from hurting them.
type pace struct {
	keys  int           // a second, at most
	bytes int64         // of values a second, at most
	rest  time.Duration // for each unit of time that the nodes were at work, they are left alone for so many
}

// gentle is the pace of all long looks: at most a quarter of the time is spent asking, however slow the nodes are.
var gentle = pace{keys: 10_000, bytes: 16 << 20, rest: 3}

// pageKeys is how many names SCAN is asked for at once: a page keeps a node for well under a millisecond.
const pageKeys = 256

// wait leaves the nodes alone after a page.
func (p pace) wait(ctx context.Context, keys int, bytes int64, took time.Duration) error {
	byKeys := time.Duration(float64(keys) / float64(p.keys) * float64(time.Second))
	byBytes := time.Duration(float64(bytes) / float64(p.bytes) * float64(time.Second))
	return pause(ctx, max(byKeys-took, byBytes-took, p.rest*took))
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
