package alertview

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/probes"
	"captop/probes/alerts"
	"captop/tui/cell"
	"captop/tui/frametest"
	"captop/tui/keys"
	"captop/tui/screen"
	"captop/tui/theme"
)

var sizes = frametest.Sizes

const runbookPage = `# The breaker is open

The service has given up on a node after %s failures and asks it again every few seconds.

## What to do

1. Look whether the node runs: ` + "`docker compose ps db_g2`" + `
2. If it does not, start it. The queue is carried over.

` + "```check\nthe node answers: redis_up{node=\"db_g2\"} == 1\nnobody is refused: rate(refused[1m]) == 0\nthe link is whole: link == 1\n```" + `

| sign | cause |
| --- | --- |
| connection refused | the process is gone |
| timeouts | the host or the link is |
`

// desk is what the screen is handed in tests; it notes what was done.
type desk struct {
	acked    []probes.Ack
	unacked  int
	silenced []probes.Silence
	ended    []string
	err      error
}

func (d *desk) options() Options {
	return Options{
		Runbook: func(name string) (string, error) {
			if name == "latencyhigh" {
				return "", errors.New("no such page")
			}
			return runbookPage, nil
		},
		Checks: func(string) ([]Check, error) {
			return []Check{{"the node answers", `redis_up{node="db_g2"} == 1`}, {"nobody is refused", `rate(refused[1m]) == 0`}, {"the link is whole", "link == 1"}}, nil
		},
		Query: func(_ context.Context, expr string) ([]alerts.Sample, error) {
			switch expr {
			case `redis_up{node="db_g2"} == 1`, "link", "link == 1":
				return nil, d.err // link is absent: nobody can tell
			}
			return []alerts.Sample{{Labels: map[string]string{"node": "db_g2"}, Value: 0}}, nil
		},
		Acknowledge:   func(_ context.Context, ack probes.Ack) error { d.acked = append(d.acked, ack); return d.err },
		Unacknowledge: func(context.Context, probes.Ack) error { d.unacked++; return nil },
		Silence: func(_ context.Context, s probes.Silence) (string, error) {
			d.silenced = append(d.silenced, s)
			return "5b0c", nil
		},
		Unsilence: func(_ context.Context, id string) error { d.ended = append(d.ended, id); return nil },
	}
}

// seat is one screen with its context.
type seat struct {
	t testing.TB
	s screen.Screen
	c screen.Context
}

func sit(t testing.TB, options Options, snapshot *probes.Snapshot, width, height int) *seat {
	k := keys.Default()
	s := &seat{t: t, s: New(k, options), c: screen.Context{Context: context.Background(), Snapshot: snapshot, Now: noon, Width: width, Height: height,
		Theme: theme.New(theme.None, false, func(string) string { return "" }), Keys: k, Armed: true}}
	s.send(screen.Shown{})
	return s
}

// send hands a message over, and then what its commands answer.
func (s *seat) send(msg tea.Msg) {
	next, _, cmd := s.s.Update(msg, s.c)
	s.s = next
	s.follow(cmd)
}

func (s *seat) follow(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	msg := cmd()
	if batch, ok := msg.(tea.BatchMsg); ok {
		for _, cmd := range batch {
			s.follow(cmd)
		}
		return
	}
	if msg != nil {
		s.send(msg)
	}
}

var special = map[string]tea.KeyType{"enter": tea.KeyEnter, "tab": tea.KeyTab, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown,
	"pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp, "home": tea.KeyHome, "end": tea.KeyEnd, "left": tea.KeyLeft, "right": tea.KeyRight,
	"space": tea.KeySpace, "backspace": tea.KeyBackspace, "shift+tab": tea.KeyShiftTab}

// press sends keys by their names; anything else is typed letter by letter.
func (s *seat) press(names ...string) {
	for _, name := range names {
		if kind, ok := special[name]; ok {
			msg := tea.KeyMsg{Type: kind}
			if kind == tea.KeySpace {
				msg.Runes = []rune{' '}
			}
			s.send(msg)
			continue
		}
		for _, r := range name {
			s.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
		}
	}
}

func (s *seat) frame() string { return strings.Join(s.s.Draw(s.c), "\n") }

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
				golden(t, fmt.Sprintf("%s_%dx%d", name, size[0], size[1]), sit(t, new(desk).options(), situation(), size[0], size[1]).check())
			})
		}
	}
}

func TestGoldenPanes(t *testing.T) {
	for name, pressed := range map[string][]string{"page": {"enter"}, "checks": {"enter", "x"}, "history": {"tab", "tab"}, "ack": {"a"},
		"silence": {"s"}, "filter": {"/", "db_g2"}, "undo": {"u"}} {
		t.Run(name, func(t *testing.T) {
			s := sit(t, new(desk).options(), handledAll(), 80, 22)
			s.press("j")
			s.press(pressed...)
			golden(t, "pane_"+name, s.check())
		})
	}
}

func TestTheWorstIsFirst(t *testing.T) {
	kinds := []kind{}
	for _, e := range entries(gone()) {
		kinds = append(kinds, e.kind)
	}
	if !slices.IsSorted(kinds) || kinds[0] != firing || kinds[len(kinds)-1] != quiet || !slices.Contains(kinds, frozen) || !slices.Contains(kinds, lost) || !slices.Contains(kinds, broken) {
		t.Errorf("the order is %v", kinds)
	}
	all := entries(handledAll())
	if all[0].ack != nil || len(all[0].silences) > 0 {
		// Critical ones come first all the same, but among them those with nobody on them.
		if all[0].rule.Severity != "critical" {
			t.Errorf("first is %s, which somebody looks after", all[0].rule.Name)
		}
	}
}

func TestWhatIsNotKnownIsNeverShownAsGood(t *testing.T) {
	s := sit(t, Options{}, stale(), 120, 38)
	if frame := s.check(); strings.Contains(frame, "● quiet") || strings.Contains(frame, "■ FIRING") || !strings.Contains(frame, "Nobody looks") {
		t.Errorf("an old snapshot is shown as now:\n%s", frame)
	}
	silent := healthy()
	silent.Source = probes.Source{Kind: probes.SourcePrometheus, Reach: probes.Reach{Contact: probes.Down}}
	if frame := sit(t, Options{}, silent, 120, 38).check(); strings.Contains(frame, "● quiet") {
		t.Errorf("a Prometheus that is down says that all is quiet:\n%s", frame)
	}
	unmeasured := healthy()
	unmeasured.Rules[2].Measures = nil
	if frame := sit(t, Options{}, unmeasured, 120, 38).check(); !strings.Contains(frame, "? no data  StalenessHigh") {
		t.Errorf("a rule without any series is shown as quiet:\n%s", frame)
	}
}

func TestAcknowledging(t *testing.T) {
	d := new(desk)
	s := sit(t, d.options(), g2Down(), 80, 22)
	s.press("a", "enter")
	if len(d.acked) != 0 || !strings.Contains(s.check(), "Not sent") {
		t.Fatalf("an acknowledgement without a reason went out, or nobody said why not:\n%s", s.frame())
	}
	s.press("on it", "tab", "90", "enter")
	if len(d.acked) != 0 || !strings.Contains(s.check(), "no duration") {
		t.Fatalf("90 is no duration:\n%s", s.frame())
	}
	s.press("m", "enter")
	if len(d.acked) != 1 || d.acked[0].Reason != "on it" || !d.acked[0].Until.Equal(noon.Add(90*time.Minute)) || d.acked[0].Labels["alertname"] != "CircuitBreakerOpen" {
		t.Fatalf("acknowledged: %+v", d.acked)
	}
	if frame := s.check(); !strings.Contains(frame, "pagers go on") {
		t.Errorf("nobody says that it is no silence:\n%s", frame)
	}
	d.err = errors.New("the disk is full")
	s.press("a", "again", "enter")
	if frame := s.check(); !strings.Contains(frame, "the disk is full") {
		t.Errorf("an acknowledgement that failed does not say so:\n%s", frame)
	}
}

func TestSilencing(t *testing.T) {
	d := new(desk)
	s := sit(t, d.options(), g2Down(), 120, 38)
	s.c.Armed = false
	s.press("s")
	if s.s.Typing() || !strings.Contains(s.check(), "Read-only") {
		t.Fatalf("a read-only seat may silence:\n%s", s.frame())
	}
	s.c.Armed = true
	s.press("s", "disk", "space", "swap", "enter")
	if len(d.silenced) != 1 {
		t.Fatalf("silences made: %d\n%s", len(d.silenced), s.frame())
	}
	got := d.silenced[0]
	if got.Comment != "disk swap" || got.EndsAt.Sub(got.StartsAt) != 15*time.Minute || !matchesAll(got.Matchers, g2Down().Rules[0].Alerts[0].Labels) ||
		matchesAll(got.Matchers, g2Down().Rules[0].Alerts[1].Labels) {
		t.Errorf("silenced: %+v", got)
	}
	without := sit(t, Options{}, g2Down(), 120, 38)
	without.press("s")
	if frame := without.check(); !strings.Contains(frame, "--alertmanager") {
		t.Errorf("without an Alertmanager nobody says what would do:\n%s", frame)
	}
}

func TestUndoing(t *testing.T) {
	d := new(desk)
	s := sit(t, d.options(), handledAll(), 120, 38)
	for _, e := range entries(handledAll()) {
		if e.ack != nil || len(e.silences) > 0 {
			s.press("u", "enter")
		}
		s.press("down")
	}
	if d.unacked != 1 || !slices.Equal(d.ended, []string{"5b0c"}) {
		t.Errorf("taken back: %d acknowledgements, silences %v", d.unacked, d.ended)
	}
	s.press("home")
	for range entries(handledAll()) {
		s.press("down")
	}
	s.press("u")
	if frame := s.check(); s.s.Typing() || !strings.Contains(frame, "neither") {
		t.Errorf("a quiet rule can be undone:\n%s", frame)
	}
}

func TestChecksTellPassFailAndNeither(t *testing.T) {
	s := sit(t, new(desk).options(), g2Down(), 200, 48)
	s.press("x")
	frame := s.check()
	for _, want := range []string{"1 pass, 1 fail, 1 cannot tell", "✗ the node answers", "✓ nobody is refused", "? the link is whole", "no samples of link", "FAIL 12:00:00"} {
		if !strings.Contains(frame, want) {
			t.Errorf("no %q in\n%s", want, frame)
		}
	}
	narrow := sit(t, new(desk).options(), g2Down(), 80, 22)
	narrow.press("x")
	if frame := narrow.check(); !strings.Contains(frame, "✗ the node answers") {
		t.Errorf("on a narrow screen the results are not in sight:\n%s", frame)
	}
	s = sit(t, (&desk{err: errors.New("the engine is gone")}).options(), g2Down(), 200, 48)
	s.press("x")
	if frame := s.check(); !strings.Contains(frame, "the engine is gone") || strings.Contains(frame, "✗") {
		t.Errorf("an error is a fail, or says nothing:\n%s", frame)
	}
	s.c.Past = true
	s.press("x")
	if frame := s.check(); !strings.Contains(frame, "this is the past") {
		t.Errorf("checks of now run beside a screen of then:\n%s", frame)
	}
}

func TestAnswerToAnOlderRunIsDropped(t *testing.T) {
	s := sit(t, new(desk).options(), g2Down(), 200, 48)
	s.press("x")
	before := s.frame()
	s.send(resultMsg{name: "circuitbreakeropen", run: 0, index: 0, result: result{outcome: pass, why: "OLD"}})
	if s.frame() != before {
		t.Error("an answer to an older run is shown")
	}
}

func TestTheChosenAlertStaysChosen(t *testing.T) {
	s := sit(t, new(desk).options(), g2Down(), 120, 38)
	s.press("down", "down")
	name := s.s.(Alerts).current(s.c).id()
	next := g2Down()
	next.Rules[5].Alerts = []alerts.Alert{{Labels: map[string]string{"alertname": "ServiceDown"}, State: alerts.Firing, ActiveAt: noon.Add(-time.Hour), FiredAt: noon}}
	s.c.Snapshot = next
	if got := s.s.(Alerts).current(s.c).id(); got != name {
		t.Errorf("a new alert moved the choice from %q to %q", name, got)
	}
	worked := sit(t, new(desk).options(), g2Down(), 120, 38)
	name = worked.s.(Alerts).current(worked.c).id()
	worked.press("a", "on it", "enter")
	worked.c.Snapshot = next
	if got := worked.s.(Alerts).current(worked.c).id(); got != name {
		t.Errorf("who acknowledged %q has %q under the cursor", name, got)
	}
	fresh := sit(t, new(desk).options(), g2Down(), 120, 38)
	fresh.c.Snapshot = next
	if got := fresh.s.(Alerts).current(fresh.c).rule.Name; got != "ServiceDown" {
		t.Errorf("before the first key the worst is not the chosen one, but %q", got)
	}
}

func TestEverythingOfAnAlertCanBeRead(t *testing.T) {
	s := sit(t, new(desk).options(), long(), 80, 22)
	for range 3 {
		if s.s.(Alerts).current(s.c).rule.Name != long().Rules[2].Name {
			s.press("down")
		}
	}
	s.press("enter")
	seen := ""
	for range 200 {
		seen += s.check()
		s.press("down")
	}
	if shown := strings.Join(strings.Fields(seen), ""); !strings.Contains(shown, "timeouts") || strings.Count(shown, "becausebecause") < 5 {
		t.Error("the end of the pane cannot be reached")
	}
	before := s.frame()
	s.press("up")
	if s.frame() == before {
		t.Error("after the end was reached, up does not scroll at once")
	}
}

func TestTimelineShowsTheWorstOfEachCell(t *testing.T) {
	row := line{edges: []alerts.Edge{{At: noon.Add(-3 * time.Minute), To: alerts.Pending}, {At: noon.Add(-2 * time.Minute), From: alerts.Pending, To: alerts.Firing},
		{At: noon.Add(-time.Minute), From: alerts.Firing, To: alerts.Inactive}}}
	s := sit(t, Options{}, healthy(), 80, 22)
	if got, want := ansi.Strip(strip(s.c, row, 5*time.Minute, 5)), "··░█·"; got != want {
		t.Errorf("the strip is %q, want %q", got, want)
	}
	if got, want := ansi.Strip(strip(s.c, row, 30*time.Minute, 3)), " ·█"; got != want {
		t.Errorf("a cell that holds all states is drawn as %q, want %q", got, want)
	}
}

func TestValuesInPeoplesUnits(t *testing.T) {
	g2 := g2Down()
	for i, want := range map[int]string{0: "OPEN", 2: "1 min > 5 s", 3: "48 % > 5 %", 4: "700 ms", 5: "up, fires when down", 8: "0 keys, fires when > 0"} {
		for _, e := range ofRule(g2.Rules[i])[:1] {
			if got := against(e); !strings.HasPrefix(got, want) && e.kind != resolved {
				t.Errorf("%s: %q, want %q", e.rule.Name, got, want)
			}
		}
	}
}

// FuzzFrames sends random keys, sizes and snapshots: no frame may panic, overflow or steer the terminal.
func FuzzFrames(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 5))
		s := sit(t, new(desk).options(), nil, 80, 22)
		names := []string{"enter", "tab", "esc", "up", "down", "pgdown", "pgup", "home", "end", "left", "right", "space", "backspace", "shift+tab",
			"a", "s", "x", "u", "/", "j", "k", "q", "漢", "\x1b", "=", "\""}
		pick := func() *probes.Snapshot {
			all := []string{"healthy", "g2_down", "handled", "gone", "long", "empty", "stale"}
			return situations[all[random.IntN(len(all))]]()
		}
		for range 80 {
			switch random.IntN(12) {
			case 0:
				s.c.Width, s.c.Height = random.IntN(220), random.IntN(60)
			case 1:
				s.c.Snapshot = pick()
			case 2:
				s.c.Past, s.c.Armed, s.c.Times.Relative = random.IntN(4) == 0, random.IntN(3) > 0, random.IntN(2) == 0
			case 3:
				s.send(screen.Tick{})
			default:
				s.press(names[random.IntN(len(names))])
			}
			s.check()
		}
	})
}

func BenchmarkDraw(b *testing.B) {
	s := sit(b, new(desk).options(), g2Down(), 200, 48)
	for b.Loop() {
		s.s.Draw(s.c)
	}
}

// TestBriefTellsOfTheRest: where the title has no room for all counts, it still says how many alerts have no line.
func TestBriefTellsOfTheRest(t *testing.T) {
	for _, width := range []int{200, 60, 40} {
		c := sit(t, Options{}, g2Down(), width, 24).c
		all := Brief(c, width, 100)
		if title := ansi.Strip(Brief(c, width, 2)[0]); !strings.HasSuffix(title, fmt.Sprintf(" +%d more", len(all)-2)) || cell.Width(title) > width {
			t.Errorf("at %d cells: %s", width, title)
		}
	}
}
