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
