package alertview

import (
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"captop/probes/alerts"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// windows are the spans of time that the timeline can show: the least that holds every edge is taken.
var windows = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour}

// line is one alert's states over time.
type line struct {
	name  string
	edges []alerts.Edge // oldest first
	now   alerts.State
}

// lines are the alerts that were or are pending or firing, in the order of the list, then those that it lacks.
func timelines(c screen.Context, all []entry) []line {
	edges := map[string][]alerts.Edge{}
	var order []string
	for _, edge := range c.Snapshot.Edges {
		id := identity(edge.Rule, edge.Labels)
		if edges[id] == nil {
			order = append(order, id)
		}
		edges[id] = append(edges[id], edge)
	}
	var lines []line
	for _, e := range all {
		if e.kind != firing && e.kind != pending && e.kind != resolved && e.kind != lost && e.kind != frozen {
			continue
		}
		id := e.id()
		own := edges[id]
		delete(edges, id)
		if len(own) == 0 {
			own = assumed(e)
		}
		lines = append(lines, line{name: e.rule.Name + " " + told(e), edges: own, now: e.alert.State})
	}
	slices.Reverse(order)
	for _, id := range order {
		if own := edges[id]; own != nil {
			last := own[len(own)-1]
			lines = append(lines, line{name: last.Rule + " " + told(entry{labels: last.Labels}), edges: own, now: last.To})
		}
	}
	return lines
}

// assumed makes edges of an alert whose own are too old to be kept.
func assumed(e entry) []alerts.Edge {
	var edges []alerts.Edge
	add := func(at time.Time, from, to alerts.State) {
		if !at.IsZero() {
			edges = append(edges, alerts.Edge{At: at, From: from, To: to})
		}
	}
	add(e.alert.ActiveAt, alerts.Inactive, alerts.Pending)
	add(e.alert.FiredAt, alerts.Pending, alerts.Firing)
	add(e.alert.ResolvedAt, alerts.Firing, alerts.Inactive)
	return edges
}

// during is the worst state between two times.
func (l line) during(from, to time.Time) alerts.State {
	if len(l.edges) == 0 {
		return alerts.Inactive
	}
	at, worst := l.edges[0].From, alerts.Inactive
	for _, edge := range l.edges {
		if !edge.At.Before(to) {
			break
		}
		if edge.At.After(from) {
			worst = max(worst, at)
		}
		at = edge.To
	}
	return max(worst, at)
}

// timeline is one row for each alert: blocks while it was pending or firing; blank before captop began to watch.
func timeline(c screen.Context, all []entry, width, height int) []string {
	t := c.Theme
	rows := timelines(c, all)
	if height < 2 {
		return nil
	}
	if len(rows) == 0 {
		text := "No alert has been pending since captop began to watch"
		return []string{section(t, "timeline", "", width, false), t.Dim.Render(cell.Cut(text+" at "+c.Times.Write(c.Snapshot.Started, c.Now)+".", width))}
	}
	window := windowFor(c, rows)
	note := "█ firing  ░ pending"
	shown := rows[:min(len(rows), max(height-2, 1))]
	if len(shown) < len(rows) {
		note += "  first " + cell.Count(float64(len(shown))) + " of " + cell.Count(float64(len(rows)))
	}
	lines := []string{section(t, "timeline", note, width, false)}
	label := 10
	for _, row := range shown {
		label = max(label, cell.Width(cell.Clean(row.name)))
	}
	label = min(label, width*2/5)
	columns := width - label - 1
	if columns < 10 {
		return lines
	}
	for _, row := range shown {
		lines = append(lines, cell.Left(cell.Clean(row.name), label)+" "+strip(c, row, window, columns))
	}
	if height > len(lines) {
		lines = append(lines, cell.Blank(label+1)+t.Dim.Render(axis(window, columns)))
	}
	return lines
}

func windowFor(c screen.Context, rows []line) time.Duration {
	first := c.Now
	for _, row := range rows {
		if len(row.edges) > 0 && row.edges[0].At.Before(first) {
			first = row.edges[0].At
		}
	}
	for _, window := range windows {
		if c.Now.Sub(first) < window {
			return window
		}
	}
	return windows[len(windows)-1]
}

// strip draws the states over the window, one cell for each part of it.
func strip(c screen.Context, row line, window time.Duration, columns int) string {
	t := c.Theme
	styles := map[string]lipgloss.Style{"█": t.At(theme.Critical), "░": t.At(theme.Warning), "·": t.Dim, " ": t.Plain}
	begin := c.Now.Add(-window)
	at := func(column int) time.Time { return begin.Add(window * time.Duration(column) / time.Duration(columns)) }
	var out strings.Builder
	run, length := "", 0
	end := func(next string) {
		if next != run && length > 0 {
			out.WriteString(styles[run].Render(cell.Run(run, length)))
			length = 0
		}
		run, length = next, length+1
	}
	for column := range columns {
		from, to := at(column), at(column+1)
		switch state := row.during(from, to); {
		case state == alerts.Firing:
			end("█")
		case state == alerts.Pending:
			end("░")
		case to.Before(c.Snapshot.Started):
			end(" ")
		default:
			end("·")
		}
	}
	end("")
	return out.String()
}

// axis says how far back the columns reach.
func axis(window time.Duration, columns int) string {
	left, middle, right := cell.Age(window)+" ago", cell.Age(window/2), "now"
	if window%(2*time.Minute) != 0 {
		middle = ""
	}
	gap := columns - cell.Width(left) - cell.Width(middle) - cell.Width(right)
	before := columns/2 - cell.Width(left) - cell.Width(middle)/2
	if gap < 4 || before < 1 {
		return cell.Ends(left, right, columns)
	}
	return left + cell.Blank(before) + middle + cell.Blank(gap-before) + right
}

// history is the edges, newest first.
func history(c screen.Context, width, height, scroll int, focused bool) []string {
	if height < 2 {
		return nil
	}
	edges := c.Snapshot.Edges
	scroll = min(scroll, max(len(edges)-(height-1), 0))
	note := ""
	if len(edges) > height-1 {
		note = cell.Count(float64(scroll+1)) + " to " + cell.Count(float64(min(scroll+height-1, len(edges)))) + " of " + cell.Count(float64(len(edges))) + ", newest first"
	}
	lines := []string{section(c.Theme, "history", note, width, focused)}
	for i := len(edges) - 1 - scroll; i >= 0 && len(lines) < height; i-- {
		lines = append(lines, cell.Cut(edgeLine(c, edges[i]), width))
	}
	if len(edges) == 0 {
		lines = append(lines, c.Theme.Dim.Render(cell.Cut("No alert has changed its state since "+c.Times.Write(c.Snapshot.Started, c.Now)+".", width)))
	}
	return lines
}

func edgeLine(c screen.Context, e alerts.Edge) string {
	t := c.Theme
	level, shape, word := theme.OK, "✓", "ended"
	switch {
	case e.To == alerts.Firing:
		level, shape, word = theme.Critical, theme.Critical.Shape(), "fires"
	case e.To == alerts.Pending:
		level, shape, word = theme.Warning, theme.Warning.Shape(), "pending"
	case e.From == alerts.Firing:
		word = "resolved"
	}
	text := cell.Clean(e.Rule + " " + told(entry{labels: e.Labels}))
	if e.Summary != "" && e.To == alerts.Firing {
		text += ": " + cell.Clean(e.Summary)
	}
	return t.Dim.Render(c.Times.Write(e.At, c.Now)) + " " + t.At(level).Render(cell.Left(shape+" "+word, 10)) + " " + text
}

// section is a title with a rule up to the edge, and a note at its end. The one with the focus is marked.
func section(t theme.Theme, title, note string, width int, focused bool) string {
	mark := ""
	if focused {
		mark = t.Key.Render("▸ ")
	}
	left := mark + t.Title.Render(title) + " "
	if note != "" {
		note = " " + note
	}
	rest := width - cell.Width(left) - cell.Width(note)
	if rest < 1 {
		return cell.Cut(left, width)
	}
	return left + t.Rule.Render(cell.Run("─", rest)) + t.Dim.Render(note)
}
