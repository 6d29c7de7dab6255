package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"captop/probes"
	"captop/probes/alerts"
)

// exitNotYet is what captop wait ends with when the time is up.
const exitNotYet = exitError(1)

// newWaitCommand is for scripts that go on once the stack is as they need it.
func newWaitCommand(std streams) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "wait EXPR",
		Short: "wait until a PromQL expression over what captop sees holds",
		Long: "wait evaluates a PromQL expression at every poll, and ends with 0 as soon as it holds: a comparison gives a sample,\n" +
			"anything else one that is not 0. It prints the last answer. When the time is up it ends with 1; 64 means that it was\n" +
			"called wrongly.\n\n" +
			"There are the series that the services export, with the labels job (app_cp, app_ap) and instance, and captop's own\n" +
			"of the nodes: redis_up{node=\"db_g2\"} and others.",
		Example: "  captop wait 'max(circuit_breaker_state) == 0' --timeout 60s\n" +
			"  captop wait 'redis_up{node=\"db_g2\"} and on () max(rejoin_active) == 0'",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("wait takes one PromQL expression, and was given %d; put it into quotes", len(args))
			}
			return nil
		},
	}
	flags := bind(command.Flags(), screenSettings...)
	command.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait, such as 90s or 5m")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		if timeout <= 0 {
			return fmt.Errorf("--timeout %s: give a duration above zero, such as 60s", timeout)
		}
		condition, err := alerts.ParseCondition(args[0])
		if err != nil {
			return err
		}
		engine, err := openEngine(cmd.Context(), flags)
		if err != nil {
			return err
		}
		// Watch must have ended before the engine is closed: its channel tells.
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		snapshots := engine.Watch(ctx)
		defer func() {
			cancel()
			for range snapshots {
			}
			_ = engine.Close()
		}()
		seen, err := await(ctx, snapshots, engine.Query, condition, std.out)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return notYet(std.err, fmt.Sprintf("%s did not come about within %s; captop sees: %s", condition.Expr, timeout, seen))
		case errors.Is(err, context.Canceled):
			return notYet(std.err, "interrupted before "+condition.Expr+" came about")
		}
		return err
	}
	return command
}

func notYet(w io.Writer, why string) error {
	if err := printLine(w, "captop: "+why); err != nil {
		return err
	}
	return exitNotYet
}

// screenSettings are the settings that mean nothing to commands without a screen.
var screenSettings = []string{"alertmanager", "theme", "ascii", "mouse", "zone", "relative", "record", "record_dir", "record_size", "record_age"}

// openEngine makes an engine from the flags of a command. Close it.
func openEngine(ctx context.Context, flags *flagSet) (*probes.Engine, error) {
	settings, err := flags.settings()
	if err != nil {
		return nil, err
	}
	config, err := settings.probeConfig()
	if err != nil {
		return nil, err
	}
	if err := settings.find(ctx, &config); err != nil {
		return nil, err
	}
	return probes.New(config)
}

// await asks at every snapshot until the condition holds, and prints the last answer. Where ctx ends before, the error is its,
// and seen is what captop last said of the stack.
func await(ctx context.Context, snapshots <-chan *probes.Snapshot, query func(context.Context, string) ([]alerts.Sample, error),
	condition alerts.Condition, out io.Writer) (seen string, err error) {
	answer, seen := "no answer", "nothing yet"
	for snapshot := range snapshots {
		seen = snapshot.Verdict.Sentence
		samples, err := query(ctx, condition.Expr)
		switch {
		case ctx.Err() != nil:
			continue // the channel closes
		case err != nil: // such as two series where one is wanted: that may pass
			answer = err.Error()
			continue
		}
		answer = sampleLines(samples)
		if condition.Holds(samples) {
			return seen, printLine(out, answer)
		}
	}
	if err := printLine(out, answer); err != nil {
		return seen, err
	}
	return seen, fmt.Errorf("waiting for %s: %w", condition.Expr, ctx.Err())
}

// sampleLines writes an answer as Prometheus writes samples, in the order of their labels.
func sampleLines(samples []alerts.Sample) string {
	if len(samples) == 0 {
		return "no samples"
	}
	lines := make([]string, len(samples))
	for i, s := range samples {
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(s.Labels)) {
			if name != model.MetricNameLabel {
				labels = append(labels, fmt.Sprintf("%s=%q", name, s.Labels[name]))
			}
		}
		lines[i] = fmt.Sprintf("%s{%s} %s", s.Labels[model.MetricNameLabel], strings.Join(labels, ","),
			strconv.FormatFloat(s.Value, 'f', -1, 64))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func printLine(out io.Writer, text string) error {
	if _, err := fmt.Fprintln(out, text); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
