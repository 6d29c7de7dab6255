package alertview

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// wrapLimit is more lines than any text of an alert has: nothing is cut for good, panes scroll.
const wrapLimit = 500

// pane is everything about one entry: what, then what to do about it, then what can be looked up.
func (a Alerts) pane(c screen.Context, e entry, width int) []string {
	lines := append(about(c, e, width), "")
	lines = append(lines, a.runbook(c, e, width)...)
	lines = append(lines, "", section(c.Theme, "the rule", "", width, false))
	return append(lines, facts(c, e, width)...)
}

// runbook is the page, or why there is none.
func (a Alerts) runbook(c screen.Context, e entry, width int) []string {
	t := c.Theme
	say := func(text string) []string {
		var lines []string
		for _, line := range cell.Wrap(cell.Clean(text), width, wrapLimit) {
			lines = append(lines, t.Dim.Render(line))
		}
		return lines
	}
	name := e.rule.Runbook
	switch {
	case name == "":
		return say("The rule names no runbook page (label runbook).")
	case a.options.Runbook == nil:
		return say("Its runbook page is " + name + "; no pages are at hand here.")
	}
	p := a.pages[name]
	if !p.loaded {
		return say("Reading the runbook page " + name + "…")
	}
	var lines []string
	for _, problem := range p.problems {
		for _, line := range cell.Wrap(cell.Clean(problem), width, wrapLimit) {
			lines = append(lines, t.At(theme.Warning).Render(line))
		}
	}
	if len(p.checks) > 0 {
		lines = append(lines, t.Key.Render(c.Keys.RunChecks.Help().Key)+t.Dim.Render(fmt.Sprintf(" runs the %s of this page%s", steps(len(p.checks)), p.tally())), "")
	}
	return append(lines, p.text.Lines(width, t, p.fence(c))...)
}

func steps(n int) string {
	if n == 1 {
		return "check step"
	}
	return fmt.Sprintf("%d check steps", n)
}

// tally is what became of the checks, in numbers.
func (p page) tally() string {
	if len(p.results) == 0 {
		return ""
	}
	counts, running := map[outcome]int{}, 0
	for _, r := range p.results {
		if r.running {
			running++
		} else {
			counts[r.outcome]++
		}
	}
	text := fmt.Sprintf(": %d pass, %d fail, %d cannot tell", counts[pass], counts[fail], counts[cannotTell])
	if running > 0 {
		text += fmt.Sprintf(", %d on their way", running)
	}
	return text
}

// about is what an entry means, in words.
func about(c screen.Context, e entry, width int) []string {
	t := c.Theme
	var lines []string
	add := func(text string, style lipgloss.Style) {
		for _, line := range cell.Wrap(text, width, wrapLimit) {
			if line != "" {
				lines = append(lines, style.Render(line))
			}
		}
	}
	add(cell.Clean(e.alert.Summary), t.Bold)
	add(cell.Clean(e.alert.Description), t.Plain)
	for _, line := range append(fuse(c, e, 0), said(c, e)...) {
		add(line, t.Plain)
	}
	if e.kind == blank {
		add(blankReason(e), t.At(theme.Unknown))
	}
	if e.kind == quiet {
		add("Quiet: what the rule asks for does not hold.", t.Plain)
	}
	add(managerText(c, e), t.Plain)
	return lines
}

// facts are what can be looked up: the values, the labels, the rule itself.
func facts(c screen.Context, e entry, width int) []string {
	var lines []string
	add := func(label, text string) {
		if text == "" {
			return
		}
		lines = append(lines, cell.Hang(c.Theme.Dim.Render(cell.Left(label, factWidth)), cell.Wrap(cell.Clean(text), max(width-factWidth, 8), wrapLimit))...)
	}
	add("value", against(e))
	u := unitOf(e.rule.Expr)
	for i, m := range e.rule.Measures {
		label := ""
		if i == 0 {
			label = "measured"
		}
		add(label, strings.TrimSpace(u.write(m.Value)+" "+told(entry{labels: m.Labels})))
	}
	add("labels", labelText(e.labels))
	add("expr", e.rule.Expr)
	add("timing", timing(c, e))
	return lines
}

// factWidth is the column of labels.
const factWidth = 10

func blankReason(e entry) string {
	if e.rule.EvaluatedAt.IsZero() {
		return "The rule has not been evaluated yet."
	}
	return "None of the series that the rule compares are there, so it cannot fire. Nobody knows whether all is well."
}

func timing(c screen.Context, e entry) string {
	if e.kind == elsewhere {
		return ""
	}
	text := "fires at once"
	if e.rule.For > 0 {
		text = "fires after " + cell.Age(e.rule.For)
	}
	if e.rule.KeepFiringFor > 0 {
		text += ", goes on for " + cell.Age(e.rule.KeepFiringFor)
	}
	if e.kind == firing || e.kind == pending {
		text += "; it has held " + since(c, e.alert.ActiveAt)
	}
	return text + "; evaluated " + ago(c, e.rule.EvaluatedAt)
}

// managerText is what Alertmanager holds of the alert, and how old that word is.
func managerText(c screen.Context, e entry) string {
	m := c.Snapshot.Alertmanager
	if m == nil || !e.standing() && e.kind != elsewhere {
		return ""
	}
	age := ", it said " + ago(c, m.At)
	switch {
	case m.At.IsZero() || m.Reach.Contact != probes.Up:
		return "Alertmanager does not answer: what it holds is not known"
	case e.inManager:
		return "Alertmanager holds this alert" + age
	case e.kind == elsewhere:
		text := "Alertmanager holds it as " + e.held.State + age
		if len(e.held.Receivers) > 0 {
			text += "; for " + strings.Join(e.held.Receivers, ", ")
		}
		return text
	case e.kind == firing:
		return "Alertmanager does NOT hold this alert" + age + ": nobody is paged by it"
	}
	return "Alertmanager does not hold this alert" + age
}
