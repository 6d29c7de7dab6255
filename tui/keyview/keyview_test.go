package keyview

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/probes/keyspace"
	"captop/service"
	"captop/tui/frametest"
	"captop/tui/keys"
	"captop/tui/screen"
)

var noon = frametest.Noon

var sizes = frametest.Sizes

func contextOf(width, height int) screen.Context { return frametest.Context(width, height) }

const evil = "\x1b[2J\x1b[31mred\r\n\t漢字漢字 \u202e\x00\xff and much longer than anybody would ever want to read on a screen of any size whatsoever, " +
	"for it goes on and on until no terminal in the house has room for it and the tired person gives up"

// fixture is a source that answers at once.
type fixture struct {
	search     keyspace.Search
	look       keyspace.Look
	comparison keyspace.Comparison
	news       []keyspace.Comparison // before comparison; then it waits for its context where comparison is cancelled
	asked      []string
}

func (f *fixture) source() Source {
	return Source{
		Find: func(_ context.Context, query string, _ func(keyspace.Search)) keyspace.Search {
			f.asked = append(f.asked, "find "+query)
			s := f.search
			s.Query = query
			return s
		},
		Look: func(_ context.Context, key string) keyspace.Look {
			f.asked = append(f.asked, "look "+key)
			look := f.look
			look.Key, look.At = key, noon.Add(-3*time.Second)
			return look
		},
		Compare: func(ctx context.Context, news func(keyspace.Comparison)) keyspace.Comparison {
			f.asked = append(f.asked, "compare")
			for _, n := range f.news {
				news(n)
			}
			if f.comparison.Phase == keyspace.Cancelled {
				<-ctx.Done()
			}
			return f.comparison
		},
	}
}

func healthyLook() keyspace.Look {
	view := func(mode service.Mode, version service.Version) keyspace.View {
		v := keyspace.View{Mode: mode, State: keyspace.Same, Answer: keyspace.Answer{Service: "app_" + string(mode), Value: "hello", Length: 5,
			Version: version, Node: "db_g1", Staleness: 3 * time.Millisecond, Took: 2 * time.Millisecond}}
		for i, node := range []string{"db_g1", "db_g2"} {
			v.Copies[i] = keyspace.Copy{Node: node, Exists: true, Value: "hello", Length: 5, Version: version, Settled: true}
		}
		return v
	}
	stamp := service.Version(fmt.Sprint(noon.Add(-time.Minute).UnixMicro()) + ".42927540344916")
	return keyspace.Look{Views: [2]keyspace.View{view(service.ModeCP, "12"), view(service.ModeAP, stamp)}}
}

func differentLook() keyspace.Look {
	look := healthyLook()
	look.Views[0].State, look.Views[0].Why = keyspace.Divergent, "one version with two values, and no write is in flight; a new write of the key mends it"
	look.Views[0].Copies[1].Value = "jello"
	look.Views[1].State, look.Views[1].Why = keyspace.InFlight, "db_g2 lacks the newest write; db_g1 has held a mark for it for 3s"
	look.Views[1].Copies[0].Waiting, look.Views[1].Copies[0].WaitingFor = true, 3*time.Second
	look.Views[1].Copies[1] = keyspace.Copy{Node: "db_g2", Settled: false}
	return look
}

func downLook() keyspace.Look {
	look := healthyLook()
	for i := range look.Views {
		look.Views[i].State, look.Views[i].Why = keyspace.CannotTell, "db_g2 cannot be read: dial tcp 127.0.0.1:6380: connect: connection refused"
		look.Views[i].Copies[1] = keyspace.Copy{Node: "db_g2", Error: "dial tcp 127.0.0.1:6380: connect: connection refused"}
	}
	look.Views[0].Answer = keyspace.Answer{Service: "app_cp", Error: "a node that this needs cannot be reached", Code: service.CodeNodeUnavailable}
	return look
}

func evilLook(text string, length int64) keyspace.Look {
	look := differentLook()
	for i := range look.Views {
		look.Views[i].Answer.Value, look.Views[i].Answer.Length, look.Views[i].Why = text, length, text
		for c := range look.Views[i].Copies {
			look.Views[i].Copies[c].Value, look.Views[i].Copies[c].Length, look.Views[i].Copies[c].Version = text, length, service.Version(text)
		}
	}
	look.Views[1].Answer.Error = text
	return look
}

func running() keyspace.Comparison {
	return keyspace.Comparison{Phase: keyspace.Running, Started: noon.Add(-9 * time.Second), At: noon, Done: 86_012, Total: 200_000,
		Compared: [2]int64{1234, 43_000}, Foreign: 66, Rechecking: 3, Busy: 0.12}
}

func ended(findings ...keyspace.Finding) keyspace.Comparison {
	c := running()
	c.Phase, c.Started, c.Done, c.Rechecking, c.Findings = keyspace.Ended, noon.Add(-21*time.Second), c.Total, 0, findings
	for _, f := range findings {
		switch f.State {
		case keyspace.Divergent:
			c.Divergent++
		case keyspace.Unsettled:
			c.Unsettled++
		default:
			c.InFlight++
		}
	}
	return c
}

func findings() []keyspace.Finding {
	return []keyspace.Finding{
		{Mode: service.ModeCP, Key: "user:7", State: keyspace.Divergent, Why: "one version with two values, and no write is in flight; a new write of the key mends it"},
		{Mode: service.ModeAP, Key: evil, State: keyspace.Divergent, Why: "db_g1 has an older version than db_g2"},
		{Mode: service.ModeAP, Key: "busy", State: keyspace.InFlight, Why: "the key changes all the time"}}
}

// situations are a source and the keys that are pressed on it.
func situations() map[string]struct {
	fixture *fixture
	press   []string
} {
	type situation = struct {
		fixture *fixture
		press   []string
	}
	search := keyspace.Search{Phase: keyspace.Ended, Exact: true, Done: 2468, Total: 2468, Keys: []keyspace.Found{
		{Key: "user:7", Where: [2][2]bool{{true, true}, {true, false}}}, {Key: "user:70", Where: [2][2]bool{{}, {true, true}}}, {Key: evil, Where: [2][2]bool{{false, true}, {}}}}}
	query := []string{"/", "user:7", "enter"}
	with := func(f fixture, press ...string) situation {
		f.search = search
		return situation{&f, press}
	}
	on := func(more ...string) []string { return append(append([]string(nil), query...), more...) }
	return map[string]situation{
		"fresh":             with(fixture{}),
		"typing":            with(fixture{}, "/", "user"),
		"found":             with(fixture{}, query...),
		"same":              with(fixture{look: healthyLook()}, on("enter")...),
		"different":         with(fixture{look: differentLook()}, on("enter")...),
		"values":            with(fixture{look: differentLook()}, on("enter", "enter")...),
		"g2_down":           with(fixture{look: downLook()}, on("enter")...),
		"long":              with(fixture{look: evilLook(strings.Repeat("long ", 800), 1<<20)}, on("enter")...),
		"hostile":           with(fixture{look: evilLook(evil, int64(len(evil)))}, on("down", "down", "enter")...),
		"compare_fresh":     with(fixture{}, "tab", "tab"),
		"compare_running":   with(fixture{news: []keyspace.Comparison{running()}, comparison: keyspace.Comparison{Phase: keyspace.Cancelled}}, "s"),
		"compare_same":      with(fixture{comparison: ended()}, "s"),
		"compare_different": with(fixture{comparison: ended(findings()...)}, "s"),
		"compare_cancelled": with(fixture{comparison: func() keyspace.Comparison { c := running(); c.Phase = keyspace.Cancelled; return c }()}, "s", "esc"),
		"compare_failed": with(fixture{comparison: func() keyspace.Comparison {
			c := running()
			c.Phase, c.Problem = keyspace.Failed, "reading the names at db_g2: no answer within 3s"
			return c
		}()}, "s"),
	}
}

// stack is a screen with the commands that still run.
type stack struct {
	v       screen.Screen
	c       screen.Context
	waiting []tea.Cmd
}

func (s *stack) send(msg tea.Msg) {
	next, _, cmd := s.v.Update(msg, s.c)
	s.v = next
	if cmd != nil {
		s.waiting = append(s.waiting, cmd)
	}
}

// settle runs the commands until so many have run, or none waits.
func (s *stack) settle(limit int) {
	for ; limit > 0 && len(s.waiting) > 0; limit-- {
		cmd := s.waiting[0]
		s.waiting = s.waiting[1:]
		if msg := cmd(); msg != nil {
			s.send(msg)
		}
	}
}

func (s *stack) press(name string) {
	special := map[string]tea.KeyType{"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown,
		"pgdown": tea.KeyPgDown, "end": tea.KeyEnd, "shift+tab": tea.KeyShiftTab}
	msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
	if kind, ok := special[name]; ok {
		msg = tea.KeyMsg{Type: kind}
	}
	s.send(msg)
}

// play presses the keys of a situation and lets everything end but a comparison that goes on.
func play(f *fixture, press []string, width, height int) *stack {
	s := &stack{v: New(keys.Default(), f.source()), c: contextOf(width, height)}
	for i, name := range press {
		s.press(name)
		limit := 5
		if f.comparison.Phase == keyspace.Cancelled && name == "s" && (len(f.news) == 0 || i == len(press)-1) {
			limit = len(f.news)
		}
		s.settle(limit)
	}
	return s
}

func TestGoldenFrames(t *testing.T) {
	for name, situation := range situations() {
		for _, size := range sizes {
			file := fmt.Sprintf("%s_%dx%d.txt", name, size[0], size[1]+2)
			t.Run(file, func(t *testing.T) {
				s := play(situation.fixture, situation.press, size[0], size[1])
				frametest.Golden(t, file, frametest.Frame(t, s.v, s.c)+"\n")
			})
		}
	}
}

// TestReadsOnlyWhenAsked: opening the screen, ticks and moving about read nothing; an older answer is dropped; the past
// reads nothing.
func TestReadsOnlyWhenAsked(t *testing.T) {
	f := &fixture{look: healthyLook(), search: keyspace.Search{Keys: []keyspace.Found{{Key: "a"}, {Key: "b"}}}}
	s := &stack{v: New(keys.Default(), f.source()), c: contextOf(80, 22)}
	s.send(screen.Shown{})
	s.send(screen.Tick{})
	for _, name := range []string{"/", "x", "tab", "esc", "tab", "up", "g"} {
		s.press(name)
	}
	s.settle(10)
	if len(f.asked) != 0 {
		t.Fatalf("asked %q", f.asked)
	}
	for _, name := range []string{"shift+tab", "enter"} {
		s.press(name)
	}
	s.settle(10)
	s.press("enter")
	s.press("tab")
	s.press("tab")
	s.press("down")
	s.press("enter")
	s.settle(10)
	if got := fmt.Sprint(f.asked); got != "[find x look a look b]" {
		t.Fatalf("asked %s", got)
	}
	s.send(lookMsg{number: 1, look: keyspace.Look{Key: "a"}})
	if frame := strings.Join(s.v.Draw(s.c), "\n"); !strings.Contains(frame, `"b"`) || strings.Contains(frame, `"a"`) {
		t.Errorf("an answer that nobody waits for is shown:\n%s", ansi.Strip(frame))
	}
	s.c.Past = true
	s.press("g")
	s.settle(10)
	if frame := strings.Join(s.v.Draw(s.c), "\n"); len(f.asked) != 3 || !strings.Contains(frame, "not recorded") {
		t.Errorf("the past: asked %q\n%s", f.asked, ansi.Strip(frame))
	}
}

// TestStoppingAComparison: esc ends it, and what was found until then is there.
func TestStoppingAComparison(t *testing.T) {
	f := &fixture{news: []keyspace.Comparison{running()}, comparison: keyspace.Comparison{Phase: keyspace.Cancelled}}
	s := play(f, []string{"s"}, 80, 22)
	frame := ansi.Strip(strings.Join(s.v.Draw(s.c), "\n"))
	if !strings.Contains(frame, "43 %") || !strings.Contains(frame, "left") || strings.Contains(frame, "● 0 different") {
		t.Errorf("while it runs:\n%s", frame)
	}
	s.press("esc")
	s.settle(5)
	if frame := strings.Join(s.v.Draw(s.c), "\n"); !strings.Contains(frame, "stopped by you") {
		t.Errorf("after esc:\n%s", ansi.Strip(frame))
	}
}

func FuzzKeys(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		names := []string{"found", "hostile", "different", "compare_different", "compare_failed", "long"}
		situation := situations()[names[random.IntN(len(names))]]
		s := play(situation.fixture, situation.press, 80, 22)
		pressed := []string{"tab", "enter", "esc", "up", "down", "pgdown", "end", "shift+tab", "/", "x", "漢", "\u202e", "s", "g", "*"}
		for range 80 {
			s.c.Width, s.c.Height, s.c.Past = random.IntN(220), random.IntN(60), random.IntN(12) == 0
			s.press(pressed[random.IntN(len(pressed))])
			s.settle(3)
			frametest.Fits(t, s.v.Draw(s.c), s.c.Width, s.c.Height)
		}
	})
}
