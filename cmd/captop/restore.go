package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"captop/deploy/backup"
	"captop/deploy/journal"
	"captop/deploy/restore"
	acting "captop/deploy/stack"
	"captop/probes/record"
	"captop/service"
	"captop/tui/cell"
)

// restorePatience bounds how long a node may take to load, and how long a settling may stand still.
const restorePatience = 10 * time.Minute

// restoreOptions are the flags of captop backup restore and undo.
type restoreOptions struct {
	store              *backup.Store
	flags              *flagSet
	yes, dry           bool
	both, resume       bool
	fileOfG1, fileOfG2 string
	std                streams
}

func (o *restoreOptions) bind(command *cobra.Command) {
	o.flags = bind(command.Flags(), screenSettings...)
	command.Flags().BoolVar(&o.yes, "yes", false, "do not ask: for scripts")
	command.Flags().BoolVar(&o.dry, "dry-run", false, "check everything, show the plan, and do nothing")
}

func newBackupRestoreCommand(store *backup.Store, std streams) *cobra.Command {
	o := &restoreOptions{store: store, std: std}
	command := &cobra.Command{
		Use:   "restore NODE [FILE]",
		Short: "put a backup back into a node, or into both",
		Long: "Puts the newest verified backup of a node, or the named one, back into it: the writes that app_ap has taken there alone are\n" +
			"carried to the other node, the node is stopped, a safety copy of its data folder is made, the dump is put where this Redis looks\n" +
			"for it (with AOF on it does not look at a dump.rdb), the node is started, and what it loaded is compared. Then the services settle\n" +
			"it with the other node: what was written since the backup stays.\n\n" +
			"With --both, both nodes go back to their backups, and what was written since is lost.\n\n" +
			"A restore that was broken off is finished by --resume or taken back by captop backup undo.\n\n" +
			"Exit codes: 0 done, 1 refused or failed, 64 called wrongly.",
		Example: "  captop backup restore db_g2 --dry-run\n  captop backup restore db_g2 --yes\n  captop backup restore --both",
		Args:    cobra.MaximumNArgs(2),
	}
	o.bind(command)
	command.Flags().BoolVar(&o.both, "both", false, "both nodes go back: what was written since their backups is lost")
	command.Flags().StringVar(&o.fileOfG1, "file-g1", "", "with --both: the backup of db_g1 (default: the newest verified one)")
	command.Flags().StringVar(&o.fileOfG2, "file-g2", "", "with --both: the backup of db_g2 (default: the newest verified one)")
	command.Flags().BoolVar(&o.resume, "resume", false, "finish what was broken off")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		request, err := o.request(args)
		if err != nil {
			return err
		}
		return o.run(cmd.Context(), func(ctx context.Context, r *restore.Restorer) (restore.Plan, error) {
			if o.resume {
				return pendingPlan(o.store.Dir)
			}
			return r.Prepare(ctx, request)
		})
	}
	return command
}

// request reads the arguments.
func (o *restoreOptions) request(args []string) (restore.Request, error) {
	switch {
	case o.resume && (len(args) > 0 || o.both || o.dry):
		return restore.Request{}, errors.New("--resume goes by itself: it finishes what is noted in the folder of backups")
	case o.resume:
		return restore.Request{}, nil
	case o.both && len(args) > 0:
		return restore.Request{}, errors.New("--both names no node: give --file-g1 and --file-g2 for backups that are not the newest")
	case o.both:
		return restore.Request{Both: true, Files: map[string]string{service.G1: o.fileOfG1, service.G2: o.fileOfG2}}, nil
	case o.fileOfG1 != "" || o.fileOfG2 != "":
		return restore.Request{}, errors.New("--file-g1 and --file-g2 go with --both")
	case len(args) == 0:
		return restore.Request{}, errors.New("give the node: captop backup restore db_g2")
	case args[0] != service.G1 && args[0] != service.G2:
		return restore.Request{}, fmt.Errorf("%q is no node: give db_g1 or db_g2", args[0])
	}
	request := restore.Request{Node: args[0], Files: map[string]string{}}
	if len(args) == 2 {
		request.Files[args[0]] = filepath.Base(args[1])
	}
	return request, nil
}

func newBackupUndoCommand(store *backup.Store, std streams) *cobra.Command {
	o := &restoreOptions{store: store, std: std}
	command := &cobra.Command{
		Use: "undo", Short: "take the newest restore back: the safety copy becomes the node's data again", Args: cobra.NoArgs,
		Long: "Takes the newest restore back, whether it was finished or broken off.\n\nExit codes: 0 done, 1 refused or failed, 64 called wrongly.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), func(ctx context.Context, r *restore.Restorer) (restore.Plan, error) { return r.PrepareUndo(ctx) })
		},
	}
	o.bind(command)
	return command
}

// pendingPlan is the plan of what was broken off.
func pendingPlan(dir string) (restore.Plan, error) {
	pending, err := restore.Pending(dir)
	if err != nil {
		return restore.Plan{}, err
	}
	if pending == nil {
		return restore.Plan{}, errors.New("nothing was broken off: there is nothing to finish")
	}
	line := fmt.Sprintf("finish the %s of %s from %s, which was broken off before the step %q", pending.Kind, pending.Names(),
		pending.Began.Format("2006-01-02 15:04:05 UTC"), pending.Step)
	return restore.Plan{Record: pending, Lines: []string{line}}, nil
}

// run shows the plan, asks, and does it.
func (o *restoreOptions) run(ctx context.Context, prepare func(context.Context, *restore.Restorer) (restore.Plan, error)) error {
	settings, err := o.flags.settings()
	if err != nil {
		return err
	}
	nodes, err := settings.stack(ctx)
	if err != nil {
		return failed(o.std, err)
	}
	r := newRestorer(*o.store, nodes, settings, tellLines(o.std.out))
	plan, err := prepare(ctx, r)
	if err != nil {
		return failed(o.std, err)
	}
	showPlan(o.std.out, plan)
	if o.dry {
		return nil
	}
	if err := o.confirm(plan); err != nil {
		return err
	}
	began := time.Now()
	if err := journalled(nodes, plan, "command", func(say func(string)) error {
		shown := r.Tell
		r.Tell = func(p restore.Progress) {
			if p.Done == 0 {
				say(p.Text)
			}
			shown(p)
		}
		if o.resume {
			_, err := r.Resume(ctx)
			return err
		}
		return r.Run(ctx, plan)
	}); err != nil {
		if left, lost := restore.Pending(o.store.Dir); lost == nil && left != nil {
			err = fmt.Errorf("%w\nThe %s of %s is not finished: %s", err, left.Kind, left.Names(), left.WayOn())
		}
		return failed(o.std, err)
	}
	_, err = fmt.Fprintf(o.std.out, "done: %s of %s in %s\n", plan.Kind, plan.Names(), cell.Span(time.Since(began)))
	return err
}

// newRestorer joins a restorer of what the settings say.
func newRestorer(store backup.Store, nodes acting.Stack, s settings, tell func(restore.Progress)) *restore.Restorer {
	return &restore.Restorer{Store: store, Stack: nodes, URLs: map[string]string{service.G1: s.G1, service.G2: s.G2}, Now: time.Now,
		Patience: restorePatience, Tell: tell}
}

// tellLines prints each thing that is done once, and how far it is in quarters.
func tellLines(out io.Writer) func(restore.Progress) {
	text, quarter := "", int64(0)
	return func(p restore.Progress) {
		if p.Text != text {
			text, quarter = p.Text, 0
			_, _ = fmt.Fprintln(out, text)
		}
		if p.Total > 0 && p.Done*4/p.Total > quarter {
			quarter = p.Done * 4 / p.Total
			_, _ = fmt.Fprintf(out, "%s: %d %%\n", text, quarter*25)
		}
	}
}

func showPlan(out io.Writer, plan restore.Plan) {
	_, _ = fmt.Fprintf(out, "\n%s %s:\n", plan.Kind, plan.Names())
	for i, line := range plan.Lines {
		_, _ = fmt.Fprintf(out, "%3d  %s\n", i+1, line)
	}
	for _, warning := range plan.Warnings {
		_, _ = fmt.Fprintf(out, "  !  %s\n", warning)
	}
	_, _ = fmt.Fprintln(out)
}

// confirm has the nodes' name typed, where a person can.
func (o *restoreOptions) confirm(plan restore.Plan) error {
	if o.yes {
		return nil
	}
	return typed(o.std, "", plan.Names())
}

// typed has a person type a word, after saying what it stands for.
func typed(std streams, question, word string) error {
	if file, ok := std.in.(*os.File); !ok || !isatty.IsTerminal(file.Fd()) {
		return errors.New("nothing was done: this is no terminal to ask at; say --yes")
	}
	if question != "" {
		_, _ = fmt.Fprintln(std.out, question)
	}
	_, _ = fmt.Fprintf(std.out, "Type %q to go on: ", word)
	line, err := bufio.NewReader(std.in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != word {
		return errors.New("nothing was done: that was something else")
	}
	return nil
}

// journalled notes an act in the journal of this host's operators.
func journalled(nodes acting.Stack, plan restore.Plan, seat string, act func(say func(string)) error) error {
	state := record.Dir(os.Getenv)
	if state == "" {
		return act(func(string) {})
	}
	file := journal.File{Path: filepath.Join(state, "journal.jsonl"), Now: time.Now}
	open, err := file.Begin(journal.Act{Who: journal.Who(os.Getenv), Seat: seat, Stack: nodes.About(), What: fmt.Sprintf("%s %s", plan.Kind, plan.Names()),
		Command: strings.Join(plan.Lines, "\n")})
	if err != nil {
		return err
	}
	err = act(func(text string) { _ = open.Step(text) })
	result := journal.Result{Outcome: journal.Done}
	switch {
	case err != nil && plan.Step == restore.Aborted:
		result = journal.Result{Outcome: journal.Undone, Error: err.Error()}
	case err != nil:
		result = journal.Result{Outcome: journal.Failed, Error: err.Error()}
	default:
		for _, n := range plan.Nodes {
			result.Proof += fmt.Sprintf("%s is settled and holds %d keys of clients under run %.8s\n", n.Name, n.KeysAfter, n.RunAfter)
		}
	}
	return errors.Join(err, open.End(result))
}
