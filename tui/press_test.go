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

// TestEscapeAndALetter: a terminal sends the same for alt+r as for esc and r in quick succession; it is the latter here,
// unless somebody bound it.
func TestEscapeAndALetter(t *testing.T) {
	m := newModel(context.Background(), demoOptions(), theme.New(theme.None, false, func(string) string { return "" }))
	letter := func(alt bool, letters string) tea.KeyMsg {
		return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(letters), Alt: alt}
	}
	opened, _ := m.Update(letter(false, "?"))
	next, _ := opened.Update(letter(true, "5"))
	if got := next.(model); got.open != nil || got.screens[got.front].Name() != "events" {
		t.Errorf("after esc and 5 the screen %s is in front, and the help open: %t", got.screens[got.front].Name(), got.open != nil)
	}
	m.keys.Events.SetKeys("alt+5")
	next, _ = m.Update(letter(true, "5"))
	if got := next.(model); got.screens[got.front].Name() != "events" {
		t.Error("alt+5 is bound and did nothing")
	}
}
