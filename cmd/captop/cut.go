package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	acting "captop/deploy/stack"
	"captop/probes"
	"captop/probes/record"
)

func newCutCommand(std streams) *cobra.Command {
	var output string
	var flags *flagSet
	act := &actCommand{std: std, verb: acting.Cut}
	command := &cobra.Command{
		Use:   "cut FILE FROM TO -o SLICE | cut PART",
		Short: "make a slice of a recording, to send to a colleague; or cut a part of the stack off its peers",
		Long: "With a recording and two times cut writes the part of a recording between two times into one file, which captop replay shows alone. With it go the\n" +
			"minutes before FROM that the alerting rules look back over. FILE may also be a directory of recordings: of its newest.\n\n" +
			"Times are such as 15:04, 15:04:05 (in UTC, or with --zone local), 2006-01-02T15:04:05Z, or -10m: before the end.\n\n" +
			"With the name of a part, such as db_g2, cut takes it off the network that it shares with its peers, until captop heal. It\n" +
			"shows the exact command, refuses where an interlock stands in the way, asks, and keeps a journal.\n" + actCodes,
		Example:            "  captop cut ~/.local/state/captop -10m -5m -o slice.captop\n  captop cut db_g2 --dry-run",
		DisableFlagParsing: true, // else -10m would be taken for flags
		RunE: func(cmd *cobra.Command, args []string) error {
			args, help, err := parseAround(cmd, args)
			switch {
			case err != nil:
				return err
			case help:
				return cmd.Help()
			case len(args) == 1:
				return act.run(cmd.Context(), args[0])
			case len(args) != 3:
				return fmt.Errorf("cut takes a recording and two times, or one part of the stack, not %d words: captop cut FILE FROM TO -o SLICE, captop cut PART", len(args))
			case output == "":
				return errors.New("cut does not say where to: add -o SLICE")
			}
			settings, err := flags.settings()
			if err != nil {
				return err
			}
			return cut(cmd.Context(), settings, args[0], args[1], args[2], output, std)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "the file to write; one that is there stays as it is")
	flags = bind(command.Flags(), slices.DeleteFunc(slices.Clone(screenSettings), func(name string) bool { return name == "zone" })...)
	act.flags = flags
	act.bind(command)
	return command
}

// parseAround parses the flags among args, and takes words such as -10m for no flags.
func parseAround(cmd *cobra.Command, args []string) (rest []string, help bool, err error) {
	const mark = "\x00" // no word of a command line holds it
	marked := slices.Clone(args)
	for i, arg := range marked {
		if len(arg) > 1 && arg[0] == '-' && arg[1] >= '0' && arg[1] <= '9' {
			marked[i] = mark + arg
		}
	}
	if err := cmd.Flags().Parse(marked); err != nil {
		return nil, errors.Is(err, pflag.ErrHelp), err
	}
	for _, arg := range cmd.Flags().Args() {
		rest = append(rest, strings.TrimPrefix(arg, mark))
	}
	help, err = cmd.Flags().GetBool("help")
	return rest, help, err
}

// bindOnly adds the flags of a few settings to those of a command.
func bindOnly(flags *pflag.FlagSet, names ...string) *flagSet {
	var without []string
	for _, row := range table() {
		if !slices.Contains(names, row.name) {
			without = append(without, row.name)
		}
	}
	return bind(flags, without...)
}

func cut(ctx context.Context, s settings, path, from, to, output string, std streams) error {
	recording, err := record.Open(path)
	if err != nil {
		return err
	}
	span, err := s.span(recording, from, to)
	if err != nil {
		return err
	}
	slice, err := recording.Cut(ctx, span, output)
	if err != nil {
		return err
	}
	zone := s.zone()
	_, err = fmt.Fprintf(std.out, "%s: %d polls from %s to %s, after %d polls of warm-up, %.1f kB\n", slice.Path, slice.Polls,
		stamp(slice.From, zone), stamp(slice.To, zone), slice.Warmup, float64(slice.Bytes)/1000)
	return errors.Join(err, complain(std, slice.Damage))
}

// zone is the zone of clock times.
func (s settings) zone() *time.Location {
	if zone := s.location(); zone != nil {
		return zone
	}
	return time.UTC
}

// span reads what part of a recording is asked for; "" is the beginning, or the end.
func (s settings) span(recording *record.Recording, from, to string) (span record.Span, err error) {
	if from == "" && to == "" {
		return span, nil
	}
	begin, end, err := recording.Bounds()
	if err != nil {
		return span, err
	}
	if from != "" {
		if span.From, err = moment(from, begin, end, s.zone()); err != nil {
			return span, err
		}
	}
	if to != "" {
		if span.To, err = moment(to, begin, end, s.zone()); err != nil {
			return span, err
		}
	}
	switch {
	case !span.To.IsZero() && span.To.Before(span.From):
		err = fmt.Errorf("%s is before %s: give the earlier time first", to, from)
	case span.From.After(end), !span.To.IsZero() && span.To.Before(begin):
		err = fmt.Errorf("the recording goes from %s to %s only", stamp(begin, s.zone()), stamp(end, s.zone()))
	}
	return span, err
}

// complain tells of what could not be read.
func complain(std streams, damage []record.Damage) error {
	for _, d := range damage {
		if _, err := fmt.Fprintf(std.err, "captop: %s\n", d); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

// about says what a recording is.
func about(recording *record.Recording, zone *time.Location) (string, record.Header, error) {
	header, err := recording.Header()
	if err != nil {
		return "", header, err
	}
	from, to, err := recording.Bounds()
	if err != nil {
		return "", header, err
	}
	if header.Begins.After(from) {
		from = header.Begins
	}
	return fmt.Sprintf("%s: %s to %s (%s), a poll every %s, by captop %s", recording.Name(), stamp(from, zone), stamp(to, zone),
		probes.Span(to.Sub(from)), header.Poll, header.Captop), header, nil
}
