// Package restore puts backups back into the nodes of a stack, and takes that back.
//
// The node is stopped, its data folder replaced, and the node started. Not through replication from a scratch server,
// though no restart would be needed: the services trust what a node says it has settled under its present run id, so a
// node that took an old copy without a restart would be believed. With a new run id every key is settled with the other
// node before it is believed. And the data folder needs no way from the node to a server of captop's.
package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/deploy/stack"
	"captop/service"
)

// Errors that callers tell apart.
var (
	ErrRefused    = errors.New("not now")
	ErrUnfinished = errors.New("an earlier one is not finished")
	ErrNothing    = errors.New("there is no restore to take back")
	ErrLost       = errors.New("the node does not hold what it should")
	ErrUnsettled  = errors.New("the services have not settled it yet")
)

// Restorer restores. Its fields are set once.
type Restorer struct {
	Store backup.Store
	Stack stack.Stack
	URLs  map[string]string // Redis URLs by node
	Now   func() time.Time

	// Patience bounds how long a node may take to start and load, and how long the settling may show no progress.
	Patience time.Duration

	// Tell is told what is being done. Total is 0 where the end is not known.
	Tell func(Progress)
}

// Progress is one thing that is being done.
type Progress struct {
	Step        Step
	Text        string
	Done, Total int64
}

// Request says what to restore.
type Request struct {
	Node  string            // "" with Both
	Both  bool              // both nodes go back to their backups: what was written since is lost
	Files map[string]string // names of dumps by node; the newest verified one where there is none
}

// Plan is what will be done, with all that can be checked before checked.
type Plan struct {
	*Record
	Lines    []string // a step each, as a person reads it
	Warnings []string
}

// nodes are both nodes' names.
var nodes = []string{service.G1, service.G2}

// say tells what a step does.
func (r *Restorer) say(step Step, format string, args ...any) {
	r.Tell(Progress{Step: step, Text: fmt.Sprintf(format, args...)})
}

// Prepare checks everything that can be checked and gives the plan. The backups are verified anew. Errors are
// ErrRefused with the reasons, ErrUnfinished, or what kept it from looking.
func (r *Restorer) Prepare(ctx context.Context, request Request) (Plan, error) {
	if err := r.noneIsPending(); err != nil {
		return Plan{}, err
	}
	record := r.newRecord(Restore, request.Both)
	names := []string{request.Node}
	if request.Both {
		names = nodes
	}
	entries, err := r.Store.List()
	if err != nil {
		return Plan{}, err
	}
	chosen := map[string]backup.Manifest{}
	for _, name := range names {
		m, found, err := choose(entries, name, request.Files[name])
		if err != nil {
			return Plan{}, err
		}
		if found {
			chosen[name] = m
		}
		record.Nodes = append(record.Nodes, &Node{Name: name})
	}
	if len(chosen) == 0 {
		return Plan{}, fmt.Errorf("%w: there is no verified backup of %s in %s", ErrRefused, strings.Join(names, " nor of "), r.Store.Dir)
	}
	if err := r.check(ctx, record); err != nil {
		return Plan{}, err
	}
	for _, n := range record.Nodes {
		if m, found := chosen[n.Name]; found {
			if err := r.verify(ctx, record, n, m); err != nil {
				return Plan{}, err
			}
		}
	}
	return r.describe(record)
}

func (r *Restorer) newRecord(kind Kind, both bool) *Record {
	now := r.Now().UTC()
	return &Record{Format: recordFormat, ID: now.Format("20060102T150405.000Z"), Kind: kind, Both: both, Began: now, Step: Carry}
}

// noneIsPending refuses while an earlier restore waits for its end.
func (r *Restorer) noneIsPending() error {
	pending, err := Pending(r.Store.Dir)
	if err != nil || pending == nil {
		return err
	}
	return pending.brokenOff()
}

// brokenOff is ErrUnfinished in words.
func (r *Record) brokenOff() error {
	return fmt.Errorf("%w: the %s of %s from %s was broken off before the step %q: %s",
		ErrUnfinished, r.Kind, r.Names(), r.Began.Format("15:04:05 UTC"), r.Step, r.WayOn())
}

// choose finds the backup of a node: the one named, or the newest verified one.
func choose(entries []backup.Entry, node, file string) (backup.Manifest, bool, error) {
	if file == "" {
		newest, ok := backup.NewestVerified(entries, node)
		return newest, ok, nil
	}
	at := slices.IndexFunc(entries, func(e backup.Entry) bool { return e.File == file })
	switch {
	case at < 0:
		return backup.Manifest{}, false, fmt.Errorf("%s: %w", file, backup.ErrNoBackup)
	case entries[at].Problem != "":
		return backup.Manifest{}, false, fmt.Errorf("%w: %s: %s", ErrRefused, file, entries[at].Problem)
	case entries[at].Node != node:
		return backup.Manifest{}, false, fmt.Errorf("%w: %s is a backup of %s; the two nodes keep different things of a key, so it cannot be put into %s",
			ErrRefused, file, entries[at].Node, node)
	}
	return entries[at].Manifest, true, nil
}

// verify reads and loads a backup again, and looks whether it has the same past as the other node.
func (r *Restorer) verify(ctx context.Context, record *Record, n *Node, m backup.Manifest) error {
	n.Source, n.SHA256, n.TakenAt, n.Keys, n.Expiring, n.CP, n.AP = m.File, m.SHA256, m.TakenAt, m.Content.Keys, m.Content.Expiring, -1, -1
	if n.Files.Known && n.RunBefore != "" && newer(m.Redis, n.version) {
		return fmt.Errorf("%w: %s was taken from Redis %s, and %s is Redis %s, which may not know the format", ErrRefused, m.File, m.Redis, n.Name, n.version)
	}
	say := func(step string) { r.say(Carry, "%s: %s", m.File, step) }
	_, err := r.Store.VerifyAnd(ctx, m, say, func(ctx context.Context, loaded *redis.Client) (err error) {
		r.say(Carry, "%s: counting what clients know", m.File)
		if n.CP, n.AP, err = ClientKeys(ctx, loaded, func(int64) {}); err != nil || record.Both {
			return err
		}
		return r.samePast(ctx, n, loaded)
	})
	if err == nil || errors.Is(err, ErrRefused) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: the backup cannot be verified: %w", ErrRefused, err)
}

// samePast refuses a backup that holds what the other node never had.
func (r *Restorer) samePast(ctx context.Context, n *Node, loaded *redis.Client) error {
	peer := service.Peer(n.Name)
	other, err := dbnode.Connect(r.URLs[peer])
	if err != nil {
		return err
	}
	defer other.Close()
	r.say(Carry, "comparing its versions with those of %s", peer)
	count, example, err := lacking(ctx, loaded, other)
	if err == nil && count > 0 {
		err = fmt.Errorf("%w: the backup holds %d keys (such as %q) in versions that %s never had: it is of another past, and the nodes might stay apart; "+
			"restore both with --both", ErrRefused, count, example, peer)
	}
	return err
}

// newer compares versions up to the minor one, for the format changes with those only.
func newer(a, b string) bool {
	var a1, a2, b1, b2 int
	_, _ = fmt.Sscanf(a, "%d.%d", &a1, &a2)
	_, _ = fmt.Sscanf(b, "%d.%d", &b1, &b2)
	return a1 > b1 || a1 == b1 && a2 > b2
}

// PrepareUndo gives the plan that takes the newest restore back, finished or not. Errors are ErrRefused, ErrNothing, or
// what kept it from looking.
func (r *Restorer) PrepareUndo(ctx context.Context) (Plan, error) {
	records, err := Records(r.Store.Dir)
	if err != nil {
		return Plan{}, err
	}
	if pending := pendingOf(records); pending != nil && pending.Kind == Undo {
		return Plan{}, pending.brokenOff()
	}
	at := slices.IndexFunc(records, func(one *Record) bool { return one.Kind == Restore })
	if at < 0 || records[at].Step == Aborted || records[at].Step == Undone {
		return Plan{}, ErrNothing
	}
	of := records[at]
	record := r.newRecord(Undo, of.Both)
	record.Of = of.ID
	for _, n := range of.Nodes {
		record.Nodes = append(record.Nodes, &Node{Name: n.Name, Source: n.Safety, SHA256: n.SafetySHA256, TakenAt: of.Began, Keys: -1, CP: -1, AP: -1})
	}
	if err := r.check(ctx, record); err != nil {
		return Plan{}, err
	}
	for _, n := range record.Nodes {
		if n.Source != "" {
			if err := r.readBack(n); err != nil {
				return Plan{}, fmt.Errorf("%w: the safety copy cannot be used: %w", ErrRefused, err)
			}
		}
	}
	return r.describe(record)
}
