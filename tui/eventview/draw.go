package eventview

import (
	"fmt"
	"strings"

	"captop/probes"
	"captop/tui/box"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Draw gives exactly c.Height lines of at most c.Width cells.
func (e Events) Draw(c screen.Context) []string {
	var lines []string
	if c.Snapshot == nil {
		lines = []string{"", c.Theme.State(theme.Unknown, "Looking for the first time…")}
	} else {
		all := e.list(c)
		lines = e.top(c, all)
		lines = append(lines, e.rows(c, all, c.Height-len(lines))...)
	}
	out := make([]string, c.Height)
	for i := range out {
		if i < len(lines) {
			out[i] = cell.Cut(lines[i], c.Width)
		}
	}
	if e.notice != "" && c.Now.Before(e.noticeUntil) && c.Height > 0 {
		out[c.Height-1] = cell.Cut(c.Theme.Key.Render("▸ ")+cell.Clean(e.notice), c.Width)
	}
	if e.open && c.Snapshot != nil {
		return box.Over(out, c.Width, c.Theme, func(width int) (string, []string) { return e.whole(c, width) })
	}
	return out
}

// top says what is listed: how many of how many, what narrows it, and the order.
func (e Events) top(c screen.Context, all []probes.Event) []string {
	t := c.Theme
	total := len(timeline(c))
	text := fmt.Sprintf("%d events", total)
	if len(all) != total {
		text = fmt.Sprintf("%d of %d events", len(all), total)
	}
	left := t.Title.Render(text)
	if e.kind != "" {
		left += "  " + t.Bold.Render("only "+cell.Clean(e.kind))
	}
	if e.least != probes.Unknown {
		level := screen.Level(e.least)
		left += "  " + t.At(level).Render(level.Shape()+" "+e.least.String())
		if e.least != probes.Critical {
			left += " and worse"
		}
	}
	order := "newest first"
	if e.follow {
		order = "follows, newest last"
	}
	if e.chosen != "" {
		order += fmt.Sprintf(", at %d", e.index(all)+1)
	}
	lines := []string{cell.Ends(left, t.Dim.Render(order+", "+zone(c)), c.Width)}
	if e.filtering || e.filter.Text() != "" {
		lines = append(lines, t.Key.Render("filter ")+e.filter.View(max(c.Width-8, 1), e.filtering, t))
	}
	return lines
}

func zone(c screen.Context) string {
	if c.Times.Relative {
		return "times as age"
	}
	return c.Now.In(c.Times.In()).Format("MST")
}

// rows are the events in height lines, with a line where a day begins, scrolled so that the chosen one shows.
func (e Events) rows(c screen.Context, all []probes.Event, height int) []string {
	if height <= 0 {
		return nil
	}
	if len(all) == 0 {
		text := "Nothing has happened since captop began to watch at " + c.Times.Write(c.Snapshot.Started, c.Now) + "."
		if len(timeline(c)) > 0 {
			text = "Nothing fits what is asked for; esc takes that away."
		}
		return []string{c.Theme.Dim.Render(text)}
	}
	at := e.index(all)
	// Only what can be on the screen is drawn: height events on either side.
	from, to := max(at-height, 0), min(at+height+1, len(all))
	var lines []string
	chosen := 0
	for i := from; i < to; i++ {
		if i == 0 || day(c, all[i]) != day(c, all[i-1]) {
			if i > 0 || day(c, all[i]) != c.Now.In(c.Times.In()).Format(dayFormat) {
				lines = append(lines, separator(c, day(c, all[i])))
			}
		}
		if i == at {
			chosen = len(lines)
		}
		lines = append(lines, row(c, all[i], i == at))
	}
	if e.follow && e.chosen == "" {
		return lines[max(len(lines)-height, 0):]
	}
	first := max(min(chosen-height/2, len(lines)-height), 0)
	return lines[first:min(first+height, len(lines))]
}

const dayFormat = "Monday 2006-01-02"

func day(c screen.Context, e probes.Event) string { return e.At.In(c.Times.In()).Format(dayFormat) }

func separator(c screen.Context, text string) string {
	return c.Theme.Rule.Render("── ") + c.Theme.Dim.Render(text) + " " + c.Theme.Rule.Render(cell.Run("─", c.Width-cell.Width(text)-4))
}

// Widths of the columns.
const (
	levelWidth = 6
	kindWidth  = 9
)

// row is one event on one line.
func row(c screen.Context, e probes.Event, chosen bool) string {
	t, level := c.Theme, screen.Level(e.Severity)
	at := e.At.In(c.Times.In()).Format("15:04:05")
	if c.Times.Relative {
		at = cell.Left(c.Times.Write(e.At, c.Now), 11)
	}
	cursor := "  "
	if chosen {
		cursor = t.Key.Render("▸ ")
	}
	line := cursor + t.Dim.Render(at) + " " + t.At(level).Render(cell.Left(level.Shape()+" "+word(e.Severity), levelWidth)) + " " +
		t.Dim.Render(cell.Left(cell.Clean(e.Kind), kindWidth)) + " "
	text := sentence(e)
	room := c.Width - cell.Width(line)
	if chosen {
		return line + t.Cursor.Render(cell.Cut(text, room))
	}
	return line + cell.Cut(text, room)
}

func word(s probes.Severity) string {
	return [...]string{theme.OK: "ok", theme.Warning: "warn", theme.Critical: "crit", theme.Unknown: "unkn"}[screen.Level(s)]
}

// sentence is the event on one line; it names its target where the text does not.
func sentence(e probes.Event) string {
	var facts []string
	for line := range strings.Lines(e.Text) {
		if words := strings.Fields(cell.Clean(line)); len(words) > 0 {
			facts = append(facts, strings.Join(words, " "))
		}
	}
	text := strings.Join(facts, " · ")
	target := cell.Clean(e.Target)
	if target == "" || target == "captop" || strings.Contains(text, target) {
		return text
	}
	return target + ": " + text
}

// whole is the chosen event with everything that is known of it.
func (e Events) whole(c screen.Context, width int) (string, []string) {
	t, close := c.Theme, c.Theme.Key.Render("esc")+c.Theme.Dim.Render(" closes")
	all := e.list(c)
	if len(all) == 0 {
		return "event", []string{"It is not kept any more.", "", close}
	}
	body := e.body(c, width)
	room := boxRoom(c)
	scroll := min(e.scroll, max(len(body)-room, 0))
	if len(body) > room {
		close += t.Dim.Render(fmt.Sprintf("   ↑ ↓ scroll, line %d of %d", scroll+1, len(body)))
	}
	lines := append([]string(nil), body[scroll:min(scroll+room, len(body))]...)
	return "event", append(lines, "", close)
}

// boxRoom is how many lines of an event fit into the box.
func boxRoom(c screen.Context) int { return max(c.Height-4, 1) }

// body is every line of the chosen event.
func (e Events) body(c screen.Context, width int) []string {
	all := e.list(c)
	event := all[e.index(all)]
	t, level := c.Theme, screen.Level(event.Severity)
	at := event.At.In(c.Times.In())
	lines := []string{
		fact(t, "time", at.Format("2006-01-02 15:04:05.000 MST")+", "+cell.Age(c.Now.Sub(event.At))+" ago"),
		t.Dim.Render(cell.Left("severity", factWidth)) + t.State(level, strings.ToLower(level.Word())),
		fact(t, "kind", event.Kind), fact(t, "of", event.Target), "",
	}
	for _, part := range strings.Split(event.Text, "\n") {
		lines = append(lines, cell.Wrap(cell.Clean(part), width, wrapLimit)...)
	}
	return lines
}

const (
	factWidth = 10
	wrapLimit = 500 // more lines than any event has: the box scrolls
)

func fact(t theme.Theme, label, text string) string {
	return t.Dim.Render(cell.Left(label, factWidth)) + cell.Clean(text)
}

// furthest is how far the open event can be scrolled.
func (e Events) furthest(c screen.Context) int {
	if len(e.list(c)) == 0 {
		return 0
	}
	width := min(c.Width, box.Width) - 4
	if c.Width < box.Width+12 {
		width = c.Width - 4
	}
	return max(len(e.body(c, max(width, 1)))-boxRoom(c), 0)
}
