package tui

import (
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// wordy is the width from which the header has room for what can be known without it.
const wordy = 100

// header says where this is and how fresh: severity, targets, stack, source, seat, age of the last poll, clock.
func (m model) header(c screen.Context) string {
	worst := c.Severity()
	if c.Past {
		return m.pastHeader(c, worst)
	}
	t := m.theme
	left := t.Badge(worst, worst.Word())
	if m.width >= wordy {
		left += " " + t.Title.Render("captop")
	}
	if c.Snapshot != nil && c.Snapshot.Source.Kind == probes.SourceRecording {
		left += " " + t.Badge(theme.Warning, "REPLAY "+cell.Clean(filepath.Base(c.Snapshot.Source.Name)))
	}
	left += m.fires(c) + m.source(c) + m.targets(c) + m.where()
	right := m.seat() + "  " + m.pollAge(c) + "  " + m.clock(m.now)
	if room := m.width - cell.Width(right) - 1; room > 0 {
		return cell.Left(left, room) + " " + right
	}
	return cell.Cut(left, m.width)
}

// fires is how many alerts fire and, where there is room, the worst of them. Rules come firing first.
func (m model) fires(c screen.Context) string {
	count, critical, worst := 0, false, ""
	if c.Snapshot == nil || c.Severity() == theme.Unknown {
		return ""
	}
	for _, rule := range c.Snapshot.Rules {
		for _, alert := range rule.Alerts {
			if alert.State != alerts.Firing {
				continue
			}
			count++
			if bad := probes.AlertSeverity(rule.Severity) == probes.Critical; worst == "" || bad && !critical {
				worst, critical = rule.Name, bad
			}
		}
	}
	switch {
	case count == 0:
		return ""
	case m.width < wordy:
		worst = ""
	default:
		worst = ": " + cell.Clean(worst)
	}
	level := theme.Warning
	if critical {
		level = theme.Critical
	}
	return " " + m.theme.State(level, fmt.Sprintf("%d firing%s", count, worst))
}

// targets is how many of them answer.
func (m model) targets(c screen.Context) string {
	if c.Snapshot == nil {
		return ""
	}
	up, all := 0, 0
	count := func(r probes.Reach) {
		all++
		if r.Contact == probes.Up && c.Fresh(r.At) == probes.Fresh {
			up++
		}
	}
	for _, s := range c.Snapshot.Services {
		count(s.Reach)
	}
	for _, n := range c.Snapshot.Nodes {
		if n.URL != "" { // others are not asked
			count(n.Reach)
		}
	}
	text := fmt.Sprintf(" %d/%d up", up, all)
	if up == all {
		return m.theme.Dim.Render(text)
	}
	return m.theme.At(theme.Warning).Render(text)
}

// source is where what is shown comes from, if not from captop's own scrapes, and whether that answers.
func (m model) source(c screen.Context) string {
	if c.Snapshot == nil || c.Snapshot.Source.Kind != probes.SourcePrometheus {
		return ""
	}
	source, name := c.Snapshot.Source, ""
	if parsed, err := url.Parse(source.Name); err == nil && m.width >= wordy {
		name = " " + cell.Clean(parsed.Host)
	}
	if source.Reach.Contact != probes.Up || c.Fresh(source.Reach.At) == probes.FreshnessUnknown {
		return " " + m.theme.State(theme.Critical, "prometheus"+name+" "+source.Reach.Contact.String())
	}
	return m.theme.Dim.Render(" prometheus" + name)
}

// where is the stack.
func (m model) where() string {
	if m.options.Stack == nil {
		return ""
	}
	return m.theme.Dim.Render(" · " + cell.Clean(m.options.Stack()))
}

func (m model) seat() string {
	warn := m.theme.At(theme.Warning).Bold(true)
	switch {
	case m.options.Playback != nil:
		return m.theme.At(theme.Warning).Render(m.pace)
	case !m.armed():
		return m.theme.Dim.Render("read-only")
	case m.options.Armed:
		return warn.Render("ARMED")
	}
	return warn.Render("ARMED " + cell.Clock(m.armedUntil.Sub(m.now)))
}

// pollAge is how old the newest snapshot is.
func (m model) pollAge(c screen.Context) string {
	if c.Snapshot == nil {
		return m.theme.At(theme.Unknown).Render("not polled yet")
	}
	age := max(m.now.Sub(c.Snapshot.At), 0).Truncate(time.Second)
	text := "poll " + cell.Age(age) + " ago"
	switch c.Fresh(c.Snapshot.At) {
	case probes.Fresh:
		return m.theme.Dim.Render(text)
	case probes.Late:
		return m.theme.State(theme.Warning, text)
	}
	return m.theme.State(theme.Unknown, text)
}

// clock is the time of day with its zone.
func (m model) clock(at time.Time) string {
	at = at.In(m.times.In())
	return m.theme.Bold.Render(at.Format("15:04:05")) + m.theme.Dim.Render(" "+at.Format("MST"))
}

// pastHeader is in reverse video from end to end, so that nobody takes an earlier time for now.
func (m model) pastHeader(c screen.Context, worst theme.Level) string {
	at := c.Snapshot.At.In(m.times.In())
	left := fmt.Sprintf(" ◀ PAST %s, %s ago · then %s %s", at.Format("15:04:05"), cell.Age(m.now.Sub(at)), worst.Shape(), worst.Word())
	if m.width >= wordy && m.options.Stack != nil {
		left += " · " + cell.Clean(m.options.Stack())
	}
	right := fmt.Sprintf("%s live · now %s ", m.keys.Live.Help().Key, m.now.In(m.times.In()).Format("15:04:05 MST"))
	room := max(m.width-cell.Width(right)-1, 0)
	return m.theme.At(theme.Warning).Bold(true).Reverse(true).Render(cell.Left(cell.Left(left, room)+" "+right, m.width))
}
