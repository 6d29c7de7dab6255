package overview

import "captop/tui/alertview"

// fuses are the alerts, the worst first, in so many rows at most: a title that counts them all, and a line for each that needs
// eyes.
func (p painter) fuses(rows int) []string { return alertview.Brief(p.Context, p.Width, rows) }

// fuseRows is the room of the alerts with their title, beside all else: more on tall screens.
func (p painter) fuseRows() int {
	switch {
	case p.Height < 30:
		return leastFuses
	case p.Height < 45:
		return 7
	}
	return 10
}
