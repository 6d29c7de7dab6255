package eventview

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/tui/frametest"
	"captop/tui/keys"
	"captop/tui/screen"
	"captop/tui/theme"
)

var noon = frametest.Noon

var sizes = frametest.Sizes

func event(ago time.Duration, severity probes.Severity, kind, target, text string) probes.Event {
	return probes.Event{At: noon.Add(-ago), Severity: severity, Kind: kind, Target: target, Text: text}
}

func g2Down() *probes.Snapshot {
	return &probes.Snapshot{At: noon, Started: noon.Add(-14 * time.Hour), Poll: time.Second, Severity: probes.Critical, Events: []probes.Event{
		event(14*time.Hour, probes.OK, "severity", "captop", "all is well"),
		event(13*time.Hour, probes.Warning, "breaker", "app_ap", "app_ap's breaker before db_g2 went from CLOSED to HALF_OPEN"),
		event(13*time.Hour-time.Minute, probes.OK, "severity", "captop", "all is well again"),
		event(72*time.Second, probes.Critical, "target", "db_g2", "db_g2 went down: dial tcp 127.0.0.1:6380: connect: connection refused"),
		event(71*time.Second, probes.Critical, "severity", "captop", "db_g2 is down: app_cp refuses writes"),
		event(70*time.Second, probes.Critical, "breaker", "app_cp", "app_cp's breaker before db_g2 went from CLOSED to OPEN"),
		event(69*time.Second, probes.Critical, "breaker", "app_ap", "app_ap's breaker before db_g2 went from CLOSED to OPEN"),
		event(37*time.Second, probes.Warning, "alert", "StalenessHigh", "StalenessHigh fires: db_g2 is further behind than app_ap allows"),
		event(12*time.Second, probes.Critical, "alert", "CircuitBreakerOpen", "CircuitBreakerOpen fires: app_cp has given up on db_g2"),
		event(8*time.Second, probes.Unknown, "recording", "captop", "the recording lacks 3 polls"),
	}}
}

func journal() []probes.Event {
	return []probes.Event{
		event(20*time.Second, probes.OK, "action", "captop", "restart db_g2: done\nrun id changed: a1b2 -> c3d4\nPING answered PONG"),
		event(15*time.Second, probes.Warning, "log", "app_cp", "DB_CONNECT_FAILURE\nnode=db_g2\nerror=dial tcp 127.0.0.1:6380: connect: connection refused"),
	}
}

func hundreds() *probes.Snapshot {
	s := g2Down()
	for i := range 480 {
		s.Events = append(s.Events, probes.Event{Seq: uint64(i), At: noon.Add(time.Duration(i-480) * 17 * time.Millisecond), Severity: probes.Severity(i % 4), Kind: "breaker", Target: "app_ap",
			Text: fmt.Sprintf("change %d of app_ap's breaker", i)})
	}
	return s
}

func hostile() *probes.Snapshot {
	s := g2Down()
	s.Events = append(s.Events, event(time.Second, probes.Severity(9), strings.Repeat("kind", 9), "\x1b[2Jx", "\x1b]0;owned\x07\nnew line\t\u202e"+strings.Repeat("漢字", 80)),
		event(time.Second, probes.Critical, "", "", strings.Repeat("very long ", 300)+"THE END"))
	return s
}

func empty() *probes.Snapshot {
	return &probes.Snapshot{At: noon, Started: noon.Add(-time.Minute), Poll: time.Second, Severity: probes.OK}
}

var situations = map[string]func() *probes.Snapshot{"g2_down": g2Down, "hundreds": hundreds, "hostile": hostile, "empty": empty}

type seat struct {
	t testing.TB
	s screen.Screen
	c screen.Context
}

func sit(t testing.TB, snapshot *probes.Snapshot, width, height int) *seat {
	k := keys.Default()
	return &seat{t: t, s: New(k), c: screen.Context{Context: t.Context(), Snapshot: snapshot, Now: noon, Width: width, Height: height, Journal: journal(),
		Theme: theme.New(theme.None, false, func(string) string { return "" }), Keys: k, Armed: true}}
}

var special = map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown,
	"pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "home": tea.KeyHome, "end": tea.KeyEnd, "backspace": tea.KeyBackspace}

func (s *seat) press(names ...string) {
	for _, name := range names {
		if kind, ok := special[name]; ok {
			s.s, _, _ = s.s.Update(tea.KeyMsg{Type: kind}, s.c)
			continue
		}
		for _, r := range name {
			s.s, _, _ = s.s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}, s.c)
		}
	}
}

func (s *seat) check() string {
	s.t.Helper()
	return frametest.Frame(s.t, s.s, s.c)
}

func golden(t *testing.T, name, frame string) {
	t.Helper()
	frametest.Golden(t, name+".txt", frame+"\n")
}

func TestGoldenFrames(t *testing.T) {
	for name, situation := range situations {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s_%dx%d", name, size[0], size[1]), func(t *testing.T) {
				s := sit(t, situation(), size[0], size[1])
				if name == "empty" {
					s.c.Journal = nil
				}
				golden(t, fmt.Sprintf("%s_%dx%d", name, size[0], size[1]), s.check())
			})
		}
	}
}

func TestGoldenStates(t *testing.T) {
	for name, pressed := range map[string][]string{"follow": {"f"}, "filter": {"/", "db_g2 crit"}, "kind": {"t"}, "severity": {"v"},
		"whole": {"down", "down", "enter"}, "first": {"g"}} {
		t.Run(name, func(t *testing.T) {
			s := sit(t, g2Down(), 80, 22)
			s.press(pressed...)
			golden(t, "state_"+name, s.check())
		})
	}
}

// chosen is the text of the event under the cursor.
func (s *seat) chosen() string {
	for _, line := range strings.Split(s.check(), "\n") {
		if strings.HasPrefix(line, "▸ ") {
			return line
		}
	}
	return ""
}

func TestFirstDeviationOfTheIncident(t *testing.T) {
	s := sit(t, g2Down(), 120, 38)
	s.press("v", "v", "/", "nothing like this", "enter", "g")
	if got := s.chosen(); !strings.Contains(got, "db_g2 went down") {
		t.Errorf("g goes to %q", got)
	}
	well := g2Down()
	well.Severity = probes.OK
	well.Events = append(well.Events, event(time.Second, probes.OK, "severity", "captop", "all is well again"))
	s = sit(t, well, 120, 38)
	s.press("g")
	if got := s.chosen(); !strings.Contains(got, "db_g2 went down") || !strings.Contains(s.check(), "All is well now") {
		t.Errorf("after the incident g goes to %q", got)
	}
	s = sit(t, empty(), 120, 38)
	s.press("g")
	if !strings.Contains(s.check(), "Nothing has deviated") {
		t.Error("without any deviation g says nothing")
	}
}

func TestTheChosenEventStaysWhileOthersCome(t *testing.T) {
	s := sit(t, g2Down(), 120, 38)
	s.press("down", "down")
	before := s.chosen()
	s.c.Snapshot = hundreds()
	if got := s.chosen(); got != before {
		t.Errorf("new events moved the choice from %q to %q", before, got)
	}
	s.press("home")
	s.c.Snapshot.Events = append(s.c.Snapshot.Events, event(0, probes.OK, "target", "db_g2", "db_g2 answers again"))
	if got := s.chosen(); !strings.Contains(got, "answers again") {
		t.Errorf("at the top the newest is not the chosen one, but %q", got)
	}
	s.press("f")
	lines := strings.Split(s.check(), "\n")
	if !strings.Contains(lines[len(lines)-1], "answers again") {
		t.Errorf("while following, the newest is not the last line: %q", lines[len(lines)-1])
	}
}

func TestNothingIsCutForGood(t *testing.T) {
	s := sit(t, hostile(), 80, 22)
	s.press("enter", "end")
	if frame := s.check(); !strings.Contains(frame, "THE END") {
		t.Errorf("the end of a long event cannot be reached:\n%s", frame)
	}
	s.press("up")
	if frame := s.check(); strings.Contains(frame, "THE END") {
		t.Error("after the end was reached, up does not scroll at once")
	}
}

func TestThePastHasNoFuture(t *testing.T) {
	s := sit(t, g2Down(), 120, 38)
	if !strings.Contains(s.check(), "restart db_g2: done") {
		t.Fatal("an action of this seat is not shown")
	}
	s.c.Past, s.c.Now = true, noon.Add(-18*time.Second)
	if frame := s.check(); strings.Contains(frame, "DB_CONNECT") || !strings.Contains(frame, "restart db_g2: done") {
		t.Errorf("a log line is shown before it was written:\n%s", frame)
	}
}

func FuzzFrames(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 6))
		s := sit(t, nil, 80, 22)
		names := []string{"enter", "esc", "up", "down", "pgdown", "pgup", "home", "end", "backspace", "f", "g", "t", "v", "/", "j", "k", "漢", "\x1b", "x"}
		all := []func() *probes.Snapshot{g2Down, hundreds, hostile, empty}
		for range 100 {
			switch random.IntN(12) {
			case 0:
				s.c.Width, s.c.Height = random.IntN(220), random.IntN(60)
			case 1:
				s.c.Snapshot = all[random.IntN(len(all))]()
			case 2:
				s.c.Past, s.c.Times.Relative = random.IntN(4) == 0, random.IntN(2) == 0
			default:
				s.press(names[random.IntN(len(names))])
			}
			s.check()
		}
	})
}
