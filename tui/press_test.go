package tui

import (
	"context"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/theme"
)

// TestQuickFingers: letters that come in one message are pressed one by one; what is pasted is text.
func TestQuickFingers(t *testing.T) {
	m := newModel(context.Background(), demoOptions(), theme.New(theme.None, false, func(string) string { return "" }))
	next, _ := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("25?")})
	if got := next.(model); got.screens[got.front].Name() != "events" || got.open == nil {
		t.Errorf("after 25? the screen %s is in front, and the help open: %t", got.screens[got.front].Name(), got.open != nil)
	}
	next, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("25?"), Paste: true})
	if got := next.(model); got.front != m.front || got.open != nil {
		t.Error("what was pasted was taken for keys")
	}
}
