package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/keys"
	"captop/tui/theme"
)

// user presses keys on a dashboard, and its commands are run as bubbletea would.
type user struct {
	t testing.TB
	m tea.Model
}

// press sends keys by name; a text of several characters that is no key is typed.
func (u *user) press(names ...string) {
	u.t.Helper()
	for _, name := range names {
		u.send(pressed(name))
	}
}

func (u *user) send(msg tea.Msg) {
	u.t.Helper()
	next, cmd := u.m.Update(msg)
	u.m = next
	u.run(cmd)
}

// run runs a command and gives its message back; those that wait (clock, snapshots) are not given out by keys.
func (u *user) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case tea.BatchMsg:
		for _, cmd := range msg {
			u.run(cmd)
		}
	case nil, tea.QuitMsg:
	default:
		u.send(msg)
	}
}

// lastLine is the footer, without colours.
func (u *user) lastLine() string {
	lines := strings.Split(plainText(u.m.View()), "\n")
	return strings.TrimRight(lines[len(lines)-1], " ")
}

func (u *user) sees(texts ...string) {
	u.t.Helper()
	frame := plainText(u.m.View())
	for _, text := range texts {
		if !strings.Contains(frame, text) {
			u.t.Errorf("no %q on the screen:\n%s", text, frame)
		}
	}
}

func at80x24(t testing.TB, options Options) *user {
	return &user{t: t, m: start(t, options, g2Down(), 80, 24)}
}

func TestCommandLineCompletesAndRemembers(t *testing.T) {
	u := at80x24(t, demoOptions())
	u.press(":", "th", "tab")
	if got := u.lastLine(); got != ":theme" {
		t.Errorf("after th and tab the line is %q, want :theme", got)
	}
	u.press(" l", "tab", "enter")
	if got := u.m.(model).theme.At(theme.OK).GetForeground(); got != theme.New(theme.Light, false, env("TERM", "xterm-256color")).At(theme.OK).GetForeground() {
		t.Errorf("theme light gave %v", got)
	}
	u.press(":", "res", "tab", " d", "tab")
	if got := u.lastLine(); got != ":restart db_g2" {
		t.Errorf("after res, tab, d and tab the line is %q, want :restart db_g2", got)
	}
	u.press("esc", ":", "up")
	if got := u.lastLine(); got != ":theme light" {
		t.Errorf("up shows %q, want :theme light", got)
	}
	u.press("down")
	if got := u.lastLine(); got != ":" {
		t.Errorf("down after up shows %q, want an empty line", got)
	}
	u.press("t", "tab", "tab")
	if got := u.lastLine(); !strings.HasPrefix(got, ":times") || !strings.Contains(got, "theme times") {
		t.Errorf("t and two tabs show %q, want :times and both choices", got)
	}
	u.press("shift+tab")
	if got := u.lastLine(); !strings.HasPrefix(got, ":theme") {
		t.Errorf("back from times is %q, want :theme", got)
	}
}

func TestCommandLineSaysWhatIsWrong(t *testing.T) {
	for line, want := range map[string]string{
		"themme dark": `No command is called "themme"; did you mean theme?`,
		"xyzzy":       `No command is called "xyzzy" (tab lists them)`,
		"theme pink":  `theme: theme "pink": want one of auto, dark, light, colour-blind, none`,
		"goto noon":   `goto: "noon": give a time such as 14:03, 14:03:30,`,
		"times CET":   "times: want utc, local, relative or clock",
		"filter x":    "filter means nothing on the screen overview",
	} {
		u := at80x24(t, demoOptions())
		u.press(":", line, "enter")
		if got := u.lastLine(); !strings.Contains(got, want) {
			t.Errorf(":%s says %q, want %q", line, got, want)
		}
	}
}

func TestCommandLineDoesWhatKeysDo(t *testing.T) {
	u := at80x24(t, demoOptions())
	u.press(":", "restart db_g2", "enter")
	u.sees("restart db_g2?", "docker compose restart db_g2")
	u.press("esc", ":", "write", "enter")
	u.sees("write a key")
	u.press("esc", ":", "help", "enter")
	u.sees("keys of overview")
}

// recorded gives snapshots of earlier times as a recording would.
func recorded(asked *[]time.Time) func(context.Context, time.Time, time.Duration) (*probes.Snapshot, error) {
	return func(_ context.Context, at time.Time, _ time.Duration) (*probes.Snapshot, error) {
		*asked = append(*asked, at)
		if at.Before(noon.Add(-10 * time.Minute)) {
			return nil, errors.New("the recording begins at 11:50:00")
		}
		s := healthy()
		s.At = at
		return s, nil
	}
}

func TestGoingBackInTime(t *testing.T) {
	options := demoOptions()
	var asked []time.Time
	options.History = recorded(&asked)
	u := at80x24(t, options)
	u.press("]")
	u.sees("This is now already")
	u.press("[", "[", "{")
	u.sees("PAST 11:58:40", "then ● OK", "L live", "now 12:00:00")
	u.press("r")
	u.sees("This is the past: press L")
	u.press("}", "]", "]")
	u.sees("CRITICAL", "db_g2 is down") // a time that has not come is now
	u.press(":", "goto 11:57", "enter")
	u.sees("PAST 11:57:00")
	u.press("esc")
	u.sees("db_g2 is down")
	u.press(":", "goto 11:40", "enter")
	u.sees("No way to 11:40:00: the recording begins at 11:50:00", "db_g2 is down")
	u.press("{", "L")
	u.sees("db_g2 is down")
	if want := noon.Add(-10 * time.Second); len(asked) == 0 || !asked[0].Equal(want) {
		t.Errorf("asked for %v, want %v first", asked, want)
	}
}

// TestStepsWaitForTheirAnswer: a key that repeats faster than a recording can be read asks for the last time only.
func TestStepsWaitForTheirAnswer(t *testing.T) {
	options := demoOptions()
	var asked []time.Time
	options.History = recorded(&asked)
	m := start(t, options, g2Down(), 80, 24)
	var first tea.Cmd
	for i := range 5 {
		next, cmd := m.Update(pressed("["))
		m = next
		if i == 0 {
			first = cmd
		} else if cmd != nil {
			t.Fatalf("step %d asks while the first question is on its way", i+1)
		}
	}
	u := &user{t: t, m: m}
	u.run(first)
	if len(asked) != 2 || !asked[1].Equal(noon.Add(-50*time.Second)) {
		t.Errorf("asked for %v, want the first and the last of five steps", asked)
	}
	u.sees("PAST 11:59:10")
}

func TestNothingRecorded(t *testing.T) {
	u := at80x24(t, demoOptions())
	u.press("[")
	u.sees("Nothing is recorded here")
}

func TestReboundKeys(t *testing.T) {
	options := demoOptions()
	k := keys.Default()
	for action, names := range map[string][]string{"write": {"W"}, "restart": {"R"}, "quit": {"f10"}} {
		if err := k.Rebind(action, names); err != nil {
			t.Fatal(err)
		}
	}
	options.Keys = &k
	options = options.rebound()
	u := at80x24(t, options)
	u.sees("press  R  restart db_g2", "W write", "R restart", "f10 quit")
	u.press("r", "w")
	u.sees("staleness") // nothing is open
	u.press("R")
	u.sees("restart db_g2?")
	u.press("esc", "?")
	u.sees("W write a key", "f10 quit", "R restart db_g2")
}

func TestJournalKeepsWhatWasDone(t *testing.T) {
	u := at80x24(t, demoOptions())
	u.press("r", "enter")
	for m := u.m.(model); !m.job.done(); m = u.m.(model) {
		t.Fatal("the action has not ended")
	}
	u.press("enter", "w", "user:7", "tab", "x", "enter")
	journal := u.m.(model).context().Journal
	if len(journal) != 2 || !strings.HasPrefix(journal[0].Text, "restart db_g2: done\nrun id changed") ||
		journal[1].Text != "write of user:7 through app_cp: applied as version 42" {
		t.Errorf("the journal is %+v", journal)
	}
}

// TestNextStepWithoutAKey: the keys act on db_g2. What helps another part is a line to type, where this stack can do it.
func TestNextStepWithoutAKey(t *testing.T) {
	options := demoOptions()
	options.Remedy = nil
	s := g2Down()
	s.Verdict.NextStep, s.Verdict.Act = "See whether db_g1 is paused.", "heal db_g1"
	u := &user{t: t, m: start(t, options, s, 80, 24)}
	u.sees("next: See whether db_g1 is paused.")
	options.Remedy = func(act string) (better, fact string) { return act, "" }
	u = &user{t: t, m: start(t, options, s, 80, 24)}
	u.sees("next: type  :heal db_g1  See whether db_g1 is paused.")
	options.Remedy = func(string) (better, fact string) { return "restart db_g2", "db_g2 is stopped" }
	u = &user{t: t, m: start(t, options, s, 80, 24)}
	u.sees("next: press  r  db_g2 is stopped.")
	m := u.m.(model)
	for name, how := range map[string]string{"heal db_g1": "type :heal db_g1", "restart db_g2": "press r"} {
		m.job = &job{action: Action{Name: name}}
		if got := m.footNotice(); got != name+" goes on; "+how+" to see it." {
			t.Errorf("while it goes on behind the screen: %q", got)
		}
	}
}

// TestActionsThatComeLater: what can be acted on may be found behind the screen. Until then a key says why nothing comes of it.
func TestActionsThatComeLater(t *testing.T) {
	options := demoOptions()
	all, why := options.actions(), error(errors.New("captop is still looking"))
	var found []Action
	options.Actions = func() ([]Action, error) { return found, why }
	options.Remedy = func(act string) (better, fact string) {
		if found == nil {
			return "", ""
		}
		return act, ""
	}
	u := &user{t: t, m: start(t, options, g2Down(), 80, 24)}
	u.press("r")
	u.sees("No restart: captop is still looking")
	u.press(":", "restart db_g2", "enter")
	u.sees("No restart: captop is still looking")
	u.press("1")
	if frame := plainText(u.m.View()); strings.Contains(frame, "r restart") || strings.Contains(frame, "press  r") {
		t.Errorf("a key is offered that does nothing:\n%s", frame)
	}
	found, why = all, nil
	u.press("1")
	u.sees("r restart", "press  r  restart db_g2")
	u.press("r")
	u.sees("restart db_g2?")
}

// TestLongStepKeepsItsTime: a narrow box breaks what a step says, and does not cut when it was.
func TestLongStepKeepsItsTime(t *testing.T) {
	began := time.Now()
	told := "waiting until app_cp and app_ap have settled db_g2 with its peer"
	d := showJob{job: &job{steps: []step{{text: told, at: began.Add(12 * time.Second)}}, started: began}, keys: keys.Default()}
	_, lines := d.view(40, seen{now: began.Add(20 * time.Second), theme: theme.New(theme.None, false, func(string) string { return "" })})
	frame := strings.Join(lines, "\n")
	if words := strings.Join(strings.Fields(strings.Replace(frame, " 12 s\n", "\n", 1)), " "); !strings.Contains(words, told) {
		t.Errorf("at 40 cells:\n%s", frame)
	}
}
