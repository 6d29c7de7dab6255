// Package doctorview is the screen of the checklist before a deployment: what fails first, and what makes it right beside
// the line under the cursor. It looks only when it is told to.
package doctorview

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/rows"
	"captop/tui/screen"
)

// Outcome of a line. Its zero value is the one that says nothing.
type Outcome int

// The outcomes.
const (
	CannotTell Outcome = iota
	Pass
	Fail
)

// Line is one line of the checklist.
type Line struct{ Name, Area, Title, Why string }

// Result is what became of a line.
type Result struct {
	Name    string
	Outcome Outcome
	Seen    []string // the worst first
	Fix     string   // a command; "" for none
}

// Examine begins to go through the checklist, gives its lines, and then each result as it comes. The channel closes at
// the end, also when ctx ends. It must not block before it gives the channel.
type Examine func(ctx context.Context) (lines []Line, results <-chan Result)

// Doctor is the screen.
type Doctor struct {
	examine Examine
	keys    keys.Map

	lines   []Line
	results map[string]Result // by name; never changed, only replaced
	coming  <-chan Result     // nil while nobody looks
	began   time.Time         // of the last run
	ended   time.Time         // zero before the first has ended
	place   rows.Place
	filter  field.Line
	typing  bool
}

// New makes the screen. A nil examine offers no checklist.
func New(k keys.Map, examine Examine) screen.Screen {
	return Doctor{examine: examine, keys: k, filter: field.New(100)}
}

// Name gives doctor.
func (Doctor) Name() string { return "doctor" }

// Typing says that the filter takes text.
func (d Doctor) Typing() bool { return d.typing }

// Bindings are the keys that mean something here.
func (d Doctor) Bindings() []key.Binding {
	named := func(b key.Binding, what string) key.Binding {
		return key.NewBinding(key.WithKeys(b.Keys()...), key.WithHelp(b.Help().Key, what))
	}
	if d.typing {
		return []key.Binding{named(d.keys.Submit, "keep"), named(d.keys.Back, "clear")}
	}
	all := []key.Binding{named(d.keys.Examine, "examine"), named(d.keys.Filter, "filter")}
	if d.filter.Text() != "" {
		all = append(all, named(d.keys.Back, "back"))
	}
	return all
}

// resultMsg brings one result, and where the next ones come from; done is the end of a run.
type resultMsg struct {
	result Result
	from   <-chan Result
	done   bool
}

// await takes the next result of a run.
func await(from <-chan Result) tea.Cmd {
	return func() tea.Msg {
		result, ok := <-from
		return resultMsg{result: result, from: from, done: !ok}
	}
}

// Update takes keys, and results as they come.
func (d Doctor) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case resultMsg:
		return d.took(msg, c)
	case screen.Command:
		if msg.Name == "filter" {
			d.filter, d.place = d.filter.With(strings.Join(msg.Args, " ")), rows.Place{}
			return d, true, nil
		}
	case tea.KeyMsg:
		if d.typing {
			return d.edit(msg), true, nil
		}
		return d.press(msg, c)
	}
	return d, false, nil
}

// took keeps a result, and awaits the next one.
func (d Doctor) took(msg resultMsg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	if msg.from != d.coming {
		return d, true, nil // of an older run
	}
	if msg.done {
		d.coming, d.ended = nil, c.Now
		return d, true, nil
	}
	next := make(map[string]Result, len(d.results)+1)
	for name, result := range d.results {
		next[name] = result
	}
	next[msg.result.Name] = msg.result
	d.results = next
	return d, true, await(d.coming)
}

// edit takes a key while the filter is typed.
func (d Doctor) edit(msg tea.KeyMsg) Doctor {
	if d.filter, d.typing = d.filter.Typed(msg, d.keys); d.typing {
		d.place = rows.Place{}
	}
	return d
}

func (d Doctor) press(msg tea.KeyMsg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch k := c.Keys; {
	case key.Matches(msg, k.Examine):
		return d.begin(c)
	case key.Matches(msg, k.Filter):
		d.typing = true
	case key.Matches(msg, k.Back) && d.filter.Text() != "":
		d.filter, d.place = d.filter.With(""), rows.Place{}
	default:
		var moved bool
		d.place, moved = d.place.Press(msg, k, len(d.shown()), painter{Context: c, Doctor: d, t: c.Theme}.listHeight())
		return d, moved, nil
	}
	return d, true, nil
}

// begin goes through the checklist, unless somebody does already. The past cannot be examined.
func (d Doctor) begin(c screen.Context) (screen.Screen, bool, tea.Cmd) {
	if d.examine == nil || c.Past || d.coming != nil {
		return d, true, nil
	}
	examine, ctx := d.examine, c.Context
	d.lines, d.coming = examine(ctx)
	d.results, d.began, d.place = map[string]Result{}, c.Now, rows.Place{}
	return d, true, await(d.coming)
}

// item is a line with what became of it, if anything has.
type item struct {
	Line
	Result
	known bool
}

// rank orders items: what fails, what cannot be told, what is awaited, what passes.
func (i item) rank() int {
	switch {
	case !i.known:
		return 2
	case i.Outcome == Fail:
		return 0
	case i.Outcome == Pass:
		return 3
	}
	return 1
}

// item is a line of the checklist now. What a run that has ended says nothing of cannot be told.
func (d Doctor) item(line Line) item {
	result, known := d.results[line.Name]
	if !known && d.coming == nil {
		result, known = Result{Seen: []string{"it was not looked at"}}, true
	}
	return item{Line: line, Result: result, known: known}
}

// shown are the items that the filter leaves, the worst first.
func (d Doctor) shown() []item {
	var items []item
	wanted := strings.ToLower(d.filter.Text())
	for _, line := range d.lines {
		one := d.item(line)
		text := strings.Join(append([]string{line.Name, line.Area, line.Title, one.word()}, one.Result.Seen...), " ")
		if wanted == "" || strings.Contains(strings.ToLower(text), wanted) {
			items = append(items, one)
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return a.rank() - b.rank() })
	return items
}

// word is what became of an item.
func (i item) word() string {
	switch {
	case !i.known:
		return "awaited"
	case i.Outcome == Fail:
		return "FAIL"
	case i.Outcome == Pass:
		return "pass"
	}
	return "cannot tell"
}

// Draw gives exactly c.Height lines of at most c.Width cells.
func (d Doctor) Draw(c screen.Context) []string {
	lines := painter{Context: c, Doctor: d, t: c.Theme}.draw()
	out := make([]string, max(c.Height, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = cell.Cut(lines[i], c.Width)
		}
	}
	return out
}
