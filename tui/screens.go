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
	return []screen.Screen{
		overview.New(k, func(act string) (how, input, fact string) { return o.remedy(k, act) }),
		alertview.New(k, alertview.Options{Runbook: o.Runbook, Checks: o.Checks, Query: o.Query, Acknowledge: o.Acknowledge,
			Unacknowledge: o.Unacknowledge, Silence: o.Silence, Unsilence: o.Unsilence}),
		nodeview.New(k, o.Inspect),
		keyview.New(k, o.Keyspace),
		eventview.New(k),
		backupview.New(k, o.Backups),
		doctorview.New(k, o.Examine),
	}
}
