package nodeview

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"sort"
	"strings"
	"time"

	"captop/probes/inspect"
	"captop/tui/cell"
	"captop/tui/theme"
)

// slow is the slow logs of both nodes as one, newest first.
func (p painter) slow() list {
	type entry struct {
		node string
		inspect.Slow
	}
	l := list{empty: "No command has been slow."}
	var all []entry
	for _, node := range nodes {
		entries, missing := parted(p, node, func(in inspect.Inspection) inspect.Part[[]inspect.Slow] { return in.Slow })
		if missing != "" {
			l.above = append(l.above, missing)
			continue
		}
		l.above = append(l.above, p.t.Title.Render(node)+" "+p.slowLimit(node, len(entries)))
		for _, e := range entries {
			all = append(all, entry{node, e})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int { return b.At.Compare(a.At) })
	l.above = append(l.above, p.t.Dim.Render(cell.Cut("node  when            took  command (values are left out)", p.Width)))
	for _, e := range all {
		when := p.Times.Write(e.At, p.Now)
		text := fmt.Sprintf("%s %s %s  %s", e.node, cell.Left(when, 14), cell.Right(cell.Span(e.Took), 6), cell.Clean(e.Command))
		l.rows = append(l.rows, row{text: text, match: text + e.Client + e.Name, whole: func(width int) (string, []string) {
			lines := cell.Wrap(cell.Clean(e.Command), width, 8)
			return "slow at " + e.node, append(lines, "",
				"took    "+cell.Span(e.Took), "at      "+when+", "+cell.Age(p.Now.Sub(e.At))+" ago",
				"client  "+cell.Clean(strings.TrimSpace(e.Client+" "+e.Name)), fmt.Sprintf("entry   %d", e.ID),
				"", p.t.Dim.Render("Values and passwords are left out."), p.t.Key.Render("esc")+p.t.Dim.Render(" closes"))
		}})
	}
	return l
}

// slowLimit is what counts as slow at a node.
func (p painter) slowLimit(node string, entries int) string {
	in, _ := p.seen(node)
	count := fmt.Sprintf("%d entries", entries)
	if entries == 1 {
		count = "1 entry"
	}
	switch {
	case !in.SlowLimit.Known():
		return count + p.t.Dim.Render(", the limit cannot be told: "+cell.Clean(in.SlowLimit.Error))
	case in.SlowLimit.Value < 0:
		return p.t.State(theme.Warning, "the slow log is off") + p.t.Dim.Render(": CONFIG SET slowlog-log-slower-than 10000 turns it on")
	}
	return count + p.t.Dim.Render(" of commands that took more than "+cell.Span(in.SlowLimit.Value))
}

// clients is the connections to both nodes, the one with the most memory first.
func (p painter) clients() list {
	type entry struct {
		node string
		own  bool
		inspect.Client
	}
	l := list{empty: "Nobody is connected."}
	var all []entry
	for _, node := range nodes {
		clients, missing := parted(p, node, func(in inspect.Inspection) inspect.Part[[]inspect.Client] { return in.Clients })
		if missing != "" {
			l.above = append(l.above, missing)
			continue
		}
		in, _ := p.seen(node)
		l.above = append(l.above, p.t.Title.Render(node)+" "+counts(clients))
		for _, c := range clients {
			all = append(all, entry{node, c.ID == in.OwnConnection, c})
		}
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(b.Memory, a.Memory), cmp.Compare(a.node, b.node), cmp.Compare(a.ID, b.ID))
	})
	l.above = append(l.above, p.t.Dim.Render(cell.Cut("node  address                    age     idle   memory  command         name", p.Width)))
	for _, e := range all {
		name := e.Name
		if e.own {
			name = "captop itself"
		}
		text := fmt.Sprintf("%s %s %s %s %s  %s %s", e.node, cell.Left(cell.Clean(e.Addr), 21), cell.Right(cell.Age(e.Age), 8),
			cell.Right(cell.Age(e.Idle), 8), cell.Right(memory(e.Memory), 8), cell.Left(cell.Clean(e.Command), 15), cell.Clean(name))
		l.rows = append(l.rows, row{text: text, match: text + e.User, whole: func(int) (string, []string) {
			return "client of " + e.node, []string{
				"address  " + cell.Clean(e.Addr), "name     " + cell.Clean(name), "user     " + cell.Clean(e.User),
				"command  " + cell.Clean(e.Command) + p.t.Dim.Render(" (the last one)"), "flags    " + cell.Clean(e.Flags),
				"age      " + cell.Age(e.Age), "idle     " + cell.Age(e.Idle), "memory   " + memory(e.Memory),
				fmt.Sprintf("id       %d", e.ID), "", p.t.Key.Render("esc") + p.t.Dim.Render(" closes")}
		}})
	}
	return l
}

func memory(bytes int64) string {
	if bytes == 0 {
		return "?"
	}
	return cell.Bytes(float64(bytes))
}

// counts sums clients up by host, the most first, and then by command.
func counts(clients []inspect.Client) string {
	hosts, commands := map[string]int{}, map[string]int{}
	for _, c := range clients {
		host, _, err := net.SplitHostPort(c.Addr)
		if err != nil {
			host = c.Addr
		}
		hosts[host]++
		commands[c.Command]++
	}
	return fmt.Sprintf("%d: %s · last commands %s", len(clients), most(hosts), most(commands))
}

// most lists the three most frequent.
func most(counted map[string]int) string {
	names := make([]string, 0, len(counted))
	for name := range counted {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if counted[names[i]] != counted[names[j]] {
			return counted[names[i]] > counted[names[j]]
		}
		return names[i] < names[j]
	})
	var parts []string
	for i, name := range names {
		if i == 3 {
			parts = append(parts, fmt.Sprintf("%d others", len(names)-3))
			break
		}
		parts = append(parts, fmt.Sprintf("%s ×%d", cell.Clean(name), counted[name]))
	}
	return strings.Join(parts, ", ")
}

// latency is what the latency monitors remember, and what Redis itself says about that.
func (p painter) latency() list {
	l := list{empty: "Nothing can be told."}
	add := func(text string) { l.rows = append(l.rows, row{text: text, match: text}) }
	for _, node := range nodes {
		limit, missing := parted(p, node, func(in inspect.Inspection) inspect.Part[time.Duration] { return in.LatencyLimit })
		spikes, missingSpikes := parted(p, node, func(in inspect.Inspection) inspect.Part[[]inspect.Spike] { return in.Spikes })
		doctor, missingDoctor := parted(p, node, func(in inspect.Inspection) inspect.Part[string] { return in.Doctor })
		add(p.section(p.t.Title.Render(node)))
		switch {
		case missingSpikes != "" && missingSpikes == missingDoctor:
			add(missingSpikes)
			continue
		case missing != "":
			add(missing)
		case limit == 0:
			add(p.t.State(theme.Warning, "the monitor is off (latency-monitor-threshold 0)"))
			add(p.t.Dim.Render("  CONFIG SET latency-monitor-threshold 100 remembers what takes over 100 ms"))
			continue
		default:
			add("remembers events above " + cell.Span(limit))
		}
		if missingSpikes != "" {
			add(missingSpikes)
		} else if len(spikes) == 0 && missing == "" {
			add(p.t.State(theme.OK, "no event was slower"))
		}
		slices.SortStableFunc(spikes, func(a, b inspect.Spike) int { return cmp.Compare(b.Worst, a.Worst) })
		for _, s := range spikes {
			add(p.t.State(theme.Warning, cell.Left(cell.Clean(s.Event), 20)) + " worst " + cell.Left(cell.Span(s.Worst), 8) + " latest " +
				cell.Left(cell.Span(s.Latest), 8) + p.t.Dim.Render(" at "+p.Times.Write(s.At, p.Now)))
		}
		if missingDoctor != "" {
			add(missingDoctor)
		}
		for line := range strings.Lines(doctor) {
			for _, part := range cell.Wrap(strings.TrimSpace(cell.Clean(line)), p.Width-2, 12) {
				add("  " + part)
			}
		}
	}
	return l
}

// fields is all of INFO, both nodes side by side; fields that differ are in full brightness.
func (p painter) fields() list {
	l := list{empty: "Nothing can be told."}
	infos, names := [2]inspect.Info{}, map[string]bool{}
	for i, node := range nodes {
		info, missing := parted(p, node, func(in inspect.Inspection) inspect.Part[inspect.Info] { return in.Info })
		if missing != "" {
			l.above = append(l.above, missing)
		}
		infos[i] = info
		for name := range info {
			names[name] = true
		}
	}
	name := min(32, p.Width/3)
	widths := append([]int{name}, cell.Split(p.Width-name-1, 2, 1)...)
	l.above = append(l.above, p.t.Title.Render(cell.Beside(" ", widths, []string{"INFO"}, []string{nodes[0]}, []string{nodes[1]})[0]))
	for _, field := range sorted(names) {
		text := cell.Beside(" ", widths, []string{cell.Clean(field)}, []string{cell.Clean(infos[0][field])}, []string{cell.Clean(infos[1][field])})[0]
		match := text
		if infos[0][field] == infos[1][field] {
			text = p.t.Dim.Render(text)
		}
		l.rows = append(l.rows, row{text: text, match: match})
	}
	return l
}

func sorted(names map[string]bool) []string {
	all := make([]string, 0, len(names))
	for name := range names {
		all = append(all, name)
	}
	sort.Strings(all)
	return all
}
