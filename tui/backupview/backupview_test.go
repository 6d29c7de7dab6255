package backupview

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/tui/frametest"
	"captop/tui/keys"
	"captop/tui/screen"
)

var noon = frametest.Noon

var sizes = frametest.Sizes

func contextOf(width, height int) screen.Context {
	c := frametest.Context(width, height)
	c.Armed = true
	return c
}

// taken is a verified backup of a node, so old.
func taken(node string, age time.Duration, of int64) Backup {
	at := noon.Add(-age)
	return Backup{Node: node, File: node + "-" + at.Format("20060102T150405.000Z") + ".rdb", At: at, Took: 840 * time.Millisecond, Bytes: of * 97, Keys: of, Expiring: 12,
		SHA256: strings.Repeat("9f86d081884c7d65", 4), RunID: "b89467a3c1d2e3f40516", Redis: "7.0.15", Offsets: [2]int64{7340032, 7340480},
		Verified: &Proof{At: at.Add(2 * time.Second), Took: 1200 * time.Millisecond, Redis: "7.0.15", Keys: of}}
}

func unverified(b Backup) Backup { b.Verified = nil; return b }

var (
	goodDrill = Drill{Kind: "restore", At: noon.Add(-9 * time.Hour), OK: true, RPO: 131 * time.Second, RTO: 34 * time.Second}
	badDrill  = Drill{Kind: "restore", At: noon.Add(-9 * time.Hour), Problem: "RPO 12m11s is above the target of 5m0s", RPO: 731 * time.Second, RTO: 34 * time.Second}
	failover  = Drill{Kind: "failover", At: noon.Add(-50 * time.Hour), OK: true, RPO: time.Second, RTO: 8 * time.Second}
)

// twoHours is what captop backup take --every 4m --keep 24 leaves.
func twoHours(from time.Duration) []Backup {
	var all []Backup
	for i := range 24 {
		age := from + time.Duration(i)*4*time.Minute
		all = append(all, taken("db_g2", age, 129_300-int64(i)*40), taken("db_g1", age+time.Second, 129_304-int64(i)*40))
	}
	return all
}

func healthy() State {
	return State{Dir: "/state/captop/backups", Exists: true, Backups: twoHours(2 * time.Minute), Drills: []Drill{goodDrill, failover}}
}

func late() State {
	s := healthy()
	s.Backups = append([]Backup{unverified(taken("db_g2", 3*time.Minute, 129_900))}, twoHours(42 * time.Minute)[:5]...)
	for i := range s.Backups {
		if s.Backups[i].Node == "db_g1" {
			s.Backups[i] = unverified(s.Backups[i])
		}
	}
	s.Backups = append(s.Backups, Backup{File: "db_g1-20261122T030000.000Z.rdb", Problem: "its dump is gone"})
	return s
}

// faked is a source that shows a state, and whose work says what of it was asked for.
type faked struct {
	state State
	err   error
	did   []string
	no    error // why nothing can be restored now
}

func (f *faked) work(name string) Work {
	return func(_ context.Context, tell func(Progress)) (string, error) {
		f.did = append(f.did, name)
		tell(Progress{Text: "db_g1: asking the node to save (BGSAVE)", Done: 0, Total: 10})
		tell(Progress{Text: "db_g1: fetching 12.5 MB", Done: 1, Total: 10})
		tell(Progress{Text: "db_g1: reading it back", Done: 2, Total: 10})
		return "db_g1-20261123T120000.000Z.rdb: verified: 129304 keys in Redis 7.0.15", nil
	}
}

func (f *faked) source() Source {
	prepare := func(name string) Prepare {
		return func(context.Context, func(Progress)) (Plan, error) {
			f.did = append(f.did, "prepare "+name)
			plan := Plan{What: name, Subject: "db_g2", Command: "captop backup restore db_g2 x.rdb", Run: f.work(name), Warnings: []string{"app_ap still owes db_g1 3 registers"},
				Lines: []string{"hold writes at db_g2 (CLIENT PAUSE 60000 WRITE) and carry to db_g1 what app_ap has not brought there yet", "docker stop shop_db_g2_1",
					"copy the data folder of db_g2 to /state/captop/backups/restore-20261123T120000.000Z-db_g2.safety.tar", "make x.rdb its data", "docker start shop_db_g2_1",
					"compare what it loaded", "have the services settle it with db_g1"}}
			return plan, f.no
		}
	}
	return Source{Nodes: []string{"db_g1", "db_g2"}, First: "captop backup take", RPO: 5 * time.Minute, RTO: 15 * time.Minute, Look: func(context.Context) (State, error) { return f.state, f.err },
		Take: f.work("take"), Verify: func(file string) Work { return f.work("verify " + file) },
		Restore: func(node, file string) Prepare { return prepare("restore " + node) }, Undo: prepare("undo db_g2")}
}

// everything is more messages than any job here brings.
const everything = 100

// after gives messages, and runs what the screen then wants run until there were so many messages. Words are keys.
func after(v screen.Screen, c screen.Context, messages int, given ...any) screen.Screen {
	special := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown, "end": tea.KeyEnd}
	for _, msg := range given {
		if name, ok := msg.(string); ok {
			kind, isSpecial := special[name]
			if msg = (tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}); isSpecial {
				msg = tea.KeyMsg{Type: kind}
			}
		}
		var cmd tea.Cmd
		v, _, cmd = v.Update(msg, c)
		for ; cmd != nil && messages > 0; messages-- {
			v, _, cmd = v.Update(cmd(), c)
		}
	}
	return v
}

// shown is the screen in front on a state, after keys.
func shown(c screen.Context, f *faked, press ...any) screen.Screen {
	return after(New(keys.Default(), f.source()), c, everything, append([]any{screen.Shown{}}, press...)...)
}

// situations are what each size has to show well.
func situations() map[string]func(c screen.Context) screen.Screen {
	on := func(s State, press ...any) func(screen.Context) screen.Screen {
		return func(c screen.Context) screen.Screen { return shown(c, &faked{state: s}, press...) }
	}
	failed := healthy()
	failed.Drills = []Drill{badDrill}
	broken := healthy()
	broken.Unfinished, broken.Undo = `the restore of db_g2 from 2026-11-23 11:40:12 UTC is before the step "replace"`, "the restore of db_g2"
	broken.Broke = "restore of db_g2: replacing its data: reading the new data of db_g2: reading tar: unexpected EOF"
	return map[string]func(screen.Context) screen.Screen{
		"healthy":    on(healthy()),
		"none":       on(State{Dir: "/state/captop/backups"}),
		"late":       on(late()),
		"drill":      on(failed),
		"unfinished": on(broken),
		"filtered":   on(late(), "/", "n", "o", "t", "enter"),
		"problem":    on(late(), "end"),
		"done":       on(healthy(), "t"),
		"question":   on(healthy(), "R"),
		"refused": func(c screen.Context) screen.Screen {
			return shown(c, &faked{state: healthy(), no: errors.New("not now: db_g1 is down: it is the only one that holds what was written since")}, "R")
		},
		"blind": func(c screen.Context) screen.Screen {
			return shown(c, &faked{err: errors.New("listing the backups: open /state/captop/backups: permission denied")})
		},
		"running": func(c screen.Context) screen.Screen {
			return after(shown(c, &faked{state: late()}), c, 3, "t")
		},
		"nothing": func(c screen.Context) screen.Screen { return New(keys.Default(), Source{}) },
	}
}

func TestGoldenFrames(t *testing.T) {
	for name, situation := range situations() {
		for _, size := range sizes {
			file := fmt.Sprintf("%s_%dx%d.txt", name, size[0], size[1]+2)
			t.Run(file, func(t *testing.T) {
				c := contextOf(size[0], size[1])
				v := situation(c)
				c.Now = noon.Add(4 * time.Second)
				frametest.Golden(t, file, frametest.Frame(t, v, c)+"\n")
			})
		}
	}
}

func frame(v screen.Screen, c screen.Context) string {
	return ansi.Strip(strings.Join(v.Draw(c), "\n"))
}

func expect(t *testing.T, v screen.Screen, c screen.Context, wanted ...string) {
	t.Helper()
	got := frame(v, c)
	for _, text := range wanted {
		if !strings.Contains(got, text) {
			t.Errorf("%q does not show:\n%s", text, got)
		}
	}
}

// TestNeverGreenWithoutProof: what is old, unverified, unseen or of the future is not well.
func TestNeverGreenWithoutProof(t *testing.T) {
	c := contextOf(80, 22)
	c.Now = noon
	worst := func(v screen.Screen, c screen.Context) string { return strings.SplitN(frame(v, c), "\n", 2)[0] }
	for _, one := range []struct {
		name, want string
		backups    []Backup
	}{
		{"none", "■ NONE", nil},
		{"unverified", "■ NONE", []Backup{unverified(taken("db_g1", time.Minute, 5)), taken("db_g2", time.Minute, 5)}},
		{"late", "▲ LATE    db_g2", []Backup{taken("db_g1", time.Minute, 5), taken("db_g2", 301*time.Second, 5)}},
		{"just in time", "● OK", []Backup{taken("db_g1", time.Minute, 5), taken("db_g2", 300*time.Second, 5)}},
		{"of the future", "? UNKNOWN db_g1", []Backup{taken("db_g1", -time.Minute, 5), taken("db_g2", time.Minute, 5)}},
		{"gone", "■ NONE    db_g1", []Backup{func() Backup { b := taken("db_g1", time.Minute, 5); b.Problem = "its dump is gone"; return b }(), taken("db_g2", time.Minute, 5)}},
	} {
		v := shown(c, &faked{state: State{Exists: true, Backups: one.backups}})
		if got := worst(v, c); !strings.HasPrefix(got, one.want) {
			t.Errorf("%s: the first line is %q, wanted %q", one.name, got, one.want)
		}
	}
	f := &faked{state: healthy()}
	v := shown(c, f)
	f.err = errors.New("permission denied")
	later := c
	later.Now = noon.Add(every)
	v = after(v, later, everything, screen.Tick{})
	if got := frame(v, later); strings.Contains(got, "● OK      db_") || !strings.Contains(got, "permission denied") {
		t.Errorf("what cannot be seen any more is shown as well:\n%s", got)
	}
	c.Past = true
	if got := frame(v, c); strings.Contains(got, "● OK      db_") || !strings.Contains(got, "now, not then") {
		t.Errorf("what is so now is shown as of the past:\n%s", got)
	}
}

// TestRefreshes: it looks by a command when it comes to the front and every few seconds then, once at a time, and not in
// the past.
func TestRefreshes(t *testing.T) {
	c, looks := contextOf(80, 22), 0
	f := &faked{state: healthy()}
	source := f.source()
	source.Look = func(context.Context) (State, error) { looks++; return f.state, nil }
	v := New(keys.Default(), source)
	v, _, first := v.Update(screen.Shown{}, c)
	if looks != 0 || first == nil {
		t.Fatal("Update looked itself, or nobody did")
	}
	c.Now = noon.Add(time.Hour)
	if _, _, second := v.Update(screen.Tick{}, c); second != nil {
		t.Fatal("two looks at once")
	}
	v, _, _ = v.Update(first(), c)
	v = after(v, c, everything, screen.Tick{}, screen.Tick{})
	if looks != 2 {
		t.Fatalf("%d looks, wanted 2", looks)
	}
	c.Past, c.Now = true, noon.Add(2*time.Hour)
	after(v, c, everything, screen.Tick{})
	if looks != 2 {
		t.Fatal("it looked for the past")
	}
}

// TestCursorStaysOnItsBackup while newer ones come: what is restored is what was chosen.
func TestCursorStaysOnItsBackup(t *testing.T) {
	c, f := contextOf(80, 22), &faked{state: healthy()}
	v := shown(c, f, "down", "down")
	chosen, _ := v.(Backups).current()
	f.state.Backups = append([]Backup{taken("db_g1", 0, 7)}, f.state.Backups...)
	c.Now = noon.Add(every)
	v = after(v, c, everything, screen.Tick{})
	if now, _ := v.(Backups).current(); now.File != chosen.File {
		t.Fatalf("the cursor went from %s to %s", chosen.File, now.File)
	}
}

// TestRestoreAsks: only an armed seat gets the plan, and only the node's name begins it.
func TestRestoreAsks(t *testing.T) {
	c, f := contextOf(80, 22), &faked{state: healthy()}
	idle := c
	idle.Armed = false
	v := shown(idle, f, "R")
	expect(t, v, idle, "Read-only, for a restore stops the node and replaces its data")
	v = after(v, idle, everything, "t")
	expect(t, v, idle, "Read-only, for a backup has each node save")
	if len(f.did) > 0 {
		t.Fatalf("a read-only seat did %q", f.did)
	}
	v = after(v, c, everything, "R")
	expect(t, v, c, "restore db_g2?", "app_ap still owes", "docker stop shop_db_g2_1", "Type db_g2 to confirm")
	v = after(v, c, everything, "d", "enter")
	expect(t, v, c, "That is not db_g2.")
	if got := strings.Join(f.did, ","); got != "prepare restore db_g2" {
		t.Fatalf("it did %s", got)
	}
	v = after(v, idle, everything, "b", "_", "g", "2", "enter")
	expect(t, v, idle, "read-only again")
	v = after(v, c, everything, "enter")
	expect(t, v, c, "✓ DONE  restore db_g2")
	if got := strings.Join(f.did, ","); got != "prepare restore db_g2,restore db_g2" {
		t.Fatalf("it did %s", got)
	}
	f.no = errors.New("not now: db_g1 is down")
	v = after(v, c, everything, "R")
	expect(t, v, c, "✗ FAILED", "not now: db_g1 is down")
	if v.Typing() {
		t.Fatal("it asks for what was refused")
	}
	v = after(v, c, everything, "u")
	expect(t, v, c, "There is no restore to take back.")
	broken := healthy()
	broken.Unfinished = `the undo of db_g2 from 2026-11-23 11:40:12 UTC is before the step "replace"`
	v = shown(c, &faked{state: broken})
	expect(t, v, c, `"replace". captop backup restore --resume finishes it;`)
	v = after(v, c, everything, "u")
	expect(t, v, c, "An undo was broken off: captop backup restore --resume finishes it.")
}

// TestOneJobAtATime, and a panic in it does not end the dashboard.
func TestOneJobAtATime(t *testing.T) {
	c, f := contextOf(80, 22), &faked{state: healthy()}
	v := after(shown(c, f), c, 2, "t") // of three steps the first two were heard
	v = after(v, c, everything, "v")
	expect(t, v, c, "One at a time", "▸ back up db_g1 and db_g2", "10 %", "▸ db_g1: fetching 12.5 MB")
	source := f.source()
	source.Take = func(context.Context, func(Progress)) (string, error) { panic("boom") }
	v = after(New(keys.Default(), source), c, everything, screen.Shown{}, "t")
	expect(t, v, c, "✗ FAILED", "boom")
	v = after(v, c, everything, "esc", "v")
	expect(t, v, c, "✓ DONE  verify db_g2-")
}

func FuzzKeys(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	const evil = "\x1b[2J\x1b[31mred\r\n\t漢字漢字 \u202e and much longer than anybody would ever want to read on a screen of any size whatsoever"
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := contextOf(80, 22)
		hostile := Backup{Node: evil, File: evil, At: noon.Add(time.Duration(random.Int64())), Took: -1, Bytes: -5, Keys: random.Int64(), SHA256: evil, RunID: evil, Redis: evil}
		broken := hostile
		broken.Problem = evil
		fake := &faked{state: State{Dir: evil, Exists: true, Backups: []Backup{hostile, broken, taken("db_g1", time.Minute, 3)}, Unfinished: evil, Broke: evil, Undo: evil,
			Drills: []Drill{{Kind: evil, Problem: evil}}}}
		names := []string{"healthy", "late", "none", "question", "blind", "nothing", "done"}
		v := situations()[names[random.IntN(len(names))]](c)
		if random.IntN(2) == 0 {
			v = shown(c, fake)
		}
		for range 60 {
			c.Width, c.Height, c.Now = random.IntN(220), random.IntN(60), noon.Add(time.Duration(random.IntN(2000))*time.Second)
			c.Past, c.Armed = random.IntN(10) == 0, random.IntN(3) > 0
			pressed := []string{"t", "v", "R", "u", "/", "a", "enter", "esc", "up", "down", "end", "漢", "\u202e"}[random.IntN(13)]
			v = after(v, c, everything, pressed, screen.Tick{})
			frametest.Fits(t, v.Draw(c), c.Width, c.Height)
		}
	})
}
