package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"captop/deploy/backup"
	"captop/deploy/offsite"
	"captop/deploy/restore"
	"captop/service"
	"captop/tui/cell"
)

// leastEvery is the shortest time between two scheduled backups: each makes a node save all that it has.
const leastEvery = 10 * time.Second

func newBackupCommand(std streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "backup",
		Short: "take, list, verify, restore and prune backups of the nodes",
		Long: "Backups are dumps as Redis writes them, fetched over the Redis protocol, with a manifest beside each. One counts as\n" +
			"verified only when a redis-server of its own has loaded it and holds what the dump holds.\n\n" +
			"Exit codes: 0 done, 1 failed or not all of it done, 64 called wrongly.",
	}
	store := backup.Store{Now: time.Now}
	command.PersistentFlags().StringVar(&store.Dir, "dir", "", "folder of the backups (default: backups in the state directory)")
	command.PersistentPreRunE = func(*cobra.Command, []string) error {
		var err error
		store.Dir, err = backupDir(store.Dir)
		return err
	}
	command.AddCommand(newBackupTakeCommand(&store, std), newBackupListCommand(&store, std), newBackupVerifyCommand(&store, std),
		newBackupPruneCommand(&store, std), newBackupRestoreCommand(&store, std), newBackupUndoCommand(&store, std),
		newBackupPushCommand(&store, std), newBackupPullCommand(&store, std))
	return command
}

func newBackupTakeCommand(store *backup.Store, std streams) *cobra.Command {
	var keep int
	var every time.Duration
	var listen, s3 string
	command := &cobra.Command{
		Use:   "take [NODE…]",
		Short: "back up db_g1, db_g2 or both, and verify",
		Example: "  captop backup take db_g2\n" +
			"  captop backup take --every 4m --keep 12 --listen 127.0.0.1:9105",
	}
	flags := bind(command.Flags(), screenSettings...)
	command.Flags().IntVar(&keep, "keep", 0, "afterwards prune as captop backup prune --keep does; 0 removes none")
	command.Flags().DurationVar(&every, "every", 0, "go on, one backup of each node in this time, such as 4m")
	command.Flags().StringVar(&listen, "listen", "", "with --every: serve /metrics for Prometheus at this address")
	command.Flags().StringVar(&s3, "s3", "", "also copy each verified backup to this bucket, as captop backup push does")
	command.RunE = func(cmd *cobra.Command, names []string) error {
		switch {
		case every != 0 && every < leastEvery:
			return fmt.Errorf("--every %s: give %s or more", every, leastEvery)
		case listen != "" && every == 0:
			return errors.New("--listen goes with --every")
		case keep < 0:
			return fmt.Errorf("--keep %d: give 0 or more", keep)
		}
		settings, err := flags.settings()
		if err != nil {
			return err
		}
		nodes, err := settings.nodes(names)
		if err != nil {
			return err
		}
		taker := &backupTaker{store: *store, nodes: nodes, keep: keep, out: std.out, metrics: newBackupMetrics(store.Dir)}
		if s3 != "" {
			if taker.bucket, err = openBucket(s3, std.out); err != nil {
				return err
			}
		}
		if every == 0 {
			return failed(std, taker.round(cmd.Context()))
		}
		return taker.run(cmd.Context(), every, listen)
	}
	return command
}

// exitFailed is what captop backup ends with when what it was asked for could not be done, or not all of it.
const exitFailed = exitError(1)

// failed says what went wrong with the work itself, which was asked for rightly.
func failed(std streams, err error) error {
	if err == nil {
		return nil
	}
	_, _ = fmt.Fprintf(std.err, "captop: %v\n", err)
	return exitFailed
}

// backupNode is a node to back up.
type backupNode struct{ name, url string }

// nodes finds nodes by their names; no names are both.
func (s settings) nodes(names []string) ([]backupNode, error) {
	both := []backupNode{{service.G1, s.G1}, {service.G2, s.G2}}
	if len(names) == 0 {
		return both, nil
	}
	var found []backupNode
	for _, name := range names {
		at := slices.IndexFunc(both, func(node backupNode) bool { return node.name == name })
		if at < 0 {
			return nil, fmt.Errorf("%q is no node: give db_g1 or db_g2", name)
		}
		found = append(found, both[at])
	}
	return found, nil
}

// backupTaker takes backups, once or again and again.
type backupTaker struct {
	store   backup.Store
	nodes   []backupNode
	keep    int
	out     io.Writer
	metrics backupMetrics
	bucket  *offsite.Bucket // nil for none
}

// round backs every node up, and prunes. One that fails does not keep the others from theirs.
func (t *backupTaker) round(ctx context.Context) error {
	var all error
	for _, node := range t.nodes {
		m, err := t.store.Take(ctx, node.name, node.url, func(step string) { t.say("%s: %s", node.name, step) })
		if err != nil {
			all = errors.Join(all, err)
			t.metrics.failures.WithLabelValues(node.name).Inc()
			continue
		}
		t.metrics.took(m)
		t.say("%s: verified: %s, %s keys, %.1f MB, in %s", node.name, m.File, cell.Count(float64(m.Content.Keys)), float64(m.Content.Bytes)/1e6,
			cell.Span(m.Took+m.Verified.Took))
		if t.bucket == nil {
			continue
		}
		if err := push(ctx, t.bucket, t.store.Dir, m, t.out); err != nil {
			all = errors.Join(all, err)
			t.metrics.failures.WithLabelValues(node.name).Inc()
		}
	}
	if t.keep == 0 || ctx.Err() != nil {
		return all
	}
	return errors.Join(all, prune(t.store, t.keep, t.out))
}

func (t *backupTaker) say(format string, args ...any) {
	_, _ = fmt.Fprintf(t.out, format+"\n", args...)
}

// run takes backups until ctx ends. A round that fails is said and counted, and the next one is tried.
func (t *backupTaker) run(ctx context.Context, every time.Duration, listen string) error {
	entries, err := t.store.List()
	if err != nil {
		return err
	}
	t.metrics.begin(t.nodes, entries)
	if listen != "" {
		listener, err := net.Listen("tcp", listen)
		if err != nil {
			return fmt.Errorf("serving metrics: %w", err)
		}
		t.say("metrics at http://%s/metrics", listener.Addr())
		server := &http.Server{Handler: t.metrics.handler(), ReadHeaderTimeout: 10 * time.Second}
		defer server.Close()
		go func() { _ = server.Serve(listener) }()
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := t.round(ctx); err != nil && ctx.Err() == nil {
			t.say("FAILED: %v", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// backupMetrics are what the alert BackupTooOld and people want to know.
type backupMetrics struct {
	registry *prometheus.Registry
	verified *prometheus.GaugeVec
	bytes    *prometheus.GaugeVec
	duration *prometheus.GaugeVec
	failures *prometheus.CounterVec
}

func newBackupMetrics(dir string) backupMetrics {
	node := []string{"node"}
	m := backupMetrics{registry: prometheus.NewRegistry(),
		verified: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "captop_backup_last_verified_timestamp_seconds",
			Help: "When the newest verified backup was taken, Unix seconds; 0 before there is one."}, node),
		bytes: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "captop_backup_bytes", Help: "Size of the newest verified backup."}, node),
		duration: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "captop_backup_duration_seconds",
			Help: "How long the newest verified backup took to take and to verify."}, node),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "captop_backup_failures_total",
			Help: "Backups that could not be taken, verified or copied off site."}, node)}
	m.registry.MustRegister(m.verified, m.bytes, m.duration, m.failures, newDrillMetrics(dir))
	return m
}

// begin makes every series, from what was taken before this process.
func (m backupMetrics) begin(nodes []backupNode, entries []backup.Entry) {
	for _, node := range nodes {
		m.verified.WithLabelValues(node.name).Set(0)
		m.failures.WithLabelValues(node.name)
		if newest, ok := backup.NewestVerified(entries, node.name); ok {
			m.took(newest)
		}
	}
}

func (m backupMetrics) took(of backup.Manifest) {
	m.verified.WithLabelValues(of.Node).Set(float64(of.TakenAt.UnixMilli()) / 1000)
	m.bytes.WithLabelValues(of.Node).Set(float64(of.Content.Bytes))
	m.duration.WithLabelValues(of.Node).Set((of.Took + of.Verified.Took).Seconds())
}

func (m backupMetrics) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}

func newBackupListCommand(store *backup.Store, std streams) *cobra.Command {
	var asJSON bool
	var within time.Duration
	command := &cobra.Command{Use: "list", Short: "list the backups, the newest first", Args: cobra.NoArgs,
		Example: "  captop backup list --within 10m  # for a health check or cron: 1 where a node has none that young",
		RunE: func(*cobra.Command, []string) error {
			if within < 0 {
				return fmt.Errorf("--within %s: give 0 or more", within)
			}
			entries, err := store.List()
			if err != nil {
				return err
			}
			if asJSON {
				err = json.NewEncoder(std.out).Encode(entries)
			} else {
				err = printBackups(std.out, *store, entries)
			}
			if err != nil || within == 0 {
				return err
			}
			return failed(std, fresh(entries, store.Now(), within))
		}}
	command.Flags().BoolVar(&asJSON, "json", false, "print the manifests")
	command.Flags().DurationVar(&within, "within", 0, "fail unless each node has a verified backup that was taken in this time, such as 10m")
	return command
}

func printBackups(out io.Writer, store backup.Store, entries []backup.Entry) error {
	if len(entries) == 0 {
		_, err := fmt.Fprintf(out, "there are no backups in %s\n", store.Dir)
		return err
	}
	for _, e := range entries {
		state := "NOT VERIFIED"
		switch {
		case e.Problem != "":
			state = "PROBLEM: " + e.Problem
		case e.Verified != nil:
			state = "verified " + e.Verified.At.UTC().Format("2006-01-02 15:04:05")
		}
		if _, err := fmt.Fprintf(out, "%-36s %8.1f MB %10d keys  %8s old  %s\n", e.File, float64(e.Content.Bytes)/1e6, e.Content.Keys,
			cell.Age(store.Now().Sub(e.TakenAt)), state); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

// fresh says which nodes have no verified backup that was taken within that time. entries are the newest first.
func fresh(entries []backup.Entry, now time.Time, within time.Duration) (stale error) {
	for _, node := range []string{service.G1, service.G2} {
		newest, ok := backup.NewestVerified(entries, node)
		if !ok {
			stale = errors.Join(stale, fmt.Errorf("%s has no verified backup", node))
		} else if age := now.Sub(newest.TakenAt); age > within {
			stale = errors.Join(stale, fmt.Errorf("the newest verified backup of %s is %s old, %s are allowed", node, cell.Age(age), cell.Age(within)))
		}
	}
	return stale
}

func newBackupVerifyCommand(store *backup.Store, std streams) *cobra.Command {
	return &cobra.Command{Use: "verify [FILE…]", Short: "read backups again and load them; without names the newest of each node",
		RunE: func(cmd *cobra.Command, names []string) error {
			chosen, err := choose(*store, names)
			if err != nil {
				return err
			}
			var all error
			for _, e := range chosen {
				m, err := store.Verify(cmd.Context(), e.Manifest, func(step string) { _, _ = fmt.Fprintf(std.out, "%s: %s\n", e.File, step) })
				if err != nil {
					all = errors.Join(all, err)
					continue
				}
				_, _ = fmt.Fprintf(std.out, "%s: verified: %d keys in Redis %s\n", m.File, m.Verified.Keys, m.Verified.Redis)
			}
			return failed(std, all)
		}}
}

// choose finds backups by their files' names; no names are the newest of each node.
func choose(store backup.Store, names []string) ([]backup.Entry, error) {
	entries, err := store.List()
	if err != nil {
		return nil, err
	}
	var chosen []backup.Entry
	if len(names) == 0 {
		seen := map[string]bool{}
		for _, e := range entries {
			if !seen[e.Node] && e.Problem == "" {
				seen[e.Node] = true
				chosen = append(chosen, e)
			}
		}
		if len(chosen) == 0 {
			return nil, errors.New("there is no backup yet: captop backup take makes one")
		}
		return chosen, nil
	}
	for _, name := range names {
		at := slices.IndexFunc(entries, func(e backup.Entry) bool { return e.File == filepath.Base(name) })
		if at < 0 {
			return nil, fmt.Errorf("%s: %w", name, backup.ErrNoBackup)
		}
		chosen = append(chosen, entries[at])
	}
	return chosen, nil
}

func newBackupPruneCommand(store *backup.Store, std streams) *cobra.Command {
	keep := 0
	command := &cobra.Command{Use: "prune --keep N", Short: "remove all but the newest verified backups of each node, and the safety copies of older restores", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if keep < 1 {
				return fmt.Errorf("--keep %d: give 1 or more; the newest verified backup of a node always stays", keep)
			}
			return failed(std, prune(*store, keep, std.out))
		}}
	command.Flags().IntVar(&keep, "keep", 0, "how many verified backups of each node stay, and of how many restores the safety copies")
	return command
}

// prune removes old backups and old safety copies, and says which.
func prune(store backup.Store, keep int, out io.Writer) error {
	dumps, err1 := store.Prune(keep)
	copies, err2 := restore.PruneSafety(store, keep)
	for _, file := range slices.Concat(dumps, copies) {
		_, _ = fmt.Fprintf(out, "removed %s\n", file)
	}
	return errors.Join(err1, err2)
}
