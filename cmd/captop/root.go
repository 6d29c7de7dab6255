package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"captop/deploy/runbooks"
	"captop/probes"
	"captop/probes/logtail"
	"captop/service"
	"captop/service/api"
	"captop/tui"
)

// errNoTerminal: there is nothing to draw the dashboard on.
var errNoTerminal = errors.New("this is not a terminal that can show the dashboard; use --plain for a stream of text, " +
	"or --once --json")

// options are the root command's flags.
type options struct {
	flags *flagSet
	once  bool
	json  bool
	plain bool
}

func newRoot(std streams) *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:   "captop",
		Short: "top for the CAP theorem: a live view of app_cp, app_ap and their two Redis nodes",
		Long: "captop watches app_cp, app_ap and the two Redis nodes behind them, and says what is wrong in one sentence.\n\n" +
			"Exit codes with --once: 0 ok, 1 warning, 2 critical, 3 unknown. 64 means that captop was called wrongly.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.run(cmd, std) },
	}
	flags := root.Flags()
	o.flags = bind(flags)
	flags.BoolVar(&o.once, "once", false, "look once, print, and end with the exit code of what was seen")
	flags.BoolVar(&o.json, "json", false, "with --once: print the whole snapshot as JSON")
	flags.BoolVar(&o.plain, "plain", false, "print a line for each change instead of drawing a screen")
	root.MarkFlagsMutuallyExclusive("once", "plain")
	root.AddCommand(newVersionCommand(), newDemoCommand(std), newKeeperCommand(std), newConfigCommand(std), newBackupCommand(std), newDrillCommand(std),
		newReplayCommand(std), newCutCommand(std), newWaitCommand(std), newCheckCommand(std), newBenchCommand(std),
		newDoctorCommand(std), newRolloutCommand(std))
	root.AddCommand(newActCommands(std)...)
	root.AddCommand(newLogsCommand(std), newWriteCommand(std), newJournalCommand(std), newHandoverCommand(std))
	return root
}

// run chooses the face.
func (o options) run(cmd *cobra.Command, std streams) error {
	if o.json && !o.once {
		return errors.New("--json goes with --once")
	}
	settings, err := o.flags.settings()
	if err != nil {
		return err
	}
	config, err := settings.probeConfig()
	if err != nil {
		return err
	}
	if !o.once && !o.plain && !drawable(std) {
		return errNoTerminal
	}
	screen, err := settings.screen(std)
	if err != nil {
		return err
	}
	useAcks(&config, &screen)
	if err := settings.useAlertmanager(&config, &screen); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if err := settings.find(ctx, &config); err != nil {
		return err
	}
	var kept recorder
	if !o.once {
		kept = settings.record(&config)
		defer kept.Close()
	}
	engine, err := probes.New(config)
	if err != nil {
		return err
	}
	defer func() { cancel(); _ = engine.Close() }()
	switch {
	case o.once:
		return once(ctx, engine, std.out, o.json)
	case o.plain:
		return plain(engine.Watch(ctx), std.out)
	}
	screen.Snapshots, screen.Stack, screen.Write = kept.watch(ctx, engine.Watch(ctx)), stackName(config.Targets), noted(writer(engine.Instance), "screen")
	screen.Query, screen.History = engine.Query, kept.lookBack()
	if len(settings.Log) > 0 {
		screen.Logs = logtail.Follow(ctx, settings.Log, time.Now)
	}
	if screen.Examine, err = settings.examine(); err != nil {
		return err
	}
	if dir, err := backupDir(""); err == nil { // else there is no place for a user's state, and so there are no backups
		backups := newVault(ctx, settings, dir)
		screen.Backups = backups.source("captop backup take", "")
		defer awaitEnd(backups.restores.Wait, std)
	}
	looks, err := lookClosely(config.Targets.Nodes, engine.Instance, &screen)
	if err != nil {
		return err
	}
	defer looks.Close()
	screenCtx, hangup := untilHangup(ctx)
	defer hangup()
	defer awaitEnd(settings.canAct(ctx, screenCtx, config.Targets, &screen), std)
	return tui.Run(screenCtx, screen)
}

// drawable says whether a dashboard can be drawn: both ends a terminal, and not a dumb one.
func drawable(std streams) bool {
	for _, stream := range []any{std.in, std.out} {
		if file, ok := stream.(*os.File); !ok || !isatty.IsTerminal(file.Fd()) {
			return false
		}
	}
	return os.Getenv("TERM") != "dumb"
}

// screen is what the settings say of the dashboard itself.
func (s settings) screen(std streams) (tui.Options, error) {
	k, err := s.keymap()
	return tui.Options{Theme: s.Theme, ASCII: s.ASCII, Mouse: s.Mouse, Zone: s.location(), Relative: s.Relative, Keys: &k,
		Runbook: runbooks.Page, Checks: runbookChecks, Input: std.in, Output: std.out}, err
}

// stackName gives the hosts of the stack as configured: of the services, and of the nodes where they run elsewhere.
func stackName(targets probes.Targets) func() string {
	var hosts []string
	add := func(address string) {
		if parsed, err := url.Parse(address); err == nil && !slices.Contains(hosts, parsed.Hostname()) {
			hosts = append(hosts, parsed.Hostname())
		}
	}
	for _, target := range targets.Services {
		add(target.URL)
	}
	for _, target := range targets.Nodes {
		add(target.URL)
	}
	const shown = 3
	if len(hosts) > shown {
		hosts = append(hosts[:shown], fmt.Sprintf("and %d more", len(hosts)-shown))
	}
	name := "configured stack on " + strings.Join(hosts, " ")
	return func() string { return name }
}

// writer gives the dashboard a way to write through an instance of a mode that serves.
func writer(services probes.Instances) func(context.Context, service.Mode, string, string) (service.Written, error) {
	return func(ctx context.Context, mode service.Mode, key, value string) (service.Written, error) {
		target, ok := services(mode)
		if !ok {
			return service.Written{}, fmt.Errorf("no service of mode %s is configured", mode)
		}
		return api.NewClient(target.URL, target.Token, nil).Write(ctx, key, []byte(value))
	}
}

// once looks once and ends with the severity's exit code.
func once(ctx context.Context, engine *probes.Engine, out io.Writer, asJSON bool) error {
	snap, err := engine.Once(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(snap)
	} else {
		_, err = io.WriteString(out, report(snap))
	}
	if err != nil {
		return fmt.Errorf("printing the snapshot: %w", err)
	}
	if code := snap.Severity.ExitCode(); code != 0 {
		return exitError(code)
	}
	return nil
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "print the version", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "captop %s, %s\n", version(), runtime.Version())
			return err
		},
	}
}
