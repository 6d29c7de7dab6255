// Package box draws a dialog's box over a screen.
package box

import (
	"captop/tui/cell"
	"captop/tui/theme"
)

// Width is the widest that a box gets, with its edges; longer lines are hard to read.
const Width = 76

// A box needs this much room; on less the screen only says that one is open.
const leastWidth, leastHeight = 24, 6

// Over draws a box in the middle of the screen's lines. view gives its title and its lines of width cells.
func Over(lines []string, width int, t theme.Theme, view func(width int) (title string, lines []string)) []string {
	if len(lines) == 0 {
		return nil
	}
	if width < leastWidth || len(lines) < leastHeight {
		title, _ := view(width)
		return append([]string{cell.Cut(title+": no room", width)}, lines[1:]...)
	}
	outer := Width
	if width < Width+12 {
		outer = width // shreds of the screen at both sides would only confuse
	}
	title, body := view(outer - 4)
	box := boxed(title, body, outer, len(lines), t)
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
