package nodeview

import (
	"fmt"
	"time"

	"captop/probes"
	"captop/probes/inspect"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/theme"
)

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
