package api

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	maxHeaderBytes = 64 << 10 // request line and header
	bufferBytes    = 4 << 10  // of a connection, each way, as long as its headers are no longer
	// lingerTime is how long a client whose request was not read to its end may go on sending. A connection that is closed
	// with something unread is reset, and a reset may overtake the answer.
	lingerTime = 500 * time.Millisecond
	// slack is how much sooner than it should a connection may be given up that nothing comes or goes on: to move a deadline
	// costs as much as to read a header, and with every request both would have to.
	slack = time.Second
)

// conn is a client's connection: its requests are read and answered one after the other.
type conn struct {
	net.Conn
	server  *Server
	address netip.Addr // of the peer; zero where it is none of TCP
	closing *atomic.Bool
	state   atomic.Int32
	in      *bufio.Reader
	small   *bufio.Reader // in, before a long header came
	out     *bufio.Writer
	now     *exchange
	readBy  time.Time // the deadlines that are set
	writeBy time.Time
}

// A new connection counts as busy: who has just connected is about to ask.
const (
	connBusy int32 = iota
	connIdle
	connClosed
)

func newConn(server *Server, accepted net.Conn, tlsConfig *tls.Config, closing *atomic.Bool) *conn {
	if tlsConfig != nil {
		accepted = tls.Server(accepted, tlsConfig)
	}
	c := &conn{Conn: accepted, server: server, closing: closing, small: bufio.NewReaderSize(accepted, bufferBytes),
		out: bufio.NewWriterSize(accepted, bufferBytes)}
	c.in = c.small
	if peer, ok := accepted.RemoteAddr().(*net.TCPAddr); ok {
		c.address = peer.AddrPort().Addr().Unmap().WithZone("")
	}
	c.now = newExchange(c)
	return c
}

// serve answers the connection's requests until either side wants no more.
func (c *conn) serve() {
	defer c.end()
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
	if !c.handshake() {
		return
	}
	for first := true; c.await(first) && c.now.serve(first); first = false {
	}
}

// end closes the connection. Operations answer their own panics; any other one costs its connection and nothing else.
func (c *conn) end() {
	if p := recover(); p != nil {
		c.server.options.Logger.Error("PANIC", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
	_ = c.Close()
}

func (c *conn) handshake() bool {
	secure, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	_ = c.SetWriteDeadline(time.Now().Add(headerTimeout))
	if err := secure.Handshake(); err != nil {
		c.server.options.Logger.Debug("TLS_HANDSHAKE", LogClient, c.address.String(), "error", err.Error())
		return false
	}
	return true
}

// await waits for the first byte of a request. Between requests the connection is idle, and may be closed meanwhile.
func (c *conn) await(first bool) bool {
	if first {
		_, err := c.in.Peek(1)
		return err == nil
	}
	if c.in.Buffered() > 0 {
		return true
	}
	if c.in != c.small {
		c.in, c.now = c.small, newExchange(c) // what waits holds no room for a long header
	}
	if by := time.Now().Add(idleTimeout); isOff(c.readBy, by) {
		_ = c.SetReadDeadline(by)
	}
	c.state.Store(connIdle)
	if c.closing.Load() {
		return false
	}
	_, err := c.in.Peek(1)
	return err == nil && c.state.CompareAndSwap(connIdle, connBusy)
}

// closeIdle closes a connection that waits for a request.
func (c *conn) closeIdle() {
	if c.state.CompareAndSwap(connIdle, connClosed) {
		_ = c.Close()
	}
}

// grow makes room for a long header, once. What is buffered stays.
func (c *conn) grow() bool {
	if c.in != c.small {
		return false
	}
	held, _ := c.in.Peek(c.in.Buffered())
	c.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(held)), c.Conn), maxHeaderBytes)
	c.small.Reset(c.Conn)
	_, _ = c.in.Peek(len(held))
	return true
}

// linger takes what the client still sends, for a while, so that it gets to read the answer.
func (c *conn) linger() {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	_ = c.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.Copy(io.Discard, c.Conn)
}

// send writes an answer out, within the time that a slow reader has.
func (c *conn) send(answer *fasthttp.Response) bool {
	if by := time.Now().Add(c.server.options.Timeout + answerTimeout); isOff(c.writeBy, by) {
		_ = c.SetWriteDeadline(by)
	}
	return answer.Write(c.out) == nil && c.out.Flush() == nil
}

// isOff reports whether a deadline that is set differs too much from the one that is wanted.
func isOff(set, wanted time.Time) bool { return set.After(wanted) || wanted.Sub(set) > slack }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(by time.Time) error {
	c.readBy = by
	return c.Conn.SetReadDeadline(by)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(by time.Time) error {
	c.writeBy = by
	return c.Conn.SetWriteDeadline(by)
}
