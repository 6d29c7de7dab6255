package tui

import (
	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"
)

// Playback is the pace at which a recording is shown. Its functions must not block.
type Playback struct {
	Pause func()               // stops, or goes on
	Scale func(factor float64) // changes the speed
	State func() string        // in a word, such as "2x", "paused" or "ended"
}

// paces says whether a key changes the pace of a recording.
func (m model) paces(msg tea.KeyMsg) bool {
	return m.options.Playback != nil && key.Matches(msg, m.keys.Play, m.keys.Slower, m.keys.Faster)
}

func (m model) pacing(msg tea.KeyMsg) model {
	switch p := m.options.Playback; {
	case key.Matches(msg, m.keys.Play):
		p.Pause()
	case key.Matches(msg, m.keys.Slower):
		p.Scale(0.5)
	default:
		p.Scale(2)
	}
	return m.paced()
}

// paced notes how the recording runs, for the header.
func (m model) paced() model {
	if m.options.Playback != nil {
		m.pace = m.options.Playback.State()
	}
	return m
}
