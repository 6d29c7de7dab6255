package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
)

// check looks at the nodes before anything is done to them, and refuses with every reason that there is.
func (r *Restorer) check(ctx context.Context, record *Record) error {
	var reasons []string
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	var size int64
	for _, n := range record.Nodes {
		part, err := r.part(ctx, n.Name)
		if err != nil {
			return err
		}
		switch {
		case part.State == stack.Paused:
			add("%s is paused: unpause it first", n.Name)
			continue
		case part.Cut:
			add("%s is cut off: heal it first", n.Name)
		}
		if _, err := r.Stack.Data(part); err != nil {
			return fmt.Errorf("reaching the data of %s: %w", n.Name, err)
		}
		if why := r.checkTarget(ctx, n, part); why != "" {
			add("%s", why)
		}
		size += n.bytes
	}
	if record.Kind == Restore {
		if err := r.Store.RoomFor(size); errors.Is(err, backup.ErrNoSpace) { // a folder that is not there yet is made later
			add("the safety copy: %v; captop backup prune removes old ones", err)
		}
	}
	if !record.Both {
		if why := r.checkPeer(ctx, service.Peer(record.Nodes[0].Name)); why != "" {
			add("%s", why)
		}
	}
	if len(reasons) > 0 {
		return fmt.Errorf("%w: %s", ErrRefused, strings.Join(reasons, "; "))
	}
	return nil
}

// unchanged checks again, for a plan may have waited long to be confirmed.
func (r *Restorer) unchanged(ctx context.Context, record *Record) error {
	before := map[string]string{}
	for _, n := range record.Nodes {
		before[n.Name], n.RunBefore = n.RunBefore, ""
	}
	if err := r.check(ctx, record); err != nil {
		return err
	}
	for _, n := range record.Nodes {
		if n.RunBefore != before[n.Name] {
			return fmt.Errorf("%w: %s was started, stopped or restarted after the plan had been made; look at a new plan", ErrRefused, n.Name)
		}
	}
	return nil
}

// part finds the one part that a node is.
func (r *Restorer) part(ctx context.Context, name string) (stack.Part, error) {
	parts, err := r.Stack.Parts(ctx)
	if err != nil {
		return stack.Part{}, fmt.Errorf("looking for %s in the %s: %w", name, r.Stack.About(), err)
	}
	parts = slices.DeleteFunc(parts, func(p stack.Part) bool { return p.Service != name })
	if len(parts) != 1 {
		return stack.Part{}, fmt.Errorf("%w: the %s has %d parts called %s, and one is needed", stack.ErrNoPart, r.Stack.About(), len(parts), name)
	}
	return parts[0], nil
}

// checkTarget says why a node cannot be replaced now, "" if it can, and notes what the node says of itself.
func (r *Restorer) checkTarget(ctx context.Context, n *Node, part stack.Part) string {
	n.Files, n.KeysBefore = usual(), -1
	if part.State == stack.Stopped {
		return ""
	}
	client, err := dbnode.Connect(r.URLs[n.Name])
	if err != nil {
		return fmt.Sprintf("%s: %v", n.Name, err)
	}
	defer client.Close()
	standing, err := dbnode.Ask(ctx, client)
	switch {
	case err != nil:
		return fmt.Sprintf("%s runs and does not answer (%v): stop it first if it is lost", n.Name, err)
	case standing.Loading:
		return n.Name + " is loading its data: wait until that is done, or stop it"
	case standing.Saving:
		return n.Name + " is saving (BGSAVE or a rewrite of its AOF): wait until that is done"
	case standing.Cluster:
		return n.Name + " belongs to a Redis Cluster, whose nodes are restored by its own tools"
	case standing.Role != "master":
		return n.Name + " is a replica: restore its primary"
	}
	n.RunBefore, n.KeysBefore, n.version = standing.RunID, standing.Keys, standing.Version
	n.bytes = standing.Bytes
	n.Files = askFiles(ctx, client, standing.AOF, standing.Version)
	return ""
}

// checkPeer says why nobody may do without the other node now, "" if the other one is up and settled.
func (r *Restorer) checkPeer(ctx context.Context, name string) string {
	const instead = "; where both nodes are lost, restore both with --both"
	client, err := dbnode.Connect(r.URLs[name])
	if err != nil {
		return fmt.Sprintf("%s: %v", name, err)
	}
	defer client.Close()
	standing, err := dbnode.Ask(ctx, client)
	switch {
	case err != nil:
		return fmt.Sprintf("%s does not answer (%v), and without it nothing would%s", name, err, instead)
	case standing.Loading:
		return name + " is loading its data, and until then nothing would answer"
	case standing.Role != "master":
		return name + " is a replica"
	}
	state, err := readSettling(ctx, client)
	switch {
	case err != nil:
		return fmt.Sprintf("%s: %v", name, err)
	case !state.any():
		return fmt.Sprintf("no service has ever settled %s (it holds %d keys): nothing could be put right from it%s", name, standing.Keys, instead)
	case !state.ok():
		return fmt.Sprintf("%s is not settled yet: wait until the services have settled it%s", name, instead)
	}
	return ""
}

// readBack reads a safety copy again.
func (r *Restorer) readBack(n *Node) error {
	s := &source{path: filepath.Join(r.Store.Dir, n.Source), sha256: n.SHA256}
	file, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.stream(io.Discard, file, func(int64) {})
}

// describe makes the plan of a record, in the words of whoever would do it by hand.
func (r *Restorer) describe(record *Record) (Plan, error) {
	p := Plan{Record: record}
	add := func(format string, args ...any) { p.Lines = append(p.Lines, fmt.Sprintf(format, args...)) }
	warn := func(format string, args ...any) { p.Warnings = append(p.Warnings, fmt.Sprintf(format, args...)) }
	ctx := context.Background()
	commands := func(verb stack.Verb) error {
		for _, n := range record.Nodes {
			part, err := r.part(ctx, n.Name)
			if err != nil {
				return err
			}
			command, err := r.Stack.Command(part, verb)
			if err != nil {
				return fmt.Errorf("how to %s %s: %w", verb, n.Name, err)
			}
			add("%s", command)
		}
		return nil
	}
	if n := record.Nodes[0]; !record.Both && n.RunBefore != "" {
		add("hold writes at %s (CLIENT PAUSE %d WRITE) and carry to %s what app_ap has not brought there yet", n.Name, holdFor.Milliseconds(), service.Peer(n.Name))
	}
	if err := commands(stack.Stop); err != nil {
		return p, err
	}
	for _, n := range record.Nodes {
		if record.Kind == Restore {
			add("copy the data folder of %s to %s", n.Name, filepath.Join(r.Store.Dir, record.safety(n)))
		}
		switch {
		case record.Kind == Undo && n.Source == "":
			add("leave the data of %s: it was not replaced", n.Name)
		case n.Source == "":
			add("empty %s, of which there is no backup: it takes what %s holds", n.Name, service.Peer(n.Name))
		case record.Kind == Undo:
			add("make the safety copy %s its data folder again", n.Source)
		default:
			add("make %s its data: %s", n.Source, n.Files)
		}
		if n.RunBefore == "" && record.Kind == Restore && !record.Both {
			warn("%s does not run. If its disk is good, start it instead: what it took last for app_ap and had not carried to %s would be lost (the safety copy keeps it)",
				n.Name, service.Peer(n.Name))
		}
	}
	if err := commands(stack.Start); err != nil {
		return p, err
	}
	for _, n := range record.Nodes {
		if n.Keys >= 0 && n.Source != "" {
			add("compare: %s must have loaded %d keys", n.Name, n.Keys)
		}
	}
	add("wait until the services have settled %s, and count again", record.Names())
	if record.Both {
		for _, n := range record.Nodes {
			if !n.TakenAt.IsZero() {
				warn("what was written to %s after %s is lost", n.Name, n.TakenAt.Format("2006-01-02 15:04:05 UTC"))
			}
		}
		warn("until both are settled nothing is answered")
	} else {
		warn("%s ends up with what %s holds: values that were written after the backup stay as they are; to go back in time, restore both with --both",
			record.Nodes[0].Name, service.Peer(record.Nodes[0].Name))
	}
	return p, nil
}
