package nodeview

import (
	"fmt"
	"strings"
	"time"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/theme"
)

// matrix is what captop and every service instance see of the nodes.
func (p painter) matrix() []string {
	widths := cell.Split(p.Width-label, len(nodes), 1)
	lines := []string{p.section(p.t.Title.Render("seen by") + p.t.Dim.Render("  reached? · breaker · staleness · since; ≠ they disagree"))}
	line := func(viewer string, text func(node string) string) {
		lines = append(lines, cell.Left(cell.Clean(viewer), label-1)+" "+p.columns(widths, func(node string) string {
			mark := "  "
			if p.outlier(viewer, node) {
				mark = p.t.At(theme.Warning).Bold(true).Render("≠ ")
			}
			return mark + text(node)
		}))
	}
	line("captop", func(node string) string {
		n := p.nodeOf(node)
		text := p.contact(node)
		if n.RTT.Freshness(p.Now, p.Poll()) != probes.FreshnessUnknown {
			text += " rtt " + cell.Span(n.RTT.Value)
		}
		return text + p.since(n.Reach.Since)
	})
	for _, s := range p.Snapshot.Services {
		line(s.Name, func(node string) string { return p.linkText(s, node) })
	}
	return lines
}

func (p painter) since(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return p.t.Dim.Render(" " + p.Times.Write(at, p.Now))
}

// linkText is what one instance says of one node.
func (p painter) linkText(s probes.Service, node string) string {
	for _, link := range s.Links {
		if link.Node != node {
			continue
		}
		if link.Seen.Freshness(p.Now, p.Poll()) == probes.FreshnessUnknown {
			return p.t.State(theme.Unknown, "not known"+agoOf(link.Seen, p.Now))
		}
		seen := link.Seen.Value
		text := p.t.State(theme.OK, "up")
		switch {
		case !seen.Reachable:
			text = p.t.State(theme.Critical, "away")
		case seen.Rejoin.Active:
			text = p.t.State(theme.Warning, "rejoins")
		}
		breaker := p.t.At(theme.Unknown).Render("breaker ?")
		if link.Breaker.Freshness(p.Now, p.Poll()) != probes.FreshnessUnknown {
			state := link.Breaker.Value.State
			level := [...]theme.Level{theme.OK, theme.Warning, theme.Critical}[min(max(int(state), 0), 2)]
			breaker = p.t.At(level).Render(state.String())
		}
		return text + " " + breaker + " " + behind(seen.Staleness) + p.since(seen.Since)
	}
	return p.t.State(theme.Unknown, "not known")
}

// behind is a staleness; one since 1970 is none that anybody knows.
func behind(d time.Duration) string {
	if d > 10*365*24*time.Hour {
		return "?"
	}
	return cell.Tight(cell.Span(d))
}

func agoOf[T any](r probes.Reading[T], now time.Time) string {
	if !r.Known {
		return ""
	}
	return ", " + cell.Age(now.Sub(r.At)) + " old"
}

// opinion is what one viewer says of a node: reachable or not, and to which run of it.
type opinion struct {
	viewer    string
	reachable bool
	run       string
	since     time.Time
}

// opinions are those that can be believed now.
func (p painter) opinions(node string) []opinion {
	var all []opinion
	n := p.nodeOf(node)
	if p.Fresh(n.Reach.At) != probes.FreshnessUnknown {
		switch n.Reach.Contact {
		case probes.Up:
			run := ""
			if n.Info.Freshness(p.Now, p.Poll()) != probes.FreshnessUnknown {
				run = n.Info.Value.RunID
			}
			all = append(all, opinion{"captop", true, run, n.Reach.Since})
		case probes.Down, probes.Hung:
			all = append(all, opinion{"captop", false, "", n.Reach.Since})
		}
	}
	for _, s := range p.Snapshot.Services {
		for _, link := range s.Links {
			if link.Node == node && link.Seen.Freshness(p.Now, p.Poll()) != probes.FreshnessUnknown {
				all = append(all, opinion{s.Name, link.Seen.Value.Reachable, link.Seen.Value.RunID, link.Seen.Value.Since})
			}
		}
	}
	return all
}

// split parts the opinions of a node in those who reach it and those who do not.
func (p painter) split(node string) (reach, not []opinion) {
	for _, o := range p.opinions(node) {
		if o.reachable {
			reach = append(reach, o)
		} else {
			not = append(not, o)
		}
	}
	return reach, not
}

// disagreements are nodes that some reach and others do not, or that are not the same Redis for all.
func (p painter) disagreements() (all []finding) {
	if p.Snapshot == nil {
		return nil
	}
	for _, node := range nodes {
		reach, not := p.split(node)
		if len(reach) > 0 && len(not) > 0 {
			all = append(all, finding{theme.Critical, fmt.Sprintf("%s: %s %s not reach it (since %s), %s %s: the way between them is cut", node,
				names(not), verb(not, "does", "do"), p.Times.Write(not[0].since, p.Now), names(reach), verb(reach, "does", "do"))})
		}
		if a, b, differ := runs(reach); differ {
			all = append(all, finding{theme.Warning, fmt.Sprintf("%s: %s and %s speak to different Redis processes under this name, unless it has just restarted", node, a, b)})
		}
	}
	return all
}

func verb(who []opinion, one, many string) string {
	if len(who) == 1 {
		return one
	}
	return many
}

// names lists viewers, at most three of them.
func names(all []opinion) string {
	var list []string
	for i, o := range all {
		if i == 3 {
			list = append(list, fmt.Sprintf("%d more", len(all)-3))
			break
		}
		list = append(list, o.viewer)
	}
	return strings.Join(list, ", ")
}

// runs finds two viewers that speak to different runs. A service tells the first digits only.
func runs(all []opinion) (a, b string, differ bool) {
	first := opinion{}
	for _, o := range all {
		switch {
		case o.run == "":
		case first.run == "":
			first = o
		case !strings.HasPrefix(o.run, first.run) && !strings.HasPrefix(first.run, o.run):
			return first.viewer, o.viewer, true
		}
	}
	return "", "", false
}

// outlier says that a viewer is among the fewer who see a node as they do; where both are as many, those who do not
// reach it.
func (p painter) outlier(viewer, node string) bool {
	reach, not := p.split(node)
	if len(reach) == 0 || len(not) == 0 {
		return false
	}
	fewer := not
	if len(reach) < len(not) {
		fewer = reach
	}
	for _, o := range fewer {
		if o.viewer == viewer {
			return true
		}
	}
	return false
}
