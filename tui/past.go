package tui

import (
	"context"
	"fmt"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
)

// The steps back and forward in time.
const (
	shortStep = 10 * time.Second
	longStep  = time.Minute
)

// past is an earlier time that is shown in place of now. The zero value shows now.
type past struct {
	snapshot *probes.Snapshot // nil while now is shown
	wanted   time.Time        // the time asked for; zero when nobody asks for one
	near     time.Duration    // how much older will do
	asking   bool             // a question is on its way: the next one waits for its answer
}

func (p past) shown() bool { return p.snapshot != nil }

// pastMsg is what was seen at an earlier time.
type pastMsg struct {
	at       time.Time
	snapshot *probes.Snapshot
	err      error
}

// travels says whether a key goes through time.
func (m model) travels(msg tea.KeyMsg) bool {
	k := m.keys
	return key.Matches(msg, k.StepBack, k.StepForward, k.LeapBack, k.LeapForward, k.Live) || m.past.shown() && key.Matches(msg, k.Back)
}

func (m model) travel(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch k := m.keys; {
	case key.Matches(msg, k.StepBack):
		return m.stepBy(-shortStep)
	case key.Matches(msg, k.StepForward):
		return m.stepBy(shortStep)
	case key.Matches(msg, k.LeapBack):
		return m.stepBy(-longStep)
	case key.Matches(msg, k.LeapForward):
		return m.stepBy(longStep)
	}
	return m.comeBack(), nil
}

// comeBack shows now again.
func (m model) comeBack() model {
	m.past = past{asking: m.past.asking}
	return m
}

// stepBy moves from what is shown, or from what was asked for last.
func (m model) stepBy(d time.Duration) (tea.Model, tea.Cmd) {
	from := m.now
	switch {
	case !m.past.wanted.IsZero():
		from = m.past.wanted
	case m.past.shown():
		from = m.past.snapshot.At
	case m.live != nil:
		from = m.live.At
	}
	if d > 0 && !m.past.shown() && m.past.wanted.IsZero() {
		m.say("This is now already.")
		return m, nil
	}
	return m.near(from.Add(d), shortStep)
}

// goTo shows what was seen at a time.
func (m model) goTo(at time.Time) (tea.Model, tea.Cmd) { return m.near(at, 0) }

// near shows what was seen at a time, or less than so much before it; a time that has not come yet is now.
func (m model) near(at time.Time, near time.Duration) (tea.Model, tea.Cmd) {
	if m.options.History == nil {
		m.say("Nothing is recorded here, so there is no way back in time.")
		return m, nil
	}
	if m.live != nil && !at.Before(m.live.At) || !at.Before(m.now) {
		return m.comeBack(), nil
	}
	m.past.wanted, m.past.near = at, near
	if m.past.asking {
		return m, nil
	}
	return m.ask()
}

// historyTimeout ends a search in a recording that takes too long.
const historyTimeout = 15 * time.Second

// ask looks the wanted time up. One question at a time: keys that repeat faster than answers come do not pile up.
func (m model) ask() (model, tea.Cmd) {
	m.past.asking = true
	history, parent, at, near := m.options.History, m.ctx, m.past.wanted, m.past.near
	return m, func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, historyTimeout)
		defer cancel()
		snapshot, err := history(ctx, at, near)
		return pastMsg{at: at, snapshot: snapshot, err: err}
	}
}

// arrive takes the answer in, unless another time has been asked for meanwhile.
func (m model) arrive(msg pastMsg) (tea.Model, tea.Cmd) {
	m.past.asking = false
	switch {
	case m.past.wanted.IsZero():
		return m, nil // the user is back at now
	case !m.past.wanted.Equal(msg.at):
		return m.ask()
	}
	m.past.wanted = time.Time{}
	if msg.err == nil && msg.snapshot == nil {
		msg.err = fmt.Errorf("nothing was recorded at that time")
	}
	if msg.err != nil {
		m.say("No way to " + m.times.Write(msg.at, m.now) + ": " + msg.err.Error())
		return m, nil
	}
	m.past.snapshot = msg.snapshot
	return m, nil
}
