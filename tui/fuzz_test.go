package tui

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"captop/probes"
	"captop/probes/alerts"
	"captop/service"
	"captop/tui/keys"
	"captop/tui/theme"
)

// FuzzFrames sends random keys, sizes and messages to all screens: no frame may panic or overflow.
func FuzzFrames(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 7))
		options := demoOptions()
		options.ASCII, options.Armed = random.IntN(4) == 0, random.IntN(2) == 0
		options.Theme = theme.Names()[random.IntN(len(theme.Names()))]
		options.Relative = random.IntN(4) == 0
		options.History = recorded(new([]time.Time))
		width, height := 80, 24
		m := start(t, options, nil, width, height)
		m, _ = m.Update(pressed(fmt.Sprint(1 + random.IntN(len(m.(model).screens))))) // all screens get their share
		for range 60 {
			msg := randomMessage(random)
			if size, ok := msg.(tea.WindowSizeMsg); ok {
				width, height = size.Width, size.Height
			}
			var cmd tea.Cmd
			m, cmd = m.Update(msg)
			for _, follow := range answers(cmd, msg) {
				m, _ = m.Update(follow)
			}
			if width > 0 && height > 0 {
				checkFrame(t, m.View(), width, height)
			}
		}
	})
}

// answers runs the commands that end at once: those of keys. Waiting for a snapshot or the clock does not.
func answers(cmd tea.Cmd, msg tea.Msg) []tea.Msg {
	if _, isKey := msg.(tea.KeyMsg); !isKey || cmd == nil {
		return nil
	}
	switch msg := cmd().(type) {
	case nil:
		return nil
	case tea.BatchMsg:
		var all []tea.Msg
		for _, one := range msg {
			all = append(all, answers(one, tea.KeyMsg{})...)
		}
		return all
	default:
		return []tea.Msg{msg}
	}
}

// everyKey is each key that means something somewhere, and some text that nobody expects.
var everyKey = func() (all []string) {
	k := keys.Default()
	for _, entry := range k.Entries() {
		if entry.Name != "quit" && entry.Name != "suspend" && entry.Name != "redraw" {
			all = append(all, entry.Binding.Keys()...)
		}
	}
	for _, text := range "xyz0 ßé漢字🙂\u202e\u0007" {
		all = append(all, string(text))
	}
	return append(all, "backspace", "ctrl+u", "theme li", "window 1m", "goto 11:50", "filter db")
}()

func randomMessage(random *rand.Rand) tea.Msg {
	switch random.IntN(8) {
	case 0:
		return tea.WindowSizeMsg{Width: random.IntN(240), Height: random.IntN(70)}
	case 1, 2:
		names := slices.Sorted(maps.Keys(situations))
		return snapshotMsg{nasty(random, situations[names[random.IntN(len(names))]]())}
	case 3:
		return tea.MouseMsg{X: random.IntN(240), Y: random.IntN(70), Action: tea.MouseActionPress, Button: tea.MouseButton(random.IntN(8))}
	}
	return pressed(everyKey[random.IntN(len(everyKey))])
}

// nasty puts text and figures into a snapshot that nobody expects.
func nasty(random *rand.Rand, s *probes.Snapshot) *probes.Snapshot {
	texts := []string{"", "\x1b[2J\x1b[31mred", strings.Repeat("very long ", 40), "漢字漢字漢字漢字漢字", "line\nbreak\ttab", "\xff\xfe"}
	text := func() string { return texts[random.IntN(len(texts))] }
	s.Verdict.Sentence, s.Verdict.NextStep, s.Verdict.Also = text(), text(), []string{text()}
	s.At = s.At.Add(time.Duration(random.IntN(20)-10) * time.Second)
	s.Severity = probes.Severity(random.IntN(4))
	s.Events = append(s.Events, probes.Event{At: noon, Target: text(), Text: text()})
	for i := range s.Rules {
		r := &s.Rules[i]
		if random.IntN(3) == 0 {
			r.Name, r.Error, r.For = text(), text(), time.Duration(random.Int64N(1e12))
			r.Measures = append(r.Measures, alerts.Measure{Labels: map[string]string{"node": text()}, Value: math.Inf(1), Op: ">", Limit: math.NaN()})
			r.Alerts = append(r.Alerts, alerts.Alert{State: alerts.State(random.IntN(3)), Labels: map[string]string{"job": text()}, Value: math.NaN(), Summary: text()})
			r.Frozen = append(r.Frozen, alerts.Frozen{Labels: map[string]string{"x": text()}, Held: -time.Second})
			s.Edges = append(s.Edges, alerts.Edge{At: noon, Rule: text(), Summary: text(), To: alerts.Firing})
		}
	}
	s.Source = probes.Source{Kind: []probes.SourceKind{probes.SourceScrapes, probes.SourcePrometheus, probes.SourceRecording}[random.IntN(3)], Name: text()}
	for i := range s.Nodes {
		s.Nodes[i].Reach.Error, s.Nodes[i].Reach.Contact = text(), probes.Contact(random.IntN(8))
		s.Nodes[i].Info.Value.UsedMemory = math.MaxInt64 >> random.IntN(60)
		s.Nodes[i].Rejoin.Value.Active, s.Nodes[i].Rejoin.Value.Waiting = random.IntN(2) == 0, text()
		s.Nodes[i].StalenessHistory = append(s.Nodes[i].StalenessHistory, probes.Point{At: noon, Value: math.Pow(10, float64(random.IntN(30)))})
	}
	for i := range s.Services {
		s.Services[i].Name, s.Services[i].URL, s.Services[i].Reach.Error = text(), text(), text()
		s.Services[i].Rate.Value, s.Services[i].Status = math.Inf(1), text()
		s.Services[i].RateHistory = append(s.Services[i].RateHistory, probes.Point{At: noon, Value: math.Inf(1)}, probes.Point{At: noon, Value: -1})
	}
	return s
}

func TestOldDataIsNeverShownAsGood(t *testing.T) {
	options := demoOptions()
	now := noon
	options.Now = func() time.Time { return now }
	m := start(t, options, healthy(), 120, 40)
	see := func(after time.Duration) string {
		now = noon.Add(after)
		m, _ = m.Update(clockMsg(now))
		return m.View()
	}
	if frame := see(time.Second); !strings.Contains(frame, "● OK") || strings.Contains(frame, "~") {
		t.Errorf("one second after the poll:\n%s", frame)
	}
	if frame := see(3 * time.Second); !strings.Contains(frame, "~3 s") {
		t.Errorf("after three polls nothing is marked as late:\n%s", frame)
	}
	frame := see(6 * time.Second)
	for _, good := range []string{"● OK", "● ok", "● up", "● CLOSED", "4/4"} {
		if strings.Contains(frame, good) {
			t.Errorf("after six polls without news the screen still says %q:\n%s", good, frame)
		}
	}
	if !strings.Contains(frame, "captop has not looked for 6 s") {
		t.Errorf("after six polls without news the verdict does not say so:\n%s", frame)
	}
}

func TestQuietScreenWritesOnlyTheClock(t *testing.T) {
	options := demoOptions()
	now := noon
	options.Now = func() time.Time { return now }
	m := start(t, options, healthy(), 80, 24)
	before := strings.Split(m.View(), "\n")
	now = noon.Add(time.Second)
	next := shifted(healthy(), time.Second)
	next.Started, next.Verdict, next.Events = healthy().Started, healthy().Verdict, healthy().Events
	for i := range next.Nodes { // flat lines, as on a stack where nothing happens
		next.Nodes[i].StalenessHistory = healthy().Nodes[i].StalenessHistory
	}
	for i := range next.Services {
		next.Services[i].LatencyHistory = healthy().Services[i].LatencyHistory
	}
	m, _ = m.Update(snapshotMsg{next})
	for i, line := range strings.Split(m.View(), "\n") {
		chartLine := i >= 12 && i <= 18 // these hold curves, which move by their step
		if i > 0 && !chartLine && line != before[i] {
			t.Errorf("line %d changed though nothing happened:\n%s\n%s", i+1, before[i], line)
		}
	}
}

func TestActionsThatCannotBePressed(t *testing.T) {
	run := func(context.Context, func(string)) (string, error) { return "", nil }
	for _, test := range []struct {
		actions []Action
		want    string
	}{
		{[]Action{{Key: "q", Name: "x", Run: run}}, `key "q" of "x" is taken by captop itself (quit)`},
		{[]Action{{Key: "r", Name: "a", Run: run}, {Key: "r", Name: "b", Run: run}}, `key "r" of "b" is taken by a`},
		{[]Action{{Key: "", Name: "x", Run: run}}, `action "x" needs a key and a function to run`},
		{[]Action{{Key: "z", Name: "x"}}, `action "x" needs a key and a function to run`},
	} {
		options := demoOptions()
		options.Actions = offered(test.actions...)
		if err := Run(context.Background(), options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Run gave %v, want an error with %q", err, test.want)
		}
	}
}

func TestFailedActionShowsTheErrorAndPanicsAreCaught(t *testing.T) {
	for name, run := range map[string]func(context.Context, func(string)) (string, error){
		"PING got no answer": func(_ context.Context, progress func(string)) (string, error) {
			progress("starting db_g2")
			return "", errors.New("PING got no answer")
		},
		errPanicked.Error(): func(context.Context, func(string)) (string, error) { panic("oops") },
	} {
		options := demoOptions()
		options.actions()[1].Run = run
		m := start(t, options, healthy(), 80, 24)
		m, cmd := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("c")})
		for cmd != nil {
			msg := cmd()
			m, cmd = m.Update(msg)
		}
		if frame := m.View(); !strings.Contains(frame, "FAILED") || !strings.Contains(frame, name[:15]) {
			t.Errorf("want FAILED and %q:\n%s", name, frame)
		}
	}
}

func TestWhatMayNotRunNowHasNotFailed(t *testing.T) {
	options := demoOptions()
	options.actions()[1].Run = func(context.Context, func(string)) (string, error) {
		t.Error("it ran")
		return "", nil
	}
	snapshot := healthy()
	snapshot.Nodes[0].Reach.Contact = probes.Down
	m := start(t, options, snapshot, 80, 24)
	m, cmd := m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("c")})
	for cmd != nil {
		m, cmd = m.Update(cmd())
	}
	frame := m.View()
	checkFrame(t, frame, 80, 24)
	if !strings.Contains(frame, notNow) || strings.Contains(frame, "FAILED") || !strings.Contains(frame, errG1Down.Error()[:40]) {
		t.Errorf("want %s and %q:\n%s", notNow, errG1Down, frame)
	}
}

func TestAnswerToAnOlderWriteIsDropped(t *testing.T) {
	m := start(t, demoOptions(), healthy(), 80, 24)
	m, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("w")})
	m, _ = m.Update(answerMsg{number: 7, key: "old", written: service.Written{Version: "1"}})
	if frame := m.View(); strings.Contains(frame, "APPLIED") {
		t.Errorf("an answer that nobody waits for is shown:\n%s", frame)
	}
}

func TestArmingEndsAlsoForAnOpenForm(t *testing.T) {
	options := demoOptions()
	options.Armed = false
	now, sent := noon, 0
	options.Now = func() time.Time { return now }
	options.Write = func(context.Context, service.Mode, string, string) (service.Written, error) {
		sent++
		return service.Written{}, nil
	}
	m := start(t, options, healthy(), 80, 24)
	press := func(text string) {
		var cmd tea.Cmd
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text)}
		if text == "enter" {
			msg = tea.KeyMsg{Type: tea.KeyEnter}
		}
		if m, cmd = m.Update(msg); cmd != nil {
			m, _ = m.Update(cmd())
		}
	}
	press("A")
	press("w")
	press("k")
	press("enter")
	if sent != 1 {
		t.Fatalf("an armed form sent %d writes, want 1", sent)
	}
	now = now.Add(armedFor + time.Second)
	press("enter")
	if sent != 1 || !strings.Contains(m.View(), "READ-ONLY") {
		t.Errorf("after the five minutes the form sent %d writes, want 1, and READ-ONLY on the screen:\n%s", sent, m.View())
	}
}

// BenchmarkFrame is what one frame costs.
func BenchmarkFrame(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			m := start(b, demoOptions(), healthy(), size[0], size[1])
			for b.Loop() {
				m.View()
			}
		})
	}
}
