package alertview

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"captop/probes/alerts"
	"captop/tui/cell"
)

// unit is what a rule's values are, as far as its expression tells.
type unit int

const (
	plain   unit = iota // a number of things
	changes             // of a state
	queued              // keys that wait
	seconds
	milliseconds
	ratio
	bytes
	breaker // 0 CLOSED, 1 HALF_OPEN, 2 OPEN
	up      // 0 down, 1 up
)

var (
	changed   = regexp.MustCompile(`^\s*\(*\s*(changes|resets)\b`)
	counts    = regexp.MustCompile(`^\s*\(*\s*(count|count_values)\b`)
	durations = regexp.MustCompile(`_seconds(_bucket)?\b|_ms\b[^/<>=]*/ *1000\b`)
	upSeries  = regexp.MustCompile(`\bup\b`)
	rates     = regexp.MustCompile(`\b(rate|irate|increase)\s*\(`)
)

// unitOf reads the unit from the names in an expression, which by Prometheus' convention end in it.
func unitOf(expr string) unit {
	left := expr
	if at := comparison.FindStringIndex(quotedAway(expr)); at != nil {
		left = expr[:at[0]]
	}
	switch bare := quotedAway(left); {
	case changed.MatchString(bare):
		return changes
	case counts.MatchString(bare):
		return plain
	case strings.Contains(bare, "circuit_breaker_state"):
		return breaker
	case strings.Contains(bare, "histogram_quantile") && strings.Contains(bare, "_seconds"):
		return seconds
	case strings.Contains(bare, "_ratio"), rates.MatchString(bare) && strings.Contains(bare, "/"):
		return ratio
	case rates.MatchString(bare):
		return plain
	case durations.MatchString(bare):
		return seconds
	case strings.Contains(bare, "_ms"):
		return milliseconds
	case strings.Contains(bare, "_bytes"):
		return bytes
	case strings.Contains(bare, "queue_depth"):
		return queued
	case upSeries.MatchString(bare):
		return up
	}
	return plain
}

// quotedAway blanks strings and selectors out, keeping every position.
func quotedAway(expr string) string {
	blank := func(s string) string { return strings.Repeat(" ", len(s)) }
	return braces.ReplaceAllStringFunc(quoted.ReplaceAllStringFunc(expr, blank), blank)
}

// write gives a value with its unit.
func (u unit) write(v float64) string {
	switch {
	case math.IsNaN(v):
		return "?"
	case math.IsInf(v, 0):
		return "without bound"
	}
	switch u {
	case seconds:
		return span(v * float64(time.Second))
	case milliseconds:
		return span(v * float64(time.Millisecond))
	case ratio:
		return strings.Replace(cell.Percent(v), ".0 %", " %", 1)
	case bytes:
		return cell.Bytes(v)
	case changes:
		if v == 1 {
			return "1 change"
		}
		return number(v) + " changes"
	case queued:
		return number(v) + " keys"
	case breaker:
		if words := []string{"CLOSED", "HALF_OPEN", "OPEN"}; v >= 0 && v < 3 && v == math.Trunc(v) {
			return words[int(v)]
		}
	case up:
		switch v {
		case 0:
			return "down"
		case 1:
			return "up"
		}
	}
	return number(v)
}

// unknownFrom is the number of seconds from which a duration is none that was measured: the services give a huge number
// where they cannot know.
const unknownFrom = 1e9

// span writes nanoseconds.
func span(ns float64) string {
	if math.Abs(ns) > unknownFrom*float64(time.Second) {
		return "an unknown time"
	}
	return cell.Span(time.Duration(ns))
}

func number(v float64) string {
	if math.Abs(v) < 10 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return cell.Count(v)
}

// words says when a measure makes its rule hold, as people say it.
func (u unit) words(op string, limit float64) string {
	switch {
	case u == breaker && op == ">" && limit == 0:
		return "not CLOSED"
	case op == "==":
		return u.write(limit)
	case op == "!=":
		return "not " + u.write(limit)
	}
	return op + " " + u.limit(limit)
}

// limit writes what a value of this unit stands beside: what is counted is not said twice.
func (u unit) limit(v float64) string {
	if u == changes || u == queued {
		return number(v)
	}
	return u.write(v)
}

// against is a value beside the limit that makes it an alert.
func against(e entry) string {
	u := unitOf(e.rule.Expr)
	switch e.kind {
	case firing, pending:
		if m, ok := measureOf(e); ok {
			return u.write(e.alert.Value) + u.beyond(e.alert.Value, m)
		}
		return u.write(e.alert.Value)
	case frozen, lost, broken, elsewhere, blank:
		return ""
	}
	if len(e.rule.Measures) == 0 {
		return ""
	}
	m := e.rule.Measures[0]
	if own, ok := measureOf(e); ok && e.kind == resolved {
		m = own
	}
	return u.write(m.Value) + ", fires when " + u.words(m.Op, m.Limit)
}

// beyond says what the value is beyond, unless the value is a word that says it all.
func (u unit) beyond(v float64, m alerts.Measure) string {
	switch {
	case u == breaker || u == up || m.Op == "==":
		return ""
	case m.Op == ">" && v > m.Limit, m.Op == ">=" && v >= m.Limit, m.Op == "<" && v < m.Limit, m.Op == "<=" && v <= m.Limit:
		return " " + m.Op + " " + u.limit(m.Limit)
	}
	return ", fires when " + u.words(m.Op, m.Limit) // it fires on by keep_firing_for alone
}

// measureOf is the measure that belongs to an alert: the one whose labels the alert has all.
func measureOf(e entry) (alerts.Measure, bool) {
	for _, m := range e.rule.Measures {
		if within(m.Labels, e.labels) {
			return m, true
		}
	}
	return alerts.Measure{}, false
}

func within(some, all map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}
