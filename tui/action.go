package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/keys"
	"captop/tui/theme"
)

// rebound gives the actions the keys that the keymap has for them.
func (o Options) rebound() Options {
	offered := o.Actions
	if offered == nil {
		return o
	}
	o.Actions = func() ([]Action, error) {
		actions, err := offered()
		actions = slices.Clone(actions)
		for i := range actions {
			actions[i].Key = o.Keys.Rebound(actions[i].Key)
		}
		return actions, err
	}
	return o
}

// actions are what has a key now.
func (o Options) actions() []Action {
	if o.Actions == nil {
		return nil
	}
	actions, _ := o.Actions() // missing tells why there are none
	return actions
}

// hasKey says of a key whether one of the actions has it now.
func (o Options) hasKey(pressed string) bool {
	return slices.ContainsFunc(o.actions(), func(a Action) bool { return a.Key == pressed })
}

// remedy is what to do about a verdict that names an act: see overview.Remedy.
func (o Options) remedy(k keys.Map, act string) (how, input, fact string) {
	if act, fact = o.helps(act); act == "" {
		return "", "", fact
	}
	how, input = o.deed(k, act)
	return how, input, fact
}

// helps is Remedy, where there is a stack to act on.
func (o Options) helps(act string) (better, fact string) {
	if o.Remedy == nil {
		return "", ""
	}
	return o.Remedy(act)
}

// deed says how the act of that name is done: "press" its key, or "type" its line, which begins with the command line's own
// key as k has it.
func (o Options) deed(k keys.Map, name string) (how, input string) {
	for _, action := range o.actions() {
		if action.Name == name {
			return "press", action.Key
		}
	}
	return "type", k.Command.Help().Key + name
}

// checkKeys refuses actions that could never be pressed, and keymaps in which a screen's key hides another.
func checkKeys(o Options) error {
	if err := o.Keys.Check(); err != nil {
		return fmt.Errorf("tui: key %w", err)
	}
	owner := map[string]string{}
	for _, entry := range o.Keys.Entries() {
		for _, name := range entry.Binding.Keys() {
			if entry.Scope == keys.Everywhere {
				owner[name] = "captop itself (" + entry.Name + ")"
			} else if entry.Scope != keys.Actions && owner[name] == "" {
				owner[name] = "the screen " + entry.Scope
			}
		}
	}
	for _, s := range screens(o, *o.Keys) {
		for _, binding := range s.Bindings() {
			for _, name := range binding.Keys() {
				if owner[name] == "" {
					owner[name] = "the screen " + s.Name()
				}
			}
		}
	}
	for _, action := range o.actions() {
		if action.Key == "" || action.Run == nil {
			return fmt.Errorf("tui: action %q needs a key and a function to run", action.Name)
		}
		if taken := owner[action.Key]; taken != "" {
			return fmt.Errorf("tui: key %q of %q is taken by %s", action.Key, action.Name, taken)
		}
		owner[action.Key] = action.Name
	}
	return nil
}

// job is one run of an action. The screen's loop alone changes it, as messages of its command come in.
type job struct {
	action  Action
	steps   []step
	started time.Time
	ended   time.Time // zero while it runs
	proof   string
	err     error
	refused bool // it never ran
}

type step struct {
	at   time.Time
	text string
}

func (j *job) done() bool { return !j.ended.IsZero() }

// failure says in a word how a job ended that has an error.
func (j *job) failure() string {
	if j.refused {
		return notNow
	}
	return "FAILED"
}

// jobMsg is news of a job: a step, or the end.
type jobMsg struct {
	job   *job
	step  string
	end   bool
	proof string
	err   error
	more  <-chan jobMsg
}

var errPanicked = errors.New("the action panicked: this is a defect of captop")

// run starts the action and gives the first news of it. Steps that come faster than they are drawn wait in the channel.
func (j *job) run(ctx context.Context) tea.Cmd {
	return func() tea.Msg {
		news := make(chan jobMsg)
		go func() {
			defer close(news)
			proof, err := j.guarded(ctx, func(text string) {
				select {
				case news <- jobMsg{job: j, step: text, more: news}:
				case <-ctx.Done():
				}
			})
			select {
			case news <- jobMsg{job: j, end: true, proof: proof, err: err}:
			case <-ctx.Done():
			}
		}()
		return <-news
	}
}

// guarded keeps a panic in an action from ending the dashboard: what it began has to stay in view.
func (j *job) guarded(ctx context.Context, progress func(string)) (proof string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", errPanicked, cause)
		}
	}()
	return j.action.Run(ctx, progress)
}

// launch checks the interlock once more and runs the action.
func (m model) launch(action Action) (tea.Model, tea.Cmd) {
	m.job = &job{action: action, started: m.now}
	m.open = showJob{job: m.job, keys: m.keys}
	if action.Check != nil {
		if err := action.Check(m.live); err != nil {
			m.job.ended, m.job.err, m.job.refused = m.now, err, true
			return m, nil
		}
	}
	return m, m.job.run(m.ctx)
}

// jobUpdate takes news of a job in and waits for more.
func (m model) jobUpdate(msg jobMsg) (tea.Model, tea.Cmd) {
	if msg.job == nil {
		return m, nil
	}
	if msg.end {
		msg.job.ended, msg.job.proof, msg.job.err = m.now, msg.proof, msg.err
		m.note(msg.job.event())
		return m, nil
	}
	msg.job.steps = append(msg.job.steps, step{at: m.now, text: cell.Clean(msg.step)})
	return m, func() tea.Msg { return <-msg.more }
}

// event is the job as the journal has it.
func (j *job) event() probes.Event {
	event := probes.Event{At: j.started, Severity: probes.OK, Kind: "action", Target: "captop", Text: j.action.Name + ": done"}
	if j.proof != "" {
		event.Text += "\n" + j.proof
	}
	if j.err != nil {
		event.Severity, event.Text = probes.Critical, j.action.Name+" failed: "+j.err.Error()
	}
	return event
}

// showJob shows a running or ended action. Closing it does not stop the action.
type showJob struct {
	job  *job
	keys keys.Map
}

func (d showJob) update(msg tea.Msg, _ seen) (dialog, bool, tea.Cmd) {
	press, ok := msg.(tea.KeyMsg)
	return d, !ok || !d.closes(press), nil
}

// closes says of a key whether it does nothing but close this.
func (d showJob) closes(press tea.KeyMsg) bool {
	return key.Matches(press, d.keys.Back) || d.job.done() && key.Matches(press, d.keys.Submit, d.keys.Quit)
}

func (d showJob) view(width int, s seen) (string, []string) {
	j, t := d.job, s.theme
	lines := append(command(t, j.action.Command, width), "")
	for i, step := range j.steps {
		mark := t.At(theme.OK).Render("✓")
		if i == len(j.steps)-1 && !j.done() {
			mark = t.At(theme.Warning).Render("▸")
		} else if i == len(j.steps)-1 && j.err != nil {
			mark = t.At(theme.Critical).Render("✗")
		}
		took := cell.Right(cell.Age(step.at.Sub(j.started)), 6)
		text := cell.Hang(mark+" ", cell.Wrap(step.text, width-2-1-cell.Width(took), 3))
		lines = append(append(lines, cell.Ends(text[0], t.Dim.Render(took), width)), text[1:]...)
	}
	if !j.done() {
		hint := t.Key.Render("esc") + t.Dim.Render(" hides this; the action goes on, for "+cell.Age(s.now.Sub(j.started))+" now")
		return j.action.Name, append(lines, "", hint)
	}
	lines = append(lines, "")
	if j.err != nil {
		lines = append(lines, outcome(t, theme.Critical, j.failure(), j.err.Error(), width)...)
	} else {
		lines = append(lines, outcome(t, theme.OK, "DONE in "+cell.Span(j.ended.Sub(j.started)), j.proof, width)...)
	}
	return j.action.Name, append(lines, "", t.Key.Render("enter esc q")+t.Dim.Render(" close; any other key does what it does"))
}

// outcome is a badge with the text below it.
func outcome(t theme.Theme, level theme.Level, word, text string, width int) []string {
	lines := []string{t.Badge(level, word)}
	for _, fact := range strings.Split(text, "\n") {
		if fact != "" {
			lines = append(lines, cell.Wrap(cell.Clean(fact), width, 4)...)
		}
	}
	return lines
}

// command shows what an action stands for as a shell would: only its first line has a prompt.
func command(t theme.Theme, text string, width int) []string {
	prompt := t.Dim.Render("$ ")
	lines := cell.Wrap(text, width-cell.Width(prompt), 4)
	for i, part := range lines {
		lines[i] = t.Bold.Render(part)
	}
	return cell.Hang(prompt, lines)
}
