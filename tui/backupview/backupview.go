// Package backupview is the screen of the backups: how much each node would lose now, held against the RPO, every backup
// with what it is worth, what is being done to them, and the last drills. It looks again every few seconds while it is in
// front.
package backupview

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/box"
	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/rows"
	"captop/tui/screen"
)

// Backup is one backup of the folder.
type Backup struct {
	Node, File     string
	At             time.Time // taken; zero where that is not known
	Took           time.Duration
	Bytes          int64
	Keys, Expiring int64 // Expiring of Keys have an end
	SHA256, RunID  string
	Redis          string   // version of the node
	Offsets        [2]int64 // of the replication, before and after
	Verified       *Proof   // nil until a server has loaded it
	Problem        string   // "" where nothing is wrong at first sight
}

// Proof is the loading of a backup by a server of its own.
type Proof struct {
	At    time.Time
	Took  time.Duration
	Redis string // version of that server
	Keys  int64
}

// counts says that a backup could be restored for all that is known.
func (b Backup) counts() bool { return b.Problem == "" && b.Verified != nil }

// Drill is the last drill of a kind.
type Drill struct {
	Kind     string
	At       time.Time
	OK       bool // it worked, and both targets were reached
	Problem  string
	RPO, RTO time.Duration // as reached
}

// State is what the folder of backups holds.
type State struct {
	Dir        string
	Exists     bool
	Backups    []Backup // the newest first
	Drills     []Drill
	Unfinished string // a restore or undo that waits for its end, in words; "" for none
	Broke      string // what that broke off with; "" where it did not say
	Undo       string // what an undo would take back, in words; "" for nothing, and while an undo is unfinished
}

// Progress is one thing that is being done. Total is 0 where the end is not known.
type Progress struct {
	Text        string
	Done, Total int64
}

// Work is done outside the screen's loop. It gives a proof, one fact a line.
type Work func(ctx context.Context, tell func(Progress)) (proof string, err error)

// Prepare checks all that can be checked, and gives the plan. An error is the reason why not.
type Prepare func(ctx context.Context, tell func(Progress)) (Plan, error)

// Plan is what will be done to the stack, to be confirmed.
type Plan struct {
	What     string // such as "restore db_g2"
	Subject  string // has to be typed
	Command  string // the command that it stands for
	Lines    []string
	Warnings []string
	Run      Work
}

// Source is where the screen looks, and what it can have done. A zero one offers no backups.
type Source struct {
	Nodes    []string
	First    string // the command that makes the first backup
	RPO, RTO time.Duration
	Look     func(ctx context.Context) (State, error)
	Take     Work // one of each node
	Verify   func(file string) Work
	Restore  func(node, file string) Prepare // nil where NoRestore says why not
	Undo     Prepare
	// NoRestore is why nothing can be restored here, a sentence.
	NoRestore string
}

// every is the time between two looks; what was not seen anew for tooOld is not known any more.
const (
	every  = 5 * time.Second
	tooOld = 30 * time.Second
)

// Backups is the screen.
type Backups struct {
	source Source
	keys   keys.Map

	state   State
	looked  time.Time // of the last look that brought the state; zero before it
	asked   time.Time // of the last look
	asking  bool
	problem string // why the last look brought nothing; "" where it did

	job       *job  // never changed, only replaced; nil before the first
	ask       *Plan // waits to be confirmed
	typed     field.Line
	hint      string
	note      string // the answer to a key
	noteUntil time.Time

	place  rows.Place
	filter field.Line
	typing bool
}

// New makes the screen.
func New(k keys.Map, source Source) screen.Screen {
	return Backups{source: source, keys: k, filter: field.New(100), typed: field.New(64)}
}

// Name gives backups.
func (Backups) Name() string { return "backups" }

// Typing says that the filter or a question takes text.
func (b Backups) Typing() bool { return b.typing || b.ask != nil }

// Bindings are the keys that mean something here.
func (b Backups) Bindings() []key.Binding {
	k := b.keys
	named := func(b key.Binding, what string) key.Binding {
		return key.NewBinding(key.WithKeys(b.Keys()...), key.WithHelp(b.Help().Key, what))
	}
	switch {
	case b.ask != nil:
		return []key.Binding{named(k.Submit, "do it"), named(k.Back, "back")}
	case b.typing:
		return []key.Binding{named(k.Submit, "keep"), named(k.Back, "clear")}
	}
	all := []key.Binding{named(k.TakeBackup, "take"), named(k.VerifyBackup, "verify"), named(k.RestoreBackup, "restore"),
		named(k.UndoRestore, "undo restore"), named(k.Filter, "filter")}
	if b.filter.Text() != "" || b.job != nil && b.job.done() {
		all = append(all, named(k.Back, "back"))
	}
	return all
}

// lookMsg is what a look brought.
type lookMsg struct {
	state State
	at    time.Time
	err   error
}

// look looks at the folder, unless somebody does already.
func (b Backups) look(c screen.Context) (Backups, tea.Cmd) {
	if b.source.Look == nil || b.asking {
		return b, nil
	}
	b.asking, b.asked = true, c.Now
	look, ctx, at := b.source.Look, c.Context, c.Now
	return b, func() tea.Msg {
		state, err := look(ctx)
		return lookMsg{state, at, err}
	}
}

// Update takes keys, what a look brought, and news of the job.
func (b Backups) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case screen.Shown, screen.Tick:
		if c.Past || c.Now.Sub(b.asked) < every {
			return b, true, nil
		}
		next, cmd := b.look(c)
		return next, true, cmd
	case lookMsg:
		return b.saw(msg), true, nil
	case newsMsg:
		next, cmd := b.heard(msg, c)
		return next, true, cmd
	case screen.Command:
		if msg.Name == "filter" {
			b.filter, b.place = b.filter.With(strings.Join(msg.Args, " ")), rows.Place{}
			return b, true, nil
		}
	case tea.KeyMsg:
		switch {
		case b.ask != nil:
			next, cmd := b.answer(msg, c)
			return next, true, cmd
		case b.typing:
			return b.edit(msg), true, nil
		}
		return b.press(msg, c)
	}
	return b, false, nil
}

// saw keeps what a look brought. The cursor stays on its backup, but at the top it stays on the newest.
func (b Backups) saw(msg lookMsg) Backups {
	if !msg.at.Equal(b.asked) {
		return b // of a look from before the last job ended
	}
	b.asking = false
	if msg.err != nil {
		b.problem = msg.err.Error()
		return b
	}
	on, held := b.current()
	top := b.place.At(len(b.shown())) <= 0
	b.state, b.looked, b.problem = msg.state, msg.at, ""
	if held && !top {
		if at := slices.IndexFunc(b.shown(), func(one Backup) bool { return one.File == on.File }); at >= 0 {
			b.place = b.place.On(at)
		}
	}
	return b
}

// edit takes a key while the filter is typed.
func (b Backups) edit(msg tea.KeyMsg) Backups {
	if b.filter, b.typing = b.filter.Typed(msg, b.keys); b.typing {
		b.place = rows.Place{}
	}
	return b
}

func (b Backups) press(msg tea.KeyMsg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	var cmd tea.Cmd
	switch k := c.Keys; {
	case key.Matches(msg, k.TakeBackup):
		b, cmd = b.take(c)
	case key.Matches(msg, k.VerifyBackup):
		b, cmd = b.verify(c)
	case key.Matches(msg, k.RestoreBackup):
		b, cmd = b.restore(c)
	case key.Matches(msg, k.UndoRestore):
		b, cmd = b.undo(c)
	case key.Matches(msg, k.Filter):
		b.typing = true
	case key.Matches(msg, k.Back) && b.filter.Text() != "":
		b.filter, b.place = b.filter.With(""), rows.Place{}
	case key.Matches(msg, k.Back) && b.job != nil && b.job.done():
		b.job = nil
	default:
		var moved bool
		b.place, moved = b.place.Press(msg, k, len(b.shown()), painter{Context: c, Backups: b, t: c.Theme}.listHeight())
		return b, moved, nil
	}
	return b, true, cmd
}

// shown are the backups that the filter leaves.
func (b Backups) shown() []Backup {
	wanted := strings.ToLower(b.filter.Text())
	if wanted == "" {
		return b.state.Backups
	}
	var left []Backup
	for _, one := range b.state.Backups {
		text := strings.Join([]string{one.Node, one.File, one.word(), one.Problem, one.SHA256, one.RunID}, " ")
		if strings.Contains(strings.ToLower(text), wanted) {
			left = append(left, one)
		}
	}
	return left
}

// current is the backup under the cursor.
func (b Backups) current() (Backup, bool) {
	all := b.shown()
	if len(all) == 0 {
		return Backup{}, false
	}
	return all[max(b.place.At(len(all)), 0)], true
}

// newest is the newest backup of a node that could be restored.
func (b Backups) newest(node string) (Backup, bool) {
	at := slices.IndexFunc(b.state.Backups, func(one Backup) bool { return one.Node == node && one.counts() })
	if at < 0 {
		return Backup{}, false
	}
	return b.state.Backups[at], true
}

// Draw gives exactly c.Height lines of at most c.Width cells.
func (b Backups) Draw(c screen.Context) []string {
	p := painter{Context: c, Backups: b, t: c.Theme}
	lines := p.draw()
	out := make([]string, max(c.Height, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = cell.Cut(lines[i], c.Width)
		}
	}
	if b.ask != nil {
		out = box.Over(out, c.Width, c.Theme, p.question)
	}
	return out
}
