package main

import (
	"errors"
	"io"
	"slices"
	"time"

	"captop/probes"
	"captop/probes/inspect"
	"captop/probes/keyspace"
	"captop/tui"
	"captop/tui/keyview"
)

// closers end together.
type closers []io.Closer

// Close ends all.
func (all closers) Close() error {
	var err error
	for _, one := range all {
		err = errors.Join(err, one.Close())
	}
	return err
}

// lookClosely gives the dashboard its close looks at the nodes that captop asks itself, and their keys. Close ends their
// connections.
func lookClosely(nodes []probes.NodeTarget, services probes.Instances, screen *tui.Options) (io.Closer, error) {
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(node probes.NodeTarget) bool { return node.URL == "" })
	inspector, err := inspect.New(nodes, time.Now)
	if err != nil {
		return nil, err
	}
	screen.Inspect = inspector.Inspect
	if len(nodes) != 2 {
		return inspector, nil // without both nodes there is nothing to compare
	}
	space, err := keyspace.Open(nodes, services, time.Now)
	if err != nil {
		return nil, errors.Join(err, inspector.Close())
	}
	screen.Keyspace = keyview.Source{Find: space.Find, Look: space.Look, Compare: space.Compare}
	return closers{inspector, space}, nil
}
