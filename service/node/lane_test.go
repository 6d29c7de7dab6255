package node_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// sets is a lane that writes keys of their own number, and counts its round trips.
func sets(trips *atomic.Int64) *node.Lane[int, int] {
	return node.NewLane(func(ctx context.Context, client *redis.Client, asked []int, answers []node.Answer[int]) {
		trips.Add(1)
		pipe := client.Pipeline()
		for _, n := range asked {
			pipe.Set(ctx, fmt.Sprint(n), n, 0)
		}
		_, err := pipe.Exec(ctx)
		for i, n := range asked {
			answers[i] = node.Answer[int]{Value: n, Err: err}
		}
	})
}

func TestALaneSharesRoundTripsAndAnswersEach(t *testing.T) {
	inc := current(t, open(t, nodetest.Start(t).URL()), "")
	var trips atomic.Int64
	lane := sets(&trips)
	const callers, each = 50, 200
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := range each {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				got, err := lane.Do(ctx, inc, c*each+i)
				cancel()
				if err != nil || got != c*each+i {
					t.Errorf("asked %d: %d, %v", c*each+i, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := trips.Load(); n > callers*each/2 {
		t.Errorf("%d round trips for %d calls of %d callers at a time", n, callers*each, callers)
	}
}

// TestALaneIsHeldUpByNothingThatHangs: what is given up before it was sent never is; and while one connection hangs, the
// others are used.
func TestALaneIsHeldUpByNothingThatHangs(t *testing.T) {
	server := nodetest.Start(t)
	n := open(t, server.URL())
	inc := current(t, n, "")
	var entered atomic.Int64
	hang := make(chan struct{})
	lane := node.NewLane(func(ctx context.Context, client *redis.Client, asked []int, answers []node.Answer[int]) {
		entered.Add(1)
		if asked[0] <= 0 {
			<-hang
		}
		for i := range asked {
			answers[i].Value = asked[i]
		}
	})
	first := make(chan error, 1)
	go func() {
		_, err := lane.Do(within(t), inc, 0)
		first <- err
	}()
	eventually(t, "the first is under way", func() bool { return entered.Load() == 1 })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := lane.Do(short, inc, -1)
	if waited := entered.Load() == 1; err == nil || node.Sent(err) == waited {
		t.Errorf("given up: %v, sent: %v; %d round trips have begun", err, node.Sent(err), entered.Load())
	}
	eventually(t, "others no longer wait for it", func() bool {
		got, err := lane.Do(within(t), inc, 2)
		return err == nil && got == 2
	})
	if err := <-first; !errors.Is(err, context.DeadlineExceeded) || !node.Sent(err) {
		t.Errorf("the one that hangs: %v, sent: %v", err, node.Sent(err))
	}
	close(hang)
}

// TestALaneAsksRunsSideBySide: what waits for another node does not wait for one that hangs.
func TestALaneAsksRunsSideBySide(t *testing.T) {
	hanging, well := current(t, open(t, nodetest.Start(t).URL()), ""), current(t, open(t, nodetest.Start(t).URL()), "")
	gate, hang := make(chan struct{}), make(chan struct{})
	var entered, asked atomic.Int64
	lane := node.NewLane(func(ctx context.Context, client *redis.Client, calls []int, answers []node.Answer[int]) {
		switch entered.Add(1); calls[0] {
		case 0:
			<-gate
		case 1:
			<-hang
		}
	})
	var group sync.WaitGroup
	ask := func(inc *node.Incarnation, n int, f func(error)) {
		group.Go(func() {
			asked.Add(1)
			_, err := lane.Do(within(t), inc, n)
			f(err)
		})
	}
	ask(hanging, 0, func(error) {})
	eventually(t, "the first is under way", func() bool { return entered.Load() == 1 })
	ask(hanging, 1, func(error) {})
	eventually(t, "the second waits", func() bool { return asked.Load() == 2 })
	ask(well, 2, func(err error) {
		if err != nil {
			t.Errorf("beside a node that hangs: %v", err)
		}
		close(hang)
	})
	eventually(t, "the third waits", func() bool { return asked.Load() == 3 })
	close(gate)
	group.Wait()
}

// TestALaneKeepsTheBooks: every call counts for the breaker, as it does alone.
func TestALaneKeepsTheBooks(t *testing.T) {
	server := nodetest.Start(t)
	n := open(t, server.URL())
	inc := current(t, n, "")
	var trips atomic.Int64
	lane := sets(&trips)
	server.Kill()
	for range 3 {
		_, err := lane.Do(within(t), inc, 1)
		if err == nil {
			t.Fatal("a dead node answered")
		}
	}
	eventually(t, "the breaker opens", func() bool { return n.State().Breaker.State == service.BreakerOpen })
	if _, err := lane.Do(within(t), inc, 1); !errors.Is(err, node.ErrOpen) || node.Sent(err) {
		t.Errorf("with an open breaker: %v", err)
	}
}
