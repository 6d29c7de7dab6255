package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/keys"
	"captop/tui/overview"
	"captop/tui/theme"
)

// help lists every key, made from the keymap and the actions, and what the marks mean.
type help struct {
	keys    keys.Map
	options Options
}

func (d help) update(msg tea.Msg, _ seen) (dialog, bool, tea.Cmd) {
	press, ok := msg.(tea.KeyMsg)
	closes := ok && (key.Matches(press, d.keys.Help, d.keys.Back, d.keys.Quit, d.keys.Submit))
	return d, !closes, nil
}

func (d help) view(width int, s seen) (string, []string) {
	t := s.theme
	var lines []string
	row := func(name, what string) {
		lines = append(lines, t.Key.Render(cell.Right(name, 10))+"  "+cell.Cut(what, width-12))
	}
	for _, action := range d.options.Actions {
		row(action.Key, action.Name)
	}
	for _, binding := range d.keys.All() {
		if binding.Help().Key == d.keys.Write.Help().Key && d.options.Write == nil {
			continue
		}
		row(binding.Help().Key, binding.Help().Desc)
	}
	marks := "          "
	for _, level := range []theme.Level{theme.OK, theme.Warning, theme.Critical, theme.Unknown} {
		marks += "  " + t.State(level, level.Word())
	}
	return "keys", append(lines, "", marks,
		t.Dim.Render("            ~3 s: late, that old.  ?: unknown, older than five polls."))
}

// footKeys are the keys that the footer shows, in order of use.
func (m model) footKeys() []overview.Key {
	var shown []overview.Key
	if m.options.Write != nil {
		shown = append(shown, overview.Key{Name: m.keys.Write.Help().Key, Does: "write"})
	}
	for _, action := range m.options.Actions {
		shown = append(shown, overview.Key{Name: action.Key, Does: action.Name})
	}
	if !m.options.Armed {
		does := "arm"
		if m.armed() {
			does = "disarm"
		}
		shown = append(shown, overview.Key{Name: m.keys.Arm.Help().Key, Does: does})
	}
	return append(shown, overview.Key{Name: m.keys.Help.Help().Key, Does: "help"}, overview.Key{Name: m.keys.Quit.Help().Key, Does: "quit"})
}
