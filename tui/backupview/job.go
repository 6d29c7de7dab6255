package backupview

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/screen"
)

// job is what is being done, or was done last.
type job struct {
	what     string
	restores bool // it replaces data: what is unfinished in the folder is its own
	began    time.Time
	ended    time.Time // zero while it runs
	steps    []string  // the last is under way
	progress Progress
	proof    string
	err      error
	from     <-chan news
}

func (j *job) done() bool { return !j.ended.IsZero() }

// news of a job: progress, or the end.
type news struct {
	Progress
	end   bool
	proof string
	plan  *Plan
	err   error
}

// newsMsg brings news, and where the next ones come from.
type newsMsg struct {
	news
	from <-chan news
}

var errPanicked = errors.New("this panicked, which is a defect of captop")

// errQuiet: the job's channel was closed without an end.
var errQuiet = errors.New("it ended without a word, which is a defect of captop")

// queued is how much news waits for the screen. What only tells how far a step has come is left out where they are more:
// the work never waits for the drawing.
const queued = 64

// start begins a job, unless one runs: the folder of backups takes one at a time.
func (b Backups) start(c screen.Context, what string, restores bool, work func(context.Context, func(Progress)) (string, *Plan, error)) (Backups, tea.Cmd) {
	if b.job != nil && !b.job.done() {
		return b.say(c, "One at a time: this goes on."), nil
	}
	out, ctx := make(chan news, queued), c.Context
	b.job, b.note = &job{what: what, restores: restores, began: c.Now, from: out}, ""
	return b, func() tea.Msg {
		go func() {
			defer close(out)
			end := guarded(ctx, work, tellTo(ctx, out))
			select {
			case out <- end:
			case <-ctx.Done():
			}
		}()
		return next(out)()
	}
}

// tellTo sends progress, but for steps only as much as there is room.
func tellTo(ctx context.Context, out chan<- news) func(Progress) {
	last := ""
	return func(p Progress) {
		if p.Text == last {
			select {
			case out <- news{Progress: p}:
			default:
			}
			return
		}
		last = p.Text
		select {
		case out <- news{Progress: p}:
		case <-ctx.Done():
		}
	}
}

// guarded keeps a panic in a job from ending the dashboard.
func guarded(ctx context.Context, work func(context.Context, func(Progress)) (string, *Plan, error), tell func(Progress)) (end news) {
	end.end = true
	defer func() {
		if cause := recover(); cause != nil {
			end.err = fmt.Errorf("%w: %v", errPanicked, cause)
		}
	}()
	end.proof, end.plan, end.err = work(ctx, tell)
	return end
}

// next awaits news.
func next(from <-chan news) tea.Cmd {
	return func() tea.Msg {
		one, ok := <-from
		if !ok {
			one = news{end: true, err: errQuiet}
		}
		return newsMsg{news: one, from: from}
	}
}

// heard takes news in. A job that has ended has changed the folder; a plan opens its question.
func (b Backups) heard(msg newsMsg, c screen.Context) (Backups, tea.Cmd) {
	if b.job == nil || msg.from != b.job.from {
		return b, nil
	}
	after := *b.job
	if !msg.end {
		if text := cell.Clean(msg.Text); len(after.steps) == 0 || after.steps[len(after.steps)-1] != text {
			after.steps = append(slices.Clone(after.steps), text)
		}
		after.progress, b.job = msg.Progress, &after
		return b, next(msg.from)
	}
	after.ended, after.proof, after.err = c.Now, msg.proof, msg.err
	b.job = &after
	if msg.plan != nil && msg.err == nil {
		b.job, b.ask, b.hint, b.typed = nil, msg.plan, "", b.typed.With("")
		return b, nil
	}
	b.asking = false // what a look that is under way brings is older than this
	return b.look(c)
}

// doing makes work of what gives no plan.
func doing(work Work) func(context.Context, func(Progress)) (string, *Plan, error) {
	return func(ctx context.Context, tell func(Progress)) (string, *Plan, error) {
		proof, err := work(ctx, tell)
		return proof, nil, err
	}
}

// planning makes work of what gives a plan.
func planning(prepare Prepare) func(context.Context, func(Progress)) (string, *Plan, error) {
	return func(ctx context.Context, tell func(Progress)) (string, *Plan, error) {
		plan, err := prepare(ctx, tell)
		return "", &plan, err
	}
}

// noteFor is how long the answer to a key stands.
const noteFor = 10 * time.Second

// say answers a key.
func (b Backups) say(c screen.Context, text string) Backups {
	b.note, b.noteUntil = text, c.Now.Add(noteFor)
	return b
}

// mayNot says why what reaches the nodes is not possible now; "" where it is.
func mayNot(c screen.Context, what, why string) string {
	switch {
	case c.Past:
		return "This is the past: press " + c.Keys.Live.Help().Key + " to come back to now."
	case !c.Armed:
		return "Read-only, for " + why + ": press " + c.Keys.Arm.Help().Key + " to allow " + what + " for five minutes."
	}
	return ""
}

// take backs every node up.
func (b Backups) take(c screen.Context) (Backups, tea.Cmd) {
	if b.source.Take == nil {
		return b.say(c, "No backups can be taken here."), nil
	}
	if why := mayNot(c, "backups", "a backup has each node save all it holds"); why != "" {
		return b.say(c, why), nil
	}
	return b.start(c, "back up "+names(b.source.Nodes), false, doing(b.source.Take))
}

// verify loads the backup under the cursor. It touches no node, so it needs no arming.
func (b Backups) verify(c screen.Context) (Backups, tea.Cmd) {
	one, ok := b.current()
	switch {
	case !ok || b.source.Verify == nil:
		return b.say(c, "There is no backup to verify."), nil
	case c.Past:
		return b.say(c, mayNot(c, "", "")), nil
	case one.Problem != "":
		return b.say(c, one.File+" cannot be verified: "+one.Problem), nil
	}
	return b.start(c, "verify "+one.File, false, doing(b.source.Verify(one.File)))
}

// restore checks what a restore of the backup under the cursor needs, and asks then.
func (b Backups) restore(c screen.Context) (Backups, tea.Cmd) {
	one, ok := b.current()
	switch {
	case b.source.Restore == nil:
		return b.say(c, or(b.source.NoRestore, "Nothing can be restored here.")), nil
	case !ok:
		return b.say(c, "There is no backup to restore."), nil
	case one.Problem != "":
		return b.say(c, one.File+" cannot be restored: "+one.Problem), nil
	}
	if why := mayNot(c, "restores", "a restore stops the node and replaces its data"); why != "" {
		return b.say(c, why), nil
	}
	return b.start(c, "check what a restore of "+one.Node+" needs", false, planning(b.source.Restore(one.Node, one.File)))
}

// undo checks what the undoing of the newest restore needs, and asks then.
func (b Backups) undo(c screen.Context) (Backups, tea.Cmd) {
	switch {
	case b.source.Undo == nil:
		return b.say(c, or(b.source.NoRestore, "Nothing can be restored here.")), nil
	case b.state.Undo == "" && b.state.Unfinished != "":
		return b.say(c, "An undo was broken off: "+resume+"."), nil
	case b.state.Undo == "":
		return b.say(c, "There is no restore to take back."), nil
	}
	if why := mayNot(c, "undoing", "an undo stops the node and replaces its data"); why != "" {
		return b.say(c, why), nil
	}
	return b.start(c, "check what the undoing needs", false, planning(b.source.Undo))
}

// answer takes a key while a plan waits to be confirmed.
func (b Backups) answer(msg tea.KeyMsg, c screen.Context) (Backups, tea.Cmd) {
	switch {
	case key.Matches(msg, c.Keys.Back):
		b.ask = nil
		return b.say(c, "Nothing was done."), nil
	case !key.Matches(msg, c.Keys.Submit):
		b.typed, b.hint = b.typed.Update(msg), ""
		return b, nil
	}
	if mayNot(c, "", "") != "" {
		b.hint = "Not now: this seat is read-only again. " + c.Keys.Back.Help().Key + ", then " + c.Keys.Arm.Help().Key + " allows it."
		return b, nil
	}
	if b.typed.Text() != b.ask.Subject {
		b.hint = "That is not " + b.ask.Subject + "."
		return b, nil
	}
	plan := *b.ask
	b.ask = nil
	return b.start(c, plan.What, true, doing(plan.Run))
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
