package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/probes/bench"
	"captop/service"
	"captop/service/api"
	"captop/tui/tmuxtest"
)

// urls are the services of a pair as captop's flags name them.
func (p realPair) urls() (cp, ap string) {
	return p.args[slices.Index(p.args, "--cp")+1], p.args[slices.Index(p.args, "--ap")+1]
}

// awaitSettled waits until a service is well.
func awaitSettled(t *testing.T, url string) *api.Client {
	t.Helper()
	client := api.NewClient(url, "", &http.Transport{})
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		body, err := client.Health(t.Context())
		if err == nil && body.Status == api.StatusOK {
			return client
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: %+v %v", url, body, err)
		}
	}
}

// TestBench measures the real services on real nodes, and leaves every key but its own as it was.
func TestBench(t *testing.T) {
	pair := startPair(t)
	cp, ap := pair.urls()
	for _, url := range []string{cp, ap} {
		if _, err := awaitSettled(t, url).Write(t.Context(), "a person's", []byte("precious")); err != nil {
			t.Fatal(err)
		}
	}
	for _, target := range []string{"cp", "ap"} {
		code, out, problem := capture(t, "bench", target, "--cp", cp, "--ap", ap, "--yes", "--json", "--requests", "3000", "--keys", "200",
			"--connections", "8", "--value-bytes", "33", "--duration", "5m")
		var result bench.Result
		if err := json.Unmarshal([]byte(out), &result); err != nil || code != 0 {
			t.Fatalf("exit %d, %v, printed %s, said %s", code, err, out, problem)
		}
		if result.Answered != 3000 || result.Failed != 0 || result.Reads.Count == 0 || result.Writes.Count == 0 || result.Rate <= 0 ||
			result.All.P50 <= 0 || result.All.P99 < result.All.P50 || result.All.Max < result.All.P999 {
			t.Errorf("%s: %+v", target, result)
		}
	}
	code, out, problem := capture(t, "bench", cp, "--compare", ap, "--cp", cp, "--ap", ap, "--yes", "--requests", "300", "--keys", "50", "--rounds", "3", "--rate", "3000")
	for _, want := range []string{"50 connections, open loop at 3000 requests/s, 50 % reads,\n50 keys (uniform), values of 100 bytes", "A: " + cp, "B: " + ap,
		"3 rounds A B", "requests/s", "p99.9", "B/A"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit %d, no %q in %s%s", code, want, out, problem)
		}
	}
	for _, url := range []string{cp, ap} {
		value, err := api.NewClient(url, "", &http.Transport{}).Read(t.Context(), "a person's", service.ReadOptions{})
		if err != nil || value.Value.Value != "precious" {
			t.Errorf("%+v %v", value, err)
		}
	}
	names := allKeys(t, pair.g1.Addr())
	mine := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !strings.Contains(name, "}k:"+bench.Prefix) })
	if len(mine) != 2*(200+1) { // CP's and AP's, each with the first write
		t.Errorf("%d keys of bench on db_g1, of %d in all", len(mine), len(names))
	}
	pair.g2.Kill()
	code, out, problem = capture(t, "bench", cp, "--yes", "--requests", "20", "--reads", "0", "--cp", cp)
	if code != 1 || !strings.Contains(problem, cp+" takes no writes: ") {
		t.Errorf("without db_g2: exit %d, printed %s, said %s", code, out, problem)
	}
}

func allKeys(t *testing.T, addr string) (names []string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	defer client.Close()
	for cursor := client.Scan(t.Context(), 0, "*", 1000).Iterator(); cursor.Next(t.Context()); {
		names = append(names, cursor.Val())
	}
	return names
}

// TestBenchRefuses what was called wrongly, with exit code 64, before anything is sent.
func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "bench takes one target, cp, ap or a URL, and was given 0"},
		{[]string{"cp", "ap"}, "bench takes one target, cp, ap or a URL, and was given 2"},
		{[]string{"cpp", "--yes"}, `"cpp" is no target: give cp, ap, or the URL of a service: not a URL of the form http:// or https://`},
		{[]string{"cp", "--reads", "2"}, "a share of reads of 2: give 0 to 1"},
		{[]string{"cp", "--connections", "0"}, "0 connections: give 1 to 10000"},
		{[]string{"cp", "--duration", "0"}, "give how long or how many, above 0"},
		{[]string{"cp", "--key-distribution", "pareto"}, `--key-distribution "pareto": give uniform or zipf`},
		{[]string{"cp", "--compare", "ap", "--rounds", "0"}, "--rounds 0: give 1 or more"},
		{[]string{"cp"}, "Nobody is there to agree to that; add --yes"},
		{[]string{"http://192.0.2.1:5001", "--yes"}, "http://192.0.2.1:5001 is neither this host nor configured (--cp, --ap)"},
		{[]string{"cp", "--compare", "http://192.0.2.1:5001", "--yes"}, "If it is yours to measure, add --yes-remote"},
		{[]string{"http://localhost.example.com:5001", "--yes"}, "is neither this host nor configured"},
		{[]string{"cp", "--token-file", "/nowhere/at/all", "--yes"}, "reading the token: open /nowhere/at/all"},
		{[]string{"scale", "--keys", "5,4"}, "--keys [5 4]: give numbers above 0, rising"},
		{[]string{"scale", "--instances", "0"}, "--instances [0]: give numbers above 0, rising"},
		{[]string{"scale", "--each", "1ms"}, "--each 1ms: give 100ms or more"},
		{[]string{"suite", "--rounds", "0"}, "--rounds 0 --each 3s: give 1 round and 100ms or more"},
	} {
		code, out, problem := capture(t, append([]string{"bench"}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(problem, c.want) {
			t.Errorf("%q: exit %d, printed %q, said %q, wanted %q", c.args, code, out, problem, c.want)
		}
	}
}

// TestBenchWhatCannotBeMeasured ends with 1 and says why: nobody there, no capd, a token that does not do, a rate limit.
func TestBenchWhatCannotBeMeasured(t *testing.T) {
	pair := startPair(t)
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	token, line, err := api.NewToken("reader", "read")
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TOKENS_FILE", tokens)
	guarded := startCapd(t, binary, "ap", pair.g1.URL(), pair.g2.URL())
	t.Setenv("TOKENS_FILE", "")
	t.Setenv("RATE_LIMITS", "100 per hour")
	limited := startCapd(t, binary, "ap", pair.g1.URL(), pair.g2.URL())
	awaitSettled(t, guarded)
	awaitSettled(t, limited)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = other.Serve(listener) }()
	t.Cleanup(func() { _ = other.Close() })
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"http://127.0.0.1:1"}, "looking at http://127.0.0.1:1: "},
		{[]string{"http://" + listener.Addr().String()}, "is it capd?"},
		{[]string{guarded}, "takes no writes: unauthorized: "},
		{[]string{guarded, "--token", token}, "takes no writes: forbidden: "},
		{[]string{limited, "--requests", "500", "--reads", "0"}, "401 of 500 requests failed; some hit RATE_LIMITS, so this measures the limit, not the service"},
	} {
		code, out, problem := capture(t, append([]string{"bench", "--yes"}, c.args...)...)
		if code != 1 || !strings.Contains(problem, c.want) {
			t.Errorf("%q: exit %d, printed %q, said %q, wanted %q", c.args, code, out, problem, c.want)
		}
	}
}

// TestBenchOnTerminal asks, shows a bar, and prints a table.
func TestBenchOnTerminal(t *testing.T) {
	pair := startPair(t)
	cp, ap := pair.urls()
	awaitSettled(t, cp)
	s := tmuxtest.Start(t, 80, 50, root(t), "XDG_CONFIG_HOME="+t.TempDir()+" go run ./cmd/captop bench cp --cp "+cp+" --ap "+ap+
		" --duration 3s --keys 100; echo \"ended w\"ith $?")
	s.Wait("no other key is touched.")
	s.Keys("y", "e", "s", "Enter")
	s.Wait("[#")
	s.Wait("requests/s answered well")
	s.Wait("closed loop")
	s.Wait("ended with 0")
}

// TestSuiteKilled: what the suite has started ends with it, also after kill -9.
func TestSuiteKilled(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "captop")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/captop").CombinedOutput(); err != nil {
		t.Fatalf("building captop: %v\n%s", err, out)
	}
	killed := exec.Command(binary, "bench", "suite", "--out", filepath.Join(t.TempDir(), "results.md"))
	said, err := killed.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = killed.Process.Kill(); _ = killed.Wait() })
	for lines := bufio.NewScanner(said); lines.Scan() && !strings.HasPrefix(lines.Text(), "round 1"); {
	}
	started := childrenOf(t, killed.Process.Pid)
	if len(started) < 7 { // three nodes, two services, webdis, the bare server
		t.Fatalf("it has %d processes", len(started))
	}
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		started = slices.DeleteFunc(started, ended)
		if len(started) == 0 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the processes %v outlived the suite", started)
		}
	}
}

// childrenOf are the processes that one has started.
func childrenOf(t *testing.T, parent int) (children []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, stat := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			t.Fatal(err)
		}
		if fields := statFields(pid); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

// statFields are state, parent and what follows of a process; none where it is gone.
func statFields(pid int) []string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// ended: a process is gone, or nobody has asked yet how it ended.
func ended(pid int) bool {
	fields := statFields(pid)
	return len(fields) == 0 || fields[0] == "Z"
}
