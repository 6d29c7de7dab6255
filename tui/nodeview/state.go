package nodeview

import (
	"fmt"
	"strings"
	"time"

	"captop/probes"
	"captop/probes/inspect"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/theme"
)

// state is the first pane: what is worst, both nodes digested, and who sees what of them.
func (p painter) state() list {
	l := list{empty: "Nothing is known yet."}
	if p.Snapshot == nil {
		return l
	}
	add := func(lines ...string) {
		for _, line := range lines {
			l.rows = append(l.rows, row{text: line})
		}
	}
	add(p.worst()...)
	add(p.digest()...)
	add(p.matrix()...)
	return l
}

// label is the column of names.
const label = 9

// finding is something that a person should look at.
type finding struct {
	level theme.Level
	text  string
}

// worstShown is how many findings the screen keeps room for.
const worstShown = 2

// worst is the findings, the worst first.
func (p painter) worst() []string {
	var all []finding
	for _, node := range nodes {
		all = append(all, p.contactFindings(node)...)
		if in, why := p.seen(node); why == "" && in.Info.Known() {
			all = append(all, infoFindings(node, in)...)
		}
	}
	all = append(all, p.disagreements()...)
	var lines []string
	for _, level := range []theme.Level{theme.Critical, theme.Unknown, theme.Warning} {
		for _, f := range all {
			if f.level == level {
				lines = append(lines, p.findingLines(f)...)
			}
		}
	}
	if len(lines) == 0 {
		lines = append(lines, p.t.State(theme.OK, "nothing stands out"))
	}
	for len(lines) < worstShown {
		lines = append(lines, "")
	}
	return lines
}

// findingLines is a finding in at most two lines.
func (p painter) findingLines(f finding) []string {
	lines := cell.Wrap(cell.Clean(f.text), p.Width-2, 2)
	for i, text := range lines {
		if i == 0 {
			lines[i] = p.t.State(f.level, text)
		} else {
			lines[i] = "  " + p.t.At(f.level).Render(text)
		}
	}
	return lines
}

// contactFindings is what is wrong with reaching a node.
func (p painter) contactFindings(node string) []finding {
	n := p.nodeOf(node)
	reach := n.Reach
	switch {
	case p.Fresh(reach.At) == probes.FreshnessUnknown, reach.Contact == probes.NotAsked, reach.Contact == probes.Blind:
		return []finding{{theme.Unknown, node + " is not known: captop has had no answer about it lately" + colon(reach.Error)}}
	case reach.Contact != probes.Up:
		return []finding{{theme.Critical, fmt.Sprintf("%s does not serve captop (%s) since %s%s", node, reach.Contact,
			p.Times.Write(reach.Since, p.Now), colon(reach.Error))}}
	}
	if l := p.looks[node]; l.err != "" && !p.Past {
		return []finding{{theme.Warning, node + " answers the polls, but not closer looks: " + l.err}}
	}
	if _, why := p.seen(node); why != "" {
		return []finding{{theme.Unknown, node + ": " + why}}
	}
	return nil
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// Limits from which a figure stands out.
const (
	nearlyFull   = 0.9 // of memory or clients
	fragmented   = 1.5 // and at least fragmentedAt in use: a small Redis is always fragmented
	fragmentedAt = 100 << 20
	longFork     = 500 * time.Millisecond
	longQueue    = 5 * time.Second
)

// infoFindings is what stands out in INFO.
func infoFindings(node string, in inspect.Inspection) (all []finding) {
	info := in.Info.Value
	say := func(level theme.Level, format string, args ...any) {
		all = append(all, finding{level, node + " " + fmt.Sprintf(format, args...)})
	}
	number := func(name string) float64 { n, _ := info.Number(name); return n }
	if info["aof_last_write_status"] == "err" {
		say(theme.Critical, "cannot write its AOF: it refuses writes")
	}
	if info["rdb_last_bgsave_status"] == "err" {
		say(theme.Critical, "failed to save its RDB: it may refuse writes (stop-writes-on-bgsave-error)")
	}
	if info["aof_last_bgrewrite_status"] == "err" {
		say(theme.Warning, "failed to rewrite its AOF, which goes on growing")
	}
	if info["role"] == "slave" {
		say(theme.Critical, "is a replica of %s: it cannot take writes", info["master_host"])
	}
	if limit, used := number("maxmemory"), number("used_memory"); limit > 0 && used > nearlyFull*limit {
		say(theme.Critical, "uses %s of its memory (%s of %s)", cell.Percent(used/limit), cell.Bytes(used), cell.Bytes(limit))
	}
	if limit, used := number("maxclients"), number("connected_clients"); limit > 0 && used > nearlyFull*limit {
		say(theme.Critical, "has %.0f of at most %.0f clients: it refuses those above", used, limit)
	}
	if n := number("rejected_connections"); n > 0 {
		say(theme.Warning, "has rejected %s connections since it started", cell.Count(n))
	}
	if n := number("evicted_keys"); n > 0 {
		say(theme.Critical, "has evicted %s keys since it started: what services have acknowledged is lost", cell.Count(n))
	}
	if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
		say(theme.Warning, "has maxmemory-policy %s: it drops keys when it is full; set noeviction", policy)
	}
	if n := number("mem_fragmentation_ratio"); n > fragmented && number("used_memory") > fragmentedAt {
		say(theme.Warning, "takes %.1f times the memory that its data needs (fragmentation)", n)
	}
	if fork := time.Duration(number("latest_fork_usec")) * time.Microsecond; fork > longFork {
		say(theme.Warning, "stood still for %s at its last fork", cell.Span(fork))
	}
	for _, q := range in.Queues.Value {
		if q.Oldest > longQueue && in.Queues.Known() {
			say(theme.Warning, "has %s keys %s, the oldest for %s", cell.Count(float64(q.Length)), waitsFor(q.Mode), cell.Span(q.Oldest))
		}
	}
	return all
}

func waitsFor(mode service.Mode) string {
	if mode == service.ModeCP {
		return "in flight in CP"
	}
	return "to be carried to its peer in AP"
}

// digest is both nodes as columns.
func (p painter) digest() []string {
	widths := cell.Split(p.Width-label, len(nodes), 1)
	lines := []string{p.t.Title.Render(cell.Left("INFO", label)) + p.columns(widths, func(node string) string {
		return p.t.Title.Render(node) + " " + p.contact(node)
	})}
	for i, r := range p.digestRows() {
		lines = append(lines, p.t.Dim.Render(cell.Left(r.name, label))+p.columns(widths, func(node string) string {
			in, why := p.seen(node)
			if why == "" {
				why = in.Info.Error
			}
			if r.queues && why == "" {
				why = in.Queues.Error
			}
			switch {
			case why != "" && i > 0 && (!r.queues || !in.Info.Known() || in.At.IsZero()):
				return p.t.At(theme.Unknown).Render("?") // the first row says why
			case why != "":
				return p.t.At(theme.Unknown).Render("? " + cell.Clean(why))
			}
			return r.text(in)
		}))
	}
	return lines
}

// columns is one line of both nodes.
func (p painter) columns(widths []int, text func(node string) string) string {
	var blocks [][]string
	for _, node := range nodes {
		blocks = append(blocks, []string{text(node)})
	}
	return cell.Beside(" ", widths, blocks...)[0]
}

// contact is how captop reaches a node.
func (p painter) contact(node string) string {
	reach := p.nodeOf(node).Reach
	switch {
	case p.Fresh(reach.At) == probes.FreshnessUnknown, reach.Contact == probes.NotAsked, reach.Contact == probes.Blind:
		return p.t.State(theme.Unknown, "not known")
	case reach.Contact == probes.Up:
		return p.t.State(theme.OK, "up")
	}
	return p.t.State(theme.Critical, reach.Contact.String())
}

type digestRow struct {
	name   string
	queues bool // it shows the queues, not INFO
	text   func(inspect.Inspection) string
}

func (p painter) digestRows() []digestRow {
	info := func(name string, text func(inspect.Info) string) digestRow {
		return digestRow{name: name, text: func(in inspect.Inspection) string { return text(in.Info.Value) }}
	}
	return []digestRow{
		info("running", func(i inspect.Info) string {
			return figure(i, "uptime_in_seconds", seconds) + ", Redis " + cell.Clean(i["redis_version"]) + ", run " + cell.Slice(cell.Clean(i["run_id"]), 0, 8)
		}),
		info("memory", memoryText),
		info("in RAM", func(i inspect.Info) string {
			return figure(i, "used_memory_rss", cell.Bytes) + " (" + figure(i, "mem_fragmentation_ratio", ratio) + "), peak " + figure(i, "used_memory_peak", cell.Bytes)
		}),
		info("clients", func(i inspect.Info) string {
			return figure(i, "connected_clients", cell.Count) + " of " + figure(i, "maxclients", cell.Count) + ", " + figure(i, "blocked_clients", cell.Count) + " blocked, " +
				figure(i, "rejected_connections", cell.Count) + " rejected"
		}),
		info("load", func(i inspect.Info) string {
			return figure(i, "instantaneous_ops_per_sec", cell.Count) + " ops/s, " + hits(i)
		}),
		info("keys", func(i inspect.Info) string {
			return cell.Count(float64(i.Keys())) + ", evicted " + figure(i, "evicted_keys", cell.Count) + ", expired " + figure(i, "expired_keys", cell.Count)
		}),
		info("AOF", p.aof),
		{name: "RDB", text: p.rdb},
		info("fork", func(i inspect.Info) string {
			return figure(i, "latest_fork_usec", func(n float64) string { return cell.Span(time.Duration(n) * time.Microsecond) }) + " standstill at the last one"
		}),
		info("role", func(i inspect.Info) string {
			if i["role"] == "slave" {
				return p.t.State(theme.Critical, "replica of "+cell.Clean(i["master_host"])+", link "+cell.Clean(i["master_link_status"]))
			}
			return cell.Clean(i["role"]) + ", " + figure(i, "connected_slaves", cell.Count) + " Redis replicas"
		}),
		{name: "CP queue", queues: true, text: func(in inspect.Inspection) string { return p.queue(in, service.ModeCP) }},
		{name: "AP queue", queues: true, text: func(in inspect.Inspection) string { return p.queue(in, service.ModeAP) }},
	}
}

// figure writes a field, or ? where the node does not tell it.
func figure(i inspect.Info, name string, write func(float64) string) string {
	if n, ok := i.Number(name); ok {
		return write(n)
	}
	return "?"
}

func seconds(n float64) string { return cell.Age(time.Duration(n) * time.Second) }
func ratio(n float64) string   { return fmt.Sprintf("%.1f×", n) }

func memoryText(i inspect.Info) string {
	limit, known := i.Number("maxmemory")
	used, _ := i.Number("used_memory")
	switch {
	case !known:
		return figure(i, "used_memory", cell.Bytes) + ", limit ?"
	case limit == 0:
		return figure(i, "used_memory", cell.Bytes) + ", no limit (maxmemory 0)"
	}
	return fmt.Sprintf("%s of %s (%s)", cell.Bytes(used), cell.Bytes(limit), cell.Percent(used/limit))
}

func hits(i inspect.Info) string {
	hit, known := i.Number("keyspace_hits")
	miss, _ := i.Number("keyspace_misses")
	if !known || hit+miss == 0 {
		return "hit ratio ?"
	}
	return cell.Percent(hit/(hit+miss)) + " hits since start"
}

func (p painter) aof(i inspect.Info) string {
	switch {
	case i["aof_enabled"] != "0" && i["aof_enabled"] != "1":
		return p.t.State(theme.Unknown, "not told")
	case i["aof_enabled"] == "0":
		return p.t.State(theme.Warning, "off: a crash loses what the RDB lacks")
	case i["aof_last_write_status"] == "err":
		return p.t.State(theme.Critical, "write error")
	case i["aof_last_write_status"] != "ok":
		return p.t.State(theme.Unknown, "on; whether it can be written is not told")
	case i["aof_last_bgrewrite_status"] == "err":
		return p.t.State(theme.Warning, "writes ok, rewrite failed")
	case i["aof_rewrite_in_progress"] == "1":
		return p.t.State(theme.OK, "ok, being rewritten")
	}
	return p.t.State(theme.OK, "ok, "+figure(i, "aof_current_size", cell.Bytes))
}

func (p painter) rdb(in inspect.Inspection) string {
	i := in.Info.Value
	if i["rdb_last_bgsave_status"] == "err" {
		return p.t.State(theme.Critical, "the last save failed")
	}
	if i["rdb_last_bgsave_status"] != "ok" {
		return p.t.State(theme.Unknown, "not told")
	}
	text := "never saved"
	if at, ok := i.Number("rdb_last_save_time"); ok && at > 0 {
		saved := time.Unix(int64(at), 0).Add(-in.Skew.Value)
		text = "saved " + cell.Age(p.Now.Sub(saved)) + " ago"
		if i["rdb_saves"] == "0" { // then Redis gives the time of its start
			text = "no save for " + cell.Age(p.Now.Sub(saved))
		}
	}
	if i["rdb_bgsave_in_progress"] == "1" {
		text = "saving now, " + text
	}
	return p.t.State(theme.OK, text+", "+figure(i, "rdb_changes_since_last_save", cell.Count)+" changes")
}

func queueText(q inspect.Queue) string {
	if q.Length == 0 {
		return "nothing waits"
	}
	return fmt.Sprintf("%s wait, the oldest %s", cell.Count(float64(q.Length)), cell.Span(q.Oldest))
}

func (p painter) queue(in inspect.Inspection, mode service.Mode) string {
	for _, q := range in.Queues.Value {
		if q.Mode != mode {
			continue
		}
		if q.Oldest > longQueue {
			return p.t.State(theme.Warning, queueText(q))
		}
		return queueText(q)
	}
	return "?"
}

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
