package tui

import (
	"io"
	"os"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/tui/cell"
	"captop/tui/screen"
)

// copier is a dialog that holds something to take along.
type copier interface{ copied() string }

// copied is what a person would want to take along: of the dialog, or what the screen has under its cursor, or else the
// verdict with the next step. "" where y is a letter.
func (m model) copied() string {
	if m.open != nil {
		if from, ok := m.open.(copier); ok {
			return from.copied()
		}
		return ""
	}
	if from, ok := m.screens[m.front].(screen.Copier); ok {
		return from.Copied(m.context())
	}
	c := m.context()
	if c.Snapshot == nil || m.screens[m.front].Typing() {
		return ""
	}
	text := c.Snapshot.Severity.String() + ": " + c.Snapshot.Verdict.Sentence
	if next := m.nextStep(c); next != "" {
		text += "\nnext: " + next
	}
	return text
}

// nextStep is the next step in words, and what the stack knows in the place of what somebody would have to find out.
func (m model) nextStep(c screen.Context) string {
	v := c.Snapshot.Verdict
	if v.Act == "" || c.Past {
		return v.NextStep
	}
	switch act, fact := m.options.helps(v.Act); {
	case fact == "":
		return v.NextStep
	case act == "":
		return fact
	default:
		return act + ": " + fact
	}
}

// copyOut hands text to the terminal's clipboard, and says so.
func (m model) copyOut(text string) (tea.Model, tea.Cmd) {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = cell.Clean(lines[i]) // it may be pasted into a shell
	}
	text = strings.Join(lines, "\n")
	first, _, more := strings.Cut(text, "\n")
	if more {
		first += " …"
	}
	m.say("Sent to the terminal's clipboard: " + first)
	out, tmux := m.options.Output, m.options.Getenv != nil && m.options.Getenv("TMUX") != ""
	if out == nil {
		out = os.Stdout
	}
	return m, func() tea.Msg {
		_, _ = io.WriteString(out, clipboard(text, tmux)) // a terminal that is gone ends the dashboard anyway
		return nil
	}
}

// clipboard is OSC 52. tmux takes it for itself where set-clipboard is on; where allow-passthrough is on it hands
// the wrapped one to the terminal around it. Which of them a tmux does cannot be asked, so it gets both.
func clipboard(text string, tmux bool) string {
	sequence := ansi.SetSystemClipboard(text)
	if tmux {
		sequence += ansi.TmuxPassthrough(sequence)
	}
	return sequence
}

func (d confirm) copied() string {
	if d.action.Confirm == ConfirmType {
		return "" // y may be a letter of the name
	}
	return d.action.Command
}

func (d showJob) copied() string {
	j := d.job
	text := j.action.Name + "\n$ " + j.action.Command
	switch {
	case j.err != nil:
		text += "\n" + j.failure() + ": " + j.err.Error()
	case j.done():
		text += "\nDONE: " + j.proof
	}
	return text
}
