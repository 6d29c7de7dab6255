// Package frametest holds the frames of screens in tests against their room and against golden files.
package frametest

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"captop/tui/keys"
	"captop/tui/screen"
	"captop/tui/theme"
)

// Noon is when it is in tests.
var Noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Sizes are the rooms that the root leaves on the terminals that captop has to look right on.
var Sizes = [][2]int{{80, 22}, {120, 38}, {200, 48}}

// Context is what a screen of that size may look at, without a snapshot.
func Context(width, height int) screen.Context {
	return screen.Context{Context: context.Background(), Now: Noon, Width: width, Height: height, Keys: keys.Default(),
		Theme: theme.New(theme.Dark, false, func(string) string { return "" })}
}

var update = flag.Bool("update", false, "write the golden frames anew")

// Fits fails the test where lines are not exactly those of a room, or one would leave it.
func Fits(t testing.TB, lines []string, width, height int) {
	t.Helper()
	if len(lines) != max(height, 0) {
		t.Fatalf("%d lines in a room of %d", len(lines), height)
	}
	for i, line := range lines {
		if got := ansi.StringWidth(line); got > max(width, 0) {
			t.Fatalf("line %d takes %d cells of %d: %q", i+1, got, width, line)
		}
		if strings.ContainsAny(line, "\n\r\t\u202e") || strings.ContainsAny(ansi.Strip(line), "\x1b\x07") ||
			strings.Contains(line, "\x1b]") || strings.Contains(line, "\x1b[2J") {
			t.Fatalf("line %d would steer the terminal: %q", i+1, line)
		}
	}
}

// Frame is what a screen draws, in plain text, once it has been held against its room.
func Frame(t testing.TB, s screen.Screen, c screen.Context) string {
	t.Helper()
	lines := s.Draw(c)
	Fits(t, lines, c.Width, c.Height)
	return ansi.Strip(strings.Join(lines, "\n"))
}

// Golden compares a frame with a file in testdata, or writes that file with -update.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("the frame differs from %s (%v); read both, and run go test -update if the new one is right.\n%s", path, err, got)
	}
}
