package alerts

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var start = time.Unix(1_800_000_000, 0)

// after is n seconds after the start.
func after(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }

var here = map[string]string{"job": "app", "instance": "a"}

// engineWith makes an engine with one group of rules.
func engineWith(t testing.TB, rules string) *Engine {
	t.Helper()
	e, err := New(parse(t, rules), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// parse reads the rules of one group, g.
func parse(t testing.TB, rules string) *Rules {
	t.Helper()
	parsed, err := Parse("rules.yml", []byte("groups: [{name: g, rules: ["+rules+"]}]"))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func ingest(t testing.TB, e *Engine, page string, second int) {
	t.Helper()
	if err := e.Ingest(here, page, after(second), nil); err != nil {
		t.Fatal(err)
	}
}

// told writes edges in short: rule, from, to.
func told(edges []Edge) string {
	var all []string
	for _, edge := range edges {
		all = append(all, fmt.Sprintf("%s %s>%s", edge.Rule, edge.From, edge.To))
	}
	return strings.Join(all, ", ")
}

const high = "{alert: High, expr: 'x > 5', for: 10s, labels: {severity: warning, runbook: high}, annotations: {summary: 'x is {{ $value }}'}}"

func TestEdgesTellWhatChanged(t *testing.T) {
	e := engineWith(t, high+", {alert: AtOnce, expr: 'x > 7'}")
	x := func(second int) int {
		switch {
		case second == 5:
			return 8
		case second >= 1 && second < 20, second >= 25 && second < 28:
			return 6
		}
		return 3
	}
	var got []string
	for second := range 40 {
		ingest(t, e, fmt.Sprintf("x %d\n", x(second)), second)
		for _, edge := range e.Evaluate(after(second)) {
			got = append(got, fmt.Sprintf("%d %s", second, told([]Edge{edge})))
			if edge.Rule == "High" && second == 11 {
				want := Edge{At: after(11), Rule: "High", Severity: "warning", Runbook: "high", From: Pending, To: Firing, Value: 6,
					Summary: "x is 6", Labels: map[string]string{"alertname": "High", "job": "app", "instance": "a", "severity": "warning", "runbook": "high"}}
				if !reflect.DeepEqual(edge, want) {
					t.Errorf("got  %+v\nwant %+v", edge, want)
				}
			}
		}
	}
	want := []string{"1 High inactive>pending", "5 AtOnce inactive>firing", "6 AtOnce firing>inactive", "11 High pending>firing",
		"20 High firing>inactive", "25 High inactive>pending", "28 High pending>inactive"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestRulesShowTheFuse(t *testing.T) {
	e := engineWith(t, "{alert: Quiet, expr: 'x > 100'}, "+high)
	ingest(t, e, "x 3\n", 0)
	e.Evaluate(after(0))
	rules := e.Rules()
	if rules[0].Name != "Quiet" || rules[1].State != Inactive || len(rules[1].Alerts) != 0 {
		t.Fatalf("%+v", rules)
	}
	measure := []Measure{{Labels: here, Value: 3, Op: ">", Limit: 5}}
	if !reflect.DeepEqual(rules[1].Measures, measure) {
		t.Errorf("an inactive rule measures %+v", rules[1].Measures)
	}
	for second := 1; second <= 4; second++ {
		ingest(t, e, "x 6\n", second)
		e.Evaluate(after(second))
	}
	rule := e.Rules()[0]
	if rule.Name != "High" || rule.State != Pending || rule.For != 10*time.Second || rule.Severity != "warning" || rule.Runbook != "high" ||
		rule.Group != "g" || !rule.EvaluatedAt.Equal(after(4)) {
		t.Fatalf("what is pending does not come first, as it is: %+v", rule)
	}
	alert := rule.Alerts[0]
	if !alert.ActiveAt.Equal(after(1)) || !alert.FiresAt.Equal(after(11)) || alert.Value != 6 || alert.Summary != "x is 6" {
		t.Errorf("%+v", alert)
	}
	for second := 5; second <= 12; second++ {
		ingest(t, e, "x 7\n", second)
		e.Evaluate(after(second))
	}
	alert = e.Rules()[0].Alerts[0]
	if alert.State != Firing || !alert.FiredAt.Equal(after(11)) || !alert.FiresAt.IsZero() || alert.Summary != "x is 7" {
		t.Errorf("%+v", alert)
	}
	if rules[1].State != Inactive || len(rules[1].Alerts) != 0 {
		t.Error("what was handed out before has changed")
	}
}

// TestResolvedAlertsStayForAWhile: a quarter of an hour, as in Prometheus, and then they are gone.
func TestResolvedAlertsStayForAWhile(t *testing.T) {
	e := engineWith(t, "{alert: High, expr: 'x > 5'}")
	ingest(t, e, "x 6\n", 0)
	e.Evaluate(after(0))
	for second := 1; second <= 1000; second++ {
		ingest(t, e, "x 3\n", second)
		e.Evaluate(after(second))
		rule := e.Rules()[0]
		if second <= 901 {
			if len(rule.Alerts) != 1 || rule.Alerts[0].State != Inactive || !rule.Alerts[0].ResolvedAt.Equal(after(1)) ||
				rule.Alerts[0].Lost || rule.State != Inactive {
				t.Fatalf("after %d s: %+v", second, rule)
			}
		} else if len(rule.Alerts) != 0 {
			t.Fatalf("after %d s: %+v", second, rule.Alerts)
		}
	}
}

// TestTheWorstAlertComesFirst: firing, pending, then what is over; of the same state, the oldest.
func TestTheWorstAlertComesFirst(t *testing.T) {
	e := engineWith(t, "{alert: High, expr: 'x > 5', for: 5s}")
	from := map[string][2]int{"a": {0, 7}, "b": {9, 99}, "c": {1, 99}, "d": {8, 99}, "e": {2, 99}}
	for second := range 12 {
		var page strings.Builder
		for _, n := range []string{"a", "b", "c", "d", "e"} {
			value := 3
			if second >= from[n][0] && second < from[n][1] {
				value = 6
			}
			fmt.Fprintf(&page, "x{n=%q} %d\n", n, value)
		}
		ingest(t, e, page.String(), second)
		e.Evaluate(after(second))
	}
	var got string
	for _, alert := range e.Rules()[0].Alerts {
		got += fmt.Sprintf("%s %s, ", alert.Labels["n"], alert.State)
	}
	if want := "c firing, e firing, d pending, b pending, a inactive, "; got != want {
		t.Errorf("%s and not %s", got, want)
	}
}

// TestAGapFreezesTheFuse: what was pending when its samples ended is not taken for over.
func TestAGapFreezesTheFuse(t *testing.T) {
	ratio := "{alert: Ratio, expr: 'rate(bad[5s]) / rate(all[5s]) > 0.1', for: 1m}"
	for _, test := range []struct {
		name, rule string
		page       func(second int) string
		gap        func(e *Engine, second int)
		freezes    int // seconds after the gap's begin until it is frozen; -1: never
	}{
		{"the target is lost", high, func(int) string { return "x 6\n" },
			func(e *Engine, second int) { e.Lost(here, after(second)) }, 0},
		{"the series is gone from the page", high, func(int) string { return "x 6\n" },
			func(e *Engine, second int) { _ = e.Ingest(here, "y 1\n", after(second), nil) }, 0},
		{"the page is broken", high, func(int) string { return "x 6\n" },
			func(e *Engine, second int) { _ = e.Ingest(here, "x six\n", after(second), nil) }, 0},
		{"the expression is false", high, func(int) string { return "x 6\n" },
			func(e *Engine, second int) { _ = e.Ingest(here, "x 2\n", after(second), nil) }, -1},
		{"a ratio over time", ratio, func(second int) string { return fmt.Sprintf("bad %d\nall %d\n", second, 2*second) },
			func(e *Engine, second int) { e.Lost(here, after(second)) }, 3},
		{"a sum", "{alert: Sum, expr: 'sum by (job) (x) > 5', for: 1m}", func(int) string { return "x 6\n" },
			func(e *Engine, second int) { e.Lost(here, after(second)) }, 0},
		{"a condition that is no more", "{alert: And, expr: 'x > 5 and on () y == 1', for: 1m}", func(int) string { return "x 6\ny 1\n" },
			func(e *Engine, second int) { _ = e.Ingest(here, "x 6\ny 2\n", after(second), nil) }, -1},
		{"absence that is over", "{alert: Absent, expr: 'absent(y)', for: 1m}", func(int) string { return "x 6\n" },
			func(e *Engine, second int) { _ = e.Ingest(here, "y 1\n", after(second), nil) }, -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := engineWith(t, test.rule)
			for second := 1; second <= 7; second++ {
				ingest(t, e, test.page(second), second)
				e.Evaluate(after(second))
			}
			if rule := e.Rules()[0]; rule.State != Pending || len(rule.Frozen) != 0 {
				t.Fatalf("before the gap: %+v", rule)
			}
			for second := range 8 {
				test.gap(e, 8+second)
				e.Evaluate(after(8 + second))
				rule := e.Rules()[0]
				want := 0
				if test.freezes >= 0 && second >= test.freezes {
					want = 1
				}
				if len(rule.Frozen) != want {
					t.Fatalf("%d s into the gap: %+v", second, rule)
				}
				if want == 0 {
					continue
				}
				frozen := rule.Frozen[0]
				if frozen.Labels["alertname"] != rule.Name || !frozen.Since.Equal(after(7+test.freezes)) ||
					frozen.Held > time.Duration(6+test.freezes)*time.Second || frozen.Held < 4*time.Second {
					t.Errorf("%+v", frozen)
				}
			}
			for second := 20; second < 30; second++ {
				ingest(t, e, test.page(second), second)
				e.Evaluate(after(second))
			}
			if rule := e.Rules()[0]; test.freezes >= 0 && (len(rule.Frozen) != 0 || rule.State != Pending) {
				t.Errorf("after the gap: %+v", rule)
			}
		})
	}
}

// TestALostAlertIsNotWell: an alert that fired when its samples ended is resolved, as in Prometheus, and says why.
func TestALostAlertIsNotWell(t *testing.T) {
	e := engineWith(t, "{alert: High, expr: 'x > 5'}")
	ingest(t, e, "x 6\n", 0)
	e.Evaluate(after(0))
	e.Lost(here, after(1))
	if edges := e.Evaluate(after(1)); len(edges) != 1 || !edges[0].Lost {
		t.Errorf("%+v", edges)
	}
	if alert := e.Rules()[0].Alerts[0]; alert.State != Inactive || !alert.Lost {
		t.Errorf("%+v", alert)
	}
}

func TestMeasures(t *testing.T) {
	page := "x{node=\"1\"} 4\nx{node=\"2\"} 7\nlimit{node=\"1\"} 8\nlimit{node=\"2\"} 9\nbound 6\nnone 0\n"
	of := func(node string) map[string]string {
		return map[string]string{"job": "app", "instance": "a", "node": node}
	}
	for expr, want := range map[string][]Measure{
		"x > 5":                                  {{of("2"), 7, ">", 5}, {of("1"), 4, ">", 5}},
		"((x) >= (5))":                           {{of("2"), 7, ">=", 5}, {of("1"), 4, ">=", 5}},
		"x < 5":                                  {{of("1"), 4, "<", 5}, {of("2"), 7, "<", 5}},
		"5 < x":                                  {{of("2"), 7, ">", 5}, {of("1"), 4, ">", 5}},
		"x == 4":                                 {{of("1"), 4, "==", 4}, {of("2"), 7, "==", 4}},
		"x != 4":                                 {{of("2"), 7, "!=", 4}, {of("1"), 4, "!=", 4}},
		"x > 2 * 2":                              {{of("2"), 7, ">", 4}, {of("1"), 4, ">", 4}},
		"x > 5 and up == 1":                      {{of("2"), 7, ">", 5}, {of("1"), 4, ">", 5}},
		"(x > 5) unless on (node) limit":         {{of("2"), 7, ">", 5}, {of("1"), 4, ">", 5}},
		"x > limit":                              {{of("2"), 7, ">", 9}, {of("1"), 4, ">", 8}},
		"x > on (node) limit":                    {{map[string]string{"node": "2"}, 7, ">", 9}, {map[string]string{"node": "1"}, 4, ">", 8}},
		"x > ignoring (node) group_left bound":   {{of("2"), 7, ">", 6}, {of("1"), 4, ">", 6}},
		"bound < ignoring (node) group_right x":  {{of("1"), 6, "<", 4}, {of("2"), 6, "<", 7}},
		"sum without (node) (x) > bound":         {{here, 11, ">", 6}},
		"x > on (instance) group_left () absent": nil,
		"absent(nothing)":                        nil,
		"x > bool 5":                             nil,
		"x":                                      nil,
		"none / none > 1":                        {{here, math.NaN(), ">", 1}},
	} {
		e := engineWith(t, fmt.Sprintf("{alert: A, expr: %q}", expr))
		ingest(t, e, page, 0)
		e.Evaluate(after(0))
		rule := e.Rules()[0]
		if rule.Error != "" {
			t.Errorf("%s: %s", expr, rule.Error)
		}
		if strings.Contains(expr, "group_right") {
			// The far one first: 6 is not below 4, and it is below 7.
			want = []Measure{want[1], want[0]}
		}
		if got := rule.Measures; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s measures\n%+v and not\n%+v", expr, got, want)
		}
	}
}

// TestOnlyTheNearestAreMeasured: of many series those are shown that are closest to firing.
func TestOnlyTheNearestAreMeasured(t *testing.T) {
	e := engineWith(t, "{alert: A, expr: 'x > 50'}")
	var page strings.Builder
	for i := range 100 {
		fmt.Fprintf(&page, "x{n=\"%d\"} %d\n", i, i)
	}
	ingest(t, e, page.String(), 0)
	e.Evaluate(after(0))
	measures := e.Rules()[0].Measures
	if len(measures) != maxMeasures || measures[0].Value != 99 || measures[maxMeasures-1].Value != 80 {
		t.Errorf("%d measures: %+v", len(measures), measures)
	}
}

func TestSwapKeepsTheAlertsOfRulesThatStay(t *testing.T) {
	e := engineWith(t, high+", {alert: Leaves, expr: 'x > 5'}, {record: sum, expr: 'sum(x)'}")
	for second := range 5 {
		ingest(t, e, "x 6\n", second)
		e.Evaluate(after(second))
	}
	// Another limit and another annotation are the same rule; other labels are another.
	next := strings.Replace(strings.Replace(high, "x > 5", "x > 4", 1), "x is", "x was", 1)
	if err := e.Swap(parse(t, "{alert: New, expr: 'x > 2'}, "+next)); err != nil {
		t.Fatal(err)
	}
	if rules := e.Rules(); len(rules) != 2 || rules[0].Name != "High" || rules[0].State != Pending {
		t.Fatalf("right after the swap: %+v", rules)
	}
	ingest(t, e, "x 6\n", 5)
	if edges := told(e.Evaluate(after(5))); edges != "New inactive>firing" {
		t.Errorf("the swap changed alerts: %s", edges)
	}
	if alert := e.Rules()[1].Alerts[0]; !alert.ActiveAt.Equal(after(0)) || alert.Summary != "x was 6" {
		t.Errorf("%+v", alert)
	}
	for _, gone := range []string{"sum", `ALERTS{alertname="Leaves"}`, `ALERTS_FOR_STATE{alertname="Leaves"}`} {
		if found, err := e.Query(t.Context(), gone, after(5)); err != nil || len(found) != 0 {
			t.Errorf("%s is still there: %v, %v", gone, found, err)
		}
	}
	if err := e.Swap(parse(t, "{alert: Far, expr: 'rate(x[1h]) > 0'}")); err == nil || len(e.Rules()) != 2 {
		t.Errorf("a swap that is refused: %v, and then %d rules", err, len(e.Rules()))
	}
}

// TestErrorsLeaveAlertsAsTheyAre: an evaluation that fails changes nothing but the error, except for a limit, which
// drops the alerts of its rule, as in Prometheus.
func TestErrorsLeaveAlertsAsTheyAre(t *testing.T) {
	rules, err := Parse("rules.yml", []byte(`
groups:
- name: g
  limit: 2
  rules:
  - {alert: Divided, expr: 'x / on (job) y > 5'}
  - {alert: Hidden, expr: 'x > 5', labels: {n: ""}}
  - {alert: Limited, expr: 'x > 5'}
  - {record: hidden, expr: 'x', labels: {n: ""}}
  - {record: limited, expr: 'x > 5'}
`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		found := map[string]string{}
		for _, rule := range e.Rules() {
			found[rule.Name] = fmt.Sprintf("%s %t", rule.State, rule.Error != "")
		}
		return fmt.Sprint(found)
	}
	for second, step := range []struct{ page, want string }{
		{"x{n=\"1\"} 6\ny 1\n", "map[Divided:firing false Hidden:firing false Limited:firing false]"},
		{"x{n=\"1\"} 6\nx{n=\"2\"} 6\ny 1\n", "map[Divided:firing true Hidden:firing true Limited:firing false]"},
		{"x{n=\"1\"} 6\nx{n=\"2\"} 6\nx{n=\"3\"} 6\ny 1\n", "map[Divided:firing true Hidden:firing true Limited:inactive true]"},
		{"x{n=\"1\"} 6\ny 1\n", "map[Divided:firing false Hidden:firing false Limited:firing false]"},
		{"x{n=\"1\"} 3\ny 1\n", "map[Divided:inactive false Hidden:inactive false Limited:inactive false]"},
	} {
		ingest(t, e, step.page, second)
		e.Evaluate(after(second))
		if got := state(); got != step.want {
			t.Errorf("step %d: %s and not %s", second, got, step.want)
		}
	}
}

// TestABrokenRecordingRuleShows: an alert that reads what a recording rule no longer writes is not simply quiet.
func TestABrokenRecordingRuleShows(t *testing.T) {
	e := engineWith(t, "{record: sum, expr: 'x + on (job) y'}, {alert: A, expr: 'sum > 5'}, {alert: B, expr: 'x > 5'}")
	ingest(t, e, "x 1\ny 1\n", 0)
	e.Evaluate(after(0))
	if rules := e.Rules(); rules[0].Error != "" || rules[1].Error != "" {
		t.Fatalf("%+v", rules)
	}
	ingest(t, e, "x{n=\"1\"} 1\nx{n=\"2\"} 2\ny 1\n", 1)
	e.Evaluate(after(1))
	rules := e.Rules()
	if !strings.HasPrefix(rules[0].Error, "it reads sum, and that recording rule fails: multiple matches for labels") || rules[1].Error != "" {
		t.Errorf("%q, %q", rules[0].Error, rules[1].Error)
	}
}

func TestGroupsAreEvaluatedWhenTheyAreDue(t *testing.T) {
	rules, err := Parse("rules.yml", []byte(`
groups:
- {name: always, rules: [{alert: Always, expr: 'x'}]}
- {name: slow, interval: 10s, rules: [{alert: Slow, expr: 'x'}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(rules, Options{})
	if err != nil {
		t.Fatal(err)
	}
	evaluated := func(at time.Time) string {
		e.Evaluate(at)
		var names string
		for _, rule := range e.Rules() {
			if rule.EvaluatedAt.Equal(at) {
				names += rule.Name + " "
			}
		}
		return names
	}
	for _, step := range []struct {
		second int
		want   string
	}{{0, "Always Slow "}, {1, "Always "}, {9, "Always "}, {10, "Always Slow "}, {11, "Always "}, {23, "Always Slow "},
		{29, "Always "}, {30, "Always Slow "}, {1000, "Always Slow "}, {1001, "Always "}, {500, "Always Slow "}, {505, "Always "},
		{510, "Always Slow "}} {
		if got := evaluated(after(step.second)); got != step.want {
			t.Errorf("at %d s: %s and not %s", step.second, got, step.want)
		}
	}
}

// TestTheSameCallsGiveTheSame: a recording that is replayed shows what was shown.
func TestTheSameCallsGiveTheSame(t *testing.T) {
	play := func() string {
		e, err := New(loadRules(t, "testdata/parity.yml"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var all []any
		randomStory(7).play(t, e, func(_ int, edges []Edge) { all = append(all, edges, withoutNaN(e.Rules())) })
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := play()
	for range 3 {
		if play() != first {
			t.Fatal("the same calls gave something else")
		}
	}
}

// withoutNaN leaves out what JSON cannot hold.
func withoutNaN(rules []Rule) []Rule {
	var all []Rule
	for _, rule := range rules {
		var measures []Measure
		for _, m := range rule.Measures {
			if !math.IsNaN(m.Value) && !math.IsInf(m.Value, 0) && !math.IsNaN(m.Limit) {
				measures = append(measures, m)
			}
		}
		rule.Measures = measures
		all = append(all, rule)
	}
	return all
}

// TestAClockThatIsSetBack: what fires fires on, what held is held, and what is shown is what is there now.
func TestAClockThatIsSetBack(t *testing.T) {
	e := engineWith(t, "{alert: Fires, expr: 'x > 5', for: 10s}, {alert: Held, expr: 'x > 5', for: 30s}, {record: r, expr: 'x + 1'}")
	for second := range 20 {
		ingest(t, e, "x 6\n", second)
		e.Evaluate(after(second))
	}
	for second := -3600; second < -3585; second++ {
		ingest(t, e, "x 7\n", second)
		edges := told(e.Evaluate(after(second)))
		if want := map[int]string{-3589: "Held pending>firing"}[second]; edges != want {
			t.Errorf("at %d s: %q and not %q", second, edges, want)
		}
		found, err := e.Query(t.Context(), "r", after(second))
		if err != nil || len(found) != 1 || found[0].Value != 8 {
			t.Fatalf("at %d s: %v, %v", second, found, err)
		}
	}
}

// TestTimesInAnyOrder bring nothing down.
func TestTimesInAnyOrder(t *testing.T) {
	e := engineWith(t, high+", {record: r, expr: 'rate(x[1m])'}")
	for _, second := range []int{100, 101, 102, 50, 51, 0, -5000, 103, 104, 5000, 105} {
		ingest(t, e, "x 6\n", second)
		e.Lost(map[string]string{"instance": "b"}, after(second-1))
		e.Set("own", nil, 1, after(second-10))
		e.Evaluate(after(second))
		if _, err := e.Query(t.Context(), "x or ALERTS or r", after(second)); err != nil {
			t.Error(err)
		}
	}
}

func TestQuery(t *testing.T) {
	e := engineWith(t, "")
	ingest(t, e, "x{n=\"1\"} 6\nx{n=\"2\"} 2\n", 0)
	ingest(t, e, "x{n=\"1\"} 8\nx{n=\"2\"} 2\n", 10)
	one := map[string]string{"__name__": "x", "job": "app", "instance": "a", "n": "1"}
	for expr, want := range map[string][]Sample{
		"x > 5":                        {{Labels: one, Value: 8, At: after(10)}},
		"x > 50":                       {},
		"1 + 1":                        {{Value: 2, At: after(10), Labels: map[string]string{}}},
		"sum(x)":                       {{Value: 10, At: after(10), Labels: map[string]string{}}},
		"sum(x) > bool 3":              {{Value: 1, At: after(10), Labels: map[string]string{}}},
		`x{n=~"1|3"} offset 5s`:        {{Labels: one, Value: 6, At: after(10)}},
		`{__name__=~"x|y", n!="2"}`:    {{Labels: one, Value: 8, At: after(10)}},
		`min_over_time(x{n="1"}[20s])`: {{Value: 6, At: after(10), Labels: map[string]string{"job": "app", "instance": "a", "n": "1"}}},
	} {
		got, err := e.Query(t.Context(), expr, after(10))
		if err != nil || len(got) != len(want) || len(got) > 0 && (!reflect.DeepEqual(got[0].Labels, want[0].Labels) ||
			math.Abs(got[0].Value-want[0].Value) > 1e-9 || !got[0].At.Equal(want[0].At)) {
			t.Errorf("%s gives %v (%v), and not %v", expr, got, err, want)
		}
	}
	for expr, want := range map[string]string{
		"x >":      `evaluating "x >": 1:4: parse error: unexpected end of input`,
		"x[1m]":    `evaluating "x[1m]": it gives a range vector, not one value for each series`,
		`"words"`:  `evaluating "\"words\"": it gives a string, not one value for each series`,
		"nosuch()": `evaluating "nosuch()": 1:1: parse error: unknown function with name "nosuch"`,
	} {
		if _, err := e.Query(t.Context(), expr, after(10)); err == nil || err.Error() != want {
			t.Errorf("%s: %v", expr, err)
		}
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := e.Query(stopped, "x", after(10)); err == nil {
		t.Error("a query that was given up gave an answer")
	}
}

// TestQueriesRunWhileSamplesAreAdded is for the race detector.
func TestQueriesRunWhileSamplesAreAdded(t *testing.T) {
	rules := parse(t, high+", {record: r, expr: 'rate(x[1m])'}, {alert: B, expr: 'ALERTS == 1'}")
	e, err := New(rules, Options{Keep: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for _, expr := range []string{"sum(rate(x[1m]))", `{__name__=~".+"}`, "max_over_time(x[10m])", `x{n="3"}`, "count(r) + count(ALERTS)"} {
		readers.Go(func() {
			for second := 0; ; second++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := e.Query(context.Background(), expr, after(second%800)); err != nil {
					t.Error(err)
					return
				}
				e.Rules()
			}
		})
	}
	for second := range 700 {
		var page strings.Builder
		for n := range 4 {
			fmt.Fprintf(&page, "x{n=\"%d\"} %d\n", n+second/700, second%9)
		}
		ingest(t, e, page.String(), second)
		e.Evaluate(after(second))
	}
	close(done)
	readers.Wait()
}
