package tui

import (
	"strings"

	"captop/tui/cell"
	"captop/tui/screen"
)

// footKey is one entry of the footer.
type footKey struct{ name, does string }

// footer is the answer to the last key, or what can be pressed here with the tabs at its right.
func (m model) footer(c screen.Context) string {
	if m.prompt.open {
		return m.prompt.view(m.width, m.theme)
	}
	if notice := m.footNotice(); notice != "" {
		return m.theme.Key.Render("▸ ") + cell.Cut(cell.Clean(notice), m.width-2)
	}
	tabs, _ := m.tabLine()
	return cell.Ends(m.footKeys(m.width-cell.Width(tabs)-2), tabs, m.width)
}

// footKeys lists the keys in width cells. Where they do not all fit, each gets one word; then they stand closer; then the
// last ones go, but for help and quit: help tells them all.
func (m model) footKeys(width int) string {
	keys, gap := m.keysHere(), "  "
	for try := 0; ; try++ {
		if try == 1 {
			for i := range keys {
				keys[i].does, _, _ = strings.Cut(keys[i].does, " ")
			}
		}
		parts := make([]string, len(keys))
		for i, key := range keys {
			parts[i] = m.theme.Key.Render(key.name) + " " + m.theme.Dim.Render(key.does)
		}
		if try == 2 {
			gap = " "
		}
		line := strings.Join(parts, gap)
		if cell.Width(line) <= width || len(keys) <= 2 {
			return cell.Cut(line, width)
		}
		if try > 1 {
			keys = append(keys[:len(keys)-3], keys[len(keys)-2:]...)
		}
	}
}

// keysHere are the keys that the footer shows, in order of use.
func (m model) keysHere() []footKey {
	var shown []footKey
	for _, binding := range m.screens[m.front].Bindings() {
		if binding.Enabled() && binding.Help().Key != "" {
			shown = append(shown, footKey{binding.Help().Key, binding.Help().Desc})
		}
	}
	switch {
	case m.past.shown():
		shown = append([]footKey{{m.keys.Live.Help().Key, "live"}, {m.keys.StepBack.Help().Key, "-10s"}, {m.keys.StepForward.Help().Key, "+10s"}}, shown...)
	case m.front == 0: // the screen that says what to do
		shown = append(m.deeds(), shown...)
	default:
		shown = append(shown, m.deeds()...)
	}
	return append(shown, footKey{m.keys.Help.Help().Key, "help"}, footKey{m.keys.Quit.Help().Key, "quit"})
}

// deeds are the keys that change something.
func (m model) deeds() []footKey {
	var shown []footKey
	if m.options.Write != nil {
		shown = append(shown, footKey{m.keys.Write.Help().Key, "write"})
	}
	switch {
	case m.options.Playback != nil:
		k := m.keys
		shown = append(shown, footKey{k.Play.Help().Key, "pause"}, footKey{k.Slower.Help().Key, "slower"}, footKey{k.Faster.Help().Key, "faster"})
	case m.options.Armed:
	case m.armed():
		shown = append(shown, footKey{m.keys.Arm.Help().Key, "disarm"})
	default:
		shown = append(shown, footKey{m.keys.Arm.Help().Key, "arm"})
	}
	for _, action := range m.options.actions() {
		shown = append(shown, footKey{action.Key, action.Name})
	}
	return shown
}

// tab is where the name of a screen stands on the footer, from its first cell to the one after its last.
type tab struct{ screen, from, to int }

// tabLine is the names of the screens with their keys, the one in front in reverse video. One screen needs no tabs. Where
// room is scarce only the one in front has its name, so that the keys of what can be done stay on the screen.
func (m model) tabLine() (line string, tabs []tab) {
	if len(m.screens) < 2 {
		return "", nil
	}
	at := 0
	for i, s := range m.screens {
		binding := m.keys.Screen(s.Name())
		text := " " + strings.TrimLeft(binding.Help().Key+" "+s.Name(), " ")
		if i != m.front && m.width < wordy && binding.Help().Key != "" {
			text = " " + binding.Help().Key
		}
		if i == m.front {
			text += " "
			line += m.theme.Cursor.Render(text)
		} else {
			line += m.theme.Dim.Render(text)
		}
		tabs = append(tabs, tab{screen: i, from: at, to: at + cell.Width(text)})
		at += cell.Width(text)
	}
	return line, tabs
}

// tabs are the tabs by their cells on the screen.
func (m model) tabs() []tab {
	line, tabs := m.tabLine()
	start := m.width - cell.Width(line)
	for i := range tabs {
		tabs[i].from, tabs[i].to = tabs[i].from+start, tabs[i].to+start
	}
	return tabs
}
