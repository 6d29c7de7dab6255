package prometheus

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"captop/deploy/runbooks"
)

// promtool runs the stock Prometheus' own checker on the files in dir.
func promtool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "promtool", args...)
	command.Dir = dir
	output, err := command.CombinedOutput()
	return string(output), err
}

// TestPromtool: a stock Prometheus loads the files, and its own test runner agrees with what is expected of the alerts.
func TestPromtool(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", "alerts.yml", "edge.yml"},
		{"check", "config", "--lint=all", "--lint-fatal", "prometheus.yml"},
		{"test", "rules", "alerts_test.yml", "edge_test.yml"},
	} {
		if output, err := promtool(t, ".", args...); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, output)
		}
	}
}

// TestEachLimitIsTested breaks the rules one by one: with another limit or another time to hold, the tests of the alerts fail.
func TestEachLimitIsTested(t *testing.T) {
	cases, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []struct{ alert, from, to string }{
		{"CircuitBreakerOpen", "circuit_breaker_state > 0", "circuit_breaker_state == 2"},
		{"CircuitBreakerOpen", "for: 1m", "for: 55s"},
		{"CircuitBreakerOpen", "for: 1m", "for: 65s"},
		{"CircuitBreakerChanged", " and min_over_time(circuit_breaker_state[5m]) == 0", ""},
		{"CircuitBreakerChanged", "changes(circuit_breaker_state[5m])", "changes(circuit_breaker_state[4m])"},
		{"StalenessHigh", "/ 1000 >", "/ 1000 >="},
		{"StalenessHigh", "for: 30s", "for: 25s"},
		{"StalenessHigh", "for: 30s", "for: 35s"},
		{"ErrorRatioHigh", "> 0.05", "> 0.5"},
		{"ErrorRatioHigh", "> 0.05", "> 0.03"},
		{"ErrorRatioHigh", `"5.."`, `"[45].."`},
		{"ErrorRatioHigh", "for: 1m", "for: 55s"},
		{"LatencyHigh", "> 0.5", "> 0.6"},
		{"LatencyHigh", "> 0.5", "> 0.3"},
		{"LatencyHigh", "0.99", "0.95"},
		{"LatencyHigh", "for: 2m", "for: 90s"},
		{"ConnectionFailuresHigh", "> 0.1", "> 0.5"},
		{"ConnectionFailuresHigh", "> 0.1", "> 0.04"},
		{"ConnectionFailuresHigh", "for: 30s", "for: 20s"},
		{"TargetDown", "for: 30s", "for: 25s"},
		{"TargetDown", `{job=~"app_cp|app_ap"}`, ""},
		{"ServiceDown", "max without", "min without"},
		{"ServiceDown", "for: 30s", "for: 35s"},
		{"NothingWatched", `{job=~"app_cp|app_ap"}`, ""},
		{"NothingWatched", "for: 1m", "for: 55s"},
		{"BackupTooOld", "> 300", ">= 300"},
		{"BackupTooOld", "[10m]", "[1m]"},
		{"BackupTooOld", "max without", "min without"},
		{"QueueGrowing", "> max_over_time", "> min_over_time"},
		{"QueueGrowing", "min_over_time(replication", "max_over_time(replication"},
		{"QueueGrowing", "for: 2m", "for: 1m50s"},
		{"RejoinSlow", "for: 5m", "for: 4m30s"},
		{"RejoinSlow", "for: 5m", "for: 5m30s"},
	} {
		before, rule, ok := strings.Cut(string(Rules), "- alert: "+broken.alert+"\n")
		if !ok || !strings.Contains(rule, broken.from) {
			t.Errorf("%s has no %q to break", broken.alert, broken.from)
			continue
		}
		dir := t.TempDir()
		text := before + "- alert: " + broken.alert + "\n" + strings.Replace(rule, broken.from, broken.to, 1)
		for name, content := range map[string]string{"alerts.yml": text, "alerts_test.yml": string(cases)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		output, err := promtool(t, dir, "test", "rules", "alerts_test.yml")
		if err == nil || !strings.Contains(output, "FAILED") {
			t.Errorf("%s with %q for %q: no test notices (%v)\n%s", broken.alert, broken.to, broken.from, err, output)
		}
	}
}

// TestEveryAlertHelps: each alert has what a person needs at night, with a page that exists.
func TestEveryAlertHelps(t *testing.T) {
	groups, problems := rulefmt.Parse(Rules, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var used []string
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			if severity := rule.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s has the severity %q, want critical or warning", rule.Alert, severity)
			}
			for _, annotation := range []string{"summary", "description"} {
				if rule.Annotations[annotation] == "" {
					t.Errorf("%s has no %s", rule.Alert, annotation)
				}
			}
			page := rule.Labels["runbook"]
			used = append(used, page)
			if _, err := runbooks.Page(page); err != nil {
				t.Errorf("%s: %v", rule.Alert, err)
			}
		}
	}
	procedures := []string{"disaster-recovery", "failover", "restore", "rollout", "scaling"} // people decide on these
	for _, page := range runbooks.Names() {
		if !slices.Contains(used, page) && !slices.Contains(procedures, page) {
			t.Errorf("no alert leads to the page %s", page)
		}
	}
}
