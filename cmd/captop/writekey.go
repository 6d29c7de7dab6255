package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/deploy/journal"
	"captop/service"
)

// writeCommandTimeout ends a write that nobody answers; the services' own deadlines are shorter.
const writeCommandTimeout = 30 * time.Second

func newWriteCommand(std streams) *cobra.Command {
	c := &actCommand{std: std}
	var mode string
	command := &cobra.Command{
		Use:   "write KEY VALUE --mode cp|ap",
		Short: "write a key through one of the services",
		Long: "Write a key through app_cp or app_ap and print the answer. A VALUE of - is read from standard input.\n\n" +
			"Exit codes: 0 applied; 1 unknown, it may have been applied; 2 refused or declined, not applied; 64 called wrongly.",
		Example: "  captop write user:7 hello --mode cp --yes",
		Args:    cobra.ExactArgs(2),
	}
	c.flags = bind(command.Flags(), screenSettings...)
	c.bind(command)
	command.Flags().StringVar(&mode, "mode", "", "cp or ap: the service that takes it")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		return c.write(cmd.Context(), service.Mode(mode), args[0], args[1])
	}
	return command
}

func (c *actCommand) write(ctx context.Context, mode service.Mode, key, value string) error {
	if mode != service.ModeCP && mode != service.ModeAP {
		return fmt.Errorf("--mode %q: give cp or ap", mode)
	}
	settings, err := c.flags.settings()
	if err != nil {
		return err
	}
	if value == "-" {
		read, err := io.ReadAll(io.LimitReader(c.std.in, service.MaxValueBytes+1))
		if err != nil {
			return fmt.Errorf("reading the value: %w", err)
		}
		value = string(read)
	}
	if err := errors.Join(service.CheckKey(key), service.CheckValue([]byte(value))); err != nil {
		return err
	}
	config, err := settings.probeConfig()
	if err != nil {
		return err
	}
	if err := settings.find(ctx, &config); err != nil {
		return err
	}
	c.say("write %s through app_%s, %d bytes", key, mode, len(value))
	if c.dryRun {
		c.say("dry run: nothing was done")
		return nil
	}
	if err := c.ask(ctx, nil); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeCommandTimeout)
	defer cancel()
	written, err := noted(writer(config.Targets.First), "command")(ctx, mode, key, value)
	if err == nil {
		c.say("APPLIED as version %s, held by %s", written.Version, strings.Join(written.Nodes, " and "))
		return nil
	}
	refusal := &service.Error{Outcome: service.Unknown}
	errors.As(err, &refusal)
	if refusal.Outcome == service.NotApplied {
		return c.refused(fmt.Errorf("refused, not applied: %w", err))
	}
	return failed(c.std, fmt.Errorf("unknown, it may have been applied: %w", err))
}

type writeFunc func(context.Context, service.Mode, string, string) (service.Written, error)

// noted keeps a journal of writes, without their values. Where there is no place for one they are done all the same.
func noted(write writeFunc, face string) writeFunc {
	return func(ctx context.Context, mode service.Mode, key, value string) (service.Written, error) {
		file, err := journalFile()
		if err != nil {
			return write(ctx, mode, key, value)
		}
		open, err := file.Begin(journal.Act{Who: whoami(), Seat: seat(face), Stack: "app_" + string(mode), What: "write " + key,
			Command: fmt.Sprintf("captop write %s VALUE --mode %s", key, mode)})
		written, failure := write(ctx, mode, key, value)
		if err != nil {
			return written, failure
		}
		result := journal.Result{Outcome: journal.Done, Proof: fmt.Sprintf("version %s, held by %s", written.Version, strings.Join(written.Nodes, " and "))}
		if failure != nil {
			result = journal.Result{Outcome: journal.Unknown, Error: failure.Error()}
			var refusal *service.Error
			if errors.As(failure, &refusal) && refusal.Outcome == service.NotApplied {
				result.Outcome = journal.Undone
			}
		}
		_ = open.End(result) // what became of the write is what counts
		return written, failure
	}
}
