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
	for _, c := range []struct{ text, want string }{
		{"intervall = '1s'", `, line 1: unknown setting "intervall"; did you mean "interval"? (known: cp, ap, g1, `},
		{"\nG3 = 'x'", `, line 2: unknown setting "G3"; did you mean "g1"? (known: `},
		{"colour = 'red'", `, line 1: unknown setting "colour" (known: `},
		{"\ng1 = ", ", line 2: unexpected EOF; expected value\n"},
		{"interval = '10'", ", line 1: interval: \"10\": give a duration from 100ms to 1m0s, such as 1s\n"},
		{"interval = '1ms'", ", line 1: interval: \"1ms\": give a duration from 100ms to 1m0s, such as 1s\n"},
		{"# a\ncp = ['localhost:5001']", ", line 2: cp: not a URL of the form http:// or https://; it looks like http://localhost:5001\n"},
		{"cp = 'http://x'", `, line 1: cp: give a list such as ["one", "two"], not http://x` + "\n"},
		{"g1 = 'http://:hunter2@x'", ", line 1: g1: not a URL of the form redis:// or rediss://; it looks like redis://:password@localhost:6379\n"},
		{"ascii = 1", ", line 1: ascii: give true or false\n"},
		{"theme = 'pink'", `, line 1: theme: theme "pink": want one of auto, dark, light, colour-blind, none` + "\n"},
		{"zone = 'CET'", `, line 1: zone: "CET": want utc or local` + "\n"},
		{"record_size = '1 GB'", `, line 1: record_size: "1 GB": give a size such as 256MiB` + "\n"},
		{"record_age = 'long'", `, line 1: record_age: "long": give a duration such as 24h or 7d` + "\n"},
		{"[keys]\nwrit = 'W'", `, line 2: keys.writ: no action has this name; did you mean "write"? (captop config lists them)` + "\n"},
		{"[keys]\nwrite = 'ctrl+shift+w'", `, line 2: keys.write: "ctrl+shift+w" is no key that a terminal sends; give one character, or a name such as f5, ctrl+r, alt+x, space or pgdown` + "\n"},
		{"[keys]\nquit = 'ctrl+c'", ", line 2: keys.quit: ctrl+c always quits; give another key\n"},
		{"[keys]\nquit = 'ctrl+i'", `, line 2: keys.quit: a terminal sends the same for "ctrl+i" as for "tab"; give another key` + "\n"},
		{"[keys]\nquit = []", ", line 2: keys.quit: give at least one key\n"},
		{"\n[keys]\nwrite = 'q'", `, line 2: keys: "q" is bound to both write and quit` + "\n"},
		{"token = 'a'\ntoken_file = 'b'", ": token and token_file are both given; give one\n"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, _, problem := capture(t, "--config", path, "--once")
		if code != exitUsage || !strings.HasPrefix(problem, "captop: "+path+c.want) {
			t.Errorf("%q: exit %d, said %q, want %q", c.text, code, problem, "captop: "+path+c.want)
		}
	}
	if err := os.WriteFile(path, []byte("token_file = '/nowhere/at/all'"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, problem := capture(t, "--config", path, "--once"); code != exitUsage || problem != "captop: reading the token: open /nowhere/at/all: no such file or directory\n" {
		t.Errorf("exit %d, said %q", code, problem)
	}
}

// TestConfigCommand: flags win over the file, and the file over the defaults; each value says where it comes from, no
// secret is printed, and what is printed is a config file that says the same.
func TestConfigCommand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "captop.toml")
	if err := os.WriteFile(path, []byte("theme = 'light'\ninterval = '2s'\ntoken = 'hunter2'\ng1 = 'redis://:hunter3@x:1'\n[keys]\nquit = ['Q', 'f10']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, problem := capture(t, "config", "--config", path, "--theme", "none", "--ascii", "--cp", "http://a", "--cp", "http://b", "--record=false")
	if code != 0 {
		t.Fatalf("exit %d, said %q", code, problem)
	}
	lines := map[string]bool{}
	for line := range strings.Lines(out) {
		lines[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{`theme = "none" # --theme`, `interval = "2s" # ` + path, `ascii = true # --ascii`, `cp = ["http://a", "http://b"] # --cp`,
		`ap = ["http://localhost:5002"] # default`, `record = false # --record`, `record_size = "256MiB" # default`,
		`# token is set, and hidden # ` + path, `g1 = "redis://:xxxxx@x:1" # ` + path, `quit = ["Q", "f10"] # config file`, `write = ["w"] # default`} {
		if !lines[want] {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter") {
		t.Errorf("a secret is printed:\n%s", out)
	}
	again := filepath.Join(t.TempDir(), "again.toml")
	if err := os.WriteFile(again, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, second, problem := capture(t, "config", "--config", again); code != 0 || !strings.Contains(second, `quit = ["Q", "f10"]`) ||
		!strings.Contains(second, `theme = "none" `) {
		t.Errorf("what was printed does not work as a config file: exit %d, said %q\n%s", code, problem, second)
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
		{[]string{"--interval", "1ms", "--once"}, `"1ms": give a duration from 100ms to 1m0s`},
		{[]string{"--g1", "redis://a", "--g1", "redis://b", "--once"}, "it can be given once"},
		{[]string{"--token", "a", "--token-file", "b", "--once"}, "both given"},
		{[]string{"--theme", "pink", "--once"}, "want one of auto, dark"},
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
		if got, want := strings.Join(keys, " "), "at edges events groups nodes poll_ns rules rules_file services severity source started verdict"; got != want {
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
