// Package quiet keeps the libraries from asking the terminal for its background colour.
//
// bubbletea v1 asks in its own init, and a terminal that does not answer (serial lines, some SSH paths) holds the
// first frame for five seconds. Go initialises packages in the order of their import paths once their own imports
// are ready, so this one (captop/...) comes after lipgloss and before github.com/charmbracelet/bubbletea.
package quiet

import "github.com/charmbracelet/lipgloss"

func init() {
	// The answer itself does not matter: package theme uses a renderer of its own, set from the environment.
	lipgloss.SetHasDarkBackground(true)
}
