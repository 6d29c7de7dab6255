package tui

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/theme"
)

// dialog is a box over the screen that takes the keys while it is open.
type dialog interface {
	// update handles a message; keep is false when the dialog is done.
	update(msg tea.Msg, s seen) (next dialog, keep bool, cmd tea.Cmd)
	// view gives the title and the lines of the box, for lines of width cells.
	view(width int, s seen) (title string, lines []string)
}

// seen is what every part of the screen may look at while it draws or decides.
type seen struct {
	snapshot *probes.Snapshot
	now      time.Time
	theme    theme.Theme
	armed    bool // writes and actions are allowed right now
}
