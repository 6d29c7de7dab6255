package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"captop/deploy/drill"
	"captop/probes/record"
	"captop/service"
	"captop/tui/cell"
)

// backupDir is the folder of backups: the one given, or its place in the state directory.
func backupDir(given string) (string, error) {
	if given != "" {
		return given, nil
	}
	state := record.Dir(os.Getenv)
	if state == "" {
		return "", errors.New("there is no place for backups on this system: give --dir")
	}
	return filepath.Join(state, "backups"), nil
}

// driller are the flags that both drills have.
type driller struct {
	std    streams
	dir    string
	asJSON bool
}

func newDrillCommand(std streams) *cobra.Command {
	d := &driller{std: std}
	command := &cobra.Command{
		Use:   "drill",
		Short: "practise a restore, and say what RPO and RTO are reached",
		Long: "Restores the newest backup of each node into servers that nobody else can reach, has app_cp and app_ap (in this process) settle\n" +
			"them, reads samples from both and writes. Says what would have been lost (RPO, target 5 min) and how long it took until both\n" +
			"services wrote and read (RTO, target 15 min). No node of the stack is touched.\n\n" +
			"Exit codes: 0 it worked and both targets were reached, 1 not, 64 called wrongly.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return d.run(cmd.Context(), func(ctx context.Context, d *drill.Driller) (drill.Result, error) { return d.Restore(ctx) })
		},
	}
	command.PersistentFlags().StringVar(&d.dir, "dir", "", "folder of the backups (default: backups in the state directory)")
	command.PersistentFlags().BoolVar(&d.asJSON, "json", false, "print the result as JSON")
	command.AddCommand(d.failover())
	return command
}

func (d *driller) failover() *cobra.Command {
	var standbyG1, standbyG2 string
	var stay, back, yes bool
	command := &cobra.Command{
		Use:   "failover",
		Short: "practise, or do, a failover to the standby pair",
		Long: "Measures how far the standbys (Redis replicas of db_g1 and db_g2) are behind, promotes both, has app_cp and app_ap (in this\n" +
			"process) settle and serve them, and makes them follow their primaries again. The primaries serve on meanwhile.\n\n" +
			"With --stay they stay promoted: point the services' DB_G1_URL and DB_G2_URL at them. --back makes them follow their primaries\n" +
			"again; what was written to them is lost then.\n\n" +
			"Exit codes: 0 it worked and both targets were reached, 1 not, 64 called wrongly.",
		Args: cobra.NoArgs,
	}
	flags := bind(command.Flags(), screenSettings...)
	command.Flags().StringVar(&standbyG1, "standby-g1", "", "Redis URL of the standby of db_g1")
	command.Flags().StringVar(&standbyG2, "standby-g2", "", "Redis URL of the standby of db_g2")
	command.Flags().BoolVar(&stay, "stay", false, "no exercise: they stay promoted")
	command.Flags().BoolVar(&back, "back", false, "make them follow their primaries again")
	command.Flags().BoolVar(&yes, "yes", false, "with --stay and --back: do not ask")
	command.MarkFlagsMutuallyExclusive("stay", "back")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		if standbyG1 == "" || standbyG2 == "" {
			return errors.New("give both standbys: --standby-g1 and --standby-g2")
		}
		settings, err := flags.settings()
		if err != nil {
			return err
		}
		if (stay || back) && !yes {
			question := "The standby pair is promoted and stays so; from then on it and the primaries go separate ways."
			if back {
				question = "The standby pair follows its primaries again; what was written to it is lost."
			}
			if err := typed(d.std, question, "standby"); err != nil {
				return err
			}
		}
		standbys := map[string]string{service.G1: standbyG1, service.G2: standbyG2}
		if back {
			return d.back(cmd.Context(), standbys)
		}
		return d.run(cmd.Context(), func(ctx context.Context, d *drill.Driller) (drill.Result, error) {
			return d.Failover(ctx, map[string]string{service.G1: settings.G1, service.G2: settings.G2}, standbys, stay)
		})
	}
	return command
}

func (d *driller) open() (*drill.Driller, error) {
	dir, err := backupDir(d.dir)
	if err != nil {
		return nil, err
	}
	out := d.std.out
	if d.asJSON {
		out = d.std.err
	}
	return &drill.Driller{Dir: dir, Now: time.Now, Tell: func(text string) { _, _ = fmt.Fprintln(out, text) }}, nil
}

func (d *driller) back(ctx context.Context, standbys map[string]string) error {
	opened, err := d.open()
	if err != nil {
		return err
	}
	if err := opened.Back(ctx, standbys); err != nil {
		return failed(d.std, err)
	}
	_, err = fmt.Fprintln(d.std.out, "both standbys follow their primaries again")
	return err
}

func (d *driller) run(ctx context.Context, do func(context.Context, *drill.Driller) (drill.Result, error)) error {
	opened, err := d.open()
	if err != nil {
		return err
	}
	result, err := do(ctx, opened)
	if err != nil && (len(result.Steps) == 0 || ctx.Err() != nil) {
		return failed(d.std, err)
	}
	if d.asJSON {
		err = json.NewEncoder(d.std.out).Encode(result)
	} else {
		err = printDrill(d.std.out, result)
	}
	if err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	if !result.OK {
		return exitFailed
	}
	return nil
}

func printDrill(out io.Writer, r drill.Result) error {
	verdict := "OK"
	if !r.OK {
		verdict = "FAILED: " + r.Problem
	}
	_, err := fmt.Fprintf(out, "\ndrill %s: %s\nRPO %s (target %s)  RTO %s (target %s)\n", r.Kind, verdict, cell.Span(r.RPO), cell.Span(drill.RPOTarget),
		cell.Span(r.RTO), cell.Span(drill.RTOTarget))
	for _, n := range r.Nodes {
		if err == nil {
			_, err = fmt.Fprintf(out, "%s: %d keys of CP, %d of AP\n", n.Name, n.CP, n.AP)
		}
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "%d keys read alike from both nodes\n", r.Read)
	}
	return err
}

// drillMetrics exports the last drills that are remembered in a folder of backups, whoever ran them.
type drillMetrics struct {
	dir                   string
	at, success, rpo, rto *prometheus.Desc
}

func newDrillMetrics(dir string) *drillMetrics {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("captop_drill_"+name, help, []string{"kind"}, nil)
	}
	return &drillMetrics{dir: dir,
		at:      describe("last_timestamp_seconds", "When the last drill began, Unix seconds; absent before there is one."),
		success: describe("success", "1 if the last drill worked and reached both targets."),
		rpo:     describe("rpo_seconds", "What would have been lost at the last drill."),
		rto:     describe("rto_seconds", "How long the last drill took until both services wrote and read; absent where they did not.")}
}

// Describe is prometheus.Collector's.
func (m *drillMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.at, m.success, m.rpo, m.rto} {
		to <- d
	}
}

// Collect is prometheus.Collector's.
func (m *drillMetrics) Collect(to chan<- prometheus.Metric) {
	for _, kind := range []drill.Kind{drill.Restore, drill.Failover} {
		r, found, err := drill.Last(m.dir, kind)
		if err != nil {
			to <- prometheus.NewInvalidMetric(m.at, err)
			return
		}
		if !found {
			continue
		}
		gauge := func(d *prometheus.Desc, value float64) {
			to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, string(kind))
		}
		success := 0.0
		if r.OK {
			success = 1
		}
		gauge(m.at, float64(r.At.UnixMilli())/1000)
		gauge(m.success, success)
		gauge(m.rpo, r.RPO.Seconds())
		if r.RTO > 0 {
			gauge(m.rto, r.RTO.Seconds())
		}
	}
}
