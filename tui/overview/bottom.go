package overview

import (
	"math"
	"strings"
	"time"

	"captop/probes"
	"captop/probes/alerts"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/chart"
	"captop/tui/screen"
	"captop/tui/theme"
)

// latencyLimit is the p99 above which the guide asks for a person.
const latencyLimit = 500 * time.Millisecond

// charts are staleness and latency side by side, rows high with their titles; below them rates, where there is room.
func (p painter) charts(rows int) []string {
	if rows < 4 {
		return nil
	}
	widths := cell.Split(p.Width, 2, 2)
	var staleness []chart.Series
	for _, n := range p.Snapshot.Nodes {
		staleness = append(staleness, chart.Series{Name: cell.Clean(n.Name), Points: points(n.StalenessHistory)})
	}
	second := 0
	if rows >= twoRowsOfCharts {
		second = rows * 2 / 5
	}
	latency := p.lines(func(g probes.Group) probes.Series { return g.LatencyHistory }, func(s probes.Service) probes.Series { return s.LatencyHistory })
	lines := cell.Beside("  ", widths,
		p.plot("staleness", staleness, p.limit(), widths[0], rows-second),
		p.plot("p99 latency", latency, latencyLimit, widths[1], rows-second))
	if second > 0 {
		rates := p.lines(func(g probes.Group) probes.Series { return g.RateHistory }, func(s probes.Service) probes.Series { return s.RateHistory })
		lines = append(lines, cell.Beside("  ", widths,
			p.rates("node ops/s", p.opsHistories(), widths[0], second), p.rates("requests/s", rates, widths[1], second))...)
	}
	return lines
}

// twoRowsOfCharts is the number of free rows from which rates are drawn too.
const twoRowsOfCharts = 18

// lines are one line for each mode: of its group, of the instance that is looked into, or of its only instance.
func (p painter) lines(group func(probes.Group) probes.Series, one func(probes.Service) probes.Series) (all []chart.Series) {
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		services := instances(p.Snapshot, mode)
		switch {
		case len(services) == 0:
			continue
		case len(services) == 1:
			all = append(all, chart.Series{Name: cell.Clean(services[0].Name), Points: points(one(services[0]))})
			continue
		}
		line := chart.Series{Name: "app_" + string(mode), Points: points(group(p.group(mode)))}
		if i := p.index(services); p.focused == mode && p.open && i >= 0 {
			line = chart.Series{Name: cell.Clean(services[i].Name), Points: points(one(services[i]))}
		}
		all = append(all, line)
	}
	return all
}

// limit is the least bound of staleness that a service has.
func (p painter) limit() (least time.Duration) {
	for _, s := range p.Snapshot.Services {
		if s.Limit.Known && (least == 0 || s.Limit.Value < least) {
			least = s.Limit.Value
		}
	}
	return least
}

func (p painter) opsHistories() (all []chart.Series) {
	for _, n := range p.Snapshot.Nodes {
		all = append(all, chart.Series{Name: cell.Clean(n.Name), Points: points(n.OpsHistory)})
	}
	return all
}

// base is what all charts have in common.
func (p painter) base(series []chart.Series, width, rows int) chart.Plot {
	return chart.Plot{Width: width, Height: rows - 1, Now: p.newest(), Window: p.window, Gap: p.gap(), Series: series,
		Marks: p.marks(), Cursor: p.cursor, Times: p.Times}
}

// newest is where the charts end: at the last poll while that is fresh, so that they move when something new is known
// and not a moment before; at the clock once nothing comes, so that the gap shows.
func (p painter) newest() time.Time {
	if p.fresh(p.Snapshot.At) == probes.Fresh {
		return p.Snapshot.At
	}
	return p.Now
}

// gap is how far apart two samples may be that are joined.
func (p painter) gap() time.Duration { return 5 * p.poll / 2 }

// marks are what was done, and the alerts that began to fire or were resolved.
func (p painter) marks() []chart.Mark {
	var all []chart.Mark
	for _, edge := range p.Snapshot.Edges {
		switch {
		case edge.At.After(p.Now):
		case edge.To == alerts.Firing:
			level := theme.Warning
			if probes.AlertSeverity(edge.Severity) == probes.Critical {
				level = theme.Critical
			}
			all = append(all, chart.Mark{At: edge.At, Level: level})
		case edge.From == alerts.Firing:
			all = append(all, chart.Mark{At: edge.At, Level: theme.OK})
		}
	}
	for _, event := range p.Journal {
		if event.Kind == "action" && !event.At.After(p.Now) {
			all = append(all, chart.Mark{At: event.At, Action: true})
		}
	}
	return all
}

// rates is a titled chart of figures per second.
func (p painter) rates(title string, series []chart.Series, width, rows int) []string {
	plot := p.base(series, width, rows)
	plot.Linear = true
	return append([]string{p.section(p.legend(title, series, width, cell.Count), "", width)}, chart.Draw(plot, p.t)...)
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
		legend += "  " + p.t.Series[i%2].Render(mark+" "+name) + " " + p.reading(s, write)
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
	plot := p.base(series, width, rows)
	plot.Limit = float64(limit) / float64(time.Millisecond)
	return append([]string{p.section(legend, note, width)}, chart.Draw(plot, p.t)...)
}

// reading is the value of a line at the cursor, or its newest one while that can be believed.
func (p painter) reading(s chart.Series, write func(float64) string) string {
	at, gap := p.cursor, p.gap()
	if at.IsZero() {
		at, gap = p.Now, 5*p.poll
	}
	point, ok := s.Value(at, gap)
	if !ok {
		return p.t.Dim.Render("–")
	}
	return write(point.Value)
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
	lines := []string{p.section(p.t.Title.Render("events"), p.t.Dim.Render("newest first"), p.Width)}
	all := p.Snapshot.Events
	for i := len(all) - 1; i >= 0 && len(lines) < rows; i-- {
		e := all[i]
		line := p.t.Dim.Render(p.Times.Write(e.At, p.Now)) + " " + p.t.At(screen.Level(e.Severity)).Render(screen.Level(e.Severity).Shape()) + " " +
			cell.Clean(e.Text)
		lines = append(lines, cell.Cut(line, p.Width))
	}
	if len(all) == 0 {
		lines = append(lines, p.t.Dim.Render("Nothing has changed since captop began to watch at "+p.Times.Write(p.Snapshot.Started, p.Now)+"."))
	}
	for len(lines) < rows {
		lines = append(lines, "")
	}
	return lines
}
