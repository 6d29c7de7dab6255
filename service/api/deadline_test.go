package api_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// hurry is how much faster time passes for a connection of these tests.
const hurry = 50

// hurried is a connection whose deadlines come early.
type hurried struct{ net.Conn }

func (c hurried) SetReadDeadline(at time.Time) error  { return c.Conn.SetReadDeadline(sooner(at)) }
func (c hurried) SetWriteDeadline(at time.Time) error { return c.Conn.SetWriteDeadline(sooner(at)) }

func hurriedConn(c net.Conn) net.Conn { return hurried{c} }

func sooner(at time.Time) time.Time {
	if at.IsZero() {
		return at
	}
	return time.Now().Add(time.Until(at) / hurry)
}

// TestPatienceEnds: a client that is silent, slow to send or slow to read is borne for a while only.
func TestPatienceEnds(t *testing.T) {
	store := newFakeStore()
	store.values["k"] = service.Value{Key: "k", Value: strings.Repeat("v", 1<<20), Version: "1"}
	connect := servePipes(t, store, testOptions(io.Discard), nil)
	for name, c := range map[string]struct {
		sent    []string // each is answered before the next one
		last    string   // is not, or not in time
		atLeast time.Duration
		status  int // of the answer to the last one, 0: hung up on
	}{
		"silent":                    {atLeast: 5 * time.Second},
		"silent after a request":    {sent: []string{get("/health")}, atLeast: 2 * time.Minute},
		"slow header":               {last: "GET /hea", atLeast: 5 * time.Second, status: 408},
		"slow header after another": {sent: []string{get("/health")}, last: "GET /hea", atLeast: 5 * time.Second, status: 408},
		"slow body":                 {last: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nv", atLeast: patience, status: 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := connect(hurriedConn)
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience))
			reader := bufio.NewReader(conn)
			for _, request := range c.sent {
				_, _ = io.WriteString(conn, request)
				answer(t, reader, "GET")
			}
			began := time.Now()
			_, _ = io.WriteString(conn, c.last)
			if c.status > 0 {
				if response, body := answer(t, reader, "GET"); response.StatusCode != c.status || body.Error.Code != service.CodeRequestTimeout {
					t.Errorf("%d %+v", response.StatusCode, body)
				}
			}
			if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
				t.Errorf("at the end: %q %v", rest, err)
			}
			if took := time.Since(began) * hurry; took < c.atLeast-time.Second {
				t.Errorf("it was borne for %v only, wanted %v", took, c.atLeast)
			}
		})
	}
}

// TestSlowReaderIsLetGo: who does not read his answer holds a connection for a while only.
func TestSlowReaderIsLetGo(t *testing.T) {
	store := newFakeStore()
	store.values["k"] = service.Value{Key: "k", Value: strings.Repeat("v", 1<<20), Version: "1"}
	conn := servePipes(t, store, testOptions(io.Discard), nil)(hurriedConn)
	_, _ = io.WriteString(conn, get("/read/k"))
	_, _ = conn.Read(make([]byte, 1000))
	time.Sleep((patience + 31*time.Second) / hurry)
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 1<<19 {
		t.Errorf("after the time for a slow reader it goes on: %d bytes, %v", len(rest), err)
	}
}

// TestPanicEndsOneConnection: what panics outside of a read or a write costs its connection, and the log tells.
func TestPanicEndsOneConnection(t *testing.T) {
	log := &logBuffer{}
	addr, _ := serve(t, nodeless{newFakeStore()}, testOptions(log))
	conn, reader := dial(t, addr)
	_, _ = io.WriteString(conn, get("/health"))
	if text, err := io.ReadAll(reader); err != nil || len(text) > 0 {
		t.Errorf("%q %v", text, err)
	}
	if response := send(t, "POST", "http://"+addr+"/write/k/v", nil, nil); response.StatusCode != http.StatusOK ||
		!strings.Contains(log.String(), "PANIC") {
		t.Errorf("after a panic: %d\n%s", response.StatusCode, log)
	}
}

type nodeless struct{ *fakeStore }

func (nodeless) Nodes() []service.NodeState { panic("Nodes") }

// TestProfileEndsWithItsClient: nobody is profiled for an hour for a client that is gone, and profiles share a connection.
func TestProfileEndsWithItsClient(t *testing.T) {
	token, line, err := api.NewToken("a", "admin")
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions(io.Discard)
	if options.Tokens, err = api.ParseTokens(strings.NewReader(line)); err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, newFakeStore(), options)
	ask := func(profile string) string {
		return "GET /debug/pprof/" + profile + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\r\n\r\n"
	}
	conn, reader := dial(t, addr)
	for range 20 {
		_, _ = io.WriteString(conn, ask("heap"))
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%d %v", response.StatusCode, err)
		}
	}
	_, _ = io.WriteString(conn, ask("trace?seconds=3600"))
	until(t, "the profile to begin", func() bool { return inFlight(t, addr) == 2 })
	conn.Close()
	until(t, "the profile to end", func() bool { return inFlight(t, addr) == 1 })
}
