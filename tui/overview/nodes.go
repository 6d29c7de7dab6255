package overview

import (
	"fmt"
	"time"

	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/theme"
)

// node finds a node by name; one that is not watched is unknown in all respects.
func (p painter) node(name string) probes.Node {
	for _, n := range p.Snapshot.Nodes {
		if n.Name == name {
			return n
		}
	}
	return probes.Node{Name: name}
}

// column is one column of the node table.
type column struct {
	title string
	width int
	right bool
	text  func(probes.Node) string
}

func (p painter) columns() []column {
	info := func(write func(probes.Info) string) func(probes.Node) string {
		return func(n probes.Node) string { return show(p, n.Info, write) }
	}
	return []column{
		{"", 5, false, func(n probes.Node) string { return p.t.Title.Render(cell.Clean(n.Name)) }},
		{"", 11, false, func(n probes.Node) string { return p.t.State(p.nodeState(n)) }},
		{"role", 6, false, info(func(i probes.Info) string { return cell.Clean(i.Role) })},
		{"ops/s", 5, true, info(func(i probes.Info) string { return cell.Count(i.OpsPerSecond) })},
		{"memory", 8, true, info(func(i probes.Info) string { return cell.Bytes(float64(i.UsedMemory)) })},
		{"clients", 7, true, info(func(i probes.Info) string { return cell.Count(float64(i.Clients)) })},
		{"keys", 5, true, info(func(i probes.Info) string { return cell.Count(float64(i.Keys)) })},
		{"disk", 6, false, info(p.saved)},
		{"queue", 5, true, p.queue},
		{"stale", 12, true, p.staleness},
	}
}

// nodeTable is both nodes as rows, for narrow screens; a rejoining or failing node takes a line more.
func (p painter) nodeTable() []string {
	columns := p.columns()
	spare := p.Width - len(columns) + 1
	for _, c := range columns {
		spare -= c.width
	}
	columns[len(columns)-1].width += spare
	row := func(text func(column) string) string {
		line := ""
		for i, c := range columns {
			if i > 0 {
				line += " "
			}
			if c.right {
				line += cell.Right(text(c), c.width)
			} else {
				line += cell.Left(text(c), c.width)
			}
		}
		return line
	}
	heads := row(func(c column) string { return c.title })
	title := p.section(p.t.Title.Render("nodes"), "", 17)
	lines := []string{title + p.t.Dim.Render(cell.Slice(heads, 17, p.Width))}
	for _, n := range p.Snapshot.Nodes {
		lines = append(lines, row(func(c column) string { return c.text(n) }))
		if more := p.nodeTrouble(n); more != "" {
			lines = append(lines, "      "+more)
		}
	}
	return lines
}

// nodeMatrix is both nodes as columns with common labels, for screens of middle width.
func (p painter) nodeMatrix(width int) []string {
	first := labelWidth + (width-labelWidth-1)/2
	widths := []int{first, width - first - 1}
	var blocks [][]string
	for i, name := range []string{service.G1, service.G2} {
		n := p.node(name)
		title := p.section(p.t.Title.Render(cell.Clean(n.Name))+" "+p.t.State(p.nodeState(n)), "", widths[i])
		block := []string{title}
		for _, c := range p.columns()[2:] {
			text := c.text(n)
			if i == 0 {
				text = p.field(c.title, text)
			}
			block = append(block, text)
		}
		blocks = append(blocks, block)
	}
	return cell.Beside(" ", widths, blocks...)
}

// nodeTroubles are two lines below the matrix, one for each node; they are kept free so that nothing jumps.
func (p painter) nodeTroubles() []string {
	lines := make([]string, 0, 2)
	for _, n := range p.Snapshot.Nodes {
		if more := p.nodeTrouble(n); more != "" {
			lines = append(lines, p.t.Title.Render(cell.Clean(n.Name))+" "+more)
		}
	}
	for len(lines) < 2 {
		lines = append(lines, "")
	}
	return lines
}

// nodeTrouble is what a row has no room for: progress of a rejoin, or the error and since when.
func (p painter) nodeTrouble(n probes.Node) string {
	if n.URL == "" {
		return p.t.Dim.Render("captop does not ask it itself: this is what the services say")
	}
	if _, _, bad := p.contactState(n.Reach); bad {
		return p.t.At(theme.Warning).Render(cell.Cut(p.outageText(n.Reach), p.Width-6))
	}
	return p.rejoin(n, 16)
}

// rejoin is a progress bar with figures; "" where the node is not rejoining.
func (p painter) rejoin(n probes.Node, width int) string {
	if n.Rejoin.Freshness(p.Now, p.poll) == probes.FreshnessUnknown || !n.Rejoin.Value.Active {
		return ""
	}
	return show(p, n.Rejoin, func(r probes.Rejoining) string {
		age := cell.Age(p.Now.Sub(r.Since))
		if r.Total == 0 && r.Waiting != "" { // the reason first: a card has no room for more
			return p.t.At(theme.Warning).Render("waits: "+cell.Clean(r.Waiting)) + ", " + age
		}
		text := "rejoining for " + age
		if r.Total > 0 {
			share := min(float64(r.Done)/float64(r.Total), 1)
			full := int(share * float64(width))
			bar := p.t.At(theme.Warning).Render(cell.Run("█", full)) + p.t.Rule.Render(cell.Run("░", width-full))
			text = bar + fmt.Sprintf(" %d %%, %s of %s keys, ", int(share*100), cell.Count(float64(r.Done)), cell.Count(float64(r.Total))) + age
		}
		return text + p.t.At(theme.Warning).Render(prefixed(", waits: ", cell.Clean(r.Waiting)))
	})
}

// saved is the state of persistence in one or two words.
func (p painter) saved(i probes.Info) string {
	s := i.Persistence
	switch {
	case len(s.Untold) > 0:
		return p.t.State(theme.Unknown, "not told")
	case s.AOF && !s.AOFWriteOK:
		return p.t.State(theme.Critical, "AOF")
	case !s.RDBSaveOK:
		return p.t.State(theme.Warning, "RDB")
	case s.AOF && s.AOFRewriting || s.RDBSaving:
		return "saving"
	case s.AOF && !s.AOFRewriteOK:
		return p.t.State(theme.Warning, "AOF")
	case s.AOF:
		return "AOF ok"
	case !s.AOFOffSince.IsZero():
		return p.t.At(theme.Warning).Render("no AOF") // a mark would leave no room for the words
	}
	return "RDB ok"
}

func (p painter) queue(n probes.Node) string {
	return show(p, n.QueueDepth, func(depth int64) string { return cell.Count(float64(depth)) })
}

// staleness is the worst that a service reports, with the limit beside it.
func (p painter) staleness(n probes.Node) string {
	return show(p, n.Staleness, func(s probes.Staleness) string {
		text := short(s.Value)
		if s.Limit == 0 {
			return text
		}
		limit := p.t.Dim.Render(" of " + short(s.Limit))
		if s.Value > s.Limit {
			return p.t.State(theme.Critical, text) + limit
		}
		return text + limit
	})
}

// short is a span without its blank.
func short(d time.Duration) string { return cell.Tight(cell.Span(d)) }

// nodeCard is one node as a card, for wide screens.
func (p painter) nodeCard(n probes.Node, width int) []string {
	level, word := p.nodeState(n)
	title := p.t.Title.Render(cell.Clean(n.Name)) + " " + p.t.State(level, word)
	note := ""
	if room := width - cell.Width(title) - 4; n.URL != "" && room >= cell.Width(host(n.URL)) {
		note = p.t.Dim.Render(host(n.URL))
	}
	lines := []string{p.section(title, note, width)}
	if _, _, bad := p.contactState(n.Reach); bad {
		lines = append(lines, p.outage(n.Reach, width)...)
		for len(lines) < 5 {
			lines = append(lines, "")
		}
		return append(lines, p.field("queue", p.queue(n)), p.field("stale", p.staleness(n)))
	}
	info := func(write func(probes.Info) string) string { return show(p, n.Info, write) }
	dim := p.t.Dim.Render
	role := info(func(i probes.Info) string { return cell.Clean(i.Role) + dim(", up "+cell.Age(i.Uptime)) })
	if bar := p.rejoin(n, 8); bar != "" {
		role = cell.Cut(bar, width-labelWidth)
	}
	return append(lines,
		p.field("role", role),
		p.field("load", info(func(i probes.Info) string {
			return cell.Count(i.OpsPerSecond) + dim(" ops/s, ") + cell.Count(float64(i.Clients)) + dim(" clients")
		})),
		p.field("memory", info(func(i probes.Info) string {
			text := cell.Bytes(float64(i.UsedMemory))
			if i.MaxMemory > 0 {
				text += dim(" of " + cell.Bytes(float64(i.MaxMemory)))
			}
			return text + dim(", ") + cell.Count(float64(i.Keys)) + dim(" keys")
		})),
		p.field("disk", info(func(i probes.Info) string {
			text := p.saved(i)
			if !i.Persistence.LastSave.IsZero() {
				text += dim(", RDB " + cell.Age(p.Now.Sub(i.Persistence.LastSave)) + " ago")
			}
			return text
		})),
		p.field("queue", p.queue(n)+dim(" waiting")),
		p.field("stale", p.staleness(n)))
}
