package alertview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
	"github.com/prometheus/common/model"

	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/screen"
	"captop/tui/theme"
)

// form is a box over the screen that takes the keys while it is open.
type form interface {
	// press handles a key; open is false when the form is done. The command's answer is a doneMsg.
	press(msg tea.KeyMsg, c screen.Context) (next form, open bool, cmd tea.Cmd)
	view(width int, c screen.Context) (title string, lines []string)
}

// doneMsg is what became of something that a form sent off.
type doneMsg struct {
	what string // in the past tense: "Acknowledged …"
	err  error
}

// sendTimeout ends what nobody answers.
const sendTimeout = 15 * time.Second

// send runs something outside the screen's loop.
func send(parent context.Context, run func(ctx context.Context) (what string, err error)) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, sendTimeout)
		defer cancel()
		what, err := run(ctx)
		return doneMsg{what, err}
	}
}

func (a Alerts) done(msg doneMsg, c screen.Context) Alerts {
	if msg.err != nil {
		return a.say(c, "It did not work: "+msg.err.Error())
	}
	return a.say(c, msg.what)
}

// inForm gives a key to the open form.
func (a Alerts) inForm(msg tea.KeyMsg, c screen.Context) (Alerts, bool, tea.Cmd) {
	if key.Matches(msg, c.Keys.Back) {
		a.form = nil
		return a, true, nil
	}
	next, open, cmd := a.form.press(msg, c)
	a.form = next
	if !open {
		a.form = nil
	}
	if cmd != nil {
		a = a.say(c, "Sent; waiting for the answer…")
	}
	return a, true, cmd
}

// lengths are the durations that a form offers; the last choice is one's own.
var lengths = []time.Duration{15 * time.Minute, time.Hour, 4 * time.Hour}

// length is a choice of durations with a field for one's own.
type length struct {
	choice int
	own    field.Line
}

func newLength() length { return length{own: field.New(20)} }

// press chooses by left and right; letters and digits go to one's own.
func (l length) press(msg tea.KeyMsg, c screen.Context) length {
	switch k := c.Keys; {
	case key.Matches(msg, k.Left) && (l.choice < len(lengths) || l.own.Text() == ""):
		l.choice = max(l.choice-1, 0)
	case key.Matches(msg, k.Right) && l.choice < len(lengths):
		l.choice++
	case msg.Type == tea.KeyRunes && l.choice < len(lengths) && msg.String() != " ":
		l.choice, l.own = len(lengths), l.own.Update(msg)
	case l.choice == len(lengths):
		l.own = l.own.Update(msg)
	}
	return l
}

// value is the duration chosen, or what is wrong with it.
func (l length) value() (time.Duration, error) {
	if l.choice < len(lengths) {
		return lengths[l.choice], nil
	}
	parsed, err := model.ParseDuration(l.own.Text())
	if err != nil || parsed <= 0 {
		return 0, fmt.Errorf("%q is no duration: write it like 30m, 2h or 1d", l.own.Text())
	}
	return time.Duration(parsed), nil
}

func (l length) view(width int, focused bool, t theme.Theme) string {
	out := ""
	for i, d := range lengths {
		out += choice(t, l.choice == i, cell.Age(d)) + "  "
	}
	out += choice(t, l.choice == len(lengths), "other") + " "
	return out + l.own.View(max(width-cell.Width(out), 3), focused && l.choice == len(lengths), t)
}

func choice(t theme.Theme, chosen bool, words string) string {
	if chosen {
		return t.Bold.Render("(●) " + words)
	}
	return t.Dim.Render("( ) " + words)
}

// label is the name of a field; the one with the focus is marked.
func label(t theme.Theme, focused bool, text string) string {
	if focused {
		return t.Key.Render("▸ " + cell.Left(text, labelWidth-2))
	}
	return t.Dim.Render("  " + cell.Left(text, labelWidth-2))
}

const labelWidth = 12

// hints are the keys of a form.
func hints(t theme.Theme, enter string) string {
	return t.Key.Render("enter") + t.Dim.Render(" "+enter+"   ") + t.Key.Render("tab") + t.Dim.Render(" next field   ") +
		t.Key.Render("esc") + t.Dim.Render(" closes")
}

// turn moves the focus of a form with so many fields; ok is false for a key that does not.
func turn(msg tea.KeyMsg, c screen.Context, at, fields int) (int, bool) {
	switch {
	case key.Matches(msg, c.Keys.Next, c.Keys.Down):
		return (at + 1) % fields, true
	case key.Matches(msg, c.Keys.Previous, c.Keys.Up):
		return (at + fields - 1) % fields, true
	}
	return at, false
}

// problem is a line that says why a form was not sent; empty where nothing is wrong.
func problem(t theme.Theme, err error, width int) []string {
	if err == nil {
		return nil
	}
	lines := cell.Wrap(cell.Clean("Not sent: "+err.Error()), width, 3)
	for i := range lines {
		lines[i] = t.At(theme.Warning).Render(lines[i])
	}
	return lines
}

var errReason = errors.New("say in a word why, for whoever looks at it next")
