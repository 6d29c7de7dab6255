package overview

import (
	"fmt"
	"strings"
	"time"

	"captop/probes"
	"captop/tui/cell"
	"captop/tui/theme"
)

// verdictRows is the room that the verdict keeps, so that the rest of the screen does not jump.
const verdictRows = 3

// blindAfter is the number of polls without a snapshot after which nothing on the screen is believed.
const blindAfter = 5

// header says where this is and how fresh: severity, stack, targets, seat, age of the last poll, clock.
func (p painter) header() string {
	worst, _ := p.conclusion()
	left := p.t.Badge(worst, worst.Word()) + " " + p.t.Title.Render("captop")
	if p.Snapshot != nil {
		up, all := p.targetsUp()
		text := fmt.Sprintf(" · %d/%d up", up, all)
		if up == all {
			left += p.t.Dim.Render(text)
		} else {
			left += p.t.At(theme.Warning).Render(text)
		}
	}
	if p.Stack != "" {
		left += p.t.Dim.Render(" · " + cell.Clean(p.Stack))
	}
	right := p.seat() + "  " + p.pollAge() + "  " + p.t.Bold.Render(p.Now.UTC().Format("15:04:05")) + p.t.Dim.Render(" UTC")
	return cell.Left(left, p.Width-cell.Width(right)-1) + " " + right
}

func (p painter) targetsUp() (up, all int) {
	for _, s := range p.Snapshot.Services {
		all++
		if s.Reach.Contact == probes.Up && p.fresh(s.Reach.At) == probes.Fresh {
			up++
		}
	}
	for _, n := range p.Snapshot.Nodes {
		all++
		if n.Reach.Contact == probes.Up && p.fresh(n.Reach.At) == probes.Fresh {
			up++
		}
	}
	return up, all
}

func (p painter) seat() string {
	switch {
	case !p.Seat.Armed:
		return p.t.Dim.Render("read-only")
	case p.Seat.Left > 0:
		return p.t.At(theme.Warning).Bold(true).Render("ARMED " + cell.Clock(p.Seat.Left))
	}
	return p.t.At(theme.Warning).Bold(true).Render("ARMED")
}

// pollAge is how old the newest snapshot is.
func (p painter) pollAge() string {
	if p.Snapshot == nil {
		return p.t.At(theme.Unknown).Render("not polled yet")
	}
	age := max(p.Now.Sub(p.Snapshot.At), 0).Truncate(time.Second)
	text := "poll " + cell.Age(age) + " ago"
	switch p.fresh(p.Snapshot.At) {
	case probes.Fresh:
		return p.t.Dim.Render(text)
	case probes.Late:
		return p.t.State(theme.Warning, text)
	}
	return p.t.State(theme.Unknown, text)
}

// conclusion is the severity and the sentence that hold now: an old verdict is no verdict.
func (p painter) conclusion() (theme.Level, string) {
	if p.Snapshot == nil {
		return theme.Unknown, "Looking for the first time…"
	}
	if age := p.Now.Sub(p.Snapshot.At); age > blindAfter*p.poll {
		return theme.Unknown, "captop has not looked for " + cell.Age(age) + ": nothing here can be believed. The last verdict was: " +
			cell.Clean(p.Snapshot.Verdict.Sentence)
	}
	return level(p.Snapshot.Severity), cell.Clean(p.Snapshot.Verdict.Sentence)
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
		parts = append(parts, "since "+v.Since.UTC().Format("15:04:05")+", "+cell.Age(p.Now.Sub(v.Since)))
	}
	if v.ByDesign {
		parts = append(parts, "the services act as designed")
	}
	for _, also := range v.Also {
		parts = append(parts, "also: "+cell.Clean(also))
	}
	return strings.Join(parts, " · ")
}

// next is the next step with its key, in one or two lines, or the answer to the last key.
func (p painter) next() []string {
	if p.Notice != "" {
		return []string{p.t.Key.Render("▸ ") + cell.Cut(cell.Clean(p.Notice), p.Width-2)}
	}
	step := cell.Clean(p.Snapshot.Verdict.NextStep)
	if worst, _ := p.conclusion(); worst == theme.OK || step == "" {
		return []string{p.t.Dim.Render("▸ " + cell.Cut(step, p.Width-2))}
	}
	lead := p.t.Bold.Render("▸ next: ")
	if wanted := p.Snapshot.Verdict.Key; wanted != "" && p.offers(wanted) {
		lead += p.t.Bold.Render("press ") + p.t.Cursor.Render(" "+wanted+" ") + " "
	}
	lines := cell.Wrap(step, p.Width-cell.Width(lead), 2)
	for i := range lines {
		if i == 0 {
			lines[i] = lead + lines[i]
		} else {
			lines[i] = cell.Blank(cell.Width(lead)) + lines[i]
		}
	}
	return lines
}

func (p painter) offers(name string) bool {
	for _, key := range p.Keys {
		if key.Name == name {
			return true
		}
	}
	return false
}

// footer lists the keys. Where they do not all fit, each gets one word; then the middle ones go: help tells them all.
func (p painter) footer() string {
	keys := append([]Key(nil), p.Keys...)
	for try := 0; ; try++ {
		if try == 1 {
			for i := range keys {
				keys[i].Does, _, _ = strings.Cut(keys[i].Does, " ")
			}
		}
		parts := make([]string, len(keys))
		for i, key := range keys {
			parts[i] = p.t.Key.Render(key.Name) + " " + p.t.Dim.Render(key.Does)
		}
		line := strings.Join(parts, "  ")
		if cell.Width(line) <= p.Width || len(keys) <= 2 {
			return line
		}
		if try > 0 {
			keys = append(keys[:len(keys)-3], keys[len(keys)-2:]...)
		}
	}
}

func sizeHint(width, height int) string {
	return fmt.Sprintf("%dx%d; all of it needs %dx%d", width, height, minWidth, minHeight)
}
