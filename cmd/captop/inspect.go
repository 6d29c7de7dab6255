package main

import (
	"io"
	"time"

	"captop/probes"
	"captop/probes/inspect"
	"captop/tui"
)

// lookClosely gives the dashboard its close looks at the nodes. Close ends their connections.
func lookClosely(targets probes.Targets, screen *tui.Options) (io.Closer, error) {
	inspector, err := inspect.New(targets.Nodes, time.Now)
	if err != nil {
		return nil, err
	}
	screen.Inspect = inspector.Inspect
	return inspector, nil
}
