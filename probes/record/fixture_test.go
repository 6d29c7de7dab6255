package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"captop/probes"
	"captop/service"
	"captop/service/api"
)

// epoch is when the stack of these tests began to be watched.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)

const deadline = 30 * time.Second

// targets are n instances of each service, and two nodes.
func targets(n int) probes.Targets {
	t := probes.Targets{Nodes: []probes.NodeTarget{{Name: service.G1, URL: "redis://:hunter2@g1:6379"}, {Name: service.G2, URL: "redis://g2:6379"}}}
	for i := range n {
		for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
			t.Services = append(t.Services, probes.ServiceTarget{Name: fmt.Sprintf("app_%s-%d", mode, i), Mode: mode,
				URL: fmt.Sprintf("http://user:hunter2@%s%d:5001/?token=hunter2", mode, i), Token: "hunter2"})
		}
	}
	return t
}

func header(n int) Header {
	return Header{Captop: "test", Poll: time.Second, Started: epoch, Targets: targets(n), Rules: Rules{Text: "groups: []\n"}}
}

// poll makes the answers of a second: db_g2 is cut off from the 20th to the 40th.
func poll(n, second int) Poll {
	at := epoch.Add(time.Duration(second) * time.Second)
	p := Poll{At: at}
	cut := second >= 20 && second < 40
	for i, target := range targets(n).Services {
		in := probes.Input{At: at.Add(-time.Duration(i) * time.Millisecond), Took: 3*time.Millisecond + time.Duration(second*7919%1000)*time.Microsecond,
			Target: target.Name, Fault: probes.Up, Status: 200}
		for _, answer := range []struct {
			part probes.Part
			body string
		}{{probes.PartHealth, health(target.Mode, at, cut)}, {probes.PartBreakers, breakers(cut)}, {probes.PartMetrics, page(target.Mode, second, i)}} {
			in.Part, in.Body = answer.part, answer.body
			p.Inputs = append(p.Inputs, in)
		}
	}
	for i, node := range []string{service.G1, service.G2} {
		in := probes.Input{At: at, Took: time.Millisecond, Target: node, Part: probes.PartInfo, Fault: probes.Up, Body: info(node, second)}
		if i == 1 && cut {
			in.Fault, in.Error, in.Body = probes.Down, "connection refused", ""
		}
		p.Inputs = append(p.Inputs, in)
	}
	return p
}

func health(mode service.Mode, at time.Time, cut bool) string {
	body := api.HealthBody{Status: api.StatusOK, Mode: mode, Instance: "i", MaxStalenessMS: 5000, Time: at, UptimeSeconds: 60}
	for i, node := range []string{service.G1, service.G2} {
		body.Nodes = append(body.Nodes, api.NodeBody{Name: node, Reachable: i == 0 || !cut, Since: epoch, RunID: "run" + node, Breaker: "CLOSED", StalenessMS: 20})
	}
	text, _ := json.Marshal(body)
	return string(text)
}

func breakers(cut bool) string {
	state := "CLOSED"
	if cut {
		state = "OPEN"
	}
	return fmt.Sprintf(`{"breakers":[{"node":"db_g1","state":"CLOSED","since":"2026-01-02T03:04:05Z"},{"node":"db_g2","state":%q,"since":"2026-01-02T03:04:05Z"}]}`, state)
}

// page is a page of metrics of some 60 series, of which some count up.
func page(mode service.Mode, second, instance int) string {
	var b strings.Builder
	for _, operation := range []string{"read", "write"} {
		for i, status := range []string{"200", "404", "429", "503"} {
			fmt.Fprintf(&b, "app_requests_total{mode=%q,operation=%q,status=%q} %d\n", mode, operation, status, second*(40-10*i)+instance)
		}
		for i, bound := range []string{"0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"} {
			fmt.Fprintf(&b, "app_request_latency_seconds_bucket{mode=%q,operation=%q,le=%q} %d\n", mode, operation, bound, second*(i+1))
		}
		fmt.Fprintf(&b, "app_request_latency_seconds_sum{mode=%q,operation=%q} %v\n", mode, operation, float64(second)*0.00317)
		fmt.Fprintf(&b, "app_request_latency_seconds_count{mode=%q,operation=%q} %d\n", mode, operation, second*13)
	}
	for _, node := range []string{service.G1, service.G2} {
		fmt.Fprintf(&b, "circuit_breaker_state{node=%q} 0\ndata_staleness_ms{node=%q} %d\ndb_connection_failures_total{node=%q} 0\n", node, node, second%17, node)
	}
	for i := range 20 {
		fmt.Fprintf(&b, "# HELP go_other_%d Another figure of the runtime, with a sentence that explains it.\n# TYPE go_other_%d gauge\ngo_other_%d %d\n", i, i, i, 1000*i)
	}
	fmt.Fprintf(&b, "process_start_time_seconds 1.7e+09\n")
	return "# TYPE app_request_latency_seconds histogram\n# TYPE app_requests_total counter\n" + b.String()
}

func info(node string, second int) string {
	return fmt.Sprintf("# Server\r\nredis_version:7.0.15\r\nrun_id:run%s\r\nrole:master\r\nuptime_in_seconds:%d\r\nused_memory:%d\r\n"+
		"maxmemory:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\ninstantaneous_ops_per_sec:%d\r\n"+
		"db0:keys=7,expires=0,avg_ttl=0\r\n", node, 3600+second, 1000000+second*331, 200+second%13)
}

// record writes polls and ends.
func record(t testing.TB, dir string, limits Limits, h Header, polls ...Poll) {
	t.Helper()
	w := NewWriter(dir, limits, h)
	for _, p := range polls {
		put(t, w, p)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// put records one poll and waits while the writer is behind: these tests are faster than any dashboard.
func put(t testing.TB, w *Writer, p Poll) {
	t.Helper()
	for limit := time.Now().Add(deadline); len(w.queue) > maxWaiting/2; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("the writer hangs")
		}
	}
	if state := w.Record(p.At, p.Inputs); state.Lost > 0 {
		t.Fatalf("the writer has lost polls: %+v", state)
	}
}

func seconds(n, from, to int) (polls []Poll) {
	for second := from; second < to; second++ {
		polls = append(polls, poll(n, second))
	}
	return polls
}

// readAll gives every poll from a time on, and the cursor's damage.
func readAll(t testing.TB, r *Recording, from time.Time) ([]Poll, []Damage) {
	t.Helper()
	c, err := r.Polls(from)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var polls []Poll
	for {
		p, _, err := c.Next()
		if errors.Is(err, io.EOF) {
			return polls, c.Damage()
		}
		if err != nil {
			t.Fatal(err)
		}
		polls = append(polls, p)
	}
}

func text(t testing.TB, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func open(t testing.TB, path string) *Recording {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// same compares polls as they would be printed.
func same(t testing.TB, got, want []Poll) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d polls, want %d", len(got), len(want))
	}
	for i := range want {
		if text(t, got[i]) != text(t, want[i]) {
			t.Fatalf("poll %d is\n%s\nwant\n%s", i, text(t, got[i]), text(t, want[i]))
		}
	}
}
