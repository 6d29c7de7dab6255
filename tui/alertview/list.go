package alertview

import (
	"strings"
	"time"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// word is the state of an entry in one or two words.
func (k kind) word() string {
	return [...]string{"FIRING", "pending", "frozen", "lost", "broken", "held", "no data", "resolved", "quiet"}[k]
}

// stateWidth is the column of shape and word.
const stateWidth = 11

// state is shape, word and colour of an entry. What is old is unknown, whatever it was.
func state(c screen.Context, e entry) string {
	t := c.Theme
	if old(c) || e.kind == quiet && c.Now.Sub(e.rule.EvaluatedAt) > poor {
		return t.At(theme.Unknown).Render(cell.Left("? was "+strings.ToLower(e.kind.word()), stateWidth+4))
	}
	level, shape := theme.Unknown, theme.Unknown.Shape()
	switch e.kind {
	case firing:
		level, shape = e.level(), theme.Critical.Shape()
	case pending:
		level, shape = theme.Warning, theme.Warning.Shape()
	case elsewhere:
		level, shape = theme.Warning, "◌"
	case frozen:
		shape = "◌"
	case resolved:
		level, shape = theme.OK, "✓"
	case quiet:
		level, shape = theme.OK, theme.OK.Shape()
	}
	return t.At(level).Render(cell.Left(shape+" "+e.kind.word(), stateWidth))
}

// rows draw one entry: state, name, labels and value; below it, indented, its fuse and what people said about it.
func rows(c screen.Context, e entry, width int, chosen bool) []string {
	t := c.Theme
	name := t.Bold.Render(cell.Clean(e.rule.Name))
	if e.kind >= blank {
		name = cell.Clean(e.rule.Name)
	}
	cursor := "  "
	if chosen {
		cursor = t.Key.Render("▸ ")
		name = t.Cursor.Render(cell.Clean(e.rule.Name))
	}
	left := cursor + state(c, e) + name
	if e.rule.Severity != "" && e.kind < blank {
		left += " " + t.Dim.Render(cell.Clean(e.rule.Severity))
	}
	value := cell.Clean(against(e))
	lines := []string{cell.Ends(cell.Cut(left+" "+t.Dim.Render(cell.Clean(told(e))), width-min(cell.Width(value), width/2)-1), value, width)}
	indent := cell.Blank(2 + stateWidth)
	for _, line := range append(fuse(c, e, width-len(indent)), said(c, e)...) {
		lines = append(lines, cell.Left(indent+cell.Cut(line, width-len(indent)), width))
	}
	return lines
}

// fuseWidth is the number of cells of the bar.
const fuseWidth = 10

// fuse is the bar of how long the expression has held against what the rule asks for, and when it fires; after that,
// since when.
func fuse(c screen.Context, e entry, width int) []string {
	t, limit := c.Theme, e.rule.For
	cells := fuseWidth
	if width > 70 {
		cells = 2 * fuseWidth
	}
	switch e.kind {
	case firing:
		text := "firing " + since(c, e.alert.FiredAt)
		if !e.alert.KeptSince.IsZero() {
			text += "; held by keep_firing_for alone " + since(c, e.alert.KeptSince)
		}
		return []string{t.At(e.level()).Render(cell.Run("█", cells)) + " " + text}
	case pending:
		held := min(max(c.Now.Sub(e.alert.ActiveAt), 0), limit)
		text := cell.Age(held) + " of " + cell.Age(limit) + ", fires " + fires(c, e.alert.FiresAt)
		if old(c) {
			text = cell.Age(held) + " of " + cell.Age(limit) + " when captop looked last"
		}
		return []string{bar(t, held, limit, cells, theme.Warning) + " " + text}
	case frozen:
		return []string{bar(t, e.frozen.Held, limit, cells, theme.Unknown) + " stands at " + cell.Age(e.frozen.Held) + " of " +
			cell.Age(limit) + ": no samples " + since(c, e.frozen.Since)}
	case lost:
		return []string{t.At(theme.Unknown).Render("its samples ended " + ago(c, e.alert.ResolvedAt) + ": nobody knows")}
	case resolved:
		return []string{t.Dim.Render("fired " + c.Times.Write(e.alert.FiredAt, c.Now) + ", resolved " + ago(c, e.alert.ResolvedAt))}
	case elsewhere:
		return []string{"Alertmanager holds it " + since(c, e.held.StartsAt) + "; captop has no such rule firing"}
	case broken:
		return []string{t.At(theme.Unknown).Render(cell.Clean(e.rule.Error))}
	}
	return nil
}

// bar is part of whole in cells; it is never full before the whole is reached.
func bar(t theme.Theme, part, whole time.Duration, cells int, level theme.Level) string {
	filled := 0
	if whole > 0 {
		filled = int(min(max(part, 0), whole) * time.Duration(cells) / whole)
	}
	return t.At(level).Render(cell.Run("█", filled)) + t.Dim.Render(cell.Run("░", cells-filled))
}

// said are the marks that people have set: acknowledged, silenced.
func said(c screen.Context, e entry) []string {
	var lines []string
	if e.ack != nil {
		lines = append(lines, c.Theme.Bold.Render("✓ acked")+by(e.ack.By)+" until "+c.Times.Write(e.ack.Until, c.Now)+": "+cell.Clean(e.ack.Reason))
	}
	for _, s := range e.silences {
		word := "× silenced"
		if s.State == "pending" {
			word = "× to be silenced from " + c.Times.Write(s.StartsAt, c.Now)
		}
		lines = append(lines, c.Theme.Bold.Render(word)+by(s.CreatedBy)+" until "+c.Times.Write(s.EndsAt, c.Now)+": "+cell.Clean(s.Comment))
	}
	return lines
}

func by(name string) string {
	if name == "" {
		return ""
	}
	return " by " + cell.Clean(name)
}

// since is when something began and how long that is: both, for the one is said in the log and the other in the mind.
func since(c screen.Context, at time.Time) string {
	switch lasted := cell.Age(c.Now.Sub(at)); {
	case at.IsZero():
		return "since an unknown time"
	case c.Times.Relative:
		return "for " + lasted
	default:
		return "since " + c.Times.Write(at, c.Now) + ", " + lasted
	}
}

func ago(c screen.Context, at time.Time) string {
	switch {
	case at.IsZero():
		return "at an unknown time"
	case c.Times.Relative:
		return c.Times.Write(at, c.Now)
	}
	return c.Times.Write(at, c.Now) + ", " + cell.Age(c.Now.Sub(at)) + " ago"
}

// fires is the clock time at which it will fire, and how far away that is.
func fires(c screen.Context, at time.Time) string {
	switch {
	case !at.After(c.Now):
		return "with the next evaluation"
	case c.Times.Relative:
		return c.Times.Write(at, c.Now)
	}
	return "at " + c.Times.Write(at, c.Now) + ", in " + cell.Age(at.Sub(c.Now)+time.Second-1)
}

// summary is how many of each state there are, the worst first, on one line.
func summary(c screen.Context, all []entry) string {
	return strings.Join(tally(c, all), c.Theme.Dim.Render(" · "))
}

// summaryLines is the summary in lines of width cells.
func summaryLines(c screen.Context, all []entry, width int) []string {
	var lines []string
	for i, part := range tally(c, all) {
		if last := len(lines) - 1; i > 0 && cell.Width(lines[last])+3+cell.Width(part) <= width {
			lines[last] += c.Theme.Dim.Render(" · ") + part
		} else {
			lines = append(lines, part)
		}
	}
	return lines
}

// tally is how many of each state there are, in words.
func tally(c screen.Context, all []entry) []string {
	t := c.Theme
	if old(c) {
		return []string{t.State(theme.Unknown, "Nobody looks: what follows is from "+c.Times.Write(c.Snapshot.At, c.Now))}
	}
	counts := map[kind]int{}
	unhandled := 0
	for _, e := range all {
		counts[e.kind]++
		if e.kind == firing && handled(e) == 0 {
			unhandled++
		}
	}
	var parts []string
	add := func(k kind, level theme.Level, words string) {
		if counts[k] > 0 {
			parts = append(parts, t.At(level).Render(cell.Count(float64(counts[k]))+" "+words))
		}
	}
	add(firing, theme.Critical, "firing")
	if counts[firing] > 0 && unhandled < counts[firing] {
		handled := "somebody on each"
		if unhandled > 0 {
			handled = cell.Count(float64(unhandled)) + " of them with nobody on it"
		}
		parts = append(parts, handled)
	}
	add(pending, theme.Warning, "pending")
	add(frozen, theme.Unknown, "frozen")
	add(lost, theme.Unknown, "lost")
	add(broken, theme.Unknown, "broken")
	add(elsewhere, theme.Warning, "in Alertmanager only")
	add(blank, theme.Unknown, "without data")
	add(resolved, theme.OK, "resolved")
	add(quiet, theme.OK, "quiet")
	if len(parts) == 0 {
		return []string{t.State(theme.Unknown, "There are no rules")}
	}
	return parts
}

// troubles are what makes the list less than the whole truth: rules that were not taken, an Alertmanager that is silent.
func troubles(c screen.Context, width int) []string {
	var lines []string
	if text := c.Snapshot.RulesError; text != "" {
		for _, line := range cell.Wrap("The newest rules are not used, the last good ones are: "+cell.Clean(text), width-2, 3) {
			lines = append(lines, c.Theme.At(theme.Warning).Render(line))
		}
		lines[0] = c.Theme.State(theme.Warning, cell.Clean(lines[0]))
	}
	if m := c.Snapshot.Alertmanager; m != nil && m.Reach.Contact != probes.Up {
		text := "Alertmanager " + m.Reach.Contact.String() + " " + since(c, m.Reach.Since) + ": what it holds is not known. " + m.Reach.Error
		lines = append(lines, c.Theme.State(theme.Warning, cell.Cut(cell.Clean(text), width-2)))
	}
	return lines
}
