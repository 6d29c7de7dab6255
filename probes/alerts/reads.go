package alerts

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// Reads gives expressions that each have a sample while the series that expr needs are there, so that "it does not hold"
// can be told from "nobody knows": a selector each, and one expression for alternatives (or). What expr wants to be absent
// is not among them. An expression that does not parse needs nothing.
func Reads(expr string) []string {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return nil
	}
	var needed, alternatives []string
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		of, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		bare := (&parser.VectorSelector{Name: of.Name, LabelMatchers: of.LabelMatchers}).String()
		switch absent, alternative := role(append(path, node)); {
		case absent:
		case alternative:
			alternatives = append(alternatives, bare)
		default:
			needed = append(needed, bare)
		}
		return nil
	})
	if len(alternatives) > 0 {
		needed = append(needed, strings.Join(alternatives, " or "))
	}
	return needed
}

// counting are the functions that tell of events: for as long as their range, what they tell of may be over.
var counting = map[string]bool{"rate": true, "irate": true, "increase": true, "changes": true, "resets": true}

// Counts is the longest range over which expr counts events; 0 where it counts none.
func Counts(expr string) time.Duration {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return 0
	}
	var longest time.Duration
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		call, ok := node.(*parser.Call)
		if !ok || !counting[call.Func.Name] {
			return nil
		}
		switch of := call.Args[0].(type) {
		case *parser.MatrixSelector:
			longest = max(longest, of.Range)
		case *parser.SubqueryExpr:
			longest = max(longest, of.Range)
		}
		return nil
	})
	return longest
}
