package alerts

import (
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// selector is what one selector of an expression asks for.
type selector []*labels.Matcher

// findSelectors gives the selectors whose series have to be there for an expression to hold: not those that ask whether
// something is absent, and not those of alternatives (or) where there are others.
func findSelectors(expr string) []selector {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return nil
	}
	var needed, alternatives []selector
	parser.Inspect(parsed, func(node parser.Node, path []parser.Node) error {
		of, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		switch absent, alternative := role(append(path, node)); {
		case alternative:
			alternatives = append(alternatives, of.LabelMatchers)
		case !absent:
			needed = append(needed, of.LabelMatchers)
		}
		return nil
	})
	if len(needed) > 0 {
		return needed
	}
	if len(alternatives) == 1 {
		return alternatives
	}
	return nil
}

// metricNames gives the names of the metrics that an expression reads.
func metricNames(expr string) []string {
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		return nil
	}
	var names []string
	for _, matchers := range parser.ExtractSelectors(parsed) {
		for _, m := range matchers {
			if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
				names = append(names, m.Value)
			}
		}
	}
	return names
}

// role tells whether the last node of a path is there to be absent, or is one of several ways for the whole to hold.
func role(path []parser.Node) (absent, alternative bool) {
	for i, node := range path[:len(path)-1] {
		switch node := node.(type) {
		case *parser.Call:
			absent = absent || node.Func.Name == "absent" || node.Func.Name == "absent_over_time"
		case *parser.BinaryExpr:
			absent = absent || node.Op == parser.LUNLESS && path[i+1] == parser.Node(node.RHS)
			alternative = alternative || node.Op == parser.LOR
		}
	}
	return absent, alternative
}

// missing says whether an alert's expression stopped holding for want of samples: of one of its selectors, the series
// that stand behind the alert have had none since the expression last held. The alert's own labels tell which these are.
func (r *alertingRule) missing(s *store, source labels.Labels, since time.Time) bool {
	after := since.UnixMilli()
	for _, reads := range r.reads {
		found := s.find(reads)
		s.mu.RLock()
		behind, live := 0, 0
		for _, x := range found {
			if !stands(x.labels, source) {
				continue
			}
			behind++
			if x.lastT > after && !x.stale() {
				live++
				break
			}
		}
		s.mu.RUnlock()
		if behind > 0 && live == 0 {
			return true
		}
	}
	return false
}

// stands says whether a series contradicts none of an alert's labels.
func stands(behind, source labels.Labels) bool {
	agrees := true
	source.Range(func(l labels.Label) {
		if had := behind.Get(l.Name); had != "" && had != l.Value {
			agrees = false
		}
	})
	return agrees
}
