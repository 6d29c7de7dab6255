package alerts

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/promql/parser"
)

// Condition is a PromQL expression that is asked for yes or no.
type Condition struct {
	Expr    string
	filters bool // it compares, so each sample that it gives is one for which it holds, whatever its value
}

// ParseCondition reads an expression. The error has the line and the column of what is wrong in it.
func ParseCondition(expr string) (Condition, error) {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return Condition{}, fmt.Errorf("the expression %q: %w", expr, err)
	}
	if kind := parsed.Type(); kind != parser.ValueTypeVector && kind != parser.ValueTypeScalar {
		return Condition{}, fmt.Errorf("the expression %q gives a %s, not one value for each series", expr, kind)
	}
	return Condition{Expr: expr, filters: filters(parsed)}, nil
}

// filters says whether an expression passes on those samples for which a comparison holds.
func filters(expr parser.Expr) bool {
	switch node := expr.(type) {
	case *parser.ParenExpr:
		return filters(node.Expr)
	case *parser.BinaryExpr:
		switch {
		case node.Op == parser.LAND, node.Op == parser.LUNLESS:
			return filters(node.LHS)
		case node.Op == parser.LOR:
			return filters(node.LHS) && filters(node.RHS)
		}
		return node.Op.IsComparisonOperator() && !node.ReturnBool
	}
	return false
}

// Holds says whether an answer to the expression means yes: a comparison gave a sample, anything else one that is neither
// 0 nor NaN.
func (c Condition) Holds(answer []Sample) bool {
	for _, s := range answer {
		if c.filters || s.Value != 0 && !math.IsNaN(s.Value) {
			return true
		}
	}
	return false
}
