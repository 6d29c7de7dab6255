package probes

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"captop/probes/alerts"
)

// RemoteTarget is the target of Inputs about the Prometheus that captop sees through.
const RemoteTarget = "prometheus"

// rulesBody is an answer of /api/v1/rules, as far as captop shows it.
type rulesBody struct {
	Data struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Type           string            `json:"type"`
				Name           string            `json:"name"`
				Query          string            `json:"query"`
				Duration       float64           `json:"duration"`
				KeepFiringFor  float64           `json:"keepFiringFor"`
				Labels         map[string]string `json:"labels"`
				Annotations    map[string]string `json:"annotations"`
				LastError      string            `json:"lastError"`
				LastEvaluation time.Time         `json:"lastEvaluation"`
				Alerts         []remoteAlert     `json:"alerts"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"data"`
}

type remoteAlert struct {
	Labels          map[string]string `json:"labels"`
	Annotations     map[string]string `json:"annotations"`
	State           alerts.State      `json:"state"`
	ActiveAt        time.Time         `json:"activeAt"`
	KeepFiringSince time.Time         `json:"keepFiringSince"`
	Value           string            `json:"value"`
}

// remoteRules are the rules and alerts of the Prometheus that captop sees through.
type remoteRules struct {
	reach Reach
	rules []alerts.Rule // replaced, not changed
	known bool
	fired map[string]time.Time // by rule and labels: since when an alert has been seen firing
}

// takeSource notes how Prometheus fares.
func (s *State) takeSource(in Input) {
	if s.remote == nil {
		s.remote = &remoteRules{fired: map[string]time.Time{}}
	}
	reached(&s.remote.reach, "Prometheus", in.Fault, in, in.Error, s.note)
}

// takeRemoteRules takes an answer over, and notes what has changed in it.
func (s *State) takeRemoteRules(in Input) {
	var body rulesBody
	if s.remote == nil || in.Fault != Up || in.Status != http.StatusOK {
		return // takeSource tells why
	}
	if err := json.Unmarshal([]byte(in.Body), &body); err != nil {
		s.refused = fmt.Sprintf("the rules of Prometheus cannot be read: %v", err)
		return
	}
	s.refused = ""
	before := s.remote.states()
	var rules []alerts.Rule
	for _, group := range body.Data.Groups {
		for _, r := range group.Rules {
			if r.Type != "alerting" {
				continue
			}
			rule := alerts.Rule{Group: group.Name, Name: r.Name, Expr: r.Query, For: seconds(r.Duration), KeepFiringFor: seconds(r.KeepFiringFor),
				Severity: r.Labels["severity"], Runbook: r.Labels["runbook"], Labels: r.Labels, Annotations: r.Annotations,
				EvaluatedAt: r.LastEvaluation, Error: r.LastError, Measures: s.alerts.Measure(r.Query, in.At)}
			for _, a := range r.Alerts {
				rule.Alerts = append(rule.Alerts, s.remote.alert(rule, a, in.At))
				rule.State = max(rule.State, a.State)
			}
			slices.SortStableFunc(rule.Alerts, func(a, b alerts.Alert) int { return cmp.Compare(b.State, a.State) })
			rules = append(rules, rule)
		}
	}
	slices.SortStableFunc(rules, func(a, b alerts.Rule) int { return cmp.Compare(b.State, a.State) })
	first := !s.remote.known
	s.remote.rules, s.remote.known = rules, true
	if !first {
		s.remoteEdges(before, in.At)
	}
}

// alert reads one. When it began to fire is not told: it is when it was first seen firing, and no earlier than it could.
func (r *remoteRules) alert(rule alerts.Rule, a remoteAlert, at time.Time) alerts.Alert {
	made := alerts.Alert{Labels: a.Labels, State: a.State, ActiveAt: a.ActiveAt, KeptSince: a.KeepFiringSince,
		Summary: a.Annotations["summary"], Description: a.Annotations["description"]}
	made.Value, _ = strconv.ParseFloat(a.Value, 64)
	id := rule.Group + "\x00" + rule.Name + "\x00" + labelText(a.Labels)
	switch a.State {
	case alerts.Pending:
		made.FiresAt = a.ActiveAt.Add(rule.For)
	case alerts.Firing:
		if r.fired[id].IsZero() {
			r.fired[id] = at
			if !r.known { // it may have fired for long
				r.fired[id] = a.ActiveAt.Add(rule.For)
			}
		}
		made.FiredAt = r.fired[id]
	}
	if a.State != alerts.Firing {
		delete(r.fired, id)
	}
	return made
}

// labelText writes labels so that equal ones are equal.
func labelText(labels map[string]string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text += name + "\x00" + labels[name] + "\x00"
	}
	return text
}

// remoteState is one alert as it was.
type remoteState struct {
	rule  alerts.Rule
	alert alerts.Alert
}

func (r *remoteRules) states() map[string]remoteState {
	all := map[string]remoteState{}
	for _, rule := range r.rules {
		for _, alert := range rule.Alerts {
			all[rule.Group+"\x00"+rule.Name+"\x00"+labelText(alert.Labels)] = remoteState{rule, alert}
		}
	}
	return all
}

// remoteEdges notes which alerts have changed between two answers.
func (s *State) remoteEdges(before map[string]remoteState, at time.Time) {
	after := s.remote.states()
	ids := slices.Collect(maps.Keys(before))
	for id := range after {
		if _, known := before[id]; !known {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		was, is := before[id], after[id]
		if was.alert.State == is.alert.State {
			continue
		}
		of := is
		if of.rule.Name == "" {
			of = was
			delete(s.remote.fired, id)
		}
		edge := alerts.Edge{At: at, Rule: of.rule.Name, Severity: of.rule.Severity, Runbook: of.rule.Runbook, Labels: of.alert.Labels,
			From: was.alert.State, To: is.alert.State, Value: of.alert.Value, Summary: of.alert.Summary}
		s.edges = keep(s.edges, edge, edgeLimit)
		s.noteEdge(edge)
	}
}

// source says where what is shown comes from.
func (s *State) source() Source {
	if s.remoteName == "" {
		return Source{Kind: SourceScrapes}
	}
	made := Source{Kind: SourcePrometheus, Name: s.remoteName}
	if s.remote != nil {
		made.Reach = s.remote.reach
	}
	return made
}

// sourceFindings: a Prometheus that does not answer leaves captop blind, whatever was seen last.
func sourceFindings(s *Snapshot) []finding {
	reach := s.Source.Reach
	if s.Source.Kind != SourcePrometheus || reach.Contact == Up && Read(0, reach.At).Freshness(s.At, s.Poll) != FreshnessUnknown {
		return nil
	}
	f := finding{situation: "source_" + reach.Contact.String(), since: reach.Since,
		sentence: fmt.Sprintf("captop is blind: it sees through Prometheus at %s, which is %s.", s.Source.Name, reach.Contact),
		next:     "Look at that Prometheus, or start captop without --prometheus. " + reach.Error}
	switch reach.Contact {
	case NotAsked:
		f.sentence, f.next = "captop has not heard from Prometheus at "+s.Source.Name+" yet.", "Wait for the next poll."
	case Up:
		f.sentence = fmt.Sprintf("captop is blind: Prometheus at %s has not answered for %s.", s.Source.Name, Span(s.At.Sub(reach.At)))
	}
	return []finding{f}
}

// partialFindings: an answer that lacks something may lack what is wrong.
func partialFindings(s *Snapshot) []finding {
	if reach := s.Source.Reach; reach.Contact == Up && reach.Error != "" {
		return []finding{{situation: "source_partial", sentence: "What Prometheus answers is not all: " + reach.Error + ".",
			next: "See what is behind it (Thanos' stores, Mimir's ingesters)."}}
	}
	return nil
}
