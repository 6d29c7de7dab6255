package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"captop/deploy/alertmanager/alertmanagertest"
	"captop/probes"
	"captop/tui"
)

const alwaysRules = "groups:\n- name: g\n  rules:\n  - alert: Always\n    expr: vector(7) > 5\n    labels: {severity: critical}\n"

// look runs captop --once --json and gives its snapshot.
func look(t *testing.T, args ...string) (snap struct {
	Acks         []probes.Ack
	Alertmanager *struct {
		Reach    struct{ Contact string }
		Alerts   []probes.HeldAlert
		Silences []probes.Silence
	}
	Verdict struct{ Also []string }
}) {
	t.Helper()
	_, out, problem := capture(t, append([]string{"--once", "--json", "--interval", "300ms"}, args...)...)
	if err := json.Unmarshal([]byte(out), &snap); err != nil {
		t.Fatalf("%v: %s%s", err, out, problem)
	}
	return snap
}

// TestSilenceOnTheRealThing: what the dashboard silences is seen at the next poll, with its end, and so is its absence.
func TestSilenceOnTheRealThing(t *testing.T) {
	base := alertmanagertest.Start(t)
	alert := `[{"labels": {"alertname": "TargetDown", "job": "app_cp"}}]`
	response, err := http.Post(base+"/api/v2/alerts", "application/json", strings.NewReader(alert))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	var screen tui.Options
	var config probes.Config
	if err := (settings{Alertmanager: base}).useAlertmanager(&config, &screen); err != nil {
		t.Fatal(err)
	}
	ends := time.Now().Add(time.Hour).Truncate(time.Second)
	id, err := screen.Silence(t.Context(), probes.Silence{Matchers: []probes.Matcher{{Name: "alertname", Value: "TargetDown", IsEqual: true}},
		StartsAt: time.Now(), EndsAt: ends, Comment: "rolling out"})
	if err != nil {
		t.Fatal(err)
	}
	held := look(t, "--alertmanager", base).Alertmanager
	if held == nil || held.Reach.Contact != "up" || len(held.Alerts) != 1 || len(held.Silences) != 1 {
		t.Fatalf("%+v", held)
	}
	if s := held.Silences[0]; s.ID != id || !s.EndsAt.Equal(ends) || s.Comment != "rolling out" || s.CreatedBy == "" || s.State != "active" {
		t.Errorf("%+v", s)
	}
	if err := screen.Unsilence(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if held := look(t, "--alertmanager", base).Alertmanager; len(held.Silences) != 0 {
		t.Errorf("%+v", held.Silences)
	}
	gone := look(t, "--alertmanager", "http://127.0.0.1:1")
	if gone.Alertmanager.Reach.Contact != "down" {
		t.Errorf("%+v", gone.Alertmanager)
	}
}

// TestAcknowledge: an acknowledgement is seen by other sessions while its alert is active and the time has not run out.
func TestAcknowledge(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	rules := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(rules, []byte(alwaysRules), 0o600); err != nil {
		t.Fatal(err)
	}
	var screen tui.Options
	var config probes.Config
	useAcks(&config, &screen)
	if _, changed, err := config.AcksChanged(); changed || err != nil {
		t.Errorf("before there are any: %v, %v", changed, err)
	}
	// The alert of a --once begins with it: this one is made for later.
	ack := probes.Ack{Labels: map[string]string{"alertname": "Always", "severity": "critical"}, Reason: "I look", At: time.Now().Add(time.Minute), Until: time.Now().Add(time.Hour)}
	for _, a := range []probes.Ack{ack, {Labels: map[string]string{"alertname": "Other"}, At: ack.At, Until: ack.Until}} {
		if err := screen.Acknowledge(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if acks := look(t, "--rules", rules).Acks; len(acks) != 1 || acks[0].Reason != "I look" || acks[0].By == "" {
		t.Errorf("%+v", acks)
	}
	if err := screen.Unacknowledge(t.Context(), ack); err != nil {
		t.Fatal(err)
	}
	if acks := look(t, "--rules", rules).Acks; len(acks) != 0 {
		t.Errorf("%+v", acks)
	}
}
