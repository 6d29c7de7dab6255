package probes

import (
	"testing"
	"time"

	"captop/service"
)

// TestStalenessSince1970IsNotKnown: a service that knows nothing of a node yet must not raise an alarm with a number.
func TestStalenessSince1970IsNotKnown(t *testing.T) {
	now := time.Now()
	services := []Service{{Name: "app_ap", Limit: Read(5*time.Second, now), Links: []Link{{Node: service.G1,
		Seen: Read(NodeView{Staleness: now.Sub(time.UnixMicro(0))}, now)}}}}
	n := nodeState{view: Node{Name: service.G1}}
	n.gather(services, now, time.Second, func(e Event) { t.Errorf("an event of it: %s", e.Text) })
	if n.view.Staleness.Known {
		t.Fatalf("the staleness is %+v", n.view.Staleness)
	}
	services[0].Links[0].Seen.Value.Staleness = 6 * time.Second
	n.gather(services, now, time.Second, func(Event) {})
	if !n.view.Staleness.Known {
		t.Fatal("a staleness of 6 s is not known either")
	}
}
