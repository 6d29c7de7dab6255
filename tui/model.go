package tui

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/box"
	"captop/tui/keys"
	"captop/tui/paint"
	"captop/tui/screen"
	"captop/tui/theme"
)

// model is the root: it keeps what all screens share, draws the header and the footer, and passes messages on.
type model struct {
	ctx     context.Context
	options Options
	keys    keys.Map
	theme   theme.Theme
	times   screen.Times

	width, height int
	now           time.Time
	live          *probes.Snapshot // nil until the first one comes
	past          past
	pace          string         // of a recording that is shown, in a word
	journal       []probes.Event // what the snapshots do not hold
	screens       []screen.Screen
	front         int       // the screen that is shown
	armedUntil    time.Time // zero: read-only, unless options.Armed
	notice        string    // what became of the last key, until the next one
	noticeUntil   time.Time // and not longer
	prompt        prompt    // the command line
	open          dialog    // nil when the screen has the keys
	job           *job      // the action that runs or ran last

	arrived time.Time // when the last snapshot came
	changes int       // messages so far, but for ticks that change nothing
	drawn   *frame    // the last one
}

// frame is what was drawn after so many changes.
type frame struct {
	after int
	text  string
}

// tickAfter is how long after a snapshot a tick of the clock draws anew: until then the snapshot has moved the clock, and
// a screen that is drawn twice a second costs twice as much.
const tickAfter = 950 * time.Millisecond

type (
	snapshotMsg struct{ snapshot *probes.Snapshot }
	clockMsg    time.Time
	logMsg      struct{ event probes.Event }
)

func newModel(ctx context.Context, options Options, t theme.Theme) model {
	k := keys.Default()
	if options.Keys != nil {
		k = *options.Keys
	}
	return model{ctx: ctx, options: options, keys: k, theme: t, now: options.Now(), drawn: &frame{}, screens: screens(options, k),
		times: screen.Times{Zone: options.Zone, Relative: options.Relative}}
}

// Init starts the clock and waits for the first snapshot.
func (m model) Init() tea.Cmd { return tea.Batch(m.awaitSnapshot(), m.awaitClock(), m.awaitLog()) }

func (m model) awaitSnapshot() tea.Cmd {
	snapshots := m.options.Snapshots
	return func() tea.Msg {
		if snapshot, ok := <-snapshots; ok {
			return snapshotMsg{snapshot}
		}
		return nil
	}
}

func (m model) awaitLog() tea.Cmd {
	logs := m.options.Logs
	if logs == nil {
		return nil
	}
	return func() tea.Msg {
		if event, ok := <-logs; ok {
			return logMsg{event}
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
	m = m.paced()
	if _, tick := msg.(clockMsg); !tick || !m.settled() {
		m.changes++
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m, nil
	case snapshotMsg:
		m.live, m.arrived = msg.snapshot, m.now
		return m, m.awaitSnapshot()
	case logMsg:
		m.note(msg.event)
		return m, m.awaitLog()
	case pastMsg:
		return m.arrive(msg)
	case clockMsg:
		next, cmd := m.toScreen(screen.Tick{})
		return next, tea.Batch(m.awaitClock(), cmd)
	case launchMsg:
		if !m.mayAct(msg.action.Name) { // the five minutes may have ended over the question
			return m, nil
		}
		return m.launch(msg.action)
	case jobMsg:
		return m.jobUpdate(msg)
	case tea.KeyMsg:
		return m.press(msg)
	case tea.MouseMsg:
		return m.click(msg)
	}
	return m.spread(msg)
}

// pressAll presses letters one by one that came in one message, as they do from quick fingers and slow lines: each may
// be a command of its own.
func (m model) pressAll(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	var presses []tea.KeyMsg
	if msg.Alt && !m.meansAlt(msg) {
		presses = append(presses, tea.KeyMsg{Type: tea.KeyEscape})
		msg.Alt = false
	}
	for i, letter := range msg.Runes {
		presses = append(presses, tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{letter}, Alt: msg.Alt && i == 0})
	}
	var next tea.Model = m
	var commands []tea.Cmd
	for _, one := range presses {
		var command tea.Cmd
		next, command = next.Update(one)
		commands = append(commands, command)
	}
	return next, tea.Batch(commands...)
}

// meansAlt says that a key with alt is one that somebody bound, or moves by words in a field. Else it is esc and a letter
// that came together: a terminal sends the same for both.
func (m model) meansAlt(msg tea.KeyMsg) bool {
	name := tea.KeyMsg{Type: tea.KeyRunes, Runes: msg.Runes[:1], Alt: true}.String()
	if name == "alt+b" || name == "alt+f" || name == "alt+d" {
		return true
	}
	bound := slices.ContainsFunc(m.keys.Entries(), func(e keys.Entry) bool { return slices.Contains(e.Binding.Keys(), name) })
	return bound || m.options.hasKey(name)
}

// press handles the keys that mean the same everywhere, and gives the others to the dialog or the screen.
func (m model) press(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	together := len(msg.Runes) > 1 || msg.Alt && len(msg.Runes) == 1 && !m.meansAlt(msg)
	if msg.Type == tea.KeyRunes && together && !msg.Paste {
		return m.pressAll(msg)
	}
	switch {
	case msg.Type == tea.KeyCtrlC:
		return m, tea.Quit
	case key.Matches(msg, m.keys.Suspend):
		return m, tea.Suspend
	case key.Matches(msg, m.keys.Redraw):
		return m, paint.Redraw
	case key.Matches(msg, m.keys.Copy) && !m.prompt.open:
		if text := m.copied(); text != "" {
			return m.copyOut(text)
		}
	}
	if ended, ok := m.open.(showJob); ok && ended.job.done() && !ended.closes(msg) {
		m.open = nil // what has ended stands in the way of nothing: the key means what it means without it
	}
	if m.open != nil {
		return m.toDialog(msg)
	}
	if m.prompt.open {
		return m.pressPrompt(msg)
	}
	m.notice = ""
	typing := m.screens[m.front].Typing()
	next, handled, cmd := m.offer(msg)
	if handled || typing {
		return next, cmd
	}
	return next.command(msg)
}

// toDialog gives a message to the open dialog.
func (m model) toDialog(msg tea.Msg) (model, tea.Cmd) {
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

// offer gives a message to the screen in front.
func (m model) offer(msg tea.Msg) (next model, handled bool, cmd tea.Cmd) {
	m.screens = slices.Clone(m.screens)
	m.screens[m.front], handled, cmd = m.screens[m.front].Update(msg, m.context())
	return m, handled, cmd
}

func (m model) toScreen(msg tea.Msg) (model, tea.Cmd) {
	next, _, cmd := m.offer(msg)
	return next, cmd
}

// spread gives the message of somebody's command to the dialog and to all screens: its type tells them whose it is.
func (m model) spread(msg tea.Msg) (tea.Model, tea.Cmd) {
	if answer, ok := msg.(answerMsg); ok {
		m.note(answer.event(m.now))
	}
	m, cmd := m.toDialog(msg)
	commands := []tea.Cmd{cmd}
	front := m.front
	for i := range m.screens {
		m.front = i
		m, cmd = m.toScreen(msg)
		commands = append(commands, cmd)
	}
	m.front = front
	return m, tea.Batch(commands...)
}

// command is a key that the screen does not know.
func (m model) command(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	for i, s := range m.screens {
		if key.Matches(msg, m.keys.Screen(s.Name())) {
			return m.show(i)
		}
	}
	switch {
	case key.Matches(msg, m.keys.Quit):
		return m, tea.Quit
	case key.Matches(msg, m.keys.Help):
		m.open = help{keys: m.keys, options: m.options, screen: m.screens[m.front]}
	case key.Matches(msg, m.keys.Command):
		m.prompt = m.prompt.opened()
	case key.Matches(msg, m.keys.Arm):
		m.toggleArmed()
	case key.Matches(msg, m.keys.Zone):
		m.toggleZone()
	case key.Matches(msg, m.keys.Relative):
		m.times.Relative = !m.times.Relative
	case key.Matches(msg, m.keys.Write) && m.options.Write != nil:
		if m.mayAct("writing") {
			m.open = newWriteForm(m.ctx, m.options, m.keys)
		}
	case m.travels(msg):
		return m.travel(msg)
	case m.paces(msg):
		return m.pacing(msg), nil
	default:
		return m.start(msg.String())
	}
	return m, nil
}

// show brings a screen to the front.
func (m model) show(i int) (tea.Model, tea.Cmd) {
	m.front = i
	return m.toScreen(screen.Shown{})
}

// click brings a screen to the front whose tab was clicked; the rest is the screen's own, whose room begins at line 0
// for it. A wheel that a screen does not know moves like the arrows.
func (m model) click(msg tea.MouseMsg) (tea.Model, tea.Cmd) {
	if m.open != nil {
		return m, nil
	}
	if msg.Action == tea.MouseActionPress && msg.Button == tea.MouseButtonLeft && msg.Y == m.height-1 {
		for _, tab := range m.tabs() {
			if msg.X >= tab.from && msg.X < tab.to {
				return m.show(tab.screen)
			}
		}
	}
	msg.Y -= headerRows
	next, handled, cmd := m.offer(msg)
	if handled || msg.Action != tea.MouseActionPress {
		return next, cmd
	}
	switch msg.Button {
	case tea.MouseButtonWheelUp:
		return m.toScreen(tea.KeyMsg{Type: tea.KeyUp})
	case tea.MouseButtonWheelDown:
		return m.toScreen(tea.KeyMsg{Type: tea.KeyDown})
	}
	return next, cmd
}

// start opens the action behind a key, or runs it where it asks nothing.
func (m model) start(pressed string) (tea.Model, tea.Cmd) {
	for _, action := range m.options.actions() {
		if action.Key != pressed {
			continue
		}
		if action.Now != nil {
			action = action.Now()
			action.Key = pressed
		}
		return m.begin(action)
	}
	m.missing(func(e keys.Entry) bool { return slices.Contains(e.Binding.Keys(), pressed) })
	return m, nil
}

// missing says why nothing comes of an action that there is where something can be acted on. false: there is none such.
func (m *model) missing(is func(keys.Entry) bool) bool {
	if m.options.Actions == nil {
		return false
	}
	_, err := m.options.Actions()
	if err == nil {
		return false
	}
	for _, entry := range m.keys.Entries() {
		if entry.Scope == keys.Actions && is(entry) {
			m.say("No " + entry.Name + ": " + err.Error())
			return true
		}
	}
	return false
}

// begin asks what an action wants asked, or runs it.
func (m model) begin(action Action) (tea.Model, tea.Cmd) {
	if !m.mayAct(action.Name) {
		return m, nil
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

func (m *model) toggleZone() {
	if m.times.Zone == nil {
		m.times.Zone = time.Local
	} else {
		m.times.Zone = nil
	}
}

func (m *model) toggleArmed() {
	switch {
	case m.options.Playback != nil:
		m.say("This is a recording: nothing can be acted on.")
	case m.options.Armed:
		m.say("This stack is always armed: it is a demo.")
	case m.armed():
		m.armedUntil = time.Time{}
		m.say("Read-only again.")
	default:
		m.armedUntil = m.now.Add(armedFor)
		m.say("Armed for five minutes: writes and actions reach the real stack.")
	}
}

func (m model) armed() bool { return m.options.Armed || m.now.Before(m.armedUntil) }

// mayAct says no, and how to change it, while the past is shown or the stack is read-only.
func (m *model) mayAct(what string) bool {
	switch {
	case m.past.shown():
		m.say("This is the past: press " + m.keys.Live.Help().Key + " to come back to now, where " + what + " is possible.")
		return false
	case m.armed():
		return true
	}
	m.say("Read-only: press " + m.keys.Arm.Help().Key + " to allow " + what + " for five minutes.")
	return false
}

// journalKept is how many events the journal holds.
const journalKept = 500

// note adds an event to the journal, which is bounded.
func (m *model) note(event probes.Event) {
	from := max(len(m.journal)-journalKept+1, 0)
	m.journal = append(slices.Clone(m.journal[from:]), event)
}

func (m model) seen() seen {
	return seen{snapshot: m.live, now: m.now, theme: m.theme, armed: m.armed() && !m.past.shown()}
}

// context is what a screen may look at: of an earlier time while that is shown, with the clock of that time.
func (m model) context() screen.Context {
	c := screen.Context{Context: m.ctx, Snapshot: m.live, Now: m.now, Width: m.width, Height: max(m.height-headerRows-footerRows, 0),
		Theme: m.theme, Keys: m.keys, Times: m.times, Armed: m.armed(), Journal: m.journal}
	if m.past.shown() {
		c.Snapshot, c.Now, c.Past, c.Armed = m.past.snapshot, m.past.snapshot.At, true, false
	}
	return c
}

// noticeFor is how long a notice hides the footer if no key ends it.
const noticeFor = 10 * time.Second

// say answers a key.
func (m *model) say(text string) { m.notice, m.noticeUntil = text, m.now.Add(noticeFor) }

// footNotice is the answer to the last key, or the action that goes on behind the screen.
func (m model) footNotice() string {
	switch {
	case m.notice != "" && m.now.Before(m.noticeUntil):
		return m.notice
	case m.job != nil && !m.job.done():
		how, input := m.options.deed(m.keys, m.job.action.Name)
		return m.job.action.Name + " goes on; " + how + " " + input + " to see it."
	}
	return ""
}

// The lines that the root draws itself, above and below the screen in front.
const (
	headerRows = 1
	footerRows = 1
)

// settled says that what a snapshot has just drawn may stand for another second: nothing else moves.
func (m model) settled() bool {
	return m.now.Sub(m.arrived) < tickAfter && m.notice == "" && m.open == nil && !m.prompt.open && !m.past.shown()
}

// View draws; it looks at nothing but the model.
func (m model) View() string {
	if m.width <= 0 || m.height <= 0 {
		return ""
	}
	if m.drawn.after != m.changes {
		*m.drawn = frame{after: m.changes, text: m.draw()}
	}
	return m.drawn.text
}

func (m model) draw() string {
	c := m.context()
	lines := append([]string{m.header(c)}, m.screens[m.front].Draw(c)...)
	if m.height > headerRows {
		lines = append(lines, m.footer(c))
	}
	if m.open != nil {
		lines = box.Over(lines, m.width, m.theme, func(width int) (string, []string) { return m.open.view(width, m.seen()) })
	}
	frame := strings.Join(lines, "\n")
	if m.theme.ASCII {
		frame = theme.Fold(frame)
	}
	return theme.Compact(frame)
}
