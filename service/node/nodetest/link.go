package nodetest

import (
	"testing"

	"captop/service/node/link"
)

// Link is a link before a server that lasts as long as the test. Its methods fail the test where they cannot work.
type Link struct {
	*link.Link
	t testing.TB
}

// NewLink listens on a port of its own and forwards to target (host:port) until the test ends.
func NewLink(t testing.TB, target string) *Link {
	t.Helper()
	opened, err := link.New(FreeAddr(t), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(opened.Close)
	return &Link{Link: opened, t: t}
}

// URL is redis://host:port of the near end.
func (l *Link) URL() string { return "redis://" + l.Addr() }

// Heal ends Cut, Reset and Slow.
func (l *Link) Heal() {
	if err := l.Link.Heal(); err != nil {
		l.t.Error(err)
	}
}
