package alerts

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// describe expands the annotations that are shown, for the sample at which the alert's expression holds.
func (r *alertingRule) describe(e *Engine, a *alert, s promql.Sample, at time.Time) {
	a.summary = r.expand(e, r.annotations["summary"], s, at)
	a.description = r.expand(e, r.annotations["description"], s, at)
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
