package keyview

import (
	"fmt"
	"strings"

	"captop/probes/keyspace"
	"captop/tui/cell"
	"captop/tui/theme"
)

// share is how much of a comparison is done, 0 to 1.
func share(c keyspace.Comparison) float64 {
	if c.Total == 0 {
		return 0
	}
	return min(float64(c.Done)/float64(c.Total), 1)
}

// compareLines are how far the comparison is, what it counted, and the keys that differ.
func (p painter) compareLines() (above, list []string) {
	if p.comparisons == 0 {
		what := "Press " + p.Keys.Compare.Help().Key + " to compare every key of db_g1 with db_g2, in CP and in AP. " +
			"It only reads: versions and lengths, and values up to 16 KiB; at most 10 000 names a second, which takes " +
			"some 3 % of a core of each node, and it rests three times as long as it asks. A key that changes meanwhile is looked at again before it counts as different."
		return wrapped(p.t.Dim.Render, what, p.Width, 6), nil
	}
	above = append(above, p.progress()...)
	above = append(above, p.counts()...)
	if p.typing || p.filter.Text() != "" {
		above = append(above, p.t.Key.Render("/ ")+p.filter.View(max(p.Width-2, 1), p.typing, p.t))
	}
	found := p.findings()
	if len(found) == 0 && len(p.comparison.Findings) > 0 {
		above = append(above, p.t.Dim.Render("No finding fits the filter."))
	}
	for _, f := range found {
		head := p.t.State(stateLevel(f.State), cell.Left(f.State.String(), 11)) + " " + strings.ToUpper(string(f.Mode)) + " "
		key := cell.Left(quoted(f.Key, max(p.Width/4, 12)), max(p.Width/4, 12))
		list = append(list, head+key+" "+p.t.Dim.Render(cell.Clean(f.Why)))
	}
	return above, list
}

// progress is one or two lines: a bar while it runs, or how it ended.
func (p painter) progress() []string {
	c := p.comparison
	took := cell.Span(c.At.Sub(c.Started))
	visited := fmt.Sprintf("%s of %s names", cell.Count(float64(c.Done)), cell.Count(float64(c.Total)))
	if p.stopCompare != nil {
		left := "time left ?"
		if d, ok := c.Left(); ok {
			left = cell.Span(d) + " left"
		}
		text := fmt.Sprintf(" %s · %s · %s/s · %s", cell.Percent(share(c)), visited, cell.Count(c.PerSecond()), left)
		width := max(min(p.Width-cell.Width(text)-2, 40), 4)
		done := int(share(c) * float64(width))
		bar := p.t.At(theme.OK).Render(cell.Run("█", done)) + p.t.Dim.Render(cell.Run("░", width-done))
		return []string{p.t.At(theme.Warning).Render("▸ ") + bar + text,
			p.t.Dim.Render(fmt.Sprintf("  asking the nodes %s of the time · %s looked at again · %s stops it", cell.Percent(c.Busy),
				things(int64(c.Rechecking), "key"), p.Keys.Back.Help().Key))}
	}
	when := p.Times.Write(c.At, p.Now)
	again := p.t.Dim.Render("; " + p.Keys.Compare.Help().Key + " compares again")
	switch c.Phase {
	case keyspace.Failed:
		return []string{p.t.State(theme.Unknown, "not finished: "+cell.Clean(c.Problem)), p.t.Dim.Render("  "+when+", after "+visited) + again}
	case keyspace.Cancelled:
		return []string{p.t.State(theme.Unknown, "stopped by you at "+when+", after "+visited+" in "+took) + again}
	}
	summary := fmt.Sprintf("at %s, after %s: ", when, took)
	switch {
	case c.Divergent > 0:
		return []string{p.t.State(theme.Critical, summary+things(c.Divergent, "key")+" different") + again}
	case c.Unsettled+c.InFlight > 0:
		return []string{p.t.State(theme.Warning, summary+things(c.Unsettled+c.InFlight, "key")+" under way") + again}
	}
	return []string{p.t.State(theme.OK, summary+"both nodes hold the same") + again}
}

func (p painter) counts() []string {
	c := p.comparison
	level := func(n int64, bad theme.Level) theme.Level {
		switch {
		case n > 0:
			return bad
		case c.Phase == keyspace.Ended:
			return theme.OK
		}
		return theme.Unknown // none so far says nothing of the rest
	}
	count := func(n int64) string { return cell.Count(float64(n)) }
	lines := []string{p.t.State(level(c.Divergent, theme.Critical), count(c.Divergent)+" different") + "   " +
		p.t.State(level(c.Unsettled, theme.Warning), count(c.Unsettled)+" not settled") + "   " +
		p.t.State(level(c.InFlight, theme.Warning), count(c.InFlight)+" in flight")}
	note := fmt.Sprintf("compared: %s in CP, %s in AP; %s other names", count(c.Compared[0]), count(c.Compared[1]), count(c.Foreign))
	if c.BigValues > 0 {
		note += fmt.Sprintf("; %s over 16 KiB by version and length only", things(c.BigValues, "value"))
	}
	if kept := int64(len(c.Findings)); kept < c.Divergent+c.Unsettled+c.InFlight {
		note += fmt.Sprintf("; the worst %d are listed", kept)
	}
	return append(lines, wrapped(p.t.Dim.Render, note, p.Width, 2)...)
}
