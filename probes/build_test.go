package probes

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// epoch is when the stacks of these tests began to be watched.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const tick = time.Second

// stack makes the Inputs of a stack, well unless a test changes it.
type stack struct {
	at      time.Time
	names   []string // of services
	skew    map[string]time.Duration
	health  map[string]*api.HealthBody
	broken  map[string]Input // by "target/part": replaces Fault, Error, Status, Body
	state   map[string]string
	since   time.Time // of every breaker
	info    map[string]string
	took    map[string]time.Duration
	total   map[string][2]int // requests of 200 and 503
	growing map[string][2]int // by this much at each poll
}

func targets() Targets {
	return Targets{
		Services: []ServiceTarget{{Name: "app_cp", Mode: service.ModeCP, URL: "http://cp:5001"},
			{Name: "app_ap", Mode: service.ModeAP, URL: "http://ap:5002"}},
		Nodes: []NodeTarget{{Name: service.G1, URL: "redis://:secret@g1:6379"}, {Name: service.G2, URL: "redis://g2:6379"}},
	}
}

func newState(t testing.TB, targets Targets, poll time.Duration, started time.Time) *State {
	t.Helper()
	state, err := NewState(Setup{Targets: targets, Poll: poll, Started: started})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func newStack() *stack {
	s := &stack{at: epoch, names: []string{"app_cp", "app_ap"}, skew: map[string]time.Duration{}, since: epoch.Add(-time.Hour), health: map[string]*api.HealthBody{}, broken: map[string]Input{},
		state: map[string]string{}, info: map[string]string{}, took: map[string]time.Duration{},
		total: map[string][2]int{}, growing: map[string][2]int{}}
	for _, target := range targets().Services {
		s.join(target.Name, target.Mode)
	}
	for _, node := range []string{service.G1, service.G2} {
		s.info[node] = "run_id:run" + node + "\r\nrole:master\r\nuptime_in_seconds:3600\r\nused_memory:1000\r\nmaxmemory:0\r\n" +
			"aof_enabled:1\r\naof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\ndb0:keys=7,expires=0,avg_ttl=0\r\n"
		s.took[node] = time.Millisecond
	}
	return s
}

// join adds an instance that is well.
func (s *stack) join(name string, mode service.Mode) {
	body := &api.HealthBody{Status: api.StatusOK, Mode: mode, Instance: "i", MaxStalenessMS: 5000, UptimeSeconds: 60}
	for _, node := range []string{service.G1, service.G2} {
		body.Nodes = append(body.Nodes, api.NodeBody{Name: node, Reachable: true, Since: epoch.Add(-time.Hour), RunID: "run" + node,
			Breaker: "CLOSED", StalenessMS: 20})
		s.state[name+"/"+node] = "CLOSED"
	}
	s.health[name], s.total[name] = body, [2]int{100, 0}
}

// node changes what one service says of one node.
func (s *stack) node(svc, node string, change func(*api.NodeBody)) {
	for i := range s.health[svc].Nodes {
		if s.health[svc].Nodes[i].Name == node {
			change(&s.health[svc].Nodes[i])
		}
	}
}

// cut makes a service lose a node.
func (s *stack) cut(node string, services ...string) {
	for _, svc := range services {
		s.health[svc].Status = api.StatusDegraded
		s.state[svc+"/"+node] = "OPEN"
		s.node(svc, node, func(n *api.NodeBody) { n.Reachable, n.Error, n.Since = false, "i/o timeout", s.at })
	}
}

// fail makes a part of a target fail.
func (s *stack) fail(target string, part Part, fault Contact, text string) {
	s.broken[target+"/"+string(part)] = Input{Fault: fault, Error: text}
}

// dead makes all parts of a service fail.
func (s *stack) dead(svc string, fault Contact, text string) {
	for _, part := range []Part{PartHealth, PartBreakers, PartMetrics} {
		s.fail(svc, part, fault, text)
	}
}

// poll gives one round of Inputs, a tick after the last.
func (s *stack) poll(t testing.TB) []Input {
	t.Helper()
	s.at = s.at.Add(tick)
	var inputs []Input
	add := func(target string, part Part, body string) {
		in := Input{Target: target, Part: part, At: s.at, Took: time.Millisecond, Fault: Up, Status: 200, Body: body}
		if took := s.took[target]; took > 0 {
			in.Took = took
		}
		if broken, found := s.broken[target+"/"+string(part)]; found {
			in.Fault, in.Error, in.Status, in.Body = broken.Fault, broken.Error, broken.Status, broken.Body
		}
		inputs = append(inputs, in)
	}
	for _, svc := range s.names {
		s.health[svc].Time = s.at.Add(s.skew[svc])
		add(svc, PartHealth, marshal(t, s.health[svc]))
		breakers := api.BreakersBody{Mode: s.health[svc].Mode}
		for _, node := range []string{service.G1, service.G2} {
			breakers.Breakers = append(breakers.Breakers, api.BreakerBody{Node: node, State: s.state[svc+"/"+node], Since: s.since})
		}
		add(svc, PartBreakers, marshal(t, breakers))
		more := s.growing[svc]
		s.total[svc] = [2]int{s.total[svc][0] + more[0], s.total[svc][1] + more[1]}
		add(svc, PartMetrics, page(s.total[svc]))
	}
	add(service.G1, PartInfo, s.info[service.G1])
	add(service.G2, PartInfo, s.info[service.G2])
	return inputs
}

func page(total [2]int) string {
	n := total[0] + total[1]
	return fmt.Sprintf(`circuit_breaker_state{node="db_g1"} 0
# TYPE app_requests_total counter
app_requests_total{mode="cp",operation="read",status="200"} %d
app_requests_total{mode="cp",operation="read",status="503"} %d
# TYPE db_connection_failures_total counter
db_connection_failures_total{node="db_g2"} %d
# TYPE app_request_latency_seconds histogram
app_request_latency_seconds_bucket{operation="read",le="0.01"} %d
app_request_latency_seconds_bucket{operation="read",le="+Inf"} %d
app_request_latency_seconds_sum{operation="read"} 1
app_request_latency_seconds_count{operation="read"} %d
`, total[0], total[1], total[1], n, n, n)
}

func marshal(t testing.TB, body any) string {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// watch replays rounds polls and gives the last Snapshot.
func (s *stack) watch(t testing.TB, state *State, rounds int) *Snapshot {
	t.Helper()
	var snap *Snapshot
	for range rounds {
		snap = s.watchBut(t, state, "")
	}
	return snap
}

// watchBut replays a poll in which one target has not answered yet.
func (s *stack) watchBut(t testing.TB, state *State, slow string) *Snapshot {
	t.Helper()
	for _, in := range s.poll(t) {
		if in.Target != slow {
			state.Apply(in)
		}
	}
	return state.Snapshot(s.at.Add(2 * time.Millisecond))
}
