package api_test

import (
	"bufio"
	"crypto/tls"
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

// chunked is a POST whose body is sent as it stands here.
func chunked(header, body string) string {
	return "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + header + "\r\n" + body
}

// smuggling holds requests whose end a proxy before capd might find somewhere else: two lengths, line ends and names that
// one parser takes and another does not. Each hides another request. None may be answered but by a refusal, and nothing
// after it may be answered at all.
var smuggling = map[string]string{
	"length and encoding":       chunked("Content-Length: 5\r\n", "0\r\n\r\n"),
	"encoding and length":       "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"same length twice":         "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nv",
	"length with a sign":        "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nv",
	"length in hex":             "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\nv",
	"list of lengths":           "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nv",
	"empty length":              "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nv",
	"length beyond numbers":     "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nv",
	"encoding twice":            chunked("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
	"encoding identity":         "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
	"list of encodings":         "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"encoding with a vertical":  "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
	"encoding in HTTP/1.0":      "POST /write/k HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"space before the colon":    "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length : 1\r\n\r\nv",
	"space within a name":       "POST /write/k HTTP/1.1\r\nHost: x\r\nContent Length: 1\r\n\r\nv",
	"space before a name":       "POST /write/k HTTP/1.1\r\nHost: x\r\n Content-Length: 1\r\n\r\nv",
	"name that is no token":     "POST /write/k HTTP/1.1\r\nHost: x\r\nContent(Length): 1\r\n\r\nv",
	"no name":                   "POST /write/k HTTP/1.1\r\nHost: x\r\n: 1\r\n\r\nv",
	"no colon":                  "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length 1\r\n\r\nv",
	"continued line":            "POST /write/k HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\tContent-Length: 1\r\n\r\nv",
	"first line continued":      "POST /write/k HTTP/1.1\r\n Host: x\r\n\r\nv",
	"bare LF":                   "POST /write/k HTTP/1.1\r\nHost: x\nContent-Length: 1\r\n\r\nv",
	"bare LF on the first line": "POST /write/k HTTP/1.1\nHost: x\r\n\r\n",
	"bare LF ends the header":   "POST /write/k HTTP/1.1\r\nHost: x\n\n",
	"bare LF everywhere":        "POST /write/k HTTP/1.1\nHost: x\n\n",
	"bare CR":                   "POST /write/k HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: 1\r\n\r\nv",
	"bare CR in the path":       "POST /write/k\r HTTP/1.1\r\nHost: x\r\n\r\n",
	"NUL in a value":            "POST /write/k HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
	"two hosts":                 "POST /write/k HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
	"empty host":                "POST /write/k HTTP/1.1\r\nHost:\r\n\r\n",
	"host that is none":         "POST /write/k HTTP/1.1\r\nHost: x y\r\n\r\n",
	"other version":             "POST /write/k HTTP/2.0\r\nHost: x\r\n\r\n",
	"no version":                "POST /write/k\r\nHost: x\r\n\r\n",
	"two spaces":                "POST  /write/k HTTP/1.1\r\nHost: x\r\n\r\n",
	"space in the path":         "POST /write/k v HTTP/1.1\r\nHost: x\r\n\r\n",
	"tab in the request line":   "POST\t/write/k HTTP/1.1\r\nHost: x\r\n\r\n",
	"method that is no token":   "PO(ST /write/k HTTP/1.1\r\nHost: x\r\n\r\n",
	"two empty lines first":     "\r\n\r\n",
	"chunk that ends in LF":     chunked("", "1\nv\r\n0\r\n\r\n"),
	"chunk longer than it says": chunked("", "1\r\nvw\r\n0\r\n\r\n"),
	"chunk with a sign":         chunked("", "+1\r\nv\r\n0\r\n\r\n"),
	"chunk in hex":              chunked("", "0x1\r\nv\r\n0\r\n\r\n"),
	"chunk beyond numbers":      chunked("", "fffffffffffffffff\r\nv\r\n0\r\n\r\n"),
	"trailer that ends in LF":   chunked("", "1\r\nv\r\n0\r\nX-A: b\n\n"),
	"trailer with a bare LF":    chunked("", "1\r\nv\r\n0\r\nX-A: b\nX-C: d\r\n\r\n"),
	"trailer continued":         chunked("", "1\r\nv\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
	"unknown expectation":       "POST /write/k HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\nv",
}

func TestSmugglingIsRefused(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	addr, _ := serve(t, store, testOptions(io.Discard))
	for name, request := range smuggling {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body, rest := converse(t, addr, request+post("/write/smuggled/v"))
			if response.StatusCode < 400 || response.StatusCode == 408 || body.Error.Code != service.CodeBadRequest ||
				body.Error.Outcome != service.NotApplied {
				t.Errorf("%d %+v", response.StatusCode, body)
			}
			if !response.Close || len(rest) > 0 {
				t.Errorf("the connection goes on: %v %q", response.Header, rest)
			}
		})
	}
	t.Cleanup(func() {
		store.set(func(f *fakeStore) {
			if f.next != 0 {
				t.Errorf("%d values were written: %v", f.next, f.values)
			}
		})
	})
}

// converse sends bytes, and gives the first answer and what comes after it.
func converse(t *testing.T, addr, request string) (*http.Response, api.ErrorBody, []byte) {
	t.Helper()
	conn, reader := dial(t, addr)
	go func() { _, _ = io.WriteString(conn, request) }()
	response, body := answer(t, reader, "POST")
	rest, err := io.ReadAll(reader)
	if err != nil {
		t.Fatalf("after the answer: %v", err)
	}
	return response, body, rest
}

func dial(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn, bufio.NewReader(conn)
}

// TestFramesThatAreFine: what is odd and still clear is taken, on one connection.
func TestFramesThatAreFine(t *testing.T) {
	store := newFakeStore()
	addr, _ := serve(t, store, testOptions(io.Discard))
	conn, reader := dial(t, addr)
	for i, request := range []string{
		"POST /write/%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n1;a=b\r\nv\r\n1\r\nw\r\n0\r\nX-A: b\r\nX-C: d\r\n\r\n",
		"POST /write/%s HTTP/1.1\r\nhost:x\r\ncontent-length:\t2 \r\n\r\nvw",
		"POST http://anybody/write/%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nvw",
		"\r\nPOST /write/%s/vw HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /wr%%69te/%s/v%%77?x=%%zz HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("l", 60<<10) + "\r\n\r\n",
		"POST /write/%s HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nvw",
	} {
		key := fmt.Sprint("key-", i)
		// A second one behind it, in the same packet: what the first one reads too much, the second one lacks.
		go func() { _, _ = fmt.Fprintf(conn, request+"%s", key, get("/read/"+key)) }()
		if response, body := answer(t, reader, "POST"); response.StatusCode != http.StatusOK {
			t.Fatalf("%.60q: %d %+v", request, response.StatusCode, body)
		}
		if response, body := answer(t, reader, "GET"); response.StatusCode != http.StatusOK || store.get(key).Value != "vw" {
			t.Fatalf("behind %.60q: %d %+v, written %q", request, response.StatusCode, body, store.get(key).Value)
		}
	}
}

// TestHeaderLimitIsIncluded: a header of 64 KiB is taken, one byte more is not.
func TestHeaderLimitIsIncluded(t *testing.T) {
	addr, _ := serve(t, newFakeStore(), testOptions(io.Discard))
	padded := func(size int) string {
		request := post("/write/k/v")
		const filler = "X: \r\n"
		return strings.Replace(request, "\r\n\r\n", "\r\nX: "+strings.Repeat("h", size-len(request)-len(filler))+"\r\n\r\n", 1)
	}
	for size, want := range map[int]int{64 << 10: 200, 64<<10 + 1: 431} {
		conn, reader := dial(t, addr)
		go func() { _, _ = io.WriteString(conn, padded(size)) }()
		if response, _ := answer(t, reader, "POST"); response.StatusCode != want || len(padded(size)) != size {
			t.Errorf("%d bytes: %d, wanted %d", len(padded(size)), response.StatusCode, want)
		}
	}
}

// TestContinue: a client that waits to be told is told once its request is admitted, and never before a refusal.
func TestContinue(t *testing.T) {
	addr, _ := serve(t, newFakeStore(), testOptions(io.Discard))
	head := "%s /write/k HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: %d\r\n\r\n"
	conn, reader := dial(t, addr)
	for range 2 {
		_, _ = fmt.Fprintf(conn, head, "POST", 1)
		line, err := reader.ReadString('\n')
		if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = reader.ReadString('\n')
		_, _ = io.WriteString(conn, "v")
		if response, body := answer(t, reader, "POST"); response.StatusCode != http.StatusOK || response.Close {
			t.Fatalf("%d %+v", response.StatusCode, body)
		}
	}
	for method, size := range map[string]int{"PUT": 1, "POST": 2 << 20} {
		response, body, _ := converse(t, addr, fmt.Sprintf(head, method, size))
		if response.StatusCode != 405 && response.StatusCode != 413 || !response.Close {
			t.Errorf("%s of %d bytes: %d %+v %v", method, size, response.StatusCode, body, response.Header)
		}
	}
}

// TestMethods: HEAD is GET without the body, and OPTIONS is no method of a route.
func TestMethods(t *testing.T) {
	store := newFakeStore()
	store.values["k"] = service.Value{Key: "k", Value: "v", Version: "1"}
	addr, _ := serve(t, store, testOptions(io.Discard))
	conn, reader := dial(t, addr)
	for _, c := range []struct {
		line   string
		status int
		allow  string
	}{
		{"HEAD /health", 200, ""}, {"HEAD /read/k", 200, ""}, {"HEAD /metrics", 200, ""}, {"HEAD /nothing", 404, ""},
		{"HEAD /write/k/v", 405, "POST"}, {"OPTIONS /write/k/v", 405, "POST"}, {"OPTIONS /read/k", 405, "GET"},
		{"PATCH /health", 405, "GET"}, {"get /health", 405, "GET"}, {"OPTIONS *", 200, ""},
	} {
		_, _ = io.WriteString(conn, c.line+" HTTP/1.1\r\nHost: x\r\n\r\n")
		method, _, _ := strings.Cut(c.line, " ")
		response, err := http.ReadResponse(reader, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("%s: %v", c.line, err)
		}
		if response.StatusCode != c.status || response.Header.Get("Allow") != c.allow || response.Close {
			t.Errorf("%s: %d %v", c.line, response.StatusCode, response.Header)
		}
		if method == "HEAD" && response.ContentLength <= 0 {
			t.Errorf("%s: the length of the body is not told: %v", c.line, response.Header)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
}

// TestKeepAlive: who stays connected, and who is let go.
func TestKeepAlive(t *testing.T) {
	addr, _ := serve(t, newFakeStore(), testOptions(io.Discard))
	for request, stays := range map[string]bool{
		get("/health"): true,
		"GET /health HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n":           false,
		"GET /health HTTP/1.0\r\n\r\n":                                                false,
		"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                      true,
		"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello":           true,
		"PUT /health HTTP/1.1\r\nHost: x\r\nContent-Length: 262145\r\n\r\nno more":    false,
		"PUT /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno\r\n": false,
	} {
		conn, reader := dial(t, addr)
		_, _ = io.WriteString(conn, request)
		response, _ := answer(t, reader, "GET")
		if response.Close == stays {
			t.Errorf("%.80q: %v", request, response.Header)
		}
		if !stays {
			if rest, err := io.ReadAll(reader); err != nil || len(rest) > 0 {
				t.Errorf("%.80q: then comes %q %v", request, rest, err)
			}
			continue
		}
		_, _ = io.WriteString(conn, get("/health"))
		if response, _ := answer(t, reader, "GET"); response.StatusCode != http.StatusOK {
			t.Errorf("after %.80q: %d", request, response.StatusCode)
		}
	}
}

// TestBodyWaitsForAdmission: who may not write is refused before his value is read.
func TestBodyWaitsForAdmission(t *testing.T) {
	_, line, err := api.NewToken("a", "write")
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions(io.Discard)
	if options.Tokens, err = api.ParseTokens(strings.NewReader(line)); err != nil {
		t.Fatal(err)
	}
	addr, _ := serve(t, newFakeStore(), options)
	response, body, _ := converse(t, addr, "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
	if response.StatusCode != http.StatusUnauthorized || !response.Close {
		t.Errorf("%d %+v", response.StatusCode, body)
	}
}

// TestDrainLetsIdleConnectionsGo: who waits between two requests does not hold up the end, who is answered is told.
func TestDrainLetsIdleConnectionsGo(t *testing.T) {
	store := newFakeStore()
	store.hold = make(chan struct{})
	addr, drain := serve(t, store, testOptions(io.Discard))
	busyConn, busy := dial(t, addr)
	idleConn, idle := dial(t, addr)
	_, _ = io.WriteString(idleConn, get("/health"))
	answer(t, idle, "GET")
	_, _ = io.WriteString(busyConn, post("/write/k/v"))
	until(t, "the write to arrive", func() bool { return inFlight(t, addr) == 2 })
	ended := make(chan error, 1)
	go func() { ended <- drain() }()
	if _, err := idle.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	close(store.hold)
	if response, _ := answer(t, busy, "POST"); response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("the write in flight: %d %v", response.StatusCode, response.Header)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDrainKeepsNoConnection: as long as it lasts, each answer is the last one on its connection.
func TestDrainKeepsNoConnection(t *testing.T) {
	options := testOptions(io.Discard)
	options.DrainDelay = time.Second
	addr, drain := serve(t, newFakeStore(), options)
	conn, reader := dial(t, addr)
	_, _ = io.WriteString(conn, get("/health"))
	if response, _ := answer(t, reader, "GET"); response.Close {
		t.Error("a connection ends without a drain")
	}
	ended := make(chan error, 1)
	go func() { ended <- drain() }()
	until(t, "draining", func() bool {
		body, err := api.NewClient("http://"+addr, "", nil).Health(t.Context())
		return err == nil && body.Draining
	})
	_, _ = io.WriteString(conn, post("/write/k/v"))
	if response, _ := answer(t, reader, "POST"); response.StatusCode != http.StatusOK || !response.Close {
		t.Errorf("a write while draining: %d %v", response.StatusCode, response.Header)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestKeysOutliveTheirRequest: what one request has left in the store is not written over by the next one on its connection.
func TestKeysOutliveTheirRequest(t *testing.T) {
	store := newFakeStore()
	addr, _ := serve(t, store, testOptions(io.Discard))
	conn, reader := dial(t, addr)
	for i := range 20 {
		_, _ = io.WriteString(conn, post(fmt.Sprintf("/write/key-%02d/value-%02d", i, i)))
		answer(t, reader, "POST")
		_, _ = fmt.Fprintf(conn, "POST /write/body-%02d HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nvalue-%02d", i, i)
		answer(t, reader, "POST")
	}
	for i := range 20 {
		for _, key := range []string{fmt.Sprintf("key-%02d", i), fmt.Sprintf("body-%02d", i)} {
			if got := store.get(key); got.Key != key || got.Value != fmt.Sprintf("value-%02d", i) {
				t.Errorf("%s became %+v", key, got)
			}
		}
	}
}

// TestNoHandshake: who does not speak TLS to a port of TLS is hung up on, and nobody else notices.
func TestNoHandshake(t *testing.T) {
	dial := servePipes(t, newFakeStore(), testOptions(io.Discard), &tls.Config{})
	conn := dial(nil)
	go func() { _, _ = io.WriteString(conn, get("/health")) }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if text, err := io.ReadAll(conn); err != nil || strings.HasPrefix(string(text), "HTTP/1.1 2") {
		t.Errorf("%q %v", text, err)
	}
}
