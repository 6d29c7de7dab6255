package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/probes"
	"captop/probes/alerts"
	"captop/probes/record"
	"captop/tui"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	flags    *flagSet
	rules    string
	from, to string
	speed    float64
	plain    bool
	json     bool
}

func newReplayCommand(std streams) *cobra.Command {
	var o replayOptions
	command := &cobra.Command{
		Use:   "replay [FILE|DIRECTORY]",
		Short: "show a recording again, or what other alerting rules would have paged",
		Long: "replay opens the dashboard on a recording; of a directory, on its newest one, and without an argument on captop's own.\n" +
			"Space pauses it; < and > change its speed; [ ] { } step through it as in the live dashboard.\n" +
			"With --plain, or where the output is no terminal, it prints what happened instead. With --rules it compares what\n" +
			"the recorded rules paged with what those of another file would have.\n\n" +
			"Times are such as 15:04, 15:04:05 (in UTC, or with --zone local), 2006-01-02T15:04:05Z, or -10m: before the end.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := o.flags.settings()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				return o.run(cmd.Context(), settings, args[0], std)
			}
			path := settings.recordings()
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("captop has recorded nothing here yet (%w); give a file or a directory", err)
			}
			return o.run(cmd.Context(), settings, path, std)
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.rules, "rules", "", "file of alerting rules: compare what they would have paged")
	flags.StringVar(&o.from, "from", "", "begin at this time")
	flags.StringVar(&o.to, "to", "", "end at this time")
	flags.Float64Var(&o.speed, "speed", 1, "how many times faster than it was, 0.1 to 1000")
	flags.BoolVar(&o.plain, "plain", false, "print events and changes of alerts instead of drawing a screen")
	flags.BoolVar(&o.json, "json", false, "print them, or the comparison, as JSON")
	o.flags = bindOnly(flags, "record_dir", "theme", "ascii", "mouse", "zone", "relative")
	return command
}

// The bounds of --speed.
const slowest, fastest = 0.1, 1000

func (o replayOptions) run(ctx context.Context, s settings, path string, std streams) error {
	if !(o.speed >= slowest && o.speed <= fastest) {
		return fmt.Errorf("--speed %v: give a number from %v to %v", o.speed, slowest, fastest)
	}
	recording, err := record.Open(path)
	if err != nil {
		return err
	}
	span, err := s.span(recording, o.from, o.to)
	if err != nil {
		return err
	}
	title, header, err := about(recording, s.zone())
	if err != nil {
		return err
	}
	switch {
	case o.rules != "" && header.Prometheus != "":
		return fmt.Errorf("the alerts of this recording are those of the Prometheus at %s: only where captop scraped itself can other rules be tried",
			header.Prometheus)
	case o.rules != "":
		return o.compare(ctx, s, recording, span, title, std)
	case o.json:
		return replayJSON(ctx, recording, span, title, std)
	case o.plain || !drawable(std):
		return replayPlain(ctx, s, recording, span, title, std)
	}
	screen, err := s.screen(std)
	if err != nil {
		return err
	}
	playback := newPlayback(recording, span, o.speed)
	screen.Snapshots, screen.Stack, screen.Now = playback.run(ctx), stackName(header.Targets), playback.now
	screen.History, screen.Playback = recording.History(nil).At, playback.controls()
	return errors.Join(tui.Run(ctx, screen), playback.problem())
}

// news tells what a Snapshot has that the one before had not.
type news struct {
	seq  uint64
	edge time.Time
	any  bool
}

// next gives what is new; of the first Snapshot nothing, for nobody knows what was new then.
func (n *news) next(snapshot *probes.Snapshot) (events []probes.Event, edges []alerts.Edge) {
	for _, e := range snapshot.Events {
		if n.any && e.Seq > n.seq {
			events = append(events, e)
		}
	}
	for _, e := range snapshot.Edges {
		if n.any && e.At.After(n.edge) {
			edges = append(edges, e)
		}
	}
	if last := len(snapshot.Events); last > 0 {
		n.seq = snapshot.Events[last-1].Seq
	}
	n.edge, n.any = snapshot.At, true
	return events, edges
}

// replayPlain prints a line for each event and each change of an alert.
func replayPlain(ctx context.Context, s settings, recording *record.Recording, span record.Span, title string, std streams) error {
	if _, err := fmt.Fprintln(std.out, title); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	var n news
	first := true
	damage, err := recording.Replay(ctx, span, nil, func(snapshot *probes.Snapshot) error {
		var b strings.Builder
		if first {
			first = false
			fmt.Fprintf(&b, "%s begins %s: %s\n", stamp(snapshot.At, s.zone()), snapshot.Severity, snapshot.Verdict.Sentence)
		}
		events, edges := n.next(snapshot)
		for _, e := range events {
			if e.Kind != "alert" { // the edges say that, with all labels
				fmt.Fprintf(&b, "%s %s %s: %s\n", stamp(e.At, s.zone()), e.Kind, e.Severity, e.Text)
			}
		}
		for _, e := range edges {
			fmt.Fprintf(&b, "%s alert %s%s %s, value %.4g\n", stamp(e.At, s.zone()), e.Rule, labelText(e.Labels), became(e), e.Value)
		}
		if _, err := io.WriteString(std.out, b.String()); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
		return nil
	})
	return errors.Join(err, complain(std, damage))
}

// became says what an edge leads to.
func became(e alerts.Edge) string {
	switch {
	case e.To == alerts.Firing:
		return "fires"
	case e.To == alerts.Pending:
		return "is pending"
	case e.From == alerts.Firing:
		return "is resolved"
	}
	return "is no longer pending"
}

// replayJSON prints the same as one JSON document.
func replayJSON(ctx context.Context, recording *record.Recording, span record.Span, title string, std streams) error {
	out := struct {
		Recording string          `json:"recording"`
		Events    []probes.Event  `json:"events"`
		Edges     []alerts.Edge   `json:"edges"`
		Damage    []record.Damage `json:"damage,omitempty"`
	}{Recording: title, Events: []probes.Event{}, Edges: []alerts.Edge{}}
	var n news
	damage, err := recording.Replay(ctx, span, nil, func(snapshot *probes.Snapshot) error {
		events, edges := n.next(snapshot)
		out.Events, out.Edges = append(out.Events, events...), append(out.Edges, edges...)
		return nil
	})
	if err != nil {
		return err
	}
	out.Damage = damage
	return printJSON(std.out, out)
}

func printJSON(to io.Writer, v any) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// labelText writes labels as PromQL does, without the alert's own name.
func labelText(labels map[string]string) string {
	var parts []string
	for name, value := range labels {
		if name != "alertname" && name != "severity" && name != "runbook" {
			parts = append(parts, fmt.Sprintf("%s=%q", name, value))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// rulesOf reads a file of rules.
func rulesOf(path string) (*record.Rules, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the rules: %w", err)
	}
	if _, err := alerts.Parse(path, text); err != nil {
		return nil, err
	}
	return &record.Rules{File: path, Text: string(text)}, nil
}
