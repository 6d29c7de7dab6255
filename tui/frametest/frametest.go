// Package frametest holds the frames of screens in tests against their room and against golden files.
package frametest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// Fits fails the test where lines are not exactly those of a room, or one would leave it.
func Fits(t testing.TB, lines []string, width, height int) {
	t.Helper()
	if len(lines) != max(height, 0) {
		t.Fatalf("%d lines in a room of %d", len(lines), height)
	}
	for i, line := range lines {
		if got := ansi.StringWidth(line); got > max(width, 0) || strings.ContainsAny(line, "\n\r\t\u202e") || strings.Contains(line, "\x1b[2J") {
			t.Fatalf("line %d takes %d cells of %d: %q", i+1, got, width, line)
		}
	}
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
