package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/bubbles/key"
	tea "github.com/charmbracelet/bubbletea"

	"captop/tui/cell"
	"captop/tui/field"
	"captop/tui/keys"
	"captop/tui/paint"
	"captop/tui/screen"
	"captop/tui/theme"
)

// prompt is the command line, which takes the place of the footer while it is open.
type prompt struct {
	open    bool
	line    field.Line
	history []string // what was entered, oldest first
	at      int      // the entry of history that is shown; len(history) is what is being typed
	typed   string   // what was typed before the history was opened
	choices []string // what could complete the line, after tab
	chosen  int      // the one that is in the line
	stem    string   // the line before the completion
}

// historyKept is how many commands the command line remembers.
const historyKept = 100

// opened is the prompt with an empty line.
func (p prompt) opened() prompt {
	return prompt{open: true, line: field.New(0), history: p.history, at: len(p.history)}
}

// set puts text in the line.
func (p *prompt) set(text string) {
	p.line = p.line.With(text)
}

// browse shows an older or a newer command.
func (p *prompt) browse(by int) {
	if p.at == len(p.history) {
		p.typed = p.line.Text()
	}
	p.at = min(max(p.at+by, 0), len(p.history))
	if p.at == len(p.history) {
		p.set(p.typed)
		return
	}
	p.set(p.history[p.at])
}

// complete puts the next thing into the line that begins with what is there; again, the one after it.
func (p *prompt) complete(by int, choices func(stem string) []string) {
	if p.choices == nil {
		p.stem, p.chosen = p.line.Text(), -1
		if by < 0 {
			p.chosen = 0
		}
		p.choices = choices(p.stem)
	}
	if len(p.choices) == 0 {
		return
	}
	p.chosen = (p.chosen + by + len(p.choices)) % len(p.choices)
	p.set(p.choices[p.chosen])
}

// pressPrompt is a key while the command line is open.
func (m model) pressPrompt(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	p := &m.prompt
	if !key.Matches(msg, m.keys.Next, m.keys.Previous) {
		p.choices = nil
	}
	switch {
	case key.Matches(msg, m.keys.Back), msg.Type == tea.KeyBackspace && p.line.Text() == "":
		p.open = false
	case key.Matches(msg, m.keys.Next):
		p.complete(1, m.completions)
	case key.Matches(msg, m.keys.Previous):
		p.complete(-1, m.completions)
	case key.Matches(msg, m.keys.Up):
		p.browse(-1)
	case key.Matches(msg, m.keys.Down):
		p.browse(1)
	case key.Matches(msg, m.keys.Submit):
		text := strings.TrimSpace(p.line.Text())
		p.open = false
		if text == "" {
			return m, nil
		}
		if len(p.history) == 0 || p.history[len(p.history)-1] != text {
			p.history = append(slices.Clone(p.history[max(len(p.history)-historyKept+1, 0):]), text)
		}
		return m.execute(strings.Fields(text))
	default:
		p.line = p.line.Update(msg)
	}
	return m, nil
}

// view is the command line in width cells: what is typed, with the choices of a completion behind it.
func (p prompt) view(width int, t theme.Theme) string {
	after := ""
	if len(p.choices) > 1 {
		words := make([]string, len(p.choices))
		for i, choice := range p.choices {
			words[i] = lastWord(choice)
			if i == p.chosen {
				words[i] = t.Bold.Render(words[i])
			} else {
				words[i] = t.Dim.Render(words[i])
			}
		}
		after = "  " + strings.Join(words, " ")
	}
	room := min(max(cell.Width(p.line.Text())+2, 20), max(width-2, 1))
	return cell.Cut(t.Key.Render(":")+p.line.View(room, true, t)+after, width)
}

func lastWord(text string) string { return text[strings.LastIndex(text, " ")+1:] }

// order is a command of the command line that the root knows.
type order struct {
	name string
	args []string // what can follow, for completion
	run  func(m model, args []string) (tea.Model, tea.Cmd, error)
}

// orders are the root's commands: the screens, the actions, and the rest.
func (m model) orders() []order {
	var all []order
	for i, s := range m.screens {
		all = append(all, order{name: s.Name(), run: func(m model, _ []string) (tea.Model, tea.Cmd, error) {
			next, cmd := m.show(i)
			return next, cmd, nil
		}})
	}
	all = append(all, m.acts()...)
	press := func(name string, binding key.Binding) order {
		return order{name: name, run: func(m model, _ []string) (tea.Model, tea.Cmd, error) {
			next, cmd := m.command(pressed(binding.Keys()[0]))
			return next, cmd, nil
		}}
	}
	if m.options.Write != nil {
		all = append(all, press("write", m.keys.Write))
	}
	all = append(all, press("arm", m.keys.Arm), press("help", m.keys.Help), press("live", m.keys.Live),
		order{name: "theme", args: theme.Names(), run: setTheme},
		order{name: "ascii", args: []string{"on", "off"}, run: setASCII},
		order{name: "times", args: []string{"utc", "local", "relative", "clock"}, run: setTimes},
		order{name: "goto", run: goTo},
		order{name: "quit", run: func(m model, _ []string) (tea.Model, tea.Cmd, error) { return m, tea.Quit, nil }})
	return all
}

// acts are what can be done to the stack: the verbs, each with the parts that it can be done to.
func (m model) acts() []order {
	actions := slices.Clone(m.options.actions())
	if m.options.More != nil {
		actions = append(actions, m.options.More()...)
	}
	var all []order
	for _, action := range actions {
		verb, part, _ := strings.Cut(action.Name, " ")
		at := slices.IndexFunc(all, func(o order) bool { return o.name == verb })
		if at < 0 {
			at = len(all)
			all = append(all, order{name: verb, run: func(m model, args []string) (tea.Model, tea.Cmd, error) { return m.act(actions, verb, args) }})
		}
		if !slices.Contains(all[at].args, part) {
			all[at].args = append(all[at].args, part)
		}
	}
	return all
}

// act begins the action of that name.
func (m model) act(actions []Action, verb string, args []string) (tea.Model, tea.Cmd, error) {
	name, known := strings.Join(append([]string{verb}, args...), " "), []string{}
	for _, action := range slices.Backward(actions) { // those of More are as things stand
		if action.Name == name {
			if action.Now != nil {
				action = action.Now()
			}
			next, cmd := m.begin(action)
			return next, cmd, nil
		}
		if part, ok := strings.CutPrefix(action.Name, verb+" "); ok && !slices.Contains(known, part) {
			known = append(known, part)
		}
	}
	slices.Reverse(known)
	return m, nil, fmt.Errorf("give one of %s", strings.Join(known, ", "))
}

// screenOrders are the commands that screens know, for completion.
var screenOrders = []order{{name: "window", args: []string{"1m", "5m", "15m", "60m"}}, {name: "filter"}}

// pressed makes the message of a key from its name.
func pressed(name string) tea.KeyMsg {
	for k := tea.KeyF20; k <= tea.KeyBackspace; k++ {
		if k != tea.KeyRunes && k.String() == name {
			return tea.KeyMsg{Type: k}
		}
	}
	if bare, ok := strings.CutPrefix(name, "alt+"); ok {
		return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(bare), Alt: true}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
}

// execute runs a line: what the root knows, or else what the screen in front knows.
func (m model) execute(words []string) (tea.Model, tea.Cmd) {
	name, args := words[0], words[1:]
	for _, o := range m.orders() {
		if o.name != name {
			continue
		}
		next, cmd, err := o.run(m, args)
		if err != nil {
			m.say(name + ": " + err.Error())
			return m, nil
		}
		return next, cmd
	}
	next, handled, cmd := m.offer(screen.Command{Name: name, Args: args})
	if handled {
		return next, cmd
	}
	if !m.missing(func(e keys.Entry) bool { return e.Name == name }) {
		m.say(m.unknownOrder(name))
	}
	return m, nil
}

func (m model) unknownOrder(name string) string {
	for _, o := range screenOrders {
		if o.name == name {
			return name + " means nothing on the screen " + m.screens[m.front].Name() + ", or not with that."
		}
	}
	var known []string
	for _, o := range append(m.orders(), screenOrders...) {
		known = append(known, o.name)
	}
	hint := ""
	if near := keys.Nearest(name, known); near != "" {
		hint = "; did you mean " + near + "?"
	}
	return fmt.Sprintf("No command is called %q%s (tab lists them)", name, hint)
}

// completions are the lines that a line could become.
func (m model) completions(stem string) []string {
	known := append(m.orders(), screenOrders...)
	name, rest, hasArgs := strings.Cut(stem, " ")
	var found []string
	for _, o := range known {
		if !hasArgs && strings.HasPrefix(o.name, name) {
			found = append(found, o.name)
		}
		if hasArgs && o.name == name {
			for _, arg := range o.args {
				if strings.HasPrefix(arg, strings.TrimLeft(rest, " ")) {
					found = append(found, name+" "+arg)
				}
			}
		}
	}
	return found
}

func setTheme(m model, args []string) (tea.Model, tea.Cmd, error) {
	mode, err := theme.ParseMode(strings.Join(args, " "))
	if err != nil {
		return m, nil, err
	}
	m.theme = theme.New(mode, m.theme.ASCII, m.options.Getenv)
	if mode != theme.None && m.options.Getenv("NO_COLOR") != "" {
		m.say("NO_COLOR is set in the environment, so there are no colours.")
	}
	return m, paint.Redraw, nil
}

func setASCII(m model, args []string) (tea.Model, tea.Cmd, error) {
	switch strings.Join(args, " ") {
	case "on", "":
		m.theme.ASCII = true
	case "off":
		m.theme.ASCII = false
	default:
		return m, nil, fmt.Errorf("want on or off")
	}
	return m, nil, nil
}

func setTimes(m model, args []string) (tea.Model, tea.Cmd, error) {
	switch strings.Join(args, " ") {
	case "utc":
		m.times.Zone, m.times.Relative = nil, false
	case "local":
		m.times.Zone, m.times.Relative = time.Local, false
	case "relative":
		m.times.Relative = true
	case "clock":
		m.times.Relative = false
	default:
		return m, nil, fmt.Errorf("want utc, local, relative or clock")
	}
	return m, nil, nil
}

// goTo reads a clock time of the last 24 hours, a date with a time, or how long ago.
func goTo(m model, args []string) (tea.Model, tea.Cmd, error) {
	at, err := m.parseTime(strings.Join(args, " "))
	if err != nil {
		return m, nil, err
	}
	next, cmd := m.goTo(at)
	return next, cmd, nil
}

func (m model) parseTime(text string) (time.Time, error) {
	zone := m.times.In()
	if back, ok := strings.CutPrefix(text, "-"); ok {
		if d, err := time.ParseDuration(back); err == nil {
			return m.now.Add(-d), nil
		}
	}
	if text == "now" {
		return m.now, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", time.RFC3339} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at, nil
		}
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		clock, err := time.ParseInLocation(layout, text, zone)
		if err != nil {
			continue
		}
		today := m.now.In(zone)
		at := time.Date(today.Year(), today.Month(), today.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, zone)
		if at.After(m.now) {
			at = at.AddDate(0, 0, -1)
		}
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%q: give a time such as 14:03, 14:03:30, 2026-11-23 14:03, -5m or now", text)
}
