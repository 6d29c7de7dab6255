package probes

import (
	"testing"

	"captop/service"
)

// TestInstance: who is asked is one that serves, as long as there is one.
func TestInstance(t *testing.T) {
	targets := Targets{Services: []ServiceTarget{{Name: "a", Mode: service.ModeCP}, {Name: "b", Mode: service.ModeCP, Token: "t"},
		{Name: "c", Mode: service.ModeCP}, {Name: "d", Mode: service.ModeAP}}}
	engine, err := New(Config{Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	seen := func(a, b, c Service) *Snapshot {
		a.Name, b.Name, c.Name = "a", "b", "c"
		return &Snapshot{Services: []Service{a, b, c}}
	}
	up, down := Service{Reach: Reach{Contact: Up}, Status: "ok"}, Service{Reach: Reach{Contact: Down}}
	stops := Service{Reach: Reach{Contact: Up}, Status: "draining", Draining: true}
	for _, c := range []struct {
		want string
		seen *Snapshot
	}{{"a", nil}, {"a", seen(up, up, up)}, {"b", seen(down, up, up)}, {"c", seen(stops, down, up)}, {"a", seen(stops, down, down)},
		{"b", seen(down, stops, stops)}, {"a", seen(down, down, down)}} {
		engine.choose(c.seen)
		if got, ok := engine.Instance(service.ModeCP); !ok || got.Name != c.want {
			t.Errorf("%s is asked, want %s of %+v", got.Name, c.want, c.seen)
		}
	}
	if got, ok := engine.Instance(service.ModeAP); !ok || got.Name != "d" {
		t.Errorf("the only one of a mode, of which nothing is known: %s", got.Name)
	}
	engine.watchServices(targets.Services[3:])
	engine.choose(nil)
	if got, ok := engine.Instance(service.ModeCP); ok {
		t.Errorf("%s is asked, and there is none any more", got.Name)
	}
}
