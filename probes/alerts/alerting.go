package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"
)

// resolvedFor is how long a resolved alert is remembered, as in Prometheus.
const resolvedFor = 15 * time.Minute

// alertingRule turns what its expression gives into alerts.
type alertingRule struct {
	*ruleText
	compare *comparison // nil where the expression is none
	reads   []selector  // the series that it is about
	names   []string    // of all metrics that it reads

	active   map[labels.Labels]*alert // pending, firing and resolved
	frozen   map[labels.Labels]frozen
	before   map[labels.Labels]struct{}
	measures []Measure
	at       time.Time // of the last evaluation
	err      error
	turn     int // whose annotations are expanded next, where there are many

	asksOfTheMoment bool // the annotations
}

// alert is one alert of a rule.
type alert struct {
	labels labels.Labels
	named  map[string]string // the same, to be shown
	source labels.Labels     // of the sample, without the metric's name
	sample promql.Sample     // the last for which the expression held
	// described is the sample for which the annotations were expanded; nil where there is none, or they are of other rules.
	described *promql.Sample
	state     State
	value     float64
	lost      bool

	activeAt, firedAt, keptSince, resolvedAt time.Time
	seen                                     time.Time // the last evaluation at which the expression held

	summary, description string
}

// frozen is a fuse that stands, with the labels of the sample that it waits for.
type frozen struct {
	Frozen
	source labels.Labels
}

// moment is an alert with the state that it had.
type moment struct {
	*alert
	state State
}

func newAlertingRule(text *ruleText) *alertingRule {
	return &alertingRule{
		ruleText: text, compare: findComparison(text.expr), reads: findSelectors(text.expr), names: metricNames(text.expr),
		asksOfTheMoment: asksOfTheMoment(text.annotations),
		active:          map[labels.Labels]*alert{}, frozen: map[labels.Labels]frozen{},
	}
}

func (r *alertingRule) text() *ruleText                         { return r.ruleText }
func (r *alertingRule) written() map[labels.Labels]struct{}     { return r.before }
func (r *alertingRule) wrote(series map[labels.Labels]struct{}) { r.before = series }

// inherit takes over the alerts of the rule that this one replaces.
func (r *alertingRule) inherit(from *alertingRule) {
	r.active, r.frozen, r.at = from.active, from.frozen, from.at
	for _, a := range r.active {
		a.described = nil
	}
}

var errTwice = errors.New("two alerts have the same labels: labels of the rule hide what tells them apart")

func (r *alertingRule) evaluate(e *Engine, g *group, at time.Time) ([]promql.Sample, []Edge, error) {
	r.at = at
	samples, edges, err := r.step(e, g, at)
	r.err = err
	return samples, edges, err
}

// step is one evaluation: it asks, then moves every alert on.
func (r *alertingRule) step(e *Engine, g *group, at time.Time) ([]promql.Sample, []Edge, error) {
	found, err := r.ask(e, at.Add(-g.offset))
	if err != nil {
		return nil, nil, err
	}
	holding, err := r.holding(e, found, at)
	if err != nil {
		return nil, nil, err
	}
	was := r.states()
	for of, now := range holding {
		known, ok := r.active[of]
		if !ok || known.state == Inactive {
			r.active[of], known = now, now
		}
		known.value, known.seen, known.source, known.sample = now.value, at, now.source, now.sample
	}
	count := 0
	var current []*alert
	var samples []promql.Sample
	for _, of := range r.sorted() {
		a := r.active[of]
		_, holds := holding[of]
		if !r.move(e.store, g, a, holds, at) {
			continue
		}
		count++
		if holds {
			current = append(current, a)
		}
		samples = append(samples, r.series(a, at.Add(-g.offset))...)
	}
	if g.limit > 0 && count > g.limit {
		clear(r.active)
		err, samples = fmt.Errorf("%d alerts, and the group's limit is %d", count, g.limit), nil
	}
	r.thaw(e.store, g, at)
	r.describe(e, current, was, at)
	return samples, r.edges(was, at), err
}

// holding gives an alert for each sample of the expression.
// It has no annotations yet.
func (r *alertingRule) holding(e *Engine, found promql.Vector, at time.Time) (map[labels.Labels]*alert, error) {
	made := make(map[labels.Labels]*alert, len(found))
	builder := labels.NewBuilder(labels.EmptyLabels())
	for _, s := range found {
		builder.Reset(s.Metric)
		builder.Del(model.MetricNameLabel)
		source := builder.Labels()
		r.labels.Range(func(l labels.Label) { builder.Set(l.Name, r.expand(e, l.Value, s, at)) })
		builder.Set(labels.AlertName, r.name)
		of := builder.Labels()
		if _, twice := made[of]; twice {
			return nil, errTwice
		}
		made[of] = &alert{labels: of, source: source, sample: s, state: Pending, value: s.F, activeAt: at, seen: at}
	}
	return made, nil
}

// move takes an alert on to where it belongs, and says whether it is pending or firing.
func (r *alertingRule) move(s *store, g *group, a *alert, holds bool, at time.Time) bool {
	if holds {
		a.keptSince = time.Time{}
	} else if !r.kept(a, at) {
		r.end(s, g, a, at)
		return false
	}
	switch held := at.Sub(a.activeAt); {
	case a.state == Pending && held >= r.hold:
		a.state, a.firedAt = Firing, at
	case a.state == Firing && held < r.hold: // other rules, with a longer for
		a.state, a.firedAt, a.keptSince = Pending, time.Time{}, time.Time{}
	}
	return true
}

// kept says whether an alert whose expression does not hold any more fires on by keep_firing_for.
func (r *alertingRule) kept(a *alert, at time.Time) bool {
	if a.state != Firing || r.keep <= 0 {
		return false
	}
	if a.keptSince.IsZero() {
		a.keptSince = at
	}
	return at.Sub(a.keptSince) < r.keep
}

// end resolves an alert, or forgets it.
func (r *alertingRule) end(s *store, g *group, a *alert, at time.Time) {
	if a.state == Pending || (!a.resolvedAt.IsZero() && at.Sub(a.resolvedAt) > resolvedFor) {
		delete(r.active, a.labels)
	}
	if a.state == Inactive {
		return
	}
	a.lost = r.missing(s, a.source, a.seen.Add(-g.offset))
	if a.state == Pending && a.lost {
		held := Frozen{Labels: withoutName(a.labels), Held: a.seen.Sub(a.activeAt), Since: a.seen}
		r.frozen[a.labels] = frozen{held, a.source}
	}
	a.state, a.resolvedAt = Inactive, at
}

// thaw lets go of what is frozen and need not be: its samples are back, or it was too long ago.
func (r *alertingRule) thaw(s *store, g *group, at time.Time) {
	for of, f := range r.frozen {
		a, known := r.active[of]
		back := known && a.state != Inactive
		if back || at.Sub(f.Since) > resolvedFor || !r.missing(s, f.source, f.Since.Add(-g.offset)) {
			delete(r.frozen, of)
		}
	}
}

// series are the series that tell other rules of an alert.
func (r *alertingRule) series(a *alert, at time.Time) []promql.Sample {
	builder := labels.NewBuilder(r.labels)
	a.labels.Range(func(l labels.Label) { builder.Set(l.Name, l.Value) })
	builder.Set(model.MetricNameLabel, "ALERTS_FOR_STATE").Set(labels.AlertName, r.name)
	forState := builder.Labels()
	builder.Set(model.MetricNameLabel, "ALERTS").Set("alertstate", a.state.String())
	t := at.UnixMilli()
	return []promql.Sample{
		{Metric: builder.Labels(), T: t, F: 1},
		{Metric: forState, T: t, F: float64(a.activeAt.Unix())},
	}
}

// states remembers the alerts as they are.
func (r *alertingRule) states() map[labels.Labels]moment {
	was := make(map[labels.Labels]moment, len(r.active))
	for of, a := range r.active {
		was[of] = moment{a, a.state}
	}
	return was
}

// edges are the changes since then.
func (r *alertingRule) edges(was map[labels.Labels]moment, at time.Time) []Edge {
	var edges []Edge
	add := func(a *alert, from, to State) {
		if from != to {
			edges = append(edges, Edge{At: at, Rule: r.name, Severity: a.labels.Get("severity"), Runbook: a.labels.Get("runbook"),
				Labels: a.show(), From: from, To: to, Value: a.value, Lost: to == Inactive && a.lost, Summary: a.summary})
		}
	}
	for of, before := range was {
		if _, still := r.active[of]; !still {
			add(before.alert, before.state, Inactive)
		}
	}
	for of, a := range r.active {
		add(a, was[of].state, a.state)
	}
	slices.SortFunc(edges, func(a, b Edge) int { return compareMaps(a.Labels, b.Labels) })
	return edges
}

func (r *alertingRule) sorted() []labels.Labels {
	all := make([]labels.Labels, 0, len(r.active))
	for of := range r.active {
		all = append(all, of)
	}
	slices.SortFunc(all, labels.Compare)
	return all
}

// show gives the labels as a map, always the same one.
func (a *alert) show() map[string]string {
	if a.named == nil {
		a.named = withoutName(a.labels)
	}
	return a.named
}

// templateVariables are what Prometheus lets templates say in place of .Labels and so on.
const templateVariables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// expand expands a template of the rule for a sample.
func (r *alertingRule) expand(e *Engine, text string, s promql.Sample, at time.Time) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	data := template.AlertTemplateData(s.Metric.Map(), map[string]string{}, "", s)
	expander := template.NewTemplateExpander(context.Background(), templateVariables+text, "__alert_"+r.name, data,
		model.Time(at.UnixMilli()), e.vector, e.url, nil)
	expanded, err := expander.Expand()
	if err != nil {
		return fmt.Sprintf("<error expanding template: %s>", err)
	}
	return expanded
}
