package alerts

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// recordingRule writes what its expression gives as series of its own name.
type recordingRule struct {
	*ruleText
	before map[labels.Labels]struct{}
	err    error // of the last evaluation
}

func (r *recordingRule) text() *ruleText                         { return r.ruleText }
func (r *recordingRule) written() map[labels.Labels]struct{}     { return r.before }
func (r *recordingRule) wrote(series map[labels.Labels]struct{}) { r.before = series }

func (r *recordingRule) evaluate(e *Engine, g *group, at time.Time) ([]promql.Sample, []Edge, error) {
	var found promql.Vector
	found, r.err = r.record(e, g, at)
	return found, nil, r.err
}

func (r *recordingRule) record(e *Engine, g *group, at time.Time) (promql.Vector, error) {
	found, err := e.vector(context.Background(), r.expr, at.Add(-g.offset))
	if err != nil {
		return nil, err
	}
	builder := labels.NewBuilder(labels.EmptyLabels())
	seen := make(map[labels.Labels]struct{}, len(found))
	for i := range found {
		builder.Reset(found[i].Metric)
		builder.Set(model.MetricNameLabel, r.name)
		r.labels.Range(func(l labels.Label) { builder.Set(l.Name, l.Value) })
		found[i].Metric = builder.Labels()
		if _, twice := seen[found[i].Metric]; twice {
			return nil, errors.New("two series have the same labels once those of the rule are on them")
		}
		seen[found[i].Metric] = struct{}{}
	}
	if g.limit > 0 && len(found) > g.limit {
		return nil, fmt.Errorf("it gives %d series, and the group's limit is %d", len(found), g.limit)
	}
	return found, nil
}
