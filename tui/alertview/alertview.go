package alertview

import (
	"context"
	"maps"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/probes/alerts"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/screen"
)

// Options are the functions that the screen works with; package tui says what each one is. All may be nil.
type Options struct {
	Runbook       func(name string) (page string, err error)
	Checks        func(name string) ([]Check, error)
	Query         func(ctx context.Context, expr string) ([]alerts.Sample, error)
	Acknowledge   func(ctx context.Context, ack probes.Ack) error
	Unacknowledge func(ctx context.Context, ack probes.Ack) error
	Silence       func(ctx context.Context, silence probes.Silence) (id string, err error)
	Unsilence     func(ctx context.Context, id string) error
}

// focus is the pane that the arrows move in.
type focus int

const (
	onList focus = iota
	onPage
	onHistory
	panes
)

// Alerts is the screen.
type Alerts struct {
	options Options
	keys    keys.Map

	chosen    string // the id of the chosen entry; "" is the first one, whichever that is
	place     int    // where the chosen entry stood last, for when it is gone
	focus     focus
	scroll    [panes]int // lines that are scrolled away: of the page, of the history
	filter    field.Line
	filtering bool // the filter takes the keys
	form      form // nil when none is open
	pages     map[string]page

	notice      string
	noticeUntil time.Time
}

// noticeFor is how long a notice stays if no key ends it.
const noticeFor = 10 * time.Second

// New makes the screen.
func New(k keys.Map, options Options) Alerts {
	return Alerts{options: options, keys: k, filter: field.New(200), pages: map[string]page{}}
}

// Name gives alerts.
func (Alerts) Name() string { return "alerts" }

// Typing is so while the filter or a form is open.
func (a Alerts) Typing() bool { return a.filtering || a.form != nil }

// Bindings are the keys that the footer and the help show.
func (a Alerts) Bindings() []key.Binding {
	k := a.keys
	open := key.NewBinding(key.WithKeys(k.Submit.Keys()...), key.WithHelp(k.Submit.Help().Key, "runbook page"))
	return []key.Binding{open, k.RunChecks, k.Acknowledge, k.Silence, k.Undo, k.Filter, k.Next}
}

// Copied is the chosen alert: its state, labels and value, and its page.
func (a Alerts) Copied(c screen.Context) string {
	e := a.current(c)
	if a.Typing() || e.rule.Name == "" {
		return ""
	}
	text := e.rule.Name + " " + told(e) + ": " + e.kind.word() + ", " + against(e)
	if e.rule.Runbook != "" {
		text += "\nrunbook: " + e.rule.Runbook
	}
	return text
}

// Update handles keys and the answers to its own commands.
func (a Alerts) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case pageMsg:
		return a.withPage(msg.name, msg.page), true, nil
	case resultMsg:
		return a.withResult(msg), true, nil
	case doneMsg:
		return a.done(msg, c), true, nil
	case screen.Shown, screen.Tick:
		a, cmd := a.read(c)
		return a, true, cmd
	case screen.Command:
		if msg.Name != "filter" {
			return a, false, nil
		}
		a.filter = a.filter.With(joined(msg.Args))
		a, cmd := a.read(c)
		return a, true, cmd
	case tea.KeyMsg:
		next, handled, cmd := a.press(msg, c)
		next, more := next.read(c)
		return next, handled, tea.Batch(cmd, more)
	}
	return a, false, nil
}

func joined(words []string) string {
	out := ""
	for i, word := range words {
		if i > 0 {
			out += " "
		}
		out += word
	}
	return out
}

func (a Alerts) press(msg tea.KeyMsg, c screen.Context) (Alerts, bool, tea.Cmd) {
	a.notice = ""
	switch {
	case a.form != nil:
		return a.inForm(msg, c)
	case a.filtering:
		a.filter, a.filtering = a.filter.Typed(msg, a.keys)
		return a, true, nil
	}
	k := c.Keys
	if key.Matches(msg, k.Submit, k.RunChecks, k.Acknowledge, k.Silence, k.Undo) {
		a = a.hold(c)
	}
	switch {
	case key.Matches(msg, k.Next):
		a.focus = (a.focus + 1) % panes
	case key.Matches(msg, k.Previous):
		a.focus = (a.focus + panes - 1) % panes
	case key.Matches(msg, k.Submit):
		if a.focus = onPage; a.pages[a.current(c).rule.Runbook].failed() {
			a = a.withoutPage(a.current(c).rule.Runbook)
		}
	case key.Matches(msg, k.Filter):
		a.focus, a.filtering = onList, true
	case key.Matches(msg, k.Back):
		return a.back()
	case key.Matches(msg, k.RunChecks):
		next, cmd := a.runChecks(a.current(c).rule.Runbook, c)
		return next, true, cmd
	case key.Matches(msg, k.Acknowledge):
		return a.openAck(c), true, nil
	case key.Matches(msg, k.Silence):
		return a.openSilence(c), true, nil
	case key.Matches(msg, k.Undo):
		return a.openUndo(c), true, nil
	default:
		return a.move(msg, c)
	}
	return a, true, nil
}

// back closes one thing: the page, then the filter.
func (a Alerts) back() (Alerts, bool, tea.Cmd) {
	switch {
	case a.focus != onList:
		a.focus = onList
	case a.filter.Text() != "":
		a.filter = a.filter.With("")
	default:
		return a, false, nil
	}
	return a, true, nil
}

// move goes through the list, or scrolls the pane that has the focus.
func (a Alerts) move(msg tea.KeyMsg, c screen.Context) (Alerts, bool, tea.Cmd) {
	by, ok := c.Keys.Step(msg, max(c.Height/2-2, 1))
	if !ok {
		return a, false, nil
	}
	if a.focus != onList {
		a.scroll[a.focus] = min(max(a.scroll[a.focus]+by, 0), a.furthest(c))
		return a, true, nil
	}
	all := a.list(c)
	if len(all) == 0 {
		return a, true, nil
	}
	at := min(max(a.index(all)+by, 0), len(all)-1)
	a.chosen, a.place, a.scroll[onPage] = all[at].id(), at, 0
	return a, true, nil
}

// list is what the filter leaves.
func (a Alerts) list(c screen.Context) []entry { return filtered(entries(c.Snapshot), a.filter.Text()) }

// index is where the chosen entry stands; where it is gone, what took its place.
func (a Alerts) index(all []entry) int {
	if a.chosen == "" {
		return 0
	}
	for i, e := range all {
		if e.id() == a.chosen {
			return i
		}
	}
	return min(a.place, max(len(all)-1, 0))
}

// hold chooses what was chosen as the first one: who works on an alert keeps it, wherever it goes in the list.
func (a Alerts) hold(c screen.Context) Alerts {
	if all := a.list(c); len(all) > 0 {
		at := a.index(all)
		a.chosen, a.place = all[at].id(), at
	}
	return a
}

// current is the chosen entry; an empty one where there is none.
func (a Alerts) current(c screen.Context) entry {
	if all := a.list(c); len(all) > 0 {
		return all[a.index(all)]
	}
	return entry{kind: quiet}
}

// read asks for the page of the chosen entry if it was not read yet.
func (a Alerts) read(c screen.Context) (Alerts, tea.Cmd) {
	name := a.current(c).rule.Runbook
	if _, known := a.pages[name]; known || name == "" || a.options.Runbook == nil {
		return a, nil
	}
	return a.withPage(name, page{}), a.load(name)
}

func (a Alerts) withPage(name string, p page) Alerts {
	a.pages = maps.Clone(a.pages)
	a.pages[name] = p
	return a
}

func (a Alerts) withoutPage(name string) Alerts {
	a.pages = maps.Clone(a.pages)
	delete(a.pages, name)
	return a
}

func (p page) failed() bool { return p.loaded && len(p.problems) > 0 }

// say answers a key.
func (a Alerts) say(c screen.Context, text string) Alerts {
	a.notice, a.noticeUntil = text, c.Now.Add(noticeFor)
	return a
}
