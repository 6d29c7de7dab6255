package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"captop/deploy/act"
	"captop/deploy/demo"
	"captop/deploy/journal"
	"captop/probes"
	"captop/tui"
)

// findTime bounds how long the screen waits for what can be acted on before it is drawn.
const findTime = time.Second

// canAct lets the dashboard act on what there is to act on. ctx is that of the acts; screenCtx ends with the screen. Where
// there is nothing, or it cannot be asked, the dashboard only watches; why not is among its events.
func (s settings) canAct(ctx, screenCtx context.Context, targets probes.Targets, screen *tui.Options) *act.Engine {
	finding, cancel := context.WithTimeout(screenCtx, findTime)
	defer cancel()
	file, err := journalFile()
	if err == nil {
		var engine *act.Engine
		if on, found := s.stack(finding); found == nil {
			engine = newEngine(on, file, targets, "screen")
			d := &deeds{ctx: ctx, engine: engine}
			if err = d.offer(screenCtx, screen); err == nil {
				d.told(screenCtx, screen)
				screen.Stack += ", " + on.About()
				return engine
			}
		} else if err = found; errors.Is(found, errNoStack) {
			return nil
		}
	}
	events := make(chan probes.Event, 1)
	events <- probes.Event{At: time.Now(), Severity: probes.Warning, Kind: "action", Target: "captop", Text: "nothing can be acted on: " + err.Error()}
	screen.Logs = merged(screenCtx, screen.Logs, events)
	return nil
}

// told puts the journal among the screen's events.
func (d *deeds) told(ctx context.Context, screen *tui.Options) {
	events := make(chan probes.Event)
	go d.tell(ctx, events)
	screen.Logs = merged(ctx, screen.Logs, events)
}

// demoActs lets the dashboard act on the demo. Its journal goes with it.
func demoActs(ctx, screenCtx context.Context, on *demo.Stack, targets probes.Targets, screen *tui.Options) (*act.Engine, error) {
	file := journal.File{Path: filepath.Join(filepath.Dir(on.Log()), "journal.jsonl"), Now: time.Now}
	d := &deeds{ctx: ctx, engine: newEngine(on, file, targets, "screen"), demo: true}
	return d.engine, d.offer(screenCtx, screen)
}

// untilHangup ends when the terminal is lost: the screen ends then, and what it began goes on to its end.
func untilHangup(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGHUP)
}

// finish waits for the end of what the screen began.
func finish(engine *act.Engine, std streams) {
	if engine != nil {
		awaitEnd(engine.Wait, std)
	}
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
