package probes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// named is an Input of targets.
func (s *stack) named(t *testing.T, names ...string) Input {
	t.Helper()
	var body found
	for _, name := range names {
		mode := service.ModeCP
		if strings.HasPrefix(name, "app_ap") {
			mode = service.ModeAP
		}
		if s.health[name] == nil {
			s.join(name, mode)
		}
		body.Services = append(body.Services, foundService{Name: name, Mode: mode, URL: "http://" + name + ":5001"})
	}
	s.names = names
	return Input{At: s.at.Add(tick / 2), Target: recorder, Part: PartTargets, Fault: Up, Body: marshal(t, body)}
}

func TestInstancesComeAndGo(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	state.Apply(s.named(t, "app_ap", "app_cp", "app_cp-2", "app_cp-3"))
	s.growing = map[string][2]int{"app_cp": {10, 0}, "app_cp-2": {20, 0}, "app_cp-3": {30, 30}}
	snap := s.watch(t, state, 6)
	if got := names(snap.Services); !slices.Equal(got, []string{"app_cp", "app_cp-2", "app_cp-3", "app_ap"}) {
		t.Fatalf("watched are %q", got)
	}
	group := snap.Groups[0]
	if !slices.Equal(group.Instances, []string{"app_cp-3", "app_cp", "app_cp-2"}) || group.Up != 3 {
		t.Errorf("the worst is not first, or not all are up: %+v", group)
	}
	if math.Abs(group.Rate.Value-90) > 1e-6 || math.Abs(group.ErrorRatio.Value-1.0/3) > 1e-6 {
		t.Errorf("rate %v and error ratio %v of all; wanted 90/s and a third", group.Rate.Value, group.ErrorRatio.Value)
	}
	if !group.Latency.Known || len(group.RateHistory) != 8 {
		t.Errorf("%+v", group)
	}
	state.Apply(Input{At: s.at, Target: recorder, Part: PartTargets, Fault: Blind, Error: "no such host"})
	if snap = s.watch(t, state, 1); len(snap.Services) != 4 || snap.TargetsError != "no such host" {
		t.Errorf("with a lookup that fails: %q, %q", names(snap.Services), snap.TargetsError)
	}
	state.Apply(s.named(t, "app_cp-2", "app_ap"))
	if snap = s.watch(t, state, 1); len(snap.Services) != 2 || snap.TargetsError != "" || len(snap.Groups) != 2 {
		t.Errorf("after two have gone: %q, %q", names(snap.Services), snap.TargetsError)
	}
	var told []string
	for _, e := range snap.Events {
		if e.Kind == "targets" {
			told = append(told, e.Text)
		}
	}
	want := []string{"app_ap, app_cp, app_cp-2 and app_cp-3 now among the targets", "not all instances can be looked up: no such host",
		"app_cp and app_cp-3 not among the targets any more"}
	if !slices.Equal(told, want) {
		t.Errorf("events %q\nwanted %q", told, want)
	}
	if left, err := state.alerts.Query(t.Context(), `up{instance="app_cp-3:5001"}`, s.at); err != nil || len(left) != 0 {
		t.Errorf("the series of one that is gone: %v, %v", left, err)
	}
}

// TestInstancesDisagree: a node that one instance of a service reaches and another does not is not down.
func TestInstancesDisagree(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	state.Apply(s.named(t, "app_cp", "app_cp-2", "app_ap"))
	s.watch(t, state, 2)
	s.cut(service.G2, "app_cp-2")
	v := s.watch(t, state, 6).Verdict
	if v.Situation != "g2_disputed" || !strings.Contains(v.Sentence, "app_cp-2 cannot reach db_g2, and app_cp can") || v.ByDesign {
		t.Errorf("%+v", v)
	}
	s.health["app_cp-2"].Version = "2"
	s.health["app_cp"].Version = "1"
	also := strings.Join(s.watch(t, state, 1).Verdict.Also, "\n")
	if !strings.Contains(also, "app_cp runs version 1, and app_cp-2 runs 2") {
		t.Errorf("also %q", also)
	}
}

// TestFirstDeviation: what went wrong before the worst is named with its time.
func TestFirstDeviation(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 2)
	s.node("app_ap", service.G1, func(n *api.NodeBody) {
		n.Rejoin = api.RejoinBody{Active: true, Since: s.at, Done: 1, Total: 2}
	})
	began := s.at
	s.watch(t, state, 3)
	s.fail(service.G2, PartInfo, Down, "connection refused")
	s.cut(service.G2, "app_cp", "app_ap")
	v := s.watch(t, state, 3).Verdict
	if v.Situation != "g2_down" || !strings.Contains(v.First, "db_g1 is back") || !v.FirstAt.Equal(began) {
		t.Errorf("%+v; wanted db_g1's rejoin at %s first", v, began)
	}
}

func TestHourIsLessDetailed(t *testing.T) {
	var h history
	for i := range 7200 {
		value := float64(i % 10)
		if i == 7000 {
			value = 99
		}
		h.add(epoch.Truncate(hourStep).Add(time.Duration(i)*time.Second), value)
	}
	if len(h.minutes()) != historyPoints || len(h.hour()) != hourPoints || cap(h.coarse) > 4*hourPoints {
		t.Fatalf("%d and %d points", len(h.minutes()), len(h.hour()))
	}
	peak := slices.MaxFunc(h.hour(), func(a, b Point) int { return int(a.Value - b.Value) })
	if peak.Value != 99 {
		t.Errorf("the peak of the hour is %v: it was lost", peak)
	}
	end := h.minutes()[len(h.minutes())-1].At
	joined := Since(h.hour(), h.minutes(), end.Add(-time.Hour))
	for i, point := range joined[1:] {
		if gap := point.At.Sub(joined[i].At); gap <= 0 || gap > 2*hourStep {
			t.Fatalf("a gap of %s at %s", gap, point.At)
		}
	}
	if first := joined[0].At; end.Sub(first) < 58*time.Minute {
		t.Errorf("it reaches back to %s only", first)
	}
}

// TestNothingWorseStaysOK: whatever single thing is made worse in a stack that is well, the verdict is not OK.
func TestNothingWorseStaysOK(t *testing.T) {
	worse := map[string]func(*stack){}
	for _, part := range []string{"app_cp/health", "app_cp/breakers", "app_cp/metrics", "app_ap/health", "app_ap/breakers", "app_ap/metrics", "db_g1/info", "db_g2/info"} {
		for contact := NotAsked + 1; contact <= Blind; contact++ {
			if contact != Up {
				worse[part+" "+contact.String()] = func(s *stack) { s.broken[part] = Input{Fault: contact, Error: "some trouble"} }
			}
		}
		worse[part+" empty"] = func(s *stack) { s.broken[part] = Input{Fault: Up, Status: 200} }
		worse[part+" 500"] = func(s *stack) { s.broken[part] = Input{Fault: Up, Status: 500, Body: "{}"} }
	}
	for _, svc := range []string{"app_cp", "app_ap"} {
		for _, status := range []api.Status{api.StatusDegraded, api.StatusUnavailable, api.StatusDraining} {
			worse[svc+" "+string(status)] = func(s *stack) { s.health[svc].Status = status }
		}
		for _, node := range []string{service.G1, service.G2} {
			worse[svc+" loses "+node] = func(s *stack) { s.node(svc, node, func(n *api.NodeBody) { n.Reachable = false }) }
			worse[svc+" stale "+node] = func(s *stack) { s.node(svc, node, func(n *api.NodeBody) { n.StalenessMS = 5001 }) }
			worse[svc+" rejoins "+node] = func(s *stack) { s.node(svc, node, func(n *api.NodeBody) { n.Rejoin.Active = true }) }
			worse[svc+" breaker "+node] = func(s *stack) { s.state[svc+"/"+node] = "OPEN" }
			worse[svc+" half-open "+node] = func(s *stack) { s.state[svc+"/"+node] = "HALF_OPEN" }
			worse[svc+" lost sight of "+node] = func(s *stack) {
				s.health[svc].Nodes = slices.DeleteFunc(slices.Clone(s.health[svc].Nodes), func(n api.NodeBody) bool { return n.Name == node })
			}
			worse[svc+" uses another "+node] = func(s *stack) { s.node(svc, node, func(n *api.NodeBody) { n.RunID = "another" }) }
			worse[svc+" behind since ever "+node] = func(s *stack) {
				s.node(svc, node, func(n *api.NodeBody) { n.StalenessMS = time.Hour.Milliseconds() * 24 * 365 * 56 })
			}
		}
		worse[svc+" clock ahead"] = func(s *stack) { s.skew[svc] = time.Minute }
		worse[svc+" refuses writes"] = func(s *stack) { s.health[svc].WritesRefused = "its clock" }
		worse[svc+" fails"] = func(s *stack) { s.growing[svc] = [2]int{10, 1} }
		worse[svc+" says it drains"] = func(s *stack) { s.health[svc].Draining = true }
		worse[svc+" other mode"] = func(s *stack) {
			s.health[svc].Mode = map[service.Mode]service.Mode{service.ModeCP: service.ModeAP, service.ModeAP: service.ModeCP}[s.health[svc].Mode]
		}
	}
	for _, node := range []string{service.G1, service.G2} {
		for _, field := range [][2]string{{"role:master", "role:slave"}, {"role:master\r\n", ""}, {"run_id:run" + node, "run_id:other"},
			{"aof_last_write_status:ok", "aof_last_write_status:err"}, {"rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err"},
			{"aof_last_write_status:ok\r\n", ""}, {"rdb_last_bgsave_status:ok\r\n", ""}, {"aof_last_write_status:ok", "aof_last_write_status:?"},
			{"maxmemory:0", "maxmemory:1000"}, {"maxmemory:0", "maxmemory:9000\r\nmaxmemory_policy:allkeys-lru"}, {"used_memory:1000", "loading:1"},
			{"role:master", "role:master\r\nconnected_clients:99\r\nmaxclients:100"}} {
			worse[fmt.Sprintf("%s %q for %q", node, field[1], field[0])] = func(s *stack) {
				s.info[node] = strings.Replace(s.info[node], field[0], field[1], 1)
			}
		}
		worse[node+" slow"] = func(s *stack) { s.took[node] = time.Second / 2 }
	}
	for name, change := range worse {
		s, state := newStack(), newState(t, targets(), tick, epoch)
		if before := s.watch(t, state, 2); before.Severity != OK {
			t.Fatalf("before the change: %+v", before.Verdict)
		}
		change(s)
		if snap := s.watch(t, state, 6); snap.Severity == OK {
			t.Errorf("%s: %+v", name, snap.Verdict)
		}
	}
}

// TestLabelsOfATargetFile: they are on every series, as in Prometheus; one that a page has, too, hides nothing.
func TestLabelsOfATargetFile(t *testing.T) {
	all := targets()
	all.Services[0].Labels = map[string]string{"zone": "a", "node": "host7", "job": "app_cp"}
	s, state := newStack(), newState(t, all, tick, epoch)
	s.growing["app_cp"] = [2]int{30, 20}
	snap := s.watch(t, state, 6)
	found, err := state.alerts.Query(t.Context(), `up{zone="a",node="host7",job="app_cp"}`, snap.At)
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	if found, err = state.alerts.Query(t.Context(), `circuit_breaker_state{node="host7",exported_node="db_g1"}`, snap.At); err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	}
	if svc := snap.Services[0]; svc.Labels["zone"] != "a" || svc.ErrorRatio.Value < 0.3 || !svc.Links[0].FailureRate.Known {
		t.Errorf("%+v", svc)
	}
	again := TargetsInput(all.Services)
	again.At = s.at
	state.Apply(again)
	if svc := state.Snapshot(s.at).Services[0]; svc.Labels["zone"] != "a" || svc.Reach.Contact != Up {
		t.Errorf("the same once more: %+v", svc)
	}
	all.Services[0].Labels = map[string]string{"zone": "b"}
	all.Alertmanager = "http://alertmanager:9093"
	moved := TargetsInput(all.Services)
	if after, changed := all.With(moved); !changed || after.Alertmanager != all.Alertmanager || after.Services[0].Labels["zone"] != "b" {
		t.Errorf("recorded as %+v", after)
	}
	moved.At = s.at
	state.Apply(moved)
	if svc := state.Snapshot(s.at).Services[0]; svc.Labels["zone"] != "b" || svc.Reach.Contact != NotAsked {
		t.Errorf("with other labels it is another instance: %+v", svc)
	}
}

// TestTargetsHoldNoSecrets: what is recorded of discovery has no tokens and no passwords.
func TestTargetsHoldNoSecrets(t *testing.T) {
	engine, err := New(Config{Discover: func() ([]ServiceTarget, bool, error) {
		return []ServiceTarget{{Name: "app_cp", Mode: service.ModeCP, URL: "http://user:secret@cp:5001", Token: "secret"}}, true, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, news := engine.targetsInput()
	if text, _ := json.Marshal(in); !news || strings.Contains(string(text), "secret") || !strings.Contains(string(text), "cp:5001") {
		t.Errorf("%v %s", news, text)
	}
	if len(engine.serving) != 3 {
		t.Errorf("%d attempts a poll for one instance", len(engine.serving))
	}
}

// TestWhyNotAllAreFound: the reasons of several names are one sentence.
func TestWhyNotAllAreFound(t *testing.T) {
	engine, err := New(Config{Discover: func() ([]ServiceTarget, bool, error) {
		return nil, false, errors.Join(errors.New("no app_cp"), errors.New("no app_ap"))
	}})
	if err != nil {
		t.Fatal(err)
	}
	if in, news := engine.targetsInput(); !news || in.Fault != Blind || in.Error != "no app_cp; no app_ap" {
		t.Errorf("%v %+v", news, in)
	}
}
