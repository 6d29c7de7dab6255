package chart

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"captop/tui/cell"
	"captop/tui/theme"
)

// asciiMarks are the marks of the first and the second series, and of both in one cell.
var asciiMarks = [4]string{" ", "*", "o", "8"}

// Kinds of what a cell shows, beside the series 0 and 1.
const (
	limitKind = iota + 2
	markKind
	cursorKind
	nothing
)

// lines renders the grid with its axes.
func (g *grid) lines(p Plot, t theme.Theme) []string {
	labels := g.labels(p)
	uprights := g.uprights(p)
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
		lines = append(lines, style.Render(label)+style.Render(tick)+g.rowText(row, row == limitRow, uprights, t))
	}
	return append(lines, g.axis(p, t))
}

// uprights are the columns with a line from top to bottom: the cursor, what somebody did, and what became critical. The
// other marks stay on the axis: a picture full of lines tells nothing.
func (g *grid) uprights(p Plot) []int {
	kinds := make([]int, g.columns)
	for i := range kinds {
		kinds[i] = nothing
	}
	for _, m := range p.Marks {
		if column := g.column(m.At); g.inside(column) && (m.Action || m.Level == theme.Critical) {
			kinds[column] = markKind
		}
	}
	if column := g.column(p.Cursor); !p.Cursor.IsZero() && g.inside(column) {
		kinds[column] = cursorKind
	}
	return kinds
}

// rowText renders one row of cells, with runs of one style rendered together to spare escape sequences.
func (g *grid) rowText(row int, limit bool, uprights []int, t theme.Theme) string {
	var out, run strings.Builder
	kind := -1
	flush := func() {
		if run.Len() > 0 {
			out.WriteString(style(kind, t).Render(run.String()))
		}
		run.Reset()
	}
	for column := range g.columns {
		text, next := g.cellText(g.cells[row*g.columns+column], limit, uprights[column], t.ASCII)
		if next != kind {
			flush()
			kind = next
		}
		run.WriteString(text)
	}
	flush()
	return out.String()
}

// style is how a kind of cell looks.
func style(kind int, t theme.Theme) lipgloss.Style {
	switch kind {
	case 0, 1:
		return t.Series[kind]
	case limitKind:
		return t.Limit
	case markKind:
		return t.Rule
	case cursorKind:
		return t.Bold
	}
	return t.Plain
}

// cellText is one cell and its kind. The lines win over what is upright, but for the cursor where it would vanish.
func (g *grid) cellText(d dots, limit bool, upright int, ascii bool) (string, int) {
	if d[0]|d[1] == 0 {
		switch {
		case upright == cursorKind:
			return "│", cursorKind
		case upright == markKind && !limit:
			return "┊", markKind
		case limit:
			return "╌", limitKind
		}
		return " ", nothing
	}
	kind := 0
	if d[0] == 0 {
		kind = 1
	}
	if !ascii {
		return string(rune(0x2800) + rune(d[0]|d[1])), kind
	}
	return asciiMarks[min(d[0], 1)+2*min(d[1], 1)], kind
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

// axis is the time axis: the cursor's time, the marks of what happened, and labels at round times where they have room.
func (g *grid) axis(p Plot, t theme.Theme) string {
	line := newAxis(g.columns)
	if column := g.column(p.Cursor); !p.Cursor.IsZero() && g.inside(column) {
		text := p.Times.Write(p.Cursor, p.Now)
		line.put(min(column, max(g.columns-cell.Width(text), 0)), text, t.Cursor)
	}
	for _, m := range slices.Backward(p.Marks) { // of several in one cell the last one stays
		if m.Action {
			line.put(g.column(m.At), "◆", t.Bold)
		} else {
			line.put(g.column(m.At), m.Level.Shape(), t.At(m.Level))
		}
	}
	every := g.tickEvery()
	if p.Times.Relative {
		for back := every; back < p.Window; back += every {
			line.put(g.column(p.Now.Add(-back)), "┴"+ago(back), t.Dim)
		}
		return g.framed(line, t)
	}
	zone := p.Times.In()
	_, offset := p.Now.In(zone).Zone()
	shift := time.Duration(offset) * time.Second
	for tick := p.Now.Add(shift).Truncate(every).Add(-shift); g.x(tick) >= 0; tick = tick.Add(-every) {
		line.put(g.column(tick), "┴"+tick.In(zone).Format(layout(every)), t.Dim)
	}
	return g.framed(line, t)
}

func (g *grid) framed(line *axisLine, t theme.Theme) string {
	return cell.Blank(labelWidth-1) + t.Dim.Render("└") + line.render(t)
}

// tickRoom is the cells that a label of the axis needs, with the line to the next one.
const tickRoom = 11

// tickEvery is the time between two labels of the axis: round, and with room for them.
func (g *grid) tickEvery() time.Duration {
	steps := [...]time.Duration{10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute}
	for _, step := range steps {
		if step >= tickRoom*2*g.step {
			return step
		}
	}
	return time.Hour
}

// layout writes seconds only where labels are less than a minute apart.
func layout(every time.Duration) string {
	if every < time.Minute {
		return "15:04:05"
	}
	return "15:04"
}

// ago writes a time span of the axis: 30s, 5min.
func ago(d time.Duration) string {
	if d%time.Minute == 0 {
		return fmt.Sprintf("-%dmin", int(d.Minutes()))
	}
	return fmt.Sprintf("-%ds", int(d.Seconds()))
}

// axisLine is the cells of the time axis while they are put together.
type axisLine struct {
	text   []string
	styles []*lipgloss.Style
}

func newAxis(columns int) *axisLine {
	a := &axisLine{text: make([]string, columns), styles: make([]*lipgloss.Style, columns)}
	for i := range a.text {
		a.text[i] = "─"
	}
	return a
}

// put writes text from a column on, where nothing else is in the way.
func (a *axisLine) put(column int, text string, style lipgloss.Style) {
	runes := []rune(text)
	if column < 0 || column+len(runes) > len(a.text) {
		return
	}
	for i := range runes {
		if a.styles[column+i] != nil {
			return
		}
	}
	for i, r := range runes {
		a.text[column+i], a.styles[column+i] = string(r), &style
	}
}

// render joins cells of one style.
func (a *axisLine) render(t theme.Theme) string {
	var out strings.Builder
	for i := 0; i < len(a.text); {
		j := i
		for j < len(a.text) && a.styles[j] == a.styles[i] {
			j++
		}
		style := t.Dim
		if a.styles[i] != nil {
			style = *a.styles[i]
		}
		out.WriteString(style.Render(strings.Join(a.text[i:j], "")))
		i = j
	}
	return out.String()
}
