// Package rows is the place in a list that is longer than its room: a cursor that moves, and what of the list shows.
package rows

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/keys"
)

// Place is the cursor in a list and the first row that shows. The zero value is the beginning.
type Place struct{ at, top int }

// At is the row under the cursor of a list of so many rows; -1 where there are none.
func (p Place) At(count int) int { return min(p.at, count-1) }

// On puts the cursor on a row.
func (p Place) On(row int) Place {
	p.at = max(row, 0)
	return p
}

// Press moves the cursor in a list of count rows of which height show. It says whether the key was one of its own.
func (p Place) Press(msg tea.KeyMsg, k keys.Map, count, height int) (Place, bool) {
	at := max(p.At(count), 0)
	switch {
	case key.Matches(msg, k.Up):
		at--
	case key.Matches(msg, k.Down):
		at++
	case key.Matches(msg, k.PageUp):
		at -= max(height-1, 1)
	case key.Matches(msg, k.PageDown):
		at += max(height-1, 1)
	case key.Matches(msg, k.Home):
		at = 0
	case key.Matches(msg, k.End):
		at = count - 1
	default:
		return p, false
	}
	p.at = max(min(at, count-1), 0)
	p.top, _ = p.Window(count, height)
	return p, true
}

// Scroll moves what shows of a list without a cursor.
func (p Place) Scroll(msg tea.KeyMsg, k keys.Map, count, height int) (Place, bool) {
	first, last := p.Window(count, height)
	switch {
	case key.Matches(msg, k.Up):
		first--
	case key.Matches(msg, k.Down):
		first++
	case key.Matches(msg, k.PageUp):
		first -= max(height-1, 1)
	case key.Matches(msg, k.PageDown):
		first += max(height-1, 1)
	case key.Matches(msg, k.Home):
		first = 0
	case key.Matches(msg, k.End):
		first = last + count
	default:
		return p, false
	}
	first = max(min(first, count-height), 0)
	return Place{at: first, top: first}, true
}

// Window gives the rows from first up to last that show in a room of height rows; the cursor is among them.
func (p Place) Window(count, height int) (first, last int) {
	at := max(p.At(count), 0)
	first = min(p.top, at)
	if at >= first+height {
		first = at - height + 1
	}
	first = max(min(first, count-height), 0)
	return first, min(first+max(height, 0), count)
}
