package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"captop/probes"
	"captop/probes/record"
	"captop/tui"
)

// playback gives the Snapshots of a recording at the pace at which they were made, or another one.
type playback struct {
	recording *record.Recording
	span      record.Span

	mu      sync.Mutex
	at      time.Time // of the last Snapshot
	speed   float64
	paused  bool
	ended   bool
	err     error
	changed chan struct{} // closed and made anew when the pace changes
}

func newPlayback(recording *record.Recording, span record.Span, speed float64) *playback {
	return &playback{recording: recording, span: span, speed: speed, changed: make(chan struct{})}
}

// run plays until the end or until ctx ends, and then closes the channel.
func (p *playback) run(ctx context.Context) <-chan *probes.Snapshot {
	out := make(chan *probes.Snapshot)
	go func() {
		defer close(out)
		_, err := p.recording.Replay(ctx, p.span, nil, func(snapshot *probes.Snapshot) error {
			if err := p.wait(ctx, snapshot.At); err != nil {
				return err
			}
			select {
			case out <- snapshot:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended = true
		if ctx.Err() == nil {
			p.err = err
		}
	}()
	return out
}

// wait lasts until it is time for the Snapshot of at, by the pace that is set.
func (p *playback) wait(ctx context.Context, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	left := at.Sub(p.at) // of recorded time
	if p.at.IsZero() || left < 0 {
		left = 0
	}
	for left > 0 || p.paused {
		began, speed, changed := time.Now(), p.speed, p.changed
		var timer <-chan time.Time
		if !p.paused {
			timer = time.After(time.Duration(float64(left) / speed))
		}
		p.mu.Unlock()
		select {
		case <-timer:
			left = 0
		case <-changed:
			if timer != nil {
				left -= time.Duration(float64(time.Since(began)) * speed)
			}
		case <-ctx.Done():
			p.mu.Lock()
			return ctx.Err()
		}
		p.mu.Lock()
	}
	p.at = at
	return nil
}

// now is the dashboard's clock: it stands at what is shown.
func (p *playback) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() {
		return time.Now()
	}
	return p.at
}

// problem is why the playback ended before the recording did; nil where it did not.
func (p *playback) problem() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// controls are what a viewer may do to the pace.
func (p *playback) controls() *tui.Playback {
	change := func(edit func()) {
		p.mu.Lock()
		defer p.mu.Unlock()
		edit()
		close(p.changed)
		p.changed = make(chan struct{})
	}
	return &tui.Playback{
		Pause: func() { change(func() { p.paused = !p.paused }) },
		Scale: func(factor float64) { change(func() { p.speed = min(max(p.speed*factor, slowest), fastest) }) },
		State: p.state,
	}
}

// state is how it runs, in a word.
func (p *playback) state() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return "ended"
	case p.paused:
		return "paused"
	}
	return fmt.Sprintf("%.3gx", p.speed)
}
