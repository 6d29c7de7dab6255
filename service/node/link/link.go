// Package link is a stretch of network between two TCP ends that can be cut, reset, slowed and healed.
package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Link is a TCP proxy before a server, which stands for the network between an instance and a node. Safe for
// concurrent use.
type Link struct {
	target   string
	addr     string
	mu       sync.Mutex
	changed  *sync.Cond // of the fields below
	listener net.Listener
	conns    map[net.Conn]bool
	silent   bool
	delay    time.Duration
	closed   bool
	pumps    sync.WaitGroup
}

// New listens on addr (host:port; port 0 takes a free one) and forwards to target (host:port) until Close.
func New(addr, target string) (*Link, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("opening a link to %s: %w", target, err)
	}
	l := &Link{target: target, addr: listener.Addr().String(), listener: listener, conns: map[net.Conn]bool{}}
	l.changed = sync.NewCond(&l.mu)
	l.pumps.Add(1)
	go l.accept(listener)
	return l, nil
}

// Addr is host:port of the near end.
func (l *Link) Addr() string { return l.addr }

// Cut silences the link as a partition does: connections stay, nothing passes. What was sent meanwhile arrives, late,
// at Heal.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = true
}

// Reset breaks the link as a firewall does that rejects: every connection is reset, new ones are refused.
func (l *Link) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
		l.listener = nil
	}
	for conn := range l.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	l.changed.Broadcast()
}

// Slow holds back every packet for delay, in each direction; zero ends it.
func (l *Link) Slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// Cutting reports whether nothing passes at present.
func (l *Link) Cutting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent || l.listener == nil
}

// Heal ends Cut, Reset and Slow. It fails only after a Reset, where another program has taken the port meanwhile.
func (l *Link) Heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent, l.delay = false, 0
	l.changed.Broadcast()
	if l.closed {
		return errors.New("healing a link: it is closed")
	}
	if l.listener == nil {
		listener, err := net.Listen("tcp", l.addr)
		if err != nil {
			return fmt.Errorf("healing a link: %w", err)
		}
		l.listener = listener
		l.pumps.Add(1)
		go l.accept(listener)
	}
	return nil
}

// Close ends the link and its connections.
func (l *Link) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Reset()
	l.pumps.Wait()
}

func (l *Link) accept(listener net.Listener) {
	defer l.pumps.Done()
	for {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		l.pumps.Add(1)
		go l.serve(near)
	}
}

func (l *Link) serve(near net.Conn) {
	defer l.pumps.Done()
	if !l.hold(near) {
		return
	}
	defer l.drop(near)
	early, ok := l.knock(near)
	if !ok {
		return
	}
	far, err := net.DialTimeout("tcp", l.target, time.Second)
	if err != nil {
		return
	}
	if !l.hold(far) {
		return
	}
	defer l.drop(far)
	if _, err := far.Write(early); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.pump(far, near)
		_ = near.Close()
	}()
	l.pump(near, far)
	_ = far.Close()
	<-done
}

// knockEvery is how often a connection that waits for a cut link is looked at.
const knockEvery = 50 * time.Millisecond

// knock waits until the link lets a new connection pass, and gives what was sent over it by then; ok is false for one that was
// given up before. Through a cut network nothing is opened: the far end would count clients that it never had.
func (l *Link) knock(near net.Conn) (early []byte, ok bool) {
	buffer := make([]byte, 4<<10)
	for l.Cutting() {
		_ = near.SetReadDeadline(time.Now().Add(knockEvery))
		n, err := near.Read(buffer)
		early = append(early, buffer[:n]...)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, false
		}
	}
	return early, near.SetReadDeadline(time.Time{}) == nil
}

// pump forwards what from says to to, when the link lets it pass.
func (l *Link) pump(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !l.pass(from) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			l.pass(from) // the end of a connection does not get through a cut link either
			return
		}
	}
}

// pass waits until a packet of conn may pass; false if the connection is gone by then.
func (l *Link) pass(conn net.Conn) bool {
	l.mu.Lock()
	delay := l.delay
	l.mu.Unlock()
	time.Sleep(delay)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.silent && l.listener != nil && !l.closed {
		l.changed.Wait()
	}
	return l.conns[conn] && l.listener != nil && !l.closed
}

func (l *Link) hold(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.listener == nil {
		_ = conn.Close()
		return false
	}
	l.conns[conn] = true
	return true
}

func (l *Link) drop(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}
