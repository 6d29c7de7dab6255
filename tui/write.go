package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/theme"
)

// writeTimeout ends a write that nobody answers; the services' own deadlines are shorter.
const writeTimeout = 15 * time.Second

// The fields of the form, in order.
const (
	fieldMode = iota
	fieldKey
	fieldValue
	fields
)

// writeForm writes one key through one service and shows the answer, whatever it is.
type writeForm struct {
	ctx    context.Context
	write  func(ctx context.Context, mode service.Mode, key, value string) (service.Written, error)
	clock  func() time.Time
	keys   keys.Map
	mode   service.Mode
	key    field.Line
	value  field.Line
	focus  int
	asked  bool // enter was pressed: show what is wrong with the input
	sent   int  // writes sent so far; the answer to an older one is dropped
	answer *answerMsg
	since  time.Time // when the write on its way was sent; zero when none is
}

// answerMsg is what became of a write.
type answerMsg struct {
	number  int
	mode    service.Mode
	key     string
	written service.Written
	err     error
	took    time.Duration
}

func newWriteForm(ctx context.Context, options Options, k keys.Map) writeForm {
	return writeForm{ctx: ctx, write: options.Write, clock: options.Now, keys: k, mode: service.ModeCP,
		key: field.New(0), value: field.New(0), focus: fieldKey}
}

func (d writeForm) update(msg tea.Msg, s seen) (dialog, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case answerMsg:
		if msg.number == d.sent {
			d.answer, d.since = &msg, time.Time{}
		}
	case tea.KeyMsg:
		return d.press(msg, s)
	}
	return d, true, nil
}

func (d writeForm) press(msg tea.KeyMsg, s seen) (dialog, bool, tea.Cmd) {
	switch {
	case key.Matches(msg, d.keys.Back):
		return d, false, nil
	case key.Matches(msg, d.keys.Next, d.keys.Down):
		d.focus = (d.focus + 1) % fields
	case key.Matches(msg, d.keys.Previous, d.keys.Up):
		d.focus = (d.focus + fields - 1) % fields
	case key.Matches(msg, d.keys.Submit):
		if d.focus == fieldMode {
			d.focus = fieldKey
			return d, true, nil
		}
		d.asked = true
		if d.problem() != nil || !d.since.IsZero() || !s.armed {
			return d, true, nil
		}
		return d.send()
	case d.focus == fieldMode:
		d.choose(msg)
	case d.focus == fieldKey:
		d.key = d.key.Update(msg)
	case d.focus == fieldValue:
		d.value = d.value.Update(msg)
	}
	return d, true, nil
}

// choose picks the service: left, right and space change it, c and a name it.
func (d *writeForm) choose(msg tea.KeyMsg) {
	switch msg.String() {
	case "c":
		d.mode = service.ModeCP
	case "a":
		d.mode = service.ModeAP
	case "left", "right", " ":
		if d.mode == service.ModeCP {
			d.mode = service.ModeAP
		} else {
			d.mode = service.ModeCP
		}
	}
}

// problem is what the services would refuse about the input, found before it is sent.
func (d writeForm) problem() error {
	if err := service.CheckKey(d.key.Text()); err != nil {
		return err
	}
	return service.CheckValue([]byte(d.value.Text()))
}

func (d writeForm) send() (dialog, bool, tea.Cmd) {
	d.sent++
	d.since, d.answer = d.clock(), nil
	number, mode, name, value, since := d.sent, d.mode, d.key.Text(), d.value.Text(), d.since
	write, clock, parent := d.write, d.clock, d.ctx
	return d, true, func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, writeTimeout)
		defer cancel()
		written, err := write(ctx, mode, name, value)
		return answerMsg{number: number, mode: mode, key: name, written: written, err: err, took: clock().Sub(since)}
	}
}

func (d writeForm) view(width int, s seen) (string, []string) {
	t := s.theme
	label := func(field int, text string) string {
		if d.focus == field {
			return t.Key.Render("▸ " + cell.Left(text, 9))
		}
		return t.Dim.Render("  " + cell.Left(text, 9))
	}
	choice := func(mode service.Mode, words string) string {
		if d.mode == mode {
			return t.Bold.Render("(" + "●" + ") " + words)
		}
		return t.Dim.Render("( ) " + words)
	}
	lines := []string{
		label(fieldMode, "service") + choice(service.ModeCP, "app_cp") + "   " + choice(service.ModeAP, "app_ap"),
		label(fieldKey, "key") + d.key.View(width-11, d.focus == fieldKey, t),
		label(fieldValue, "value") + d.value.View(width-11, d.focus == fieldValue, t), "",
	}
	lines = append(lines, d.status(width, s)...)
	if d.focus == fieldMode {
		lines[0] += t.Dim.Render("   space changes it")
	}
	hints := t.Key.Render("enter") + t.Dim.Render(" sends   ") + t.Key.Render("tab") + t.Dim.Render(" next field   ") +
		t.Key.Render("esc") + t.Dim.Render(" closes")
	return "write a key", append(lines, "", hints)
}

// status is four lines: the problem with the input, the write on its way, or its answer.
func (d writeForm) status(width int, s seen) []string {
	t := s.theme
	var lines []string
	problem := d.problem()
	switch {
	case !d.since.IsZero():
		lines = []string{t.At(theme.Warning).Render("▸ waiting for " + "app_" + string(d.mode) + "…")}
	case !s.armed:
		lines = outcome(t, theme.Warning, "READ-ONLY", "The five minutes are over. Close this and press A to arm again.", width)
	case problem != nil && (d.asked || d.key.Text() != ""):
		lines = outcome(t, theme.Warning, "NOT SENT", sentence(problem), width)
	case d.answer != nil:
		lines = d.answer.lines(width, t)
	default:
		lines = []string{t.Dim.Render(promise(d.mode))}
	}
	for len(lines) < 4 {
		lines = append(lines, "")
	}
	return lines
}

// promise is what a mode does with a write, in one line.
func promise(mode service.Mode) string {
	if mode == service.ModeCP {
		return "CP: both nodes hold it before you get a yes; else it refuses."
	}
	return "AP: one node is enough for a yes; the other catches up."
}

func (a answerMsg) lines(width int, t theme.Theme) []string {
	through := fmt.Sprintf("%s through app_%s in %s", cell.Clean(a.key), a.mode, cell.Span(a.took))
	if a.err == nil {
		return append([]string{t.Badge(theme.OK, "APPLIED") + " " + cell.Cut(through, width-12)},
			"version "+cell.Clean(string(a.written.Version)), "held by "+cell.Clean(strings.Join(a.written.Nodes, " and ")))
	}
	level, word := theme.Critical, "UNKNOWN"
	refusal := &service.Error{Code: service.CodeInternal, Outcome: service.Unknown, Message: a.err.Error()}
	errors.As(a.err, &refusal)
	if refusal.Outcome == service.NotApplied {
		level, word = theme.Warning, "REFUSED, not applied"
	} else {
		word = "UNKNOWN, it may have been applied"
	}
	lines := []string{t.Badge(level, word) + " " + cell.Cut(cell.Span(a.took), width-len(word)-5),
		t.Bold.Render(string(refusal.Code)) + t.Dim.Render("  key ") + cell.Cut(cell.Clean(a.key), width/2)}
	return append(lines, cell.Wrap(cell.Clean(refusal.Message), width, 3)...)
}

// event is the write as the journal has it. It does not name the value.
func (a answerMsg) event(now time.Time) probes.Event {
	event := probes.Event{At: now.Add(-a.took), Severity: probes.OK, Kind: "action", Target: "app_" + string(a.mode),
		Text: fmt.Sprintf("write of %s through app_%s: applied as version %s", a.key, a.mode, a.written.Version)}
	if a.err != nil {
		event.Severity = probes.Warning
		event.Text = fmt.Sprintf("write of %s through app_%s: %v", a.key, a.mode, a.err)
	}
	return event
}

// sentence is the message of a refusal without its code, which is for programs.
func sentence(err error) string {
	var refusal *service.Error
	if errors.As(err, &refusal) {
		return refusal.Message
	}
	return err.Error()
}
