package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/deploy/journal"
	"captop/probes"
	"captop/probes/alerts"
	"captop/probes/record"
)

func newHandoverCommand(std streams) *cobra.Command {
	var since time.Duration
	command := &cobra.Command{
		Use:   "handover",
		Short: "write what happened lately as Markdown, for who takes over",
		Long: "handover puts together what this host has recorded and what was done: how things stand, every act with what was before\n" +
			"and after it, and one timeline of verdicts, alerts and acts. It reads files only: no stack is asked.",
		Example: "  captop handover --since 2h > handover.md",
		Args:    cobra.NoArgs,
	}
	command.Flags().DurationVar(&since, "since", 2*time.Hour, "how far back, such as 2h")
	flags := bindOnly(command.Flags(), "record_dir", "zone")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		if since <= 0 {
			return fmt.Errorf("--since %s: give a time such as 2h", since)
		}
		settings, err := flags.settings()
		if err != nil {
			return err
		}
		file, err := journalFile()
		if err != nil {
			return err
		}
		h := handover{to: time.Now(), zone: settings.zone()}
		h.from = h.to.Add(-since)
		if h.acts, err = file.Read(h.from); err != nil {
			return err
		}
		if err := h.read(cmd.Context(), settings.recordings()); err != nil {
			return err
		}
		_, err = fmt.Fprint(std.out, h.markdown())
		return err
	}
	return command
}

// handover is what happened between two times.
type handover struct {
	from, to time.Time
	zone     *time.Location
	acts     []journal.Record
	moments  []moments        // of the timeline
	last     *probes.Snapshot // the newest one recorded; nil where nothing is
	seen     []record.Span    // the times that are recorded, the newest first
	damage   int              // places that could not be read
}

// moments is one row of the timeline.
type moments struct {
	at         time.Time
	kind, text string
}

// read takes in what was recorded. Where several captops ran at once, the one that was written last counts.
func (h *handover) read(ctx context.Context, dir string) error {
	if dir == "" {
		return nil
	}
	runs, err := record.Runs(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	until := h.to
	for _, run := range slices.Backward(runs) {
		recording, err := record.OpenRun(dir, run)
		if errors.Is(err, record.ErrEmpty) {
			continue
		}
		if err != nil {
			return err
		}
		from, to, err := recording.Bounds()
		if err != nil || to.Before(h.from) || !from.Before(until) {
			continue // one without a poll, or of another time
		}
		span := record.Span{From: later(from, h.from), To: earlier(to, until)}
		if err := h.replay(ctx, recording, span); err != nil {
			return err
		}
		h.seen, until = append(h.seen, span), from
	}
	slices.SortStableFunc(h.moments, func(a, b moments) int { return a.at.Compare(b.at) })
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// replay notes each verdict that is another than the one before, each alert that fired or was resolved, and restarts.
func (h *handover) replay(ctx context.Context, recording *record.Recording, span record.Span) error {
	var n news
	verdict := ""
	damage, err := recording.Replay(ctx, span, nil, func(s *probes.Snapshot) error {
		// Whose sentence names an age changes each second: what counts is the situation.
		if is := s.Verdict.Situation + s.Severity.String(); is != verdict && s.Verdict.Sentence != "" {
			verdict = is
			h.moments = append(h.moments, moments{s.At, "verdict", "**" + s.Severity.String() + "**: " + s.Verdict.Sentence})
		}
		events, edges := n.next(s)
		for _, e := range edges {
			if e.To == alerts.Firing || e.From == alerts.Firing {
				h.moments = append(h.moments, moments{e.At, "alert", fmt.Sprintf("%s%s %s, value %.4g", e.Rule, labelText(e.Labels), became(e), e.Value)})
			}
		}
		for _, e := range events {
			if e.Kind == "restart" {
				h.moments = append(h.moments, moments{e.At, e.Kind, e.Text})
			}
		}
		if h.last == nil || s.At.After(h.last.At) {
			h.last = s
		}
		return nil
	})
	h.damage += len(damage)
	return err
}

func (h *handover) clock(at time.Time) string { return at.In(h.zone).Format("01-02 15:04:05") }

func (h *handover) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Handover: %s to %s\n\nWritten by %s with captop %s.\n", stamp(h.from, h.zone), stamp(h.to, h.zone), whoami(), version())
	h.writeNow(&b)
	h.writeActs(&b)
	h.writeTimeline(&b)
	return b.String()
}

// writeNow is how things stood when something was recorded last.
func (h *handover) writeNow(b *strings.Builder) {
	b.WriteString("\n## How things stand\n\n")
	if h.last == nil {
		b.WriteString("Nothing was recorded in this time: no captop was watching, or it recorded elsewhere (`--record-dir`).\n")
		return
	}
	s := h.last
	fmt.Fprintf(b, "At %s, when captop last looked: **%s**: %s\n", stamp(s.At, h.zone), s.Severity, inline(s.Verdict.Sentence))
	if s.Verdict.NextStep != "" {
		fmt.Fprintf(b, "\nNext step: %s\n", inline(s.Verdict.NextStep))
	}
	for _, rule := range s.Rules {
		for _, alert := range rule.Alerts {
			if alert.State == alerts.Firing {
				fmt.Fprintf(b, "\n- %s%s fires since %s\n", rule.Name, inline(labelText(alert.Labels)), stamp(alert.FiredAt, h.zone))
			}
		}
	}
	for _, ack := range s.Acks {
		fmt.Fprintf(b, "\n- %s looks after %s until %s: %s\n", inline(ack.By), inline(ack.Labels["alertname"]), stamp(ack.Until, h.zone), inline(ack.Reason))
	}
}

func (h *handover) writeActs(b *strings.Builder) {
	b.WriteString("\n## What was done\n")
	if len(h.acts) == 0 {
		b.WriteString("\nNothing, through captop.\n")
	}
	for _, r := range h.acts {
		outcome := string(r.Outcome)
		if r.Open() {
			outcome = "NO END: it goes on, or captop was gone in the middle"
		}
		fmt.Fprintf(b, "\n### %s %s: %s\n\n", h.clock(r.Began), inline(r.What), outcome)
		fmt.Fprintf(b, "- by %s (%s), on %s\n", inline(r.Who), inline(r.Seat), inline(r.Stack))
		for line := range strings.Lines(r.Command) {
			fmt.Fprintf(b, "- `%s`\n", strings.TrimSpace(line))
		}
		for _, part := range []struct{ name, text string }{{"before", r.Before}, {"error", r.Error}, {"proof", r.Proof}, {"after", r.After}} {
			if part.text != "" {
				fmt.Fprintf(b, "- %s: %s\n", part.name, inline(part.text))
			}
		}
		if r.By != "" {
			fmt.Fprintf(b, "- found without an end, and looked after, by %s\n", inline(r.By))
		}
	}
}

func (h *handover) writeTimeline(b *strings.Builder) {
	b.WriteString("\n## Timeline\n\n")
	rows := slices.Clone(h.moments)
	for _, r := range h.acts {
		rows = append(rows, moments{r.Began, "act", r.What + " begun by " + r.Who})
		if !r.Open() {
			rows = append(rows, moments{r.Ended, "act", r.What + ": " + string(r.Outcome)})
		}
	}
	slices.SortStableFunc(rows, func(a, b moments) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.kind, b.kind)) })
	if len(rows) == 0 {
		b.WriteString("Nothing.\n")
	} else {
		fmt.Fprintf(b, "| time (%s) | what | |\n| --- | --- | --- |\n", h.to.In(h.zone).Format("MST"))
	}
	for _, row := range rows {
		fmt.Fprintf(b, "| %s | %s | %s |\n", h.clock(row.at), row.kind, inline(row.text))
	}
	for i := len(h.seen) - 1; i >= 0; i-- {
		fmt.Fprintf(b, "\nRecorded: %s to %s.", h.clock(h.seen[i].From), h.clock(h.seen[i].To))
	}
	if h.damage > 0 {
		fmt.Fprintf(b, "\n%d places of the recording could not be read.", h.damage)
	}
	b.WriteString("\n")
}

// inline is text that stays in its place in a table or a list: on one line, with nothing that Markdown takes for its own.
func inline(text string) string {
	text = strings.Join(strings.Split(strings.TrimSpace(text), "\n"), "; ")
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "`", "'", "\r", "").Replace(text)
}
