package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrOpen: the breaker before the node is OPEN, the node was not asked.
var ErrOpen = errors.New("circuit breaker is open")

// ErrRestarted: the node runs under another run id than the incarnation is bound to, or, of a cluster, another member
// owns the key. Ask Current for the new one.
var ErrRestarted = errors.New("the node has restarted")

// ErrUnconfirmed: a primary answered, and no majority of its group confirmed that it still was the primary then. A write may
// be lost or take effect, and what was read may be old.
var ErrUnconfirmed = errors.New("no majority of the group is behind what its primary answered")

// connectError is a failure before any command was sent.
type connectError struct {
	node string
	err  error
}

func (e *connectError) Error() string { return fmt.Sprintf("connecting to %s: %v", e.node, e.err) }
func (e *connectError) Unwrap() error { return e.err }

// Sent reports whether a command that ended with err may have run. It is false only where it surely did not: the
// breaker was open, no connection was had, or Redis answered with an error. Where it can't be told, it is true.
func Sent(err error) bool {
	var (
		connecting *connectError
		network    *net.OpError
		reply      redis.Error
	)
	switch {
	case err == nil, errors.Is(err, ErrUnconfirmed):
		return true
	case errors.Is(err, ErrOpen), errors.As(err, &connecting), errors.Is(err, redis.ErrPoolTimeout),
		errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, redis.ErrClosed):
		return false
	case errors.As(err, &network) && network.Op == "dial":
		return false
	case errors.Is(err, redis.Nil):
		return true
	case errors.As(err, &reply):
		return false
	}
	return true
}

// saysNothing reports whether err tells nothing about the node: the caller went away, or held an incarnation that is
// over while its successor may be well.
func saysNothing(err error) bool {
	return err != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ErrRestarted) || errors.Is(err, redis.ErrClosed))
}

// isFailure reports whether err speaks against the node: no connection, no answer, or an answer that says that it
// can't serve anybody. Other error replies are answers.
func isFailure(err error) bool {
	if err == nil {
		return false
	}
	var reply redis.Error
	switch {
	case errors.Is(err, redis.Nil), saysNothing(err):
		return false
	case errors.As(err, &reply):
		return unserving(reply.Error())
	}
	return true
}

// refusalOf gives the first sentence of an error reply by which a node that serves others, serves reads, or serves other keys,
// refuses a command; "" of any other error.
func refusalOf(err error) string {
	var reply redis.Error
	if err == nil || !errors.As(err, &reply) {
		return ""
	}
	text := reply.Error()
	if !begins(text, "NOPERM", "NOREPLICAS", "MISCONF", "OOM", "READONLY", "WRONGTYPE") {
		return ""
	}
	text, _, _ = strings.Cut(text, " script: ")
	text, _, _ = strings.Cut(text, ". ")
	return strings.TrimSuffix(text, ".")
}

// unserving tells the error replies of a node that serves nobody. BUSY is that of one whose script does not end.
func unserving(reply string) bool {
	return begins(reply, "LOADING", "MASTERDOWN", "CLUSTERDOWN", "NOAUTH", "WRONGPASS", "BUSY ", "ERR max number of clients")
}

func begins(reply string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(reply, prefix) })
}
