// Package overview draws the first screen from a Snapshot: a pure function, in the order in which it is read. Where am I
// and how fresh is this; the verdict; services beside nodes; charts with their limits; last events; the next step.
package overview

import (
	"time"

	"github.com/charmbracelet/bubbles/key"

	"captop/service"
	"captop/tui/cell"
	"captop/tui/keys"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Overview is the first screen.
type Overview struct {
	remedy  Remedy
	keys    keys.Map
	window  time.Duration // of the charts
	cursor  time.Time     // whose values the charts read; zero: the newest
	focused service.Mode  // the group that is looked into; "" is none
	open    bool          // one of its instances is shown in place of the group
	chosen  string        // its name
}

// Remedy gives what helps on this stack where a verdict names an act: how is "press" or "type", input the key or the line;
// both are "" where nothing does. fact is how the part is, where the stack knows more than the verdict; it stands in the place of the next step.
type Remedy func(act string) (how, input, fact string)

// defaultWindow is long enough to see what led to an alert, and short enough to see a fault of seconds.
const defaultWindow = 5 * time.Minute

// New makes the screen. The next step names only what remedy knows.
func New(k keys.Map, remedy Remedy) screen.Screen {
	return Overview{remedy: remedy, keys: k, window: defaultWindow}
}

// Name gives overview.
func (Overview) Name() string { return "overview" }

// Typing is never so here.
func (Overview) Typing() bool { return false }

// Bindings are the keys of the charts.
func (o Overview) Bindings() []key.Binding {
	cursor := key.NewBinding(key.WithKeys(o.keys.Left.Keys()...), key.WithHelp(o.keys.Left.Help().Key+" "+o.keys.Right.Help().Key, "read the charts"))
	return []key.Binding{cursor, o.keys.WindowLonger, o.keys.WindowShorter}
}

// The least size at which every part has its numbers; smaller ones get the verdict, the next step and the states.
const (
	minWidth  = 76
	minHeight = 14
	// From here on nodes are cards beside the services.
	wideWidth  = 116
	wideHeight = 18
)

// eventsShare is the part of the free rows that the events get; the charts have the rest.
const eventsShare = 0.35

// Draw gives exactly c.Height lines of at most c.Width cells.
func (o Overview) Draw(c screen.Context) []string {
	p := painter{Context: c, Overview: o, t: c.Theme, poll: c.Poll()}
	var lines []string
	switch {
	case c.Width < minWidth || c.Height < minHeight:
		lines = p.tiny()
	case c.Snapshot == nil:
		lines = []string{"", p.t.State(theme.Unknown, "Looking for the first time…")}
	default:
		lines = p.full()
	}
	return cell.Fit(lines, c.Width, c.Height)
}

// painter draws one frame.
type painter struct {
	screen.Context
	Overview
	t    theme.Theme
	poll time.Duration
}

// full is the whole screen, in the order in which it is read.
func (p painter) full() []string {
	top := p.verdict()
	if p.Width >= wideWidth && p.Height >= wideHeight {
		top = append(top, p.cards()...)
	} else {
		top = append(top, p.serviceCards(cell.Split(p.Width, 2, 2))...)
		top = append(top, p.nodeTable()...)
	}
	next := p.next()
	top = append(top, p.fuses(min(p.Height-len(top)-len(next), p.fuseRows()))...)
	charts, events := share(p.Height - len(top) - len(next))
	lines := append(top, p.charts(charts)...)
	lines = append(lines, p.events(events)...)
	return append(lines, next...)
}

// The least rows of alerts, charts and events with which they say something.
const (
	leastFuses  = 4 // the worst three and their title
	leastCharts = 5
	leastEvents = 2
)

// share parts the free rows between charts and events. Where there is no room for both the charts stay: they tell what
// the verdict does not, and the events have a screen of their own.
func share(free int) (charts, events int) {
	switch {
	case free < 4:
		return 0, max(free, 0)
	case free < leastCharts+leastEvents:
		return free, 0
	}
	events = min(max(int(float64(free)*eventsShare), leastEvents), 16)
	return free - events, events
}

// tiny keeps what matters most on a screen that is too small for the rest, in the order in which it goes as there is less room:
// the verdict, the next step, the state of each part, the alerts that need eyes, the last events.
func (p painter) tiny() []string {
	level, sentence := p.conclusion()
	var next []string
	if p.Snapshot != nil && level != theme.OK {
		next = p.next()
	}
	var lines []string
	for _, line := range cell.Wrap(sentence, p.Width, max(p.Height-1-len(next), 1)) {
		lines = append(lines, p.t.At(level).Render(line))
	}
	lines = append(lines, next...)
	if p.Snapshot != nil {
		lines = append(lines, p.states()...)
		free := p.Height - 1 - len(lines)
		lines = append(lines, p.fuses(max(free/2, min(free, leastFuses)))...)
		if free = p.Height - 1 - len(lines); free >= leastEvents {
			lines = append(lines, p.events(free)...)
		}
	}
	lines = lines[:max(min(len(lines), p.Height-1), 0)]
	return append(lines, p.t.Dim.Render(sizeHint(p.Width, p.Height)))
}

// states is the state of each part in a word, side by side where there is room.
func (p painter) states() []string {
	const nameWidth, cardWidth = 9, 28
	var parts []string
	add := func(name string, level theme.Level, word string) {
		parts = append(parts, cell.Left(cell.Clean(name), nameWidth)+p.t.State(level, word))
	}
	for _, s := range p.Snapshot.Services {
		level, word := p.serviceState(s)
		add(s.Name, level, word)
	}
	for _, n := range p.Snapshot.Nodes {
		level, word := p.nodeState(n)
		add(n.Name, level, word)
	}
	widths := []int{p.Width}
	if p.Width >= 2*cardWidth {
		widths = []int{cardWidth, p.Width - cardWidth}
	}
	columns := make([][]string, len(widths))
	for i, part := range parts {
		columns[i%len(columns)] = append(columns[i%len(columns)], part)
	}
	return cell.Beside("", widths, columns...)
}
