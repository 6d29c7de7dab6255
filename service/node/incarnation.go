package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
)

// Incarnation is a pool of connections to one run of the node's Redis process. Every new connection asks for the run
// id and is refused where it is another one: what is sent through an incarnation can reach that run only, however
// late. So whoever holds two incarnations knows that neither node lost anything while its steps succeeded.
type Incarnation struct {
	RunID  string // the first 16 hex digits of the run id; set before anybody sees the incarnation
	node   *Node
	client *redis.Client
	mu     sync.Mutex // guards RunID until the first connection has set it
	over   atomic.Bool
}

// Over reports whether a later run of the process has been met.
func (inc *Incarnation) Over() bool { return inc.over.Load() }

// Do runs f against the node, through its breaker. The error is f's, ErrOpen, ErrRestarted or the context's; see Sent.
func (inc *Incarnation) Do(ctx context.Context, f func(client *redis.Client) error) error {
	if inc.over.Load() {
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	return inc.node.guarded(ctx, func() error { return f(inc.client) })
}

// Run runs a script by its hash, sending its text where the node does not have it: the script had not run then, so
// that this is no second try of a write.
func (inc *Incarnation) Run(ctx context.Context, script *redis.Script, keys []string, args ...any) (reply any, err error) {
	err = inc.Do(ctx, func(client *redis.Client) error {
		reply, err = script.Run(ctx, client, keys, args...).Result()
		return err
	})
	return reply, err
}

// verify binds the pool to the run id of its first connection and refuses connections to any other run.
func (inc *Incarnation) verify(ctx context.Context, conn *redis.Conn) error {
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return &connectError{node: inc.node.config.Name, err: err}
	}
	if strings.Contains(info, "redis_mode:sentinel") {
		return nil // it only tells where the node is
	}
	stamp, err := runID(info)
	if err != nil {
		return &connectError{node: inc.node.config.Name, err: err}
	}
	inc.mu.Lock()
	defer inc.mu.Unlock()
	if inc.RunID == "" {
		inc.RunID = stamp
	}
	if inc.RunID != stamp {
		inc.over.Store(true)
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	return nil
}

// runID reads the stamp out of the server section of INFO.
func runID(info string) (string, error) {
	for line := range strings.Lines(info) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "run_id:"); ok && len(id) >= layout.RunIDDigits {
			return id[:layout.RunIDDigits], nil
		}
	}
	return "", fmt.Errorf("INFO server names no run_id; is this Redis?")
}
