package node

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// refusedPipelines gives every command of a pipeline an error where none was sent. go-redis leaves them without one where a
// new connection was refused with an error reply, as of a node with no room for it: they look as if nothing were stored.
type refusedPipelines struct{}

func (refusedPipelines) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (refusedPipelines) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (refusedPipelines) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		err := next(ctx, commands)
		if err != nil && !slices.ContainsFunc(commands, func(c redis.Cmder) bool { return c.Err() != nil }) {
			for _, c := range commands {
				c.SetErr(err)
			}
		}
		return err
	}
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// unseenFailures hides failed dials from go-redis: its pool counts them over its whole life, and refuses every caller
// for up to a second at each 64th, however well the node is by then. When to stop trying is the breaker's business. A
// dial that failed gives a connection whose first use answers with the dial's error.
func unseenFailures(name string, dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return failedConn{&connectError{node: name, err: err}}, nil
		}
		return conn, nil
	}
}

// familiar dials the node by its name. Where the name server gives no answer while the node does, it dials the address at
// which this run was reached before: a node that is well must not be lost with a name. verify refuses whoever else is there now.
func (inc *Incarnation) familiar(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if known := inc.reached.Load(); known != nil && inc.node.health.standing().Reachable && unanswered(ctx, addr, inc.node.config.Timeout/4) {
			addr = *known
		}
		conn, err := dial(ctx, network, addr)
		if err == nil {
			at := conn.RemoteAddr().String()
			inc.reached.Store(&at)
		}
		return conn, err
	}
}

// unanswered reports whether nobody says within patience where a name leads to, or that it leads nowhere.
func unanswered(ctx context.Context, addr string, patience time.Duration) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || net.ParseIP(host) != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err = net.DefaultResolver.LookupHost(ctx, host)
	var missing *net.DNSError
	return errors.As(err, &missing) && !missing.IsNotFound
}

// failedConn is the connection that was not made.
type failedConn struct{ err error }

func (c failedConn) Read([]byte) (int, error)         { return 0, c.err }
func (c failedConn) Write([]byte) (int, error)        { return 0, c.err }
func (c failedConn) Close() error                     { return nil }
func (c failedConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c failedConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c failedConn) SetDeadline(time.Time) error      { return nil }
func (c failedConn) SetReadDeadline(time.Time) error  { return nil }
func (c failedConn) SetWriteDeadline(time.Time) error { return nil }
