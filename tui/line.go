package tui

import (
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/theme"
)

// line is one field of a form. bubbles' textinput edits; drawing is ours, since textinput styles with the default
// renderer and blinks its cursor, which would write to a quiet terminal twice a second.
type line struct{ input textinput.Model }

func newLine(limit int) line {
	input := textinput.New()
	input.CharLimit = limit
	input.Focus()
	return line{input: input}
}

func (l line) update(msg tea.Msg) line {
	l.input, _ = l.input.Update(msg)
	return l
}

func (l line) text() string { return l.input.Value() }

// view draws the text in width cells, scrolled so that the cursor shows. An unfocused field has no cursor.
func (l line) view(width int, focused bool, t theme.Theme) string {
	runes := []rune(cell.Clean(l.text()))
	if !focused {
		return t.Plain.Render(cell.Left(string(runes), width))
	}
	at := min(l.input.Position(), len(runes))
	first := 0
	for first < at && cell.Width(string(runes[first:at]))+1 >= width {
		first++
	}
	under, after := " ", ""
	if at < len(runes) {
		under, after = string(runes[at]), string(runes[at+1:])
	}
	before := string(runes[first:at])
	rest := width - cell.Width(before) - cell.Width(under)
	return before + t.Cursor.Render(under) + cell.Left(after, rest)
}
