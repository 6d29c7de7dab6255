package suite

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"captop/probes/bench"
)

func rate(r bench.Result) float64 { return r.Rate }
func p50(r bench.Result) float64  { return r.All.P50 }
func p99(r bench.Result) float64  { return r.All.P99 }

// table is the whole page.
func (s *stage) table(rows []*row) string {
	byName := map[string]*row{}
	for _, r := range rows {
		byName[r.name] = r
	}
	var b strings.Builder
	b.WriteString("# What the pair can do, measured\n\nWritten by `go run ./cmd/captop bench suite`. Figures of one machine: compare ratios, not rates.\n\n")
	b.WriteString(machine())
	fmt.Fprintf(&b, "- Sent: %d connections, values of %d bytes, %d keys; as fast as answered, unless a row has a rate. The client, the services and all Redis nodes share the machine.\n"+
		"- %d rounds, %s a measurement, in turn.\n", connections, valueBytes, keys, s.options.Rounds, s.options.Each)
	others := bench.SpreadOf(s.others)
	fmt.Fprintf(&b, "- Other programs used %.0f %% of the busy time meanwhile (median of the measurements; %.0f to %.0f %%).\n\n",
		100*others.Median, 100*others.Min, 100*others.Max)
	fmt.Fprintf(&b, "## Bars\n\n%s\n## All rows\n\n%s\n", s.bars(byName), s.all(rows, byName))
	b.WriteString(notes)
	fmt.Fprintf(&b, "- After a row of writes the pair had carried everything to both nodes within %.2f s (the longest of all).\n",
		longest(s.drained).Seconds())
	for _, r := range rows {
		for round, result := range r.result {
			if result.Failed > 0 {
				fmt.Fprintf(&b, "- **%s, round %d: %d requests failed**: %v\n", r.name, round+1, result.Failed, result.Failures)
			}
		}
	}
	return b.String()
}

const notes = "- Latencies are medians over the rounds, as the closed loop has them; where a row has a rate, as an open loop has them, counted\n" +
	"  from when a request is due. Ratios are formed round by round: median (least to largest); the rows stand in the order in\n" +
	"  which they are measured, with the bare server between those that are compared with it.\n" +
	"- Writes are compared with the bare server that reads a body, reads with the one that gets none.\n" +
	"- redis-benchmark sends what MONITOR shows the services send, one script a request, to one node: writes with a new key each\n" +
	"  time (a stamp or a promise is good once), reads from the pair's own keys. CP needs prepare at one node and commit at the\n" +
	"  other for each write; webdis keeps one copy.\n" +
	"- Redis runs with AOF, fsync every second, and does not rewrite it meanwhile. capd logs every write to a file.\n"

// bar is a promise about a ratio.
type bar struct {
	of, to string
	want   float64
	beyond float64 // 0: none
}

func (s *stage) bars(byName map[string]*row) string {
	return grid(func(line func(cells ...string)) {
		line("what", "bar", "beyond", "measured", "")
		for _, b := range []bar{{apWrite, floorWrite, 0.45, 0.6}, {cpWrite, floorWrite, 0.35, 0.45}, {apRead, floorRead, 0.65, 0}, {cpRead, floorRead, 0.65, 0}} {
			ratio := bench.Ratio(byName[b.of].result, byName[b.to].result, rate)
			beyond := "–"
			if b.beyond > 0 {
				beyond = fmt.Sprintf("%.2f", b.beyond)
			}
			line(b.of+" ÷ bare server", fmt.Sprintf("≥ %.2f", b.want), beyond, spread(ratio), verdict(ratio.Median >= b.want))
		}
		for _, b := range []bar{{of: apWrite, to: webdisWrite}, {of: cpWrite, to: webdisWrite}, {of: apRead, to: webdisRead}, {of: cpRead, to: webdisRead}} {
			ratio := bench.Ratio(byName[b.of].result, byName[b.to].result, rate)
			line(b.of+" ÷ webdis", "–", "> 1", spread(ratio), verdict(ratio.Median > 1))
			late := bench.Ratio(byName[b.of].result, byName[b.to].result, p99)
			line(b.of+" p99 ÷ webdis p99", "≤ 1", "–", spread(late), verdict(late.Median <= 1))
			late = bench.Ratio(byName[paced(b.of)].result, byName[paced(b.to)].result, p99)
			line(paced(b.of)+": p99 ÷ webdis p99", "≤ 1", "–", spread(late), verdict(late.Median <= 1))
		}
	})
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

func spread(s bench.Spread) string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Min, s.Max) }

func (s *stage) all(rows []*row, byName map[string]*row) string {
	return grid(func(line func(cells ...string)) {
		line("", "requests/s", "least to largest", "÷ bare server", "p50 ms", "p99 ms")
		for _, r := range rows {
			rates := bench.SpreadOf(bench.Figures(r.result, rate))
			ratio := "–"
			if r.floor != "" {
				ratio = spread(bench.Ratio(r.result, byName[r.floor].result, rate))
			}
			middle, late := median(r.result, p50), median(r.result, p99)
			line(r.name, fmt.Sprintf("%.0f", rates.Median), fmt.Sprintf("%.0f to %.0f", rates.Min, rates.Max), ratio, milliseconds(middle), milliseconds(late))
		}
	})
}

func median(results []bench.Result, figure func(bench.Result) float64) float64 {
	return bench.SpreadOf(bench.Figures(results, figure)).Median
}

// milliseconds writes a latency; a peer that does not tell has none.
func milliseconds(ms float64) string {
	if ms == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", ms)
}

// grid lays out a Markdown table so that it reads well as text, too.
func grid(fill func(line func(cells ...string))) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	first := true
	fill(func(cells ...string) {
		fmt.Fprintf(w, "| %s\t|\n", strings.Join(cells, "\t| "))
		if first {
			fmt.Fprintf(w, "|%s\n", strings.Repeat(" ---\t|", len(cells)))
		}
		first = false
	})
	_ = w.Flush() // into memory
	return b.String()
}

func longest(all []time.Duration) (longest time.Duration) {
	for _, d := range all {
		longest = max(longest, d)
	}
	return longest
}

// machine says on what, when and of what something was measured.
func machine() string {
	var b strings.Builder
	fmt.Fprintf(&b, "- Date: %s; commit %s.\n", time.Now().UTC().Format("2006-01-02 15:04 UTC"), commit())
	fmt.Fprintf(&b, "- Machine: %s, %d processors, %s, %s.\n", processor(), runtime.NumCPU(), memory(), first("uname", "-sr"))
	fmt.Fprintf(&b, "- With: %s; %s; webdis %s.\n", runtime.Version(), redisVersion(), first("dpkg-query", "-W", "-f", "${Version}", "webdis"))
	return b.String()
}

// first is the first line that a command prints; "unknown version" where it does not run.
func first(name string, args ...string) string {
	output, err := exec.Command(name, args...).Output()
	if err != nil {
		return "unknown version"
	}
	line, _, _ := strings.Cut(string(output), "\n")
	return strings.TrimSpace(line)
}

func commit() string {
	name := first("git", "rev-parse", "--short", "HEAD")
	if first("git", "status", "--porcelain", "--untracked-files=no") != "" {
		name += " with changes"
	}
	return name
}

func redisVersion() string {
	for word := range strings.FieldsSeq(first("redis-server", "--version")) {
		if number, ok := strings.CutPrefix(word, "v="); ok {
			return "Redis " + number
		}
	}
	return "Redis, unknown version"
}

// procField is the value of the first line of a file below /proc that begins with a name.
func procField(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func processor() string { return procField("/proc/cpuinfo", "model name") }

func memory() string {
	var kb int64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kb); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", float64(kb)/(1<<20))
}
