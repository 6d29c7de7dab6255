package tui

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/service"
)

// noon is the time of all fixtures.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// situations are the states of the pair that every screen has to show well.
var situations = map[string]func() *probes.Snapshot{
	"healthy":   healthy,
	"g2_down":   g2Down,
	"cp_down":   cpDown,
	"rejoining": rejoining,
	"nothing":   nothing,
	"fuses":     fuses,
	"frozen":    frozen,
	"several":   several,
}

func healthy() *probes.Snapshot {
	up := func(took time.Duration) probes.Reach {
		return probes.Reach{Contact: probes.Up, Since: noon.Add(-14 * time.Minute), At: noon, Took: took, LastUp: noon}
	}
	s := &probes.Snapshot{
		At: noon, Started: noon.Add(-14 * time.Minute), Poll: time.Second, Severity: probes.OK,
		Verdict: probes.Verdict{Situation: "ok", Severity: probes.OK, Since: noon.Add(-13 * time.Minute),
			Sentence: "Both services serve reads and writes, and both nodes hold every acknowledged write.",
			NextStep: "Nothing to do."},
		Services: []probes.Service{
			fixtureService("app_cp", service.ModeCP, "http://127.0.0.1:5001", 3.1, up(2*time.Millisecond)),
			fixtureService("app_ap", service.ModeAP, "http://127.0.0.1:5002", 1.2, up(time.Millisecond)),
		},
		Nodes: []probes.Node{
			fixtureNode("db_g1", "redis://127.0.0.1:6379", up(time.Millisecond)),
			fixtureNode("db_g2", "redis://127.0.0.1:6380", up(time.Millisecond)),
		},
		Rules: rules(),
		Events: []probes.Event{
			{At: noon.Add(-13 * time.Minute), Severity: probes.OK, Kind: "target", Target: "app_cp", Text: "app_cp answers"},
			{At: noon.Add(-5 * time.Minute), Severity: probes.Warning, Kind: "breaker", Target: "app_ap", Text: "app_ap's breaker before db_g2 went from CLOSED to HALF_OPEN"},
			{At: noon.Add(-4 * time.Minute), Severity: probes.OK, Kind: "breaker", Target: "app_ap", Text: "app_ap's breaker before db_g2 went from HALF_OPEN to CLOSED"},
		},
	}
	return s
}

func fixtureService(name string, mode service.Mode, url string, p99 float64, reach probes.Reach) probes.Service {
	s := probes.Service{
		Name: name, Mode: mode, URL: url, Reach: reach, Status: "ok", Instance: name + "-1", Version: "0.1.0",
		HealthAt: noon, BreakersAt: noon, MetricsAt: noon, Window: 30 * time.Second,
		Uptime: probes.Read(14*time.Minute, noon), ClockSkew: probes.Read(time.Millisecond, noon),
		Limit: probes.Read(5*time.Second, noon), Rate: probes.Read(41.7, noon), ErrorRatio: probes.Read(0.0, noon),
		Latency: probes.Read(probes.Latency{P50: 800 * time.Microsecond, P95: 2100 * time.Microsecond,
			P99: time.Duration(p99 * float64(time.Millisecond))}, noon),
		LatencyHistory: wave(p99, 0.4), RateHistory: wave(41.7, 5),
	}
	for _, node := range []string{service.G1, service.G2} {
		s.Links = append(s.Links, probes.Link{Node: node,
			Seen:        probes.Read(probes.NodeView{Reachable: true, Since: noon.Add(-14 * time.Minute), RunID: "a1b2c3d4e5f60718"}, noon),
			Breaker:     probes.Read(service.Breaker{Node: node, State: service.BreakerClosed, Since: noon.Add(-13 * time.Minute)}, noon),
			FailureRate: probes.Read(0.0, noon)})
	}
	return s
}

func fixtureNode(name, url string, reach probes.Reach) probes.Node {
	return probes.Node{Name: name, URL: url, Reach: reach, RTT: probes.Read(400*time.Microsecond, noon),
		Info: probes.Read(probes.Info{RunID: "a1b2c3d4e5f60718", RedisVersion: "7.0.15", Uptime: 14 * time.Minute, Role: "master",
			OpsPerSecond: 182, UsedMemory: 1_890_000, MaxMemory: 256 << 20, Clients: 14, Keys: 1234,
			Persistence: probes.Persistence{AOF: true, AOFWriteOK: true, AOFRewriteOK: true, RDBSaveOK: true, LastSave: noon.Add(-3 * time.Minute)}}, noon),
		Staleness:  probes.Read(probes.Staleness{Value: 3 * time.Millisecond, Limit: 5 * time.Second, By: "app_ap"}, noon),
		QueueDepth: probes.Read(int64(1), noon), Rejoin: probes.Read(probes.Rejoining{}, noon),
		StalenessHistory: wave(3, 2), OpsHistory: wave(182, 10)}
}

// wave is five minutes of samples around a value, with one gap.
func wave(around, by float64) probes.Series {
	var out probes.Series
	for i := range 300 {
		at := noon.Add(time.Duration(i-299) * time.Second)
		value := around + by*math.Sin(float64(i)/9)*math.Cos(float64(i)/31)
		if i >= 220 && i < 228 {
			value = math.NaN()
		}
		out = append(out, probes.Point{At: at, Value: value})
	}
	return out
}

func g2Down() *probes.Snapshot {
	s := healthy()
	since := noon.Add(-42 * time.Second)
	s.Severity = probes.Critical
	s.Verdict = probes.Verdict{Situation: "g2_down", Severity: probes.Critical, Since: since, ByDesign: true,
		Sentence: "db_g2 is down: app_cp refuses writes, answers reads at db_g1; app_ap takes writes on db_g1 and queues them for db_g2.",
		NextStep: "restart db_g2", Act: "restart db_g2"}
	down := probes.Reach{Contact: probes.Down, Since: since, At: noon, Error: "dial tcp 127.0.0.1:6380: connect: connection refused", LastUp: since}
	s.Nodes[1].Reach = down
	s.Nodes[1].Info = probes.Reading[probes.Info]{}
	s.Nodes[1].RTT = probes.Reading[time.Duration]{}
	s.Nodes[1].Staleness = probes.Read(probes.Staleness{Value: 41_300 * time.Millisecond, Limit: 5 * time.Second, By: "app_ap"}, noon)
	s.Nodes[1].QueueDepth = probes.Read(int64(1733), noon)
	s.Nodes[1].StalenessHistory = rising(since)
	for i := range s.Services {
		s.Services[i].Status = "degraded"
		s.Services[i].Links[1].Breaker = probes.Read(service.Breaker{Node: service.G2, State: service.BreakerOpen,
			Since: noon.Add(-40 * time.Second), Failures: 5, NextProbe: noon.Add(3 * time.Second)}, noon)
		s.Services[i].Links[1].FailureRate = probes.Read(4.2, noon)
	}
	s.Services[0].ErrorRatio = probes.Read(0.48, noon)
	s.Events = append(s.Events,
		probes.Event{At: since, Severity: probes.Critical, Kind: "target", Target: "db_g2", Text: "db_g2 went down: connection refused"},
		probes.Event{At: since.Add(2 * time.Second), Severity: probes.Critical, Kind: "breaker", Target: "app_cp", Text: "app_cp's breaker before db_g2 went from CLOSED to OPEN"},
		probes.Event{At: since.Add(2 * time.Second), Severity: probes.Critical, Kind: "breaker", Target: "app_ap", Text: "app_ap's breaker before db_g2 went from CLOSED to OPEN"})
	return s
}

// rising is a staleness that grows since a time.
func rising(since time.Time) probes.Series {
	out := wave(3, 2)
	for i, point := range out {
		if point.At.After(since) {
			out[i].Value = float64(point.At.Sub(since).Milliseconds())
		}
	}
	return out
}

func cpDown() *probes.Snapshot {
	s := healthy()
	since := noon.Add(-9 * time.Second)
	s.Severity = probes.Critical
	s.Verdict = probes.Verdict{Situation: "cp_down", Severity: probes.Critical, Since: since,
		Sentence: "app_cp does not answer at 127.0.0.1:5001; both nodes are up and app_ap serves.", NextStep: "Start app_cp again, and read the end of its log for why it stopped; app_ap needs nothing meanwhile."}
	s.Services[0] = probes.Service{Name: "app_cp", Mode: service.ModeCP, URL: "http://127.0.0.1:5001",
		Reach: probes.Reach{Contact: probes.Down, Since: since, At: noon, LastUp: since,
			Error: "GET /health: dial tcp 127.0.0.1:5001: connect: connection refused"},
		LatencyHistory: wave(3.1, 0.4)[:291]}
	s.Events = append(s.Events, probes.Event{At: since, Severity: probes.Critical, Kind: "target", Target: "app_cp", Text: "app_cp went down: connection refused"})
	return s
}

func rejoining() *probes.Snapshot {
	s := healthy()
	since := noon.Add(-12 * time.Second)
	s.Severity = probes.Warning
	s.Verdict = probes.Verdict{Situation: "rejoining", Severity: probes.Warning, Since: since, ByDesign: true,
		Sentence: "db_g2 restarted and rejoins: its keys are settled with db_g1 before they are believed. Both services serve.",
		NextStep: "wait: it ends by itself"}
	s.Nodes[1].Rejoin = probes.Read(probes.Rejoining{By: "app_cp",
		Rejoin: service.Rejoin{Active: true, Since: since, Done: 562, Total: 1234}}, noon)
	s.Nodes[1].Staleness = probes.Read(probes.Staleness{Value: 12 * time.Second, Limit: 5 * time.Second, By: "app_ap"}, noon)
	s.Nodes[1].StalenessHistory = rising(since)
	s.Services[0].Status, s.Services[1].Status = "degraded", "degraded"
	s.Services[1].Links[1].Breaker = probes.Read(service.Breaker{Node: service.G2, State: service.BreakerHalfOpen, Since: noon.Add(-2 * time.Second)}, noon)
	s.Services[0].Rate = probes.Read(39.8, noon.Add(-3*time.Second)) // a late one
	return s
}

func nothing() *probes.Snapshot {
	since := noon.Add(-61 * time.Second)
	lost := func(address string) probes.Reach {
		return probes.Reach{Contact: probes.Down, Since: since, At: noon, Error: "dial tcp " + address + ": connect: connection refused"}
	}
	return &probes.Snapshot{At: noon, Started: since, Poll: time.Second, Severity: probes.Critical,
		Verdict: probes.Verdict{Situation: "nothing", Severity: probes.Critical, Since: since,
			Sentence: "Nothing answers: neither app_cp and app_ap nor db_g1 and db_g2. The stack is not running, or this is the wrong host.",
			NextStep: "start the stack, or name its addresses with --cp and --ap"},
		Services: []probes.Service{
			{Name: "app_cp", Mode: service.ModeCP, URL: "http://127.0.0.1:5001", Reach: lost("127.0.0.1:5001")},
			{Name: "app_ap", Mode: service.ModeAP, URL: "http://127.0.0.1:5002", Reach: lost("127.0.0.1:5002")}},
		Nodes: []probes.Node{
			{Name: "db_g1", URL: "redis://127.0.0.1:6379", Reach: lost("127.0.0.1:6379")},
			{Name: "db_g2", URL: "redis://127.0.0.1:6380", Reach: lost("127.0.0.1:6380")}}}
}

// rules are those of the rules file, quiet at noon.
func rules() []alerts.Rule {
	rule := func(name, severity, expr string, held time.Duration, measures ...alerts.Measure) alerts.Rule {
		return alerts.Rule{Group: "captop", Name: name, Expr: expr, For: held, Severity: severity, Runbook: name, EvaluatedAt: noon, Measures: measures,
			Labels: map[string]string{"severity": severity}}
	}
	measure := func(job, node string, value float64, op string, limit float64) alerts.Measure {
		return alerts.Measure{Labels: map[string]string{"job": job, "node": node}, Value: value, Op: op, Limit: limit}
	}
	return []alerts.Rule{
		rule("CircuitBreakerOpen", "critical", "circuit_breaker_state > 0", time.Minute, measure("app_cp", "db_g2", 0, ">", 0)),
		rule("StalenessHigh", "warning", "data_staleness_ms / 1000 > ignoring (node) group_left () app_max_staleness_ms / 1000", 30*time.Second,
			measure("app_ap", "db_g2", 0.003, ">", 5)),
		rule("ErrorRatioHigh", "critical", "rate(app_requests_total{status=~\"5..\"}[1m]) / rate(app_requests_total[1m]) > 0.05", time.Minute,
			measure("app_cp", "", 0, ">", 0.05)),
		rule("LatencyHigh", "warning", "histogram_quantile(0.99, rate(app_request_latency_seconds_bucket[1m])) > 0.5", 2*time.Minute,
			measure("app_cp", "", 0.0031, ">", 0.5)),
		rule("ConnectionFailuresHigh", "warning", "rate(db_connection_failures_total[1m]) / rate(db_connection_attempts_total[1m]) > 0.1", 30*time.Second,
			measure("app_cp", "db_g2", 0, ">", 0.1)),
		rule("TargetDown", "warning", "up{job=~\"app_cp|app_ap\"} == 0", 30*time.Second, measure("app_cp", "", 1, "==", 0)),
	}
}

// alight makes a rule hold for an alert since so long.
func alight(s *probes.Snapshot, rule string, value float64, held time.Duration, labels map[string]string) {
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Name != rule {
			continue
		}
		a := alerts.Alert{Labels: map[string]string{"alertname": rule, "severity": r.Severity}, Value: value, ActiveAt: noon.Add(-held), State: alerts.Pending}
		for name, text := range labels {
			a.Labels[name] = text
		}
		a.FiresAt = a.ActiveAt.Add(r.For)
		if held >= r.For {
			a.State, a.FiredAt, a.FiresAt = alerts.Firing, a.ActiveAt.Add(r.For), time.Time{}
			s.Edges = append(s.Edges, alerts.Edge{At: a.FiredAt, Rule: rule, Severity: r.Severity, Labels: a.Labels, From: alerts.Pending, To: alerts.Firing})
		}
		r.State, r.Alerts = max(r.State, a.State), append(r.Alerts, a)
		r.Measures[0] = alerts.Measure{Labels: labels, Value: value, Op: r.Measures[0].Op, Limit: r.Measures[0].Limit}
	}
	slices.SortStableFunc(s.Rules, func(a, b alerts.Rule) int { return cmp.Compare(b.State, a.State) })
}

// fuses is db_g2 down for a while: alerts fire, one is acknowledged, others are on their way.
func fuses() *probes.Snapshot {
	s := g2Down()
	cp, ap := map[string]string{"job": "app_cp", "node": "db_g2"}, map[string]string{"job": "app_ap", "node": "db_g2"}
	alight(s, "CircuitBreakerOpen", 2, 40*time.Second, cp)
	alight(s, "CircuitBreakerOpen", 2, 40*time.Second, ap)
	alight(s, "StalenessHigh", 41.3, 37*time.Second, ap)
	alight(s, "ConnectionFailuresHigh", 1, 41*time.Second, cp)
	alight(s, "ErrorRatioHigh", 0.48, 28*time.Second, map[string]string{"job": "app_cp"})
	for _, r := range s.Rules {
		if r.Name == "ConnectionFailuresHigh" {
			s.Acks = []probes.Ack{{Labels: r.Alerts[0].Labels, Reason: "db_g2 is being moved", By: "ada", At: noon, Until: noon.Add(time.Hour)}}
		}
	}
	return s
}

// frozen is app_cp down: what was pending about it stands still, for want of samples.
func frozen() *probes.Snapshot {
	s := cpDown()
	for i := range s.Rules {
		if r := &s.Rules[i]; r.Name == "ErrorRatioHigh" {
			r.Measures = nil
			r.Frozen = []alerts.Frozen{{Labels: map[string]string{"alertname": r.Name, "severity": r.Severity, "job": "app_cp"}, Held: 12 * time.Second, Since: noon.Add(-10 * time.Second)}}
		}
	}
	alight(s, "TargetDown", 0, 9*time.Second, map[string]string{"job": "app_cp", "instance": "127.0.0.1:5001"})
	return s
}

// several is a stack with more than one instance of each service, one of which is down.
func several() *probes.Snapshot {
	s := healthy()
	s.Severity = probes.Warning
	since := noon.Add(-95 * time.Second)
	s.Verdict = probes.Verdict{Situation: "instance_down", Severity: probes.Warning, Since: since,
		Sentence: "app_cp-2 at 10.0.0.12:5001 does not answer; the other two instances of app_cp serve.", NextStep: "Start app_cp-2 again."}
	services := s.Services
	s.Services = nil
	for i, name := range []string{"app_cp", "app_cp-2", "app_cp-3"} {
		one := fixtureService(name, service.ModeCP, fmt.Sprintf("http://10.0.0.%d:5001", 11+i), 3.1+float64(i), services[0].Reach)
		if i == 1 {
			one.Reach = probes.Reach{Contact: probes.Down, Since: since, At: noon, LastUp: since, Error: "GET /health: dial tcp 10.0.0.12:5001: connect: connection refused"}
			one.Links, one.Status = nil, ""
			one.Rate, one.Latency, one.ErrorRatio = probes.Reading[float64]{}, probes.Reading[probes.Latency]{}, probes.Reading[float64]{}
		}
		s.Services = append(s.Services, one)
	}
	for i, name := range []string{"app_ap", "app_ap-2"} {
		s.Services = append(s.Services, fixtureService(name, service.ModeAP, fmt.Sprintf("http://10.0.0.%d:5002", 11+i), 1.2, services[1].Reach))
	}
	group := func(mode service.Mode, up int, rate float64, names ...string) probes.Group {
		return probes.Group{Name: "app_" + string(mode), Mode: mode, Instances: names, Up: up, Rate: probes.Read(rate, noon), ErrorRatio: probes.Read(0.0, noon),
			Latency:        probes.Read(probes.Latency{P50: 900 * time.Microsecond, P95: 2 * time.Millisecond, P99: 4 * time.Millisecond}, noon),
			LatencyHistory: wave(4, 0.6), RateHistory: wave(rate, 7)}
	}
	s.Groups = []probes.Group{group(service.ModeCP, 2, 83.4, "app_cp-2", "app_cp-3", "app_cp"), group(service.ModeAP, 2, 83.4, "app_ap", "app_ap-2")}
	s.Events = append(s.Events, probes.Event{At: since, Severity: probes.Critical, Kind: "target", Target: "app_cp-2", Text: "app_cp-2 went down: connection refused"})
	alight(s, "TargetDown", 0, 95*time.Second, map[string]string{"job": "app_cp", "instance": "10.0.0.12:5001"})
	return s
}
