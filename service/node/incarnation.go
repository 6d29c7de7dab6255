package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"captop/service/layout"
)

// Incarnation is a pool of connections to one run of the node's Redis process. Every new connection asks for the run
// id and is refused where it is another one: what is sent through an incarnation can reach that run only, however
// late. So whoever holds two incarnations knows that neither node lost anything while its steps succeeded. Of a group, a
// run is one reign of one primary.
type Incarnation struct {
	RunID  string // 16 hex digits: the first ones of the run id, or a hash that stands for a reign; set before anybody sees it
	node   *Node
	addr   string
	client *redis.Client
	fence  *fence     // of a group, else nil
	reign  string     // of a group: the id of the primary's replication
	mu     sync.Mutex // guards RunID and reign until the first connection has set them
	over   atomic.Bool

	reached atomic.Pointer[string] // host:port, the host as an address; nil before the first connection
}

// Over reports whether a later run of the process has been met.
func (inc *Incarnation) Over() bool { return inc.over.Load() }

// Do runs f against the node, through its breaker. The error is f's, ErrOpen, ErrRestarted, ErrUnconfirmed or the
// context's; see Sent. What f has read counts only once Do has returned.
func (inc *Incarnation) Do(ctx context.Context, f func(client *redis.Client) error) error {
	if inc.over.Load() {
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	return inc.node.guarded(ctx, func() error {
		return inc.confirmed(ctx, f(inc.client))
	})
}

// confirmed has the group, if it is one, confirm an answer. What was not answered, or refused by a process that is not the
// primary for it, needs no confirmation.
func (inc *Incarnation) confirmed(ctx context.Context, err error) error {
	var reply redis.Error
	switch {
	case inc.fence == nil:
		return err
	case err != nil && !errors.As(err, &reply):
		return err
	case redis.HasErrorPrefix(err, "READONLY"):
		inc.over.Store(true)
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	if member := inc.node.place.member; member != nil && redis.HasErrorPrefix(err, "MOVED") {
		member.moved(err)
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	if missing := inc.fence.pass(ctx); missing != nil {
		return missing
	}
	return err
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

// verify binds the pool to the run of its first connection and refuses connections to any other run.
func (inc *Incarnation) verify(ctx context.Context, conn *redis.Conn) error {
	stamp, reign, err := inc.identify(ctx, conn)
	if err != nil {
		return &connectError{node: inc.node.config.Name, err: err}
	}
	inc.mu.Lock()
	defer inc.mu.Unlock()
	if inc.RunID == "" {
		inc.RunID, inc.reign = stamp, reign
	}
	if inc.RunID != stamp {
		inc.over.Store(true)
		return &connectError{node: inc.node.config.Name, err: ErrRestarted}
	}
	return nil
}

// identify asks who is at the other end.
func (inc *Incarnation) identify(ctx context.Context, conn *redis.Conn) (stamp, reign string, err error) {
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return "", "", err
	}
	run, err := runID(info)
	if err != nil || inc.fence == nil {
		return run, "", err
	}
	if info, err = conn.Info(ctx, "replication").Result(); err != nil {
		return "", "", err
	}
	if reign, err = readReign(info, inc.node.place.replicas); err != nil {
		return "", "", err
	}
	sum := sha256.Sum256([]byte(run + reign))
	return hex.EncodeToString(sum[:])[:layout.RunIDDigits], reign, nil
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
