// Package keyview is the screen of the keys: a search, one key as both services and both nodes have it, and a comparison
// of the nodes key by key. It reads only when asked to: every read through a service counts against its rate limits.
package keyview

import (
	"context"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes/keyspace"
	"captop/tui/box"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/rows"
	"captop/tui/screen"
)

// Source is where keys are looked at. Its functions are called outside the screen's loop and end with their contexts. A
// nil Find means that there is none.
type Source struct {
	Find    func(ctx context.Context, query string, news func(keyspace.Search)) keyspace.Search
	Look    func(ctx context.Context, key string) keyspace.Look
	Compare func(ctx context.Context, news func(keyspace.Comparison)) keyspace.Comparison
}

// pane is one of the screen's pages.
type pane int

const (
	paneSearch pane = iota
	paneKey
	paneCompare
	panes
)

var paneNames = [panes]string{"search", "one key", "comparison"}

// View is the screen.
type View struct {
	source Source
	keys   keys.Map
	pane   pane
	places [panes]rows.Place
	typing bool
	open   bool // the values are shown whole

	query      field.Line
	search     keyspace.Search
	searches   int                // the number of the last one; 0: there was none
	stopSearch context.CancelFunc // nil while none runs

	looked  string // the key that is shown or read
	look    keyspace.Look
	looks   int // the number of the last one
	reading bool

	filter      field.Line
	comparison  keyspace.Comparison
	comparisons int
	stopCompare context.CancelFunc // nil while none runs
}

// New makes the screen.
func New(k keys.Map, source Source) screen.Screen {
	return View{source: source, keys: k, query: field.New(512), filter: field.New(100)}
}

// Name gives keys.
func (View) Name() string { return "keys" }

// Typing says that the query or the filter takes text.
func (v View) Typing() bool { return v.typing }

// Bindings are the keys of the pane in front.
func (v View) Bindings() []key.Binding {
	named := func(b key.Binding, what string) key.Binding {
		return key.NewBinding(key.WithKeys(b.Keys()...), key.WithHelp(b.Help().Key, what))
	}
	if v.typing {
		what := "search"
		if v.pane == paneCompare {
			what = "keep"
		}
		return []key.Binding{named(v.keys.Submit, what), named(v.keys.Back, "cancel")}
	}
	next, compare := named(v.keys.Next, "pane"), named(v.keys.Compare, "compare")
	switch v.pane {
	case paneKey:
		return []key.Binding{named(v.keys.Again, "read again"), named(v.keys.Submit, "values"), named(v.keys.Filter, "search"), next, compare}
	case paneCompare:
		if v.stopCompare != nil {
			return []key.Binding{named(v.keys.Back, "stop it"), named(v.keys.Submit, "look"), next, compare}
		}
		return []key.Binding{compare, named(v.keys.Submit, "look"), named(v.keys.Filter, "filter"), next}
	}
	return []key.Binding{named(v.keys.Filter, "search"), named(v.keys.Submit, "look"), next, compare}
}

// newsMsg brings how far something is that runs beside the screen.
type newsMsg[T any] struct {
	number int
	value  T
	end    bool
	more   <-chan newsMsg[T]
}

// lookMsg brings a key that was read.
type lookMsg struct {
	number int
	look   keyspace.Look
}

// start runs something beside the screen and gives its first news. outer ends with the dashboard, inner with that or when
// the run is stopped.
func start[T any](outer, inner context.Context, number int, run func(context.Context, func(T)) T) tea.Cmd {
	return func() tea.Msg {
		news := make(chan newsMsg[T])
		go func() {
			defer close(news)
			value := run(inner, func(value T) {
				select {
				case news <- newsMsg[T]{number: number, value: value, more: news}:
				case <-inner.Done():
				}
			})
			select {
			case news <- newsMsg[T]{number: number, value: value, end: true}:
			case <-outer.Done():
			}
		}()
		return next(news)
	}
}

func next[T any](more <-chan newsMsg[T]) tea.Msg {
	if msg, ok := <-more; ok {
		return msg
	}
	return nil
}

// Update takes keys and news.
func (v View) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case newsMsg[keyspace.Search]:
		return v.searched(msg)
	case newsMsg[keyspace.Comparison]:
		return v.compared(msg)
	case lookMsg:
		if msg.number == v.looks {
			v.look, v.reading = msg.look, false
		}
		return v, true, nil
	case screen.Command:
		return v.command(msg, c)
	case tea.KeyMsg:
		if v.source.Find == nil || c.Past {
			return v, false, nil
		}
		if v.typing {
			return v.edit(msg, c)
		}
		return v.press(msg, c)
	}
	return v, false, nil
}

// command is what the command line knows of this screen: find, key, compare, filter.
func (v View) command(msg screen.Command, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	text := strings.Join(msg.Args, " ")
	if v.source.Find == nil || c.Past {
		return v, false, nil
	}
	switch msg.Name {
	case "find":
		v.pane, v.query = paneSearch, v.query.With(text)
		return v.begin(c)
	case "key":
		return v.lookAt(text, c)
	case "compare":
		return v.compare(c)
	case "filter":
		v.pane, v.filter = paneCompare, v.filter.With(text)
		return v, true, nil
	}
	return v, false, nil
}

// edit takes a key while the query or the filter is typed.
func (v View) edit(msg tea.KeyMsg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch {
	case v.pane == paneCompare:
		if v.filter, v.typing = v.filter.Typed(msg, v.keys); v.typing {
			v.places[paneCompare] = rows.Place{}
		}
	case key.Matches(msg, v.keys.Back):
		v.typing = false
	case key.Matches(msg, v.keys.Submit):
		return v.begin(c)
	default:
		v.query = v.query.Update(msg)
	}
	return v, true, nil
}

// begin starts a search for the query.
func (v View) begin(c screen.Context) (screen.Screen, bool, tea.Cmd) {
	if v.stopSearch != nil {
		v.stopSearch()
	}
	ctx, stop := context.WithCancel(c.Context)
	v.typing, v.stopSearch = false, stop
	v.searches++
	query, find := v.query.Text(), v.source.Find
	v.search, v.places[paneSearch] = keyspace.Search{Query: query}, rows.Place{}
	return v, true, start(c.Context, ctx, v.searches, func(ctx context.Context, news func(keyspace.Search)) keyspace.Search {
		return find(ctx, query, news)
	})
}

func (v View) searched(msg newsMsg[keyspace.Search]) (screen.Screen, bool, tea.Cmd) {
	if msg.number == v.searches {
		v.search = msg.value
		if msg.end && v.stopSearch != nil {
			v.stopSearch()
			v.stopSearch = nil
		}
	}
	if msg.end {
		return v, true, nil
	}
	return v, true, func() tea.Msg { return next(msg.more) }
}

func (v View) press(msg tea.KeyMsg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch k := c.Keys; {
	case key.Matches(msg, k.Next):
		v.pane, v.open = (v.pane+1)%panes, false
	case key.Matches(msg, k.Previous):
		v.pane, v.open = (v.pane+panes-1)%panes, false
	case key.Matches(msg, k.Filter):
		v.typing, v.open = true, false
		if v.pane == paneKey {
			v.pane = paneSearch
		}
	case key.Matches(msg, k.Compare):
		return v.compare(c)
	case key.Matches(msg, k.Again) && v.looked != "":
		return v.lookAt(v.looked, c)
	case key.Matches(msg, k.Submit):
		return v.submit(c)
	case key.Matches(msg, k.Back):
		return v.back()
	default:
		p := painter{Context: c, View: v, t: c.Theme}
		above, list := p.content()
		count, height := len(list), max(c.Height-1-len(above), 1)
		move := v.places[v.pane].Press
		if v.pane == paneKey {
			move = v.places[v.pane].Scroll
		}
		place, moved := move(msg, k, count, height)
		v.places[v.pane] = place
		return v, moved, nil
	}
	return v, true, nil
}

// submit looks at the key under the cursor, or shows its values whole.
func (v View) submit(c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch v.pane {
	case paneKey:
		v.open = !v.open && v.look.Key != ""
	case paneSearch:
		if at := v.places[paneSearch].At(len(v.search.Keys)); at >= 0 {
			return v.lookAt(v.search.Keys[at].Key, c)
		}
		if v.searches == 0 {
			return v.begin(c)
		}
	case paneCompare:
		found := v.findings()
		if at := v.places[paneCompare].At(len(found)); at >= 0 {
			return v.lookAt(found[at].Key, c)
		}
	}
	return v, true, nil
}

// lookAt reads a key from all sides.
func (v View) lookAt(name string, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	if name == "" {
		return v, true, nil
	}
	if name != v.look.Key {
		v.look, v.places[paneKey] = keyspace.Look{}, rows.Place{}
	}
	v.looks++
	v.pane, v.looked, v.reading, v.open = paneKey, name, true, false
	ctx, read, number := c.Context, v.source.Look, v.looks
	return v, true, func() tea.Msg { return lookMsg{number, read(ctx, name)} }
}

// compare brings the comparison to the front and starts one, unless one runs.
func (v View) compare(c screen.Context) (screen.Screen, bool, tea.Cmd) {
	v.pane, v.open = paneCompare, false
	if v.stopCompare != nil {
		return v, true, nil
	}
	ctx, stop := context.WithCancel(c.Context)
	v.stopCompare = stop
	v.comparisons++
	v.comparison, v.places[paneCompare] = keyspace.Comparison{Started: c.Now, At: c.Now}, rows.Place{}
	return v, true, start(c.Context, ctx, v.comparisons, v.source.Compare)
}

func (v View) compared(msg newsMsg[keyspace.Comparison]) (screen.Screen, bool, tea.Cmd) {
	if msg.number == v.comparisons {
		v.comparison = msg.value
	}
	if msg.end {
		if v.stopCompare != nil {
			v.stopCompare()
			v.stopCompare = nil
		}
		return v, true, nil
	}
	return v, true, func() tea.Msg { return next(msg.more) }
}

// back closes or stops one thing after the other.
func (v View) back() (screen.Screen, bool, tea.Cmd) {
	switch {
	case v.open:
		v.open = false
	case v.pane == paneCompare && v.stopCompare != nil:
		v.stopCompare() // its end comes as news
	case v.pane == paneCompare && v.filter.Text() != "":
		v.filter = v.filter.With("")
	case v.pane == paneSearch && v.stopSearch != nil:
		v.stopSearch()
	case v.pane != paneSearch:
		v.pane = paneSearch
	default:
		return v, false, nil
	}
	return v, true, nil
}

// findings are those that the filter lets through.
func (v View) findings() []keyspace.Finding {
	wanted := strings.ToLower(v.filter.Text())
	if wanted == "" {
		return v.comparison.Findings
	}
	var kept []keyspace.Finding
	for _, f := range v.comparison.Findings {
		if strings.Contains(strings.ToLower(string(f.Mode)+" "+f.Key+" "+f.State.String()+" "+f.Why), wanted) {
			kept = append(kept, f)
		}
	}
	return kept
}

// Draw gives exactly c.Height lines of at most c.Width cells.
func (v View) Draw(c screen.Context) []string {
	p := painter{Context: c, View: v, t: c.Theme}
	lines := cell.Fit(p.draw(), c.Width, c.Height)
	if v.open && v.pane == paneKey && c.Height > 0 && c.Width > 0 {
		lines = cell.Fit(box.Over(lines, c.Width, c.Theme, p.values), c.Width, c.Height)
	}
	return lines
}
