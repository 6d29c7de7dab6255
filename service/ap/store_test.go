package ap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"captop/service"
	"captop/service/node"
	"captop/service/node/nodetest"
)

// pair is two real servers, each behind a link that all instances of a test share.
type pair struct {
	servers [2]*nodetest.Server
	links   [2]*nodetest.Link
	urls    [2]string     // of the nodes
	openFor time.Duration // how long breakers stay OPEN
	timeout time.Duration // of a request
}

func newPair(t testing.TB, args ...string) *pair {
	t.Helper()
	p := &pair{openFor: 200 * time.Millisecond, timeout: testTimeout}
	for i := range p.servers {
		p.servers[i] = nodetest.Start(t, args...)
		p.links[i] = nodetest.NewLink(t, p.servers[i].Addr())
		p.urls[i] = p.links[i].URL()
	}
	return p
}

const testTimeout = 2 * time.Second

// open starts an instance; now is its clock.
func (p *pair) open(t testing.TB, name string, now func() time.Time) *Store {
	t.Helper()
	nodes := p.openNodes(t)
	return p.openOver(t, nodes[0], nodes[1], nil, nil, name, now)
}

func (p *pair) openNodes(t testing.TB) (nodes [2]*node.Node) {
	t.Helper()
	for i, nodeName := range []string{service.G1, service.G2} {
		config := node.DefaultConfig(nodeName, p.urls[i])
		config.Timeout, config.BreakerOpenFor = p.timeout/2, p.openFor
		config.Logger = slog.New(slog.DiscardHandler)
		n, err := node.Open(config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close() })
		nodes[i] = n
	}
	return nodes
}

func (p *pair) openOver(t testing.TB, g1, g2 *node.Node, buckets []int, polls *Polls, name string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(Config{G1: g1, G2: g2, Buckets: buckets, Polls: polls, Timeout: p.timeout, MaxStaleness: time.Second,
		MaxClockSkew: 500 * time.Millisecond, Instance: name, Now: now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// ready opens an instance and waits until it finds both nodes reconciled.
func (p *pair) ready(t testing.TB, name string) *Store {
	t.Helper()
	s := p.open(t, name, time.Now)
	awaitGood(t, s, g1, g2)
	return s
}

func awaitGood(t testing.TB, s *Store, sides ...side) {
	t.Helper()
	await(t, "the nodes are reachable and reconciled", func() error {
		for _, which := range sides {
			if s.rank(which) != rankGood {
				return fmt.Errorf("%+v", s.Nodes()[which])
			}
		}
		return nil
	})
}

// await polls until check gives nil.
func await(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func awaitAway(t testing.TB, s *Store, which side) {
	t.Helper()
	await(t, s.nodes[which].Name()+" is given up", func() error {
		if s.rank(which) != rankAway {
			return fmt.Errorf("%+v", s.Nodes()[which])
		}
		return nil
	})
}

func mustWrite(t testing.TB, s *Store, key, value string) service.Written {
	t.Helper()
	w, err := s.Write(context.Background(), key, []byte(value))
	if err != nil {
		t.Fatalf("writing %s: %v", key, err)
	}
	if w.Outcome != service.Applied || len(w.Nodes) == 0 {
		t.Fatalf("writing %s: %+v", key, w)
	}
	return w
}

func awaitValue(t testing.TB, s service.Store, nodeName, key, want string) service.Value {
	t.Helper()
	var v service.Value
	await(t, fmt.Sprintf("%s answers %s=%q", nodeName, key, want), func() (err error) {
		v, err = s.Read(context.Background(), key, service.ReadOptions{Node: nodeName})
		if err == nil && v.Value != want {
			err = fmt.Errorf("it answers %q", v.Value)
		}
		return err
	})
	return v
}

func TestWriteIsReadAtOnceAndReachesBothNodes(t *testing.T) {
	s := newPair(t).ready(t, "a")
	w := mustWrite(t, s, "k", "1")
	if w.Nodes[0] != service.G1 {
		t.Errorf("written at %v, want db_g1", w.Nodes)
	}
	v, err := s.Read(context.Background(), "k", service.ReadOptions{})
	if err != nil || v.Value != "1" || v.Version != w.Version || v.Node != service.G1 {
		t.Fatalf("read %+v, %v", v, err)
	}
	if v := awaitValue(t, s, service.G2, "k", "1"); v.Version != w.Version {
		t.Errorf("db_g2 has version %s, want %s", v.Version, w.Version)
	}
	second := mustWrite(t, s, "k", "2")
	if newer, err := s.Newer(second.Version, w.Version); err != nil || !newer {
		t.Errorf("Newer(second, first) = %v, %v", newer, err)
	}
	if newer, err := s.Newer(w.Version, second.Version); err != nil || newer {
		t.Errorf("Newer(first, second) = %v, %v", newer, err)
	}
	if _, err := s.Newer("42", w.Version); err == nil {
		t.Error("a version of CP was compared")
	}
	await(t, "nothing is queued", func() error {
		for _, n := range s.Nodes() {
			if n.QueueDepth != 0 || n.Staleness > time.Second || n.Rejoin.Active {
				return fmt.Errorf("%+v", n)
			}
		}
		return nil
	})
	if _, err := s.Read(context.Background(), "never", service.ReadOptions{}); service.CodeOf(err) != service.CodeNotFound {
		t.Errorf("a key never written: %v", err)
	}
}

func TestWriteGoesToTheOtherNode(t *testing.T) {
	faults := map[string]struct{ begin, end func(*pair) }{
		"killed": {func(p *pair) { p.servers[0].Kill() }, func(p *pair) { p.servers[0].Restart() }},
		"paused": {func(p *pair) { p.servers[0].Pause() }, func(p *pair) { p.servers[0].Resume() }},
		"cut":    {func(p *pair) { p.links[0].Cut() }, func(p *pair) { p.links[0].Heal() }},
		"reset":  {func(p *pair) { p.links[0].Reset() }, func(p *pair) { p.links[0].Heal() }},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			s := p.ready(t, "a")
			mustWrite(t, s, "k", "0")
			awaitValue(t, s, service.G2, "k", "0")
			fault.begin(p)
			var w service.Written
			for i := range 10 {
				w = mustWrite(t, s, "k", fmt.Sprint(i))
				if w.Nodes[0] != service.G2 {
					t.Fatalf("write %d went to %v", i, w.Nodes)
				}
				v, err := s.Read(context.Background(), "k", service.ReadOptions{})
				if err != nil || v.Version != w.Version || v.Node != service.G2 {
					t.Fatalf("read %+v, %v", v, err)
				}
			}
			if depth := s.Nodes()[g1].QueueDepth; depth < 0 {
				t.Errorf("queue depth %d", depth)
			}
			await(t, "the queue shows the write", func() error {
				if n := s.Nodes()[g1]; n.QueueDepth != 1 || n.Staleness < time.Millisecond {
					return fmt.Errorf("%+v", n)
				}
				return nil
			})
			fault.end(p)
			awaitGood(t, s, g1, g2)
			if v := awaitValue(t, s, service.G1, "k", "9"); v.Version != w.Version {
				t.Errorf("db_g1 has %s, want %s", v.Version, w.Version)
			}
		})
	}
}

func TestBothNodesDown(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	for i := range p.links {
		p.links[i].Reset()
	}
	var refusal *service.Error
	// The first write after the reset may meet a connection that breaks under it.
	await(t, "a write surely fails", func() error {
		_, err := s.Write(context.Background(), "k", []byte("1"))
		if !errors.As(err, &refusal) {
			t.Fatalf("with both nodes down: %v", err)
		}
		if refusal.Outcome != service.NotApplied {
			return err
		}
		return nil
	})
	if refusal.Code != service.CodeNodeUnavailable {
		t.Errorf("code %s", refusal.Code)
	}
	_, err := s.Read(context.Background(), "k", service.ReadOptions{})
	if !errors.As(err, &refusal) || refusal.Code != service.CodeNodeUnavailable || refusal.Outcome != "" {
		t.Errorf("a read: %v", err)
	}
}

func TestBothNodesSilentIsUnknown(t *testing.T) {
	p := newPair(t)
	s := p.ready(t, "a")
	mustWrite(t, s, "k", "0")
	p.servers[0].Pause()
	p.servers[1].Pause()
	_, err := s.Write(context.Background(), "k", []byte("1"))
	var refusal *service.Error
	if !errors.As(err, &refusal) || refusal.Outcome != service.Unknown || refusal.Code != service.CodeTimeout {
		t.Errorf("with both nodes silent: %v", err)
	}
	p.servers[0].Resume()
	p.servers[1].Resume()
	// It had arrived, and the servers take it up now.
	awaitValue(t, s, service.G1, "k", "1")
	awaitValue(t, s, service.G2, "k", "1")
}

func TestSessionFindsItsWriteAtTheOtherNode(t *testing.T) {
	p := newPair(t)
	a := p.ready(t, "a")
	mustWrite(t, a, "k", "old")
	awaitValue(t, a, service.G2, "k", "old")
	// The servers stay; only what carries writes over is gone.
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	written, err := a.writeAt(context.Background(), g2, "k", []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := a.Read(context.Background(), "k", service.ReadOptions{})
	if err != nil || v.Value != "old" {
		t.Fatalf("without a session: %+v, %v", v, err)
	}
	v, err = a.Read(context.Background(), "k", service.ReadOptions{After: written.Version})
	if err != nil || v.Value != "new" || v.Node != service.G2 {
		t.Fatalf("with a session: %+v, %v", v, err)
	}
	p.servers[1].Kill()
	v, err = a.Read(context.Background(), "k", service.ReadOptions{After: written.Version})
	if err != nil || v.Value != "old" || v.Node != service.G1 {
		t.Fatalf("with a session and its node gone: %+v, %v", v, err)
	}
}

func TestSkewedInstanceIsRefused(t *testing.T) {
	for _, skew := range []time.Duration{-time.Hour, -time.Second, time.Second, time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			good := p.ready(t, "good")
			mustWrite(t, good, "k", "1")
			bad := p.open(t, "bad", func() time.Time { return time.Now().Add(skew) })
			awaitGood(t, bad, g1, g2)
			_, err := bad.Write(context.Background(), "k", []byte("2"))
			var refusal *service.Error
			if !errors.As(err, &refusal) || refusal.Code != service.CodeClockSkew || refusal.Outcome != service.NotApplied {
				t.Errorf("a write by a clock off by %s: %v", skew, err)
			}
			if v, err := bad.Read(context.Background(), "k", service.ReadOptions{}); err != nil || v.Value != "1" {
				t.Errorf("a read: %+v, %v", v, err)
			}
			mustWrite(t, good, "k", "3")
		})
	}
}

// The breaker of a node that came back stays OPEN for a while; when the other node goes in that while, the first is used.
func TestNodeIsUsedBeforeItsBreakerCloses(t *testing.T) {
	p := newPair(t)
	p.openFor = time.Hour
	s := p.ready(t, "a")
	p.links[1].Reset()
	await(t, "the breaker of db_g2 is open", func() error {
		if b := s.Nodes()[g2].Breaker; b.State != service.BreakerOpen {
			return fmt.Errorf("%+v", b)
		}
		return nil
	})
	mustWrite(t, s, "k", "1")
	p.links[1].Heal()
	awaitGood(t, s, g1, g2)
	p.links[0].Reset()
	for i := range 20 {
		if w := mustWrite(t, s, "k", fmt.Sprint(i)); w.Nodes[0] != service.G2 {
			t.Fatalf("written at %v", w.Nodes)
		}
		if v, err := s.Read(context.Background(), "k", service.ReadOptions{}); err != nil || v.Value != fmt.Sprint(i) {
			t.Fatalf("read %+v, %v", v, err)
		}
	}
	if b := s.Nodes()[g2].Breaker; b.State != service.BreakerOpen {
		t.Errorf("the breaker closed before its time: %+v", b)
	}
}

// A node that is slow beyond its share of the time is asked again where the other one refuses at once.
func TestSlowNodeIsAskedAgain(t *testing.T) {
	for what, do := range map[string]func(s *Store) error{
		"read": func(s *Store) error {
			_, err := s.Read(context.Background(), "k", service.ReadOptions{})
			return err
		},
		"write": func(s *Store) error { _, err := s.Write(context.Background(), "k", []byte("2")); return err },
	} {
		t.Run(what, func(t *testing.T) {
			p := newPair(t)
			p.timeout = 6 * time.Second
			s := p.ready(t, "a")
			mustWrite(t, s, "k", "1")
			awaitValue(t, s, service.G2, "k", "1")
			p.servers[0].Pause()
			p.links[1].Reset()
			late := time.AfterFunc(2500*time.Millisecond, p.servers[0].Resume) // the first attempt has 2 s, the node 3
			defer late.Stop()
			if err := do(s); err != nil {
				t.Error(err)
			}
		})
	}
}
