package alerts

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxMeasures is how many measures are shown for a rule.
const maxMeasures = 20

// comparison is the comparison at the top of an expression: what stands left and right of it, with a value for each
// series on the left (or on the right, where that is the side with many).
type comparison struct {
	value, limit string // expressions
	op           string
	match        *parser.VectorMatching // nil where one side is a scalar
	fixed        *float64               // the limit, where it is a number
	whole        bool                   // the expression is nothing else
}

// mirrored are the comparisons as they read from the right.
var mirrored = map[parser.ItemType]parser.ItemType{
	parser.GTR: parser.LSS, parser.GTE: parser.LTE, parser.LSS: parser.GTR, parser.LTE: parser.GTE,
	parser.EQLC: parser.EQLC, parser.NEQ: parser.NEQ,
}

// findComparison finds the first comparison of an expression that is one, or that is one with further conditions (and,
// unless). It gives nil where there is none.
func findComparison(expr string) *comparison {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return nil
	}
	whole := true
	for {
		switch node := bare(parsed).(type) {
		case *parser.BinaryExpr:
			if node.Op == parser.LAND || node.Op == parser.LUNLESS {
				parsed, whole = node.LHS, false
				continue
			}
			found := asComparison(node)
			if found != nil {
				found.whole = whole
			}
			return found
		}
		return nil
	}
}

// bare is an expression without the brackets around it.
func bare(expr parser.Expr) parser.Expr {
	for {
		inner, ok := expr.(*parser.ParenExpr)
		if !ok {
			return expr
		}
		expr = inner.Expr
	}
}

func asComparison(node *parser.BinaryExpr) *comparison {
	if !node.Op.IsComparisonOperator() || node.ReturnBool {
		return nil
	}
	left, right := node.LHS.Type() == parser.ValueTypeVector, node.RHS.Type() == parser.ValueTypeVector
	made, limit := &comparison{value: node.LHS.String(), limit: node.RHS.String(), op: node.Op.String()}, node.RHS
	switch {
	case left && right:
		made.match = node.VectorMatching
	case right:
		limit = node.LHS
		made.value, made.limit, made.op = made.limit, made.value, mirrored[node.Op].String()
	}
	if number, ok := bare(limit).(*parser.NumberLiteral); ok {
		made.fixed = &number.Val
	}
	return made
}

// holds says whether a value is beyond a limit.
func (c *comparison) holds(value, limit float64) bool {
	switch c.op {
	case ">":
		return value > limit
	case ">=":
		return value >= limit
	case "<":
		return value < limit
	case "<=":
		return value <= limit
	case "==":
		return value == limit
	}
	return value != limit
}

// ask evaluates the rule's expression, and what it measures.
func (r *alertingRule) ask(e *Engine, at time.Time) (promql.Vector, error) {
	if r.compare == nil || !r.compare.whole || r.compare.fixed == nil {
		found, err := e.vector(context.Background(), r.expr, at)
		if err == nil {
			r.measure(e, at)
		}
		return found, err
	}
	// Most rules compare with a number. Their left side is evaluated once, for both.
	values, err := e.vector(context.Background(), r.compare.value, at)
	if err != nil {
		return nil, err
	}
	r.keepMeasures(r.compare.pairs(values, promql.Vector{{F: *r.compare.fixed}}))
	found := values[:0]
	for _, s := range values {
		if r.compare.holds(s.F, *r.compare.fixed) {
			found = append(found, s)
		}
	}
	return found, nil
}

// measure evaluates both sides of the comparison, and keeps the values nearest to their limits. There are none where the
// rule compares nothing, or where a side gives an error.
func (r *alertingRule) measure(e *Engine, at time.Time) {
	r.measures = nil
	if r.compare == nil {
		return
	}
	values, err := e.vector(context.Background(), r.compare.value, at)
	if err != nil {
		return
	}
	limits, err := e.vector(context.Background(), r.compare.limit, at)
	if err != nil {
		return
	}
	r.keepMeasures(r.compare.pairs(values, limits))
}

// Measure gives what a rule of somebody else's compares at a time, over the samples that are kept: those nearest to their
// limits first. There are none where it compares nothing, or nothing is measured.
func (e *Engine) Measure(expr string, at time.Time) []Measure {
	r := &alertingRule{ruleText: &ruleText{expr: expr}, compare: findComparison(expr)}
	r.measure(e, at)
	return r.measures
}

// keepMeasures keeps those nearest to their limits.
func (r *alertingRule) keepMeasures(found []pair) {
	r.measures = nil
	for i := range found {
		found[i].excess = r.compare.excess(found[i])
	}
	slices.SortFunc(found, func(a, b pair) int {
		// NaN counts as less than everything, so it comes last.
		return cmp.Or(cmp.Compare(b.excess, a.excess), labels.Compare(a.labels, b.labels))
	})
	for _, m := range found[:min(len(found), maxMeasures)] {
		r.measures = append(r.measures, Measure{Labels: withoutName(m.labels), Value: m.value, Op: r.compare.op, Limit: m.limit})
	}
}

// pair is one value with its limit.
type pair struct {
	labels       labels.Labels
	value, limit float64
	excess       float64
}

// excess is how far beyond its limit a value is, in parts of the limit; negative on the side where nothing fires.
func (c *comparison) excess(m pair) float64 {
	far := (m.value - m.limit) / max(math.Abs(m.limit), 1e-9)
	switch c.op {
	case "<", "<=":
		return -far
	case "==":
		return -math.Abs(far)
	case "!=":
		return math.Abs(far)
	}
	return far
}

// pairs puts values and limits together as the comparison would.
func (c *comparison) pairs(values, limits promql.Vector) []pair {
	var found []pair
	if c.match == nil {
		if len(limits) != 1 {
			return nil
		}
		for _, v := range values {
			found = append(found, pair{labels: v.Metric, value: v.F, limit: limits[0].F})
		}
		return found
	}
	many, ones := values, limits
	if c.match.Card == parser.CardOneToMany {
		many, ones = limits, values
	}
	one := make(map[string]promql.Sample, len(ones))
	var buffer []byte
	for _, s := range ones {
		buffer = c.key(buffer, s.Metric)
		one[string(buffer)] = s
	}
	for _, s := range many {
		buffer = c.key(buffer, s.Metric)
		other, ok := one[string(buffer)]
		if !ok {
			continue
		}
		m := pair{labels: c.result(s.Metric, other.Metric), value: s.F, limit: other.F}
		if c.match.Card == parser.CardOneToMany {
			m.value, m.limit = m.limit, m.value
		}
		found = append(found, m)
	}
	return found
}

// key is what has to be the same on both sides.
func (c *comparison) key(buffer []byte, of labels.Labels) []byte {
	names := slices.Clone(c.match.MatchingLabels)
	if c.match.On {
		slices.Sort(names)
		return of.BytesWithLabels(buffer, names...)
	}
	names = append(names, model.MetricNameLabel)
	slices.Sort(names)
	return of.BytesWithoutLabels(buffer, names...)
}

// result gives the labels that the comparison's sample would have, without the metric's name.
func (c *comparison) result(many, one labels.Labels) labels.Labels {
	builder := labels.NewBuilder(many)
	builder.Del(model.MetricNameLabel)
	switch {
	case c.match.Card != parser.CardOneToOne:
		for _, name := range c.match.Include {
			builder.Set(name, one.Get(name))
		}
	case c.match.On:
		builder.Keep(c.match.MatchingLabels...)
	default:
		builder.Del(c.match.MatchingLabels...)
	}
	return builder.Labels()
}
