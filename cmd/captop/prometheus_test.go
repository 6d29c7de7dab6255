package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/probes"
	"captop/service/node/nodetest"
)

// startShippedPrometheus runs the stock Prometheus with the files of deploy/prometheus, on the pair, and gives its URL.
func startShippedPrometheus(t *testing.T, pair realPair) string {
	t.Helper()
	files := filepath.Join(root(t), "deploy", "prometheus")
	config, err := os.ReadFile(filepath.Join(files, "prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(config)
	for from, to := range map[string]string{
		"dns_sd_configs: [{names: [app_cp], type: A, port: 5001, refresh_interval: 5s}]": "static_configs: [{targets: [" + pair.host("--cp") + "]}]",
		"dns_sd_configs: [{names: [app_ap], type: A, port: 5002, refresh_interval: 5s}]": "static_configs: [{targets: [" + pair.host("--ap") + "]}]",
		"rule_files: [alerts.yml, edge.yml]":                                             "rule_files: [" + filepath.Join(files, "alerts.yml") + "]",
		"scrape_interval: 5s":                                                            "scrape_interval: 1s", "evaluation_interval: 5s": "evaluation_interval: 1s",
		"alertmanager:9093": "127.0.0.1:1",
	} {
		if !strings.Contains(text, from) {
			t.Fatalf("prometheus.yml has no %q to replace", from)
		}
		text = strings.ReplaceAll(text, from, to)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := nodetest.FreeAddr(t)
	server := exec.Command("prometheus", "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--log.level=error")
	if err := server.Start(); err != nil {
		t.Fatalf("this test needs prometheus (Debian: apt-get install prometheus): %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	return "http://" + addr
}

// host gives host and port of the URL behind a flag.
func (p realPair) host(flag string) string {
	parsed, err := url.Parse(p.args[slices.Index(p.args, flag)+1])
	if err != nil {
		panic(err)
	}
	return parsed.Host
}

// activeAlert is an alert as both sides know it.
type activeAlert struct {
	Labels map[string]string `json:"labels"`
	State  string            `json:"state"`
}

// alertsOfPrometheus gives the state of each alert that is pending or fires; nil while it does not answer.
func alertsOfPrometheus(base string) map[string]string {
	answer, err := http.Get(base + "/api/v1/alerts")
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	var body struct {
		Data struct{ Alerts []activeAlert }
	}
	if json.NewDecoder(answer.Body).Decode(&body) != nil {
		return nil
	}
	states := map[string]string{}
	for _, alert := range body.Data.Alerts {
		states[alertKey(alert.Labels)] = alert.State
	}
	return states
}

// alertsOfCaptop gives the same from a snapshot.
func alertsOfCaptop(snap *probes.Snapshot) map[string]string {
	states := map[string]string{}
	for _, rule := range snap.Rules {
		for _, alert := range rule.Alerts {
			if state := alert.State.String(); state != "inactive" {
				states[alertKey(alert.Labels)] = state
			}
		}
	}
	return states
}

func alertKey(labels map[string]string) string {
	parts := []string{labels["alertname"]}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "alertname" {
			parts = append(parts, name+"="+labels[name])
		}
	}
	return strings.Join(parts, " ")
}

// history is the states that an alert went through.
type history map[string][]string

func (h history) note(states map[string]string) {
	for key := range h {
		if _, active := states[key]; !active && h[key][len(h[key])-1] != "inactive" {
			h[key] = append(h[key], "inactive")
		}
	}
	for key, state := range states {
		if before := h[key]; len(before) == 0 || before[len(before)-1] != state {
			h[key] = append(before, state)
		}
	}
}

// TestAlertsAsAStockPrometheusHasThem scrapes the real pair with a stock Prometheus and with captop, and kills db_g2: both
// have the same alerts. With CAPTOP_LONG it goes on until they fire, db_g2 is back, and they are resolved.
func TestAlertsAsAStockPrometheusHasThem(t *testing.T) {
	pair := startPair(t)
	pair.args[slices.Index(pair.args, "--interval")+1] = "1s" // as patient as the Prometheus, with a machine that is busy
	base := startShippedPrometheus(t, pair)
	_, snapshots := watchPair(t, pair)

	theirs, ours := history{}, history{}
	// until looks at both at every poll, until both have the alerts of these names in that state, for both services where
	// both are wanted.
	until := func(state string, names ...string) {
		t.Helper()
		var prometheus, captop map[string]string
		for limit := time.Now().Add(5 * time.Minute); time.Now().Before(limit); {
			ask(pair.args)
			captop = alertsOfCaptop(<-snapshots)
			if prometheus = alertsOfPrometheus(base); prometheus == nil {
				continue // it is still starting
			}
			theirs.note(prometheus)
			ours.note(captop)
			if inState(prometheus, state, names) && inState(captop, state, names) {
				return
			}
		}
		t.Fatalf("never saw %v %s in both.\nPrometheus: %v\ncaptop: %v", names, state, prometheus, captop)
	}
	// At its start a Prometheus has asked nobody, and the nodes are being settled.
	until("inactive", "CircuitBreakerOpen", "NothingWatched", "TargetDown", "ServiceDown", "RejoinSlow")
	theirs, ours = history{}, history{}
	for _, args := range [][]string{{"wait", "sum(up{job=~\"app_.*\"}) == 2"}, {"check"}} {
		if code, out, problem := capture(t, append(args, "--prometheus", base)...); code != 0 {
			t.Errorf("%s through Prometheus: exit %d, %s%s", args, code, out, problem)
		}
	}
	pair.g2.Kill()
	names := []string{"CircuitBreakerOpen app_cp", "CircuitBreakerOpen app_ap", "ErrorRatioHigh app_cp", "ConnectionFailuresHigh app_cp"}
	until("pending", "CircuitBreakerOpen app_cp", "CircuitBreakerOpen app_ap")
	if os.Getenv("CAPTOP_LONG") == "" {
		return
	}
	until("firing", names...)
	pair.g2.Restart()
	until("inactive", names...)
	for key, states := range theirs {
		if name, _, _ := strings.Cut(key, " "); name == "CircuitBreakerChanged" || name == "QueueGrowing" {
			continue // they go on for longer
		}
		if !slices.Equal(states, ours[key]) {
			t.Errorf("%s was %v to Prometheus, and %v to captop", key, states, ours[key])
		}
	}
	t.Logf("%d alerts went through the same states: %v", len(theirs), theirs)
}

// inState says whether each of the alerts, named "ALERT" or "ALERT JOB", is in a state.
func inState(states map[string]string, want string, names []string) bool {
	for _, name := range names {
		alert, job, _ := strings.Cut(name, " ")
		got := "inactive"
		for key, state := range states {
			if strings.HasPrefix(key, alert+" ") && (job == "" || strings.Contains(key, fmt.Sprintf(" job=%s ", job))) {
				got = state
			}
		}
		if got != want {
			return false
		}
	}
	return true
}
