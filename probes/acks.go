package probes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"captop/probes/alerts"
)

// acksInput tells that the file of acknowledgements has changed, or cannot be read.
func (e *Engine) acksInput() (in Input, news bool) {
	if e.config.AcksChanged == nil {
		return in, false
	}
	text, changed, err := e.config.AcksChanged()
	in = Input{At: e.now(), Target: recorder, Part: PartAcks, Fault: Up, Body: string(text)}
	if err != nil {
		in.Fault, in.Error, in.Body = Blind, err.Error(), ""
		news = in.Error != e.acksTold
	}
	e.acksTold = in.Error
	return in, news || err == nil && changed
}

// takeAcks takes the acknowledgements of a changed file over. Those of one that cannot be read stay as they were.
func (s *State) takeAcks(in Input) {
	problem := in.Error
	var all []Ack
	if problem == "" && in.Body != "" {
		if err := json.Unmarshal([]byte(in.Body), &all); err != nil {
			problem = fmt.Sprintf("reading them: %v", err)
		}
	}
	if problem != "" {
		s.note(Event{At: in.At, Severity: Warning, Kind: "acknowledgement", Target: recorder, Text: "the acknowledgements stay as they were: " + problem})
		return
	}
	for _, ack := range all {
		if !slices.ContainsFunc(s.acks, func(known Ack) bool { return known.At.Equal(ack.At) && maps.Equal(known.Labels, ack.Labels) }) {
			s.note(Event{At: in.At, Severity: OK, Kind: "acknowledgement", Target: ack.Labels["alertname"],
				Text: fmt.Sprintf("%s looks after %s: %s", orElse(ack.By, "somebody"), ack.Labels["alertname"], orElse(ack.Reason, "no reason given"))})
		}
	}
	s.acks = all
}

// acksAt gives the acknowledgements that hold: not expired, and of an alert that has been active since before. One that
// was resolved and comes back is a new one, that nobody looks after yet.
func (s *State) acksAt(snap *Snapshot) []Ack {
	var holding []Ack
	for _, ack := range s.acks {
		if ack.Until.After(snap.At) && slices.ContainsFunc(snap.Rules, func(rule alerts.Rule) bool { return ack.holds(rule) }) {
			holding = append(holding, ack)
		}
	}
	return holding
}

// holds says whether a rule has the alert that was acknowledged.
func (a Ack) holds(rule alerts.Rule) bool {
	return slices.ContainsFunc(rule.Alerts, func(alert alerts.Alert) bool {
		return alert.State != alerts.Inactive && !alert.ActiveAt.After(a.At) && maps.Equal(alert.Labels, a.Labels)
	})
}
