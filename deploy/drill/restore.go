package drill

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"captop/deploy/backup"
	"captop/deploy/dbnode"
	"captop/deploy/restore"
	"captop/deploy/scratch"
	"captop/service"
)

// errNoBackup: there is nothing to practise with.
var errNoBackup = errors.New("there is no backup of either node")

// Restore restores the newest backup of each node into servers that nobody else can reach, and has the services settle
// and serve what they hold. No node of the stack is touched. The result is given, and remembered, also where it failed.
func (d *Driller) Restore(ctx context.Context) (Result, error) {
	e := d.begin(Restore)
	return e.end(ctx, e.restore(ctx))
}

func (e *exercise) restore(ctx context.Context) error {
	newest, err := e.newest()
	if err != nil {
		return err
	}
	home, err := os.MkdirTemp("", "captop-drill-")
	if err != nil {
		return fmt.Errorf("making a folder for the drill: %w", err)
	}
	defer os.RemoveAll(home)
	urls := map[string]string{}
	for _, name := range []string{service.G1, service.G2} {
		folder := filepath.Join(home, name)
		if err := os.Mkdir(folder, 0o700); err != nil {
			return fmt.Errorf("making a folder for the drill: %w", err)
		}
		m, found := newest[name]
		e.Nodes = append(e.Nodes, Node{Name: name, Backup: m.File, At: m.TakenAt})
		if found {
			e.step("putting %s into a scratch server (%d keys, %.1f MB)", m.File, m.Content.Keys, float64(m.Content.Bytes)/1e6)
			if err := restore.LayOut(folder, filepath.Join(e.Dir, m.File), m.SHA256); err != nil {
				return fmt.Errorf("restoring %s: %w", name, err)
			}
		}
		server, err := scratch.Start(ctx, folder, m.Content.Memory(), "--appendonly", "yes")
		if err != nil {
			return fmt.Errorf("restoring %s: %w", name, err)
		}
		defer server.Stop()
		standing, err := dbnode.Ask(ctx, server.Client())
		if err == nil && found {
			err = restore.Holds(standing, m.Content.Keys, m.Content.Expiring)
		}
		if err != nil {
			return fmt.Errorf("restoring %s: %w", name, err)
		}
		urls[name] = server.URL()
	}
	return e.serve(ctx, urls)
}

// newest finds the newest backup of each node, and with it what would be lost today.
func (e *exercise) newest() (map[string]backup.Manifest, error) {
	entries, err := backup.Store{Dir: e.Dir, Now: e.Now}.List()
	if err != nil {
		return nil, err
	}
	newest := map[string]backup.Manifest{}
	for _, name := range []string{service.G1, service.G2} {
		at := slices.IndexFunc(entries, func(b backup.Entry) bool { return b.Node == name && b.Problem == "" })
		if at < 0 {
			continue
		}
		newest[name] = entries[at].Manifest
	}
	if len(newest) == 0 {
		return nil, fmt.Errorf("%w in %s", errNoBackup, e.Dir)
	}
	// Both are restored, and the newer value of each key wins: what the older one lacks, the newer one has, if the nodes
	// agreed when it was taken. In AP they need not, so the older one counts.
	for _, m := range newest {
		e.RPO = max(e.RPO, e.At.Sub(m.TakenAt))
	}
	return newest, nil
}
