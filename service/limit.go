package service

import (
	"context"
	"sync"
	"time"
)

// Until gives a context that ends with its parent and at a deadline, as context.WithDeadline does, and costs nearly nothing
// where nobody waits for its end: it has a timer once Done was called. Stop it.
func Until(parent context.Context, deadline time.Time) *Limit {
	if earlier, ok := parent.Deadline(); ok && earlier.Before(deadline) {
		deadline = earlier
	}
	return &Limit{parent: parent, deadline: deadline}
}

// Limit is a context that Until made.
type Limit struct {
	parent   context.Context
	deadline time.Time

	mu      sync.Mutex
	timed   context.Context // once somebody waits
	cancel  context.CancelFunc
	stopped bool
}

// Deadline implements context.Context.
func (l *Limit) Deadline() (time.Time, bool) { return l.deadline, true }

// Value implements context.Context.
func (l *Limit) Value(key any) any { return l.parent.Value(key) }

// Err implements context.Context.
func (l *Limit) Err() error {
	l.mu.Lock()
	timed, stopped := l.timed, l.stopped
	l.mu.Unlock()
	switch {
	case timed != nil:
		return timed.Err()
	case stopped:
		return context.Canceled
	}
	if err := l.parent.Err(); err != nil {
		return err
	}
	if !time.Now().Before(l.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// Done implements context.Context.
func (l *Limit) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timed == nil {
		l.timed, l.cancel = context.WithDeadline(l.parent, l.deadline)
		if l.stopped {
			l.cancel()
		}
	}
	return l.timed.Done()
}

// Stop ends the context.
func (l *Limit) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.cancel != nil {
		l.cancel()
	}
}
