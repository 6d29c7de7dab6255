package tui

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"captop/probes"
	"captop/service"
	"captop/tui/theme"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// sizes are the terminals that captop has to look right on.
var sizes = [][2]int{{80, 24}, {120, 40}, {200, 50}}

// env is a getenv of fixed values.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

var errG1Down = fmt.Errorf("db_g1 is down, so db_g2 holds the only copy: start db_g1 first")

// demoOptions are those of a demo stack with all its actions.
func demoOptions() Options {
	act := func(key, name string, confirm Confirm) Action {
		return Action{Key: key, Name: name, Confirm: confirm,
			Explain: "The Redis process of db_g2 is stopped and started again. app_cp refuses writes meanwhile; app_ap goes on.",
			Command: "docker compose restart db_g2",
			Check: func(s *probes.Snapshot) error {
				if s != nil && len(s.Nodes) > 0 && s.Nodes[0].Reach.Contact != probes.Up {
					return errG1Down
				}
				return nil
			},
			Run: func(_ context.Context, progress func(string)) (string, error) {
				progress("stopping db_g2")
				progress("starting db_g2")
				return "run id changed: a1b2 -> c3d4\nPING answered PONG", nil
			}}
	}
	return Options{Output: io.Discard, Snapshots: make(chan *probes.Snapshot), Stack: func() string { return "demo on redis-server" }, Armed: true,
		Now: func() time.Time { return noon.Add(300 * time.Millisecond) }, Getenv: env("TERM", "xterm-256color"),
		Write: func(context.Context, service.Mode, string, string) (service.Written, error) {
			return service.Written{Key: "user:7", Version: "42", Nodes: []string{"db_g1", "db_g2"}, Outcome: service.Applied}, nil
		},
		Remedy:  func(act string) (better, fact string) { return act, "" },
		Actions: offered(act("r", "restart db_g2", ConfirmAsk), act("c", "cut db_g2", ConfirmNone), act("p", "pause db_g2", ConfirmNone), act("h", "heal db_g2", ConfirmNone))}
}

// offered are actions that are there from the first moment on.
func offered(actions ...Action) func() ([]Action, error) {
	return func() ([]Action, error) { return actions, nil }
}

// start is a model of a size with a snapshot, as the user has it before the first key.
func start(t testing.TB, options Options, snapshot *probes.Snapshot, width, height int) tea.Model {
	t.Helper()
	mode, err := theme.ParseMode(options.Theme)
	if err != nil {
		t.Fatal(err)
	}
	var m tea.Model = newModel(context.Background(), options, theme.New(mode, options.ASCII, options.Getenv))
	m, _ = m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	if snapshot != nil {
		m, _ = m.Update(snapshotMsg{snapshot})
	}
	return m
}

// checkFrame fails for a frame that does not fit the screen exactly.
func checkFrame(t testing.TB, frame string, width, height int) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if len(lines) != height {
		t.Errorf("the frame has %d lines on a screen of %d", len(lines), height)
	}
	for i, line := range lines {
		if got := ansi.StringWidth(line); got > width {
			t.Errorf("line %d is %d cells wide on a screen of %d: %q", i+1, got, width, ansi.Strip(line))
		}
	}
}

func TestGoldenFrames(t *testing.T) {
	for name, make := range situations {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s_%dx%d", name, size[0], size[1]), func(t *testing.T) {
				frame := start(t, demoOptions(), make(), size[0], size[1]).View()
				checkFrame(t, frame, size[0], size[1])
				golden(t, fmt.Sprintf("%s_%dx%d.txt", name, size[0], size[1]), frame)
			})
		}
	}
}

func TestGoldenDialogs(t *testing.T) {
	for name, keys := range map[string]string{"help": "?", "write": "w", "confirm": "r"} {
		t.Run(name, func(t *testing.T) {
			m := start(t, demoOptions(), g2Down(), 80, 24)
			m, _ = m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(keys)})
			checkFrame(t, m.View(), 80, 24)
			golden(t, "dialog_"+name+"_80x24.txt", m.View())
		})
	}
}

// golden compares the text of a frame with the file of that name; -update writes it.
func golden(t *testing.T, name, frame string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	got := ansi.Strip(frame) + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("reading the golden frame: %v; go test ./tui -update writes it", err)
	}
	if got != string(want) {
		t.Errorf("the frame differs from %s; read both, and run go test ./tui -update if the new one is right.\n%s", path, got)
	}
}

// plainText is a frame without its colours.
func plainText(frame string) string { return ansi.Strip(frame) }

// TestSmallScreens: a pane of a split terminal has the verdict and the next step whatever its size, and then as much as it has room
// for.
func TestSmallScreens(t *testing.T) {
	for _, size := range []struct {
		width, height int
		shows         []string
	}{
		{30, 8, nil},
		{40, 10, nil},
		{60, 15, []string{"app_cp   ▲ degraded         app_ap", "db_g2    ■ down", "alerts", "events"}},
		{60, 30, []string{"db_g2    ■ down", "alerts", "events"}},
		{80, 16, []string{"db_g2    ■ OPEN", "p99", "nodes", "alerts"}},
		{100, 18, []string{"db_g2    ■ OPEN", "p99", "nodes", "alerts"}},
		{120, 17, []string{"db_g2    ■ OPEN", "p99", "nodes", "alerts"}},
	} {
		u := &user{t: t, m: start(t, demoOptions(), g2Down(), size.width, size.height)}
		frame := plainText(u.m.View())
		for _, want := range append(size.shows, "db_g2 is down", "next: press  r") {
			if !strings.Contains(frame, want) {
				t.Errorf("%dx%d lacks %q:\n%s", size.width, size.height, want, frame)
			}
		}
	}
}
