package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"captop/deploy/act"
	"captop/deploy/journal"
	acting "captop/deploy/stack"
)

// actCodes are the exit codes of what acts, for the help.
const actCodes = "Exit codes: 0 done and proved; 1 failed, or done and not proved: look; 2 refused or declined, nothing was done;\n64 called wrongly."

// exitRefused is what an act ends with that was not begun.
const exitRefused = exitError(2)

// errNeedsYes: there is nobody to ask.
var errNeedsYes = errors.New("this is not a terminal, so nobody can be asked: give --yes to do it, or --dry-run to see what it would be")

// actCommand is one of captop restart, stop and so on.
type actCommand struct {
	std    streams
	verb   acting.Verb
	flags  *flagSet
	yes    bool
	dryRun bool
}

var actShort = map[acting.Verb]string{
	acting.Restart: "restart a node or a service, and prove that it is well again",
	acting.Stop:    "stop a node or one instance of a service",
	acting.Start:   "start what is stopped",
	acting.Pause:   "make a part hang: it keeps its connections and answers nobody",
	acting.Unpause: "end a pause",
	acting.Heal:    "end a cut and a pause",
}

func newActCommands(std streams) []*cobra.Command {
	var all []*cobra.Command
	for _, verb := range act.Verbs {
		if verb == acting.Cut {
			continue // newCutCommand cuts recordings too
		}
		c := &actCommand{std: std, verb: verb}
		command := &cobra.Command{
			Use:   string(verb) + " PART",
			Short: actShort[verb],
			Long: strings.ToUpper(actShort[verb][:1]) + actShort[verb][1:] + ". PART is a service such as db_g2, or one instance of it.\n" +
				"It shows the exact command, refuses where an interlock stands in the way, asks, and keeps a journal.\n\n" + actCodes,
			Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), args[0]) },
		}
		c.flags = bind(command.Flags(), screenSettings...)
		c.bind(command)
		all = append(all, command)
	}
	return all
}

// bind adds the flags of an act.
func (c *actCommand) bind(command *cobra.Command) {
	command.Flags().BoolVar(&c.yes, "yes", false, "do it without asking")
	command.Flags().BoolVar(&c.dryRun, "dry-run", false, "say what would be done, and whether it may")
}

func (c *actCommand) run(ctx context.Context, name string) error {
	settings, err := c.flags.settings()
	if err != nil {
		return err
	}
	on, err := settings.stack(ctx)
	if err != nil {
		return err
	}
	engine, err := settings.engine(ctx, on, "command")
	if err != nil {
		return err
	}
	if err := c.recover(ctx, engine); err != nil {
		return failed(c.std, err)
	}
	parts, err := on.Parts(ctx)
	if err != nil {
		return failed(c.std, err)
	}
	plans, err := engine.Plan(parts, engine.Look(ctx), c.verb, name)
	if err != nil {
		return err
	}
	return c.all(ctx, engine, plans)
}

// engine is what a command acts with.
func (s settings) engine(ctx context.Context, on acting.Stack, face string) (*act.Engine, error) {
	config, err := s.probeConfig()
	if err != nil {
		return nil, err
	}
	if err := s.find(ctx, &config); err != nil {
		return nil, err
	}
	file, err := journalFile()
	if err != nil {
		return nil, err
	}
	return newEngine(on, file, config.Targets, face), nil
}

// recover says what somebody else began and never ended.
func (c *actCommand) recover(ctx context.Context, engine *act.Engine) error {
	found, err := engine.Recover(ctx)
	for _, record := range found {
		c.say("%s", abandoned(record))
	}
	return err
}

// abandoned is what is said of an act that was found without an end.
func abandoned(r journal.Record) string {
	return fmt.Sprintf("%s, begun by %s at %s, had no end: %s", r.What, r.Who, r.Began.UTC().Format("2006-01-02 15:04:05 UTC"), r.Proof+r.Error)
}

func (c *actCommand) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.std.out, format+"\n", args...)
}

// all does plan after plan, and stops at the first that does not end well.
func (c *actCommand) all(ctx context.Context, engine *act.Engine, plans []act.Plan) error {
	for _, plan := range plans {
		c.say("%s on the %s\n%s\n$ %s", plan.Title(), engine.Stack.About(), plan.Explain, plan.Command)
		if plan.Refused != nil {
			return c.refused(plan.Refused)
		}
	}
	if c.dryRun {
		c.say("dry run: interlocks let it pass; nothing was done")
		return nil
	}
	if err := c.ask(ctx, plans); err != nil {
		return err
	}
	// Neither a lost terminal nor a reader that is gone may end what is begun.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	for _, plan := range plans {
		proof, err := engine.Do(ctx, plan, func(step string) { c.say("%s  %s", time.Now().UTC().Format("15:04:05"), step) })
		switch {
		case errors.Is(err, act.ErrRefused):
			return c.refused(err)
		case err != nil:
			return failed(c.std, fmt.Errorf("%s: %w", plan.Title(), err))
		}
		c.say("DONE: %s", strings.ReplaceAll(proof, "\n", "\n      "))
	}
	return nil
}

func (c *actCommand) refused(why error) error {
	_, _ = fmt.Fprintf(c.std.err, "captop: %v\n", why)
	return exitRefused
}

// ask wants a yes, or the name where much is at stake.
func (c *actCommand) ask(ctx context.Context, plans []act.Plan) error {
	if c.yes {
		return nil
	}
	in, isFile := c.std.in.(*os.File)
	if !isFile || !isatty.IsTerminal(in.Fd()) {
		return errNeedsYes
	}
	wanted := "yes"
	if at := slices.IndexFunc(plans, func(p act.Plan) bool { return p.Typed != "" }); at >= 0 {
		wanted = plans[at].Typed
	}
	_, _ = fmt.Fprintf(c.std.out, "Type %s to do it: ", wanted)
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n')
		typed <- strings.TrimSpace(line)
	}()
	select {
	case line := <-typed:
		if line == wanted {
			return nil
		}
	case <-ctx.Done():
	}
	c.say("nothing was done")
	return exitRefused
}

func newLogsCommand(std streams) *cobra.Command {
	var since time.Duration
	command := &cobra.Command{Use: "logs PART", Short: "print what a part has logged", Args: cobra.ExactArgs(1)}
	flags := bind(command.Flags(), screenSettings...)
	command.Flags().DurationVar(&since, "since", 0, "only the last, such as 10m")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		settings, err := flags.settings()
		if err != nil {
			return err
		}
		on, err := settings.stack(ctx)
		if err != nil {
			return err
		}
		parts, err := on.Parts(ctx)
		if err != nil {
			return failed(std, err)
		}
		from, found := time.Time{}, 0
		if since > 0 {
			from = time.Now().Add(-since)
		}
		for _, part := range parts {
			if part.Service != args[0] && part.Instance != args[0] {
				continue
			}
			found++
			if err := on.Logs(ctx, part, from, std.out); err != nil {
				return failed(std, err)
			}
		}
		if found == 0 {
			return fmt.Errorf("%q: %w: it has %s", args[0], acting.ErrNoPart, strings.Join(act.Names(parts), ", "))
		}
		return nil
	}
	return command
}
