package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/probes"
	"captop/service/node/nodetest"
)

// realPair is a pair of real services on real nodes.
type realPair struct {
	g1, g2 *nodetest.Server
	args   []string // the flags that lead captop to it
}

func startPair(t *testing.T) realPair {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	return realPair{g1: g1, g2: g2, args: []string{"--interval", "250ms", "--g1", g1.URL(), "--g2", g2.URL(),
		"--cp", startCapd(t, binary, "cp", g1.URL(), g2.URL()), "--ap", startCapd(t, binary, "ap", g1.URL(), g2.URL())}}
}

// TestWaitAndCheck asks the real services on real nodes, while db_g2 dies and comes back.
func TestWaitAndCheck(t *testing.T) {
	pair := startPair(t)
	wait := func(wantCode int, want, wantProblem, expr string, more ...string) {
		t.Helper()
		code, out, problem := capture(t, slices.Concat([]string{"wait", expr}, pair.args, more)...)
		if code != wantCode || !strings.Contains(out, want) || !strings.Contains(problem, wantProblem) {
			t.Fatalf("wait %s: exit %d, printed %q, said %q; want %d, %q, %q", expr, code, out, problem, wantCode, want, wantProblem)
		}
	}
	well := "min(redis_up) == 1 and on () count(circuit_breaker_state == 0) == 4 and on () max(rejoin_active) == 0"
	wait(0, "{} 1\n", "", well)
	wait(1, "no samples\n", `captop: redis_up{node="db_g2"} == 0 did not come about within 2s`, `redis_up{node="db_g2"} == 0`, "--timeout", "2s")
	wait(1, "} 0\n", "did not come about", `circuit_breaker_state{job="app_cp",node="db_g2"}`, "--timeout", "2s")
	wait(1, "many-to-many", "did not come about", `redis_up * on () circuit_breaker_state`, "--timeout", "2s")
	code, out, _ := checkUntil(t, pair, 0)
	for _, want := range []string{"OK - ", "|up_cp=1;;1:;0;1 rate_cp=", " errors_ap=U;;5;0;100 ", " p99_ap=U;500;;0 ",
		" staleness_g2=", "ms;5000;;0 ", " queue_g2=0;;;0 ", " memory_g1=", " keys_g2="} {
		if !strings.Contains(out, want) {
			t.Errorf("check of a healthy pair: exit %d, no %q in %s", code, want, out)
		}
	}

	pair.g2.Kill()
	wait(0, `circuit_breaker_state{instance="127.0.0.1:`, "", `circuit_breaker_state{job="app_cp",node="db_g2"} > 0`)
	wait(0, `ALERTS{alertname="CircuitBreakerOpen",alertstate="pending"`, "", `ALERTS{alertname="CircuitBreakerOpen"}`)
	_, out, problem := checkUntil(t, pair, 2)
	if !strings.HasPrefix(out, "CRITICAL - ") || !strings.Contains(out, "db_g2") || !strings.Contains(out, " memory_g2=U;;;0 ") || !strings.Contains(out, "|up_cp=1;;1:;0;1 ") ||
		strings.Count(out, "\n") != 1 || strings.Count(out, "|") != 1 || problem != "" {
		t.Errorf("check without db_g2 printed %q, said %q", out, problem)
	}

	pair.g2.Restart()
	wait(0, "{} 1\n", "", well)
	checkUntil(t, pair, 0)
}

// checkUntil runs captop check until it ends with a code.
func checkUntil(t *testing.T, pair realPair, want int) (code int, out, problem string) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		if code, out, problem = capture(t, append([]string{"check"}, pair.args...)...); code == want {
			return code, out, problem
		}
	}
	t.Fatalf("check never ended with %d; last with %d, %s%s", want, code, out, problem)
	return
}

// TestWaitCalledWrongly: a script must not take a typing error for an answer.
func TestWaitCalledWrongly(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "captop: wait takes one PromQL expression, and was given 0; put it into quotes\n"},
		{[]string{"up", "==", "1"}, "captop: wait takes one PromQL expression, and was given 3; put it into quotes\n"},
		{[]string{"up =="}, `captop: the expression "up ==": 1:6: parse error: unexpected end of input` + "\n"},
		{[]string{"up[5m]"}, `captop: the expression "up[5m]" gives a matrix, not one value for each series` + "\n"},
		{[]string{"up", "--timeout", "0s"}, "captop: --timeout 0s: give a duration above zero, such as 60s\n"},
		{[]string{"up", "--timeout", "60"}, `captop: invalid argument "60" for "--timeout" flag: time: missing unit in duration "60"` + "\n"},
		{[]string{"up", "--theme", "dark"}, "captop: unknown flag: --theme\n"},
	} {
		code, out, problem := capture(t, append([]string{"wait"}, c.args...)...)
		if code != exitUsage || out != "" || problem != c.want {
			t.Errorf("wait %q: exit %d, printed %q, said %q, want %q", c.args, code, out, problem, c.want)
		}
	}
}

// TestCheckCalledWrongly: to who runs plugins, that is a state, too.
func TestCheckCalledWrongly(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"now"}, `UNKNOWN - check takes no arguments, and was given ["now"]` + "\n"},
		{[]string{"--warning", "5"}, "UNKNOWN - unknown flag: --warning\n"},
		{[]string{"--config", "/nowhere/at|all"}, "UNKNOWN - reading the config file /nowhere/at/all: open /nowhere/at/all: no such file or directory\n"},
		{[]string{"--rules", "/nowhere/at/all"}, "UNKNOWN - reading the rules: stat /nowhere/at/all: no such file or directory\n"},
	} {
		code, out, problem := capture(t, append([]string{"check"}, c.args...)...)
		if code != 3 || out != c.want || problem != "" {
			t.Errorf("check %q: exit %d, printed %q, said %q, want %q", c.args, code, out, problem, c.want)
		}
	}
}

// TestCheckLine: what is old is not known, limits come from the rules, and the text stays clear of the data.
func TestCheckLine(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	snap := &probes.Snapshot{At: now, Poll: time.Second, Severity: probes.Warning,
		Verdict: probes.Verdict{Sentence: "a|b\nc.", NextStep: "Look."},
		Groups:  []probes.Group{{Mode: "ap", Instances: []string{"app_ap", "app_ap-2"}, ErrorRatio: probes.Read(0.0123456, now)}},
		Services: []probes.Service{{Mode: "ap", Reach: probes.Reach{Contact: probes.Up}}, {Mode: "ap", Reach: probes.Reach{Contact: probes.Hung}},
			{Mode: "cp", Reach: probes.Reach{Contact: probes.Up}}},
		Nodes: []probes.Node{{Name: "db_g2", Staleness: probes.Read(probes.Staleness{Value: 12 * time.Millisecond, Limit: 5 * time.Second}, now),
			QueueDepth: probes.Read(int64(7), now.Add(-time.Minute)), RTT: probes.Read(250*time.Microsecond, now),
			Info: probes.Read(probes.Info{UsedMemory: 1 << 40, MaxMemory: 1 << 41, Clients: 3}, now)}},
	}
	want := "WARNING - a/b c. Next: Look.|up_ap=1;;1:;0;2 rate_ap=U;;;0 errors_ap=1.235%;;;0;100 p99_ap=U;;;0 staleness_g2=12ms;5000;;0 " +
		"queue_g2=U;;;0 rtt_g2=0.25ms;;;0 memory_g2=1099511627776B;;;0;2199023255552 clients_g2=3;;;0 keys_g2=0;;;0"
	if got := checkLine(snap); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
