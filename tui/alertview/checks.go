// Package alertview is the screen of alerts: what fires and since when, what will fire and when, beside the runbook
// page that says what to do about it.
package alertview

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes/alerts"
	"captop/tui/cell"
	"captop/tui/markdown"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Check is one check step of a runbook page: it passes while Expr has at least one sample.
type Check struct {
	Title string // what is checked, in words
	Expr  string // PromQL
}

// checkTimeout ends a check that nobody answers.
const checkTimeout = 10 * time.Second

// outcome of a check. Its zero value is the one that says nothing.
type outcome int

const (
	cannotTell outcome = iota
	pass
	fail
)

// result is what became of a check, and when.
type result struct {
	outcome outcome
	why     string // what was found, or why nothing could be told
	at      time.Time
	running bool
}

// page is a runbook page with its checks; loaded is false while it is being read.
type page struct {
	loaded   bool
	text     markdown.Page
	checks   []Check
	problems []string
	results  []result // as many as checks, once they were run
	run      int      // counts runs: the answer to an older one is dropped
}

// pageMsg is a page that was read; resultMsg is what became of one check.
type (
	pageMsg struct {
		name string
		page page
	}
	resultMsg struct {
		name       string
		run, index int
		result     result
	}
)

// load reads a page: files, not the network, but a screen that draws does no I/O at all.
func (a Alerts) load(name string) tea.Cmd {
	read, steps := a.options.Runbook, a.options.Checks
	return func() tea.Msg {
		p := page{loaded: true}
		source, err := read(name)
		if err != nil {
			p.problems = append(p.problems, fmt.Sprintf("The page %s cannot be read: %v", name, err))
			return pageMsg{name, p}
		}
		p.text = markdown.Parse(source)
		if steps != nil {
			if p.checks, err = steps(name); err != nil {
				p.problems = append(p.problems, fmt.Sprintf("The check steps of %s cannot be read: %v", name, err))
			}
		}
		return pageMsg{name, p}
	}
}

// runChecks asks all check steps of a page at once.
func (a Alerts) runChecks(name string, c screen.Context) (Alerts, tea.Cmd) {
	p, ok := a.pages[name]
	switch {
	case c.Past:
		return a.say(c, "Checks ask about now, and this is the past: press "+c.Keys.Live.Help().Key+" to come back."), nil
	case !ok || !p.loaded || len(p.checks) == 0:
		return a.say(c, "There are no check steps here."), nil
	case a.options.Query == nil:
		return a.say(c, "Nothing answers queries here, so no check can be run."), nil
	}
	p.run++
	p.results = make([]result, len(p.checks))
	var commands []tea.Cmd
	for i, check := range p.checks {
		p.results[i] = result{running: true, at: c.Now}
		commands = append(commands, a.ask(c.Context, name, p.run, i, check, c.Now))
	}
	a.focus = onPage
	return a.withPage(name, p).toChecks(c), tea.Batch(commands...)
}

// toChecks scrolls the page to its first check step, unless one shows already.
func (a Alerts) toChecks(c screen.Context) Alerts {
	e := a.current(c)
	p := a.pages[e.rule.Runbook]
	width, height := a.paneSize(c)
	first := slices.Index(a.pane(c, e, width), p.step(c, 0, width)[0])
	if first >= 0 && (first < a.scroll[onPage] || first >= a.scroll[onPage]+height-3) {
		a.scroll[onPage] = min(first, a.furthest(c))
	}
	return a
}

func (a Alerts) ask(parent context.Context, name string, run, index int, check Check, at time.Time) tea.Cmd {
	query := a.options.Query
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, checkTimeout)
		defer cancel()
		r := judge(ctx, query, check.Expr)
		r.at = at
		return resultMsg{name: name, run: run, index: index, result: r}
	}
}

// judge runs one check: a sample is a pass, none a fail, unless the series are not there at all.
func judge(ctx context.Context, query func(context.Context, string) ([]alerts.Sample, error), expr string) result {
	found, err := query(ctx, expr)
	switch {
	case err != nil:
		return result{why: err.Error()}
	case len(found) > 0:
		return result{outcome: pass, why: evidence(expr, found)}
	}
	for _, read := range alerts.Reads(expr) {
		series, err := query(ctx, read)
		if err != nil {
			return result{why: err.Error()}
		}
		if len(series) == 0 {
			return result{why: "there are no samples of " + read}
		}
	}
	return result{outcome: fail, why: "it does not hold"}
}

// evidence is the first sample that makes a check pass, and how many there are.
func evidence(expr string, found []alerts.Sample) string {
	text := unitOf(expr).write(found[0].Value)
	if told := told(entry{labels: found[0].Labels}); told != "" {
		text += " for " + told
	}
	if more := len(found) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	return text
}

func (a Alerts) withResult(msg resultMsg) Alerts {
	p, ok := a.pages[msg.name]
	if !ok || p.run != msg.run || msg.index >= len(p.results) {
		return a // an answer to an older run
	}
	p.results = append([]result(nil), p.results...)
	p.results[msg.index] = msg.result
	return a.withPage(msg.name, p)
}

// fence draws a fenced block of check steps with what became of them. The lines are those that were read as checks; one
// that is none is shown as it is.
func (p page) fence(c screen.Context) markdown.Fence {
	next := 0
	return func(info string, lines []string, width int) ([]string, bool) {
		if info != "check" {
			return nil, false
		}
		var drawn []string
		for _, line := range lines {
			if strings.TrimSpace(line) == "" {
				continue
			}
			if next < len(p.checks) && strings.HasSuffix(strings.TrimSpace(line), cell.Clean(p.checks[next].Expr)) {
				drawn = append(drawn, p.step(c, next, width)...)
				next++
				continue
			}
			drawn = append(drawn, c.Theme.Dim.Render(cell.Cut(line, width)))
		}
		return drawn, true
	}
}

// step is one check: its title, what became of it with the time, and the expression below it.
func (p page) step(c screen.Context, i, width int) []string {
	t, check := c.Theme, p.checks[i]
	mark, verdict := t.Bold.Render("▸ "), ""
	if i < len(p.results) {
		r := p.results[i]
		switch {
		case r.running:
			verdict = t.Dim.Render("asking…")
		case r.outcome == pass:
			mark = t.At(theme.OK).Render("✓ ")
			verdict = t.At(theme.OK).Render("pass ") + t.Dim.Render(c.Times.Write(r.at, c.Now))
		case r.outcome == fail:
			mark = t.At(theme.Critical).Render("✗ ")
			verdict = t.At(theme.Critical).Render("FAIL ") + t.Dim.Render(c.Times.Write(r.at, c.Now))
		default:
			mark = t.At(theme.Unknown).Render("? ")
			verdict = t.At(theme.Unknown).Render("cannot tell ") + t.Dim.Render(c.Times.Write(r.at, c.Now))
		}
	}
	room := max(width-2-cell.Width(verdict)-1, 10)
	var lines []string
	for n, part := range cell.Wrap(cell.Clean(check.Title), room, 20) {
		if n == 0 {
			lines = append(lines, cell.Ends(mark+t.Bold.Render(part), verdict, width))
		} else {
			lines = append(lines, "  "+t.Bold.Render(part))
		}
	}
	if i < len(p.results) && p.results[i].why != "" {
		for _, part := range cell.Wrap(cell.Clean(p.results[i].why), width-2, 20) {
			lines = append(lines, "  "+part)
		}
	}
	for _, part := range cell.Wrap(cell.Clean(check.Expr), width-2, 20) {
		lines = append(lines, "  "+t.Dim.Render(part))
	}
	return lines
}
