package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"captop/probes"
)

// heartbeat is how often --plain says something when nothing changes, so that silence means that captop is gone.
const heartbeat = time.Minute

// plain prints a block when the verdict's situation changes and every heartbeat, and a line for each event.
// Nothing is drawn, moved or coloured: it reads well aloud and in a log. It ends when the channel closes.
func plain(snapshots <-chan *probes.Snapshot, out io.Writer) error {
	var situation string
	var severity probes.Severity
	var said time.Time
	var seq uint64
	for snap := range snapshots {
		text := ""
		for _, e := range snap.Events {
			if e.Seq > seq && e.Kind != "severity" { // the block says that
				text += fmt.Sprintf("%s event %s: %s\n", clock(e.At), e.Severity, e.Text)
			}
		}
		if n := len(snap.Events); n > 0 {
			seq = snap.Events[n-1].Seq
		}
		v := snap.Verdict
		if v.Situation != situation || v.Severity != severity || snap.At.Sub(said) >= heartbeat {
			situation, severity, said = v.Situation, v.Severity, snap.At
			text += report(snap)
		}
		if _, err := io.WriteString(out, text); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	return nil
}

func clock(t time.Time) string { return t.Format("15:04:05") }

// report is a snapshot in lines of text.
func report(s *probes.Snapshot) string {
	var b strings.Builder
	v := s.Verdict
	fmt.Fprintf(&b, "%s %s: %s", clock(s.At), strings.ToUpper(v.Severity.String()), v.Sentence)
	if !v.Since.IsZero() {
		fmt.Fprintf(&b, " Since %s (%s).", clock(v.Since.In(s.At.Location())), probes.Span(s.At.Sub(v.Since)))
	}
	if v.ByDesign {
		b.WriteString(" The services behave as designed.")
	}
	b.WriteString("\n")
	for _, also := range v.Also {
		fmt.Fprintf(&b, "  also: %s\n", also)
	}
	if v.NextStep != "" {
		fmt.Fprintf(&b, "  next: %s\n", v.NextStep)
	}
	for _, svc := range s.Services {
		b.WriteString("  " + serviceLine(s, svc) + "\n")
	}
	for _, n := range s.Nodes {
		b.WriteString("  " + nodeLine(s, n) + "\n")
	}
	return b.String()
}

func serviceLine(s *probes.Snapshot, svc probes.Service) string {
	if svc.Reach.Contact != probes.Up {
		return svc.Name + ": " + away(svc.Reach)
	}
	parts := []string{
		svc.Status,
		"requests " + shown(s, svc.Rate, func(v float64) string { return fmt.Sprintf("%.1f/s", v) }),
		"errors " + shown(s, svc.ErrorRatio, func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }),
		"p50 p95 p99 " + shown(s, svc.Latency, func(l probes.Latency) string {
			return fmt.Sprintf("%s %s %s", fine(l.P50), fine(l.P95), fine(l.P99))
		}),
	}
	for _, link := range svc.Links {
		state := "breaker unknown"
		if link.Breaker.Freshness(s.At, s.Poll) != probes.FreshnessUnknown {
			state = fmt.Sprintf("breaker %s for %s", link.Breaker.Value.State, probes.Span(s.At.Sub(link.Breaker.Value.Since)))
		}
		failures := shown(s, link.FailureRate, func(v float64) string { return fmt.Sprintf("%.1f/s", v) })
		parts = append(parts, fmt.Sprintf("%s %s, failures %s", link.Node, state, failures))
	}
	return svc.Name + ": " + strings.Join(parts, "; ")
}

func nodeLine(s *probes.Snapshot, n probes.Node) string {
	var parts []string
	if n.Reach.Contact == probes.Up {
		parts = append(parts, "up", shown(s, n.Info, func(i probes.Info) string {
			return fmt.Sprintf("%s, %.0f ops/s, memory %s, %d clients, %d keys, up %s", i.Role, i.OpsPerSecond, memory(i),
				i.Clients, i.Keys, probes.Span(i.Uptime))
		}))
	} else {
		parts = append(parts, away(n.Reach))
	}
	parts = append(parts, "staleness "+shown(s, n.Staleness, func(v probes.Staleness) string {
		return fmt.Sprintf("%s of %s", probes.Span(v.Value), probes.Span(v.Limit))
	}), "queue "+shown(s, n.QueueDepth, func(v int64) string { return fmt.Sprint(v) }))
	if r := n.Rejoin.Value; n.Rejoin.Known && r.Active {
		parts = append(parts, fmt.Sprintf("rejoin %d of %d keys", r.Done, r.Total))
	}
	return n.Name + ": " + strings.Join(parts, "; ")
}

// away says what became of asking, and why where that is known.
func away(reach probes.Reach) string {
	if reach.Error == "" {
		return reach.Contact.String()
	}
	return reach.Contact.String() + ", " + reach.Error
}

// shown writes a reading with its age where it is not fresh.
func shown[T any](s *probes.Snapshot, r probes.Reading[T], format func(T) string) string {
	switch r.Freshness(s.At, s.Poll) {
	case probes.Fresh:
		return format(r.Value)
	case probes.Late:
		return fmt.Sprintf("%s (%s ago)", format(r.Value), probes.Span(r.Age(s.At)))
	}
	return "unknown"
}

func memory(i probes.Info) string {
	const mebibyte = 1 << 20
	if i.MaxMemory == 0 {
		return fmt.Sprintf("%.1f MiB without limit", float64(i.UsedMemory)/mebibyte)
	}
	return fmt.Sprintf("%.1f of %.1f MiB", float64(i.UsedMemory)/mebibyte, float64(i.MaxMemory)/mebibyte)
}

// fine writes a latency, which may be below a millisecond.
func fine(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
	return probes.Span(d)
}
