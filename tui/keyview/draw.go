package keyview

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/probes/keyspace"
	"captop/service"
	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// painter draws one frame.
type painter struct {
	screen.Context
	View
	t theme.Theme
}

func (p painter) draw() []string {
	lines := []string{p.tabs()}
	above, list := p.content()
	lines = append(lines, above...)
	first, last := p.places[p.pane].Window(len(list), max(p.Height-len(lines), 0))
	for i := first; i < last; i++ {
		text := list[i]
		if p.pane != paneKey && i == p.places[p.pane].At(len(list)) {
			text = p.t.Cursor.Render(ansi.Strip(cell.Left(text, p.Width)))
		}
		lines = append(lines, text)
	}
	return lines
}

// tabs names the panes, the one in front in reverse video; a comparison that runs shows on all of them.
func (p painter) tabs() string {
	line := ""
	for i, name := range paneNames {
		if pane(i) == p.pane {
			line += p.t.Cursor.Render(" "+name+" ") + " "
		} else {
			line += p.t.Dim.Render(" "+name+" ") + " "
		}
	}
	right := p.t.Dim.Render("reads only")
	if p.stopCompare != nil {
		right = p.t.At(theme.Warning).Render("comparing " + cell.Percent(share(p.comparison)))
	}
	return cell.Ends(line, right, p.Width)
}

// content is what stands still of the pane in front, and the rows that scroll.
func (p painter) content() (above, list []string) {
	switch {
	case p.source.Find == nil:
		return []string{"", p.t.State(theme.Unknown, "There are no keys to look at here: captop is not given the nodes.")}, nil
	case p.Past:
		return []string{"", p.t.State(theme.Unknown, "Keys are read live; what they were is not recorded."),
			p.t.Dim.Render("  " + p.Keys.Live.Help().Key + " comes back to now.")}, nil
	}
	switch p.pane {
	case paneKey:
		return p.oneKey()
	case paneCompare:
		return p.compareLines()
	}
	return p.searchLines()
}

// searchLines are the query, how far the search is, and what it found.
func (p painter) searchLines() (above, list []string) {
	above = []string{p.t.Key.Render("/ ") + p.query.View(max(p.Width-2, 1), p.typing, p.t)}
	s := p.search
	if p.searches == 0 {
		hint := "Press " + p.Keys.Filter.Help().Key + " and type a key or the beginning of one; * ? and [ make it a pattern. " +
			p.Keys.Submit.Help().Key + " alone lists the first keys."
		return append(above, wrapped(p.t.Dim.Render, hint, p.Width, 3)...), nil
	}
	above = append(above, p.searchState())
	if len(s.Keys) > 0 {
		above = append(above, p.t.Dim.Render(cell.Cut("CP    AP    key (at: 1 db_g1, 2 db_g2, - missing there)", p.Width)))
	}
	for _, found := range s.Keys {
		line := where(found.Where[0]) + "    " + where(found.Where[1]) + "    " + quoted(found.Key, p.Width-12)
		if found.Key == s.Query {
			line = p.t.Bold.Render(line)
		}
		list = append(list, line)
	}
	return above, list
}

// where says which nodes have a key in one mode.
func where(at [2]bool) string {
	if !at[0] && !at[1] {
		return "  "
	}
	text := ""
	for i, has := range at {
		if has {
			text += strconv.Itoa(i + 1)
		} else {
			text += "-"
		}
	}
	return text
}

func (p painter) searchState() string {
	s := p.search
	found := fmt.Sprintf("%s found", things(int64(len(s.Keys)), "key"))
	if s.Exact {
		found += ", the first is exactly it"
	}
	switch {
	case s.Full:
		return p.t.State(theme.Warning, found+"; there are more: name more of the key")
	case s.Phase == keyspace.Failed:
		return p.t.State(theme.Unknown, "stopped: "+cell.Clean(s.Problem)+"; until then "+found)
	case s.Phase == keyspace.Cancelled:
		return p.t.State(theme.Unknown, "stopped by you; until then "+found)
	case s.Phase == keyspace.Running:
		return p.t.At(theme.Warning).Render("▸ searching, ") + found + p.t.Dim.Render(fmt.Sprintf(" among %s of %s names", cell.Count(float64(s.Done)), cell.Count(float64(s.Total))))
	case len(s.Keys) == 0:
		return p.t.State(theme.Unknown, "No key begins with or fits "+quoted(s.Query, max(p.Width-30, 4))+"; all names were visited.")
	}
	return p.t.State(theme.OK, found+p.t.Dim.Render("; all names were visited"))
}

func things(n int64, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return cell.Count(float64(n)) + " " + name + "s"
}

// oneKey is a key from all sides.
func (p painter) oneKey() (above, list []string) {
	if p.looked == "" {
		return append(above, wrapped(p.t.Dim.Render, "No key was looked at yet: find one with "+p.Keys.Filter.Help().Key+".", p.Width, 2)...), nil
	}
	note := p.t.At(theme.Warning).Render("reading…")
	if !p.reading {
		note = p.t.Dim.Render("read " + cell.Age(p.Now.Sub(p.look.At)) + " ago; " + p.Keys.Again.Help().Key + " reads again")
	}
	above = append(above, cell.Ends(p.t.Bold.Render(quoted(p.looked, max(p.Width-cell.Width(note)-1, 8))), note, p.Width))
	if p.look.Key == "" {
		return above, nil
	}
	for i, view := range p.look.Views {
		if i > 0 {
			list = append(list, "")
		}
		list = append(list, p.view(view)...)
	}
	return above, list
}

// stateLevel is how bad a state is.
func stateLevel(s keyspace.State) theme.Level {
	switch s {
	case keyspace.Same, keyspace.Absent:
		return theme.OK
	case keyspace.InFlight, keyspace.Unsettled:
		return theme.Warning
	case keyspace.Divergent:
		return theme.Critical
	}
	return theme.Unknown
}

// view is a key in one mode: how its copies stand, then the service's answer and both copies.
func (p painter) view(v keyspace.View) []string {
	title := p.t.Title.Render(strings.ToUpper(string(v.Mode))) + " " + p.t.State(stateLevel(v.State), v.State.String())
	lines := []string{title + " " + p.t.Rule.Render(cell.Run("─", p.Width-cell.Width(title)-1))}
	lines = append(lines, wrapped(p.t.At(stateLevel(v.State)).Render, cell.Clean(v.Why), p.Width, 2)...)
	lines = append(lines, p.answer(v)...)
	for _, c := range v.Copies {
		lines = append(lines, p.copy(v, c)...)
	}
	return lines
}

// who is the column of names and marks.
const who = 10

func (p painter) who(name string, marked bool) string {
	if marked {
		return cell.Left(name, who-2) + p.t.At(theme.Critical).Render("≠ ")
	}
	return cell.Left(name, who)
}

func (p painter) answer(v keyspace.View) []string {
	a := v.Answer
	name := a.Service
	if name == "" {
		name = "app_" + string(v.Mode)
	}
	if a.Error != "" {
		code := ""
		if a.Code != "" {
			code = string(a.Code) + ": "
		}
		level := theme.Unknown
		if a.Code == service.CodeNotFound && v.State == keyspace.Absent {
			level = theme.OK
		}
		return []string{p.who(cell.Clean(name), false) + p.t.State(level, code+cell.Clean(a.Error))}
	}
	differs := a.Version != v.Copies[0].Version && a.Version != v.Copies[1].Version && v.Copies[0].Error == "" && v.Copies[1].Error == ""
	from := "from " + cell.Clean(a.Node) + ", " + cell.Span(a.Staleness) + " behind"
	if a.Stale {
		from += " (stale)"
	}
	facts := []string{size(a.Length), from, "took " + cell.Span(a.Took), p.version(a.Version)}
	return []string{p.who(cell.Clean(name), differs) + quoted(a.Value, p.Width-who), p.facts(facts)}
}

func (p painter) copy(v keyspace.View, c keyspace.Copy) []string {
	switch {
	case c.Error != "":
		return []string{p.who(c.Node, false) + p.t.State(theme.Unknown, "cannot tell: "+cell.Clean(c.Error))}
	case !c.Exists:
		lines := []string{p.who(c.Node, v.State > keyspace.Same) + p.t.Dim.Render("does not have the key")}
		if c.Waiting {
			lines = append(lines, p.facts([]string{p.waiting(v.Mode, c)}))
		}
		return lines
	}
	facts := []string{size(c.Length)}
	if c.Waiting {
		facts = append(facts, p.waiting(v.Mode, c))
	}
	if !c.Settled {
		facts = append(facts, "not settled since its restart")
	}
	facts = append(facts, p.version(c.Version))
	return []string{p.who(c.Node, v.State > keyspace.Same) + quoted(c.Value, p.Width-who), p.facts(facts)}
}

func (p painter) waiting(mode service.Mode, c keyspace.Copy) string {
	if mode == service.ModeCP {
		return "a write in flight for " + cell.Span(c.WaitingFor)
	}
	return "marked for its peer for " + cell.Span(c.WaitingFor)
}

func (p painter) facts(facts []string) string {
	return cell.Blank(who) + p.t.Dim.Render(strings.Join(facts, " · "))
}

// version writes a version; one of AP begins with its time.
func (p painter) version(v service.Version) string {
	text := "version " + cell.Clean(string(v))
	stamp, _, ap := strings.Cut(string(v), ".")
	if micros, err := strconv.ParseInt(stamp, 10, 64); ap && err == nil {
		text = "of " + p.Times.Write(time.UnixMicro(micros), p.Now) + ", " + text
	}
	return text
}

func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d B (%s)", n, cell.Bytes(float64(n)))
}

// quoted writes any bytes so that they can be read and do nothing to the terminal, cut to width cells.
func quoted(text string, width int) string {
	return cell.Cut(strconv.Quote(text), max(width, 1))
}

func wrapped(style func(...string) string, text string, width, limit int) []string {
	lines := cell.Wrap(text, width, limit)
	for i, line := range lines {
		lines[i] = style(line)
	}
	if text == "" {
		return nil
	}
	return lines
}

// values is the box with the values of a key as far as there is room.
func (p painter) values(width int) (string, []string) {
	each := max((p.Height-6)/6-1, 1)
	var lines []string
	for _, v := range p.look.Views {
		show := func(name, value string, length int64, problem string) {
			head := p.t.Title.Render(strings.ToUpper(string(v.Mode)) + " " + name)
			if problem != "" {
				lines = append(lines, head+" "+p.t.State(theme.Unknown, cell.Clean(problem)))
				return
			}
			if length > int64(len(value)) {
				head += p.t.Dim.Render(fmt.Sprintf(" the first %d of %d B", len(value), length))
			} else {
				head += p.t.Dim.Render(" " + size(length))
			}
			lines = append(append(lines, head), cell.Wrap(strconv.Quote(value), width, each)...)
		}
		show("app_"+string(v.Mode), v.Answer.Value, v.Answer.Length, v.Answer.Error)
		for _, c := range v.Copies {
			problem := c.Error
			if problem == "" && !c.Exists {
				problem = "does not have the key"
			}
			show(c.Node, c.Value, c.Length, problem)
		}
	}
	return "values of " + quoted(p.look.Key, 40), append(lines, p.t.Key.Render("esc")+p.t.Dim.Render(" closes"))
}
