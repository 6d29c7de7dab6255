package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/deploy/backup"
	"captop/deploy/doctor"
	"captop/deploy/doctor/sight"
	"captop/deploy/drill"
	"captop/deploy/prometheus"
	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/doctorview"
)

// The exit codes of captop doctor, beside 0 where all pass.
const (
	exitCannotTell = exitError(1)
	exitFails      = exitError(2)
)

// doctorOptions are the flags of captop doctor.
type doctorOptions struct {
	flags   *flagSet
	project string
	edges   []string
	ca      string
	backups string
	json    bool
	list    bool
}

func newDoctorCommand(std streams) *cobra.Command {
	var o doctorOptions
	command := &cobra.Command{
		Use:   "doctor [CHECK|AREA…]",
		Short: "go through the checklist before a deployment, on the running stack",
		Long: "doctor looks at the containers or processes of the stack, their files, the nodes, the edge, the monitoring, the backups\n" +
			"and this host, and says of each line of the checklist in deploy/GUIDE.md whether it passes, fails, or cannot be told, what\n" +
			"was seen, why it matters, and what makes it right. It changes nothing. It really tries to come to the nodes without a\n" +
			"password and with well-known ones; their ACL LOG shows that. Run it on the stack's host as root or in the group docker:\n" +
			"what it cannot look at does not pass.\n\n" +
			"Exit codes: 0 all pass, 1 something cannot be told, 2 something fails, 64 called wrongly.",
		Example: "  captop doctor\n" +
			"  captop doctor secrets tls-certificate --edge https://shop.example",
	}
	o.flags = bind(command.Flags(), slices.DeleteFunc(slices.Clone(screenSettings), func(name string) bool { return name == "alertmanager" })...)
	command.Flags().StringVar(&o.project, "project", "", "Compose project or Swarm stack (default: the only one that has the pair)")
	command.Flags().StringArrayVar(&o.edges, "edge", nil, "URL at which clients reach the services (repeatable; default: --cp and --ap)")
	command.Flags().StringVar(&o.ca, "tls-ca", "", "file of certificate authorities to trust beside the system's")
	command.Flags().StringVar(&o.backups, "dir", "", "folder of the backups (default: that of the stack's service backup, else backups in the state directory)")
	command.Flags().BoolVar(&o.json, "json", false, "print the results as JSON")
	command.Flags().BoolVar(&o.list, "list", false, "print the checklist, and look at nothing")
	command.RunE = func(cmd *cobra.Command, names []string) error {
		lines, err := doctor.Choose(names)
		if err != nil {
			return err
		}
		if o.list {
			return printChecklist(std.out, lines, o.json)
		}
		settings, err := o.flags.settings()
		if err != nil {
			return err
		}
		looker, err := o.looker(settings)
		if err != nil {
			return err
		}
		defer looker.Close()
		began := time.Now()
		results := doctor.Run(cmd.Context(), looker.Eyes(cmd.Context()), lines, func(doctor.Result) {})
		if o.json {
			err = printResults(std.out, results)
		} else {
			err = doctorReport(std.out, results, time.Since(began))
		}
		return errors.Join(err, doctorCode(results))
	}
	return command
}

// looker is what doctor looks with, by flags and settings.
func (o doctorOptions) looker(s settings) (*sight.Looker, error) {
	config, err := s.probeConfig()
	if err != nil {
		return nil, err
	}
	rules := config.Rules
	if rules == nil {
		rules = prometheus.Rules
	}
	services := map[string][]string{}
	for _, target := range config.Targets.Services {
		name := "app_" + string(target.Mode)
		services[name] = append(services[name], target.URL)
	}
	return sight.New(sight.Config{Project: o.project, Services: services, Edges: o.edges, CA: o.ca, Rules: rules,
		Nodes:      map[string]sight.Node{service.G1: {URL: s.G1, Given: s.from["g1"] != ""}, service.G2: {URL: s.G2, Given: s.from["g2"] != ""}},
		Prometheus: s.Prometheus, Alertmanager: s.Alertmanager,
		Folder: o.backups, Backups: knownBackups, Drills: knownDrills, Polls: s.pollOnce})
}

// examine gives the screen its way through the checklist, as captop doctor goes.
func (s settings) examine() (doctorview.Examine, error) {
	looker, err := doctorOptions{}.looker(s)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) ([]doctorview.Line, <-chan doctorview.Result) {
		all := doctor.Checklist()
		lines := make([]doctorview.Line, len(all))
		for i, l := range all {
			lines[i] = doctorview.Line{Name: l.Name, Area: l.Area, Title: l.Title, Why: l.Why}
		}
		results := make(chan doctorview.Result, len(all)) // nobody has to take them
		go func() {
			defer close(results)
			doctor.Run(ctx, looker.Eyes(ctx), all, func(r doctor.Result) {
				results <- doctorview.Result{Name: r.Name, Outcome: doctorview.Outcome(r.Outcome), Seen: r.Seen, Fix: r.Fix}
			})
		}()
		return lines, results
	}, nil
}

// knownBackups gives the backups of a folder.
func knownBackups(folder string) ([]doctor.Backup, error) {
	folder, err := backupDir(folder)
	if err != nil {
		return nil, err
	}
	entries, err := backup.Store{Dir: folder, Now: time.Now}.List()
	known := make([]doctor.Backup, len(entries))
	for i, e := range entries {
		known[i] = doctor.Backup{Node: e.Node, TakenAt: e.TakenAt, Verified: e.Verified != nil, Problem: e.Problem}
	}
	return known, err
}

// knownDrills gives the drills that are remembered in a folder of backups.
func knownDrills(folder string) ([]doctor.Drill, error) {
	folder, err := backupDir(folder)
	if err != nil {
		return nil, err
	}
	results, err := drill.List(folder)
	known := make([]doctor.Drill, len(results))
	for i, r := range results {
		known[i] = doctor.Drill{Kind: string(r.Kind), At: r.At, OK: r.OK, RPO: r.RPO, RTO: r.RTO}
	}
	return known, err
}

// pollOnce looks at the services as captop --once does.
func (s settings) pollOnce(ctx context.Context) ([]doctor.Polled, error) {
	config, err := s.probeConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.discover(ctx, &config); err != nil {
		return nil, err
	}
	engine, err := probes.New(config)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	snap, err := engine.Once(ctx)
	if err != nil {
		return nil, err
	}
	polled := make([]doctor.Polled, len(snap.Services))
	for i, instance := range snap.Services {
		skew := doctor.Unknown[time.Duration](cmp.Or(instance.Reach.Error, "it does not tell its time"))
		if instance.ClockSkew.Freshness(snap.At, snap.Poll) != probes.FreshnessUnknown {
			skew = doctor.Know(instance.ClockSkew.Value)
		}
		polled[i] = doctor.Polled{Service: "app_" + string(instance.Mode), Instance: cmp.Or(instance.Instance, instance.URL), Skew: skew,
			Up: instance.Reach.Contact == probes.Up, Scraped: !instance.MetricsAt.IsZero() && instance.MetricsError == ""}
	}
	return polled, nil
}

func doctorCode(results []doctor.Result) error {
	code := error(nil)
	for _, r := range results {
		switch r.Outcome {
		case doctor.Fail:
			return exitFails
		case doctor.Pass:
		default:
			code = exitCannotTell
		}
	}
	return code
}

func printChecklist(out io.Writer, lines []doctor.Line, asJSON bool) error {
	if asJSON {
		return printJSON(out, lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(out, "%-12s %-18s %s\n", l.Area, l.Name, l.Title); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

func printResults(out io.Writer, results []doctor.Result) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false) // fixes are commands
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(results); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// doctorMarks are the outcomes in words of one width.
var doctorMarks = map[doctor.Outcome]string{doctor.Fail: "FAIL", doctor.CannotTell: "?   ", doctor.Pass: "ok  "}

// worstFirst sorts results: what fails, what cannot be told, what passes.
func worstFirst(results []doctor.Result) []doctor.Result {
	rank := map[doctor.Outcome]int{doctor.Fail: 0, doctor.CannotTell: 1, doctor.Pass: 2}
	sorted := slices.Clone(results)
	slices.SortStableFunc(sorted, func(a, b doctor.Result) int { return rank[a.Outcome] - rank[b.Outcome] })
	return sorted
}

// doctorReport prints the results, the worst first; of those that pass one line each.
func doctorReport(out io.Writer, results []doctor.Result, took time.Duration) error {
	var text strings.Builder
	counts := map[doctor.Outcome]int{}
	for _, r := range worstFirst(results) {
		counts[r.Outcome]++
		fmt.Fprintf(&text, "%s  %-18s %s\n", doctorMarks[r.Outcome], r.Name, r.Title)
		if r.Outcome == doctor.Pass {
			continue
		}
		for i, seen := range r.Seen {
			if i == 5 {
				fmt.Fprintf(&text, "      seen  and %d more; --json has them all\n", len(r.Seen)-i)
				break
			}
			fmt.Fprintf(&text, "      seen  %s\n", cell.Clean(seen))
		}
		fmt.Fprintf(&text, "      why   %s\n", r.Why)
		if r.Fix != "" {
			fmt.Fprintf(&text, "      fix   %s\n", cell.Clean(r.Fix))
		}
	}
	checks := "checks"
	if len(results) == 1 {
		checks = "check"
	}
	fmt.Fprintf(&text, "%d %s in %s: %d fail, %d cannot be told, %d pass\n", len(results), checks, cell.Span(took), counts[doctor.Fail],
		counts[doctor.CannotTell], counts[doctor.Pass])
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
