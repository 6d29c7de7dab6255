package overview

import "captop/tui/alertview"

// fuses are the alerts, the worst first: a title that counts them all, and a line for each that needs eyes.
func (p painter) fuses() []string { return alertview.Brief(p.Context, p.Width, p.fuseRows()) }

// fuseRows is the room of the alerts with their title: the worst three where every line counts, more on tall screens.
func (p painter) fuseRows() int {
	switch {
	case p.Height < 30:
		return 4
	case p.Height < 45:
		return 7
	}
	return 10
}
