package probes

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"captop/service"
	"captop/service/node/nodetest"
)

// deadline is how long a condition may take; nothing is measured by it.
const deadline = 30 * time.Second

// await reads Snapshots until one satisfies the condition.
func await(t *testing.T, snapshots <-chan *Snapshot, what string, ok func(*Snapshot) bool) {
	t.Helper()
	limit := time.After(deadline)
	var last *Snapshot
	for {
		select {
		case snap := <-snapshots:
			if last = snap; ok(snap) {
				return
			}
		case <-limit:
			t.Fatalf("not seen: %s; last %+v", what, last.Verdict)
		}
	}
}

// TestNodesForReal watches two real servers, one of which is paused, killed, restarted and locked.
func TestNodesForReal(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	engine, err := New(Config{Poll: 200 * time.Millisecond, Targets: Targets{Nodes: []NodeTarget{
		{Name: service.G1, URL: g1.URL()}, {Name: service.G2, URL: g2.URL()}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	snapshots := engine.Watch(ctx)
	defer func() {
		cancel()
		for range snapshots {
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	contact := func(want Contact) func(*Snapshot) bool {
		return func(s *Snapshot) bool { return s.Nodes[0].Reach.Contact == Up && s.Nodes[1].Reach.Contact == want }
	}
	await(t, snapshots, "both up", contact(Up))
	g2.Pause()
	await(t, snapshots, "g2 hung", contact(Hung))
	g2.Resume()
	await(t, snapshots, "g2 up after the pause", contact(Up))
	g2.Kill()
	await(t, snapshots, "g2 down", contact(Down))
	g2.Restart()
	await(t, snapshots, "g2 up after its restart, with an event", func(s *Snapshot) bool {
		return contact(Up)(s) && len(s.Events) > 0 && s.Events[len(s.Events)-1].Kind != "" && hasEvent(s, "restart")
	})
}

func hasEvent(s *Snapshot, kind string) bool {
	for _, e := range s.Events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

// TestContacts tells apart what can be wrong with an address.
func TestContacts(t *testing.T) {
	locked := nodetest.Start(t, "--requirepass", "right")
	nonsense := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer nonsense.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	engine, err := New(Config{Poll: 500 * time.Millisecond, Targets: Targets{
		Services: []ServiceTarget{
			{Name: "nonsense", URL: nonsense.URL}, {Name: "hung", URL: "http://" + silent.Addr().String()},
			{Name: "down", URL: "http://" + gone.Addr().String()}, {Name: "blind", URL: "http://no-such-host.invalid"},
		},
		Nodes: []NodeTarget{{Name: "denied", URL: "redis://:wrong@" + locked.Addr()}, {Name: "denied too", URL: "redis://" + locked.Addr()},
			{Name: "hung", URL: "redis://" + silent.Addr().String()}, {Name: "nonsense", URL: "redis://" + nonsense.Listener.Addr().String()}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	snap, err := engine.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Contact{Nonsense, Hung, Down, Blind} {
		if got := snap.Services[i].Reach; got.Contact != want {
			t.Errorf("service %s: %s (%s)", snap.Services[i].Name, got.Contact, got.Error)
		}
	}
	for i, want := range []Contact{Denied, Denied, Hung, Nonsense} {
		if got := snap.Nodes[i].Reach; got.Contact != want {
			t.Errorf("node %s: %s (%s), want %s", snap.Nodes[i].Name, got.Contact, got.Error, want)
		}
	}
}

// TestOnceWithoutASource: nobody waits for a second look through a Prometheus that is down.
func TestOnceWithoutASource(t *testing.T) {
	engine, err := New(Config{Poll: 24 * time.Hour, Prometheus: "http://prometheus:9090", Collect: func(context.Context) []Input {
		return []Input{{Target: RemoteTarget, Part: PartSource, Fault: Down, Error: "connection refused"}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	snap, err := engine.Once(t.Context())
	if err != nil || snap.Source.Reach.Contact != Down || snap.Severity != Unknown {
		t.Errorf("%+v, %v", snap, err)
	}
}

// TestANodeBehindSentinels: the URL that the services have leads captop to the primary, also after a failover.
func TestANodeBehindSentinels(t *testing.T) {
	set := nodetest.StartSentinels(t, 1)
	engine, err := New(Config{Poll: 200 * time.Millisecond, Targets: Targets{Nodes: []NodeTarget{{Name: service.G1, URL: set.URL()}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	snapshots := engine.Watch(ctx)
	defer func() {
		cancel()
		for range snapshots {
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	await(t, snapshots, "the primary up", func(s *Snapshot) bool { return s.Nodes[0].Reach.Contact == Up })
	primary := set.Primary()
	primary.Kill()
	await(t, snapshots, "the primary down", func(s *Snapshot) bool { return s.Nodes[0].Reach.Contact != Up })
	set.AwaitFailover(primary)
	await(t, snapshots, "its successor up", func(s *Snapshot) bool { return s.Nodes[0].Reach.Contact == Up })
}

// TestOneThatHangsHoldsNobodyUp: the others are seen meanwhile, and what hangs is said to.
func TestOneThatHangsHoldsNobodyUp(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	g1 := nodetest.Start(t)
	engine, err := New(Config{Poll: deadline / 2, Targets: Targets{Nodes: []NodeTarget{{Name: service.G1, URL: g1.URL()},
		{Name: service.G2, URL: "redis://" + silent.Addr().String()}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); engine.running.Wait(); _ = engine.Close() }()
	first := engine.cycle(ctx, time.Second)
	if a, b := first.Nodes[0].Reach.Contact, first.Nodes[1].Reach.Contact; a != Up || b != NotAsked {
		t.Fatalf("db_g1 is %s and db_g2 %s", a, b)
	}
	for limit := time.Now().Add(deadline); ; {
		if snap := engine.cycle(ctx, time.Second); snap.Nodes[1].Reach.Contact == Hung {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("db_g2 never hung")
		}
	}
}

// TestPanicIsBlindness: a defect of a probe is no outage of its target, and ends nothing else.
func TestPanicIsBlindness(t *testing.T) {
	engine, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	in := engine.attempt(t.Context(), job{target: "x", part: PartInfo, ask: func(context.Context) (answer, error) { panic("oh") }}, time.Second)
	if in.Fault != Blind || in.Error == "" || in.At.IsZero() {
		t.Errorf("%+v", in)
	}
}

// TestHeldUp: where captop itself was stopped during an attempt, its timeout is not held against the target.
func TestHeldUp(t *testing.T) {
	if got := classify(context.DeadlineExceeded, 3*time.Second, time.Second); got != Blind {
		t.Errorf("after 3 s of a timeout of 1 s: %s", got)
	}
	if got := classify(errors.New("broken pipe"), time.Millisecond, time.Second); got != Down {
		t.Errorf("a broken connection: %s", got)
	}
}
