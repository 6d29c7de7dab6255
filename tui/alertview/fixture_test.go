package alertview

import (
	"slices"
	"strings"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/tui/frametest"
)

// noon is the time of all fixtures.
var noon = frametest.Noon

// situations are the states that the screen has to show well.
var situations = map[string]func() *probes.Snapshot{
	"healthy": healthy, "g2_down": g2Down, "handled": handledAll, "gone": gone, "long": long, "empty": empty, "stale": stale,
}

func rule(name, severity, expr string, hold time.Duration, measures ...alerts.Measure) alerts.Rule {
	runbook := strings.ToLower(name)
	return alerts.Rule{Group: "captop", Name: name, Expr: expr, For: hold, Severity: severity, Runbook: runbook,
		Labels: map[string]string{"severity": severity, "runbook": runbook}, EvaluatedAt: noon, Measures: measures}
}

func of(job, node string) map[string]string {
	labels := map[string]string{"job": job, "instance": "127.0.0.1:5002"}
	if job == "app_cp" {
		labels["instance"] = "127.0.0.1:5001"
	}
	if node != "" {
		labels["node"] = node
	}
	return labels
}

func named(r alerts.Rule, labels map[string]string) map[string]string {
	out := map[string]string{"alertname": r.Name, "severity": r.Severity, "runbook": r.Runbook}
	for key, value := range labels {
		out[key] = value
	}
	return out
}

func healthy() *probes.Snapshot {
	return &probes.Snapshot{At: noon, Started: noon.Add(-14 * time.Minute), Poll: time.Second, Severity: probes.OK,
		Rules: []alerts.Rule{
			rule("CircuitBreakerOpen", "critical", "circuit_breaker_state > 0", time.Minute,
				alerts.Measure{Labels: of("app_cp", "db_g1"), Value: 0, Op: ">", Limit: 0},
				alerts.Measure{Labels: of("app_ap", "db_g2"), Value: 0, Op: ">", Limit: 0}),
			rule("CircuitBreakerChanged", "warning", "changes(circuit_breaker_state[5m]) > 0 and min_over_time(circuit_breaker_state[5m]) == 0", 0,
				alerts.Measure{Labels: of("app_cp", "db_g1"), Value: 0, Op: ">", Limit: 0}),
			rule("StalenessHigh", "warning", "data_staleness_ms / 1000 > ignoring (node) group_left () app_max_staleness_ms / 1000", 30*time.Second,
				alerts.Measure{Labels: of("app_ap", "db_g2"), Value: 0.003, Op: ">", Limit: 5}),
			rule("ErrorRatioHigh", "critical", `sum without (operation, status) (rate(app_requests_total{status=~"5.."}[1m])) / sum without (operation, status) (rate(app_requests_total[1m])) > 0.05`, time.Minute,
				alerts.Measure{Labels: of("app_cp", ""), Value: 0.004, Op: ">", Limit: 0.05}),
			rule("LatencyHigh", "warning", "histogram_quantile(0.99, sum without (operation) (rate(app_request_latency_seconds_bucket[1m]))) > 0.5", 2*time.Minute,
				alerts.Measure{Labels: of("app_cp", ""), Value: 0.0031, Op: ">", Limit: 0.5}),
			rule("ServiceDown", "critical", `max without (instance) (up{job=~"app_cp|app_ap"}) == 0`, 30*time.Second,
				alerts.Measure{Labels: map[string]string{"job": "app_cp"}, Value: 1, Op: "==", Limit: 0}),
			rule("NothingWatched", "critical", `absent(up{job=~"app_cp|app_ap"})`, time.Minute),
			rule("BackupTooOld", "warning", "time() - max without (job, instance) (last_over_time(captop_backup_last_verified_timestamp_seconds[10m])) > 300", 0),
			rule("QueueGrowing", "warning", "min_over_time(replication_queue_depth[1m]) > max_over_time(replication_queue_depth[1m] offset 4m)", 2*time.Minute,
				alerts.Measure{Labels: of("app_ap", "db_g2"), Value: 0, Op: ">", Limit: 0}),
		}}
}

func g2Down() *probes.Snapshot {
	s := healthy()
	since := noon.Add(-72 * time.Second)
	breaker, staleness, errors, latency := &s.Rules[0], &s.Rules[2], &s.Rules[3], &s.Rules[4]
	for i, job := range []string{"app_cp", "app_ap"} {
		breaker.Alerts = append(breaker.Alerts, alerts.Alert{Labels: named(*breaker, of(job, "db_g2")), State: alerts.Firing, Value: float64(2 - i),
			ActiveAt: since, FiredAt: since.Add(time.Minute), Summary: job + " has given up on db_g2",
			Description: "The breaker of " + job + " before db_g2 has not been CLOSED for 1 minute; it is OPEN."})
		breaker.Measures = append([]alerts.Measure{{Labels: of(job, "db_g2"), Value: 2, Op: ">", Limit: 0}}, breaker.Measures...)
	}
	staleness.Alerts = []alerts.Alert{{Labels: named(*staleness, of("app_ap", "db_g2")), State: alerts.Firing, Value: 71.2,
		ActiveAt: since.Add(5 * time.Second), FiredAt: since.Add(35 * time.Second), Summary: "db_g2 is further behind than app_ap allows",
		Description: "db_g2 is up to 1m 11s behind, says app_ap at 127.0.0.1:5002; MAX_STALENESS_MS allows 5s."}}
	staleness.Measures[0].Value = 71.2
	errors.Alerts = []alerts.Alert{{Labels: named(*errors, of("app_cp", "")), State: alerts.Pending, Value: 0.48,
		ActiveAt: noon.Add(-22 * time.Second), FiresAt: noon.Add(38 * time.Second), Summary: "app_cp refuses 48% of its requests"}}
	errors.Measures[0].Value = 0.48
	latency.Alerts = []alerts.Alert{{Labels: named(*latency, of("app_cp", "")), Value: 0.7, ActiveAt: noon.Add(-9 * time.Minute),
		FiredAt: noon.Add(-7 * time.Minute), ResolvedAt: noon.Add(-5 * time.Minute), Summary: "app_cp is slow: p99 700ms"}}
	s.Severity = probes.Critical
	for _, r := range []alerts.Rule{*latency, *staleness, *breaker, *errors} {
		for _, a := range r.Alerts {
			add := func(at time.Time, from, to alerts.State) {
				if !at.IsZero() {
					s.Edges = append(s.Edges, alerts.Edge{At: at, Rule: r.Name, Severity: r.Severity, Runbook: r.Runbook, Labels: a.Labels, From: from, To: to, Value: a.Value, Summary: a.Summary})
				}
			}
			add(a.ActiveAt, alerts.Inactive, alerts.Pending)
			add(a.FiredAt, alerts.Pending, alerts.Firing)
			add(a.ResolvedAt, alerts.Firing, alerts.Inactive)
		}
	}
	slices.SortStableFunc(s.Edges, func(a, b alerts.Edge) int { return a.At.Compare(b.At) })
	return s
}

// handledAll is db_g2 down with somebody on it: acknowledged, silenced, and an alert that only Alertmanager holds.
func handledAll() *probes.Snapshot {
	s := g2Down()
	first, second := s.Rules[0].Alerts[0].Labels, s.Rules[0].Alerts[1].Labels
	s.Acks = []probes.Ack{{Labels: first, Reason: "restarting the host, hands off", By: "bob", At: noon.Add(-time.Minute), Until: noon.Add(59 * time.Minute)}}
	s.Alertmanager = &probes.Alertmanager{URL: "http://am:9093", At: noon.Add(-2 * time.Second), Reach: probes.Reach{Contact: probes.Up, At: noon},
		Silences: []probes.Silence{{ID: "5b0c", State: "active", CreatedBy: "alice", Comment: "known: the disk is being exchanged",
			StartsAt: noon.Add(-time.Minute), EndsAt: noon.Add(3 * time.Hour),
			Matchers: []probes.Matcher{{Name: "alertname", Value: "CircuitBreaker.*", IsRegex: true, IsEqual: true}, {Name: "job", Value: "app_ap", IsEqual: true}}}},
		Alerts: []probes.HeldAlert{{Labels: first, State: "active", StartsAt: noon.Add(-12 * time.Second), Receivers: []string{"pager"}},
			{Labels: second, State: "suppressed", StartsAt: noon.Add(-12 * time.Second), SilencedBy: []string{"5b0c"}},
			{Labels: map[string]string{"alertname": "DiskFull", "severity": "critical", "host": "db2"}, State: "active", StartsAt: noon.Add(-time.Hour), Receivers: []string{"pager"}}}}
	return s
}

// gone is a scrape gap: a fuse that stands, an alert that ended for want of samples, a rule that cannot be evaluated.
func gone() *probes.Snapshot {
	s := g2Down()
	s.Rules[3].Frozen = []alerts.Frozen{{Labels: named(s.Rules[3], of("app_cp", "")), Held: 22 * time.Second, Since: noon.Add(-19 * time.Second)}}
	s.Rules[3].Alerts, s.Rules[3].Measures = nil, nil
	s.Rules[4].Alerts[0].Lost = true
	s.Rules[5].Error = "evaluating: vector cannot contain metrics with the same labelset"
	s.RulesError = "/etc/captop/rules.yml:17:7: could not parse expression: 1:9: parse error: unexpected end of input"
	s.Alertmanager = &probes.Alertmanager{URL: "http://am:9093", Reach: probes.Reach{Contact: probes.Down, Since: noon.Add(-5 * time.Minute), At: noon,
		Error: "dial tcp 10.0.0.9:9093: connect: connection refused"}}
	return s
}

func long() *probes.Snapshot {
	s := g2Down()
	labels := s.Rules[2].Alerts[0].Labels
	labels["a_label_with_quite_a_long_name"] = strings.Repeat("and a value that goes on and on, ", 20)
	labels["wide"] = strings.Repeat("漢字", 60)
	labels["hostile"] = "\x1b[2J\x1b]0;owned\x07\nnew line\u202e"
	s.Rules[2].Name = strings.Repeat("StalenessOfTheSecondNodeIsHigh", 8)
	s.Rules[2].Alerts[0].Description = strings.Repeat("word ", 400)
	s.Acks = []probes.Ack{{Labels: labels, Reason: strings.Repeat("because ", 60), By: "\x1b[31mx", Until: noon.Add(time.Hour)}}
	for i := range 490 {
		s.Edges = append(s.Edges, alerts.Edge{At: noon.Add(time.Duration(i-490) * time.Second), Rule: "Flapping", Labels: of("app_ap", "db_g1"), From: alerts.State(i % 2), To: alerts.State((i + 1) % 2)})
	}
	return s
}

func empty() *probes.Snapshot {
	return &probes.Snapshot{At: noon, Started: noon.Add(-time.Minute), Poll: time.Second}
}

// stale is what captop saw before it was blind.
func stale() *probes.Snapshot {
	s := g2Down()
	s.At = noon.Add(-30 * time.Second)
	return s
}
