package overview

import (
	"fmt"
	"net/url"
	"time"

	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/theme"
)

// labelWidth is the column of names in the cards.
const labelWidth = 9

// section is a rule with a title at its left and a note at its right.
func (p painter) section(title, note string, width int) string {
	rest := width - cell.Width(title) - cell.Width(note) - 2
	if note == "" {
		rest++
	}
	if rest < 1 {
		return cell.Left(title, width)
	}
	line := title + " " + p.t.Rule.Render(cell.Run("─", rest))
	if note != "" {
		line += " " + note
	}
	return line
}

// field is a named line of a card.
func (p painter) field(name, text string) string {
	return p.t.Dim.Render(cell.Left(name, labelWidth)) + text
}

// serviceCards are the two services side by side, for narrow screens.
func (p painter) serviceCards(widths []int) []string {
	return cell.Beside("  ", widths, p.serviceCard(service.ModeCP, widths[0], false), p.serviceCard(service.ModeAP, widths[1], false))
}

// matrixWidth is the room of both nodes beside the services: labels and two columns of figures.
const matrixWidth = 40

// cards are the services with the nodes beside them: in one matrix, or as cards of their own where there is room.
func (p painter) cards() []string {
	if p.Width < 4*44 {
		widths := append(cell.Split(p.Width-matrixWidth-2, 2, 2), matrixWidth)
		lines := cell.Beside("  ", widths, p.serviceCard(service.ModeCP, widths[0], true),
			p.serviceCard(service.ModeAP, widths[1], true), p.nodeMatrix(matrixWidth))
		return append(lines, p.nodeTroubles()...)
	}
	widths := cell.Split(p.Width, 4, 3)
	blocks := [][]string{p.serviceCard(service.ModeCP, widths[0], true), p.serviceCard(service.ModeAP, widths[1], true)}
	for i, name := range []string{service.G1, service.G2} {
		blocks = append(blocks, p.nodeCard(p.node(name), widths[2+i]))
	}
	return append(cell.Beside("   ", widths, blocks...), "")
}

// serviceCard is one service: title, breakers, traffic, latency; more of it where roomy.
func (p painter) serviceCard(mode service.Mode, width int, roomy bool) []string {
	s, count := p.worst(mode)
	if count == 0 {
		return []string{p.section(p.t.Title.Render("app_"+string(mode)), "", width), p.t.Dim.Render("not watched")}
	}
	level, word := p.serviceState(s)
	title := p.t.Title.Render(cell.Clean(s.Name)) + " " + p.t.State(level, word)
	if count > 1 {
		title += p.t.Dim.Render(fmt.Sprintf(" worst of %d", count))
	}
	note := ""
	if room := width - cell.Width(title) - 4; room >= cell.Width(host(s.URL)) {
		note = p.t.Dim.Render(host(s.URL))
	}
	lines := []string{p.section(title, note, width)}
	if _, _, bad := p.contactState(s.Reach); bad {
		return append(lines, p.outage(s.Reach, width)...)
	}
	for _, link := range s.Links {
		lines = append(lines, p.field(cell.Clean(link.Node), p.linkText(link, width-labelWidth)))
	}
	if !roomy {
		return append(lines, p.field("traffic", p.rate(s)+p.t.Dim.Render("   errors ")+p.errors(s)),
			p.field("latency", show(p, s.Latency, p.quantiles)))
	}
	return append(lines,
		p.field("traffic", p.rate(s)), p.field("errors", p.errors(s)+p.t.Dim.Render(" of answers")),
		p.field("latency", show(p, s.Latency, p.quantiles)),
		p.field("limit", show(p, s.Limit, cell.Span)+p.t.Dim.Render(" staleness")),
		p.field("running", show(p, s.Uptime, cell.Age)+p.t.Dim.Render(prefixed(", version ", cell.Clean(s.Version)))),
		p.field("clock", show(p, s.ClockSkew, func(d time.Duration) string { return cell.Span(d) + p.t.Dim.Render(" off captop's") })))
}

// outage is what is known of a target that does not answer, in four lines.
func (p painter) outage(r probes.Reach, width int) []string {
	var lines []string
	if !r.Since.IsZero() {
		lines = append(lines, p.field("since", r.Since.UTC().Format("15:04:05")+p.t.Dim.Render(", "+cell.Age(p.Now.Sub(r.Since)))))
	}
	answered := p.t.Dim.Render("never")
	if !r.LastUp.IsZero() {
		answered = r.LastUp.UTC().Format("15:04:05") + p.t.Dim.Render(", "+cell.Age(p.Now.Sub(r.LastUp))+" ago")
	}
	lines = append(lines, p.field("answered", answered))
	for i, text := range cell.Wrap(cell.Clean(r.Error), width-labelWidth, 2) {
		name := "error"
		if i > 0 {
			name = ""
		}
		lines = append(lines, p.field(name, p.t.At(theme.Warning).Render(text)))
	}
	return lines
}

// linkText is a breaker with its time in state, and how often the node fails this service.
func (p painter) linkText(l probes.Link, width int) string {
	room := width - 11
	state := show(p, l.Breaker, func(b service.Breaker) string {
		text := p.t.State(breakerLevel(b.State), b.State.String()) + p.t.Dim.Render(" "+cell.Tight(cell.Age(p.Now.Sub(b.Since))))
		wait := b.NextProbe.Sub(p.Now)
		more := p.t.Dim.Render(", tries in " + cell.Tight(cell.Age(wait+time.Second)))
		if b.State == service.BreakerOpen && wait > 0 && cell.Width(text+more) <= room {
			text += more
		}
		return text
	})
	failures := show(p, l.FailureRate, func(perSecond float64) string {
		text := cell.Count(perSecond) + " fail/s"
		if perSecond > 0 {
			return p.t.At(theme.Warning).Render(text)
		}
		return p.t.Dim.Render(text)
	})
	return cell.Left(state, room) + " " + failures
}

func (p painter) rate(s probes.Service) string {
	return show(p, s.Rate, func(r float64) string { return cell.Count(r) + p.t.Dim.Render(" req/s") })
}

// errorLimit is the share of failed answers above which the guide asks for a person.
const errorLimit = 0.05

func (p painter) errors(s probes.Service) string {
	return show(p, s.ErrorRatio, func(ratio float64) string {
		switch {
		case ratio > errorLimit:
			return p.t.State(theme.Critical, cell.Percent(ratio))
		case ratio > 0:
			return p.t.State(theme.Warning, cell.Percent(ratio))
		}
		return cell.Percent(ratio)
	})
}

func (p painter) quantiles(l probes.Latency) string {
	part := func(name string, d time.Duration) string {
		text := short(d)
		if d > latencyLimit {
			text = p.t.At(theme.Critical).Render(text)
		}
		return p.t.Dim.Render(name+" ") + text
	}
	return part("p50", l.P50) + " " + part("p95", l.P95) + " " + part("p99", l.P99)
}

// host is the address of a URL without scheme and path.
func host(raw string) string {
	parsed, err := url.Parse(raw)
	if err != nil || parsed.Host == "" {
		return cell.Clean(raw)
	}
	return cell.Clean(parsed.Host)
}

// prefixed is text after a prefix, nothing where there is no text.
func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}
