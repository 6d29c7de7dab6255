package main

import (
	"errors"
	"strings"
	"testing"

	"captop/deploy/act"
	acting "captop/deploy/stack"
	"captop/deploy/stack/commands"
	"captop/probes"
	"captop/service"
)

// A key that was pressed before the first answers came must not be told that a node is unreachable.
func TestNothingIsHeardAtFirst(t *testing.T) {
	by, err := commands.Parse([]string{"pause db_g2=true"})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := by.Parts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := &deeds{ctx: t.Context(), engine: &act.Engine{Stack: by}}
	d.parts.Store(&parts)
	check := d.action(acting.Pause, service.G2).Check
	if err := check(nil); !errors.Is(err, act.ErrRefused) || !strings.Contains(err.Error(), "has just started") {
		t.Errorf("before the first snapshot: %v", err)
	}
	if err := check(&probes.Snapshot{}); !errors.Is(err, act.ErrRefused) || !strings.Contains(err.Error(), "nobody can tell") {
		t.Errorf("a snapshot in which nobody reaches a node: %v", err)
	}
	well := probes.Reach{Contact: probes.Up}
	if err := check(&probes.Snapshot{Nodes: []probes.Node{{Name: service.G1, Reach: well}, {Name: service.G2, Reach: well}}}); err != nil {
		t.Errorf("all is well: %v", err)
	}
}
