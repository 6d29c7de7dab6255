package probes

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"captop/probes/alerts"
)

// rateWindow is what rates, ratios and quantiles look back over.
const rateWindow = 10 * time.Second

// edgeLimit is how many changes of alerts a Snapshot holds.
const edgeLimit = 500

// Setup is what a State begins with.
type Setup struct {
	Targets Targets
	Poll    time.Duration // how often each part should come
	Started time.Time     // when watching began
	Rules   []byte        // the text of a file of alerting rules; empty has none
	// RulesFile is the name of that file, for messages; "" is captop's own.
	RulesFile  string
	Prometheus string // the one that is seen through, without credentials; "" scrapes
}

// State is everything that the Inputs so far have told. It does no I/O and reads no clock: the same calls in the same
// order give the same Snapshots. Not safe for concurrent use.
type State struct {
	poll       time.Duration
	started    time.Time
	services   []*serviceState
	nodes      []*nodeState
	serving    map[string]*serviceState // services by name
	alerts     *alerts.Engine
	file       string // of the rules
	refused    string // why the newest rules are not used
	lookup     string // why instances cannot be looked up
	groups     []*groupState
	acks       []Ack
	remoteName string // the Prometheus that is seen through, without credentials; "" scrapes
	remote     *remoteRules
	held       *Alertmanager // nil where none is configured; replaced, not changed
	edges      []alerts.Edge
	events     []Event
	noted      uint64   // events so far
	severity   Severity // of the last Snapshot
	asked      bool     // a Snapshot has been given
	seen       string   // the situation of the last Snapshot
	seenFrom   time.Time
}

// NewState begins to watch. Its error is a *alerts.FileError: the rules cannot be used.
func NewState(setup Setup) (*State, error) {
	rules, err := alerts.Parse(rulesName(setup.RulesFile), setup.Rules)
	if err != nil {
		return nil, err
	}
	s := &State{poll: setup.Poll, started: setup.Started, file: setup.RulesFile, remoteName: setup.Prometheus}
	if s.alerts, err = alerts.New(rules, alerts.Options{}); err != nil {
		return nil, err
	}
	if setup.Targets.Alertmanager != "" {
		s.held = &Alertmanager{URL: bare(setup.Targets.Alertmanager)}
	}
	for _, target := range setup.Targets.Services {
		s.services = append(s.services, newServiceState(target, s.alerts))
	}
	s.index()
	for _, target := range setup.Targets.Nodes {
		s.nodes = append(s.nodes, newNodeState(target, s.alerts))
	}
	return s, nil
}

// index lets Inputs find their service, of which there may be a thousand.
func (s *State) index() {
	s.serving = make(map[string]*serviceState, len(s.services))
	for _, svc := range s.services {
		s.serving[svc.view.Name] = svc
	}
}

// rulesName is how messages call a file of rules.
func rulesName(file string) string { return cmp.Or(file, "captop's own rules") }

// Apply takes one Input in. Inputs of unknown targets are ignored: a recording may hold more than is replayed.
func (s *State) Apply(in Input) {
	switch in.Part {
	case PartRecorder:
		s.noteRecorder(in)
		return
	case PartRulesFile:
		s.swapRules(in)
		return
	case PartAcks:
		s.takeAcks(in)
		return
	case PartHeld:
		s.takeAlertmanager(in)
		return
	case PartSource:
		s.takeSource(in)
		return
	case PartRemoteRules:
		s.takeRemoteRules(in)
		return
	case PartTargets:
		s.retarget(in)
		return
	}
	if svc, found := s.serving[in.Target]; found && in.Part != PartInfo {
		svc.apply(in, s.note)
	}
	for _, node := range s.nodes {
		if node.view.Name == in.Target && in.Part == PartInfo {
			node.apply(in, s.note)
		}
	}
}

// Snapshot concludes what is known at now. It also adds one point to each history, and an event where the severity
// has changed since the last Snapshot.
func (s *State) Snapshot(now time.Time) *Snapshot {
	snap := &Snapshot{At: now, Started: s.started, Poll: s.poll, Source: s.source(), TargetsError: s.lookup,
		Services: make([]Service, 0, len(s.services))}
	for _, svc := range s.services {
		snap.Services = append(snap.Services, svc.snapshot(now, s.poll))
	}
	snap.Groups = s.groupsAt(now, snap.Services)
	for _, node := range s.nodes {
		node.gather(snap.Services, now, s.poll, s.note)
		snap.Nodes = append(snap.Nodes, node.snapshot(now, s.poll))
	}
	s.evaluate(snap)
	snap.Acks, snap.Alertmanager = s.acksAt(snap), s.held
	snap.Verdict = Diagnose(snap)
	s.dateVerdict(snap)
	snap.Severity = worseOf(snap.Verdict.Severity, firing(snap.Rules))
	s.noteSeverity(snap)
	snap.Events = last(s.events, eventLimit)
	return snap
}

func (s *State) noteSeverity(snap *Snapshot) {
	before, first := s.severity, !s.asked
	s.severity, s.asked = snap.Severity, true
	if first || before == snap.Severity {
		return
	}
	text := fmt.Sprintf("%s after %s: %s", snap.Severity, before, snap.Verdict.Sentence)
	s.note(Event{At: snap.At, Severity: snap.Severity, Kind: "severity", Target: "captop", Text: text})
}

// dateVerdict says since when a situation is there whose beginning nobody tells: since captop saw it first. Where it was
// there before captop looked, that is not known.
func (s *State) dateVerdict(snap *Snapshot) {
	v := &snap.Verdict
	if v.Situation != s.seen {
		s.seen, s.seenFrom = v.Situation, snap.At
		if !s.asked {
			s.seenFrom = time.Time{}
		}
	}
	if v.Since.IsZero() && v.Severity != OK {
		v.Since = s.seenFrom
	}
}

func (s *State) note(e Event) {
	s.noted++
	e.Seq = s.noted
	s.events = keep(s.events, e, eventLimit)
}

// reached books an attempt to ask a target and notes what it changes.
func reached(r *Reach, name string, contact Contact, in Input, problem string, note func(Event)) {
	before := *r
	r.Contact, r.At, r.Took, r.Error = contact, in.At, in.Took, problem
	if contact == Up {
		r.LastUp = in.At
	}
	if before.Contact == contact {
		return
	}
	r.Since = in.At
	if before.Contact == NotAsked && contact == Up {
		return
	}
	event := Event{At: in.At, Severity: Critical, Kind: "target", Target: name}
	switch contact {
	case Up:
		event.Severity = OK
		event.Text = fmt.Sprintf("%s answers again after %s", name, Span(in.At.Sub(before.Since)))
	case Blind:
		event.Severity = Unknown
		event.Text = fmt.Sprintf("captop cannot see %s: %s", name, problem)
	default:
		event.Text = fmt.Sprintf("%s is %s: %s", name, contact, problem)
	}
	note(event)
}

// Span gives a duration as people say it: 4.2s, 3m10s, 2h05m, 3d04h; tenths below 10 s, milliseconds below a second.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(d/(100*time.Millisecond))/10), ".0") + "s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}
