// Package field is one line of text that can be edited in a form.
package field

import (
	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/bubbles/textinput"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/keys"
	"captop/tui/theme"
)

// Line is the field. bubbles' textinput edits; drawing is ours, since textinput styles with the default renderer and
// blinks its cursor, which would write to a quiet terminal twice a second.
type Line struct{ input textinput.Model }

// New makes an empty field that takes so many characters; 0 means any number.
func New(limit int) Line {
	input := textinput.New()
	input.CharLimit = limit
	input.Focus()
	return Line{input: input}
}

// With is the field with a text in it and the cursor at its end.
func (l Line) With(text string) Line {
	l.input.SetValue(text)
	l.input.CursorEnd()
	return l
}

// Update takes a key.
func (l Line) Update(msg tea.Msg) Line {
	l.input, _ = l.input.Update(msg)
	return l
}

// Typed takes a key while the line is a filter that somebody types: enter keeps it, esc clears it, and after either nobody
// types any more.
func (l Line) Typed(msg tea.KeyMsg, k keys.Map) (line Line, typing bool) {
	switch {
	case key.Matches(msg, k.Submit):
		return l, false
	case key.Matches(msg, k.Back):
		return l.With(""), false
	}
	return l.Update(msg), true
}

// Text is what was typed.
func (l Line) Text() string { return l.input.Value() }

// View draws the text in width cells, scrolled so that the cursor shows. An unfocused field has no cursor.
func (l Line) View(width int, focused bool, t theme.Theme) string {
	runes := []rune(cell.Clean(l.Text()))
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
