package alertview

import (
	"context"
	"errors"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/screen"
	"captop/tui/theme"
)

// ackForm acknowledges one alert: local, with a reason and an end, and no silence.
type ackForm struct {
	run    func(ctx context.Context, ack probes.Ack) error
	entry  entry
	reason field.Line
	length length
	focus  int // 0 reason, 1 length
	wrong  error
}

func (a Alerts) openAck(c screen.Context) Alerts {
	e := a.current(c)
	switch {
	case c.Past:
		return a.say(c, "This is the past: press "+c.Keys.Live.Help().Key+" to come back to now, where alerts can be acknowledged.")
	case a.options.Acknowledge == nil:
		return a.say(c, "Alerts cannot be acknowledged here: there is no place to note it.")
	case !e.standing():
		return a.say(c, "There is no alert here to acknowledge.")
	}
	form := ackForm{run: a.options.Acknowledge, entry: e, reason: field.New(200), length: newLength()}
	if e.ack != nil {
		form.reason = form.reason.With(e.ack.Reason)
	}
	a.form = form
	return a
}

func (f ackForm) press(msg tea.KeyMsg, c screen.Context) (form, bool, tea.Cmd) {
	if at, ok := turn(msg, c, f.focus, 2); ok {
		f.focus = at
		return f, true, nil
	}
	if !key.Matches(msg, c.Keys.Submit) {
		f.wrong = nil
		if f.focus == 0 {
			f.reason = f.reason.Update(msg)
		} else {
			f.length = f.length.press(msg, c)
		}
		return f, true, nil
	}
	ack, err := f.ack(c)
	if err != nil {
		f.wrong = err
		return f, true, nil
	}
	run, name := f.run, f.entry.rule.Name
	until := c.Times.Write(ack.Until, c.Now)
	return f, false, send(c.Context, func(ctx context.Context) (string, error) {
		return "Acknowledged " + name + " until " + until + ": here only, pagers go on.", run(ctx, ack)
	})
}

func (f ackForm) ack(c screen.Context) (probes.Ack, error) {
	lasts, err := f.length.value()
	if cell.Clean(f.reason.Text()) == "" {
		err = errors.Join(errReason, err)
	}
	return probes.Ack{Labels: f.entry.labels, Reason: f.reason.Text(), At: c.Now, Until: c.Now.Add(lasts)}, err
}

func (f ackForm) view(width int, c screen.Context) (string, []string) {
	t := c.Theme
	lines := []string{t.Bold.Render(cell.Cut(cell.Clean(f.entry.rule.Name+" "+told(f.entry)), width)), ""}
	for _, line := range cell.Wrap("This is a note on this host only. It is no silence: Alertmanager and the pagers go on.", width, 3) {
		lines = append(lines, t.At(theme.Warning).Render(line))
	}
	lines = append(lines, "", label(t, f.focus == 0, "reason")+f.reason.View(width-labelWidth, f.focus == 0, t),
		label(t, f.focus == 1, "for")+f.length.view(width-labelWidth, f.focus == 1, t), "")
	lines = append(lines, problem(t, f.wrong, width)...)
	return "acknowledge", append(lines, hints(t, "acknowledges"))
}

// undoForm asks before it takes back what others rely on.
type undoForm struct {
	ack     *probes.Ack
	silence *probes.Silence
	options Options
}

// openUndo takes the acknowledgement back, or ends the silence where there is none.
func (a Alerts) openUndo(c screen.Context) Alerts {
	e := a.current(c)
	switch {
	case c.Past:
		return a.say(c, "This is the past: press "+c.Keys.Live.Help().Key+" to come back to now.")
	case e.ack != nil && a.options.Unacknowledge != nil:
		a.form = undoForm{ack: e.ack, options: a.options}
	case len(e.silences) > 0 && a.options.Unsilence != nil:
		if !c.Armed {
			return a.readOnly(c, "ending a silence")
		}
		a.form = undoForm{silence: &e.silences[0], options: a.options}
	default:
		return a.say(c, "This is neither acknowledged nor silenced.")
	}
	return a
}

func (a Alerts) readOnly(c screen.Context, what string) Alerts {
	return a.say(c, "Read-only: press "+c.Keys.Arm.Help().Key+" to allow "+what+" for five minutes.")
}

func (f undoForm) press(msg tea.KeyMsg, c screen.Context) (form, bool, tea.Cmd) {
	if !key.Matches(msg, c.Keys.Submit) {
		return f, true, nil
	}
	if f.ack != nil {
		run, ack := f.options.Unacknowledge, *f.ack
		return f, false, send(c.Context, func(ctx context.Context) (string, error) {
			return "The acknowledgement is taken back.", run(ctx, ack)
		})
	}
	if !c.Armed {
		return f, true, nil // the box says so
	}
	run, id := f.options.Unsilence, f.silence.ID
	return f, false, send(c.Context, func(ctx context.Context) (string, error) {
		return "The silence is ended: what it held back pages again.", run(ctx, id)
	})
}

func (f undoForm) view(width int, c screen.Context) (string, []string) {
	t := c.Theme
	close := t.Key.Render("enter") + t.Dim.Render(" does it   ") + t.Key.Render("esc") + t.Dim.Render(" goes back")
	wrap := func(text string) []string { return cell.Wrap(cell.Clean(text), width, 4) }
	if f.ack != nil {
		lines := wrap("Takes back the acknowledgement" + by(f.ack.By) + " of " + f.ack.Labels["alertname"] + ": " + f.ack.Reason)
		return "undo", append(lines, "", close)
	}
	lines := wrap("Ends the silence" + by(f.silence.CreatedBy) + " in Alertmanager for everybody: " + f.silence.Comment)
	lines = append(lines, "")
	for _, m := range f.silence.Matchers {
		lines = append(lines, "  "+cell.Cut(cell.Clean(writeMatcher(m)), width-2))
	}
	if !c.Armed {
		lines = append(lines, "", t.At(theme.Warning).Render(cell.Cut("Read-only: close this and press "+c.Keys.Arm.Help().Key+".", width)))
	}
	return "end the silence?", append(lines, "", close)
}
