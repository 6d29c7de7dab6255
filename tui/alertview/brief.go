package alertview

import (
	"fmt"

	"captop/tui/cell"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Widths of the columns of a brief line: the bar, and the times behind it.
const (
	briefBar    = 8
	briefTiming = 15
	wideBar     = 24
	wideTiming  = 30  // with how long it has held
	wideFrom    = 116 // the width from which there is room for that
)

// Brief is the alerts on a few lines for another screen: a title with how many there are of each state, and one line for
// each that needs eyes, the worst first: state, name, value beside its limit, fuse, and the time at which it will fire or
// since when it has. There are at most rows lines; the title says how many more there are.
func Brief(c screen.Context, width, rows int) []string {
	if c.Snapshot == nil || rows < 1 {
		return nil
	}
	all := entries(c.Snapshot)
	var eyes []entry
	for _, e := range all {
		if e.kind <= elsewhere {
			eyes = append(eyes, e)
		}
	}
	note := ""
	if more := len(eyes) - (rows - 1); more > 0 {
		note = " " + c.Theme.Bold.Render(fmt.Sprintf("+%d more", more))
	}
	title := c.Theme.Title.Render("alerts") + " "
	counts := cell.Cut(" "+summary(c, all), width-cell.Width(title)-cell.Width(note)) + note
	rest := max(width-cell.Width(title)-cell.Width(counts), 0)
	lines := []string{cell.Cut(title+c.Theme.Rule.Render(cell.Run("─", rest))+counts, width)}
	for _, e := range eyes[:min(len(eyes), rows-1)] {
		lines = append(lines, briefLine(c, e, width))
	}
	return lines
}

func briefLine(c screen.Context, e entry, width int) string {
	t, cells, timing := c.Theme, briefBar, briefTiming
	if width >= wideFrom {
		cells, timing = wideBar, wideTiming
	}
	name := t.Bold.Render(cell.Clean(e.rule.Name))
	switch {
	case len(e.silences) > 0:
		name += t.Bold.Render(" × silenced")
	case e.ack != nil:
		name += t.Bold.Render(" ✓ acked")
	}
	name = state(c, e) + name + " " + t.Dim.Render(cell.Clean(told(e)))
	value, right := cell.Clean(against(e)), briefFuse(c, e, cells)+" "+cell.Left(briefTime(c, e, timing == wideTiming), timing)
	switch e.kind {
	case frozen, lost:
		value = "no samples"
	case broken:
		value, right = "", t.At(theme.Unknown).Render(cell.Cut(cell.Clean(e.rule.Error), width/2))
	}
	room := width - cell.Width(right) - 1
	value = cell.Cut(value, room/2)
	return cell.Left(cell.Left(name, room-cell.Width(value)-1)+" "+value+" "+right, width)
}

// briefFuse is the bar alone.
func briefFuse(c screen.Context, e entry, cells int) string {
	switch e.kind {
	case firing:
		return c.Theme.At(e.level()).Render(cell.Run("█", cells))
	case pending:
		return bar(c.Theme, c.Now.Sub(e.alert.ActiveAt), e.rule.For, cells, theme.Warning)
	case frozen:
		return bar(c.Theme, e.frozen.Held, e.rule.For, cells, theme.Unknown)
	}
	return cell.Blank(cells)
}

// briefTime is when it will fire, or since when it has.
func briefTime(c screen.Context, e entry, wide bool) string {
	held := func() string {
		return cell.Age(min(c.Now.Sub(e.alert.ActiveAt), e.rule.For)) + " of " + cell.Age(e.rule.For)
	}
	switch e.kind {
	case firing:
		if wide || c.Times.Relative {
			return since(c, e.alert.FiredAt)
		}
		return "since " + c.Times.Write(e.alert.FiredAt, c.Now)
	case pending:
		switch {
		case old(c):
			return held()
		case !e.alert.FiresAt.After(c.Now):
			return "fires now"
		case wide:
			return held() + ", fires " + c.Times.Write(e.alert.FiresAt, c.Now)
		}
		return "fires " + c.Times.Write(e.alert.FiresAt, c.Now)
	case frozen:
		if wide {
			return "stands at " + cell.Age(e.frozen.Held) + " of " + cell.Age(e.rule.For)
		}
		return cell.Age(e.frozen.Held) + " of " + cell.Age(e.rule.For)
	case lost:
		return "since " + c.Times.Write(e.alert.ResolvedAt, c.Now)
	case elsewhere:
		return "in Alertmanager"
	}
	return ""
}
