package backupview

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// painter draws one frame.
type painter struct {
	screen.Context
	Backups
	t theme.Theme
}

const (
	beside   = 118 // the width from which the details stand beside the list, and not below it
	listWide = 78  // of the list, where they do
	columns  = 1   // the height of the line that names the columns
)

// at is the time that ages are held against. In the past that is when the folder was looked at: what it held then is
// not known.
func (p painter) at() time.Time {
	if p.Past {
		return p.looked
	}
	return p.Now
}

// sure says that what was seen is so now, as far as anybody knows.
func (p painter) sure() bool { return !p.Past && p.problem == "" && p.Now.Sub(p.looked) <= tooOld }

func (p painter) aside() bool { return p.Width >= beside }

// listHeight is the room of the list.
func (p painter) listHeight() int {
	room := p.Height - len(p.head()) - columns
	if !p.aside() {
		room -= p.detailHeight()
	}
	return max(room, 1)
}

// detailHeight is the room of the details below the list, with the rule above them.
func (p painter) detailHeight() int { return max(min(p.Height*2/5, 9), 0) }

func (p painter) draw() []string {
	if p.Height <= 0 || p.Width <= 0 {
		return nil
	}
	lines, all := p.head(), p.shown()
	if len(all) == 0 {
		return append(lines, cell.Wrap(p.empty(), p.Width, max(p.Height-len(lines), 0))...)
	}
	width := p.Width
	if p.aside() {
		width = listWide
	}
	list := p.list(all, width)
	one, _ := p.current()
	if p.aside() {
		room, height := p.Width-listWide-3, max(p.Height-len(lines), 0)
		for len(list) < height {
			list = append(list, "")
		}
		return append(lines, cell.Beside(p.t.Rule.Render(" │ "), []int{listWide, room}, list, p.details(one, room, height))...)
	}
	lines = append(append(lines, list...), p.t.Rule.Render(cell.Run("─", p.Width)))
	return append(lines, p.details(one, p.Width, p.Height-len(lines))...)
}

// resume is the way on from whatever is not finished.
const resume = "captop backup restore --resume finishes it"

// head is what stands above the list: each node, the worst first; what is unfinished; the drills; the job; the answer to
// a key; and the filter.
func (p painter) head() []string {
	if p.source.Look == nil {
		return nil
	}
	lines := p.nodeLines()
	if p.state.Unfinished != "" && (p.job == nil || p.job.done() || !p.job.restores) {
		text := "UNFINISHED  " + cell.Clean(p.state.Unfinished) + ". "
		if p.state.Undo != "" {
			text += p.Keys.UndoRestore.Help().Key + " takes it back, "
		}
		text += resume + "; unless another captop is at it."
		if p.state.Broke != "" {
			text += " It broke off with: " + cell.Clean(p.state.Broke)
		}
		for n, part := range cell.Wrap(text, max(p.Width-2, 1), 4) {
			if n == 0 {
				part = p.t.State(theme.Critical, part)
			} else {
				part = p.t.At(theme.Critical).Render("  " + part)
			}
			lines = append(lines, part)
		}
	}
	lines = append(append(lines, p.drillLines()...), p.jobLines()...)
	if p.note != "" && p.Now.Before(p.noteUntil) {
		lines = append(lines, p.t.Key.Render("▸ ")+cell.Cut(cell.Clean(p.note), max(p.Width-2, 0)))
	}
	if p.typing || p.filter.Text() != "" {
		count := fmt.Sprintf("%d of %d backups", len(p.shown()), len(p.state.Backups))
		lines = append(lines, cell.Ends(p.t.Key.Render("/")+p.filter.View(min(max(p.Width-len(count)-3, 1), 40), p.typing, p.t), p.t.Dim.Render(count), p.Width))
	}
	return lines
}

// empty is said where there is nothing to list.
func (p painter) empty() string {
	take := p.Keys.TakeBackup.Help().Key
	switch {
	case p.source.Look == nil:
		return "No backups are known of what is shown here. captop backup list shows those of a folder."
	case p.problem != "":
		return ""
	case p.looked.IsZero():
		return "Looking at the backups…"
	case len(p.state.Backups) > 0:
		return fmt.Sprintf("None of %d backups has %q; esc clears the filter.", len(p.state.Backups), cell.Clean(p.filter.Text()))
	case !p.state.Exists:
		return "There is no folder of backups yet: " + p.state.Dir + ". " + p.source.First + " makes the first backup of both nodes, and so does " +
			take + " here. With --every 4m --keep 24 it goes on, and no more is lost than the RPO of " + cell.Age(p.source.RPO) + " allows."
	}
	return "There are no backups in " + p.state.Dir + ". " + p.source.First + " makes the first one of both nodes, and so does " + take + " here."
}

// standing is what a node would lose.
type standing struct {
	level theme.Level
	node  string
	text  string
}

// standings are those of the nodes, the worst first.
func (p painter) standings() []standing {
	var all []standing
	for _, node := range p.source.Nodes {
		all = append(all, p.standing(node))
	}
	worth := map[theme.Level]int{theme.Critical: 0, theme.Unknown: 1, theme.Warning: 2, theme.OK: 3}
	slices.SortStableFunc(all, func(a, b standing) int { return worth[a.level] - worth[b.level] })
	return all
}

func (p painter) standing(node string) standing {
	switch {
	case p.looked.IsZero() && p.problem == "":
		return standing{theme.Unknown, node, "looking…"}
	case p.looked.IsZero():
		return standing{theme.Unknown, node, "its backups cannot be seen"}
	}
	one, ok := p.newest(node)
	if !ok {
		if slices.ContainsFunc(p.state.Backups, func(b Backup) bool { return b.Node == node }) {
			return standing{theme.Critical, node, "no backup is verified: none is proven to be of use; " + p.Keys.VerifyBackup.Help().Key + " verifies"}
		}
		return standing{theme.Critical, node, "no backup: all of it would be lost with the nodes"}
	}
	age := p.at().Sub(one.At)
	text := "newest verified " + cell.Age(age) + " old"
	if p.aside() {
		text += ", " + cell.Bytes(float64(one.Bytes)) + ", " + cell.Count(float64(one.Keys)) + " keys"
	}
	level := p.against(one)
	switch {
	case age < 0:
		text = "newest verified is of the future (" + p.Times.Write(one.At, p.at()) + "): a clock is wrong"
	case level == theme.OK:
		text += ", within the RPO of " + cell.Age(p.source.RPO)
	case level == theme.Warning:
		text += ", RPO " + cell.Age(p.source.RPO)
		if p.aside() {
			text += ": late by " + cell.Age(age-p.source.RPO)
		}
	}
	if newer := p.state.Backups[0:slices.IndexFunc(p.state.Backups, func(b Backup) bool { return b.File == one.File })]; age >= 0 &&
		slices.ContainsFunc(newer, func(b Backup) bool { return b.Node == node }) {
		text += "; newer: not verified"
	}
	if p.Past {
		return standing{theme.Unknown, node, "now, not then: " + text}
	}
	if !p.sure() {
		return standing{theme.Unknown, node, "as seen " + cell.Age(p.Now.Sub(p.looked)) + " ago: " + text}
	}
	return standing{level, node, text}
}

// against holds a backup against the RPO.
func (p painter) against(one Backup) theme.Level {
	switch age := p.at().Sub(one.At); {
	case !one.counts() || age < 0:
		return theme.Unknown
	case age > p.source.RPO:
		return theme.Warning
	}
	return theme.OK
}

func (p painter) nodeLines() []string {
	var lines []string
	for _, s := range p.standings() {
		word := map[theme.Level]string{theme.OK: "OK", theme.Warning: "LATE", theme.Critical: "NONE", theme.Unknown: "UNKNOWN"}[s.level]
		lines = append(lines, p.t.State(s.level, cell.Left(word, 7))+" "+p.t.Bold.Render(cell.Left(s.node, 6))+" "+cell.Clean(s.text))
	}
	if p.problem != "" {
		lines = append(lines, p.t.State(theme.Unknown, cell.Clean(p.problem)))
	}
	return lines
}

// drillLines are the last drill of each kind.
func (p painter) drillLines() []string {
	if p.looked.IsZero() {
		return nil
	}
	if len(p.state.Drills) == 0 {
		return []string{p.t.State(theme.Unknown, cell.Left("UNKNOWN", 7)) + " drill  never: captop drill shows how long a restore takes"}
	}
	var lines []string
	for _, d := range p.state.Drills {
		level, word := theme.OK, "OK"
		text := d.Kind + " " + cell.Age(p.at().Sub(d.At)) + " ago, RPO " + p.reached(d.RPO, p.source.RPO) + ", RTO " + p.reached(d.RTO, p.source.RTO)
		if p.aside() {
			text = d.Kind + " " + p.Times.Write(d.At, p.at()) + ", " + cell.Age(p.at().Sub(d.At)) + " ago: RPO reached " + p.reached(d.RPO, p.source.RPO) + ", RTO reached " + p.reached(d.RTO, p.source.RTO)
		}
		if !d.OK {
			level, word = theme.Critical, "FAILED"
			text = d.Kind + " " + cell.Age(p.at().Sub(d.At)) + " ago: " + or(d.Problem, "it did not reach its targets") // with a problem the times are those of a part
			if d.RTO > 0 && p.aside() {
				text += " (RPO " + p.reached(d.RPO, p.source.RPO) + ", RTO " + p.reached(d.RTO, p.source.RTO) + ")"
			}
		}
		lines = append(lines, p.t.State(level, cell.Left(word, 7))+" "+p.t.Bold.Render("drill ")+" "+cell.Clean(text))
	}
	return lines
}

// reached holds what was reached against a target.
func (p painter) reached(got, target time.Duration) string {
	sign := " ≤ "
	if got > target {
		sign = " > "
	}
	return cell.Span(got) + sign + cell.Age(target)
}

// jobLines are the job with its bar, and its last steps.
func (p painter) jobLines() []string {
	j := p.job
	if j == nil {
		return nil
	}
	shown := 2
	if p.Height > 30 {
		shown = 6
	}
	hides := p.t.Dim.Render("  esc hides this")
	took := cell.Span(max(j.ended.Sub(j.began), 0))
	switch {
	case !j.done():
		lines := []string{p.t.Title.Render("▸ "+cell.Clean(j.what)) + "  " + p.bar(j.progress) + "  " + p.t.Dim.Render(cell.Age(p.Now.Sub(j.began)))}
		for i, step := range j.steps[max(len(j.steps)-shown, 0):] {
			mark := p.t.At(theme.OK).Render("✓ ")
			if i == min(len(j.steps), shown)-1 {
				mark = p.t.At(theme.Warning).Render("▸ ")
			}
			lines = append(lines, "  "+mark+step)
		}
		return lines
	case j.err != nil:
		lines := []string{p.t.At(theme.Critical).Render("✗ FAILED  "+cell.Clean(j.what)) + p.t.Dim.Render(", after "+took) + hides}
		for _, part := range cell.Wrap(cell.Clean(j.err.Error()), max(p.Width-2, 1), shown+1) {
			lines = append(lines, "  "+part)
		}
		return lines
	}
	lines := []string{p.t.At(theme.OK).Render("✓ DONE  "+cell.Clean(j.what)) + p.t.Dim.Render(", in "+took) + hides}
	for _, fact := range strings.Split(strings.TrimSpace(j.proof), "\n") {
		if fact != "" {
			lines = append(lines, "  "+cell.Clean(fact))
		}
	}
	return lines[:min(len(lines), shown+1)]
}

// bar is how far a job has come.
func (p painter) bar(so Progress) string {
	const width = 16
	if so.Total <= 0 {
		return p.t.Dim.Render(cell.Run("░", width))
	}
	ratio := min(max(float64(so.Done)/float64(so.Total), 0), 1)
	full := int(width * ratio)
	return p.t.At(theme.OK).Render(cell.Run("█", full)) + p.t.Dim.Render(cell.Run("░", width-full)) + " " + cell.Percent(ratio)
}

// word is what a backup is worth.
func (b Backup) word() string {
	switch {
	case b.Problem != "":
		return "PROBLEM"
	case b.Verified == nil:
		return "NOT VERIFIED"
	}
	return "verified"
}

func (p painter) mark(b Backup) string {
	shape, level := "✓", theme.OK
	switch {
	case b.Problem != "":
		shape, level = "✗", theme.Critical
	case b.Verified == nil:
		shape, level = "?", theme.Unknown
	}
	return p.t.At(level).Render(shape + " " + cell.Left(b.word(), 12))
}

// list is the names of the columns, and the backups that show.
func (p painter) list(all []Backup, width int) []string {
	first, last := p.place.Window(len(all), p.listHeight())
	title := fmt.Sprintf("%-14s %-6s %-14s %8s %-7s %9s %7s", "  state", "node", "taken", "age", "RPO "+cell.Tight(cell.Age(p.source.RPO)), "size", "keys")
	lines := []string{p.t.Dim.Render(cell.Left(title, width))}
	for at := first; at < last; at++ {
		text := cell.Left(p.row(all[at]), width)
		if at == max(p.place.At(len(all)), 0) {
			text = p.t.Cursor.Render(ansi.Strip(text))
		}
		lines = append(lines, text)
	}
	return lines
}

func (p painter) row(b Backup) string {
	if b.Problem != "" {
		return p.mark(b) + " " + cell.Clean(b.File+": "+b.Problem)
	}
	return p.mark(b) + " " + cell.Left(cell.Clean(b.Node), 6) + " " + cell.Left(p.Times.Write(b.At, p.at()), 14) + " " + cell.Right(cell.Age(p.at().Sub(b.At)), 8) + " " +
		p.rpo(b) + " " + cell.Right(cell.Bytes(float64(b.Bytes)), 9) + " " + cell.Right(cell.Count(float64(b.Keys)), 7)
}

// rpo is the age of a node's newest verified backup against the RPO; the others do not count.
func (p painter) rpo(b Backup) string {
	const width = 7
	newest, ok := p.newest(b.Node)
	switch {
	case !b.counts() || !p.sure():
		return p.t.Dim.Render(cell.Left("–", width))
	case !ok || newest.File != b.File:
		return p.t.Dim.Render(cell.Left("older", width))
	}
	level := p.against(b)
	word := map[theme.Level]string{theme.OK: "OK", theme.Warning: "late", theme.Unknown: "clock"}[level]
	return cell.Left(p.t.State(level, word), width)
}

// details are all that is known of a backup.
func (p painter) details(b Backup, width, height int) []string {
	if height <= 0 || width <= 0 {
		return nil
	}
	const indent = 9
	lines := []string{p.t.Title.Render(cell.Cut(cell.Clean(b.File), width))}
	add := func(title, text string, limit int) {
		lines = append(lines, cell.Hang(p.t.Dim.Render(cell.Left(title, indent)), cell.Wrap(cell.Clean(text), max(width-indent, 1), limit))...)
	}
	date := func(at time.Time) string { return at.In(p.Times.In()).Format("2006-01-02 15:04:05 MST") }
	switch {
	case b.Problem != "":
		add("problem", b.Problem, 4)
	case b.Verified == nil:
		add("verified", "no: no server has loaded it. "+p.Keys.VerifyBackup.Help().Key+" does, and a restore does so first", 3)
	default:
		add("verified", date(b.Verified.At)+": Redis "+b.Verified.Redis+" loaded "+keysOf(b.Verified.Keys)+" in "+cell.Span(b.Verified.Took), 3)
	}
	if !b.At.IsZero() {
		add("taken", date(b.At)+", in "+cell.Span(b.Took)+", of Redis "+b.Redis, 3)
		holds := keysOf(b.Keys) + " in " + cell.Bytes(float64(b.Bytes))
		if b.Expiring > 0 {
			holds += fmt.Sprintf("; %d with an expiry", b.Expiring)
		}
		add("holds", holds, 2)
		offsets := fmt.Sprintf("%d to %d, run %.8s", b.Offsets[0], b.Offsets[1], b.RunID)
		if missing := b.Offsets[1] - b.Offsets[0]; missing > 0 {
			offsets += ": " + cell.Bytes(float64(missing)) + " in between may be missing"
		}
		add("offsets", offsets, 3)
		add("SHA-256", b.SHA256, 3)
	}
	add("file", strings.TrimSuffix(p.state.Dir, "/")+"/"+b.File, 4)
	return lines[:min(len(lines), height)]
}

func keysOf(count int64) string {
	if count == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", count)
}

func names(nodes []string) string { return strings.Join(nodes, " and ") }

// question is the plan that waits to be confirmed: warnings first, the way out last.
func (p painter) question(width int) (string, []string) {
	t, plan := p.t, p.ask
	var body []string
	for _, warning := range plan.Warnings {
		for n, part := range cell.Wrap(cell.Clean(warning), max(width-2, 1), 4) {
			if n == 0 {
				body = append(body, t.State(theme.Warning, part))
			} else {
				body = append(body, "  "+part)
			}
		}
	}
	for n, line := range plan.Lines {
		body = append(body, cell.Hang(t.Dim.Render(fmt.Sprintf("%2d  ", n+1)), cell.Wrap(cell.Clean(line), max(width-4, 1), 3))...)
	}
	end := []string{"", t.State(theme.OK, "interlocks: nothing stands in the way"), "Type " + t.Bold.Render(cell.Clean(plan.Subject)) + " to confirm: " + p.typed.View(24, true, t),
		t.At(theme.Warning).Render(cell.Cut(cell.Clean(p.hint), width)), t.Key.Render("enter") + t.Dim.Render(" does it   ") + t.Key.Render("esc") + t.Dim.Render(" goes back")}
	if room := p.Height - 2 - len(end); len(body) > room && room > 0 {
		body = append(body[:room-1], t.Dim.Render("    … "+cell.Cut(cell.Clean(plan.Command)+" --dry-run shows all", max(width-6, 1))))
	}
	return cell.Clean(plan.What) + "?", append(body, end...)
}
