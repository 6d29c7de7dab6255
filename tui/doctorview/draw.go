package doctorview

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// painter draws one frame.
type painter struct {
	screen.Context
	Doctor
	t theme.Theme
}

const (
	head     = 1   // the height of the summary
	beside   = 110 // the width from which the details stand beside the list, and not below it
	listWide = 54  // of the list, where they do
	oldAfter = 10 * time.Minute
)

// aside says that the details stand beside the list.
func (p painter) aside() bool { return p.Width >= beside }

// listHeight is the room of the list.
func (p painter) listHeight() int {
	if p.aside() {
		return max(p.Height-head, 1)
	}
	return max(p.Height-head-p.detailHeight(), 1)
}

// detailHeight is the room of the details below the list, with the rule above them.
func (p painter) detailHeight() int { return p.Height / 2 }

func (p painter) draw() []string {
	if p.Height <= 0 || p.Width <= 0 {
		return nil
	}
	items := p.shown()
	lines := []string{p.summary()}
	if len(items) == 0 {
		return append(lines, cell.Wrap(p.empty(), p.Width, max(p.Height-head, 0))...)
	}
	width := p.Width
	if p.aside() {
		width = listWide
	}
	list := p.list(items, width)
	at := items[p.place.At(len(items))]
	if p.aside() {
		room := p.Width - listWide - 3
		return append(lines, cell.Beside(p.t.Rule.Render(" │ "), []int{listWide, room}, pad(list, p.Height-head), p.details(at, room, p.Height-head))...)
	}
	lines = append(append(lines, list...), p.t.Rule.Render(cell.Run("─", p.Width)))
	return append(lines, p.details(at, p.Width, p.Height-len(lines))...)
}

func pad(lines []string, height int) []string {
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// empty is said where there is nothing to list.
func (p painter) empty() string {
	press := p.Keys.Examine.Help().Key
	switch {
	case p.examine == nil:
		return "There is no checklist for what is watched here: it is no stack on this host. captop doctor goes through it elsewhere."
	case len(p.lines) > 0:
		return fmt.Sprintf("None of %d lines has %q; esc clears the filter.", len(p.lines), cell.Clean(p.filter.Text()))
	case p.Past:
		return "The checklist is gone through now, not in the past: " + p.Keys.Live.Help().Key + " comes back to now."
	}
	return "Nothing was looked at yet. " + press + " goes through the checklist before a deployment, on this stack: secrets, TLS, ports, containers, limits, " +
		"data, backups, monitoring, logs, host. It changes nothing, and takes some seconds. It tries well-known passwords on the nodes, which their ACL LOG shows."
}

// summary is the counts, the age, and the filter.
func (p painter) summary() string {
	if len(p.lines) == 0 {
		return p.t.Title.Render("checklist before a deployment")
	}
	var counts [4]int
	for _, line := range p.lines {
		counts[p.item(line).rank()]++
	}
	left := p.t.State(levelOf(counts[0] > 0, theme.Critical), fmt.Sprintf("%d fail", counts[0])) + "  " +
		p.t.State(levelOf(counts[1] > 0, theme.Unknown), fmt.Sprintf("%d cannot be told", counts[1])) + "  " +
		p.t.State(theme.OK, fmt.Sprintf("%d pass", counts[3]))
	if p.coming != nil {
		left = p.t.Title.Render(fmt.Sprintf("looking… %d of %d ", len(p.lines)-counts[2], len(p.lines))) + p.bar(len(p.lines)-counts[2]) + "  " + left
	}
	right := p.age()
	if p.typing || p.filter.Text() != "" {
		right = p.t.Key.Render("/") + p.filter.View(min(max(p.Width-cell.Width(left)-3, 1), 30), p.typing, p.t)
	}
	return cell.Ends(left, right, p.Width)
}

// levelOf is a level where it is so, else well.
func levelOf(so bool, level theme.Level) theme.Level {
	if so {
		return level
	}
	return theme.OK
}

// bar is how far a run has come.
func (p painter) bar(done int) string {
	const width = 12
	full := width * done / max(len(p.lines), 1)
	return p.t.At(theme.OK).Render(cell.Run("█", full)) + p.t.Dim.Render(cell.Run("░", width-full))
}

// age says how old what is shown is; what was looked at long ago may have changed.
func (p painter) age() string {
	switch {
	case p.coming != nil:
		return ""
	case p.Past:
		return p.t.State(theme.Warning, "looked at "+p.Times.Write(p.ended, p.Now)+", not then")
	}
	text := "looked " + cell.Age(max(p.Now.Sub(p.ended), 0)) + " ago"
	if p.Now.Sub(p.ended) > oldAfter {
		return p.t.State(theme.Warning, text+": "+p.Keys.Examine.Help().Key+" looks anew")
	}
	return p.t.Dim.Render(text)
}

// level is how an item is shown.
func (i item) level() theme.Level {
	switch {
	case i.known && i.Outcome == Fail:
		return theme.Critical
	case i.known && i.Outcome == Pass:
		return theme.OK
	}
	return theme.Unknown
}

// mark is an item's outcome as shape and word.
func (p painter) mark(i item) string {
	shape := map[theme.Level]string{theme.Critical: "✗", theme.OK: "✓", theme.Unknown: "?"}[i.level()]
	if !i.known {
		return p.t.Dim.Render("· awaited    ")
	}
	return p.t.At(i.level()).Render(shape + " " + cell.Left(i.word(), 11))
}

// list is the items that show.
func (p painter) list(items []item, width int) []string {
	first, last := p.place.Window(len(items), p.listHeight())
	lines := make([]string, 0, last-first)
	for at := first; at < last; at++ {
		i := items[at]
		text := cell.Left(p.mark(i)+" "+cell.Left(i.Line.Name, 18)+" "+p.gist(i, width), width)
		if at == p.place.At(len(items)) {
			text = p.t.Cursor.Render(ansi.Strip(text))
		}
		lines = append(lines, text)
	}
	return lines
}

// gist is the first thing that was seen, or of what is well the area.
func (p painter) gist(i item, width int) string {
	if width < p.Width || !i.known || i.Outcome == Pass || len(i.Seen) == 0 {
		return p.t.Dim.Render(i.Area)
	}
	return cell.Clean(i.Seen[0])
}

// details are all of an item: what has to be so, the fix, what was seen, and why it matters.
func (p painter) details(i item, width, height int) []string {
	if height <= 0 || width <= 0 {
		return nil
	}
	const indent = 6
	var lines []string
	add := func(title, text string, limit int, draw func(string) string) {
		for n, part := range cell.Wrap(cell.Clean(text), max(width-indent, 1), limit) {
			if n > 0 {
				title = ""
			}
			lines = append(lines, p.t.Dim.Render(cell.Left(title, indent))+draw(part))
		}
	}
	plain := func(text string) string { return text }
	for _, part := range cell.Wrap(i.Title, width, 3) {
		lines = append(lines, p.t.Title.Render(part))
	}
	if i.known && i.Outcome != Pass && i.Fix != "" {
		add("fix", i.Fix, 6, func(text string) string { return p.t.Key.Render(text) })
	}
	for n, seen := range i.Seen {
		title := ""
		if n == 0 {
			title = "seen"
		}
		add(title, seen, 4, plain)
	}
	add("why", i.Why, 4, func(text string) string { return p.t.Dim.Render(text) })
	if len(lines) > height {
		lines = append(lines[:height-1], p.t.Dim.Render(strings.Repeat(" ", indent)+"… captop doctor "+i.Line.Name+" shows all"))
	}
	return lines
}
