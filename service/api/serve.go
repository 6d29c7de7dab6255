package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute
	answerTimeout = 30 * time.Second // for a slow reader, beyond the request's own time
)

// Serve answers on listener until ctx ends; then it drains: /health says so for DrainDelay while everything is still
// answered, each request with the end of its connection; then the listener closes and requests in flight end. It gives
// nil after a complete drain. A nil tlsConfig means plain HTTP. TLS connections speak HTTP/1.1 only.
//
// The HTTP is fasthttp's, but not its server: that one reads bodies before the handler may refuse them, gives the handler
// no say in how a body fails, and holds a buffer as large as the largest header for every connection.
func (s *Server) Serve(ctx context.Context, listener net.Listener, tlsConfig *tls.Config) error {
	conns := newConnections()
	failed := make(chan error, 1)
	go func() { failed <- s.accept(listener, tlsConfig, conns) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	s.Drain()
	s.options.Logger.Info("DRAINING", "for", s.options.DrainDelay.String())
	select {
	case err := <-failed:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-time.After(s.options.DrainDelay):
	}
	if err := listener.Close(); err != nil {
		return errors.Join(fmt.Errorf("closing %s: %w", listener.Addr(), err), conns.end(0))
	}
	<-failed // nothing is added to conns any more
	if err := conns.end(s.options.Timeout + answerTimeout); err != nil {
		return fmt.Errorf("ending the requests in flight: %w", err)
	}
	return nil
}

// accept serves every connection of listener in a goroutine of its own, until listener fails or is closed.
func (s *Server) accept(listener net.Listener, tlsConfig *tls.Config, conns *connections) error {
	for pause := time.Duration(0); ; {
		accepted, err := listener.Accept()
		switch {
		case err == nil:
			pause = 0
			conns.serve(newConn(s, accepted, tlsConfig, &conns.closing))
		case passing(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.options.Logger.Warn("ACCEPTING", "error", err.Error(), "again_in", pause.String())
			time.Sleep(pause)
		default:
			return err
		}
	}
}

// passing says of an error of Accept that it is about a connection or about files that are short, not about the listener.
func passing(err error) bool {
	var cause syscall.Errno
	return errors.As(err, &cause) && (cause.Temporary() || cause == syscall.ECONNABORTED)
}
