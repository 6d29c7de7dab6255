// Package eventview is the screen of events: one timeline of alerts, breakers, rejoins, actions and log lines.
package eventview

import (
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/screen"
)

// Events is the screen.
type Events struct {
	keys keys.Map

	chosen    string // the id of the chosen event; "" is the newest, whichever that is
	place     int    // where it stood last, for when it is gone
	follow    bool   // newest last, as in a log; else newest first
	filter    field.Line
	filtering bool
	kind      string          // only this kind; "" is all
	least     probes.Severity // only this bad or worse; Unknown is all
	open      bool            // the chosen event is shown whole
	scroll    int             // lines of it that are scrolled away

	notice      string
	noticeUntil time.Time
}

// noticeFor is how long a notice stays if no key ends it.
const noticeFor = 10 * time.Second

// New makes the screen.
func New(k keys.Map) Events { return Events{keys: k, filter: field.New(200)} }

// Name gives events.
func (Events) Name() string { return "events" }

// Typing is so while the filter takes the keys, or an event is open over the list.
func (e Events) Typing() bool { return e.filtering || e.open }

// Bindings are the keys that the footer and the help show.
func (e Events) Bindings() []key.Binding {
	k := e.keys
	open := key.NewBinding(key.WithKeys(k.Submit.Keys()...), key.WithHelp(k.Submit.Help().Key, "whole event"))
	return []key.Binding{open, k.FirstDeviation, k.Follow, k.Filter, k.EventKind, k.EventSeverity}
}

// Copied is the chosen event.
func (e Events) Copied(c screen.Context) string {
	all := e.list(c)
	if e.filtering || len(all) == 0 {
		return ""
	}
	chosen := all[e.index(all)]
	return chosen.At.In(c.Times.In()).Format("2006-01-02 15:04:05 MST") + " " + chosen.Severity.String() + " " + chosen.Target + ": " + chosen.Text
}

// Update handles keys; the screen has no commands of its own.
func (e Events) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case screen.Command:
		if msg.Name == "filter" {
			e.filter, e.chosen = e.filter.With(strings.Join(msg.Args, " ")), ""
			return e, true, nil
		}
	case tea.KeyMsg:
		next, handled := e.press(msg, c)
		return next, handled, nil
	}
	return e, false, nil
}

func (e Events) press(msg tea.KeyMsg, c screen.Context) (Events, bool) {
	e.notice = ""
	k := c.Keys
	switch {
	case e.open:
		return e.inBox(msg, c), true
	case e.filtering:
		return e.inFilter(msg), true
	case key.Matches(msg, k.Submit):
		e.open, e.scroll = len(e.list(c)) > 0, 0
		if e.open {
			e = e.hold(c)
		}
	case key.Matches(msg, k.Filter):
		e.filtering = true
	case key.Matches(msg, k.Follow):
		e.follow, e.chosen = !e.follow, ""
	case key.Matches(msg, k.EventKind):
		e.kind, e.chosen = after(kinds(timeline(c)), e.kind), ""
	case key.Matches(msg, k.EventSeverity):
		e.least, e.chosen = map[probes.Severity]probes.Severity{probes.Unknown: probes.Warning, probes.Warning: probes.Critical}[e.least], ""
	case key.Matches(msg, k.FirstDeviation):
		return e.goToFirst(c), true
	case key.Matches(msg, k.Back):
		return e.back()
	default:
		return e.move(msg, c)
	}
	return e, true
}

// after is the kind that follows one in a list; the last one is followed by all of them.
func after(all []string, kind string) string {
	if kind == "" {
		return append(all, "")[0]
	}
	for i, k := range all {
		if k == kind && i+1 < len(all) {
			return all[i+1]
		}
	}
	return ""
}

// back takes one thing away: what narrows the list, then the choice.
func (e Events) back() (Events, bool) {
	switch {
	case e.filter.Text() != "":
		e.filter = e.filter.With("")
	case e.kind != "" || e.least != probes.Unknown:
		e.kind, e.least = "", probes.Unknown
	case e.chosen != "":
		e.chosen = ""
	default:
		return e, false
	}
	return e, true
}

// inFilter takes a key while the filter is typed.
func (e Events) inFilter(msg tea.KeyMsg) Events {
	if e.filter, e.filtering = e.filter.Typed(msg, e.keys); e.filtering {
		e.chosen = ""
	}
	return e
}

// inBox scrolls the open event, or closes it.
func (e Events) inBox(msg tea.KeyMsg, c screen.Context) Events {
	if by, ok := c.Keys.Step(msg, max(c.Height-4, 1)); ok {
		e.scroll = min(max(e.scroll+by, 0), e.furthest(c))
		return e
	}
	if key.Matches(msg, c.Keys.Back, c.Keys.Submit, c.Keys.Quit) {
		e.open = false
	}
	return e
}

// hold chooses what was chosen as the newest, so that the next event does not take its place.
func (e Events) hold(c screen.Context) Events {
	if all := e.list(c); len(all) > 0 {
		at := e.index(all)
		e.chosen, e.place = id(all[at]), at
	}
	return e
}

func (e Events) move(msg tea.KeyMsg, c screen.Context) (Events, bool) {
	by, ok := c.Keys.Step(msg, max(c.Height-4, 1))
	if !ok {
		return e, false
	}
	all := e.list(c)
	if len(all) == 0 {
		return e, true
	}
	at := min(max(e.index(all)+by, 0), len(all)-1)
	e.chosen, e.place = id(all[at]), at
	if at == e.newest(all) {
		e.chosen = "" // what comes next is the newest then
	}
	return e, true
}

// goToFirst chooses the event with which the incident began, and takes away what would hide it.
func (e Events) goToFirst(c screen.Context) Events {
	first, now, ok := firstDeviation(timeline(c), c)
	if !ok {
		return e.say(c, "Nothing has deviated since captop began to watch.")
	}
	all := e.list(c)
	if indexOf(all, id(first)) < 0 {
		e.filter, e.kind, e.least = e.filter.With(""), "", probes.Unknown
		all = e.list(c)
	}
	e.chosen, e.place = id(first), indexOf(all, id(first))
	if !now {
		return e.say(c, "All is well now: this is how the last incident began.")
	}
	return e
}

func (e Events) say(c screen.Context, text string) Events {
	e.notice, e.noticeUntil = text, c.Now.Add(noticeFor)
	return e
}
