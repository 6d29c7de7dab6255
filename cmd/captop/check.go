package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"captop/probes"
)

// newCheckCommand is for Nagios, Icinga and what else runs plugins of theirs.
func newCheckCommand(std streams) *cobra.Command {
	command := &cobra.Command{
		Use:   "check",
		Short: "look once, as a Nagios plugin: one line with performance data, exit code 0, 1, 2 or 3",
		Long: "check looks twice, one interval apart, and prints one line: the state, what is wrong, and performance data with units\n" +
			"and the limits of the alerting rules. It ends with 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; also where it was called wrongly.\n" +
			"It tells what is so now: how often to look until somebody is told is for the caller to say (max_check_attempts).",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown(std.out, fmt.Errorf("check takes no arguments, and was given %q", args))
			}
			return nil
		},
	}
	flags := bind(command.Flags(), screenSettings...)
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return unknown(std.out, err) })
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		engine, err := openEngine(cmd.Context(), flags)
		if err != nil {
			return unknown(std.out, err)
		}
		snap, err := engine.Once(cmd.Context())
		_ = engine.Close() // what was to be seen was seen
		if err != nil {
			return unknown(std.out, err)
		}
		if err := printLine(std.out, checkLine(snap)); err != nil {
			return err
		}
		if code := snap.Severity.ExitCode(); code != 0 {
			return exitError(code)
		}
		return nil
	}
	return command
}

// unknown says as a plugin does that nothing could be checked.
func unknown(out io.Writer, why error) error {
	if err := printLine(out, "UNKNOWN - "+pluginText(why.Error())); err != nil {
		return err
	}
	return exitError(probes.Unknown.ExitCode())
}

// pluginText keeps a text on one line, and out of the performance data.
func pluginText(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ", "\r", " ").Replace(strings.TrimSpace(text))
}

// checkLine is a snapshot as a plugin's line: STATE - text|performance data.
func checkLine(s *probes.Snapshot) string {
	text := s.Verdict.Sentence
	if s.Severity != probes.OK && s.Verdict.NextStep != "" {
		text += " Next: " + s.Verdict.NextStep
	}
	data := perfdata{snap: s}
	for _, g := range s.Groups {
		data.group(g)
	}
	for _, n := range s.Nodes {
		data.node(n)
	}
	return fmt.Sprintf("%s - %s|%s", strings.ToUpper(s.Severity.String()), pluginText(text), strings.Join(data.parts, " "))
}

// perfdata is performance data as the Monitoring Plugins' guidelines have it: label=value[unit];warn;crit;min;max. What is
// not known is U, with the same label.
type perfdata struct {
	snap  *probes.Snapshot
	parts []string
}

func (p *perfdata) group(g probes.Group) {
	mode := "_" + string(g.Mode)
	answering := 0
	for _, svc := range p.snap.Services {
		if svc.Mode == g.Mode && svc.Reach.Contact == probes.Up {
			answering++
		}
	}
	p.add("up"+mode, true, float64(answering), "", bounds{crit: "1:", low: "0", high: strconv.Itoa(len(g.Instances))})
	p.add("rate"+mode, p.fresh(g.Rate.At, g.Rate.Known), g.Rate.Value, "", bounds{low: "0"})
	p.add("errors"+mode, p.fresh(g.ErrorRatio.At, g.ErrorRatio.Known), 100*g.ErrorRatio.Value, "%", p.limit("ErrorRatioHigh", 100, "0", "100"))
	p.add("p99"+mode, p.fresh(g.Latency.At, g.Latency.Known), milliseconds(g.Latency.Value.P99), "ms", p.limit("LatencyHigh", 1000, "0", ""))
}

func (p *perfdata) node(n probes.Node) {
	name := strings.TrimPrefix(n.Name, "db")
	staleness := bounds{low: "0"}
	if p.fresh(n.Staleness.At, n.Staleness.Known) {
		staleness.warn = decimal(milliseconds(n.Staleness.Value.Limit))
	}
	p.add("staleness"+name, p.fresh(n.Staleness.At, n.Staleness.Known), milliseconds(n.Staleness.Value.Value), "ms", staleness)
	p.add("queue"+name, p.fresh(n.QueueDepth.At, n.QueueDepth.Known), float64(n.QueueDepth.Value), "", bounds{low: "0"})
	p.add("rtt"+name, p.fresh(n.RTT.At, n.RTT.Known), milliseconds(n.RTT.Value), "ms", bounds{low: "0"})
	memory := bounds{low: "0"}
	if n.Info.Value.MaxMemory > 0 {
		memory.high = strconv.FormatInt(n.Info.Value.MaxMemory, 10)
	}
	known := p.fresh(n.Info.At, n.Info.Known)
	p.add("memory"+name, known, float64(n.Info.Value.UsedMemory), "B", memory)
	p.add("clients"+name, known, float64(n.Info.Value.Clients), "", bounds{low: "0"})
	p.add("keys"+name, known, float64(n.Info.Value.Keys), "", bounds{low: "0"})
}

// bounds are a value's ranges of warning and critical, and its least and largest; "" where there is none.
type bounds struct{ warn, crit, low, high string }

// limit gives the limit of an alerting rule, times scale, in the place of its severity; none where it is not known.
func (p *perfdata) limit(rule string, scale float64, low, high string) bounds {
	b := bounds{low: low, high: high}
	for _, r := range p.snap.Rules {
		if r.Name != rule || len(r.Measures) == 0 {
			continue
		}
		limit := decimal(scale * r.Measures[0].Limit)
		if probes.AlertSeverity(r.Severity) == probes.Critical {
			b.crit = limit
		} else {
			b.warn = limit
		}
	}
	return b
}

func (p *perfdata) add(label string, known bool, value float64, unit string, b bounds) {
	shown := "U"
	if known {
		shown = decimal(value) + unit
	}
	fields := strings.Join([]string{label + "=" + shown, b.warn, b.crit, b.low, b.high}, ";")
	p.parts = append(p.parts, strings.TrimRight(fields, ";"))
}

func (p *perfdata) fresh(at time.Time, known bool) bool {
	return probes.Reading[bool]{At: at, Known: known}.Freshness(p.snap.At, p.snap.Poll) != probes.FreshnessUnknown
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// decimal writes a number with three decimals at most, and never with an exponent.
func decimal(value float64) string {
	text := strconv.FormatFloat(value, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
