package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/theme"
)

// confirm shows what an action will do and asks for it.
type confirm struct {
	action Action
	keys   keys.Map
	typed  field.Line
	hint   string
}

func newConfirm(action Action, k keys.Map) confirm {
	return confirm{action: action, keys: k, typed: field.New(64)}
}

// notNow stands above the reason why an action may not run.
const notNow = "NOT NOW"

// launchMsg asks the root to run an action that was confirmed.
type launchMsg struct{ action Action }

func (d confirm) update(msg tea.Msg, s seen) (dialog, bool, tea.Cmd) {
	press, ok := msg.(tea.KeyMsg)
	switch {
	case !ok:
		return d, true, nil
	case key.Matches(press, d.keys.Back):
		return d, false, nil
	case key.Matches(press, d.keys.Submit):
		if d.refusal(s) != nil {
			return d, true, nil // the reason is on the screen
		}
		if d.action.Confirm == ConfirmType && d.typed.Text() != d.action.Subject {
			d.hint = "That is not " + d.action.Subject + "."
			return d, true, nil
		}
		action := d.action
		return d, false, func() tea.Msg { return launchMsg{action} }
	case d.action.Confirm == ConfirmType:
		d.typed, d.hint = d.typed.Update(msg), ""
	}
	return d, true, nil
}

func (d confirm) refusal(s seen) error {
	if d.action.Check == nil {
		return nil
	}
	return d.action.Check(s.snapshot)
}

func (d confirm) view(width int, s seen) (string, []string) {
	t := s.theme
	lines := cell.Wrap(cell.Clean(d.action.Explain), width, 4)
	lines = append(lines, "", t.Dim.Render("It stands for"))
	lines = append(append(lines, command(t, d.action.Command, width)...), "")
	if err := d.refusal(s); err != nil {
		lines = append(lines, outcome(t, theme.Critical, notNow, err.Error(), width)...)
		return d.action.Name + "?", append(lines, "", t.Key.Render("esc")+t.Dim.Render(" goes back"))
	}
	if d.action.Check != nil {
		lines = append(lines, t.State(theme.OK, "interlocks: nothing stands in the way"))
	}
	if d.action.Confirm == ConfirmType {
		lines = append(lines, "Type "+t.Bold.Render(d.action.Subject)+" to confirm: "+d.typed.View(24, true, t), t.At(theme.Warning).Render(d.hint))
	}
	return d.action.Name + "?", append(lines, "",
		t.Key.Render("enter")+t.Dim.Render(" does it   ")+t.Key.Render("esc")+t.Dim.Render(" goes back"))
}
