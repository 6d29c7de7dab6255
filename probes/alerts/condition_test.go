package alerts

import (
	"math"
	"testing"
)

// TestCondition: what counts as a yes. A comparison that holds is one, though the value that it passes on is 0.
func TestCondition(t *testing.T) {
	for _, c := range []struct {
		expr   string
		answer []float64
		want   bool
	}{
		{"up", []float64{1}, true},
		{"up", []float64{0}, false},
		{"up", []float64{0, 3}, true},
		{"up", nil, false},
		{"rate(x[1m])", []float64{math.NaN()}, false},
		{"breaker == 0", []float64{0}, true},
		{"(breaker == 0)", []float64{0}, true},
		{"breaker == 0", nil, false},
		{"breaker == bool 0", []float64{0}, false},
		{"breaker == bool 0", []float64{1}, true},
		{"breaker == 0 and up", []float64{0}, true},
		{"up and breaker == 0", []float64{0}, false},
		{"up == 0 unless breaker", []float64{0}, true},
		{"up == 0 or breaker == 0", []float64{0}, true},
		{"up == 0 or breaker", []float64{0}, false},
		{"1", []float64{1}, true},
	} {
		condition, err := ParseCondition(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		var answer []Sample
		for _, value := range c.answer {
			answer = append(answer, Sample{Value: value})
		}
		if got := condition.Holds(answer); got != c.want {
			t.Errorf("%s with %v: %t, want %t", c.expr, c.answer, got, c.want)
		}
	}
	for expr, want := range map[string]string{
		"up ==":    `the expression "up ==": 1:6: parse error: unexpected end of input`,
		"":         `the expression "": unknown position: parse error: no expression found in input`,
		"up[5m]":   `the expression "up[5m]" gives a matrix, not one value for each series`,
		`"yes"`:    `the expression "\"yes\"" gives a string, not one value for each series`,
		"up and 1": `the expression "up and 1": 1:1: parse error: set operator "and" not allowed in binary scalar expression`,
	} {
		if _, err := ParseCondition(expr); err == nil || err.Error() != want {
			t.Errorf("%q gives %v, want %s", expr, err, want)
		}
	}
}
