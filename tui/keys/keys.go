// Package keys holds what each key does as data: the screens match against it, the footer and the help are made from it.
package keys

import "github.com/charmbracelet/bubbles/key"

// Map is the keys of captop itself. Keys of actions come with the actions.
type Map struct {
	Write, Arm, Help, Quit, Back, Next, Previous, Submit, Suspend, Redraw key.Binding
}

// Default is the built-in map.
func Default() Map {
	bind := func(help, what string, names ...string) key.Binding {
		return key.NewBinding(key.WithKeys(names...), key.WithHelp(help, what))
	}
	return Map{
		Write:    bind("w", "write a key through a service", "w"),
		Arm:      bind("A", "arm: allow actions for five minutes; again: disarm", "A"),
		Help:     bind("?", "this help", "?"),
		Quit:     bind("q", "quit (ctrl+c everywhere)", "q", "ctrl+c"),
		Back:     bind("esc", "close what is open", "esc"),
		Next:     bind("tab", "next field", "tab", "down"),
		Previous: bind("shift+tab", "previous field", "shift+tab", "up"),
		Submit:   bind("enter", "send, confirm", "enter"),
		Suspend:  bind("ctrl+z", "suspend; fg resumes", "ctrl+z"),
		Redraw:   bind("ctrl+l", "draw the screen anew", "ctrl+l"),
	}
}

// All lists the keys in the order in which the help shows them.
func (m Map) All() []key.Binding {
	return []key.Binding{m.Write, m.Arm, m.Help, m.Quit, m.Back, m.Next, m.Previous, m.Submit, m.Suspend, m.Redraw}
}
