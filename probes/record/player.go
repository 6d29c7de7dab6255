package record

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"captop/probes"
)

// Player gives the Snapshots of a recording again. Not safe for concurrent use.
type Player struct {
	cursor *Cursor
	rules  *Rules // in place of those recorded; nil for these
	name   string
	state  *probes.State
	read   *Header // as it was read last
	header *Header // that the state is up to
}

// Play begins at the first poll that is not before from, with rules in the place of those recorded, unless they are nil.
// What is concluded from older polls is missing from the first Snapshots: charts begin there, and alerts are not yet
// pending.
func (r *Recording) Play(from time.Time, rules *Rules) (*Player, error) {
	cursor, err := r.Polls(from)
	if err != nil {
		return nil, err
	}
	return &Player{cursor: cursor, rules: rules, name: r.Name()}, nil
}

// Next gives the next Snapshot, as the dashboard had it, but for its Source. io.EOF: there is none (yet). A
// *alerts.FileError: the rules cannot be used.
func (p *Player) Next() (*probes.Snapshot, error) {
	poll, header, err := p.cursor.Next()
	if err != nil {
		return nil, err
	}
	if err := p.adopt(header); err != nil {
		return nil, err
	}
	for _, in := range poll.Inputs {
		if p.rules == nil || in.Part != probes.PartRulesFile {
			p.state.Apply(in)
		}
	}
	p.header = p.header.after(poll.Inputs)
	snapshot := *p.state.Snapshot(poll.At)
	snapshot.Source = probes.Source{Kind: probes.SourceRecording, Name: p.name}
	return &snapshot, nil
}

// adopt takes up what is new in a header: every segment begins with one, which mostly says what the last one said.
// What changed is in the Inputs, too, and known already; where those were lost, a new state begins.
func (p *Player) adopt(header *Header) error {
	if header == p.read {
		return nil
	}
	p.read = header
	if p.header != nil && reflect.DeepEqual(p.header.Targets, header.Targets) && p.header.Acks == header.Acks &&
		(p.rules != nil || p.header.Rules == header.Rules) {
		return nil
	}
	setup := header.setup()
	if p.rules != nil {
		setup.Rules, setup.RulesFile = []byte(p.rules.Text), p.rules.File
	}
	state, err := probes.NewState(setup)
	if err != nil {
		return fmt.Errorf("replaying %s: %w", p.name, err)
	}
	if header.Acks != "" {
		state.Apply(probes.Input{At: header.Started, Target: "captop", Part: probes.PartAcks, Fault: probes.Up, Body: header.Acks})
	}
	p.state, p.header = state, header
	return nil
}

// Damage tells what could not be read so far.
func (p *Player) Damage() []Damage { return p.cursor.Damage() }

// Close ends reading.
func (p *Player) Close() error { return p.cursor.Close() }

// ended says that there is nothing more to read by now.
func ended(err error) bool { return errors.Is(err, io.EOF) }

// samplesKept is how long alert rules can look back.
const samplesKept = 15 * time.Minute

// warmup is how long before a time a replay has to begin, so that alerts are as they were at that time: as long as rules
// can look back, and as long as the slowest of them waits. The rules that do not parse wait for nothing.
func (h Header) warmup(rules *Rules) time.Duration {
	setup := h.setup()
	if rules != nil {
		setup.Rules = []byte(rules.Text)
	}
	slowest := time.Duration(0)
	if state, err := probes.NewState(setup); err == nil {
		for _, rule := range state.Snapshot(h.Started).Rules {
			slowest = max(slowest, rule.For, rule.KeepFiringFor)
		}
	}
	return samplesKept + slowest
}
