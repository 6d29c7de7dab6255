package alertview

import (
	"fmt"

	"captop/tui/box"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// From this width on the page stands beside the list.
const wideWidth = 110

// Draw gives exactly c.Height lines of at most c.Width cells.
func (a Alerts) Draw(c screen.Context) []string {
	var lines []string
	switch {
	case c.Snapshot == nil:
		lines = []string{"", c.Theme.State(theme.Unknown, "Looking for the first time…")}
	case c.Width >= wideWidth:
		lines = a.beside(c)
	default:
		lines = a.below(c)
	}
	out := make([]string, c.Height)
	for i := range out {
		if i < len(lines) {
			out[i] = cell.Cut(lines[i], c.Width)
		}
	}
	if a.notice != "" && c.Now.Before(a.noticeUntil) && c.Height > 0 {
		out[c.Height-1] = cell.Cut(c.Theme.Key.Render("▸ ")+cell.Clean(a.notice), c.Width)
	}
	if a.form != nil && c.Snapshot != nil {
		return box.Over(out, c.Width, c.Theme, func(width int) (string, []string) { return a.form.view(width, c) })
	}
	return out
}

// split is how a wide screen is shared: the list gets the larger part.
func split(width int) (left, right int) {
	left = width * 11 / 20
	return left, width - left - 3
}

// beside is the wide screen: list, timeline and history left, the page right.
func (a Alerts) beside(c screen.Context) []string {
	left, right := split(c.Width)
	gap := c.Theme.Rule.Render(" │ ")
	return cell.Beside(gap, []int{left, right}, a.column(c, left, c.Height), a.pagePane(c, right, c.Height))
}

// below is the narrow screen: the list above, and below it what has the focus.
func (a Alerts) below(c screen.Context) []string {
	if a.focus == onList || c.Height < 8 {
		return a.column(c, c.Width, c.Height)
	}
	all := entries(c.Snapshot)
	lines := append(a.top(c, all, c.Width), a.listPane(c, filtered(all, a.filter.Text()), c.Width, a.lean(c))...)
	if a.focus == onPage {
		return append(lines, a.pagePane(c, c.Width, c.Height-len(lines))...)
	}
	return append(lines, history(c, c.Width, c.Height-len(lines), a.scroll[onHistory], true)...)
}

// lean is the height of the list on a narrow screen while another pane has the focus.
func (a Alerts) lean(c screen.Context) int { return max(c.Height/4, 3) }

// scarce is the room below which the history gives way to a list that does not fit.
const scarce = 26

// shares are the heights of the list, the timeline and the history in a column.
type shares struct{ list, band, past int }

func (a Alerts) share(c screen.Context, all []entry, width, height int) shares {
	room := height - len(a.top(c, all, width))
	if room < 14 {
		return shares{list: room}
	}
	whole := 0
	for _, e := range filtered(all, a.filter.Text()) {
		whole += len(rows(c, e, width, false))
	}
	band := min(len(timelines(c, all)), max(room/5, 2)) + 2
	past := max(min(room/5, len(c.Snapshot.Edges)+1), 2)
	if a.focus == onHistory {
		past = max(room/2, past)
	}
	if room < scarce && whole > room-band-past && a.focus != onHistory {
		past = 0 // what fires is worth more than what did; tab shows it
	}
	list := min(max(whole, 1), room-band-past)
	if past == 0 {
		return shares{list: list, band: room - list}
	}
	return shares{list: list, band: band, past: room - list - band}
}

// column is the list with the timeline and the history below it.
func (a Alerts) column(c screen.Context, width, height int) []string {
	all := entries(c.Snapshot)
	s := a.share(c, all, width, height)
	lines := append(a.top(c, all, width), a.listPane(c, filtered(all, a.filter.Text()), width, s.list)...)
	lines = append(lines, fill(timeline(c, all, width, s.band), s.band)...)
	return append(lines, history(c, width, s.past, a.scroll[onHistory], a.focus == onHistory)...)
}

// top is the count of states, the filter, and what makes the list less than the truth.
func (a Alerts) top(c screen.Context, all []entry, width int) []string {
	t := c.Theme
	lines := summaryLines(c, all, width)
	if a.filtering || a.filter.Text() != "" {
		shown := cell.Count(float64(len(filtered(all, a.filter.Text())))) + " of " + cell.Count(float64(len(all)))
		room := width - 8 - cell.Width(shown) - 2
		lines = append(lines, t.Key.Render("filter ")+a.filter.View(max(room, 4), a.filtering, t)+"  "+t.Dim.Render(shown))
	}
	return append(lines, troubles(c, width)...)
}

// listPane is the entries in height lines, scrolled so that the chosen one shows in the middle.
func (a Alerts) listPane(c screen.Context, all []entry, width, height int) []string {
	if height <= 0 {
		return nil
	}
	if len(all) == 0 {
		text := "No rules are loaded."
		if a.filter.Text() != "" {
			text = "Nothing fits the filter; esc clears it."
		}
		return fill([]string{c.Theme.Dim.Render(text)}, height)
	}
	at := a.index(all)
	var lines []string
	first, last := 0, 0 // of the chosen entry
	for i, e := range all {
		drawn := rows(c, e, width, i == at)
		if i == at {
			first, last = len(lines), len(lines)+len(drawn)
		}
		lines = append(lines, drawn...)
	}
	if len(lines) > height && height > 1 {
		height-- // for the line that says so
	}
	from := max(min(first-(height-(last-first))/2, len(lines)-height), 0)
	shown := fill(lines[from:min(from+height, len(lines))], height)
	if hidden := len(lines) - height; hidden > 0 {
		text := fmt.Sprintf("  ↓ %d lines more", hidden)
		switch from {
		case 0:
		case hidden:
			text = fmt.Sprintf("  ↑ %d lines more", from)
		default:
			text = fmt.Sprintf("  ↑ %d lines above, ↓ %d below", from, hidden-from)
		}
		shown = append(shown, c.Theme.Dim.Render(cell.Cut(text, width)))
	}
	return shown
}

func fill(lines []string, height int) []string {
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

// pagePane is the chosen entry with its page, scrolled.
func (a Alerts) pagePane(c screen.Context, width, height int) []string {
	if height < 2 {
		return nil
	}
	all := a.list(c)
	if len(all) == 0 {
		return fill([]string{section(c.Theme, "nothing chosen", "", width, a.focus == onPage)}, height)
	}
	e := all[a.index(all)]
	body := a.pane(c, e, width)
	scroll := min(a.scroll[onPage], max(len(body)-(height-1), 0))
	note := ""
	if len(body) > height-1 {
		note = "line " + cell.Count(float64(scroll+1)) + " of " + cell.Count(float64(len(body)))
	}
	title := cell.Cut(cell.Clean(e.rule.Name), max(width-20, 8))
	lines := []string{section(c.Theme, title, note, width, a.focus == onPage)}
	return fill(append(lines, body[scroll:min(scroll+height-1, len(body))]...), height)
}

// furthest is how far the pane with the focus can be scrolled, so that keys do not count beyond the end.
func (a Alerts) furthest(c screen.Context) int {
	if c.Snapshot == nil {
		return 0
	}
	width, height := a.paneSize(c)
	if a.focus == onHistory {
		return max(len(c.Snapshot.Edges)-(height-1), 0)
	}
	return max(len(a.pane(c, a.current(c), width))-(height-1), 0)
}

// paneSize is the size of the pane with the focus, with its title.
func (a Alerts) paneSize(c screen.Context) (width, height int) {
	all := entries(c.Snapshot)
	if c.Width < wideWidth {
		return c.Width, c.Height - len(a.top(c, all, c.Width)) - a.lean(c)
	}
	left, right := split(c.Width)
	if a.focus == onHistory {
		return left, a.share(c, all, left, c.Height).past
	}
	return right, c.Height
}
