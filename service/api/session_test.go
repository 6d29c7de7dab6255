package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/service"
	"captop/service/api"
	"captop/service/node/nodetest"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// send makes one request and decodes the answer into body, if there is one to decode into.
func send(t *testing.T, method, url string, header http.Header, body any) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		if err := json.Unmarshal(text, body); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, url, response.StatusCode, text, err)
		}
	}
	response.Body = io.NopCloser(bytes.NewReader(text))
	return response
}

// sharedStores gives stores over redis-servers.
func sharedStores(t *testing.T, servers ...*nodetest.Server) []*api.SharedStore {
	t.Helper()
	var stores []*api.SharedStore
	for _, server := range servers {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true,
			DialerRetries: 1, Protocol: 2})
		t.Cleanup(func() { client.Close() })
		stores = append(stores, api.NewSharedStore(server.Addr(), client, slog.New(slog.DiscardHandler)))
	}
	return stores
}

// sessionServer serves store with sessions and gives its base URL.
func sessionServer(t *testing.T, store service.Store, mode service.Mode, now func() time.Time, log io.Writer,
	stores ...*api.SharedStore) string {
	options := testOptions(log)
	options.Mode = mode
	options.Sessions = api.NewSessions(mode, secret, now, options.Logger, stores...)
	addr, _ := serve(t, store, options)
	return "http://" + addr
}

// wantKept reads key with a token and compares read_your_writes.
func wantKept(t *testing.T, base, key, token string, want string) {
	t.Helper()
	var body struct {
		ReadYourWrites *bool `json:"read_your_writes"`
	}
	send(t, "GET", base+"/read/"+key, http.Header{api.SessionHeader: {token}}, &body)
	got := "absent"
	if body.ReadYourWrites != nil {
		got = fmt.Sprint(*body.ReadYourWrites)
	}
	if got != want {
		t.Errorf("read_your_writes of %s is %s, wanted %s", key, got, want)
	}
}

func TestReadYourWrites(t *testing.T) {
	for _, kind := range []string{"cookie", "redis"} {
		t.Run(kind, func(t *testing.T) {
			var stores []*api.SharedStore
			if kind == "redis" {
				stores = sharedStores(t, nodetest.Start(t), nodetest.Start(t))
			}
			store := newFakeStore()
			// Two instances: the session must not live in one process.
			one := sessionServer(t, store, service.ModeCP, time.Now, io.Discard, stores...)
			two := sessionServer(t, store, service.ModeCP, time.Now, io.Discard, stores...)

			response := send(t, "POST", one+"/write/a/1", nil, nil)
			token := response.Header.Get(api.SessionHeader)
			cookies := response.Cookies()
			if len(cookies) != 1 || cookies[0].Name != api.SessionCookie || cookies[0].Value != token ||
				!cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteLaxMode || cookies[0].Secure {
				t.Fatalf("cookies %+v, token %q", cookies, token)
			}
			if strings.Contains(token, "a") && len(token) < 20 {
				t.Fatalf("the token %q", token)
			}
			wantKept(t, two, "a", token, "true")
			if store.after != "1" {
				t.Errorf("the store was asked for version %q, wanted 1", store.after)
			}
			wantKept(t, two, "other", token, "absent")
			wantKept(t, two, "a", "", "absent")
			// By cookie alone.
			var body api.ReadBody
			send(t, "GET", two+"/read/a", http.Header{"Cookie": {api.SessionCookie + "=" + token}}, &body)
			if body.ReadYourWrites == nil || !*body.ReadYourWrites {
				t.Errorf("with the cookie: %+v", body)
			}
			// A second write goes on in the same session.
			response = send(t, "POST", two+"/write/b/2", http.Header{api.SessionHeader: {token}}, nil)
			token = response.Header.Get(api.SessionHeader)
			wantKept(t, one, "a", token, "true")
			wantKept(t, one, "b", token, "true")
			// The store falls behind: an older version, and a key that is not there yet.
			store.set(func(f *fakeStore) {
				f.behind = map[string]service.Value{"b": {Key: "b", Value: "old", Version: "1"}}
			})
			wantKept(t, one, "b", token, "false")
			wantKept(t, one, "a", token, "false")
		})
	}
}

func TestForgedSessionsAreIgnoredAndLogged(t *testing.T) {
	store, log := newFakeStore(), &logBuffer{}
	base := sessionServer(t, store, service.ModeCP, time.Now, log)
	other := sessionServer(t, store, service.ModeAP, time.Now, io.Discard)
	token := send(t, "POST", base+"/write/a/1", nil, nil).Header.Get(api.SessionHeader)
	flipped := "A" + token[1:]
	if token[0] == 'A' {
		flipped = "B" + token[1:]
	}
	for _, forged := range []string{flipped, "x", ".", token + "x", strings.Repeat("y", 5000)} {
		wantKept(t, base, "a", forged, "absent")
	}
	if got := strings.Count(log.String(), "SESSION_IGNORED"); got != 5 {
		t.Errorf("%d lines of SESSION_IGNORED, wanted 5:\n%s", got, log)
	}
	wantKept(t, other, "a", token, "absent") // a token of the other mode
	response := send(t, "POST", base+"/write/a/2", http.Header{api.SessionHeader: {"forged"}}, nil)
	if response.StatusCode != http.StatusOK {
		t.Errorf("a write with a forged session: %d", response.StatusCode)
	}
}

func TestSessionExpires(t *testing.T) {
	now := time.Now()
	clock := func() time.Time { return now }
	base := sessionServer(t, newFakeStore(), service.ModeCP, clock, io.Discard)
	token := send(t, "POST", base+"/write/a/1", nil, nil).Header.Get(api.SessionHeader)
	now = now.Add(59 * time.Minute)
	wantKept(t, base, "a", token, "true")
	now = now.Add(2 * time.Minute)
	wantKept(t, base, "a", token, "absent")
}

// TestSessionIsBounded: what has fallen out of a token is not claimed to be kept.
func TestSessionIsBounded(t *testing.T) {
	base := sessionServer(t, newFakeStore(), service.ModeCP, time.Now, io.Discard)
	token := ""
	for i := range 300 {
		response := send(t, "POST", fmt.Sprintf("%s/write/key-%d/v", base, i), http.Header{api.SessionHeader: {token}}, nil)
		token = response.Header.Get(api.SessionHeader)
	}
	if len(token) > 4000 {
		t.Errorf("the token has %d bytes; browsers keep 4096", len(token))
	}
	wantKept(t, base, "key-299", token, "true")
	wantKept(t, base, "key-0", token, "false")
}

// TestSessionsOutliveTheirStore: whatever happens to Redis, a write succeeds and its session stays honest.
func TestSessionsOutliveTheirStore(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	base := sessionServer(t, newFakeStore(), service.ModeCP, time.Now, io.Discard, sharedStores(t, g1, g2)...)
	token := send(t, "POST", base+"/write/a/1", nil, nil).Header.Get(api.SessionHeader)

	g1.Kill()
	wantKept(t, base, "a", token, "true")
	wantKept(t, base, "other", token, "false") // db_g1 might know of one
	response := send(t, "POST", base+"/write/b/2", http.Header{api.SessionHeader: {token}}, nil)
	token = response.Header.Get(api.SessionHeader)
	wantKept(t, base, "b", token, "true")

	g2.Kill()
	wantKept(t, base, "a", token, "false")
	response = send(t, "POST", base+"/write/c/3", http.Header{api.SessionHeader: {token}}, nil)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("a write without a store for its session: %d", response.StatusCode)
	}
	token = response.Header.Get(api.SessionHeader)
	wantKept(t, base, "c", token, "true")
	wantKept(t, base, "a", token, "false") // fallen out, and said so
}
