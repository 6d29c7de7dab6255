package nodetest

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// say sends one inline command over a new connection and gives the first line of the answer, "" if none came in time.
func say(t *testing.T, addr, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = conn.Write([]byte(command + "\r\n"))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line)
}

func TestServerKeepsItsDataOverKillAndLosesItOverWipe(t *testing.T) {
	s := Start(t)
	if got := say(t, s.Addr(), "SET k 1"); got != "+OK" {
		t.Fatalf("SET answered %q", got)
	}
	old := s.SaveDisk()
	s.Restart()
	if got := say(t, s.Addr(), "INCR k"); got != ":2" {
		t.Errorf("after a kill INCR answered %q, want :2", got)
	}
	s.LoadDisk(old)
	s.Restart()
	if got := say(t, s.Addr(), "INCR k"); got != ":2" {
		t.Errorf("on the old copy INCR answered %q, want :2", got)
	}
	s.Wipe()
	s.Restart()
	if got := say(t, s.Addr(), "INCR k"); got != ":1" {
		t.Errorf("on an empty disk INCR answered %q, want :1", got)
	}
}

func TestPausedServerIsSilent(t *testing.T) {
	s := Start(t)
	s.Pause()
	if got := say(t, s.Addr(), "PING"); got != "" {
		t.Errorf("a paused server answered %q", got)
	}
	s.Resume()
	s.await()
}

func TestLinkCutHealsResetRefuses(t *testing.T) {
	s := Start(t)
	l := NewLink(t, s.Addr())
	if got := say(t, l.Addr(), "PING"); got != "+PONG" {
		t.Fatalf("through the link: %q", got)
	}
	l.Cut()
	if got := say(t, l.Addr(), "PING"); got != "" {
		t.Errorf("through the cut link: %q", got)
	}
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("PING\r\n"))
	l.Heal()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "+PONG\r\n" {
		t.Errorf("what was sent while cut answered %q, %v after Heal", line, err)
	}
	l.Reset()
	if _, err := net.DialTimeout("tcp", l.Addr(), time.Second); err == nil {
		t.Error("a reset link took a connection")
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlived Reset")
	}
	l.Heal()
	if got := say(t, l.Addr(), "PING"); got != "+PONG" {
		t.Errorf("healed after Reset: %q", got)
	}
}

// TestNothingIsOpenedThroughACutLink: the server does not get connections that are made while the link is cut.
func TestNothingIsOpenedThroughACutLink(t *testing.T) {
	s := Start(t)
	l := NewLink(t, s.Addr())
	connected := func() int {
		t.Helper()
		n, err := strconv.Atoi(s.info("total_connections_received"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := connected()
	l.Cut()
	for range 5 {
		if got := say(t, l.Addr(), "PING"); got != "" {
			t.Errorf("through the cut link: %q", got)
		}
	}
	if got := connected() - before - 1; got != 0 { // one is of who asks
		t.Errorf("connections that reached the server: %d", got)
	}
}
