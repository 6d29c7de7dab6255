package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/service/node/nodetest"
)

// quickRules fire within seconds.
const quickRules = `groups:
- name: quick
  interval: 1s
  rules:
  - alert: NodeAway
    expr: node_reachable == 0
    for: 3s
    labels: {severity: critical, runbook: target-down}
    annotations: {summary: "{{ $labels.job }} has lost {{ $labels.node }}"}
  - alert: Slow
    expr: data_staleness_ms > 1e12
`

// startPrometheus runs a real Prometheus on the pair until stop or the test's end, and gives its URL.
func startPrometheus(t *testing.T, cp, ap string) (base string, stop func()) {
	t.Helper()
	address := nodetest.FreeAddr(t)
	dir := t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs:\n"+
		"- {job_name: app_cp, static_configs: [{targets: [%q]}]}\n- {job_name: app_ap, static_configs: [{targets: [%q]}]}\n"+
		"- {job_name: other, static_configs: [{targets: ['127.0.0.1:1']}]}\n",
		strings.TrimPrefix(cp, "http://"), strings.TrimPrefix(ap, "http://"))
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": quickRules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() { _ = server.Process.Kill(); _ = server.Wait() }
	t.Cleanup(stop)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		response, err := http.Get("http://" + address + "/-/ready")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return "http://" + address, stop
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Prometheus is not ready: %v\n%s", err, log.String())
		}
	}
}

// TestThroughPrometheus sees a real pair through a real Prometheus, and Prometheus go.
func TestThroughPrometheus(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "capd")
	if out, err := exec.Command("go", "build", "-o", binary, "captop/cmd/capd").CombinedOutput(); err != nil {
		t.Fatalf("building capd: %v\n%s", err, out)
	}
	g1, g2 := nodetest.Start(t), nodetest.Start(t)
	base, stop := startPrometheus(t, startCapd(t, binary, "cp", g1.URL(), g2.URL()), startCapd(t, binary, "ap", g1.URL(), g2.URL()))
	type seen struct {
		Source   struct{ Kind, Name string }
		Services []struct{ Name, Status string }
		Verdict  struct{ Situation, Sentence string }
		Rules    []struct {
			Name, State string
			Alerts      []struct{ Summary string }
			Measures    []struct{ Op string }
		}
	}
	expect := func(what string, wantCode int, fits func(seen) bool) {
		t.Helper()
		var out, problem string
		code := -1
		for limit := time.Now().Add(2 * time.Minute); time.Now().Before(limit); {
			code, out, problem = capture(t, "--once", "--json", "--prometheus", base)
			var snap seen
			if err := json.Unmarshal([]byte(out), &snap); err != nil {
				t.Fatalf("%v in %s%s", err, out, problem)
			}
			if code == wantCode && fits(snap) {
				return
			}
		}
		t.Fatalf("never saw %s with exit code %d; the last had %d\n%s", what, wantCode, code, out)
	}
	expect("all well", 0, func(s seen) bool {
		return s.Verdict.Situation == "ok" && len(s.Services) == 2 && s.Services[0].Status == "ok" && s.Source.Kind == "prometheus" &&
			s.Source.Name == base && len(s.Rules) == 2 && len(s.Rules[0].Measures) == 4 && s.Rules[0].Measures[0].Op == "=="
	})
	g2.Kill()
	expect("an alert that fires there", 2, func(s seen) bool {
		return s.Rules[0].Name == "NodeAway" && s.Rules[0].State == "firing" && len(s.Rules[0].Alerts) == 2 &&
			strings.HasSuffix(s.Rules[0].Alerts[0].Summary, "has lost db_g2") && s.Verdict.Situation == "g2_unreached"
	})
	g2.Restart()
	expect("all well again", 0, func(s seen) bool { return s.Verdict.Situation == "ok" && s.Rules[0].State == "inactive" })
	stop()
	expect("captop blind", 3, func(s seen) bool {
		return s.Verdict.Situation == "source_down" && strings.Contains(s.Verdict.Sentence, "captop is blind")
	})
}

func TestPrometheusCalledWrongly(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--once --prometheus localhost:9090", "http://"},
		{"--once --prometheus http://localhost:1 --cp http://localhost:2", "--cp does not go with --prometheus"},
	} {
		if code, _, problem := capture(t, strings.Fields(c.args)...); code != exitUsage || !strings.Contains(problem, c.want) {
			t.Errorf("%s: %d %s", c.args, code, problem)
		}
	}
}
