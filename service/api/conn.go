package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"captop/service"
)

// plainError matches what net/http writes by itself, before any handler runs: a header that is too large, a request line
// that does not parse. Nothing else on our connections starts so.
var plainError = regexp.MustCompile(
	`^HTTP/1\.1 ([45]\d\d) [^\r\n]*\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n(?s)(.*)$`)

// jsonListener makes the errors of net/http itself as readable as ours.
type jsonListener struct {
	net.Listener
	server *Server
	tls    *tls.Config // nil: plain
}

// Accept wraps the next connection.
func (l jsonListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.tls == nil {
		return &jsonConn{Conn: conn, server: l.server}, nil
	}
	secure := tls.Server(conn, l.tls)
	return &tlsConn{jsonConn{Conn: secure, server: l.server}, secure}, nil
}

// jsonConn replaces the plain-text errors that net/http writes by error bodies, and answers 408 where it would only
// hang up: when a request's header does not arrive in time.
type jsonConn struct {
	net.Conn
	server   *Server
	handling atomic.Bool  // a handler is at work: it answers itself
	pending  atomic.Int64 // bytes of a request that has not come to a handler yet
}

// tlsConn tells net/http of the TLS state of the connection below.
type tlsConn struct {
	jsonConn
	secure *tls.Conn
}

// ConnectionState is how net/http knows that this is TLS.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }

// Read counts, and answers 408 when the time for a header is over.
func (c *jsonConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pending.Add(int64(n))
	if errors.Is(err, os.ErrDeadlineExceeded) && !c.handling.Load() && c.pending.Swap(0) > 0 {
		_, _ = c.Conn.Write(c.errorAnswer(http.StatusRequestTimeout, "the request's header did not arrive in time"))
	}
	return n, err
}

// Write passes p on, or an error body in its place.
func (c *jsonConn) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(p, []byte("HTTP/1.1 5")) {
		return c.Conn.Write(p)
	}
	found := plainError.FindSubmatch(p)
	if found == nil {
		return c.Conn.Write(p)
	}
	status, _ := strconv.Atoi(string(found[1])) // three digits, says the pattern
	if _, err := c.Conn.Write(c.errorAnswer(status, string(found[2]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite lets net/http linger, so that the client reads the answer before the connection is reset.
func (c *jsonConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *jsonConn) errorAnswer(status int, message string) []byte {
	refusal := &service.Error{Code: service.CodeBadRequest, Outcome: service.NotApplied,
		Message: "the request line, an escape (%XX) in it, or a header does not parse"}
	if detail, told := strings.CutPrefix(message, "400 Bad Request: "); told {
		refusal.Message += ": " + detail
	}
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge:
		refusal.Code = service.CodeHeaderTooLarge
		refusal.Message = fmt.Sprintf("the header has more than %d bytes; send a long value as the body", maxHeaderBytes)
	case http.StatusRequestTimeout:
		refusal.Code, refusal.Message = service.CodeRequestTimeout, message
	}
	body, err := json.Marshal(c.server.errorBody(refusal))
	if err != nil { // our own type: it always marshals
		panic(err)
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s\n",
		status, http.StatusText(status), len(body)+1, body)
}

type connKey struct{}

// withConn is the server's ConnContext: handlers find their connection in the request's context.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	switch c := conn.(type) {
	case *tlsConn:
		return context.WithValue(ctx, connKey{}, &c.jsonConn)
	case *jsonConn:
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

func beginRequest(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*jsonConn); ok {
		c.handling.Store(true)
	}
}

func endRequest(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*jsonConn); ok {
		c.pending.Store(0)
		c.handling.Store(false)
	}
}
