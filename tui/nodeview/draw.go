package nodeview

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/probes"
	"captop/probes/inspect"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// painter draws one frame.
type painter struct {
	screen.Context
	View
	t theme.Theme
}

// row is one line of a list.
type row struct {
	text  string
	match string // what the filter looks at
	whole func(width int) (title string, lines []string)
}

// list is a pane: what stands still above, and the rows that scroll.
type list struct {
	above []string
	rows  []row
	empty string // said where there are no rows
}

// head is the height of the line with the panes' names.
const head = 1

func (p painter) draw() []string {
	if p.Height <= 0 {
		return nil
	}
	l := p.list()
	lines := append([]string{p.tabs()}, l.above...)
	room := p.Height - len(lines)
	if len(l.rows) == 0 {
		return append(lines, cell.Wrap(l.empty, p.Width, max(room, 0))...)
	}
	first, last := p.places[p.pane].Window(len(l.rows), room)
	for i := first; i < last; i++ {
		text := cell.Left(l.rows[i].text, p.Width)
		if p.pane != paneState && p.pane != paneLatency && i == p.places[p.pane].At(len(l.rows)) {
			text = p.t.Cursor.Render(ansi.Strip(text))
		}
		lines = append(lines, text)
	}
	return lines
}

// listHeight is the room of the rows.
func (p painter) listHeight() int { return max(p.Height-head-len(p.list().above), 1) }

// tabs names the panes, the one in front in reverse video, with the filter and the age of the looks at the right.
func (p painter) tabs() string {
	line := ""
	for i, name := range paneNames {
		if pane(i) == p.pane || p.pane == allInfo && pane(i) == paneState {
			line += p.t.Cursor.Render(" "+name+" ") + " "
		} else {
			line += p.t.Dim.Render(" "+name+" ") + " "
		}
	}
	right := p.ages()
	if p.typing || p.filter.Text() != "" {
		room := min(max(p.Width-cell.Width(line)-3, 1), 30)
		right = p.t.Key.Render("/") + p.filter.View(room, p.typing, p.t)
	}
	return cell.Ends(line, right, p.Width)
}

// ages says how old the looks are.
func (p painter) ages() string {
	switch {
	case p.Past:
		return p.t.Dim.Render("the past: polls only")
	case p.inspect == nil:
		return p.t.Dim.Render("polls only")
	}
	oldest, all := time.Duration(0), true
	for _, node := range nodes {
		l, ok := p.looks[node]
		if !ok || l.in.At.IsZero() || l.err != "" {
			all = false
			continue
		}
		oldest = max(oldest, p.Now.Sub(l.in.At))
	}
	if !all {
		return ""
	}
	text := "looked " + cell.Age(max(oldest, 0)) + " ago"
	if oldest > 2*every+every/2 {
		return p.t.State(theme.Warning, text)
	}
	return p.t.Dim.Render(text)
}

// list gives the pane in front.
func (p painter) list() list {
	var l list
	switch p.pane {
	case paneSlow:
		l = p.slow()
	case paneClients:
		l = p.clients()
	case paneLatency:
		l = p.latency()
	case allInfo:
		l = p.fields()
	default:
		return p.state()
	}
	if wanted := strings.ToLower(p.filter.Text()); wanted != "" {
		kept := l.rows[:0:0]
		for _, r := range l.rows {
			if strings.Contains(strings.ToLower(r.match), wanted) {
				kept = append(kept, r)
			}
		}
		if len(l.rows) > 0 && len(kept) == 0 {
			l.empty = fmt.Sprintf("None of %d rows has %q; esc clears the filter.", len(l.rows), cell.Clean(p.filter.Text()))
		}
		l.rows = kept
	}
	return l
}

// seen gives what a node told, if that is young enough to be believed, or why not.
func (p painter) seen(node string) (inspect.Inspection, string) {
	l, ok := p.looks[node]
	switch {
	case p.Past:
		return inspect.Inspection{}, "closer looks are not recorded; live again, they are taken"
	case p.inspect == nil:
		return inspect.Inspection{}, "there are no closer looks here"
	case l.err != "":
		return inspect.Inspection{}, cell.Clean(l.err)
	case !ok || l.in.At.IsZero():
		return inspect.Inspection{}, "not looked at yet"
	case p.Now.Sub(l.in.At) > 5*every:
		return inspect.Inspection{}, "last looked at " + cell.Age(p.Now.Sub(l.in.At)) + " ago"
	}
	return l.in, ""
}

// cannot is the line that says why a node's part is missing.
func (p painter) cannot(node, why string) string {
	return p.t.Title.Render(node) + " " + p.t.State(theme.Unknown, "cannot tell: "+cell.Clean(why))
}

// parted gives a part of what a node told, or the line that says why it is missing.
func parted[T any](p painter, node string, take func(inspect.Inspection) inspect.Part[T]) (value T, missing string) {
	in, why := p.seen(node)
	if why == "" {
		why = take(in).Error
	}
	if why != "" {
		return value, p.cannot(node, why)
	}
	return take(in).Value, ""
}

// section is a rule with a title.
func (p painter) section(title string) string {
	rest := p.Width - cell.Width(title) - 1
	if rest < 1 {
		return cell.Cut(title, p.Width)
	}
	return title + " " + p.t.Rule.Render(cell.Run("─", rest))
}

// nodeOf finds a polled node.
func (p painter) nodeOf(name string) probes.Node {
	if p.Snapshot != nil {
		for _, n := range p.Snapshot.Nodes {
			if n.Name == name {
				return n
			}
		}
	}
	return probes.Node{Name: name}
}
