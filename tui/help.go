package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/keys"
	"captop/tui/screen"
	"captop/tui/theme"
)

// help lists every key, made from the keymap and the actions, and what the marks mean.
type help struct {
	keys    keys.Map
	options Options
	screen  screen.Screen // the one in front
}

func (d help) update(msg tea.Msg, _ seen) (dialog, bool, tea.Cmd) {
	press, ok := msg.(tea.KeyMsg)
	closes := ok && (key.Matches(press, d.keys.Help, d.keys.Back, d.keys.Quit, d.keys.Submit))
	return d, !closes, nil
}

func (d help) view(width int, s seen) (string, []string) {
	t := s.theme
	columns := cell.Split(width, 2, 2)
	var cells []string
	row := func(name, what string) {
		at := columns[len(cells)%2]
		cells = append(cells, t.Key.Render(cell.Right(name, helpKey))+" "+cell.Cut(what, at-helpKey-1))
	}
	for _, binding := range d.screen.Bindings() {
		row(binding.Help().Key, binding.Help().Desc)
	}
	for _, action := range d.options.actions() {
		row(action.Key, action.Name)
	}
	for _, binding := range d.common() {
		row(binding.Help().Key, binding.Help().Desc)
	}
	var lines []string
	for i := 0; i < len(cells); i += 2 {
		lines = append(lines, cell.Beside("  ", columns, cells[i:i+1], cells[i+1:min(i+2, len(cells))])...)
	}
	marks := ""
	for _, level := range []theme.Level{theme.OK, theme.Warning, theme.Critical, theme.Unknown} {
		marks += "  " + t.State(level, level.Word())
	}
	return "keys of " + d.screen.Name(), append(lines, "", marks,
		t.Dim.Render("  ~3 s: late, that old.  ?: older than five polls.  ◆: somebody acted."))
}

// helpKey is the column of keys.
const helpKey = 9

// common are the keys that work everywhere, as far as they do something on this stack. Moving about explains itself.
func (d help) common() []key.Binding {
	k := d.keys
	var all []key.Binding
	if d.options.Write != nil {
		all = append(all, k.Write)
	}
	if d.options.Playback != nil {
		all = append(all, k.Play, k.Slower, k.Faster)
	} else if !d.options.Armed {
		all = append(all, k.Arm)
	}
	if d.options.History != nil {
		all = append(all, k.StepBack, k.StepForward, k.LeapBack, k.LeapForward, k.Live)
	}
	first, last := k.Overview.Help().Key, k.Doctor.Help().Key
	all = append(all, key.NewBinding(key.WithKeys(k.Overview.Keys()...), key.WithHelp(first+" to "+last, "the screens")))
	return append(all, k.Copy, k.Command, k.Zone, k.Relative, k.Next, k.Filter, k.Submit, k.Back, k.Suspend, k.Redraw, k.Help, k.Quit)
}
