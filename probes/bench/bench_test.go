package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

func target(t *testing.T, urls ...string) Target {
	t.Helper()
	made, err := NewTarget("test", Capd, "secret", urls...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func plan() Plan {
	return Plan{Connections: 4, Reads: 0.5, Keys: 100, ValueBytes: 10, Requests: 2000, Timeout: 20 * time.Second}
}

func mustRun(t *testing.T, target Target, plan Plan) Result {
	t.Helper()
	result, err := Run(t.Context(), target, plan, nil)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestWhatIsSent: the share of reads, the keys, values, token and the number of requests are those of the plan.
func TestWhatIsSent(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	values := map[string]bool{}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method+" "+r.URL.Path]++
		if r.Method == "POST" {
			values[string(body)] = true
		}
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("a request without its token: %v", r.Header)
		}
	})
	p := plan()
	p.Reads = 0.25
	result := mustRun(t, target(t, url), p)
	if result.Answered != 2000 || result.Failed != 0 || result.All.Count != 2000 || result.Reads.Count+result.Writes.Count != 2000 {
		t.Errorf("%+v", result)
	}
	// 2000 draws of probability 1/4: twelve standard deviations.
	if math.Abs(float64(result.Reads.Count)-500) > 240 {
		t.Errorf("%d reads of 2000, wanted about 500", result.Reads.Count)
	}
	var all int
	for path, count := range seen {
		all += count
		var key int
		method, at, _ := strings.Cut(path, " ")
		at = strings.TrimPrefix(strings.TrimPrefix(at, "/read/"), "/write/")
		if n, err := fmt.Sscanf(at, Prefix+"%012d", &key); n != 1 || err != nil || key < 0 || key >= p.Keys {
			t.Errorf("%s: %q is no key of the plan: %v", method, at, err)
		}
	}
	if all != 2000 || len(seen) < 150 {
		t.Errorf("the server saw %d requests of %d kinds", all, len(seen))
	}
	for value := range values {
		if len(value) != 10 {
			t.Errorf("a value of %d bytes: %q", len(value), value)
		}
	}
}

// TestFillWritesEveryKeyOnce, whatever the plan says of rates and shares.
func TestFillWritesEveryKeyOnce(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method+r.URL.Path]++
	})
	p := plan()
	p.Rate, p.Zipf, p.Duration = 1, true, time.Nanosecond
	if _, err := Fill(t.Context(), target(t, url), p, nil); err != nil {
		t.Fatal(err)
	}
	for key := range p.Keys {
		if n := seen[fmt.Sprintf("POST/write/%s%012d", Prefix, key)]; n != 1 {
			t.Errorf("key %d was written %d times", key, n)
		}
	}
	if len(seen) != p.Keys {
		t.Errorf("%d kinds of requests for %d keys", len(seen), p.Keys)
	}
}

// TestZipf: the first key gets far more than its share, and none lies beyond the last.
func TestZipf(t *testing.T) {
	var first, beyond atomic.Int64
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		switch at := r.URL.Path[len(r.URL.Path)-digits:]; {
		case at == strings.Repeat("0", digits):
			first.Add(1)
		case at >= "000000000100":
			beyond.Add(1)
		}
	})
	p := plan()
	p.Zipf = true
	mustRun(t, target(t, url), p)
	if first.Load() < 200 || beyond.Load() > 0 { // uniform would be 20
		t.Errorf("of 2000 requests %d went to the first of 100 keys, %d beyond them", first.Load(), beyond.Load())
	}
}

// TestStallShowsInOpenLoopOnly is coordinated omission: a server that stops for 400 ms in a run of 2 s has kept everybody
// waiting who came meanwhile, a fifth of all. A closed loop sees one slow request a connection, and its p95 nothing.
func TestStallShowsInOpenLoopOnly(t *testing.T) {
	const stall, length, per = 400 * time.Millisecond, 2 * time.Second, 500
	stalling := func(t *testing.T) string {
		var lock sync.RWMutex
		var once sync.Once
		return serve(t, func(http.ResponseWriter, *http.Request) {
			once.Do(func() {
				time.AfterFunc(length/4, func() {
					lock.Lock()
					defer lock.Unlock()
					time.Sleep(stall)
				})
			})
			lock.RLock()
			defer lock.RUnlock()
			time.Sleep(time.Millisecond)
		})
	}
	p := plan()
	p.Requests, p.Duration, p.Rate = 0, length, per
	open := mustRun(t, target(t, stalling(t)), p)
	if open.Loop != "open" || open.All.Count < per*9/10*int64(length/time.Second) {
		t.Errorf("an open loop of %d requests: %+v", open.All.Count, open)
	}
	// 400 ms of 2000 are 20 % of all arrivals, which waited 200 ms on average: the p95 lies at 300 ms or above, were the
	// server as fast as it likes otherwise.
	if want := 290.0; open.All.P95 < want || open.All.P99 < want {
		t.Errorf("p95 %.0f ms and p99 %.0f ms hide a stall of %s", open.All.P95, open.All.P99, stall)
	}
	p.Rate = 0
	closed := mustRun(t, target(t, stalling(t)), p)
	if closed.Loop != "closed" || closed.All.Max < 300 {
		t.Errorf("a closed loop: %+v", closed)
	}
	if n := beyond(closed, 300); n > int64(p.Connections)*3 {
		t.Errorf("a closed loop saw the stall in %d requests: the test's server stalls otherwise than it should", n)
	}
}

// beyond counts latencies in bars above a limit, milliseconds.
func beyond(r Result, limit float64) (sum int64) {
	for _, bar := range r.Shape {
		if bar.UpTo > limit {
			sum += bar.Count
		}
	}
	return sum
}

// TestOverload: what was due and never sent counts, with as long as it had waited.
func TestOverload(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) { time.Sleep(100 * time.Millisecond) })
	p := plan()
	p.Requests, p.Duration, p.Rate = 0, time.Second, 1000 // four connections can do 40
	result := mustRun(t, target(t, url), p)
	if sum := result.Answered + result.Unsent; sum != 1000 || result.Unsent < 900 || result.All.Count != 1000 {
		t.Errorf("%d answered and %d unsent of 1000; %d latencies", result.Answered, result.Unsent, result.All.Count)
	}
	if result.All.P50 < 300 {
		t.Errorf("the median of a queue that grows for a second is %.0f ms", result.All.P50)
	}
}

// TestFailuresAreCounted exactly, by operation, code and outcome.
func TestFailuresAreCounted(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i%10 == 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(api.ErrorBody{Error: api.ErrorDetail{Code: service.CodeCircuitOpen, Outcome: service.NotApplied}})
		case i%10 == 5:
			w.WriteHeader(http.StatusGatewayTimeout)
			_ = json.NewEncoder(w).Encode(api.ErrorBody{Error: api.ErrorDetail{Code: service.CodeUnknownOutcome, Outcome: service.Unknown}})
		case i%100 == 1:
			w.WriteHeader(http.StatusBadGateway) // as a proxy answers
		}
	})
	p := plan()
	p.Reads = 0
	result := mustRun(t, target(t, url), p)
	got := fmt.Sprint(result.Failures)
	want := fmt.Sprint([]FailedCount{
		{Failure{write, "circuit_open", service.NotApplied}, 200},
		{Failure{write, "unknown_outcome", service.Unknown}, 200},
		{Failure{write, "http_502", service.Unknown}, 20},
	})
	if got != want || result.Failed != 420 || result.Answered != 1580 || result.FailedTimes.Count != 420 {
		t.Errorf("%s, wanted %s; %d failed, %d answered", got, want, result.Failed, result.Answered)
	}
	var points int64
	for _, point := range result.Series {
		points += point.Answered + point.Failed
	}
	if points != 2000 {
		t.Errorf("the points of time hold %d of 2000 requests", points)
	}
}

// TestLostConnections: an answer that never came is unknown for a write, and the connection is opened again.
func TestLostConnections(t *testing.T) {
	var n atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			panic(http.ErrAbortHandler)
		}
	})
	p := plan()
	p.Reads, p.Requests = 0, 1000
	result := mustRun(t, target(t, url), p)
	if len(result.Failures) != 1 || result.Failures[0] != (FailedCount{Failure{write, CodeConnectionLost, service.Unknown}, 100}) || result.Answered != 900 {
		t.Errorf("%+v", result)
	}
}

// TestOtherAnswers are what this client refuses to read.
func TestOtherAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		"SSH-2.0-OpenSSH_9.2\r\n\r\n":                                    CodeNotHTTP,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": CodeNotHTTP,
		"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n":                  CodeNotHTTP,
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n":         CodeNotHTTP,
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 5000):             CodeNotHTTP,
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab":                 CodeConnectionLost,
		"HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n":                   "http_404",
		"": CodeConnectionLost,
	} {
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
				go func() {
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, answer)
					_ = conn.Close()
				}()
			}
		}()
		result := mustRun(t, target(t, "http://"+listener.Addr().String()), Plan{Connections: 1, Keys: 1, Requests: 1, Timeout: 20 * time.Second})
		if len(result.Failures) != 1 || result.Failures[0].Code != want {
			t.Errorf("%q: %v, wanted %s", answer, result.Failures, want)
		}
		_ = listener.Close()
	}
}

// TestNobodyListens: that is an error before anything was sent.
func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	_, err = Run(t.Context(), target(t, "http://"+listener.Addr().String()), plan(), nil)
	if err == nil || !strings.Contains(err.Error(), "connection 1 of 4") {
		t.Errorf("%v", err)
	}
}

// TestInterrupted: what was measured is told, with the context's error.
func TestInterrupted(t *testing.T) {
	for _, rate := range []float64{0, 1000} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var n atomic.Int64
		url := serve(t, func(http.ResponseWriter, *http.Request) {
			if n.Add(1) == 100 {
				cancel()
			}
		})
		p := plan()
		p.Requests, p.Duration, p.Rate = 0, time.Hour, rate
		result, err := Run(ctx, target(t, url), p, nil)
		if !errors.Is(err, context.Canceled) || result.Answered < 100 || result.Failed > 0 || result.Unsent > 0 {
			t.Errorf("%v, %+v", err, result)
		}
	}
}

// TestAddresses: connections are shared out, and what is none is refused without telling its password.
func TestAddresses(t *testing.T) {
	var seen [2]atomic.Int64
	var urls []string
	for i := range seen {
		urls = append(urls, serve(t, func(http.ResponseWriter, *http.Request) { seen[i].Add(1) }))
	}
	mustRun(t, target(t, urls...), plan())
	if seen[0].Load() == 0 || seen[1].Load() == 0 || seen[0].Load()+seen[1].Load() != 2000 {
		t.Errorf("%d and %d requests", seen[0].Load(), seen[1].Load())
	}
	for _, bad := range []string{"", "localhost:5001", "ftp://x", "http://x/path", "http://", "http://u:hunter2@x/path"} {
		if _, err := NewTarget("x", Capd, "", bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestPlans that cannot work say what would.
func TestPlans(t *testing.T) {
	for _, c := range []struct {
		change func(*Plan)
		want   string
	}{
		{func(p *Plan) { p.Connections = 0 }, "0 connections: give 1 to 10000"},
		{func(p *Plan) { p.Reads = 1.5 }, "a share of reads of 1.5: give 0 to 1"},
		{func(p *Plan) { p.Reads = math.NaN() }, "a share of reads of NaN: give 0 to 1"},
		{func(p *Plan) { p.Keys = 0 }, "0 keys: give 1 to 1000000000"},
		{func(p *Plan) { p.ValueBytes = 1 << 21 }, "values of 2097152 bytes: give 0 to 1048576"},
		{func(p *Plan) { p.Rate = -1 }, "a rate of -1: give 0 (as fast as answered) to 1000000 requests a second"},
		{func(p *Plan) { p.Requests = 0 }, "give how long or how many, above 0"},
		{func(p *Plan) { p.Duration = -1 }, "give how long or how many, above 0"},
		{func(p *Plan) { p.Timeout = 0 }, "a timeout of 0s: give one above 0"},
	} {
		p := plan()
		c.change(&p)
		if err := p.Check(); err == nil || err.Error() != c.want {
			t.Errorf("%v, wanted %s", err, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{{nil, Spread{}}, {[]float64{3}, Spread{3, 3, 3}}, {[]float64{4, 1, 2}, Spread{2, 1, 4}}, {[]float64{4, 1, 2, 3}, Spread{2.5, 1, 4}}} {
		if got := SpreadOf(c.figures); got != c.want {
			t.Errorf("%v: %v, wanted %v", c.figures, got, c.want)
		}
	}
	rate := func(r Result) float64 { return r.Rate }
	got := Ratio([]Result{{Rate: 10}, {Rate: 30}, {Rate: 5}}, []Result{{Rate: 10}, {Rate: 10}, {Rate: 0}}, rate)
	if want := (Spread{2, 1, 3}); got != want {
		t.Errorf("%v, wanted %v", got, want)
	}
}
