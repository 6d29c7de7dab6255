package tui

import (
	"captop/tui/alertview"
	"captop/tui/backupview"
	"captop/tui/doctorview"
	"captop/tui/eventview"
	"captop/tui/keys"
	"captop/tui/keyview"
	"captop/tui/nodeview"
	"captop/tui/overview"
	"captop/tui/screen"
)

// screens are all the screens, in the order of their tabs; the first one is shown first.
func screens(o Options, k keys.Map) []screen.Screen {
	// deed gives the key that does here what a verdict names by the built-in key.
	deed := func(builtin string) (string, bool) {
		if o.Write != nil && builtin == "w" {
			return k.Write.Help().Key, true
		}
		pressed := k.Rebound(builtin)
		return pressed, o.hasKey(pressed)
	}
	return []screen.Screen{
		overview.New(k, deed),
		alertview.New(k, alertview.Options{Runbook: o.Runbook, Checks: o.Checks, Query: o.Query, Acknowledge: o.Acknowledge,
			Unacknowledge: o.Unacknowledge, Silence: o.Silence, Unsilence: o.Unsilence}),
		nodeview.New(k, o.Inspect),
		keyview.New(k, o.Keyspace),
		eventview.New(k),
		backupview.New(k, o.Backups),
		doctorview.New(k, o.Examine),
	}
}
