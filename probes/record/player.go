package record

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"captop/probes"
)

// Build makes the state that a header describes. It is where a replay puts other rules in the place of those recorded.
type Build func(Header) (*probes.State, error)

// Player gives the Snapshots of a recording again. Not safe for concurrent use.
type Player struct {
	cursor *Cursor
	build  Build
	name   string
	state  *probes.State
	header *Header // that the state was built from
}

// Play begins at the first poll that is not before from. What is concluded from older polls is missing from the first
// Snapshots: charts begin there, and alerts are not yet pending.
func (r *Recording) Play(from time.Time, build Build) (*Player, error) {
	cursor, err := r.Polls(from)
	if err != nil {
		return nil, err
	}
	return &Player{cursor: cursor, build: build, name: r.Name()}, nil
}

// Next gives the next Snapshot, as the dashboard had it, but for its Source. io.EOF: there is none (yet).
func (p *Player) Next() (*probes.Snapshot, error) {
	poll, header, err := p.cursor.Next()
	if err != nil {
		return nil, err
	}
	if err := p.adopt(header); err != nil {
		return nil, err
	}
	for _, in := range poll.Inputs {
		p.state.Apply(in)
	}
	snapshot := *p.state.Snapshot(poll.At)
	snapshot.Source = probes.Source{Kind: probes.SourceRecording, Name: p.name}
	return &snapshot, nil
}

// adopt takes up what is new in a header. Every segment begins with one, which mostly says what the last one said.
func (p *Player) adopt(header *Header) error {
	if header == p.header {
		return nil
	}
	before := p.header
	p.header = header
	if before != nil && reflect.DeepEqual(before.Targets, header.Targets) && before.Rules == header.Rules {
		return nil
	}
	state, err := p.build(*header)
	if err != nil {
		return fmt.Errorf("replaying %s: %w", p.name, err)
	}
	p.state = state
	return nil
}

// Begins is when a slice begins to be of interest: what is before it is warm-up. Zero where all of it is, and before
// the first Next.
func (p *Player) Begins() time.Time {
	if p.header == nil {
		return time.Time{}
	}
	return p.header.Begins
}

// Damage tells what could not be read so far.
func (p *Player) Damage() []Damage { return p.cursor.Damage() }

// Close ends reading.
func (p *Player) Close() error { return p.cursor.Close() }

// ended says that there is nothing more to read by now.
func ended(err error) bool { return errors.Is(err, io.EOF) }
