package tui

import (
	"captop/tui/keys"
	"captop/tui/overview"
	"captop/tui/screen"
)

// screens are all the screens, in the order of their tabs; the first one is shown first.
func screens(o Options, k keys.Map) []screen.Screen {
	offers := func(name string) bool {
		for _, action := range o.Actions {
			if action.Key == name {
				return true
			}
		}
		return o.Write != nil && name == k.Write.Help().Key
	}
	return []screen.Screen{
		overview.New(k, offers),
	}
}
