package overview

import (
	"math"
	"strings"
	"time"

	"captop/probes"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/chart"
	"captop/tui/screen"
)

// latencyLimit is the p99 above which the guide asks for a person.
const latencyLimit = 500 * time.Millisecond

// charts are staleness and latency side by side, rows high with their titles.
func (p painter) charts(rows int) []string {
	if rows < 4 {
		return nil
	}
	widths := cell.Split(p.Width, 2, 2)
	var staleness, latency []chart.Series
	for _, n := range p.Snapshot.Nodes {
		staleness = append(staleness, chart.Series{Name: cell.Clean(n.Name), Points: points(n.StalenessHistory)})
	}
	limit := time.Duration(0)
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		s, count := p.worst(mode)
		if count == 0 {
			continue
		}
		latency = append(latency, chart.Series{Name: cell.Clean(s.Name), Points: points(s.LatencyHistory)})
		if s.Limit.Known && (limit == 0 || s.Limit.Value < limit) {
			limit = s.Limit.Value
		}
	}
	second := 0
	if rows >= twoRowsOfCharts {
		second = rows * 2 / 5
	}
	lines := cell.Beside("  ", widths,
		p.plot("staleness", staleness, limit, widths[0], rows-second),
		p.plot("p99 latency", latency, latencyLimit, widths[1], rows-second))
	if second > 0 {
		lines = append(lines, cell.Beside("  ", widths,
			p.rates("node ops/s", p.opsHistories(), widths[0], second), p.rates("requests/s", p.rateHistories(), widths[1], second))...)
	}
	return lines
}

// twoRowsOfCharts is the number of free rows from which rates are drawn too.
const twoRowsOfCharts = 18

func (p painter) opsHistories() (all []chart.Series) {
	for _, n := range p.Snapshot.Nodes {
		all = append(all, chart.Series{Name: cell.Clean(n.Name), Points: points(n.OpsHistory)})
	}
	return all
}

func (p painter) rateHistories() (all []chart.Series) {
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		if s, count := p.worst(mode); count > 0 {
			all = append(all, chart.Series{Name: cell.Clean(s.Name), Points: points(s.RateHistory)})
		}
	}
	return all
}

// rates is a titled chart of figures per second.
func (p painter) rates(title string, series []chart.Series, width, rows int) []string {
	legend := p.legend(title, series, width, cell.Count)
	return append([]string{p.section(legend, "", width)}, chart.Draw(chart.Plot{
		Width: width, Height: rows - 1, Now: p.Now, Window: chart.Window(width, p.poll), Gap: 5 * p.poll / 2,
		Linear: true, Series: series,
	}, p.t)...)
}

// legend is the title with the name and the newest value of each line.
func (p painter) legend(title string, series []chart.Series, width int, write func(float64) string) string {
	legend := p.t.Title.Render(title)
	for i, s := range series {
		mark, name := [...]string{"━", "┅"}[i%2], cell.Clean(s.Name)
		if p.t.ASCII {
			mark = [...]string{"*", "o"}[i%2]
		}
		if width < 50 {
			name = strings.TrimPrefix(name, "app_")
		}
		legend += "  " + p.t.Series[i%2].Render(mark+" "+name) + " " + p.newest(s.Points, write)
	}
	return legend
}

// plot is a titled chart: the legend gives the newest value of each line, and the limit.
func (p painter) plot(title string, series []chart.Series, limit time.Duration, width, rows int) []string {
	legend := p.legend(title, series, width, func(ms float64) string {
		return short(time.Duration(min(ms*float64(time.Millisecond), math.MaxInt64/2)))
	})
	note := ""
	if limit > 0 {
		note = p.t.Limit.Render("limit " + short(limit))
	}
	if cell.Width(legend)+cell.Width(note)+3 > width {
		note = ""
	}
	return append([]string{p.section(legend, note, width)}, chart.Draw(chart.Plot{
		Width: width, Height: rows - 1, Now: p.Now, Window: chart.Window(width, p.poll), Gap: 5 * p.poll / 2,
		Limit: float64(limit) / float64(time.Millisecond), Series: series,
	}, p.t)...)
}

// newest is the last value of a line while it can be believed.
func (p painter) newest(points []chart.Point, write func(float64) string) string {
	if len(points) == 0 {
		return p.t.Dim.Render("–")
	}
	last := points[len(points)-1]
	if math.IsNaN(last.Value) || p.fresh(last.At) == probes.FreshnessUnknown {
		return p.t.Dim.Render("–")
	}
	return write(last.Value)
}

func points(history probes.Series) []chart.Point {
	out := make([]chart.Point, len(history))
	for i, point := range history {
		out[i] = chart.Point{At: point.At, Value: point.Value}
		if math.IsInf(point.Value, 0) {
			out[i].Value = math.NaN() // no figure that could be drawn
		}
	}
	return out
}

// events are the last ones, newest first, rows high with their title.
func (p painter) events(rows int) []string {
	if rows < 2 {
		return make([]string, max(rows, 0))
	}
	lines := []string{p.section(p.t.Title.Render("events"), p.t.Dim.Render("UTC, newest first"), p.Width)}
	all := p.Snapshot.Events
	for i := len(all) - 1; i >= 0 && len(lines) < rows; i-- {
		e := all[i]
		line := p.t.Dim.Render(e.At.UTC().Format("15:04:05")) + " " + p.t.At(screen.Level(e.Severity)).Render(screen.Level(e.Severity).Shape()) + " " +
			cell.Clean(e.Text)
		lines = append(lines, cell.Cut(line, p.Width))
	}
	if len(all) == 0 {
		lines = append(lines, p.t.Dim.Render("Nothing has changed since captop began to watch at "+p.Snapshot.Started.UTC().Format("15:04:05")+"."))
	}
	for len(lines) < rows {
		lines = append(lines, "")
	}
	return lines
}
