package chart

import (
	"fmt"
	"math"
	"strings"
	"time"

	"captop/tui/cell"
	"captop/tui/theme"
)

// asciiMarks are the marks of the first and the second series, and of both in one cell.
var asciiMarks = [4]string{" ", "*", "o", "8"}

// lines renders the grid with its axes.
func (g *grid) lines(p Plot, t theme.Theme) []string {
	labels := g.labels(p)
	limitRow := -1
	if p.Limit > 0 {
		limitRow = g.rows - 1 - g.row(p.Limit)/g.perCell
	}
	lines := make([]string, 0, p.Height)
	for row := range g.rows {
		label, style, tick := cell.Right(labels[row], labelWidth-1), t.Dim, "│"
		if row == limitRow {
			style, tick = t.Limit, "┤"
		}
		lines = append(lines, style.Render(label)+style.Render(tick)+g.rowText(row, row == limitRow, t))
	}
	return append(lines, timeAxis(p, g.columns, t))
}

// rowText renders one row of cells, with runs of one style rendered together to spare escape sequences.
func (g *grid) rowText(row int, limit bool, t theme.Theme) string {
	var out, run strings.Builder
	kind := -1
	flush := func() {
		if run.Len() == 0 {
			return
		}
		switch kind {
		case 0, 1:
			out.WriteString(t.Series[kind].Render(run.String()))
		case 2:
			out.WriteString(t.Limit.Render(run.String()))
		default:
			out.WriteString(run.String())
		}
		run.Reset()
	}
	for column := range g.columns {
		text, next := g.cellText(g.cells[row*g.columns+column], limit, t.ASCII)
		if next != kind {
			flush()
			kind = next
		}
		run.WriteString(text)
	}
	flush()
	return out.String()
}

// cellText is one cell and its kind: the series it is coloured as, 2 for the limit line, 3 for nothing.
func (g *grid) cellText(m mark, limit, ascii bool) (string, int) {
	first, second := m.dots[0], m.dots[1]
	if first|second == 0 {
		if limit {
			return "╌", 2
		}
		return " ", 3
	}
	kind := 0
	if first == 0 {
		kind = 1
	}
	if !ascii {
		return string(rune(0x2800) + rune(first|second)), kind
	}
	return asciiMarks[min(first, 1)+2*min(second, 1)], kind
}

// labels writes the powers of ten and the limit beside their rows; the limit wins where both want one row.
func (g *grid) labels(p Plot) []string {
	labels := make([]string, g.rows)
	if p.Linear {
		labels[0], labels[g.rows-1] = cell.Count(g.scale.top), "0"
		if g.rows > 4 {
			labels[g.rows-1-g.row(g.scale.top/2)/g.perCell] = cell.Count(g.scale.top / 2)
		}
		return labels
	}
	put := func(v float64, text string) { labels[g.rows-1-g.row(v)/g.perCell] = text }
	for decade := g.scale.decades; decade >= 0; decade-- {
		if v := floorMS * math.Pow(10, decade); decade > 0 {
			put(v, short(v))
		}
	}
	labels[g.rows-1] = "≤" + short(floorMS)
	if p.Limit > 0 {
		put(p.Limit, short(p.Limit))
	}
	return labels
}

// short writes milliseconds in at most five cells: 1ms, 500ms, 1.5s, 10s, 17m.
func short(ms float64) string {
	switch {
	case ms < 1000:
		return fmt.Sprintf("%gms", ms)
	case ms < 100e3:
		return fmt.Sprintf("%gs", math.Round(ms/100)/10)
	case ms < 3600e3:
		return fmt.Sprintf("%.0fmin", ms/60e3)
	}
	return fmt.Sprintf("%.0fh", ms/3600e3)
}

// timeAxis labels the time backwards from now. It is relative, so it stays the same while time goes on.
func timeAxis(p Plot, columns int, t theme.Theme) string {
	axis := []rune(strings.Repeat("─", columns))
	parts := ticks(p.Window)
	taken := columns
	place := func(at int, text string) {
		if at < 0 || at+len(text) > taken-1 && text != "now" {
			return
		}
		copy(axis[at:], []rune(text))
		taken = at
	}
	place(columns-3, "now")
	for i := 1; i <= parts; i++ {
		back := p.Window * time.Duration(i) / time.Duration(parts)
		text := agoLabel(back)
		at := columns - columns*i/parts
		if i == parts {
			text += " ago"
		}
		place(at, text)
	}
	return cell.Blank(labelWidth-1) + t.Dim.Render("└"+string(axis))
}

// ticks is the number of parts of the time axis, each a whole number of minutes where that can be.
func ticks(window time.Duration) int {
	switch minutes := int(window.Minutes()); {
	case minutes <= 1:
		return 2
	case minutes <= 5:
		return minutes
	}
	return 5
}

// agoLabel writes a time span of the axis: 30s, 5min.
func agoLabel(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("%dmin", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}
