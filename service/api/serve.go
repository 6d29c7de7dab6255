package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	maxHeaderBytes = 64 << 10 // request line and header; net/http allows 4 KiB more
	headerTimeout  = 5 * time.Second
	idleTimeout    = 2 * time.Minute
	answerTimeout  = 30 * time.Second // for a slow reader, beyond the request's own time
)

// Serve answers on listener until ctx ends; then it drains: /health says so for DrainDelay while everything is still
// answered, then the listener closes and requests in flight end. It gives nil after a complete drain. A nil
// tlsConfig means plain HTTP. TLS connections speak HTTP/1.1 only.
func (s *Server) Serve(ctx context.Context, listener net.Listener, tlsConfig *tls.Config) error {
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      s.options.Timeout + answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	return s.serve(ctx, server, jsonListener{listener, s, tlsConfig})
}

func (s *Server) serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
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
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout+answerTimeout)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		return errors.Join(fmt.Errorf("ending the requests in flight: %w", err), server.Close())
	}
	return nil
}
