package probes

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"captop/probes/alerts"
	"captop/service"
	"captop/service/api"
)

// many is a stack of n services.
func many(n int) Targets {
	all := Targets{Nodes: targets().Nodes}
	for i := range n {
		target := targets().Services[i%2]
		target.Name = fmt.Sprintf("%s-%d", target.Name, i+1)
		target.URL = fmt.Sprintf("http://10.0.%d.%d:5001", i/250, i%250)
		all.Services = append(all.Services, target)
	}
	return all
}

// feed applies one poll of a stack of two services to all services of a state that many made.
func (s *stack) feed(t testing.TB, state *State, all Targets) {
	t.Helper()
	inputs := s.poll(t)
	for i, target := range all.Services {
		for _, in := range inputs[3*(i%2) : 3*(i%2)+3] {
			in.Target = target.Name
			state.Apply(in)
		}
	}
	state.Apply(inputs[6])
	state.Apply(inputs[7])
}

// BenchmarkSnapshot is what it costs to conclude, apart from taking the answers in.
func BenchmarkSnapshot(b *testing.B) {
	for _, bad := range []bool{false, true} {
		for _, n := range []int{2, 200, 1000} {
			b.Run(fmt.Sprintf("%d_services_bad=%t", n, bad), func(b *testing.B) {
				s, all := newStack(), many(n)
				state := newState(b, all, tick, epoch)
				s.feed(b, state, all)
				state.Snapshot(s.at)
				if bad {
					s.fail(service.G2, PartInfo, Down, "connection refused")
					s.cut(service.G2, "app_cp", "app_ap")
					s.dead("app_cp", Down, "connection refused")
				}
				s.feed(b, state, all)
				b.ReportAllocs()
				for b.Loop() {
					state.Snapshot(s.at)
				}
			})
		}
	}
}

// TestManyAreSummedUp: what is wrong with very many instances is still a verdict that a person can read.
func TestManyAreSummedUp(t *testing.T) {
	s, all := newStack(), many(400)
	state := newState(t, all, tick, epoch)
	s.feed(t, state, all)
	if v := state.Snapshot(s.at).Verdict; v.Severity != OK || len(v.Sentence) > 200 {
		t.Errorf("while all is well: %+v", v)
	}
	s.fail(service.G2, PartInfo, Down, "connection refused")
	s.cut(service.G2, "app_ap")
	s.dead("app_cp", Down, "connection refused")
	s.feed(t, state, all)
	v := state.Snapshot(s.at).Verdict
	if v.Severity != Critical || len(v.Sentence) > 400 || len(v.Also) > alsoLimit+1 {
		t.Errorf("%d further findings beside %+v", len(v.Also), v)
	}
	if all := v.Sentence + strings.Join(v.Also, " "); !strings.Contains(all, "The same of app_cp-3, app_cp-5, app_cp-7, app_cp-9 and 195 more.") {
		t.Errorf("200 instances of app_cp are down: %q", all)
	}
}

// rulesOf reads the alerts that captop ships.
func rulesOf(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../deploy/prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestReplayWithAlerts: rules, their alerts, and instances that come and go are replayed to the very same Snapshots.
func TestReplayWithAlerts(t *testing.T) {
	setup := Setup{Targets: targets(), Poll: tick, Started: epoch, Rules: rulesOf(t)}
	live, err := NewState(setup)
	if err != nil {
		t.Fatal(err)
	}
	type poll struct {
		inputs []byte
		at     time.Time
		want   string
	}
	s := newStack()
	var polls []poll
	var last *Snapshot
	for round := range 150 {
		var inputs []Input
		switch round {
		case 10:
			inputs = append(inputs, s.named(t, "app_ap", "app_cp", "app_cp-2"))
		case 20:
			s.cut(service.G2, "app_cp", "app_ap")
			s.fail(service.G2, PartInfo, Down, "connection refused")
			s.growing = map[string][2]int{"app_cp": {5, 5}}
		case 60:
			inputs = append(inputs, s.named(t, "app_ap", "app_cp"))
		case 100:
			inputs = append(inputs, Input{At: s.at, Target: recorder, Part: PartRulesFile, Fault: Up, Body: "groups: ["})
		}
		inputs = append(inputs, s.poll(t)...)
		for _, in := range inputs {
			live.Apply(in)
		}
		last = live.Snapshot(s.at)
		polls = append(polls, poll{[]byte(marshal(t, inputs)), s.at, marshal(t, last)})
	}
	if len(last.Edges) == 0 || firing(last.Rules) == OK || last.RulesError == "" || !hasEvent(last, "alert") {
		t.Fatalf("the story has no alerts: %d edges, %s, %q", len(last.Edges), firing(last.Rules), last.RulesError)
	}
	again, err := NewState(setup)
	if err != nil {
		t.Fatal(err)
	}
	for round, p := range polls {
		var inputs []Input
		if err := json.Unmarshal(p.inputs, &inputs); err != nil {
			t.Fatal(err)
		}
		for _, in := range inputs {
			again.Apply(in)
		}
		if got := marshal(t, again.Snapshot(p.at)); got != p.want {
			t.Fatalf("round %d: replayed\n%s\nlive\n%s", round, got, p.want)
		}
	}
}

// TestAlertOfThePast: an alert that counts events fires on for a while after the last; what is over is not said to need a page.
func TestAlertOfThePast(t *testing.T) {
	for expr, want := range map[string]string{
		"rate(errors[1m]) > 0": "Wait 1m, over which it counts; if it fires on, read the runbook error-ratio-high, on the page of alerts.",
		"errors > 0":           "Read the runbook error-ratio-high, on the page of alerts.",
	} {
		s := &Snapshot{Rules: []alerts.Rule{{Name: "Errors", Expr: expr, Severity: "critical", Runbook: "error-ratio-high", State: alerts.Firing,
			Alerts: []alerts.Alert{{State: alerts.Firing}}}}}
		if found := alertFindings(s, false); len(found) != 1 || found[0].next != want {
			t.Errorf("%s: %+v", expr, found)
		}
		if found := alertFindings(s, true); strings.HasPrefix(found[0].next, "Wait") {
			t.Errorf("%s, and something is wrong: %+v", expr, found)
		}
	}
}

// pageRules fire from the first poll on.
const pageRules = `groups:
- name: test
  rules:
  - alert: AlwaysWrong
    expr: vector(1) > 0
    labels: {severity: critical}
    annotations: {summary: "something is on fire"}
`

// TestAlertsAndVerdictAgree: an alert that fires is never beside a screen that says OK, and a change of severity is told
// once, whichever of the two it came from.
func TestAlertsAndVerdictAgree(t *testing.T) {
	s := newStack()
	state, err := NewState(Setup{Targets: targets(), Poll: tick, Started: epoch})
	if err != nil {
		t.Fatal(err)
	}
	s.watch(t, state, 2)
	state.Apply(Input{At: s.at, Target: recorder, Part: PartRulesFile, Fault: Up, Body: pageRules})
	snap := s.watch(t, state, 5)
	if v := snap.Verdict; snap.Severity != Critical || v.Situation != "alert_AlwaysWrong" || !strings.Contains(v.Sentence, "something is on fire") ||
		!strings.Contains(v.Sentence, "sees nothing else") {
		t.Errorf("%s, %+v", snap.Severity, v)
	}
	s.node("app_ap", service.G2, func(n *api.NodeBody) { n.StalenessMS = 9000 })
	snap = s.watch(t, state, 5)
	if v := snap.Verdict; snap.Severity != Critical || v.Situation != "g2_stale" || !strings.Contains(strings.Join(v.Also, "\n"), "something is on fire") {
		t.Errorf("beside a warning: %s, %+v", snap.Severity, v)
	}
	told := 0
	for _, e := range snap.Events {
		if e.Kind == "severity" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the one change of severity was told %d times: %+v", told, snap.Events)
	}
}

// TestVerdictIsDated: a situation whose beginning nobody tells is dated by when captop saw it first, unless it was there
// before.
func TestVerdictIsDated(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	s.info[service.G2] = strings.Replace(s.info[service.G2], "role:master", "role:slave", 1)
	first := s.watch(t, state, 1)
	if v := s.watch(t, state, 10).Verdict; v.Situation != "g2_replica" || !v.Since.Equal(first.At) {
		t.Errorf("since %s; it was first seen at %s", v.Since, first.At)
	}
	late := newState(t, targets(), tick, epoch)
	if v := s.watch(t, late, 10).Verdict; v.Situation != "g2_replica" || !v.Since.IsZero() {
		t.Errorf("%s since %s, but it was there before captop looked", v.Situation, v.Since)
	}
}
