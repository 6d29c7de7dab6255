package tui

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/theme"
)

// dialog is a box over the screen that takes the keys while it is open.
type dialog interface {
	// update handles a message; keep is false when the dialog is done.
	update(msg tea.Msg, s seen) (next dialog, keep bool, cmd tea.Cmd)
	// view gives the title and the lines of the box, for lines of width cells.
	view(width int, s seen) (title string, lines []string)
}

// seen is what every part of the screen may look at while it draws or decides.
type seen struct {
	snapshot *probes.Snapshot
	now      time.Time
	theme    theme.Theme
	armed    bool // writes and actions are allowed right now
}

// boxWidth is the widest that a dialog gets; longer lines are hard to read.
const boxWidth = 76

// A dialog needs this much room; on less the screen only says that one is open.
const leastWidth, leastHeight = 24, 6

// over draws a dialog's box in the middle of the screen's lines.
func over(lines []string, width int, d dialog, s seen) []string {
	if width < leastWidth || len(lines) < leastHeight {
		title, _ := d.view(width, s)
		return append([]string{cell.Cut(title+": no room", width)}, lines[1:]...)
	}
	outer := boxWidth
	if width < boxWidth+12 {
		outer = width // shreds of the screen at both sides would only confuse
	}
	inner := outer - 4
	title, body := d.view(inner, s)
	box := boxed(title, body, outer, len(lines), s.theme)
	top := max((len(lines)-len(box))/2, 0)
	left := (width - outer) / 2
	out := append([]string(nil), lines...)
	for i, line := range box {
		under := out[top+i]
		out[top+i] = cell.Slice(under, 0, left) + line + cell.Slice(under, left+outer, width)
	}
	return out
}

// boxed frames body; where it is taller than height the middle is left out, so that the first line and the keys at
// the end stay.
func boxed(title string, body []string, width, height int, t theme.Theme) []string {
	if room := height - 2; len(body) > room && room > 0 {
		keep := append([]string(nil), body[:room-1]...)
		body = append(keep, body[len(body)-1])
	}
	edge := t.Rule
	title = cell.Cut(title, width-6)
	rest := max(width-5-cell.Width(title), 0)
	box := []string{edge.Render("╭─ ") + t.Title.Render(title) + edge.Render(" "+cell.Run("─", rest)+"╮")}
	for _, line := range body {
		box = append(box, edge.Render("│")+" "+cell.Left(line, width-4)+" "+edge.Render("│"))
	}
	return append(box, edge.Render("╰"+cell.Run("─", width-2)+"╯"))
}
