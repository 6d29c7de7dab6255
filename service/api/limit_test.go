package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
)

func TestParseRates(t *testing.T) {
	got, err := api.ParseRates("1000 per hour;100 per minute; 5/second ;")
	want := []api.Rate{{Count: 1000, Window: time.Hour}, {Count: 100, Window: time.Minute}, {Count: 5, Window: time.Second}}
	if err != nil || len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v %v", got, err)
	}
	if got, err := api.ParseRates(""); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v %v", got, err)
	}
	for _, bad := range []string{"100", "100 per fortnight", "x per hour", "0 per hour", "-1 per hour", "1.5 per hour",
		"99999999999 per hour"} {
		if got, err := api.ParseRates(bad); err == nil {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}

// limited serves with limits over servers and gives its base URL.
func limited(t *testing.T, limits string, log io.Writer, servers ...*nodetest.Server) string {
	t.Helper()
	rates, err := api.ParseRates(limits)
	if err != nil {
		t.Fatal(err)
	}
	proxies, err := api.ParseProxies("127.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions(log)
	options.Timeout = 4 * time.Second
	options.Proxies = proxies
	options.Limiter = api.NewLimiter(rates, secret, options.Logger, sharedStores(t, servers...)...)
	addr, _ := serve(t, newFakeStore(), options)
	return "http://" + addr
}

// burst sends n writes for an address and counts the answers by status.
func burst(t *testing.T, base, address string, n int) map[int]int {
	t.Helper()
	count := map[int]int{}
	for range n {
		response := send(t, "POST", base+"/write/k/v", http.Header{"X-Forwarded-For": {address}}, nil)
		count[response.StatusCode]++
	}
	return count
}

func TestLimitsAreShared(t *testing.T) {
	g1 := nodetest.Start(t)
	one, two := limited(t, "1000 per hour;6 per hour", io.Discard, g1), limited(t, "1000 per hour;6 per hour", io.Discard, g1)
	first, second := burst(t, one, "192.0.2.1", 4), burst(t, two, "192.0.2.1", 4)
	if first[200] != 4 || second[200] != 2 || second[429] != 2 {
		t.Fatalf("first instance %v, second %v; wanted 6 in all", first, second)
	}
	if other := burst(t, two, "192.0.2.2", 3); other[200] != 3 {
		t.Errorf("another address: %v", other)
	}
	var body api.ErrorBody
	response := send(t, "POST", one+"/write/k/v", http.Header{"X-Forwarded-For": {"192.0.2.1"}}, &body)
	after, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if err != nil || after < 1 || after > 600 {
		t.Errorf("Retry-After %q: one of six an hour is free after at most 600 s", response.Header.Get("Retry-After"))
	}
	if body.Error.Code != service.CodeRateLimited || body.Error.Outcome != service.NotApplied {
		t.Errorf("the body %+v", body)
	}
	for _, path := range []string{"/health", "/metrics", "/circuit-breaker"} {
		for range 10 {
			if got := send(t, "GET", one+path, http.Header{"X-Forwarded-For": {"192.0.2.1"}}, nil); got.StatusCode != 200 {
				t.Fatalf("%s: %d", path, got.StatusCode)
			}
		}
	}
}

// TestRefusalsDoNotCount: a request refused by one rate is not charged to the other.
func TestRefusalsDoNotCount(t *testing.T) {
	base := limited(t, "8 per day;2 per second", io.Discard, nodetest.Start(t))
	passed := 0
	for limit := time.Now().Add(patience); passed < 8; {
		if time.Now().After(limit) {
			t.Fatalf("%d of 8 requests a day got through", passed)
		}
		passed += burst(t, base, "192.0.2.1", 1)[200]
	}
	if more := burst(t, base, "192.0.2.1", 5); more[429] != 5 {
		t.Errorf("beyond the day's 8: %v", more)
	}
}

func TestLimiterWithoutItsStoreLetsThrough(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	log := &logBuffer{}
	base := limited(t, "3 per hour", log, g1, g2)
	if got := burst(t, base, "192.0.2.1", 5); got[200] != 3 {
		t.Fatalf("with its store: %v", got)
	}
	g1.Pause() // hangs: the other store counts anew
	if got := burst(t, base, "192.0.2.1", 5); got[200] != 3 || got[429] != 2 {
		t.Errorf("with the second store: %v", got)
	}
	g2.Kill()
	if got := burst(t, base, "192.0.2.1", 5); got[200] != 5 {
		t.Errorf("without a store: %v", got)
	}
	if got := strings.Count(log.String(), "RATE_LIMITS_OFF"); got != 1 {
		t.Errorf("RATE_LIMITS_OFF was logged %d times, wanted once", got)
	}
	g1.Resume()
	for limit := time.Now().Add(patience); burst(t, base, "192.0.2.1", 1)[429] == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the limit did not come back with its store")
		}
	}
}

func TestAddressBehindProxies(t *testing.T) {
	proxies, err := api.ParseProxies("10.0.0.0/8, 127.0.0.1, 2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":             {"192.0.2.1:9", nil, "192.0.2.1"},
		"a client that lies":   {"192.0.2.1:9", []string{"198.51.100.1"}, "192.0.2.1"},
		"one proxy":            {"10.0.0.1:9", []string{"198.51.100.1"}, "198.51.100.1"},
		"two proxies":          {"10.0.0.1:9", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"a lie behind a proxy": {"10.0.0.1:9", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		"two headers":          {"10.0.0.1:9", []string{"203.0.113.9", "198.51.100.1"}, "198.51.100.1"},
		"nonsense":             {"10.0.0.1:9", []string{"unknown"}, "10.0.0.1"},
		"mapped":               {"[::ffff:127.0.0.1]:9", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"IPv6":                 {"[2001:db8::1]:9", []string{"2001:db9::7"}, "2001:db9::7"},
	} {
		t.Run(name, func(t *testing.T) {
			log := &logBuffer{}
			options := testOptions(log)
			options.Proxies = proxies
			peer, err := net.ResolveTCPAddr("tcp", c.peer)
			if err != nil {
				t.Fatal(err)
			}
			dial := servePipes(t, newFakeStore(), options, nil)
			transport := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
				return dial(func(far net.Conn) net.Conn { return peerConn{far, peer} }), nil
			}}
			request, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/write/k/v", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header["X-Forwarded-For"] = c.forwarded
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if want := `"client":"` + c.want + `"`; !strings.Contains(log.String(), want) {
				t.Errorf("wanted %s in the log:\n%s", want, log)
			}
		})
	}
	if _, err := api.ParseProxies("10.0.0.0/8,proxy"); err == nil {
		t.Error("a name is taken for a network")
	}
}

func TestSharedStoreNeedsNoServerToStart(t *testing.T) {
	server := nodetest.Start(t)
	server.Kill()
	base := limited(t, "1 per hour", io.Discard, server)
	if got := burst(t, base, "192.0.2.1", 3); got[200] != 3 {
		t.Errorf("without a store: %v", got)
	}
}
