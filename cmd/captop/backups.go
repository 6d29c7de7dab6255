package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"captop/deploy/backup"
	"captop/deploy/drill"
	"captop/deploy/restore"
	"captop/service"
	"captop/tui/backupview"
)

// vault is what the screen of the backups works with.
type vault struct {
	ctx      context.Context // of restores: they go on when the screen is gone
	store    backup.Store
	settings settings
	restores sync.WaitGroup
}

// newVault is the vault of a folder.
func newVault(ctx context.Context, s settings, dir string) *vault {
	return &vault{ctx: ctx, store: backup.Store{Dir: dir, Now: time.Now}, settings: s}
}

// source gives the screen its backups. first is the command that makes the first of them; a noRestore says why nothing
// can be restored here.
func (v *vault) source(first, noRestore string) backupview.Source {
	source := backupview.Source{Nodes: []string{service.G1, service.G2}, First: first, RPO: drill.RPOTarget, RTO: drill.RTOTarget, NoRestore: noRestore,
		Look: v.look, Take: v.take, Verify: v.verify}
	if noRestore == "" {
		source.Restore = func(node, file string) backupview.Prepare {
			command := "captop backup restore " + node + " " + file
			return v.planned(command, func(ctx context.Context, r *restore.Restorer) (restore.Plan, error) {
				return r.Prepare(ctx, restore.Request{Node: node, Files: map[string]string{node: file}})
			})
		}
		source.Undo = v.planned("captop backup undo", func(ctx context.Context, r *restore.Restorer) (restore.Plan, error) { return r.PrepareUndo(ctx) })
	}
	return source
}

// look reads the folder: its backups, the last drills, and the restores.
func (v *vault) look(context.Context) (backupview.State, error) {
	state := backupview.State{Dir: v.store.Dir}
	if _, err := os.Stat(v.store.Dir); errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	state.Exists = true
	entries, err := v.store.List()
	if err != nil {
		return state, err
	}
	for _, e := range entries {
		state.Backups = append(state.Backups, shownBackup(e))
	}
	for _, kind := range []drill.Kind{drill.Restore, drill.Failover} {
		last, found, err := drill.Last(v.store.Dir, kind)
		if err != nil {
			return state, err
		}
		if found {
			state.Drills = append(state.Drills, backupview.Drill{Kind: string(kind), At: last.At, OK: last.OK, Problem: last.Problem, RPO: last.RPO, RTO: last.RTO})
		}
	}
	records, err := restore.Records(v.store.Dir)
	if err != nil {
		return state, err
	}
	state.Unfinished, state.Broke, state.Undo = unfinished(records)
	return state, nil
}

func shownBackup(e backup.Entry) backupview.Backup {
	b := backupview.Backup{Node: e.Node, File: e.File, At: e.TakenAt, Took: e.Took, Bytes: e.Content.Bytes, Keys: e.Content.Keys, Expiring: e.Content.Expiring,
		SHA256: e.SHA256, RunID: e.RunID, Redis: e.Redis, Offsets: e.Offsets, Problem: e.Problem}
	if e.Verified != nil {
		b.Verified = &backupview.Proof{At: e.Verified.At, Took: e.Verified.Took, Redis: e.Verified.Redis, Keys: e.Verified.Keys}
	}
	return b
}

// unfinished gives in words what waits for its end, what it broke off with, and what an undo would take back; "" for nothing.
func unfinished(records []*restore.Record) (left, broke, undo string) {
	if at := slices.IndexFunc(records, func(r *restore.Record) bool { return !r.Over() }); at >= 0 {
		r := records[at]
		left = fmt.Sprintf("the %s of %s from %s is before the step %q", r.Kind, r.Names(), r.Began.Format("2006-01-02 15:04:05 UTC"), r.Step)
		if broke = r.Error; r.Kind == restore.Undo {
			return left, broke, "" // that one is to be finished
		}
	}
	newest := slices.IndexFunc(records, func(r *restore.Record) bool { return r.Kind == restore.Restore })
	if newest >= 0 && records[newest].Step != restore.Aborted && records[newest].Step != restore.Undone {
		undo = "the restore of " + records[newest].Names()
	}
	return left, broke, undo
}

// takeSteps is how many steps a backup of one node names.
const takeSteps = 5

// take backs every node up. One that fails does not keep the other from its own.
func (v *vault) take(ctx context.Context, tell func(backupview.Progress)) (string, error) {
	nodes, err := v.settings.nodes(nil)
	if err != nil {
		return "", err
	}
	var proofs []string
	var all error
	for i, node := range nodes {
		done := int64(i * takeSteps)
		m, err := v.store.Take(ctx, node.name, node.url, func(step string) {
			tell(backupview.Progress{Text: node.name + ": " + step, Done: done, Total: int64(len(nodes) * takeSteps)})
			done++
		})
		if err != nil {
			all = errors.Join(all, err)
			continue
		}
		proofs = append(proofs, proofOf(m))
	}
	if all != nil && len(proofs) > 0 {
		all = fmt.Errorf("%w; but %s", all, strings.Join(proofs, "; "))
	}
	return strings.Join(proofs, "\n"), all
}

func proofOf(m backup.Manifest) string {
	return fmt.Sprintf("%s: verified: %d keys in Redis %s", m.File, m.Verified.Keys, m.Verified.Redis)
}

// verify has a backup read again and loaded.
func (v *vault) verify(file string) backupview.Work {
	return func(ctx context.Context, tell func(backupview.Progress)) (string, error) {
		chosen, err := choose(v.store, []string{file})
		if err != nil {
			return "", err
		}
		const steps = 2
		done := int64(0)
		m, err := v.store.Verify(ctx, chosen[0].Manifest, func(step string) {
			tell(backupview.Progress{Text: step, Done: done, Total: steps})
			done++
		})
		if err != nil {
			return "", err
		}
		return proofOf(m), nil
	}
}

// planned prepares a restore or an undo, and gives what runs it. The running is in the journal of this host.
func (v *vault) planned(command string, prepare func(context.Context, *restore.Restorer) (restore.Plan, error)) backupview.Prepare {
	return func(ctx context.Context, tell func(backupview.Progress)) (backupview.Plan, error) {
		nodes, err := v.settings.stack(ctx)
		if err != nil {
			return backupview.Plan{}, err
		}
		r := newRestorer(v.store, nodes, v.settings, func(p restore.Progress) { tell(backupview.Progress{Text: p.Text, Done: p.Done, Total: p.Total}) })
		plan, err := prepare(ctx, r)
		if err != nil {
			return backupview.Plan{}, err
		}
		run := func(_ context.Context, tell func(backupview.Progress)) (string, error) {
			v.restores.Add(1)
			defer v.restores.Done()
			err := journalled(nodes, plan, seat("screen"), func(say func(string)) error {
				r.Tell = func(p restore.Progress) {
					if p.Done == 0 {
						say(p.Text)
					}
					tell(overall(p))
				}
				return r.Run(v.ctx, plan)
			})
			return settledProof(plan), err
		}
		return backupview.Plan{What: fmt.Sprintf("%s %s", plan.Kind, plan.Names()), Subject: plan.Names(), Command: command, Lines: plan.Lines, Warnings: plan.Warnings, Run: run}, nil
	}
}

// restoreSteps are the steps of a restore, for how far one has come.
var restoreSteps = []restore.Step{restore.Carry, restore.Stop, restore.Save, restore.Replace, restore.Start, restore.Compare, restore.Settle}

// overall is how far a restore has come as a whole, in thousandths of a step.
func overall(p restore.Progress) backupview.Progress {
	const whole = 1000
	done := int64(max(slices.Index(restoreSteps, p.Step), 0)) * whole
	if p.Total > 0 {
		done += min(max(p.Done, 0), p.Total) * whole / p.Total
	}
	return backupview.Progress{Text: p.Text, Done: done, Total: int64(len(restoreSteps)) * whole}
}

// settledProof is what became of the nodes, one a line.
func settledProof(plan restore.Plan) string {
	var lines []string
	for _, n := range plan.Nodes {
		lines = append(lines, fmt.Sprintf("%s is settled and holds %d keys of clients under run %.8s", n.Name, n.KeysAfter, n.RunAfter))
	}
	return strings.Join(lines, "\n")
}
