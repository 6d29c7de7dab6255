package alertview

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/screen"
	"captop/tui/theme"
)

// silenceForm makes a silence in Alertmanager: a field for each condition, one empty one for another, how long, and why.
type silenceForm struct {
	run      func(ctx context.Context, silence probes.Silence) (string, error)
	matchers []field.Line
	length   length
	comment  field.Line
	focus    int // the matchers, then length, then comment
	wrong    error
}

func (a Alerts) openSilence(c screen.Context) Alerts {
	e := a.current(c)
	switch {
	case c.Past:
		return a.say(c, "This is the past: press "+c.Keys.Live.Help().Key+" to come back to now, where alerts can be silenced.")
	case a.options.Silence == nil:
		return a.say(c, "No Alertmanager is configured: give --alertmanager URL. Until then "+c.Keys.Acknowledge.Help().Key+" acknowledges, here only.")
	case !e.standing() && e.kind != elsewhere:
		return a.say(c, "There is no alert here to silence.")
	case !c.Armed:
		return a.readOnly(c, "silencing")
	}
	form := silenceForm{run: a.options.Silence, length: newLength(), comment: field.New(300)}
	for _, m := range matchersOf(e) {
		form.matchers = append(form.matchers, field.New(0).With(writeMatcher(m)))
	}
	form.matchers = append(form.matchers, field.New(0))
	form.focus = len(form.matchers) + 1
	a.form = form
	return a
}

// matchersOf are conditions that hold for this alert alone, its name first. Those labels that the rule itself gives to all
// its alerts say nothing more.
func matchersOf(e entry) []probes.Matcher {
	matchers := []probes.Matcher{{Name: "alertname", Value: e.rule.Name, IsEqual: true}}
	for _, name := range sortedKeys(e.labels) {
		if name != "alertname" && (e.rule.Labels[name] != e.labels[name] || e.kind == elsewhere) {
			matchers = append(matchers, probes.Matcher{Name: name, Value: e.labels[name], IsEqual: true})
		}
	}
	return matchers
}

// writeMatcher writes a condition as Alertmanager and PromQL do.
func writeMatcher(m probes.Matcher) string {
	op := "="
	switch {
	case m.IsRegex && m.IsEqual:
		op = "=~"
	case m.IsRegex:
		op = "!~"
	case !m.IsEqual:
		op = "!="
	}
	return m.Name + op + strconv.Quote(m.Value)
}

var matcherShape = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$`)

// readMatcher reads what writeMatcher writes; the quotes may be left out.
func readMatcher(text string) (probes.Matcher, error) {
	parts := matcherShape.FindStringSubmatch(text)
	if parts == nil {
		return probes.Matcher{}, fmt.Errorf(`%q is no condition: write it like node="db_g2" or job=~"app_.*"`, text)
	}
	m := probes.Matcher{Name: parts[1], Value: parts[3], IsRegex: strings.HasSuffix(parts[2], "~"), IsEqual: parts[2][0] == '='}
	if strings.HasPrefix(m.Value, `"`) {
		value, err := strconv.Unquote(m.Value)
		if err != nil {
			return probes.Matcher{}, fmt.Errorf("%s: the quotes do not fit together", text)
		}
		m.Value = value
	}
	if m.IsRegex {
		if _, err := regexp.Compile(m.Value); err != nil {
			return probes.Matcher{}, fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return m, nil
}

// silence is what the form says, or what is wrong with it.
func (f silenceForm) silence(c screen.Context) (probes.Silence, error) {
	var s probes.Silence
	for _, line := range f.matchers {
		if strings.TrimSpace(line.Text()) == "" {
			continue
		}
		m, err := readMatcher(line.Text())
		if err != nil {
			return s, err
		}
		s.Matchers = append(s.Matchers, m)
	}
	if matchesAll(s.Matchers, nil) || len(s.Matchers) == 0 {
		return s, errors.New("these conditions hold for every alert: name at least one label that has a value")
	}
	lasts, err := f.length.value()
	if err != nil {
		return s, err
	}
	if strings.TrimSpace(f.comment.Text()) == "" {
		return s, errReason
	}
	s.StartsAt, s.EndsAt, s.Comment = c.Now, c.Now.Add(lasts), f.comment.Text()
	return s, nil
}

func (f silenceForm) press(msg tea.KeyMsg, c screen.Context) (form, bool, tea.Cmd) {
	fields := len(f.matchers) + 2
	if at, ok := turn(msg, c, f.focus, fields); ok {
		f.focus = at
		return f, true, nil
	}
	if !key.Matches(msg, c.Keys.Submit) {
		return f.edit(msg, c), true, nil
	}
	silence, err := f.silence(c)
	if err != nil || !c.Armed {
		f.wrong = err
		return f, true, nil
	}
	run, until := f.run, c.Times.Write(silence.EndsAt, c.Now)
	return f, false, send(c.Context, func(ctx context.Context) (string, error) {
		id, err := run(ctx, silence)
		return "Silenced in Alertmanager until " + until + " (" + id + ").", err
	})
}

func (f silenceForm) edit(msg tea.KeyMsg, c screen.Context) form {
	f.wrong = nil
	switch {
	case f.focus == len(f.matchers):
		f.length = f.length.press(msg, c)
	case f.focus > len(f.matchers):
		f.comment = f.comment.Update(msg)
	default:
		f.matchers = append([]field.Line(nil), f.matchers...)
		f.matchers[f.focus] = f.matchers[f.focus].Update(msg)
		if f.matchers[len(f.matchers)-1].Text() != "" {
			f.matchers = append(f.matchers, field.New(0))
		}
	}
	return f
}

func (f silenceForm) view(width int, c screen.Context) (string, []string) {
	t := c.Theme
	end := append([]string{"", label(t, f.focus == len(f.matchers), "for") + f.length.view(width-labelWidth, f.focus == len(f.matchers), t),
		label(t, f.focus > len(f.matchers), "comment") + f.comment.View(width-labelWidth, f.focus > len(f.matchers), t), ""},
		f.effect(c, width)...)
	end = append(end, hints(t, "silences"))
	// The conditions scroll where they are too many for the box, so that the one with the focus shows.
	room := max(c.Height-4-len(end), 1)
	from := max(min(f.focus-room/2, len(f.matchers)-room), 0)
	lines := []string{t.Dim.Render(cell.Cut("It stops the pagers for everybody, for alerts with all of:", width))}
	for i := from; i < min(from+room, len(f.matchers)); i++ {
		text := "and"
		if i == 0 {
			text = "where"
		}
		lines = append(lines, label(t, f.focus == i, text)+f.matchers[i].View(width-labelWidth, f.focus == i, t))
	}
	return "silence in Alertmanager", append(lines, end...)
}

// effect is what is wrong, or what the silence would hold back of what is listed now.
func (f silenceForm) effect(c screen.Context, width int) []string {
	t := c.Theme
	if !c.Armed {
		return []string{t.At(theme.Warning).Render(cell.Cut("Read-only: close this and press "+c.Keys.Arm.Help().Key+".", width))}
	}
	if f.wrong != nil {
		return problem(t, f.wrong, width)
	}
	var matchers []probes.Matcher
	for _, line := range f.matchers {
		if m, err := readMatcher(line.Text()); err == nil {
			matchers = append(matchers, m)
		}
	}
	held, standing := 0, 0
	for _, e := range entries(c.Snapshot) {
		if e.standing() || e.kind == elsewhere {
			standing++
			if matchesAll(matchers, e.labels) {
				held++
			}
		}
	}
	return []string{cell.Cut(fmt.Sprintf("Now it would hold back %d of the %d alerts listed.", held, standing), width)}
}
