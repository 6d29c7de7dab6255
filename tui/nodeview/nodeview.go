// Package nodeview is the screen of the nodes: what INFO tells of each and what every service sees of it, the slow log,
// clients and latency. It looks closely only while it is in front.
package nodeview

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes/inspect"
	"captop/service"
	"captop/tui/box"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/rows"
	"captop/tui/screen"
)

// Inspect looks closely at one node; it must end with ctx.
type Inspect func(ctx context.Context, node string) (inspect.Inspection, error)

// every is the time between two looks.
const every = 2 * time.Second

// pane is one of the screen's pages.
type pane int

const (
	paneState pane = iota
	paneSlow
	paneClients
	paneLatency
	panes   // how many there are to go through
	allInfo // every field of INFO, opened from the first pane
)

var paneNames = [panes]string{"state", "slow log", "clients", "latency"}

// nodes are the two nodes, in the order in which they are shown.
var nodes = [2]string{service.G1, service.G2}

// look is what the last looks at a node brought.
type look struct {
	in      inspect.Inspection
	err     string    // why the last look brought nothing; "" where it did
	began   time.Time // of the last look
	pending bool
}

// View is the screen.
type View struct {
	inspect Inspect
	keys    keys.Map
	looks   map[string]look // never changed, only replaced
	pane    pane
	places  [allInfo + 1]rows.Place
	filter  field.Line
	typing  bool
	open    bool // the row under the cursor is shown whole
}

// New makes the screen. A nil inspect shows only what the polls bring.
func New(k keys.Map, inspect Inspect) screen.Screen {
	return View{inspect: inspect, keys: k, looks: map[string]look{}, filter: field.New(100)}
}

// Name gives nodes.
func (View) Name() string { return "nodes" }

// Typing says that the filter takes text.
func (v View) Typing() bool { return v.typing }

// Bindings are the keys of the panes.
func (v View) Bindings() []key.Binding {
	named := func(b key.Binding, what string) key.Binding {
		return key.NewBinding(key.WithKeys(b.Keys()...), key.WithHelp(b.Help().Key, what))
	}
	if v.typing {
		return []key.Binding{named(v.keys.Submit, "keep"), named(v.keys.Back, "clear")}
	}
	all := []key.Binding{named(v.keys.Next, "next pane"), named(v.keys.Submit, "details"), named(v.keys.Filter, "filter")}
	if v.pane == allInfo || v.open || v.filter.Text() != "" {
		all = append(all, named(v.keys.Back, "back"))
	}
	return all
}

// lookMsg brings the end of one look.
type lookMsg struct {
	node string
	in   inspect.Inspection
	err  error
}

// Update takes keys, looks that ended, and the clock, at whose beat the next looks begin.
func (v View) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case screen.Shown, screen.Tick:
		next, cmd := v.refresh(c)
		return next, true, cmd
	case lookMsg:
		return v.took(msg), true, nil
	case screen.Command:
		if msg.Name == "filter" {
			v.filter = v.filter.With(joined(msg.Args))
			return v, true, nil
		}
	case tea.KeyMsg:
		if v.typing {
			return v.edit(msg), true, nil
		}
		next, handled := v.press(msg, c)
		return next, handled, nil
	}
	return v, false, nil
}

func joined(args []string) (text string) {
	for i, arg := range args {
		if i > 0 {
			text += " "
		}
		text += arg
	}
	return text
}

// refresh begins the looks whose time has come. What is past cannot be looked at.
func (v View) refresh(c screen.Context) (View, tea.Cmd) {
	if v.inspect == nil || c.Past {
		return v, nil
	}
	v.looks = maps.Clone(v.looks)
	var commands []tea.Cmd
	for _, node := range nodes {
		l := v.looks[node]
		if l.pending || c.Now.Sub(l.began) < every-every/10 {
			continue
		}
		l.pending, l.began = true, c.Now
		v.looks[node] = l
		ctx, ask := c.Context, v.inspect
		commands = append(commands, func() tea.Msg {
			in, err := ask(ctx, node)
			return lookMsg{node, in, err}
		})
	}
	return v, tea.Batch(commands...)
}

// took keeps what a look brought; after one that brought nothing, the last one is shown with its age.
func (v View) took(msg lookMsg) View {
	v.looks = maps.Clone(v.looks)
	l := v.looks[msg.node]
	l.pending, l.err = false, ""
	if msg.err != nil {
		l.err = msg.in.Info.Error
		if l.err == "" {
			l.err = errors.Unwrap(msg.err).Error()
		}
	} else {
		l.in = msg.in
	}
	v.looks[msg.node] = l
	return v
}

// edit takes a key while the filter is typed.
func (v View) edit(msg tea.KeyMsg) View {
	if v.filter, v.typing = v.filter.Typed(msg, v.keys); v.typing {
		v.places[v.pane] = rows.Place{}
	}
	return v
}

func (v View) press(msg tea.KeyMsg, c screen.Context) (View, bool) {
	p := painter{Context: c, View: v, t: c.Theme}
	switch k := c.Keys; {
	case key.Matches(msg, k.Next):
		v.pane, v.open = (min(v.pane, panes-1)+1)%panes, false
	case key.Matches(msg, k.Previous):
		v.pane, v.open = (v.pane%panes+panes-1)%panes, false
	case key.Matches(msg, k.Filter):
		v.typing, v.open = true, false
	case key.Matches(msg, k.Submit):
		return v.details(len(p.list().rows))
	case key.Matches(msg, k.Back):
		return v.back()
	default:
		count, height := len(p.list().rows), p.listHeight()
		move := v.places[v.pane].Press
		if v.pane == paneState || v.pane == paneLatency {
			move = v.places[v.pane].Scroll
		}
		next, moved := move(msg, k, count, height)
		v.places[v.pane] = next
		return v, moved
	}
	return v, true
}

func (v View) details(count int) (View, bool) {
	switch v.pane {
	case paneState:
		v.pane, v.places[allInfo] = allInfo, rows.Place{}
	case allInfo:
		v.pane = paneState
	default:
		v.open = !v.open && count > 0
	}
	return v, true
}

// back closes one thing after the other.
func (v View) back() (View, bool) {
	switch {
	case v.open:
		v.open = false
	case v.filter.Text() != "":
		v.filter = v.filter.With("")
	case v.pane == allInfo:
		v.pane = paneState
	default:
		return v, false
	}
	return v, true
}

// Draw gives exactly c.Height lines of at most c.Width cells.
func (v View) Draw(c screen.Context) []string {
	p := painter{Context: c, View: v, t: c.Theme}
	lines := cell.Fit(p.draw(), c.Width, c.Height)
	list := p.list()
	at := v.places[v.pane].At(len(list.rows))
	if v.open && at >= 0 && list.rows[at].whole != nil && c.Height > 0 && c.Width > 0 {
		lines = cell.Fit(box.Over(lines, c.Width, c.Theme, list.rows[at].whole), c.Width, c.Height)
	}
	return lines
}
