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
	"runtime/debug"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"captop/probes"
	"captop/service"
	"captop/service/api"
	"captop/tui"
)

// errNoTerminal: there is nothing to draw the dashboard on.
var errNoTerminal = errors.New("this is not a terminal that can show the dashboard; use --plain for a stream of text, " +
	"or --once --json")

// options are the root command's flags.
type options struct {
	settings settings
	config   string
	once     bool
	json     bool
	plain    bool
}

func newRoot(std streams) *cobra.Command {
	o := options{settings: defaultSettings()}
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
	flags.StringArrayVar(&o.settings.CP, "cp", o.settings.CP, "URL of an app_cp instance (repeatable)")
	flags.StringArrayVar(&o.settings.AP, "ap", o.settings.AP, "URL of an app_ap instance (repeatable)")
	flags.StringVar(&o.settings.G1, "g1", o.settings.G1, "Redis URL of db_g1")
	flags.StringVar(&o.settings.G2, "g2", o.settings.G2, "Redis URL of db_g2")
	flags.StringVar(&o.settings.Token, "token", "", "bearer token for the services; others on this host may see it, so rather use --token-file")
	flags.StringVar(&o.settings.TokenFile, "token-file", "", "file that holds the bearer token")
	flags.StringVar(&o.settings.Interval, "interval", o.settings.Interval, "time between two polls, 100ms to 1m")
	flags.StringVar(&o.config, "config", "", "config file in TOML (default "+configPath()+")")
	flags.BoolVar(&o.once, "once", false, "look once, print, and end with the exit code of what was seen")
	flags.BoolVar(&o.json, "json", false, "with --once: print the whole snapshot as JSON")
	flags.BoolVar(&o.plain, "plain", false, "print a line for each change instead of drawing a screen")
	root.MarkFlagsMutuallyExclusive("once", "plain")
	root.AddCommand(newVersionCommand(), newDemoCommand(std), newKeeperCommand(std))
	return root
}

// run chooses the face.
func (o options) run(cmd *cobra.Command, std streams) error {
	if o.json && !o.once {
		return errors.New("--json goes with --once")
	}
	settings, err := o.merged(cmd)
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
	engine, err := probes.New(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer func() { cancel(); _ = engine.Close() }()
	switch {
	case o.once:
		return once(ctx, engine, std.out, o.json)
	case o.plain:
		return plain(engine.Watch(ctx), std.out)
	}
	return dashboard(ctx, engine, config.Targets, std)
}

// merged lays the flags over the config file, and the file over the defaults.
func (o options) merged(cmd *cobra.Command) (settings, error) {
	path, asked := configPath(), false
	if o.config != "" {
		path, asked = o.config, true
	}
	merged, err := loadConfig(path, asked, defaultSettings())
	if err != nil {
		return merged, err
	}
	changed := cmd.Flags().Changed
	for flag, take := range map[string]func(){
		"cp":         func() { merged.CP = o.settings.CP },
		"ap":         func() { merged.AP = o.settings.AP },
		"g1":         func() { merged.G1 = o.settings.G1 },
		"g2":         func() { merged.G2 = o.settings.G2 },
		"token":      func() { merged.Token, merged.TokenFile = o.settings.Token, "" },
		"token-file": func() { merged.TokenFile, merged.Token = o.settings.TokenFile, "" },
		"interval":   func() { merged.Interval = o.settings.Interval },
	} {
		if changed(flag) {
			take()
		}
	}
	if changed("token") && changed("token-file") {
		return merged, errors.New("--token and --token-file are both given; give one")
	}
	return merged, nil
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

func dashboard(ctx context.Context, engine *probes.Engine, targets probes.Targets, std streams) error {
	return tui.Run(ctx, tui.Options{
		Snapshots: engine.Watch(ctx),
		Stack:     stackName(targets),
		Write:     writer(targets),
		Input:     std.in,
		Output:    std.out,
	})
}

// stackName is the host of the first service.
func stackName(targets probes.Targets) string {
	for _, target := range targets.Services {
		if parsed, err := url.Parse(target.URL); err == nil {
			return parsed.Hostname()
		}
	}
	return "nodes alone"
}

// writer gives the dashboard a way to write through the first service of each mode.
func writer(targets probes.Targets) func(context.Context, service.Mode, string, string) (service.Written, error) {
	clients := map[service.Mode]*api.Client{}
	for _, target := range targets.Services {
		if clients[target.Mode] == nil {
			clients[target.Mode] = api.NewClient(target.URL, target.Token, nil)
		}
	}
	return func(ctx context.Context, mode service.Mode, key, value string) (service.Written, error) {
		client := clients[mode]
		if client == nil {
			return service.Written{}, fmt.Errorf("no service of mode %s is configured", mode)
		}
		return client.Write(ctx, key, []byte(value))
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
			version := "unknown"
			if build, ok := debug.ReadBuildInfo(); ok {
				version = build.Main.Version
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "captop %s, %s\n", version, runtime.Version())
			return err
		},
	}
}
