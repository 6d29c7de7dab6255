package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// connections are the open ones of a listener. They know which of them wait for a request: those end at once.
type connections struct {
	closing atomic.Bool // no connection takes another request
	running sync.WaitGroup

	mu   sync.Mutex
	open map[*conn]struct{}
}

func newConnections() *connections { return &connections{open: map[*conn]struct{}{}} }

func (c *connections) serve(one *conn) {
	c.mu.Lock()
	c.open[one] = struct{}{}
	c.mu.Unlock()
	c.running.Go(func() {
		one.serve()
		c.mu.Lock()
		delete(c.open, one)
		c.mu.Unlock()
	})
}

// end closes the connections that wait for a request, and waits within patience for the others to end. Whoever is left
// then is cut off.
func (c *connections) end(patience time.Duration) error {
	c.closing.Store(true)
	c.each((*conn).closeIdle)
	ended := make(chan struct{})
	go func() { c.running.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-time.After(patience):
		c.each(func(one *conn) { _ = one.Close() })
		return context.DeadlineExceeded
	}
}

func (c *connections) each(do func(*conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for one := range c.open {
		do(one)
	}
}
