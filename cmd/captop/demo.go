package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"captop/deploy/demo"
	"captop/probes"
	"captop/probes/logtail"
	"captop/service"
	"captop/tui"
)

// keeperCommand is the hidden command that the demo runs this program with, to be outlived by nothing.
const keeperCommand = "demo-keeper"

func newDemoCommand(std streams) *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:   "demo",
		Short: "start the pair on two Redis nodes of its own, and watch it",
		Long: "demo starts db_g1, db_g2, app_cp and app_ap on this machine, with a gentle load, and opens the dashboard on them.\n" +
			"It runs on redis-server where there is one, else on miniredis in this process. Everything ends with it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), o, std) },
	}
	command.Flags().BoolVar(&o.plain, "plain", false, "print a line for each change instead of drawing a screen")
	o.flags = bind(command.Flags(), "cp", "ap", "g1", "g2", "targets", "token", "token_file", "prometheus", "alertmanager", "stack", "act")
	return command
}

func newKeeperCommand(std streams) *cobra.Command {
	return &cobra.Command{Use: keeperCommand, Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return demo.Keep(std.in, args[0]) }}
}

func runDemo(ctx context.Context, o options, std streams) error {
	if !o.plain && !drawable(std) {
		return fmt.Errorf("%w; here: captop demo --plain", errNoTerminal)
	}
	settings, err := o.flags.settings()
	if err != nil {
		return err
	}
	screen, err := settings.screen(std)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	stack, err := demo.Start(exec.Command(self, keeperCommand))
	if err != nil {
		return fmt.Errorf("starting the demo: %w", err)
	}
	defer stack.Close()
	settings.CP, settings.AP = []string{stack.URL(service.ModeCP)}, []string{stack.URL(service.ModeAP)}
	settings.G1, settings.G2 = stack.NodeURLs()
	// What the config file says of a real stack means nothing here.
	settings.Targets, settings.Token, settings.TokenFile, settings.Prometheus, settings.Alertmanager = "", "", "", "", ""
	config, err := settings.probeConfig()
	if err != nil {
		return err
	}
	useAcks(&config, &screen)
	kept := settings.record(&config)
	defer kept.Close()
	engine, err := probes.New(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); _ = engine.Close() }()
	if o.plain {
		if _, err := fmt.Fprintf(std.out, "%s; the services log to %s\n", stack.About(), stack.Log()); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return plain(engine.Watch(ctx), std.out)
	}
	screen.Snapshots, screen.Stack, screen.Write = kept.watch(ctx, engine.Watch(ctx)), stack.About, writer(engine.Instance)
	screen.Armed, screen.Query = true, engine.Query
	screenCtx, hangup := untilHangup(ctx)
	defer hangup()
	acts, err := demoActs(ctx, screenCtx, stack, config.Targets, &screen)
	if err != nil {
		return err
	}
	defer awaitEnd(acts, std)
	backups := newVault(ctx, settings, filepath.Join(filepath.Dir(stack.Log()), "backups"))
	first := fmt.Sprintf("captop backup take --dir %s --g1 %s --g2 %s", backups.store.Dir, settings.G1, settings.G2)
	screen.Backups = backups.source(first, "Nothing is restored in the demo, whose nodes are captop's own; on a real stack it is.")
	screen.History = kept.lookBack()
	screen.Logs = logtail.Follow(ctx, append(settings.Log, stack.Log()), time.Now)
	looks, err := lookClosely(config.Targets.Nodes, engine.Instance, &screen)
	if err != nil {
		return err
	}
	defer looks.Close()
	return tui.Run(screenCtx, screen)
}
