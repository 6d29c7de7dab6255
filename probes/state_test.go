package probes

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

func TestFreshness(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		want Freshness
	}{{0, Fresh}, {2 * tick, Fresh}, {2*tick + 1, Late}, {5 * tick, Late}, {5*tick + 1, FreshnessUnknown}} {
		if got := Read(1, epoch).Freshness(epoch.Add(c.age), tick); got != c.want {
			t.Errorf("after %s: %s, want %s", c.age, got, c.want)
		}
	}
	if got := (Reading[int]{At: epoch}).Freshness(epoch, tick); got != FreshnessUnknown {
		t.Errorf("a value that is not known is %s", got)
	}
}

// TestReplay: the same Inputs, also after they went through a recording, give the same Snapshots.
func TestReplay(t *testing.T) {
	s := newStack()
	var recorded [][]byte
	var live []*Snapshot
	state := newState(t, targets(), tick, epoch)
	for round := range 30 {
		switch round {
		case 5:
			s.cut(service.G2, "app_cp", "app_ap")
			s.fail(service.G2, PartInfo, Down, "connection refused")
		case 15:
			fresh := newStack()
			s.health, s.state, s.broken = fresh.health, fresh.state, fresh.broken
			s.info[service.G2] = "run_id:other\r\nrole:master\r\n"
		}
		s.total["app_cp"] = [2]int{100 + 10*round, 0}
		for _, in := range s.poll(t) {
			state.Apply(in)
			recorded = append(recorded, []byte(marshal(t, in)))
		}
		live = append(live, state.Snapshot(s.at))
	}
	again := newState(t, targets(), tick, epoch)
	perRound := len(recorded) / len(live)
	for i, line := range recorded {
		var in Input
		if err := json.Unmarshal(line, &in); err != nil {
			t.Fatal(err)
		}
		again.Apply(in)
		if (i+1)%perRound != 0 {
			continue
		}
		want, got := live[i/perRound], again.Snapshot(live[i/perRound].At)
		if marshal(t, want) != marshal(t, got) {
			t.Fatalf("round %d: replayed\n%s\nlive\n%s", i/perRound, marshal(t, got), marshal(t, want))
		}
	}
	if len(live[4].Events) != 0 || live[4].Severity != OK {
		t.Errorf("what came later changed an old Snapshot: %+v", live[4].Events)
	}
	kinds := map[string]int{}
	for _, e := range live[29].Events {
		kinds[e.Kind]++
	}
	if want := (map[string]int{"target": 2, "breaker": 4, "restart": 1, "severity": 2}); !reflect.DeepEqual(kinds, want) {
		t.Errorf("events %v, want %v: %+v", kinds, want, live[29].Events)
	}
}

// TestRates counts through a restart of the process and a series that appears late.
func TestRates(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	var snap *Snapshot
	for _, total := range [][2]int{{100, 0}, {110, 0}, {120, 10}, {4, 1}, {14, 1}} {
		s.total["app_cp"] = total
		snap = s.watch(t, state, 1)
	}
	svc := snap.Services[0]
	if want := float64(10+20+5+10) / 4; svc.Rate.Value != want {
		t.Errorf("rate %v, want %v", svc.Rate.Value, want)
	}
	if want := float64(11) / 45; math.Abs(svc.ErrorRatio.Value-want) > 1e-9 {
		t.Errorf("error ratio %v, want %v", svc.ErrorRatio.Value, want)
	}
	if want := float64(11) / 4; svc.Links[1].FailureRate.Value != want {
		t.Errorf("failures %v a second, want %v", svc.Links[1].FailureRate.Value, want)
	}
	if want := 5 * time.Millisecond; svc.Latency.Value.P50 != want {
		t.Errorf("p50 %s, want %s", svc.Latency.Value.P50, want)
	}
}

func TestQuantile(t *testing.T) {
	inf := math.Inf(1)
	for _, c := range []struct {
		q       float64
		bounds  []float64
		buckets []float64
		want    time.Duration
		known   bool
	}{
		{0.5, []float64{0.1, 0.2, inf}, []float64{0, 10, 10}, 150 * time.Millisecond, true},
		{0.99, []float64{0.1, 0.2, inf}, []float64{0, 10, 1000}, 200 * time.Millisecond, true},
		{0.5, []float64{0.1, inf}, []float64{0, 0}, 0, false},
		{0.5, nil, nil, 0, false},
		{0.5, []float64{inf}, []float64{3}, 0, true},
	} {
		if got, known := quantile(c.q, c.bounds, c.buckets); got != c.want || known != c.known {
			t.Errorf("quantile(%v, %v, %v) = %s, %t, want %s, %t", c.q, c.bounds, c.buckets, got, known, c.want, c.known)
		}
	}
}

// TestGaps: a target that stops answering leaves gaps, and its values grow old instead of staying.
func TestGaps(t *testing.T) {
	s, state := newStack(), newState(t, targets(), tick, epoch)
	s.watch(t, state, 3)
	s.dead("app_cp", Hung, "i/o timeout")
	s.dead("app_ap", Hung, "i/o timeout")
	snap := s.watch(t, state, 6)
	node := snap.Nodes[1]
	if node.Staleness.Known {
		t.Errorf("staleness is still given as %+v", node.Staleness)
	}
	h := node.StalenessHistory
	if len(h) != 9 || h[0].Value != 20 || !math.IsNaN(h[8].Value) {
		t.Errorf("history %v: want nine points, from 20 to a gap", h)
	}
	if snap.Services[0].Rate.Freshness(snap.At, tick) != FreshnessUnknown {
		t.Error("a rate six polls old still counts")
	}
}

func TestClockSkew(t *testing.T) {
	svc := newServiceState(targets().Services[0], nil)
	theirs := epoch.Add(time.Hour)
	body := api.HealthBody{Status: api.StatusOK, Mode: service.ModeCP, Time: theirs,
		Nodes: []api.NodeBody{{Name: service.G2, Since: theirs.Add(-time.Minute)}}}
	svc.apply(Input{Target: "app_cp", Part: PartHealth, At: epoch, Fault: Up, Status: 200, Body: marshal(t, body)}, func(Event) {})
	if got, want := svc.view.Links[1].Seen.Value.Since, epoch.Add(-time.Minute); !got.Equal(want) {
		t.Errorf("since %s, want %s by captop's clock", got, want)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var list []int
	for i := range 10 * historyPoints {
		list = keep(list, i, historyPoints)
	}
	kept := last(list, historyPoints)
	if len(kept) != historyPoints || kept[0] != 9*historyPoints || cap(list) > 4*historyPoints {
		t.Errorf("%d points from %d, room for %d", len(kept), kept[0], cap(list))
	}
}

func BenchmarkCycle(b *testing.B) {
	for _, n := range []int{2, 200} {
		b.Run(fmt.Sprintf("%d_services", n), func(b *testing.B) {
			s := newStack()
			all := Targets{Nodes: targets().Nodes}
			for i := range n {
				target := targets().Services[i%2]
				target.Name = fmt.Sprintf("%s-%d", target.Name, i)
				all.Services = append(all.Services, target)
			}
			state := newState(b, all, tick, epoch)
			for b.Loop() {
				inputs := s.poll(b)
				for i, target := range all.Services {
					for _, in := range inputs[3*(i%2) : 3*(i%2)+3] {
						in.Target = target.Name
						state.Apply(in)
					}
				}
				state.Apply(inputs[6])
				state.Apply(inputs[7])
				state.Snapshot(s.at)
			}
		})
	}
}
