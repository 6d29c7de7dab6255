package node

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// laneBatch bounds what goes in one round trip, and with it how long a node serves nobody else.
	laneBatch = 64
	// laneQueue bounds what may wait; beyond it what nobody waits for is dropped.
	laneQueue = 8192
	// laneStalled is how long a round trip may last until the next one no longer waits for it, laneWidth how many there
	// may then be: a connection that hangs must not hold up those that would not.
	laneStalled = 50 * time.Millisecond
	laneWidth   = 16
	// laneExpiry is how late a call may be given up. One timer for all costs less than one for each.
	laneExpiry = 5 * time.Millisecond
)

// Answer is what became of one call of a batch.
type Answer[R any] struct {
	Value R
	Err   error
}

// Lane shares round trips to one node between concurrent callers (group commit): what is asked while a round trip is
// under way goes in the next one. A lone call is sent at once. Safe for concurrent use.
type Lane[Q, R any] struct {
	send func(ctx context.Context, client *redis.Client, asked []Q, answers []Answer[R])
	free sync.Pool // of *call[Q, R]

	mu      sync.Mutex
	queue   []*call[Q, R]
	sent    []*call[Q, R] // under way, waited for
	working int
	began   time.Time // of the youngest round trip under way
	minding bool      // expire will run
}

// call is one question on its way.
type call[Q, R any] struct {
	inc      *Incarnation
	asked    Q
	deadline time.Time
	answer   Answer[R]
	state    atomic.Int32
	done     chan struct{} // nil: nobody waits
	expired  bool
}

const (
	callWaits int32 = iota
	callSent
	callEnded // answered, or given up at its deadline
)

// NewLane gives a lane whose round trips are made by send: it answers each question in its place.
func NewLane[Q, R any](send func(ctx context.Context, client *redis.Client, asked []Q, answers []Answer[R])) *Lane[Q, R] {
	l := &Lane[Q, R]{send: send}
	l.free.New = func() any { return &call[Q, R]{done: make(chan struct{}, 1)} }
	return l
}

// Do asks one question at a run of the node, through its breaker, and waits for the answer or for ctx's deadline
// (its cancellation alone ends no wait). Sent tells of its errors what it tells of those of Incarnation.Do. With
// ErrUnconfirmed comes the answer that nobody has confirmed.
func (l *Lane[Q, R]) Do(ctx context.Context, inc *Incarnation, asked Q) (answer R, err error) {
	if inc.over.Load() {
		return answer, &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	done, err := inc.node.allow(ctx)
	if err != nil {
		return answer, err
	}
	answer, err = l.wait(ctx, inc, asked)
	inc.node.contacted(done, err)
	return answer, err
}

func (l *Lane[Q, R]) wait(ctx context.Context, inc *Incarnation, asked Q) (answer R, err error) {
	c := l.free.Get().(*call[Q, R])
	c.inc, c.asked = inc, asked
	c.state.Store(callWaits)
	c.deadline = deadlineOf(ctx, inc)
	l.enqueue(c, laneQueue*2)
	<-c.done
	result := c.answer
	if !c.expired {
		c.inc, c.asked, c.answer = nil, *new(Q), Answer[R]{}
		l.free.Put(c)
	} // else its round trip may still be under way
	if inc.fence != nil {
		result.Err = inc.confirmed(ctx, result.Err)
	}
	return result.Value, result.Err
}

// expire gives up the calls whose deadline is over, and comes again while there are others.
func (l *Lane[Q, R]) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, c := range l.queue {
		if c.done != nil && now.After(c.deadline) && c.state.CompareAndSwap(callWaits, callEnded) {
			c.giveUp(&connectError{node: c.inc.node.config.Name, err: context.DeadlineExceeded})
		}
	}
	for _, c := range l.sent {
		if now.After(c.deadline) && c.state.CompareAndSwap(callSent, callEnded) {
			c.giveUp(context.DeadlineExceeded)
		}
	}
	if l.minding = len(l.queue)+len(l.sent) > 0; l.minding {
		time.AfterFunc(laneExpiry, l.expire)
	}
}

func (c *call[Q, R]) giveUp(err error) {
	c.answer, c.expired = Answer[R]{Err: err}, true
	c.done <- struct{}{}
}

// deadlineOf is ctx's, or what a contact may take by itself.
func deadlineOf(ctx context.Context, inc *Incarnation) time.Time {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline
	}
	return time.Now().Add(inc.node.config.Timeout)
}

// Tell asks without waiting for the answer, within patience. Where too much waits already, it asks nothing.
func (l *Lane[Q, R]) Tell(inc *Incarnation, asked Q, patience time.Duration) {
	l.enqueue(&call[Q, R]{inc: inc, asked: asked, deadline: time.Now().Add(patience)}, laneQueue)
}

func (l *Lane[Q, R]) enqueue(c *call[Q, R], limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.done == nil && len(l.queue) >= limit {
		return
	}
	l.queue = append(l.queue, c)
	if !l.minding && c.done != nil {
		l.minding = true
		time.AfterFunc(laneExpiry, l.expire)
	}
	if l.working == 0 || l.working < laneWidth && time.Since(l.began) > laneStalled {
		l.working++
		l.began = time.Now()
		go l.work()
	}
}

// work makes round trips while there is something to ask.
func (l *Lane[Q, R]) work() {
	var asked []Q
	var answers []Answer[R]
	var batch []*call[Q, R]
	for {
		// Who is about to ask, on a machine that is busy, comes along; on an idle one this is nothing.
		runtime.Gosched()
		if batch = l.take(batch[:0]); len(batch) == 0 {
			return
		}
		asked, answers = asked[:0], answers[:0]
		var deadline time.Time
		for _, c := range batch {
			asked, answers = append(asked, c.asked), append(answers, Answer[R]{})
			if c.deadline.After(deadline) {
				deadline = c.deadline
			}
		}
		l.roundTrip(batch[0].inc, deadline, asked, answers)
		l.arrived(batch)
		for i, c := range batch {
			if c.state.CompareAndSwap(callSent, callEnded) && c.done != nil {
				c.answer = answers[i]
				c.done <- struct{}{}
			}
		}
		clear(batch)
		clear(asked)
		clear(answers)
	}
}

func (l *Lane[Q, R]) roundTrip(inc *Incarnation, deadline time.Time, asked []Q, answers []Answer[R]) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	l.send(ctx, inc.client, asked, answers)
}

// take takes what goes in the next round trip: the oldest calls of one run. Those of others, of a cluster's members say, are another
// worker's at once, for this one may meet a node that hangs. Without any, the worker is done.
func (l *Lane[Q, R]) take(batch []*call[Q, R]) []*call[Q, R] {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.queue[:0]
	others := false
	for _, c := range l.queue {
		other := len(batch) > 0 && batch[0].inc != c.inc
		if others = others || other; other || len(batch) == laneBatch {
			rest = append(rest, c)
			continue
		}
		if c.state.CompareAndSwap(callWaits, callSent) {
			batch = append(batch, c)
			if c.done != nil {
				l.sent = append(l.sent, c)
			}
		}
	}
	clear(l.queue[len(rest):])
	l.queue = rest
	if len(batch) == 0 {
		l.working--
		return batch
	}
	l.began = time.Now()
	if others && l.working < laneWidth {
		l.working++
		go l.work()
	}
	return batch
}

// arrived takes a batch out of what is under way.
func (l *Lane[Q, R]) arrived(batch []*call[Q, R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = slices.DeleteFunc(l.sent, func(c *call[Q, R]) bool { return slices.Contains(batch, c) })
}
