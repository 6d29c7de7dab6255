// Package screen is what the dashboard's root and its screens have in common.
package screen

import (
	"context"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/keys"
	"captop/tui/theme"
)

// Context is all that a screen may look at. Width and Height are those of the screen's own room: the root draws a
// header above it and a footer below it.
type Context struct {
	Context  context.Context  // ends with the dashboard: commands that a screen returns must end with it
	Snapshot *probes.Snapshot // nil until the first one came
	Now      time.Time
	Width    int
	Height   int
	Theme    theme.Theme
	Keys     keys.Map
	Times    Times
	Armed    bool // writes and actions are allowed
	Past     bool // Snapshot is of an earlier time: nothing can be acted on

	// Journal is what the snapshots do not hold: actions done from this seat (kind action) and lines of the services'
	// logs (kind log), oldest first. Text may have several lines.
	Journal []probes.Event
}

// Screen is one page of the dashboard. It is a value: Update gives the next one.
type Screen interface {
	// Name is one lower-case word, for the tabs and the command line: overview, alerts, nodes, keys, events, backups, doctor.
	Name() string
	// Update handles a key or a message of one of the screen's own commands. It does no I/O: that is what commands are
	// for. handled is false for a key that means nothing here; the root then tries its own.
	Update(msg tea.Msg, c Context) (next Screen, handled bool, cmd tea.Cmd)
	// Draw gives exactly c.Height lines of at most c.Width cells. It is pure.
	Draw(c Context) []string
	// Typing says that the screen takes text, so that letters are no commands.
	Typing() bool
	// Bindings are the keys that mean something here, for the footer and the help.
	Bindings() []key.Binding
}

// Copier is a screen with something under its cursor to take along.
type Copier interface {
	// Copied is that as text, "" where there is nothing or where letters are text.
	Copied(c Context) string
}

// Times says how times are written.
type Times struct {
	Relative bool           // "3m ago" instead of the clock time
	Zone     *time.Location // nil is UTC
}

// Write gives a time as this seat wants it: 15:04:05, with the date where it is not today's, or how long ago.
func (t Times) Write(at, now time.Time) string {
	zone := t.In()
	switch {
	case at.IsZero():
		return "–"
	case t.Relative:
		if at.After(now) {
			return "in " + probes.Span(at.Sub(now))
		}
		return probes.Span(now.Sub(at)) + " ago"
	}
	local, today := at.In(zone), now.In(zone)
	if local.YearDay() != today.YearDay() || local.Year() != today.Year() {
		return local.Format("01-02 15:04:05")
	}
	return local.Format("15:04:05")
}

// In is the zone of clock times.
func (t Times) In() *time.Location {
	if t.Zone == nil {
		return time.UTC
	}
	return t.Zone
}

// Shown tells a screen that it has come to the front.
type Shown struct{}

// Tick tells the screen in front that a second has passed. A screen that refreshes what it shows does so then.
type Tick struct{}

// Command is a line of the command line that the root does not know itself, such as "filter x" or "window 15m". A
// screen that understands it says that it is handled.
type Command struct {
	Name string
	Args []string
}

// Level is how a probes severity is shown.
func Level(s probes.Severity) theme.Level {
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

// Poll is the time between two polls.
func (c Context) Poll() time.Duration {
	if c.Snapshot == nil || c.Snapshot.Poll <= 0 {
		return time.Second
	}
	return c.Snapshot.Poll
}

// Fresh is how far something seen at a time can be believed now.
func (c Context) Fresh(at time.Time) probes.Freshness {
	return probes.Read(true, at).Freshness(c.Now, c.Poll())
}

// Severity is what may be said of the whole now: an old snapshot says nothing.
func (c Context) Severity() theme.Level {
	if c.Snapshot == nil || c.Fresh(c.Snapshot.At) == probes.FreshnessUnknown {
		return theme.Unknown
	}
	return Level(c.Snapshot.Severity)
}
