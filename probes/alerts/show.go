package alerts

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// describedAtOnce is how many alerts of a rule have their annotations expanded in one evaluation; a template takes as
// long as a small query. Where there are more they take turns, but for those whose state changed.
const describedAtOnce = 20

// describe expands the annotations that are shown, for alerts whose expression holds.
func (r *alertingRule) describe(e *Engine, holding []*alert, was map[labels.Labels]moment, at time.Time) {
	r.turn = (r.turn + describedAtOnce) % max(1, len(holding))
	for i, a := range holding {
		distance := (i - r.turn + len(holding)) % len(holding)
		before := was[a.labels]
		if changed := before.alert != a || before.state != a.state; !changed && (distance >= describedAtOnce || r.described(a)) {
			continue
		}
		a.summary = r.expand(e, r.annotations["summary"], a.sample, at)
		a.description = r.expand(e, r.annotations["description"], a.sample, at)
		sample := a.sample
		a.described = &sample
	}
}

// described says whether expanding the annotations again would give the same.
func (r *alertingRule) described(a *alert) bool {
	if a.described == nil || r.asksOfTheMoment {
		return false
	}
	return math.Float64bits(a.described.F) == math.Float64bits(a.sample.F) && labels.Equal(a.described.Metric, a.sample.Metric)
}

// asksOfTheMoment says whether templates give something else each time, even for the same sample.
func asksOfTheMoment(annotations map[string]string) bool {
	for _, text := range annotations {
		if strings.Contains(text, "query") || strings.Contains(text, "now") {
			return true
		}
	}
	return false
}

// show gives the rule as it is now.
func (r *alertingRule) show(g *group) Rule {
	shown := Rule{
		Group: g.name, Name: r.name, Expr: strings.TrimSpace(r.expr), For: r.hold, KeepFiringFor: r.keep,
		Severity: r.labels.Get("severity"), Runbook: r.labels.Get("runbook"), Labels: withoutName(r.labels),
		Annotations: r.annotations, EvaluatedAt: r.at, Measures: r.measures,
	}
	if r.err != nil {
		shown.Error = r.err.Error()
	}
	for _, of := range r.sorted() {
		shown.Alerts = append(shown.Alerts, r.active[of].shown(r.hold))
	}
	slices.SortStableFunc(shown.Alerts, func(a, b Alert) int {
		return cmp.Or(cmp.Compare(b.State, a.State), a.ActiveAt.Compare(b.ActiveAt))
	})
	if len(shown.Alerts) > 0 {
		shown.State = shown.Alerts[0].State
	}
	for _, f := range r.frozen {
		shown.Frozen = append(shown.Frozen, f.Frozen)
	}
	slices.SortFunc(shown.Frozen, func(a, b Frozen) int { return compareMaps(a.Labels, b.Labels) })
	return shown
}

// shown gives an alert as it is now.
func (a *alert) shown(hold time.Duration) Alert {
	shown := Alert{
		Labels: a.show(), State: a.state, Value: a.value, ActiveAt: a.activeAt, FiredAt: a.firedAt, KeptSince: a.keptSince,
		ResolvedAt: a.resolvedAt, Lost: a.state == Inactive && a.lost, Summary: a.summary, Description: a.description,
	}
	if a.state == Pending {
		shown.FiresAt = a.activeAt.Add(hold)
	}
	return shown
}

// compareMaps orders labels.
func compareMaps(a, b map[string]string) int {
	return labels.Compare(labels.FromMap(a), labels.FromMap(b))
}
