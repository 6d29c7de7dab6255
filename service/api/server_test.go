package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// TestEveryCodeArrives: a refusal of the store comes out of the client as it went in, with the documented status.
func TestEveryCodeArrives(t *testing.T) {
	store := newFakeStore()
	addr, _ := serve(t, store, testOptions(io.Discard))
	client := api.NewClient("http://"+addr, "", &http.Transport{})
	for code, status := range map[service.Code]int{
		service.CodeConflict: 409, service.CodeClockSkew: 503, service.CodeNodeUnavailable: 503,
		service.CodeCircuitOpen: 503, service.CodeRejoining: 503, service.CodeUnknownOutcome: 504,
		service.CodeTimeout: 504, service.CodeInternal: 500, service.CodeNotFound: 404,
	} {
		want := service.Error{Code: code, Message: "a sentence", Outcome: service.Unknown, Node: service.G2}
		store.set(func(f *fakeStore) { f.err = fmt.Errorf("wrapped: %w", &want) })
		_, err := client.Write(t.Context(), "k", []byte("v"))
		var got *service.Error
		if !errors.As(err, &got) || *got != want {
			t.Errorf("write: %#v, wanted %#v", err, want)
		}
		_, err = client.Read(t.Context(), "k", service.ReadOptions{Node: service.G1})
		want.Outcome = ""
		if !errors.As(err, &got) || *got != want {
			t.Errorf("read: %#v, wanted %#v without an outcome", err, want)
		}
		if response := send(t, "POST", "http://"+addr+"/write/k/v", nil, nil); response.StatusCode != status {
			t.Errorf("%s: status %d, wanted %d", code, response.StatusCode, status)
		}
	}
	store.set(func(f *fakeStore) { f.err = errors.New("redis://:HUSH@g1 fell over") })
	_, err := client.Write(t.Context(), "k", []byte("v"))
	var got *service.Error
	if !errors.As(err, &got) || got.Code != service.CodeInternal || got.Outcome != service.Unknown ||
		strings.Contains(got.Message, "HUSH") {
		t.Errorf("any other error: %#v", err)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	log := &logBuffer{}
	addr, _ := serve(t, panicking{newFakeStore()}, testOptions(log))
	var body api.ErrorBody
	response := send(t, "GET", "http://"+addr+"/read/k", nil, &body)
	if response.StatusCode != 500 || body.Error.Code != service.CodeInternal || !strings.Contains(log.String(), "PANIC") {
		t.Errorf("%d %+v\n%s", response.StatusCode, body, log)
	}
}

type panicking struct{ *fakeStore }

func (panicking) Read(_ context.Context, _ string, _ service.ReadOptions) (service.Value, error) {
	panic("Read")
}

func TestDeadlineBoundsTheRequest(t *testing.T) {
	store := newFakeStore()
	store.hold = make(chan struct{})
	options := testOptions(io.Discard)
	options.Timeout = 100 * time.Millisecond
	addr, _ := serve(t, store, options)
	_, err := api.NewClient("http://"+addr, "", &http.Transport{}).Write(t.Context(), "k", []byte("v"))
	var got *service.Error
	if !errors.As(err, &got) || got.Code != service.CodeTimeout || got.Outcome != service.Unknown {
		t.Errorf("a store that hangs: %v", err)
	}
}

// TestHangingUpDoesNotCancel: a write whose client is gone ends as if it were there.
func TestHangingUpDoesNotCancel(t *testing.T) {
	store := newFakeStore()
	store.hold = make(chan struct{})
	addr, _ := serve(t, store, testOptions(io.Discard))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, post("/write/k/v"))
	until(t, "the write to arrive", func() bool { return inFlight(t, addr) == 2 })
	_ = conn.(*net.TCPConn).SetLinger(0) // a reset, which no reader can overlook
	conn.Close()
	time.Sleep(50 * time.Millisecond) // for the server to notice, if it would
	close(store.hold)
	until(t, "the write to end", func() bool { return inFlight(t, addr) == 1 })
	written := sample(t, scrape(t, addr), "app_requests_total", "mode=cp", "operation=write", "status=200")
	if got := store.get("k"); got.Value != "v" || written.Counter.GetValue() != 1 {
		t.Errorf("the store has %+v, writes that ended well: %v", got, written)
	}
}

// TestDrainEndsWhatIsInFlight: after the signal health says draining, and a write that was on its way is answered.
func TestDrainEndsWhatIsInFlight(t *testing.T) {
	store := newFakeStore()
	store.hold = make(chan struct{})
	options := testOptions(io.Discard)
	options.DrainDelay = 300 * time.Millisecond
	addr, drain := serve(t, store, options)
	client := api.NewClient("http://"+addr, "", &http.Transport{})
	wrote := make(chan error, 1)
	go func() {
		_, err := client.Write(t.Context(), "k", []byte("v"))
		wrote <- err
	}()
	until(t, "the write to arrive", func() bool { return inFlight(t, addr) == 2 })
	drained := make(chan error, 1)
	go func() { drained <- drain() }()
	until(t, "draining", func() bool {
		body, err := client.Health(t.Context())
		return err == nil && body.Status == api.StatusDraining && body.Draining
	})
	until(t, "the listener to close", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-drained:
		t.Fatalf("the server ended with a write in flight: %v", err)
	default:
	}
	close(store.hold)
	if err := <-wrote; err != nil {
		t.Errorf("the write in flight: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("draining: %v", err)
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestHealthTellsTheWorst(t *testing.T) {
	g1 := service.NodeState{Name: service.G1, Reachable: true}
	g2 := service.NodeState{Name: service.G2, Reachable: true}
	down, open, rejoining := g2, g2, g2
	down.Reachable, down.LastError = false, "connection refused"
	open.Breaker.State = service.BreakerOpen
	rejoining.Rejoin = service.Rejoin{Active: true, Done: 3, Total: 9, Waiting: "db_g1 is away"}
	refusing := g1
	refusing.Refusal = "NOREPLICAS Not enough good replicas to write"
	downToo := g1
	downToo.Reachable = false
	late, lateToo := g1, g2
	late.ClockError, lateToo.ClockError = "behind db_g1", "behind db_g2"
	for name, c := range map[string]struct {
		states  []service.NodeState
		status  int
		want    api.Status
		refused string
	}{
		"well":                      {[]service.NodeState{g1, g2}, 200, api.StatusOK, ""},
		"one down":                  {[]service.NodeState{g1, down}, 200, api.StatusDegraded, ""},
		"open":                      {[]service.NodeState{g1, open}, 200, api.StatusDegraded, ""},
		"rejoining":                 {[]service.NodeState{g1, rejoining}, 200, api.StatusDegraded, ""},
		"both down":                 {[]service.NodeState{downToo, down}, 503, api.StatusUnavailable, ""},
		"refusing":                  {[]service.NodeState{refusing, g2}, 200, api.StatusDegraded, ""},
		"a node's clock":            {[]service.NodeState{late, g2}, 200, api.StatusDegraded, ""},
		"its clock":                 {[]service.NodeState{late, lateToo}, 200, api.StatusDegraded, "behind db_g2"},
		"its clock, and a node off": {[]service.NodeState{late, down}, 200, api.StatusDegraded, "behind db_g1"},
	} {
		store := newFakeStore()
		store.states = c.states
		addr, _ := serve(t, store, testOptions(io.Discard))
		var body api.HealthBody
		response := send(t, "GET", "http://"+addr+"/health", nil, &body)
		if response.StatusCode != c.status || body.Status != c.want || body.WritesRefused != c.refused || len(body.Nodes) != 2 || body.MaxStalenessMS != 5000 {
			t.Errorf("%s: %d %+v", name, response.StatusCode, body)
		}
		if name == "rejoining" && (body.Nodes[1].Rejoin.Done != 3 || body.Nodes[1].Rejoin.Waiting == "") {
			t.Errorf("the rejoin: %+v", body.Nodes[1].Rejoin)
		}
	}
}

func TestBreakers(t *testing.T) {
	store := newFakeStore()
	next := time.Now().Add(time.Second).Round(0).UTC()
	store.states[1].Breaker = service.Breaker{State: service.BreakerOpen, Failures: 5, NextProbe: next, Since: next}
	addr, _ := serve(t, store, testOptions(io.Discard))
	body, err := api.NewClient("http://"+addr, "", &http.Transport{}).Breakers(t.Context())
	if err != nil || len(body.Breakers) != 2 || body.Breakers[0].State != "CLOSED" || !body.Breakers[0].NextProbe.IsZero() ||
		body.Breakers[1].State != "OPEN" || body.Breakers[1].Failures != 5 || !body.Breakers[1].NextProbe.Equal(next) {
		t.Errorf("%+v %v", body, err)
	}
}

// TestClientWithoutAnAnswer: what became of a write is not guessed.
func TestClientWithoutAnAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1024))
			conn.Close()
		}
	}()
	client := api.NewClient("http://"+listener.Addr().String(), "", &http.Transport{DisableKeepAlives: true})
	var got *service.Error
	_, err = client.Write(t.Context(), "k", []byte("v"))
	if !errors.As(err, &got) || got.Outcome != service.Unknown {
		t.Errorf("hung up on: %v", err)
	}
	listener.Close()
	_, err = client.Write(t.Context(), "k", []byte("v"))
	if !errors.As(err, &got) || got.Outcome != service.NotApplied {
		t.Errorf("refused: %v", err)
	}
	if _, err := client.Health(t.Context()); err == nil {
		t.Error("the health of nobody: no error")
	}
}
