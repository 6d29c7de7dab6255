// Package alerts evaluates Prometheus' alerting rules over samples kept in memory, with Prometheus' own parser and
// query engine, so that the screen and the pager never disagree.
package alerts

import (
	"fmt"
	"time"
)

// State of one alert, as Prometheus names it.
type State int

// The states.
const (
	Inactive State = iota // its expression does not hold (any more)
	Pending               // it holds, and not yet for as long as the rule asks
	Firing                // it fires
)

// String gives inactive, pending or firing.
func (s State) String() string { return [...]string{"inactive", "pending", "firing"}[s] }

// MarshalText gives the same words.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the same words.
func (s *State) UnmarshalText(text []byte) error {
	for known := Inactive; known <= Firing; known++ {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("%q is no state of an alert", text)
}

// Rule is one alerting rule with what its last evaluation found. It is not changed after it was handed out.
type Rule struct {
	Group         string            `json:"group"`
	Name          string            `json:"name"`
	Expr          string            `json:"expr"`
	For           time.Duration     `json:"for_ns"`
	KeepFiringFor time.Duration     `json:"keep_firing_for_ns,omitempty"`
	Severity      string            `json:"severity"`          // the label severity; "" where there is none
	Runbook       string            `json:"runbook,omitempty"` // the label runbook: the name of a page, without .md
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"` // templates, not expanded
	State         State             `json:"state"`                 // the worst of Alerts
	EvaluatedAt   time.Time         `json:"evaluated_at,omitzero"`
	Error         string            `json:"error,omitempty"` // of the last evaluation

	// Measures are what the rule compares, where its expression is a comparison: one for each series, the one nearest
	// to (or furthest beyond) its limit first. Empty where nothing is measured, or the expression is none.
	Measures []Measure `json:"measures,omitempty"`
	// Alerts are its pending and firing alerts, the worst first, then those resolved in the last 15 minutes.
	Alerts []Alert `json:"alerts,omitempty"`
	// Frozen are alerts that were pending when the series below them went away or came no more: the fuse stands where
	// it was, and starts anew when they come back and the expression holds.
	Frozen []Frozen `json:"frozen,omitempty"`
}

// Measure is the value that a rule compares, with its limit: it fires while Value Op Limit holds for long enough.
type Measure struct {
	Labels map[string]string `json:"labels,omitempty"`
	Value  float64           `json:"value"`
	Op     string            `json:"op"` // ">", ">=", "<", "<=", "==", "!="
	Limit  float64           `json:"limit"`
}

// Alert is one alert of a rule.
type Alert struct {
	Labels      map[string]string `json:"labels"` // with alertname
	State       State             `json:"state"`
	Value       float64           `json:"value"`
	ActiveAt    time.Time         `json:"active_at"`                  // since when the expression has held
	FiresAt     time.Time         `json:"fires_at,omitzero"`          // while pending: when it will fire if nothing changes
	FiredAt     time.Time         `json:"fired_at,omitzero"`          // when it began to fire
	KeptSince   time.Time         `json:"keep_firing_since,omitzero"` // it fires on by keep_firing_for alone, since then
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`
	Lost        bool              `json:"lost,omitempty"`        // it ended for want of samples, not because all is well
	Summary     string            `json:"summary,omitempty"`     // expanded annotations
	Description string            `json:"description,omitempty"` //
}

// Frozen is a fuse that stands, for want of samples.
type Frozen struct {
	Labels map[string]string `json:"labels"`
	Held   time.Duration     `json:"held_ns"` // how long the expression had held
	Since  time.Time         `json:"since"`   // the last evaluation that found it pending
}

// Edge is a change of one alert's state.
type Edge struct {
	At       time.Time         `json:"at"`
	Rule     string            `json:"rule"`
	Severity string            `json:"severity"`
	Runbook  string            `json:"runbook,omitempty"`
	Labels   map[string]string `json:"labels"`
	From     State             `json:"from"`
	To       State             `json:"to"`
	Value    float64           `json:"value"`
	Lost     bool              `json:"lost,omitempty"` // it ended for want of samples, not because all is well
	Summary  string            `json:"summary,omitempty"`
}

// Sample is one series' value in the answer to a query.
type Sample struct {
	Labels map[string]string `json:"labels"`
	Value  float64           `json:"value"`
	At     time.Time         `json:"at"`
}
