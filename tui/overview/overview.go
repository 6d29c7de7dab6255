// Package overview draws the first screen from a Snapshot: a pure function, in the order in which it is read. Where am I
// and how fresh is this; the verdict; services beside nodes; charts with their limits; last events; the next step.
package overview

import (
	"time"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/theme"
)

// Input is all that a frame depends on.
type Input struct {
	Snapshot      *probes.Snapshot // nil until the first one came
	Now           time.Time
	Width, Height int
	Stack         string // what is watched, in a few words
	Seat          Seat
	Notice        string // the answer to the last key; takes the place of the next step
	Keys          []Key  // what can be pressed here, for the footer
	Theme         theme.Theme
}

// Seat says whether actions are allowed, and for how long; Left is zero where there is no end.
type Seat struct {
	Armed bool
	Left  time.Duration
}

// Key is one entry of the footer.
type Key struct{ Name, Does string }

// The least size at which the whole screen fits; smaller ones get the verdict and the states.
const (
	minWidth  = 76
	minHeight = 20
	wideWidth = 116 // from here on nodes are cards beside the services
)

// eventsShare is the part of the free rows that the events get; the charts have the rest.
const eventsShare = 0.35

// Draw gives exactly Height lines of at most Width cells.
func Draw(in Input) []string {
	p := painter{Input: in, t: in.Theme, poll: time.Second}
	if in.Snapshot != nil {
		p.poll = in.Snapshot.Poll
	}
	var lines []string
	switch {
	case in.Width < minWidth || in.Height < minHeight:
		lines = p.tiny()
	case in.Snapshot == nil:
		lines = p.waiting()
	default:
		lines = p.full()
	}
	return fit(lines, in.Width, in.Height)
}

// painter draws one frame.
type painter struct {
	Input
	t    theme.Theme
	poll time.Duration
}

func (p painter) full() []string {
	top := append([]string{p.header()}, p.verdict()...)
	if p.Width >= wideWidth {
		top = append(top, p.cards()...)
	} else {
		top = append(top, p.serviceCards(cell.Split(p.Width, 2, 2))...)
		top = append(top, p.nodeTable()...)
	}
	next := p.next()
	free := p.Height - len(top) - len(next) - 1
	events := min(max(int(float64(free)*eventsShare), 3), 16)
	charts := free - events
	if charts < 5 {
		charts, events = 0, free
	}
	lines := append(top, p.charts(charts)...)
	lines = append(lines, p.events(events)...)
	lines = append(lines, next...)
	return append(lines, p.footer())
}

// waiting is the screen before the first snapshot.
func (p painter) waiting() []string {
	lines := []string{p.header(), "", p.t.State(theme.Unknown, "Looking for the first time…")}
	for len(lines) < p.Height-1 {
		lines = append(lines, "")
	}
	return append(lines, p.footer())
}

// tiny keeps what matters most on a screen that is too small for the rest.
func (p painter) tiny() []string {
	level, sentence := p.conclusion()
	lines := []string{p.t.Badge(level, level.Word()) + " captop"}
	for _, line := range cell.Wrap(sentence, p.Width, max(p.Height-2, 1)) {
		lines = append(lines, p.t.At(level).Render(line))
	}
	if p.Snapshot != nil {
		for _, s := range p.Snapshot.Services {
			level, word := p.serviceState(s)
			lines = append(lines, cell.Left(cell.Clean(s.Name), 7)+p.t.State(level, word))
		}
		for _, n := range p.Snapshot.Nodes {
			level, word := p.nodeState(n)
			lines = append(lines, cell.Left(cell.Clean(n.Name), 7)+p.t.State(level, word))
		}
	}
	if len(lines) > p.Height-1 {
		lines = lines[:max(p.Height-1, 1)]
	}
	return append(lines, p.t.Dim.Render(sizeHint(p.Width, p.Height)))
}

// fit makes lines exactly height, each at most width cells.
func fit(lines []string, width, height int) []string {
	out := make([]string, height)
	for i := range out {
		if i < len(lines) {
			out[i] = cell.Cut(lines[i], width)
		}
	}
	return out
}

// level translates a probes severity.
func level(s probes.Severity) theme.Level {
	switch s {
	case probes.OK:
		return theme.OK
	case probes.Warning:
		return theme.Warning
	case probes.Critical:
		return theme.Critical
	}
	return theme.Unknown
}
