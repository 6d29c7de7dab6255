package tui

import (
	"context"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/box"
	"captop/tui/keys"
	"captop/tui/overview"
	"captop/tui/theme"
)

// model is the root: it keeps what all parts share, and passes messages on.
type model struct {
	ctx     context.Context
	options Options
	keys    keys.Map
	theme   theme.Theme

	width, height int
	now           time.Time
	snapshot      *probes.Snapshot // nil until the first one comes
	armedUntil    time.Time        // zero: read-only, unless options.Armed
	notice        string           // what became of the last key, until the next one
	open          dialog           // nil when the screen has the keys
	job           *job             // the action that runs or ran last
}

type (
	snapshotMsg struct{ snapshot *probes.Snapshot }
	clockMsg    time.Time
)

func newModel(ctx context.Context, options Options, t theme.Theme) model {
	return model{ctx: ctx, options: options, keys: keys.Default(), theme: t, now: options.Now()}
}

// Init starts the clock and waits for the first snapshot.
func (m model) Init() tea.Cmd { return tea.Batch(m.awaitSnapshot(), m.awaitClock()) }

func (m model) awaitSnapshot() tea.Cmd {
	snapshots := m.options.Snapshots
	return func() tea.Msg {
		if snapshot, ok := <-snapshots; ok {
			return snapshotMsg{snapshot}
		}
		return nil
	}
}

// awaitClock ticks once a second: the clock is all that moves on a quiet screen.
func (m model) awaitClock() tea.Cmd {
	now := m.options.Now
	return tea.Every(time.Second, func(time.Time) tea.Msg { return clockMsg(now()) })
}

// Update routes.
func (m model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.now = m.options.Now()
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m, nil
	case snapshotMsg:
		m.snapshot = msg.snapshot
		return m, m.awaitSnapshot()
	case clockMsg:
		return m, m.awaitClock()
	case launchMsg:
		if !m.mayAct(msg.action.Name) { // the five minutes may have ended over the question
			return m, nil
		}
		return m.launch(msg.action)
	case jobMsg:
		return m.jobUpdate(msg)
	case tea.KeyMsg:
		return m.press(msg)
	}
	return m.pass(msg)
}

// press handles the keys that mean the same everywhere, and gives the others to the dialog or the screen.
func (m model) press(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch {
	case msg.Type == tea.KeyCtrlC:
		return m, tea.Quit
	case key.Matches(msg, m.keys.Suspend):
		return m, tea.Suspend
	case key.Matches(msg, m.keys.Redraw):
		return m, tea.ClearScreen
	case m.open != nil:
		return m.pass(msg)
	}
	return m.command(msg)
}

// pass gives a message to the open dialog.
func (m model) pass(msg tea.Msg) (tea.Model, tea.Cmd) {
	if m.open == nil {
		return m, nil
	}
	next, keep, cmd := m.open.update(msg, m.seen())
	m.open = next
	if !keep {
		m.open = nil
	}
	return m, cmd
}

// command is a key on the screen itself.
func (m model) command(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	m.notice = ""
	switch {
	case key.Matches(msg, m.keys.Quit):
		return m, tea.Quit
	case key.Matches(msg, m.keys.Help):
		m.open = help{keys: m.keys, options: m.options}
	case key.Matches(msg, m.keys.Arm):
		m.toggleArmed()
	case key.Matches(msg, m.keys.Write) && m.options.Write != nil:
		if m.mayAct("writing") {
			m.open = newWriteForm(m.ctx, m.options, m.keys)
		}
	default:
		return m.start(msg.String())
	}
	return m, nil
}

// start opens the action behind a key, or runs it where it asks nothing.
func (m model) start(pressed string) (tea.Model, tea.Cmd) {
	for _, action := range m.options.Actions {
		if action.Key != pressed || !m.mayAct(action.Name) {
			continue
		}
		if m.job != nil && !m.job.done() {
			m.open = showJob{job: m.job, keys: m.keys}
			return m, nil
		}
		if action.Confirm != ConfirmNone {
			m.open = newConfirm(action, m.keys)
			return m, nil
		}
		return m.launch(action)
	}
	return m, nil
}

func (m *model) toggleArmed() {
	switch {
	case m.options.Armed:
		m.notice = "This stack is always armed: it is a demo."
	case m.armed():
		m.armedUntil = time.Time{}
		m.notice = "Read-only again."
	default:
		m.armedUntil = m.now.Add(armedFor)
		m.notice = "Armed for five minutes: writes and actions reach the real stack."
	}
}

func (m model) armed() bool { return m.options.Armed || m.now.Before(m.armedUntil) }

// mayAct says no, and how to change it, while the stack is read-only.
func (m *model) mayAct(what string) bool {
	if m.armed() {
		return true
	}
	m.notice = "Read-only: press " + m.keys.Arm.Help().Key + " to allow " + what + " for five minutes."
	return false
}

func (m model) seen() seen {
	return seen{snapshot: m.snapshot, now: m.now, theme: m.theme, armed: m.armed()}
}

// seat says whether this seat may act.
func (m model) seat() overview.Seat {
	seat := overview.Seat{Armed: m.armed()}
	if seat.Armed && !m.options.Armed {
		seat.Left = m.armedUntil.Sub(m.now)
	}
	return seat
}

// footNotice is the answer to the last key, or the action that goes on behind the screen.
func (m model) footNotice() string {
	if m.notice == "" && m.job != nil && !m.job.done() {
		return m.job.action.Name + " goes on; press " + m.job.action.Key + " to see it."
	}
	return m.notice
}

// View draws; it looks at nothing but the model.
func (m model) View() string {
	if m.width <= 0 || m.height <= 0 {
		return ""
	}
	lines := overview.Draw(overview.Input{
		Snapshot: m.snapshot, Now: m.now, Width: m.width, Height: m.height,
		Stack: m.options.Stack, Seat: m.seat(), Notice: m.footNotice(), Keys: m.footKeys(), Theme: m.theme,
	})
	if m.open != nil {
		lines = box.Over(lines, m.width, m.theme, func(width int) (string, []string) { return m.open.view(width, m.seen()) })
	}
	frame := strings.Join(lines, "\n")
	if m.theme.ASCII {
		frame = theme.Fold(frame)
	}
	return frame
}
