package alerts

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// values makes the pages of a target that exposes one gauge beside its limit and its state: one per value, NaN for a page
// without the gauge.
func values(node string, all ...float64) []scrape {
	var scrapes []scrape
	for _, v := range all {
		page := map[string]float64{"limit": 6, "state": 0}
		if !math.IsNaN(v) {
			page[fmt.Sprintf("value{node=%q}", node)] = v
		}
		scrapes = append(scrapes, scrape{page: page})
	}
	return scrapes
}

// times repeats one value.
func times(n int, v float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// join puts stories one after the other.
func join(parts ...[]scrape) []scrape {
	var all []scrape
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// without is n scrapes that brought nothing.
func without(n int, why outcome) []scrape {
	all := make([]scrape, n)
	for i := range all {
		all[i].outcome = why
	}
	return all
}

// counters makes the pages of a target that counts requests and their latencies. Each of the steps says how many good,
// bad and slow requests came since the last; a negative good is a restart.
func counters(steps ...[3]float64) []scrape {
	var scrapes []scrape
	var good, bad, slow float64
	for _, step := range steps {
		if step[0] < 0 {
			good, bad, slow = 0, 0, 0
		} else {
			good, bad, slow = good+step[0], bad+step[1], slow+step[2]
		}
		scrapes = append(scrapes, scrape{page: map[string]float64{
			`requests_total{status="200"}`: good, `requests_total{status="503"}`: bad,
			`latency_seconds_bucket{le="0.1"}`: good, `latency_seconds_bucket{le="0.5"}`: good + bad,
			`latency_seconds_bucket{le="1.0"}`: good + bad + slow, `latency_seconds_bucket{le="+Inf"}`: good + bad + slow,
		}})
	}
	return scrapes
}

// each repeats one step of counters.
func each(n int, good, bad, slow float64) [][3]float64 {
	all := make([][3]float64, n)
	for i := range all {
		all[i] = [3]float64{good, bad, slow}
	}
	return all
}

func steps(parts ...[][3]float64) [][3]float64 {
	var all [][3]float64
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

// states makes the pages of a target with a state that changes.
func states(all ...float64) []scrape {
	var scrapes []scrape
	for _, v := range all {
		scrapes = append(scrapes, scrape{page: map[string]float64{"state": v, `value{node="db_g1"}`: 7}})
	}
	return scrapes
}

// scenarios are the stories that everybody who is on call knows.
func scenarios() []scenario {
	high, low, gone := 8.0, 3.0, math.NaN()
	one := func(parts ...[]scrape) map[string][]scrape { return map[string][]scrape{"a": join(parts...)} }
	all := []scenario{
		{name: "quiet", targets: one(values("db_g2", times(20, low)...))},
		{name: "pending, then over", targets: one(values("db_g2", times(3, low)...), values("db_g2", times(4, high)...),
			values("db_g2", times(20, low)...))},
		{name: "firing, then over", targets: one(values("db_g2", times(3, low)...), values("db_g2", times(20, high)...),
			values("db_g2", times(20, low)...))},
		{name: "exactly as long as for", targets: one(values("db_g2", times(2, low)...), values("db_g2", times(6, high)...),
			values("db_g2", times(9, low)...))},
		{name: "one step short of for", targets: one(values("db_g2", times(2, low)...), values("db_g2", times(5, high)...),
			values("db_g2", times(9, low)...))},
		{name: "from the first scrape on", targets: one(values("db_g2", times(40, high)...))},
		{name: "flapping each step", targets: one(values("db_g2", high, low, high, low, high, low, high, low, high, low, high, low,
			high, low, high, low, high, low, high, low, high, low, high, low, high, low))},
		{name: "flapping slower than keep_firing_for", targets: one(values("db_g2", times(6, high)...), values("db_g2", times(8, low)...),
			values("db_g2", times(6, high)...), values("db_g2", times(8, low)...), values("db_g2", times(6, high)...),
			values("db_g2", times(3, low)...), values("db_g2", times(6, high)...), values("db_g2", times(20, low)...))},
		{name: "the value moves while it fires", targets: one(values("db_g2", 6, 7, 8, 9, 10, 11, 12, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4))},
		{name: "exactly at the limit", targets: one(values("db_g2", 5, 5, 5, 6, 6, 6, 5, 5, 2, 2, 2, 1, 1, 1, 1, 2, 2))},
		{name: "infinities", targets: one(values("db_g2", math.Inf(1), math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1),
			math.Inf(-1), 3, 3))},
		{name: "absent from the start", targets: one(values("db_g1", times(20, low)...))},
		{name: "absent in between", targets: one(values("db_g2", times(5, low)...), values("db_g2", times(15, gone)...),
			values("db_g2", times(10, low)...))},
		{name: "the series goes while it is pending", targets: one(values("db_g2", times(3, high)...), values("db_g2", times(6, gone)...),
			values("db_g2", times(10, high)...))},
		{name: "the series goes while it fires", targets: one(values("db_g2", times(9, high)...), values("db_g2", times(6, gone)...),
			values("db_g2", times(10, high)...))},
		{name: "another series takes its place", targets: one(values("db_g2", times(9, high)...), values("db_g1", times(9, high)...),
			values("db_g2", times(9, high)...))},
		{name: "nothing ever answers", targets: one(without(20, failed))},
		{name: "two targets, one fails", targets: map[string][]scrape{
			"a": values("db_g2", times(30, high)...),
			"b": join(values("db_g2", times(8, high)...), without(12, failed), values("db_g2", times(10, high)...))}},
		{name: "two targets fail one after the other", targets: map[string][]scrape{
			"a": join(values("db_g2", times(5, low)...), without(20, failed), values("db_g2", times(8, low)...)),
			"b": join(values("db_g2", times(9, low)...), without(12, failed), values("db_g2", times(12, low)...))}},
		{name: "many targets, some high", targets: map[string][]scrape{
			"a": values("db_g1", times(25, high)...), "b": values("db_g2", times(25, low)...),
			"c": join(values("db_g2", times(9, low)...), values("db_g2", times(16, 20)...)),
			"d": join(values("db_g1", times(12, 20)...), values("db_g1", times(13, low)...))}},
		{name: "a page that does not parse", targets: one(values("db_g2", times(8, high)...), without(1, garbled),
			values("db_g2", times(8, high)...), without(4, garbled), values("db_g2", times(8, high)...))},
		{name: "forgotten and found again", targets: one(values("db_g2", times(8, high)...), without(9, forgotten),
			values("db_g2", times(9, high)...))},
		{name: "an empty page", targets: one(values("db_g2", times(8, high)...), make([]scrape, 5), values("db_g2", times(8, high)...))},
		{name: "errors and none", targets: one(counters(steps(each(15, 10, 0, 0), each(15, 10, 2, 0), each(20, 10, 0, 0))...))},
		{name: "slow and quick", targets: one(counters(steps(each(15, 10, 0, 0), each(15, 10, 0, 3), each(20, 10, 0, 0))...))},
		{name: "nobody asks", targets: one(counters(steps(each(15, 10, 1, 1), each(25, 0, 0, 0), each(15, 10, 0, 0))...))},
		{name: "restarts", targets: one(counters(steps(each(12, 10, 1, 0), each(1, -1, 0, 0), each(8, 10, 0, 0), each(1, -1, 0, 0),
			each(1, -1, 0, 0), each(25, 10, 1, 0))...))},
		{name: "errors over a restart and a failure", targets: map[string][]scrape{
			"a": join(counters(steps(each(12, 10, 2, 0))...), without(6, failed), counters(steps(each(20, 10, 2, 1))...)),
			"b": counters(steps(each(38, 5, 0, 0))...)}},
		{name: "a state that changes", targets: one(states(0, 0, 0, 2, 2, 2, 2, 1, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2))},
	}
	for _, why := range []outcome{missed, failed, forgotten} {
		for _, n := range []int{1, 3, 30} {
			name := fmt.Sprintf("a gap of %d scrapes that were %s", n, [...]string{"", "missed", "failed", "", "forgotten"}[why])
			all = append(all,
				scenario{name: name + ", pending", targets: one(values("db_g2", times(3, high)...), without(n, why),
					values("db_g2", times(12, high)...))},
				scenario{name: name + ", firing", targets: one(values("db_g2", times(9, high)...), without(n, why),
					values("db_g2", times(12, high)...))},
				scenario{name: name + ", over after it", targets: one(values("db_g2", times(4, high)...), without(n, why),
					values("db_g2", times(12, low)...))},
				scenario{name: name + ", counting", targets: one(counters(each(15, 10, 2, 1)...), without(n, why),
					counters(each(15, 10, 2, 0)...))})
		}
	}
	all = append(all, scenario{name: "a gap longer than a sample is taken for", step: 5 * time.Second,
		targets: one(values("db_g2", times(9, high)...), without(70, missed), values("db_g2", times(12, high)...))})
	for i := range all {
		all[i].rules, all[i].job = "testdata/parity.yml", "app"
		if all[i].step == 0 {
			all[i].step = time.Second
		}
	}
	return all
}

// TestAlertsAreAsInPrometheus compares captop's engine with promtool of the same version, at every step of every story.
func TestAlertsAreAsInPrometheus(t *testing.T) {
	seen := map[string]map[State]int{}
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			for rule, states := range s.compare(t) {
				if seen[rule] == nil {
					seen[rule] = map[State]int{}
				}
				for state, n := range states {
					seen[rule][state] += n
				}
			}
		})
	}
	for rule, states := range seen {
		if states[Firing] == 0 {
			t.Errorf("%s fires in none of the stories: that proves little", rule)
		}
	}
}

// TestShippedAlertsAreAsInPrometheus does the same with the rules that captop brings along, in one long bad day.
func TestShippedAlertsAreAsInPrometheus(t *testing.T) {
	s := scenario{name: "a bad day", rules: "../../deploy/prometheus/alerts.yml", step: 5 * time.Second, job: "app_cp",
		targets: map[string][]scrape{"10.0.0.1:5001": badDay()}}
	for rule, states := range s.compare(t) {
		if states[Firing] == 0 {
			t.Errorf("%s does not fire on the bad day: let something happen in badDay for which it does", rule)
		}
		if states[Inactive] == 0 && rule != "BackupTooOld" {
			t.Errorf("%s is not over at the end of the bad day", rule)
		}
	}
}

// badDay is all that can go wrong, then all well again, then nobody there, then nobody asked.
func badDay() []scrape {
	var scrapes []scrape
	var good, bad, slow, contacts, failures, queue float64
	well := func(n int, wrong bool) {
		for range n {
			breaker, staleness, rejoin := 0.0, 800.0, 0.0
			good, contacts = good+50, contacts+20
			if wrong {
				breaker, staleness, rejoin = float64(1+len(scrapes)%2), 90_000, 1
				bad, slow, failures, queue = bad+10, slow+5, failures+8, queue+3
			} else {
				queue = max(0, queue-30)
			}
			page := map[string]float64{
				`app_max_staleness_ms{mode="cp"}`:                                               15_000,
				`app_requests_total{mode="cp",operation="read",status="200"}`:                   good,
				`app_requests_total{mode="cp",operation="write",status="503"}`:                  bad,
				`app_request_latency_seconds_bucket{mode="cp",operation="read",le="0.1"}`:       good,
				`app_request_latency_seconds_bucket{mode="cp",operation="read",le="0.5"}`:       good + bad,
				`app_request_latency_seconds_bucket{mode="cp",operation="read",le="1.0"}`:       good + bad + slow,
				`app_request_latency_seconds_bucket{mode="cp",operation="read",le="+Inf"}`:      good + bad + slow,
				`circuit_breaker_state{mode="cp",node="db_g1"}`:                                 0,
				`circuit_breaker_state{mode="cp",node="db_g2"}`:                                 breaker,
				`data_staleness_ms{mode="cp",node="db_g1"}`:                                     0,
				`data_staleness_ms{mode="cp",node="db_g2"}`:                                     staleness,
				`db_connection_attempts_total{mode="cp",node="db_g2"}`:                          contacts,
				`db_connection_failures_total{mode="cp",node="db_g2"}`:                          failures,
				`replication_queue_depth{mode="cp",node="db_g2"}`:                               queue,
				`rejoin_active{mode="cp",node="db_g2"}`:                                         rejoin,
				`captop_backup_last_verified_timestamp_seconds{node="db_g2",exporter="keeper"}`: 60,
			}
			scrapes = append(scrapes, scrape{page: page})
		}
	}
	well(30, false)
	well(75, true)
	well(75, false)
	scrapes = append(scrapes, without(10, failed)...)
	well(3, false)
	scrapes = append(scrapes, without(16, forgotten)...)
	well(6, false)
	return scrapes
}

// TestErrorsAreAsInPrometheus: what Prometheus cannot evaluate, captop says it cannot, at the same step.
func TestErrorsAreAsInPrometheus(t *testing.T) {
	page := map[string]float64{`value{node="1"}`: 6, `value{node="2"}`: 6, `other{node="1"}`: 1, `other{node="2"}`: 1}
	for name, rule := range map[string]string{
		"many to many":                "{alert: A, expr: 'value > on (job) other'}",
		"many to one":                 "{alert: A, expr: 'value + on (job) sum by (job) (value) > 0'}",
		"the same labels":             "{alert: A, expr: 'value > 5', labels: {node: ''}}",
		"the same labels by template": "{alert: A, expr: 'value > 5', labels: {node: '{{ $labels.job }}'}}",
		"the same recorded labels":    "{record: a, expr: 'value', labels: {node: ''}}",
		"names that fall away":        "{alert: A, expr: '{__name__=~\"value|other\"} > 0'}",
		"a limit":                     "{alert: A, expr: 'value > 5'}\n  limit: 1",
		"a limit of recorded series":  "{record: a, expr: 'value'}\n  limit: 1",
		"fine":                        "{alert: A, expr: 'value > 5'}",
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte("groups:\n- name: g\n  rules:\n  - " + rule + "\n")
			rules, err := Parse("rules.yml", text)
			if err != nil {
				t.Fatal(err)
			}
			e, err := New(rules, Options{})
			if err != nil {
				t.Fatal(err)
			}
			s := scenario{name: name, step: time.Second, job: "app", targets: map[string][]scrape{"a": {{page: page}}}}
			s.play(t, e, func(int, []Edge) {})
			found, err := e.Query(t.Context(), "a or ALERTS", time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			broken := len(found) == 0 // for each of the expressions holds, where it can be evaluated
			path := filepath.Join(t.TempDir(), "rules.yml")
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			// Something has to be asked, for promtool to evaluate anything.
			asked := []exprTest{{"vector(1)", "0s", []expectedSample{{"{}", 1}}}}
			output, err := runPromtool(t, promtoolFile{RuleFiles: []string{path}, EvaluationInterval: "1s",
				Tests: []promtoolTest{{Interval: "1s", InputSeries: s.input(), PromqlExprTests: asked}}})
			if (err != nil) != broken {
				t.Errorf("captop fails: %t; promtool: %v\n%s", broken, err, output)
			}
		})
	}
}
