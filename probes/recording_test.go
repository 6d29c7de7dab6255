package probes

import (
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/node/nodetest"
)

// TestRecord: what an engine hands to a recorder gives the same Snapshots again, and the recorder's troubles are events.
func TestRecord(t *testing.T) {
	type poll struct {
		at     time.Time
		inputs []Input
	}
	var polls []poll
	states := []Recording{{}, {Problem: "the disk is full", Lost: 1}, {Problem: "the disk is full", Lost: 2}, {Lost: 2}, {Lost: 2}, {Lost: 5}, {Lost: 5}}
	targets := Targets{Nodes: []NodeTarget{{Name: service.G1, URL: nodetest.Start(t).URL()}}}
	engine, err := New(Config{Poll: time.Second, Targets: targets, Record: func(at time.Time, inputs []Input) Recording {
		polls = append(polls, poll{at: at, inputs: inputs})
		return states[min(len(polls), len(states))-1]
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	var live *Snapshot
	started := engine.state.started
	for range len(states) + 2 {
		live = engine.cycle(t.Context(), deadline)
	}
	again := newState(t, targets, time.Second, started)
	var replayed *Snapshot
	for _, p := range polls {
		for _, in := range p.inputs {
			again.Apply(in)
		}
		replayed = again.Snapshot(p.at)
	}
	if len(polls) != len(states)+2 || marshal(t, live) != marshal(t, replayed) {
		t.Errorf("%d polls replayed give\n%s\nlive\n%s", len(polls), marshal(t, replayed), marshal(t, live))
	}
	var told []string
	for _, e := range live.Events {
		if e.Kind == "recording" {
			told = append(told, e.Severity.String()+" "+e.Text)
		}
	}
	want := "warning nothing is recorded: the disk is full\n" +
		"ok the recording goes on: 2 polls are missing from it\n" +
		"ok the recording goes on: 3 polls are missing from it"
	if got := strings.Join(told, "\n"); got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}
