package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"captop/probes"
	"captop/service/node/nodetest"
)

// capture runs captop and gives its exit code and output.
func capture(t *testing.T, args ...string) (code int, out, problem string) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir()) // not the config file of whoever runs the tests
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), args, streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
	code = exitCode(err, &stderr)
	return code, stdout.String(), stderr.String()
}

// TestConfigFile shows bad config files beside what is said about them.
func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "captop.toml")
	known := " (known: cp, ap, g1, g2, token, token_file, interval)\n"
	for _, c := range []struct{ text, want string }{
		{"intervall = '1s'", "captop: " + path + `: unknown setting "intervall"; did you mean "interval"?` + known},
		{"G3 = 'x'", "captop: " + path + `: unknown setting "G3"; did you mean "g1"?` + known},
		{"colour = 'red'", "captop: " + path + `: unknown setting "colour"` + known},
		{"\ng1 = ", "captop: " + path + ", line 2: unexpected EOF; expected value\n"},
		{"interval = '10'", "captop: interval \"10\": give a duration from 100ms to 1m0s, such as 1s\n"},
		{"interval = '1ms'", "captop: interval \"1ms\": give a duration from 100ms to 1m0s, such as 1s\n"},
		{"cp = ['localhost:5001']", "captop: cp: not a URL of the form http:// or https://; it looks like http://localhost:5001\n"},
		{"g1 = 'http://:hunter2@x'", "captop: g1: not a URL of the form redis:// or rediss://; it looks like redis://:password@localhost:6379\n"},
		{"token = 'a'\ntoken_file = 'b'", "captop: token and token_file are both given; give one\n"},
		{"token_file = '/nowhere/at/all'", "captop: reading the token: open /nowhere/at/all: no such file or directory\n"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, problem := capture(t, "--config", path, "--once")
		if code != exitUsage || problem != c.want {
			t.Errorf("%q: exit %d, said %q, want %q", c.text, code, problem, c.want)
		}
	}
}

// TestUsage: called wrongly, captop ends with a code that no state of a stack has.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--nonsense"}, "unknown flag: --nonsense"},
		{[]string{"--json"}, "--json goes with --once"},
		{[]string{"--once", "--plain"}, "none of the others can be"},
		{[]string{"--config", "/nowhere/at/all"}, "reading the config file"},
		{[]string{"somewhere"}, `unknown command "somewhere"`},
		{[]string{}, "use --plain"},
	} {
		code, out, problem := capture(t, c.args...)
		if code != exitUsage || out != "" || !strings.Contains(problem, c.want) {
			t.Errorf("%q: exit %d, out %q, said %q", c.args, code, out, problem)
		}
	}
}

// instance is a capd of which only the answers exist.
func instance(t *testing.T, mode, status string, code int) string {
	mux := http.NewServeMux()
	say := func(path string, code int, text string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text))
		})
	}
	say("/health", code, `{"status":"`+status+`","mode":"`+mode+`","max_staleness_ms":5000,"nodes":[
		{"name":"db_g1","reachable":true,"breaker":"CLOSED"},{"name":"db_g2","reachable":true,"breaker":"CLOSED"}]}`)
	say("/circuit-breaker", 200, `{"breakers":[{"node":"db_g1","state":"CLOSED"},{"node":"db_g2","state":"CLOSED"}]}`)
	say("/metrics", 200, "circuit_breaker_state{node=\"db_g1\"} 0\n")
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// TestOnce looks at stacks in each state, with real nodes, and checks exit code and the structure of the JSON.
func TestOnce(t *testing.T) {
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	cp, ap := instance(t, "cp", "ok", 200), instance(t, "ap", "ok", 200)
	for _, c := range []struct {
		cp, ap, g2, situation string
		want                  int
	}{
		{cp, ap, g2.URL(), "ok", 0},
		{instance(t, "cp", "degraded", 200), ap, g2.URL(), "cp_degraded", 1},
		{instance(t, "cp", "draining", 503), ap, g2.URL(), "cp_draining", 2},
		{cp, ap, g1.URL(), "same_redis", 2},
		{cp, "http://no-such-host.invalid", g2.URL(), "ap_blind", 3},
	} {
		code, out, problem := capture(t, "--once", "--json", "--interval", "1s", "--cp", c.cp, "--ap", c.ap, "--g1", g1.URL(), "--g2", c.g2)
		var body map[string]any
		if err := json.Unmarshal([]byte(out), &body); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if got := body["verdict"].(map[string]any)["situation"]; code != c.want || got != c.situation || problem != "" {
			t.Errorf("exit %d, %v, said %q; want %d, %s", code, got, problem, c.want, c.situation)
		}
		keys := make([]string, 0, len(body))
		for key := range body {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if got, want := strings.Join(keys, " "), "at events nodes poll_ns services severity started verdict"; got != want {
			t.Errorf("the snapshot has %s, want %s", got, want)
		}
	}
}

// TestPlain says a block for a change and nothing where nothing changed.
func TestPlain(t *testing.T) {
	feed := make(chan *probes.Snapshot, 3)
	well := &probes.Snapshot{Verdict: probes.Verdict{Situation: "ok", Severity: probes.OK, Sentence: "All is well."}}
	ill := &probes.Snapshot{Verdict: probes.Verdict{Situation: "g2_down", Severity: probes.Critical, Sentence: "db_g2 is down.", NextStep: "Start it."},
		Events: []probes.Event{{Seq: 1, Severity: probes.Critical, Kind: "target", Text: "db_g2 is down: refused"}}}
	feed <- well
	feed <- well
	feed <- ill
	close(feed)
	var out strings.Builder
	if err := plain(feed, &out); err != nil {
		t.Fatal(err)
	}
	want := "00:00:00 OK: All is well.\n00:00:00 event critical: db_g2 is down: refused\n" +
		"00:00:00 CRITICAL: db_g2 is down.\n  next: Start it.\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
