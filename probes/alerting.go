package probes

import (
	"context"
	"fmt"
	"strings"

	"github.com/prometheus/common/model"

	"captop/probes/alerts"
)

// swapRules takes a changed file of rules into use. One that cannot be used leaves the last good one in force.
func (s *State) swapRules(in Input) {
	problem := in.Error
	if in.Fault == Up {
		problem = ""
		rules, err := alerts.Parse(rulesName(s.file), []byte(in.Body))
		if err == nil {
			err = s.alerts.Swap(rules)
		}
		if err != nil {
			problem = err.Error()
		}
	}
	event := Event{At: in.At, Severity: OK, Kind: "rules", Target: "captop", Text: rulesName(s.file) + " have changed and are in force"}
	if problem != "" {
		event.Severity, event.Text = Warning, "the rules stay as they were: "+problem
	}
	if problem == "" || problem != s.refused {
		s.note(event)
	}
	s.refused = problem
}

// evaluate puts what the rules say at the time of a Snapshot into it.
func (s *State) evaluate(snap *Snapshot) {
	for _, edge := range s.alerts.Evaluate(snap.At) {
		s.edges = keep(s.edges, edge, edgeLimit)
		s.noteEdge(edge)
	}
	snap.Rules, snap.RulesFile, snap.RulesError = s.alerts.Rules(), s.file, s.refused
	if s.remoteName != "" {
		snap.Rules, snap.RulesFile = nil, s.remoteName
		if s.remote != nil {
			snap.Rules = s.remote.rules
		}
	}
	snap.Edges = last(s.edges, edgeLimit)
}

// noteEdge makes events of alerts that begin and cease to fire. A pending one is on the screen, and no event yet.
func (s *State) noteEdge(edge alerts.Edge) {
	event := Event{At: edge.At, Severity: AlertSeverity(edge.Severity), Kind: "alert", Target: edge.Rule}
	switch {
	case edge.To == alerts.Firing:
		event.Text = edge.Rule + " fires"
	case edge.From == alerts.Firing && edge.Lost:
		event.Text = edge.Rule + " ended for want of samples, not because all is well"
	case edge.From == alerts.Firing:
		event.Severity, event.Text = OK, edge.Rule+" is resolved"
	default:
		return
	}
	if edge.Summary != "" {
		event.Text += ": " + edge.Summary
	}
	s.note(event)
}

// AlertSeverity is how bad an alert with a label severity is while it fires. Words that nobody agreed on count as a
// warning; none and info are for people who look, and change nothing.
func AlertSeverity(label string) Severity {
	switch strings.ToLower(label) {
	case "critical", "page", "emergency", "error":
		return Critical
	case "none", "info":
		return OK
	}
	return Warning
}

// firing is the worst severity of all alerts that fire.
func firing(rules []alerts.Rule) Severity {
	worst := OK
	for _, rule := range rules {
		if rule.State == alerts.Firing {
			worst = worseOf(worst, AlertSeverity(rule.Severity))
		}
	}
	return worst
}

func worseOf(a, b Severity) Severity {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// alertFindings are the alerts that fire: a page comes from somewhere, whether or not captop finds something else wrong.
func alertFindings(s *Snapshot, explained bool) []finding {
	var found []finding
	for _, rule := range s.Rules {
		if rule.State != alerts.Firing || AlertSeverity(rule.Severity) == OK || len(rule.Alerts) == 0 {
			continue
		}
		alert := rule.Alerts[0]
		sentence := rule.Name + " fires."
		if alert.Summary != "" {
			sentence = fmt.Sprintf("%s fires: %s.", rule.Name, strings.TrimSuffix(alert.Summary, "."))
		}
		next := "See the alert's own page of the screen."
		if rule.Runbook != "" {
			next = fmt.Sprintf("Read the runbook %s, on the page of alerts.", rule.Runbook)
		}
		if !explained {
			sentence += " captop sees nothing else that is wrong."
			if past := alerts.Counts(rule.Expr); past > 0 {
				next = fmt.Sprintf("Wait %s, over which it counts; if it fires on, %s%s", model.Duration(past), strings.ToLower(next[:1]), next[1:])
			}
		}
		found = append(found, finding{situation: "alert_" + rule.Name, severity: AlertSeverity(rule.Severity), sentence: sentence,
			since: alert.ActiveAt, next: next})
	}
	return found
}

// Query evaluates a PromQL expression over what captop sees now: the scraped series, and its own of the nodes. It is
// safe to call while Watch runs.
func (e *Engine) Query(ctx context.Context, expr string) ([]alerts.Sample, error) {
	return e.state.alerts.Query(ctx, expr, e.now())
}

// rulesInput tells that the file of rules has changed, or cannot be read.
func (e *Engine) rulesInput() (in Input, news bool) {
	if e.config.RulesChanged == nil {
		return in, false
	}
	text, changed, err := e.config.RulesChanged()
	in = Input{At: e.now(), Target: recorder, Part: PartRulesFile, Fault: Up, Body: string(text)}
	if err != nil {
		in.Fault, in.Error, in.Body = Blind, err.Error(), ""
		news = in.Error != e.rulesTold
	}
	e.rulesTold = in.Error
	return in, news || err == nil && changed
}
