package overview

import (
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/service"
	"captop/tui/cell"
	"captop/tui/chart"
	"captop/tui/screen"
)

// Update takes the keys of the charts and of the groups, and the command window.
func (o Overview) Update(msg tea.Msg, c screen.Context) (screen.Screen, bool, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.KeyMsg:
		next, handled := o.press(msg, c)
		return next, handled, nil
	case screen.Command:
		next, handled := o.command(msg)
		return next, handled, nil
	}
	return o, false, nil
}

func (o Overview) command(command screen.Command) (Overview, bool) {
	if command.Name != "window" || len(command.Args) != 1 {
		return o, false
	}
	window, err := time.ParseDuration(command.Args[0])
	if err != nil || !slices.Contains(chart.Windows[:], window) {
		return o, false
	}
	o.window = window
	return o, true
}

// farther is how many cells a big step of the cursor goes.
const farther = 10

func (o Overview) press(msg tea.KeyMsg, c screen.Context) (Overview, bool) {
	switch k := c.Keys; {
	case key.Matches(msg, k.WindowLonger):
		return o.zoomed(1), true
	case key.Matches(msg, k.WindowShorter):
		return o.zoomed(-1), true
	case key.Matches(msg, k.Left):
		return o.moved(-1, c), true
	case key.Matches(msg, k.Right):
		return o.moved(1, c), true
	case key.Matches(msg, k.FarLeft):
		return o.moved(-farther, c), true
	case key.Matches(msg, k.FarRight):
		return o.moved(farther, c), true
	case key.Matches(msg, k.Home):
		return o.moved(-c.Width, c), true
	case key.Matches(msg, k.End):
		o.cursor = time.Time{}
		return o, true
	case key.Matches(msg, k.Next, k.Previous):
		return o.refocused(c), true
	case key.Matches(msg, k.Submit) && o.focused != "" && !o.open:
		return o.into(c, 0), true
	case key.Matches(msg, k.Down) && o.open:
		return o.into(c, 1), true
	case key.Matches(msg, k.Up) && o.open:
		return o.into(c, -1), true
	case key.Matches(msg, k.Back):
		return o.back()
	}
	return o, false
}

// zoomed takes the next longer or shorter window.
func (o Overview) zoomed(by int) Overview {
	at := slices.Index(chart.Windows[:], o.window)
	o.window = chart.Windows[min(max(at+by, 0), len(chart.Windows)-1)]
	return o
}

// moved moves the cursor by cells of the charts. Beyond the newest it goes away; it does not leave the window.
func (o Overview) moved(cells int, c screen.Context) Overview {
	step := chart.Step(cell.Split(c.Width, 2, 2)[0], o.window)
	from := o.cursor
	if from.IsZero() {
		from = c.Now
	}
	at := from.Add(time.Duration(cells) * step)
	if first := c.Now.Add(-o.window + 2*step); at.Before(first) {
		at = first
	}
	if !at.Before(c.Now) {
		at = time.Time{}
	}
	o.cursor = at
	return o
}

// back closes one thing after the other.
func (o Overview) back() (Overview, bool) {
	switch {
	case o.open:
		o.open, o.chosen = false, ""
	case o.focused != "":
		o.focused = ""
	case !o.cursor.IsZero():
		o.cursor = time.Time{}
	default:
		return o, false
	}
	return o, true
}

// refocused goes to the next group of several instances, and from the last one to none.
func (o Overview) refocused(c screen.Context) Overview {
	order := []service.Mode{""}
	for _, mode := range []service.Mode{service.ModeCP, service.ModeAP} {
		if c.Snapshot != nil && len(instances(c.Snapshot, mode)) > 1 {
			order = append(order, mode)
		}
	}
	o.focused = order[(slices.Index(order, o.focused)+1)%len(order)]
	o.open, o.chosen = false, ""
	return o
}

// into shows one instance of the focused group: the worst one first, or the one so many further.
func (o Overview) into(c screen.Context, by int) Overview {
	if c.Snapshot == nil {
		return o
	}
	all := instances(c.Snapshot, o.focused)
	if len(all) == 0 {
		return o
	}
	at := 0
	for i, s := range all {
		if s.Name == o.chosen {
			at = (i + by + len(all)) % len(all)
		}
	}
	o.open, o.chosen = true, all[at].Name
	return o
}
