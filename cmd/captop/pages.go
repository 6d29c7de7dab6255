package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/probes/record"
)

// page is one time that an alert fired.
type page struct {
	FiredAt    time.Time `json:"fired_at"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"` // zero: it fires at the end of the recording
	Lasted     float64   `json:"lasted_seconds"`       // up to the end where it is not resolved
	end        time.Time
}

// paged is an alert under the recorded rules beside the same under the others. One of the two may be absent.
type paged struct {
	Alert  string            `json:"alert"`
	Labels map[string]string `json:"labels"`
	Old    *page             `json:"old"`
	New    *page             `json:"new"`
}

// comparison is the answer to what other rules would have paged.
type comparison struct {
	Recording string          `json:"recording"`
	Rules     string          `json:"rules"`
	Old       int             `json:"old_pages"`
	New       int             `json:"new_pages"`
	Alerts    []paged         `json:"alerts"`
	Damage    []record.Damage `json:"damage,omitempty"`
}

// compare replays a recording under its own rules and under others.
func (o replayOptions) compare(ctx context.Context, s settings, recording *record.Recording, span record.Span, title string, std streams) error {
	rules, err := rulesOf(o.rules)
	if err != nil {
		return err
	}
	old, damage, err := pages(ctx, recording, span, nil)
	if err != nil {
		return err
	}
	other, _, err := pages(ctx, recording, span, rules)
	if err != nil {
		return err
	}
	c := comparison{Recording: title, Rules: o.rules, Old: count(old), New: count(other), Alerts: pair(old, other), Damage: damage}
	if o.json {
		return printJSON(std.out, c)
	}
	return errors.Join(c.print(std.out, s.zone()), complain(std, damage))
}

// series is all pages of one alert with the same labels.
type series struct {
	rule   string
	labels map[string]string
	pages  []page
}

// pages gives what fired within a part of a recording, by alert and labels. What fires when the part begins counts
// from when it began to, where the warm-up reaches back to that.
func pages(ctx context.Context, recording *record.Recording, span record.Span, rules *record.Rules) (map[string]*series, []record.Damage, error) {
	all := map[string]*series{}
	get := func(rule string, labels map[string]string) *series {
		key := rule + labelText(labels)
		if all[key] == nil {
			all[key] = &series{rule: rule, labels: labels}
		}
		return all[key]
	}
	var n news
	var last time.Time
	damage, err := recording.Replay(ctx, span, rules, func(snapshot *probes.Snapshot) error {
		if !n.any {
			for _, rule := range snapshot.Rules {
				for _, alert := range rule.Alerts {
					if alert.State == alerts.Firing {
						s := get(rule.Name, alert.Labels)
						s.pages = append(s.pages, page{FiredAt: alert.FiredAt})
					}
				}
			}
		}
		_, edges := n.next(snapshot)
		for _, edge := range edges {
			s := get(edge.Rule, edge.Labels)
			switch {
			case edge.To == alerts.Firing:
				s.pages = append(s.pages, page{FiredAt: edge.At})
			case edge.From == alerts.Firing && len(s.pages) > 0:
				s.pages[len(s.pages)-1].ResolvedAt = edge.At
			}
		}
		last = snapshot.At
		return nil
	})
	for _, s := range all {
		for i := range s.pages {
			s.pages[i].close(last)
		}
	}
	return all, damage, err
}

func (p *page) close(last time.Time) {
	if p.end = p.ResolvedAt; p.end.IsZero() {
		p.end = last
	}
	p.Lasted = p.end.Sub(p.FiredAt).Seconds()
}

func count(all map[string]*series) (n int) {
	for _, s := range all {
		n += len(s.pages)
	}
	return n
}

// pair puts pages that overlap beside each other, in the order of time.
func pair(old, other map[string]*series) []paged {
	rows := []paged{}
	keys := maps.Clone(old)
	maps.Copy(keys, other)
	for key, s := range keys {
		var left, right []page
		if old[key] != nil {
			left = old[key].pages
		}
		if other[key] != nil {
			right = other[key].pages
		}
		for len(left)+len(right) > 0 {
			row := paged{Alert: s.rule, Labels: s.labels}
			both := len(left) > 0 && len(right) > 0
			if len(right) == 0 || both && !right[0].end.Before(left[0].FiredAt) {
				row.Old = &left[0]
			}
			if len(left) == 0 || both && !left[0].end.Before(right[0].FiredAt) {
				row.New = &right[0]
			}
			if row.Old != nil {
				left = left[1:]
			}
			if row.New != nil {
				right = right[1:]
			}
			rows = append(rows, row)
		}
	}
	slices.SortFunc(rows, func(a, b paged) int {
		if c := a.first().Compare(b.first()); c != 0 {
			return c
		}
		return strings.Compare(a.Alert+labelText(a.Labels), b.Alert+labelText(b.Labels))
	})
	return rows
}

// first is when either fired.
func (p paged) first() time.Time {
	if p.Old == nil || p.New != nil && p.New.FiredAt.Before(p.Old.FiredAt) {
		return p.New.FiredAt
	}
	return p.Old.FiredAt
}

// print writes the comparison as a table.
func (c comparison) print(out io.Writer, zone *time.Location) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s\nThe recorded rules paged %s; those of %s would have paged %s.\n", c.Recording, times(c.Old), c.Rules, times(c.New))
	if len(c.Alerts) > 0 {
		fmt.Fprintln(table, "\nALERT\tOLD: FIRED\tRESOLVED\tLASTED\tNEW: FIRED\tRESOLVED\tLASTED\tLABELS")
	}
	for _, row := range c.Alerts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", row.Alert, row.Old.cells(zone), row.New.cells(zone), labelText(row.Labels))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// cells are three columns.
func (p *page) cells(zone *time.Location) string {
	if p == nil {
		return "–\t–\t–"
	}
	resolved := "still fires"
	if !p.ResolvedAt.IsZero() {
		resolved = p.ResolvedAt.In(zone).Format("15:04:05")
	}
	return p.FiredAt.In(zone).Format("01-02 15:04:05") + "\t" + resolved + "\t" + probes.Span(p.end.Sub(p.FiredAt))
}
