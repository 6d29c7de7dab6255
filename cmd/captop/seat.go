package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"captop/deploy/demo"
	"captop/deploy/journal"
	"captop/probes"
	"captop/tui"
)

// errNothingHere is errNoStack as a screen says it, on whose last line a sentence has to fit.
var errNothingHere = errors.New("there is nothing to act on; --stack or --act says what there is")

const (
	// findTime bounds how long the screen waits for what can be acted on before it is drawn.
	findTime = time.Second
	// startedEvery is how often is looked whether a stack has been started here.
	startedEvery = 10 * time.Second
)

// canAct lets the dashboard act on what there is to act on, and gives what waits for the end of that. ctx is that of the
// acts; screenCtx ends with the screen. Where there is nothing yet, or an engine on a host under load does not answer in
// time, it is looked for again behind the screen.
func (s settings) canAct(ctx, screenCtx context.Context, targets probes.Targets, screen *tui.Options) (wait func()) {
	file, err := journalFile()
	if err != nil {
		screen.Actions = func() ([]tui.Action, error) { return nil, err }
		return func() {}
	}
	f := &finder{settings: s, ctx: ctx, targets: targets, journal: file}
	f.find(screenCtx, findTime)
	f.offer(screen)
	if s.Stack == stackNone {
		return f.wait
	}
	events := make(chan probes.Event)
	screen.Logs = merged(screenCtx, screen.Logs, events)
	go f.goOn(screenCtx, events)
	return f.wait
}

// finder finds what the screen can act on.
type finder struct {
	settings settings
	ctx      context.Context // of the acts
	targets  probes.Targets
	journal  journal.File
	found    atomic.Pointer[deeds] // nil until there is something
	missing  atomic.Pointer[error] // why there is not
}

// find looks what there is, and keeps that or why there is nothing.
func (f *finder) find(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, err := f.look(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("captop is still looking what it can act on, and got no answer within %s: %w", patience, err)
	case errors.Is(err, errNoStack):
		err = errNothingHere
	case err != nil:
		err = fmt.Errorf("captop is still looking what it can act on: %w", err)
	}
	if err != nil {
		f.missing.Store(&err)
		return
	}
	f.found.Store(d)
}

func (f *finder) look(ctx context.Context) (*deeds, error) {
	on, err := f.settings.stack(ctx)
	if err != nil {
		return nil, err
	}
	d := &deeds{ctx: f.ctx, engine: newEngine(on, f.journal, f.targets, "screen")}
	return d, d.look(ctx)
}

// offer gives the dashboard what is found, whenever that is.
func (f *finder) offer(screen *tui.Options) {
	watched := screen.Stack
	screen.Stack = func() string {
		if d := f.found.Load(); d != nil {
			return watched() + ", " + d.engine.Stack.About()
		}
		return watched()
	}
	screen.Actions = func() ([]tui.Action, error) {
		if d := f.found.Load(); d != nil {
			return d.offered()
		}
		return nil, *f.missing.Load()
	}
	screen.More = func() []tui.Action {
		if d := f.found.Load(); d != nil {
			return d.more()
		}
		return nil
	}
	screen.Remedy = func(act string) (better, fact string) {
		if d := f.found.Load(); d != nil {
			return d.remedy(act)
		}
		return "", ""
	}
}

// goOn looks until something is found, says what comes of it, and then tells what is done to it.
func (f *finder) goOn(ctx context.Context, events chan<- probes.Event) {
	say := func(severity probes.Severity, text string) {
		select {
		case events <- probes.Event{At: time.Now(), Severity: severity, Kind: "action", Target: "captop", Text: text}:
		case <-ctx.Done():
		}
	}
	if f.found.Load() == nil {
		if err := *f.missing.Load(); !errors.Is(err, errNothingHere) { // which is as it should be where the stack runs elsewhere
			say(probes.Warning, "nothing can be acted on yet: "+err.Error())
		}
		if !f.again(ctx) {
			return
		}
		say(probes.OK, "from now on captop can act on "+f.found.Load().engine.Stack.About())
	}
	d := f.found.Load()
	go d.follow(ctx)
	d.tell(ctx, events)
}

// again looks until something is found. false: the screen has ended before.
func (f *finder) again(ctx context.Context) bool {
	for f.found.Load() == nil {
		pause := partsEvery
		if errors.Is(*f.missing.Load(), errNothingHere) {
			pause = startedEvery
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
		f.find(ctx, partsTime)
	}
	return true
}

// wait waits for the end of what the screen began.
func (f *finder) wait() {
	if d := f.found.Load(); d != nil {
		d.engine.Wait()
	}
}

// demoActs lets the dashboard act on the demo. Its journal goes with it.
func demoActs(ctx, screenCtx context.Context, on *demo.Stack, targets probes.Targets, screen *tui.Options) (wait func(), err error) {
	file := journal.File{Path: filepath.Join(filepath.Dir(on.Log()), "journal.jsonl"), Now: time.Now}
	d := &deeds{ctx: ctx, engine: newEngine(on, file, targets, "screen"), demo: true}
	if err := d.look(ctx); err != nil {
		return nil, err
	}
	screen.Actions, screen.More, screen.Remedy = d.offered, d.more, d.remedy
	go d.follow(screenCtx)
	return d.engine.Wait, nil
}

// untilHangup ends when the terminal is lost: the screen ends then, and what it began goes on to its end.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// awaitEnd waits, and says so where that is not over at once.
func awaitEnd(wait func(), std streams) {
	ended := make(chan struct{})
	go func() { wait(); close(ended) }()
	select {
	case <-ended:
		return
	case <-time.After(100 * time.Millisecond):
	}
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	_, _ = fmt.Fprintln(std.err, "captop: what was begun goes on to its end; captop journal tells it")
	<-ended
}
