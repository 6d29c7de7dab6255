package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/deploy/journal"
)

func newJournalCommand(std streams) *cobra.Command {
	var since time.Duration
	var asJSON bool
	command := &cobra.Command{
		Use:   "journal",
		Short: "list what was done through captop on this host",
		Args:  cobra.NoArgs,
	}
	command.Flags().DurationVar(&since, "since", 0, "only what had not ended before, such as 2h")
	command.Flags().BoolVar(&asJSON, "json", false, "print all that is known of each act, one a line")
	flags := bindOnly(command.Flags(), "zone")
	command.RunE = func(*cobra.Command, []string) error {
		settings, err := flags.settings()
		if err != nil {
			return err
		}
		file, err := journalFile()
		if err != nil {
			return err
		}
		from := time.Time{}
		if since > 0 {
			from = time.Now().Add(-since)
		}
		acts, err := file.Read(from)
		if err != nil {
			return err
		}
		if asJSON {
			encoder := json.NewEncoder(std.out)
			for _, r := range acts {
				if err := encoder.Encode(r); err != nil {
					return fmt.Errorf("printing: %w", err)
				}
			}
			return nil
		}
		if len(acts) == 0 {
			_, err = fmt.Fprintf(std.out, "nothing was done, says %s\n", file.Path)
			return err
		}
		for _, r := range acts {
			if _, err := fmt.Fprint(std.out, journalEntry(r, settings.zone())); err != nil {
				return fmt.Errorf("printing: %w", err)
			}
		}
		return nil
	}
	return command
}

// journalEntry is an act in a few lines.
func journalEntry(r journal.Record, zone *time.Location) string {
	var b strings.Builder
	outcome := "no end yet"
	if !r.Open() {
		outcome = fmt.Sprintf("%s after %s", r.Outcome, r.Ended.Sub(r.Began).Round(10*time.Millisecond))
	}
	fmt.Fprintf(&b, "%s  %s: %s  by %s, %s\n", stamp(r.Began, zone), r.What, outcome, r.Who, r.Seat)
	for _, text := range []string{r.Error, r.Proof} {
		for line := range strings.Lines(text) {
			fmt.Fprintf(&b, "    %s\n", strings.TrimSpace(line))
		}
	}
	return b.String()
}
