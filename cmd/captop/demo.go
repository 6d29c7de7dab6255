package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	o.flags = bind(command.Flags(), "cp", "ap", "g1", "g2", "targets", "token", "token_file", "prometheus", "alertmanager")
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
	screen.Snapshots, screen.Stack, screen.Write = kept.watch(ctx, engine.Watch(ctx)), stack.About(), writer(config.Targets)
	screen.Actions, screen.Armed, screen.Query = demoActions(stack), true, engine.Query
	screen.History = kept.lookBack()
	screen.Logs = logtail.Follow(ctx, append(settings.Log, stack.Log()), time.Now)
	looks, err := lookClosely(config.Targets, &screen)
	if err != nil {
		return err
	}
	defer looks.Close()
	return tui.Run(ctx, screen)
}

// demoActions are what can be done to the demo's db_g2.
func demoActions(stack *demo.Stack) []tui.Action {
	return []tui.Action{
		{
			Key: "c", Name: "cut db_g2 off", Confirm: tui.ConfirmNone,
			Explain: "Both services lose db_g2; captop still reaches it.",
			Command: "iptables -A OUTPUT -p tcp --dport <db_g2> -j DROP (here: the demo's own link)",
			Check: func(*probes.Snapshot) error {
				if stack.IsCut() {
					return errors.New("db_g2 is cut off already; h heals it")
				}
				return nil
			},
			Run: func(context.Context, func(string)) (string, error) {
				stack.Cut()
				return "nothing passes between the services and db_g2 any more; h heals it", nil
			},
		},
		{
			Key: "p", Name: "pause db_g2", Confirm: tui.ConfirmNone,
			Explain: "db_g2 keeps its connections and answers nobody, as on a host that hangs.",
			Command: "kill -STOP <db_g2>",
			Check: func(*probes.Snapshot) error {
				if stack.IsPaused() {
					return errors.New("db_g2 is paused already; h resumes it")
				}
				return nil
			},
			Run: func(context.Context, func(string)) (string, error) {
				return "db_g2 is stopped in its tracks; h resumes it", stack.Pause()
			},
		},
		{
			Key: "h", Name: "heal db_g2", Confirm: tui.ConfirmNone,
			Explain: "Ends a cut and a pause.",
			Command: "kill -CONT <db_g2>; iptables -D OUTPUT ... (here: the demo's own link)",
			Run: func(context.Context, func(string)) (string, error) {
				return "db_g2 runs and its link is open", stack.Heal()
			},
		},
		{
			Key: "r", Name: "restart db_g2", Confirm: tui.ConfirmAsk,
			Explain: "app_cp refuses writes meanwhile and app_ap goes on with db_g1; both settle db_g2 when it is back.",
			Command: stack.RestartCommand(),
			Check:   func(snapshot *probes.Snapshot) error { return mayRestartG2(stack, snapshot) },
			Run:     stack.Restart,
		},
	}
}

// mayRestartG2 gives the reason why db_g2 must not be restarted now.
func mayRestartG2(stack *demo.Stack, snapshot *probes.Snapshot) error {
	if stack.IsPaused() {
		return errors.New("db_g2 is paused; h resumes it")
	}
	if stack.IsCut() {
		return fmt.Errorf("%w (h)", demo.ErrCut)
	}
	if snapshot == nil {
		return errors.New("nothing is known of db_g1 yet")
	}
	for _, n := range snapshot.Nodes {
		info := n.Info
		switch {
		case n.Name == service.G1 && n.Reach.Contact != probes.Up:
			return fmt.Errorf("db_g1 is %s: without db_g2 too, nothing would answer", n.Reach.Contact)
		case n.Name == service.G2 && info.Known && info.Value.Persistence.RDBSaving:
			return errors.New("db_g2 is saving (BGSAVE); wait until that is done")
		}
	}
	return nil
}
