package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"captop/service"
	"captop/service/api"
)

func TestTokens(t *testing.T) {
	lines, tokens := "# who may\n\n", map[string]string{}
	for _, role := range []string{"read", "write", "admin"} {
		token, line, err := api.NewToken("the-"+role+"er", role)
		if err != nil {
			t.Fatal(err)
		}
		lines, tokens[role] = lines+line+"\n", token
	}
	parsed, err := api.ParseTokens(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	options := testOptions(log)
	options.Tokens = parsed
	store := newFakeStore()
	addr, _ := serve(t, store, options)
	base := "http://" + addr
	store.values["k"] = service.Value{Key: "k", Version: "1"}

	for _, c := range []struct {
		header      string
		read, write int
		reason      string
	}{
		{"Bearer " + tokens["read"], 200, 403, "role"},
		{"Bearer " + tokens["write"], 200, 200, ""},
		{"bearer " + tokens["admin"], 200, 200, ""},
		{"", 401, 401, "no_token"},
		{"Bearer", 401, 401, "malformed"},
		{"Basic " + tokens["admin"], 401, 401, "malformed"},
		{"Bearer " + tokens["read"] + "x", 401, 401, "unknown_token"},
		{"Bearer " + strings.Repeat("x", 10000), 401, 401, "unknown_token"},
	} {
		header := http.Header{}
		if c.header != "" {
			header.Set("Authorization", c.header)
		}
		if got := send(t, "GET", base+"/read/k", header, nil).StatusCode; got != c.read {
			t.Errorf("%.30q reads: %d, wanted %d", c.header, got, c.read)
		}
		response := send(t, "POST", base+"/write/k/v", header, nil)
		if response.StatusCode != c.write {
			t.Errorf("%.30q writes: %d, wanted %d", c.header, response.StatusCode, c.write)
		}
		if response.StatusCode == 401 && response.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("%.30q: no WWW-Authenticate", c.header)
		}
		if c.reason != "" && !strings.Contains(log.String(), `"reason":"`+c.reason+`"`) {
			t.Errorf("%.30q: the log has no reason %s:\n%s", c.header, c.reason, log)
		}
	}
	for _, path := range []string{"/health", "/metrics", "/circuit-breaker"} {
		if got := send(t, "GET", base+path, nil, nil).StatusCode; got != 200 {
			t.Errorf("%s without a token: %d", path, got)
		}
	}
	for _, token := range tokens {
		if strings.Contains(log.String(), token) {
			t.Error("the log holds a token")
		}
	}
	if !strings.Contains(log.String(), `"client":"the-writeer"`) {
		t.Errorf("the log does not name the writer:\n%s", log)
	}
}

// TestRefusalsAreAlike: nobody learns from an answer what was wrong with a token.
func TestRefusalsAreAlike(t *testing.T) {
	_, line, err := api.NewToken("a", "write")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := api.ParseTokens(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	options := testOptions(io.Discard)
	options.Tokens = parsed
	addr, _ := serve(t, newFakeStore(), options)
	var first api.ErrorBody
	send(t, "POST", "http://"+addr+"/write/k/v", nil, &first)
	for _, header := range []string{"Bearer", "Bearer wrong", "Basic wrong"} {
		var body api.ErrorBody
		send(t, "POST", "http://"+addr+"/write/k/v", http.Header{"Authorization": {header}}, &body)
		if body != first || body.Error.Code != service.CodeUnauthorized {
			t.Errorf("%q: %+v, without a token %+v", header, body, first)
		}
	}
}

func TestUnusableTokenFiles(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"":                                     "it holds no token",
		"# nothing\n":                          "it holds no token",
		"a write":                              "line 1: it has 2 fields instead of 3",
		"a king " + hash:                       `line 1: there is no role "king"`,
		"# x\na read " + hash[2:]:              "line 2: its third field is not a SHA-256",
		"a read " + hash + "\na write " + hash: "line 2: its name is taken",
	} {
		if _, err := api.ParseTokens(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, wanted %s", text, err, want)
		}
	}
	for _, name := range []string{"", "a b", "#a"} {
		if _, _, err := api.NewToken(name, "read"); err == nil {
			t.Errorf("a token for the name %q", name)
		}
	}
}

// TestProfilesAreForAdmins: profiles want an admin's token, and say so to everybody else.
func TestProfilesAreForAdmins(t *testing.T) {
	lines, tokens := "", map[string]string{}
	for _, role := range []string{"read", "write", "admin"} {
		token, line, err := api.NewToken("the-"+role+"er", role)
		if err != nil {
			t.Fatal(err)
		}
		lines, tokens[role] = lines+line+"\n", token
	}
	parsed, err := api.ParseTokens(strings.NewReader(lines))
	if err != nil {
		t.Fatal(err)
	}
	log := &logBuffer{}
	open, _ := serve(t, newFakeStore(), testOptions(log))
	options := testOptions(log)
	options.Tokens = parsed
	guarded, _ := serve(t, newFakeStore(), options)
	for _, c := range []struct {
		addr, token, profile string
		status               int
		body                 string
	}{
		{guarded, "", "heap", 401, "unauthorized"},
		{guarded, "made up", "heap", 401, "unauthorized"},
		{guarded, tokens["read"], "heap", 403, "forbidden"},
		{guarded, tokens["write"], "profile?seconds=1", 403, "forbidden"},
		{guarded, tokens["admin"], "heap", 200, "\x1f\x8b"}, // gzip, as every profile is
		{guarded, tokens["admin"], "profile?seconds=1", 200, "\x1f\x8b"},
		{guarded, tokens["admin"], "nonsense", 404, "goroutine"},
		{open, "", "heap", 403, "TOKENS_FILE"},
		{open, tokens["admin"], "heap", 403, "TOKENS_FILE"},
	} {
		header := http.Header{}
		if c.token != "" {
			header.Set("Authorization", "Bearer "+c.token)
		}
		response := send(t, "GET", "http://"+c.addr+"/debug/pprof/"+c.profile, header, nil)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status || !strings.Contains(string(body), c.body) {
			t.Errorf("%s with %.6q: %d %.100q, wanted %d with %q", c.profile, c.token, response.StatusCode, body, c.status, c.body)
		}
	}
}
