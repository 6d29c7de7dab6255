package api_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"captop/service"
	"captop/service/api"
)

// servePipes runs a server without a network until the test ends. dial gives the client's side of a connection; the
// server has the other one as wrap makes it, nil: as it is.
func servePipes(t testing.TB, store service.Store, options api.Options, tlsConfig *tls.Config) (dial func(wrap func(net.Conn) net.Conn) net.Conn) {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.New(store, options).Serve(ctx, listener, tlsConfig) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("draining: %v", err)
		}
	})
	return func(wrap func(net.Conn) net.Conn) net.Conn {
		near, far := net.Pipe()
		if wrap != nil {
			far = wrap(far)
		}
		listener.conns <- far
		return near
	}
}

// peerConn is a connection of somebody who is said to be somewhere.
type peerConn struct {
	net.Conn
	peer net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.peer }

// pipes is a listener whose connections the test makes.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
