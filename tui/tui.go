// Package tui is captop's dashboard: screens that are a pure function of what probes saw.
//
// It reaches nothing itself. Snapshots come in on a channel; writes and actions are functions that the caller hands
// over, so the package knows no Redis, no Docker and no HTTP. Only Run and the types of its Options are exported.
package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/probes/alerts"
	"captop/service"
	"captop/tui/alertview"
	"captop/tui/backupview"
	"captop/tui/doctorview"
	"captop/tui/keys"
	"captop/tui/keyview"
	"captop/tui/nodeview"
	"captop/tui/paint"
	_ "captop/tui/quiet" // before bubbletea asks the terminal for its background colour
	"captop/tui/theme"
)

// ErrDumbTerminal says that TERM names a terminal on which nothing can be drawn; captop --plain works there.
var ErrDumbTerminal = errors.New("TERM is dumb: this terminal cannot show the dashboard; use captop --plain, or --once --json")

// armedFor is how long A allows actions on a stack that is read-only by default.
const armedFor = 5 * time.Minute

// Options is all that the dashboard works with. Snapshots is required; everything else has a default.
type Options struct {
	// Snapshots delivers what probes saw, newest last. The dashboard draws each as it comes, and goes on with the
	// last one, aging, when none come. Closing the channel means that no more will come; it does not end Run.
	Snapshots <-chan *probes.Snapshot

	// Stack says in a few words what is being watched, such as "demo on redis-server" or "localhost", as things stand. Shown
	// in the header. It must not block. nil says nothing.
	Stack func() string

	// Write sends value to key through the service of that mode, and gives its answer; a refusal is a *service.Error.
	// It is called outside the screen's loop and must end with ctx. nil offers no writing.
	Write func(ctx context.Context, mode service.Mode, key, value string) (service.Written, error)

	// Actions gives, as things stand, what else can be done to this stack, in the order in which the footer and the help
	// show it; with none an error that tells who presses one of their keys why. It must not block. nil: nothing is to be
	// done, and no key asks for it.
	Actions func() ([]Action, error)

	// More gives, as things stand, all that can be done to whatever part of the stack, for the command line and its
	// completion: "restart app_cp" runs what has that name. It must not block. nil offers nothing more.
	More func() []Action

	// Remedy gives which of Actions and More helps where a verdict names an act ("heal db_g1"), as the stack knows its parts,
	// "" for none, and how the part is where that says more than the verdict. It must not block. nil: no act is offered.
	Remedy func(act string) (better, fact string)

	// Runbook gives the page of that name as Markdown, and Checks its check steps in the order of the page. nil offers
	// no pages. They must not block for long: pages are files.
	Runbook func(name string) (page string, err error)
	Checks  func(name string) ([]alertview.Check, error)

	// Query evaluates a PromQL expression over what captop sees, now. It must end with ctx. nil offers no check steps.
	Query func(ctx context.Context, expr string) ([]alerts.Sample, error)

	// Acknowledge notes that somebody looks after an alert, or replaces the note for the same labels; Unacknowledge
	// takes it back. Snapshots carry the notes. nil offers none.
	Acknowledge   func(ctx context.Context, ack probes.Ack) error
	Unacknowledge func(ctx context.Context, ack probes.Ack) error

	// Silence makes a silence in Alertmanager and gives its id; Unsilence ends one. nil where none is configured.
	Silence   func(ctx context.Context, silence probes.Silence) (id string, err error)
	Unsilence func(ctx context.Context, id string) error

	// History gives what captop saw at an earlier time: the snapshot of that moment, or of the last one before it; one that
	// is older by less than near will do. It is called outside the screen's loop, one call at a time, and must end with
	// ctx. nil offers no way back in time.
	History func(ctx context.Context, at time.Time, near time.Duration) (*probes.Snapshot, error)

	// Inspect looks closely at one node. It is called every two seconds while the screen of the nodes is in front, outside
	// the screen's loop, and must end with ctx. nil: the screen shows what the polls bring.
	Inspect nodeview.Inspect

	// Keyspace is where the screen of the keys looks. A zero one offers no keys.
	Keyspace keyview.Source

	// Backups is where the screen of the backups looks, and what it can have done. A zero one offers no backups.
	Backups backupview.Source

	// Examine goes through the checklist before a deployment. nil offers none.
	Examine doctorview.Examine

	// Playback is the pace of a recording; nil where what is shown is live. Nothing can be acted on in a recording.
	Playback *Playback

	// Logs delivers lines of the services' logs as events of kind log, in the order in which they came. nil: no source.
	Logs <-chan probes.Event

	// Armed starts with writes and actions allowed, for as long as the dashboard runs: for a demo. Otherwise it is
	// read-only until A is pressed, for five minutes.
	Armed bool

	// Keys are what the keys do; nil means keys.Default.
	Keys *keys.Map
	// Zone is the zone of clock times, nil for UTC; Relative writes times as how long ago.
	Zone     *time.Location
	Relative bool

	// Theme is one of theme.Names ("" is auto). NO_COLOR in the environment means none.
	Theme string
	// ASCII draws with nothing but ASCII.
	ASCII bool

	// Mouse lets a click choose a tab and the wheel scroll. It takes the terminal's own way of marking text away, so it
	// is off by default.
	Mouse bool

	// Now is the clock; nil means time.Now. It must be the one that the snapshots' times come from.
	Now func() time.Time
	// Getenv reads TERM, COLORTERM, COLORFGBG and NO_COLOR; nil means os.Getenv.
	Getenv func(string) string
	// Input and Output are the terminal; nil means standard input and output.
	Input  io.Reader
	Output io.Writer
}

// Confirm is how much an action asks before it runs.
type Confirm int

// The levels.
const (
	ConfirmNone Confirm = iota // runs at once: harmless and easily undone
	ConfirmAsk                 // shows what will happen and asks for enter
	ConfirmType                // asks for Action.Subject to be typed: data is at stake
)

// Action is something that can be done to the stack. The screen shows it, asks, runs it with progress and shows its proof.
type Action struct {
	// Key is one key as bubbletea names it, such as "r" or "ctrl+r"; not one of captop's own. The keys of restart, cut,
	// pause, heal, stop and start may be bound anew by Options.Keys. Those of Options.More have none.
	Key     string
	Name    string  // verb and object, such as "restart db_g2"
	Explain string  // one sentence: what will happen and what it means for the services
	Command string  // the exact command that it stands for
	Confirm Confirm // how much to ask
	Subject string  // what to type for ConfirmType, such as "db_g2"

	// Now gives the action as things stand when it is asked for; its key stays. It must not block. nil: it never changes.
	Now func() Action

	// Check gives the reason why it must not run now (an interlock), nil if it may. It is asked while the confirmation
	// is shown and again right before Run, with the newest snapshot; it must not block. nil allows always.
	Check func(*probes.Snapshot) error

	// Run does it outside the screen's loop, names each step to progress as it begins, and returns the proof that it
	// worked, one fact a line. It must end with ctx. progress may be called from any goroutine until Run returns.
	Run func(ctx context.Context, progress func(step string)) (proof string, err error)
}

// Run shows the dashboard until the user quits or ctx ends. It gives nil after either; ErrDumbTerminal where TERM is
// dumb; an error for options that cannot work; and an error for a panic, after the terminal has been restored.
func Run(ctx context.Context, options Options) error {
	if options.Getenv == nil {
		options.Getenv = os.Getenv
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Getenv("TERM") == "dumb" {
		return ErrDumbTerminal
	}
	mode, err := theme.ParseMode(options.Theme)
	if err != nil {
		return err
	}
	if options.Snapshots == nil {
		return errors.New("tui: Options.Snapshots is nil: there is nothing to show")
	}
	if options.Keys == nil {
		builtin := keys.Default()
		options.Keys = &builtin
	}
	options = options.rebound()
	if err := checkKeys(options); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends writes and actions that are still running
	if options.Output == nil {
		options.Output = os.Stdout
	}
	settings := append(paint.Settings(options.Output), tea.WithContext(ctx))
	if options.Mouse {
		settings = append(settings, tea.WithMouseCellMotion())
	}
	if options.Input != nil {
		settings = append(settings, tea.WithInput(options.Input))
	}
	model := newModel(ctx, options, theme.New(mode, options.ASCII, options.Getenv))
	_, err = tea.NewProgram(paint.New(model, options.Output), settings...).Run()
	if err != nil && (ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted)) && !errors.Is(err, tea.ErrProgramPanic) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("running the dashboard: %w", err)
	}
	return nil
}
