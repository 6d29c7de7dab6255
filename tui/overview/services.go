package overview

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
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

// serviceCard is one mode: its only instance, all of several together, or the one of them that is looked into.
func (p painter) serviceCard(mode service.Mode, width int, roomy bool) []string {
	all := instances(p.Snapshot, mode)
	if len(all) == 0 {
		return []string{p.section(p.t.Title.Render("app_"+string(mode)), "", width), p.t.Dim.Render("not watched")}
	}
	if len(all) > 1 {
		if i := p.index(all); p.focused == mode && p.open && i >= 0 {
			return p.instanceCard(all[i], width, roomy, p.t.Key.Render("▸ "), p.t.Dim.Render(fmt.Sprintf(" %d of %d", i+1, len(all))))
		}
		return p.groupCard(mode, all, width, roomy)
	}
	return p.instanceCard(all[0], width, roomy, "", "")
}

// index is where the chosen instance is, -1 where it has gone.
func (p painter) index(all []probes.Service) int {
	return slices.IndexFunc(all, func(s probes.Service) bool { return s.Name == p.chosen })
}

// groupCard is all instances of a mode: what they do together, and the breakers of the worst one.
func (p painter) groupCard(mode service.Mode, all []probes.Service, width int, roomy bool) []string {
	g, worst := p.group(mode), all[0]
	mark, hint := "", p.t.Key.Render(p.keys.Next.Help().Key)+p.t.Dim.Render(" chooses")
	if p.focused == mode {
		mark, hint = p.t.Key.Render("▸ "), p.t.Key.Render(p.keys.Submit.Help().Key)+p.t.Dim.Render(" opens")
	}
	title := mark + p.t.Title.Render("app_"+string(mode)) + p.t.Bold.Render(fmt.Sprintf(" ×%d ", len(all))) + p.t.State(p.together(all))
	lines := []string{p.section(title, hint, width)}
	if _, _, bad := p.contactState(worst.Reach); bad && !roomy {
		text := cell.Clean(worst.Name) + ": " + p.outageText(worst.Reach)
		for _, part := range cell.Wrap(text, width, 2) {
			lines = append(lines, p.t.At(theme.Warning).Render(part))
		}
		for len(lines) < 3 {
			lines = append(lines, "")
		}
	} else if !roomy {
		for _, link := range worst.Links {
			lines = append(lines, p.field(cell.Clean(link.Node), p.linkText(link, width-labelWidth)))
		}
	}
	traffic := p.perSecond(g.Rate)
	if !roomy {
		return append(lines, p.field("traffic", traffic+p.t.Dim.Render("   errors ")+p.ratio(g.Rate, g.ErrorRatio)), p.field("latency", p.latency(g.Rate, g.Latency)))
	}
	lines = append(lines, p.field("traffic", traffic+p.t.Dim.Render("   errors ")+p.ratio(g.Rate, g.ErrorRatio)), p.field("latency", p.latency(g.Rate, g.Latency)))
	return append(lines, p.roster(all, width)...)
}

// rosterRows is the room for instances in a card of the height of the others.
const rosterRows = 6

// rosterName is the room for an instance's name there: a long address with its port.
const rosterName = 15

// roster is one line for each instance, the worst first.
func (p painter) roster(all []probes.Service, width int) []string {
	var lines []string
	room := 0
	for _, s := range all {
		room = max(room, min(cell.Width(called(s)), rosterName, width/2))
	}
	for i, s := range all {
		if i == rosterRows-1 && len(all) > rosterRows {
			return append(lines, p.t.Dim.Render(fmt.Sprintf("and %d more", len(all)-i)))
		}
		name := cell.Left(called(s), room)
		figures := show(p, s.Rate, cell.Count) + p.t.Dim.Render(" req/s")
		if !p.idle(s.Rate) {
			figures += p.t.Dim.Render(" p99 ") + show(p, s.Latency, func(l probes.Latency) string { return short(l.P99) })
		}
		if _, _, bad := p.contactState(s.Reach); bad {
			figures = p.t.Dim.Render(p.since(s.Reach.Since))
		}
		lines = append(lines, cell.Ends(name+" "+p.t.State(p.serviceState(s)), figures, width))
	}
	return lines
}

// called is an instance's name below its service's: of an address that was found, only that.
func called(s probes.Service) string {
	if _, address, found := strings.Cut(s.Name, "@"); found {
		return cell.Clean(address)
	}
	return cell.Clean(s.Name)
}

// instanceCard is one service: title, breakers, traffic, latency; more of it where roomy.
func (p painter) instanceCard(s probes.Service, width int, roomy bool, before, after string) []string {
	title := before + p.t.Title.Render(cell.Clean(s.Name)) + " " + p.t.State(p.serviceState(s)) + after
	note := ""
	if room := width - cell.Width(title) - 4; room >= cell.Width(host(s.URL)) {
		note = p.t.Dim.Render(cell.Cut(host(s.URL)+labelled(s.Labels), room))
	}
	lines := []string{p.section(title, note, width)}
	if _, _, bad := p.contactState(s.Reach); bad {
		return append(lines, p.outage(s.Reach, width)...)
	}
	for _, link := range s.Links {
		lines = append(lines, p.field(cell.Clean(link.Node), p.linkText(link, width-labelWidth)))
	}
	if !roomy {
		return append(lines, p.field("traffic", p.perSecond(s.Rate)+p.t.Dim.Render("   errors ")+p.ratio(s.Rate, s.ErrorRatio)),
			p.field("latency", p.latency(s.Rate, s.Latency)))
	}
	return append(lines,
		p.field("traffic", p.perSecond(s.Rate)), p.field("errors", p.ratio(s.Rate, s.ErrorRatio)+p.t.Dim.Render(p.ofAnswers(s))),
		p.field("latency", p.latency(s.Rate, s.Latency)),
		p.field("limit", show(p, s.Limit, cell.Span)+p.t.Dim.Render(" staleness")),
		p.field("running", show(p, s.Uptime, cell.Age)+p.t.Dim.Render(prefixed(", version ", cell.Clean(s.Version)))),
		p.field("clock", show(p, s.ClockSkew, func(d time.Duration) string { return cell.Span(d) + p.t.Dim.Render(" off captop's") })))
}

// labelled are the labels of a target file that say more than which service it is.
func labelled(labels map[string]string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "job" && name != "mode" {
			text += " " + cell.Clean(name+"="+labels[name])
		}
	}
	return text
}

// since is when something began and how long ago that is, or only the latter where times are relative.
func (p painter) since(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case p.Times.Relative:
		return "for " + cell.Age(p.Now.Sub(at))
	}
	return "since " + p.Times.Write(at, p.Now) + ", " + cell.Age(p.Now.Sub(at))
}

// outageText is since when a target does not answer, and its error.
func (p painter) outageText(r probes.Reach) string {
	return p.since(r.Since) + prefixed(": ", reason(r.Error))
}

// dialled is what Go says before the reason why no connection could be made. The address stands elsewhere on the screen.
var dialled = regexp.MustCompile(`dial tcp \S+: (connect: )?`)

// reason is an error with its end in view: that is what it is about.
func reason(text string) string { return cell.Clean(dialled.ReplaceAllString(text, "")) }

// outage is what is known of a target that does not answer, in four lines.
func (p painter) outage(r probes.Reach, width int) []string {
	var lines []string
	if !r.Since.IsZero() {
		lines = append(lines, p.field("since", strings.TrimPrefix(p.since(r.Since), "since ")))
	}
	answered := p.t.Dim.Render("never")
	if !r.LastUp.IsZero() {
		answered = p.Times.Write(r.LastUp, p.Now)
		if !p.Times.Relative {
			answered += p.t.Dim.Render(", " + cell.Age(p.Now.Sub(r.LastUp)) + " ago")
		}
	}
	lines = append(lines, p.field("answered", answered))
	for i, text := range cell.Wrap(reason(r.Error), width-labelWidth, 2) {
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

func (p painter) perSecond(rate probes.Reading[float64]) string {
	return show(p, rate, func(r float64) string { return cell.Count(r) + p.t.Dim.Render(" req/s") })
}

// errorLimit is the share of failed answers above which the guide asks for a person.
const errorLimit = 0.05

// idle says that nobody asks a service, so that nothing can be said of its answers: no trouble, and no mark of it.
func (p painter) idle(rate probes.Reading[float64]) bool {
	return rate.Freshness(p.Now, p.poll) == probes.Fresh && rate.Value == 0
}

// ofAnswers says what a share of errors is one of.
func (p painter) ofAnswers(s probes.Service) string {
	if p.idle(s.Rate) {
		return " no requests"
	}
	return " of answers"
}

// latency is the quantiles of what was asked.
func (p painter) latency(rate probes.Reading[float64], l probes.Reading[probes.Latency]) string {
	if !l.Known && p.idle(rate) {
		return p.t.Dim.Render("– no requests")
	}
	return show(p, l, p.quantiles)
}

func (p painter) ratio(rate, errors probes.Reading[float64]) string {
	if !errors.Known && p.idle(rate) {
		return p.t.Dim.Render("–")
	}
	return show(p, errors, func(ratio float64) string {
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
