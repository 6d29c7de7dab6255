package doctorview

import (
	"context"
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

func contextOf(width, height int) screen.Context { return frametest.Context(width, height) }

var checklist = []Line{
	{"app-env", "secrets", "APP_ENV is production on every instance", "only in production does capd refuse to start with a weak key, an open node or an open API"},
	{"redis-password", "secrets", "The nodes refuse to work without a password and with those that everybody tries", "an open Redis is found within hours, and gives its host away with it"},
	{"tls-certificate", "tls", "The edge's certificate is trusted, fits its name, and is good for 14 days more", "an expired certificate takes every client away at once"},
	{"memory-limit", "limits", "Every container has a memory limit", "one that leaks takes the memory of its neighbours"},
	{"backup-age", "backups", "Each node has a verified backup that is younger than the RPO of 5 minutes", "what is younger than the backup is lost with both nodes"},
	{"zones", "hosts", "The two nodes, and the instances of each service, are in different zones", "what is in one place goes down together"},
}

var found = []Result{
	{"app-env", Pass, []string{"shop_app_cp_1 has APP_ENV=production", "shop_app_ap_1 has APP_ENV=production"}, ""},
	{"redis-password", Fail, []string{"db_g2 works for anybody, without a password", "well: 3 more"}, "umask 077; openssl rand -hex 32 > secrets/redis_password, then docker-compose -p shop up -d"},
	{"tls-certificate", Pass, []string{"https://shop.example: trusted, good until 2027-02-21 (90 days)"}, ""},
	{"memory-limit", Pass, []string{"shop_app_cp_1: 256 MiB"}, ""},
	{"backup-age", Fail, []string{"db_g1: the newest verified backup is 2h11m40s old", "well: 1 more"}, "captop backup take --every 4m --keep 12"},
	{"zones", CannotTell, []string{"4 parts run on this host, and hosts in other zones cannot be seen from here"}, "docker stack deploy with deploy/swarm"},
}

// examining gives those results, and then no more.
func examining(results []Result, ends bool) Examine {
	return func(context.Context) ([]Line, <-chan Result) {
		out := make(chan Result, len(results))
		for _, r := range results {
			out <- r
		}
		if ends {
			close(out)
		}
		return checklist, out
	}
}

// after presses keys, and runs what the screen then wants run until there were so many messages.
func after(v screen.Screen, c screen.Context, messages int, names ...string) screen.Screen {
	special := map[string]tea.KeyType{"enter": tea.KeyEnter, "esc": tea.KeyEsc, "up": tea.KeyUp, "down": tea.KeyDown, "end": tea.KeyEnd}
	for _, name := range names {
		msg := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(name)}
		if kind, ok := special[name]; ok {
			msg = tea.KeyMsg{Type: kind}
		}
		var cmd tea.Cmd
		v, _, cmd = v.Update(msg, c)
		for ; cmd != nil && messages > 0; messages-- {
			v, _, cmd = v.Update(cmd(), c)
		}
	}
	return v
}

const everything = 100

// situations are what each size has to show well.
func situations() map[string]func(c screen.Context) screen.Screen {
	looked := func(c screen.Context, press ...string) screen.Screen {
		return after(New(keys.Default(), examining(found, true)), c, everything, append([]string{"x"}, press...)...)
	}
	return map[string]func(screen.Context) screen.Screen{
		"before":   func(screen.Context) screen.Screen { return New(keys.Default(), examining(nil, true)) },
		"none":     func(screen.Context) screen.Screen { return New(keys.Default(), nil) },
		"looked":   func(c screen.Context) screen.Screen { return looked(c) },
		"second":   func(c screen.Context) screen.Screen { return looked(c, "down") },
		"filtered": func(c screen.Context) screen.Screen { return looked(c, "/", "b", "a", "c", "k", "enter") },
		"nothing":  func(c screen.Context) screen.Screen { return looked(c, "/", "z", "z", "z") },
		"looking": func(c screen.Context) screen.Screen {
			return after(New(keys.Default(), examining(found[:2], false)), c, 2, "x")
		},
	}
}

func TestGoldenFrames(t *testing.T) {
	for name, situation := range situations() {
		for _, size := range sizes {
			file := fmt.Sprintf("%s_%dx%d.txt", name, size[0], size[1]+2)
			t.Run(file, func(t *testing.T) {
				c := contextOf(size[0], size[1])
				v := situation(c)
				c.Now = noon.Add(2 * time.Minute)
				frametest.Golden(t, file, frametest.Frame(t, v, c)+"\n")
			})
		}
	}
}

func frame(v screen.Screen, c screen.Context) string {
	return ansi.Strip(strings.Join(v.Draw(c), "\n"))
}

// TestLooksOnDemandOnly: shown, ticking and in the past nobody looks; x looks once until it has ended.
func TestLooksOnDemandOnly(t *testing.T) {
	c, runs := contextOf(80, 22), 0
	open := make(chan Result)
	v := New(keys.Default(), func(context.Context) ([]Line, <-chan Result) { runs++; return checklist, open })
	for _, msg := range []tea.Msg{screen.Shown{}, screen.Tick{}} {
		v, _, _ = v.Update(msg, c)
	}
	past := c
	past.Past = true
	v = after(v, past, 0, "x")
	if runs != 0 {
		t.Fatalf("%d runs that nobody asked for", runs)
	}
	v = after(v, c, 0, "x", "x")
	if runs != 1 {
		t.Fatalf("%d runs after x was pressed twice", runs)
	}
	if got := frame(v, c); !strings.Contains(got, "looking… 0 of 6") {
		t.Errorf("no progress shows:\n%s", got)
	}
	close(open)
}

// TestOldLook: what was looked at long ago says so, and what is not known is never shown as well.
func TestOldLook(t *testing.T) {
	c := contextOf(80, 22)
	v := situations()["looked"](c)
	c.Now = noon.Add(time.Hour)
	if got := frame(v, c); !strings.Contains(got, "looked 1 h 00 ago: x looks anew") {
		t.Errorf("its age does not show:\n%s", got)
	}
	c.Past = true
	if got := frame(v, c); !strings.Contains(got, "not then") {
		t.Errorf("it is shown as of the past:\n%s", got)
	}
	c.Past = false
	short := after(New(keys.Default(), examining(found[:1], true)), c, everything, "x")
	if got := frame(short, c); strings.Count(got, "✓") != 1 || !strings.Contains(got, "5 cannot be told") {
		t.Errorf("lines without a result are shown as something else:\n%s", got)
	}
}

func FuzzKeys(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	const evil = "\x1b[2J\x1b[31mred\r\n\t漢字漢字 \u202e and much longer than anybody would ever want to read on a screen of any size whatsoever"
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		c := contextOf(80, 22)
		hostile := []Result{{"app-env", Outcome(random.IntN(9) - 3), []string{evil, evil}, evil}, {"nobody", Fail, nil, evil}}
		all := situations()
		names := []string{"before", "none", "looked", "filtered", "looking"}
		v := all[names[random.IntN(len(names))]](c)
		if random.IntN(2) == 0 {
			v = after(New(keys.Default(), examining(hostile, true)), c, everything, "x")
		}
		for range 60 {
			c.Width, c.Height, c.Now = random.IntN(220), random.IntN(60), noon.Add(time.Duration(random.IntN(2000))*time.Second)
			c.Past = random.IntN(10) == 0
			pressed := []string{"x", "/", "a", "enter", "esc", "up", "down", "end", "漢", "\u202e"}[random.IntN(10)]
			if pressed == "x" && strings.Contains(frame(v, c), "looking") {
				continue
			}
			v = after(v, c, 4, pressed)
			frametest.Fits(t, v.Draw(c), c.Width, c.Height)
		}
	})
}
