package overview

import (
	"fmt"
	"strings"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// verdictRows is the room that the verdict keeps, so that the rest of the screen does not jump.
const verdictRows = 3

// blindAfter is the number of polls without a snapshot after which nothing on the screen is believed.
const blindAfter = 5

// conclusion is the severity and the sentence that hold now: an old verdict is no verdict.
func (p painter) conclusion() (theme.Level, string) {
	if p.Snapshot == nil {
		return theme.Unknown, "Looking for the first time…"
	}
	if age := p.Now.Sub(p.Snapshot.At); age > blindAfter*p.poll {
		return theme.Unknown, "captop has not looked for " + cell.Age(age) + ": nothing here can be believed. The last verdict was: " +
			cell.Clean(p.Snapshot.Verdict.Sentence)
	}
	return screen.Level(p.Snapshot.Severity), cell.Clean(p.Snapshot.Verdict.Sentence)
}

// verdict is verdictRows lines: the sentence, then since when, whether by design, and what else.
func (p painter) verdict() []string {
	worst, sentence := p.conclusion()
	shape := p.t.At(worst).Render(worst.Shape())
	var lines []string
	for i, text := range cell.Wrap(sentence, p.Width-2, verdictRows-1) {
		mark := " "
		if i == 0 {
			mark = shape
		}
		lines = append(lines, mark+" "+p.t.At(worst).Bold(true).Render(text))
	}
	for _, text := range cell.Wrap(p.circumstances(), p.Width-2, verdictRows-len(lines)) {
		lines = append(lines, "  "+p.t.Dim.Render(text))
	}
	for len(lines) < verdictRows {
		lines = append(lines, "")
	}
	return lines[:verdictRows]
}

func (p painter) circumstances() string {
	v := p.Snapshot.Verdict
	var parts []string
	if !v.Since.IsZero() {
		parts = append(parts, p.since(v.Since))
	}
	if v.ByDesign {
		parts = append(parts, "the services act as designed")
	}
	for _, also := range v.Also {
		parts = append(parts, "also: "+cell.Clean(also))
	}
	return strings.Join(parts, " · ")
}

// next is the next step with its key, in one or two lines.
func (p painter) next() []string {
	if p.fresh(p.Snapshot.At) == probes.FreshnessUnknown { // an old verdict's advice may do harm now
		step := "next: look at captop's own host and network; nothing has come since " + p.Times.Write(p.Snapshot.At, p.Now)
		return []string{p.t.Bold.Render("▸ " + cell.Cut(step, p.Width-2))}
	}
	step := cell.Clean(p.Snapshot.Verdict.NextStep)
	if worst, _ := p.conclusion(); worst == theme.OK || step == "" {
		return []string{p.t.Dim.Render("▸ " + cell.Cut(step, p.Width-2))}
	}
	lead := p.t.Bold.Render("▸ next: ")
	if act := p.Snapshot.Verdict.Act; act != "" && !p.Past {
		how, input, fact := p.remedy(act)
		if how != "" {
			lead += p.t.Bold.Render(how+" ") + p.t.Cursor.Render(" "+cell.Clean(input)+" ") + " "
		}
		if fact != "" {
			step = cell.Clean(fact) + "."
		}
	}
	return cell.Hang(lead, cell.Wrap(step, p.Width-cell.Width(lead), 2))
}

func sizeHint(width, height int) string {
	const frame = 2 // the lines that the root draws
	return fmt.Sprintf("%dx%d; all of it needs %dx%d", width, height+frame, minWidth, minHeight+frame)
}
