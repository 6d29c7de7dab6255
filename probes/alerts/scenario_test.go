package alerts

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// outcome is what became of one scrape.
type outcome int

const (
	answered  outcome = iota
	missed            // nobody asked: captop, or Prometheus, was not running
	failed            // nobody answered
	garbled           // the page does not parse
	forgotten         // the target is gone from discovery; it may come back
)

// scrape is what came of one scrape of one target.
type scrape struct {
	outcome outcome
	page    map[string]float64 // by the series as the page writes it: name or name{label="value"}
}

// scenario is a story told in scrapes: what each target answered at each step, from time 0 on.
type scenario struct {
	name    string
	rules   string // a file
	step    time.Duration
	job     string
	targets map[string][]scrape // by instance
}

func (s scenario) steps() int {
	longest := 0
	for _, scrapes := range s.targets {
		longest = max(longest, len(scrapes))
	}
	return longest
}

// instances are the targets in the order in which they are scraped.
func (s scenario) instances() []string { return slices.Sorted(maps.Keys(s.targets)) }

// at is the time of a step.
func (s scenario) at(step int) time.Time { return time.Unix(0, 0).Add(time.Duration(step) * s.step) }

// text writes the page as a target does.
func (s scrape) text() string {
	if s.outcome == garbled {
		return "fine 1\nthis is {not a metric\n"
	}
	var page strings.Builder
	for _, series := range slices.Sorted(maps.Keys(s.page)) {
		fmt.Fprintf(&page, "%s %s\n", series, number(s.page[series]))
	}
	return page.String()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// play tells the story to an engine, and calls after for each step with the edges that it brought.
func (s scenario) play(t *testing.T, e *Engine, after func(step int, edges []Edge)) {
	t.Helper()
	for step := range s.steps() {
		at := s.at(step)
		for _, instance := range s.instances() {
			if step >= len(s.targets[instance]) {
				continue
			}
			scraped, of := s.targets[instance][step], map[string]string{"job": s.job, "instance": instance}
			switch scraped.outcome {
			case answered:
				if err := e.Ingest(of, scraped.text(), at, nil); err != nil {
					t.Fatalf("step %d: %v", step, err)
				}
			case garbled:
				if err := e.Ingest(of, scraped.text(), at, nil); err == nil {
					t.Fatalf("step %d: a page that does not parse was taken", step)
				}
			case failed:
				e.Lost(of, at)
			case forgotten:
				e.Forget(of, at)
			}
		}
		after(step, e.Evaluate(at))
	}
}

// inputSeries is a series in promtool's notation.
type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// input writes the story in promtool's notation: what a Prometheus would have stored.
func (s scenario) input() []inputSeries {
	var all []inputSeries
	for _, instance := range s.instances() {
		scrapes := s.targets[instance]
		names := map[string]bool{}
		for _, scraped := range scrapes {
			for series := range scraped.page {
				names[series] = true
			}
		}
		for _, series := range slices.Sorted(maps.Keys(names)) {
			all = append(all, inputSeries{s.qualified(series, instance), notation(scrapes, func(scraped scrape) (float64, bool) {
				v, ok := scraped.page[series]
				return v, ok && scraped.outcome == answered
			})})
		}
		all = append(all, inputSeries{s.qualified("up", instance), notation(scrapes, func(scraped scrape) (float64, bool) {
			if scraped.outcome == answered {
				return 1, true
			}
			return 0, scraped.outcome != forgotten
		})})
	}
	return all
}

// notation writes the values of one series: a number, _ for no sample, stale where it ends.
func notation(scrapes []scrape, value func(scrape) (float64, bool)) string {
	var values []string
	there := false
	for _, scraped := range scrapes {
		v, ok := value(scraped)
		switch {
		case scraped.outcome == missed:
			values = append(values, "_")
			continue
		case ok:
			values = append(values, number(v))
		case there:
			values = append(values, "stale")
		default:
			values = append(values, "_")
		}
		there = ok
	}
	return strings.Join(values, " ")
}

// qualified puts the target's labels on a series.
func (s scenario) qualified(series, instance string) string {
	name, rest, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	if rest != "" {
		rest += ","
	}
	return fmt.Sprintf("%s{%sinstance=%q,job=%q}", name, rest, instance, s.job)
}

// Parts of a promtool test file.
type (
	promtoolFile struct {
		RuleFiles          []string       `yaml:"rule_files"`
		EvaluationInterval string         `yaml:"evaluation_interval"`
		GroupEvalOrder     []string       `yaml:"group_eval_order"`
		FuzzyCompare       bool           `yaml:"fuzzy_compare"`
		Tests              []promtoolTest `yaml:"tests"`
	}
	promtoolTest struct {
		Interval        string          `yaml:"interval"`
		Name            string          `yaml:"name"`
		InputSeries     []inputSeries   `yaml:"input_series"`
		AlertRuleTests  []alertRuleTest `yaml:"alert_rule_test"`
		PromqlExprTests []exprTest      `yaml:"promql_expr_test"`
	}
	alertRuleTest struct {
		EvalTime  string          `yaml:"eval_time"`
		Alertname string          `yaml:"alertname"`
		ExpAlerts []expectedAlert `yaml:"exp_alerts"`
	}
	expectedAlert struct {
		ExpLabels      map[string]string `yaml:"exp_labels"`
		ExpAnnotations map[string]string `yaml:"exp_annotations"`
	}
	exprTest struct {
		Expr       string           `yaml:"expr"`
		EvalTime   string           `yaml:"eval_time"`
		ExpSamples []expectedSample `yaml:"exp_samples"`
	}
	expectedSample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
)

// expect adds what captop found at a step to what promtool has to find.
func (p *promtoolTest) expect(t *testing.T, e *Engine, rules *Rules, at time.Time) {
	t.Helper()
	when := span(time.Duration(at.UnixNano()))
	alerts, since := []expectedSample{}, []expectedSample{}
	firing, late := map[string][]expectedAlert{}, lateRules(rules)
	for _, rule := range e.Rules() {
		if rule.Error != "" {
			t.Fatalf("at %s: rule %s: %s", when, rule.Name, rule.Error)
		}
		firing[rule.Name] = append(firing[rule.Name], []expectedAlert{}...)
		for _, alert := range rule.Alerts {
			if alert.State == Inactive {
				continue
			}
			of := maps.Clone(alert.Labels)
			if !late[rule.Name] {
				of["__name__"] = "ALERTS_FOR_STATE"
				since = append(since, expectedSample{selectorOf(of), float64(alert.ActiveAt.Unix())})
				of["__name__"], of["alertstate"] = "ALERTS", alert.State.String()
				alerts = append(alerts, expectedSample{selectorOf(of), 1})
			}
			if alert.State == Firing {
				expanded := map[string]string{}
				for name := range rule.Annotations {
					expanded[name] = map[string]string{"summary": alert.Summary, "description": alert.Description}[name]
				}
				delete(of, "__name__")
				delete(of, "alertstate")
				firing[rule.Name] = append(firing[rule.Name], expectedAlert{of, expanded})
			}
		}
	}
	for name, alerts := range firing {
		p.AlertRuleTests = append(p.AlertRuleTests, alertRuleTest{when, name, alerts})
	}
	others := fmt.Sprintf("{alertname!~%q}", strings.Join(slices.Sorted(maps.Keys(late)), "|"))
	p.PromqlExprTests = append(p.PromqlExprTests, exprTest{"ALERTS" + others, when, alerts},
		exprTest{"ALERTS_FOR_STATE" + others, when, since})
	for _, group := range rules.groups {
		for _, rule := range group.rules {
			if rule.record && group.offset == 0 {
				// promtool finds no NaN equal to another, so these are counted.
				for _, expr := range []string{fmt.Sprintf("%[1]s == %[1]s", rule.name), fmt.Sprintf("count(%s)", rule.name)} {
					p.PromqlExprTests = append(p.PromqlExprTests, exprTest{expr, when, ask(t, e, expr, at)})
				}
			}
		}
	}
}

// lateRules are those of groups with a query_offset. Their series stand at an earlier time than that of the evaluation, so
// promtool, which asks when all is over, sees there what was written later.
func lateRules(rules *Rules) map[string]bool {
	late := map[string]bool{}
	for _, group := range rules.groups {
		for _, rule := range group.rules {
			if group.offset > 0 {
				late[rule.name] = true
			}
		}
	}
	return late
}

// ask gives what captop answers to a query, as promtool may be told to expect it.
func ask(t *testing.T, e *Engine, expr string, at time.Time) []expectedSample {
	t.Helper()
	found, err := e.Query(t.Context(), expr, at)
	if err != nil {
		t.Fatal(err)
	}
	expected := []expectedSample{}
	for _, sample := range found {
		expected = append(expected, expectedSample{selectorOf(sample.Labels), sample.Value})
	}
	return expected
}

// selectorOf writes labels as PromQL does.
func selectorOf(of map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		if name != "__name__" {
			pairs = append(pairs, fmt.Sprintf("%s=%q", name, of[name]))
		}
	}
	return of["__name__"] + "{" + strings.Join(pairs, ",") + "}"
}

// compare plays the story to captop's engine and has promtool check that Prometheus comes to the same at every step. It
// gives the steps that each alert was in each state, so that callers can tell a story in which nothing happens.
func (s scenario) compare(t *testing.T) map[string]map[State]int {
	t.Helper()
	path, err := filepath.Abs(s.rules)
	if err != nil {
		t.Fatal(err)
	}
	rules := loadRules(t, path)
	e, err := New(rules, Options{Step: s.step})
	if err != nil {
		t.Fatal(err)
	}
	file := promtoolFile{RuleFiles: []string{path}, EvaluationInterval: span(s.step)}
	for _, group := range rules.groups {
		file.GroupEvalOrder = append(file.GroupEvalOrder, group.name)
	}
	test, seen := promtoolTest{Interval: span(s.step), Name: s.name, InputSeries: s.input()}, map[string]map[State]int{}
	s.play(t, e, func(step int, _ []Edge) {
		test.expect(t, e, rules, s.at(step))
		for _, rule := range e.Rules() {
			if seen[rule.Name] == nil {
				seen[rule.Name] = map[State]int{}
			}
			for _, alert := range rule.Alerts {
				seen[rule.Name][alert.State]++
			}
		}
	})
	file.Tests = []promtoolTest{test}
	output, err := runPromtool(t, file)
	if err != nil {
		t.Errorf("Prometheus comes to something else (its exp is captop's): %v\n%s", err, clip(differences(output), 4000))
	}
	return seen
}

func runPromtool(t *testing.T, file promtoolFile) (string, error) {
	t.Helper()
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(promtool(t), "test", "rules", path).CombinedOutput()
	return string(output), err
}

func loadRules(t testing.TB, path string) *Rules {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := Parse(filepath.Base(path), text)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// differences leaves of promtool's report what is on one side only.
func differences(report string) string {
	var short []string
	var expected []string
	for line := range strings.Lines(report) {
		indented := strings.TrimSpace(line)
		samples, isExpected := strings.CutPrefix(indented, "exp: ")
		if isExpected {
			expected = strings.SplitAfter(samples, "E+")
			continue
		}
		samples, isGot := strings.CutPrefix(indented, "got: ")
		if !isGot {
			short = append(short, indented)
			continue
		}
		got := strings.SplitAfter(samples, "E+")
		for _, sample := range expected {
			if !slices.Contains(got, sample) {
				short = append(short, "captop only: "+sample)
			}
		}
		for _, sample := range got {
			if !slices.Contains(expected, sample) {
				short = append(short, "Prometheus only: "+sample)
			}
		}
	}
	return strings.Join(short, "\n")
}

func clip(text string, limit int) string {
	if len(text) > limit {
		return text[:limit] + "\n…"
	}
	return text
}
