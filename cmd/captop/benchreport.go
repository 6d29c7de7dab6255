package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"captop/probes/bench"
)

// millis writes a number of milliseconds with three digits.
func millis(ms float64) string {
	switch {
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 10:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

func (o benchOptions) print(out io.Writer, r bench.Result) error {
	if o.json {
		return printJSON(out, r)
	}
	if _, err := io.WriteString(out, o.planText()+"\n"+resultText(r)); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// planText says what was sent.
func (o benchOptions) planText() string {
	p := o.plan
	loop := "closed loop"
	if p.Rate > 0 {
		loop = fmt.Sprintf("open loop at %.0f requests/s", p.Rate)
	}
	return fmt.Sprintf("%d connections, %s, %.0f %% reads,\n%d keys (%s), values of %d bytes",
		p.Connections, loop, 100*p.Reads, p.Keys, o.keys, p.ValueBytes)
}

// resultText is a run for people to read.
func resultText(r bench.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%.0f requests/s answered well over %.1f s; %d answered, %d failed\n", r.Target, r.Rate, r.Seconds, r.Answered, r.Failed)
	if r.Unsent > 0 {
		fmt.Fprintf(&b, "%d more were due and found no connection free: the target (or this client)\ncannot keep up with that rate; they count with how long they had waited at the end\n", r.Unsent)
	}
	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcount\tp50\tp95\tp99\tp99.9\tmax\t")
	for _, row := range []struct {
		name string
		bench.Latency
	}{{"all", r.All}, {"reads", r.Reads}, {"writes", r.Writes}, {"failed", r.FailedTimes}} {
		if row.Count > 0 {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t\n", row.name, row.Count, millis(row.P50), millis(row.P95), millis(row.P99),
				millis(row.P999), millis(row.Max))
		}
	}
	_ = w.Flush() // into memory
	b.WriteString(shapeText(r.Shape))
	if len(r.Failures) > 0 {
		b.WriteString("\nfailed:\n")
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "%10d  %s\n", f.Count, failureName(f))
		}
	}
	if r.Loop == "closed" {
		b.WriteString("\nLatency counts from sending (closed loop): a stall delays one request for each\nconnection. --rate N shows what users meet.\n")
	} else {
		b.WriteString("\nLatency counts from when each request was due (open loop): coordinated omission\nis corrected.\n")
	}
	return b.String()
}

func failureName(f bench.FailedCount) string {
	name := fmt.Sprintf("%s %s", f.Operation, f.Code)
	if f.Outcome != "" {
		name += ", " + string(f.Outcome)
	}
	return name
}

func failureText(failures []bench.FailedCount) string {
	var parts []string
	for _, f := range failures {
		parts = append(parts, fmt.Sprintf("%d %s", f.Count, failureName(f)))
	}
	return strings.Join(parts, "; ")
}

// shapeText draws how latencies are distributed. A bar that is there has a mark, however small its share.
func shapeText(bars []bench.Bar) string {
	const width = 44
	var most, all int64
	for _, bar := range bars {
		most, all = max(most, bar.Count), all+bar.Count
	}
	if most == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	for _, bar := range bars {
		length := int(bar.Count * width / most)
		if bar.Count > 0 {
			length = max(length, 1)
		}
		fmt.Fprintf(&b, "  up to %8s  %6.2f %%  %s\n", upTo(bar.UpTo), 100*float64(bar.Count)/float64(all), strings.Repeat("#", length))
	}
	return b.String()
}

// upTo writes the round numbers at which bars end.
func upTo(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%g s", ms/1000)
	}
	return fmt.Sprintf("%g ms", ms)
}

// sideBySide is what --compare prints as JSON.
type sideBySide struct {
	A      []bench.Result          `json:"a"`
	B      []bench.Result          `json:"b"`
	Ratios map[string]bench.Spread `json:"ratios"` // of B to A, round by round
}

// ratioRows are the figures that are compared.
var ratioRows = []struct {
	name, key string
	figure    func(bench.Result) float64
	write     func(float64) string
}{
	{"requests/s", "requests_per_second", func(r bench.Result) float64 { return r.Rate }, func(v float64) string { return fmt.Sprintf("%.0f", v) }},
	{"p50", "p50", func(r bench.Result) float64 { return r.All.P50 }, millis},
	{"p95", "p95", func(r bench.Result) float64 { return r.All.P95 }, millis},
	{"p99", "p99", func(r bench.Result) float64 { return r.All.P99 }, millis},
	{"p99.9", "p99_9", func(r bench.Result) float64 { return r.All.P999 }, millis},
	{"max", "max", func(r bench.Result) float64 { return r.All.Max }, millis},
}

func (o benchOptions) printComparison(out io.Writer, a, b []bench.Result) error {
	if o.json {
		c := sideBySide{A: a, B: b, Ratios: map[string]bench.Spread{}}
		for _, row := range ratioRows {
			c.Ratios[row.key] = bench.Ratio(b, a, row.figure)
		}
		return printJSON(out, c)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s\nA: %s\nB: %s\n%d rounds A B, %.1f s each: medians; of the ratios also the least and the largest\n\n",
		o.planText(), a[0].Target, b[0].Target, len(a), bench.SpreadOf(bench.Figures(a, func(r bench.Result) float64 { return r.Seconds })).Median)
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tA\tB\tB/A\tleast\tlargest\t")
	for _, row := range ratioRows {
		ratio := bench.Ratio(b, a, row.figure)
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\t%.2f\t%.2f\t\n", row.name, row.write(bench.SpreadOf(bench.Figures(a, row.figure)).Median),
			row.write(bench.SpreadOf(bench.Figures(b, row.figure)).Median), ratio.Median, ratio.Min, ratio.Max)
	}
	_ = w.Flush() // into memory
	for _, side := range [][]bench.Result{a, b} {
		for round, r := range side {
			if r.Failed > 0 {
				fmt.Fprintf(&text, "\n%s, round %d: %s", r.Target, round+1, failureText(r.Failures))
			}
		}
	}
	if _, err := fmt.Fprintln(out, text.String()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
