package cell

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
)

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 1200 * time.Microsecond: "1.2 ms", 3 * time.Millisecond: "3 ms", 340 * time.Millisecond: "340 ms",
		5 * time.Second: "5 s", 4250 * time.Millisecond: "4.2 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min",
		130 * time.Minute: "2 h 10", 50 * time.Hour: "2 d", -2 * time.Second: "-2 s", math.MinInt64: "-106751 d",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestCountFitsItsColumn(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.25: "0.2", 7: "7", 41.7: "42", 999: "999", 1234: "1.2k", 123456: "123k", 4.5e6: "4.5M", math.Inf(1): "?"} {
		if got := Count(n); got != want || Width(got) > 5 {
			t.Errorf("Count(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestBytesAndPercent(t *testing.T) {
	for n, want := range map[float64]string{812: "812 B", 1 << 20: "1.0 MiB", 1_890_000: "1.8 MiB", 256 << 20: "256 MiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%v) = %q, want %q", n, got, want)
		}
	}
	for ratio, want := range map[float64]string{0: "0 %", 0.0004: "<0.1 %", 0.004: "0.4 %", 0.48: "48 %", 1: "100 %"} {
		if got := Percent(ratio); got != want {
			t.Errorf("Percent(%v) = %q, want %q", ratio, got, want)
		}
	}
}

func TestCleanTakesOutWhatATerminalWouldObey(t *testing.T) {
	got := Clean("a\x1b[31mred\x1b[0m\nb\tc\u202e\x07")
	if strings.ContainsAny(got, "\x1b\n\t\x07\u202e") || !strings.Contains(got, "red") {
		t.Errorf("Clean gave %q", got)
	}
}

func TestLeftAndSplitFillTheWidth(t *testing.T) {
	for width := range 30 {
		if got := Width(Left("漢字 and more", width)); got != width {
			t.Errorf("Left to %d cells gave %d", width, got)
		}
		sum := 0
		for _, w := range Split(width, 3, 1) {
			sum += w
		}
		if width >= 2 && sum != width-2 {
			t.Errorf("Split(%d, 3, 1) fills %d cells, want %d", width, sum, width-2)
		}
	}
}

// FuzzWidth: the short way counts as the long one does.
func FuzzWidth(f *testing.F) {
	for _, text := range []string{"", "plain", "\x1b[1;38;5;214m● OK\x1b[0m", "├─┤⠓╌…·–≤×", "漢字", "e\u0301", "\x1b[2J", "\x1b[", "\x1b[38;5", "\x07x", "■\ufe0f", "a\u200db", "\xff", "\u25fd"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := Width(text), ansi.StringWidth(text); got != want {
			t.Errorf("Width(%q) is %d, want %d", text, got, want)
		}
	})
}

// What is shown of a text is its beginning, whatever the width: nothing comes in where a word was broken.
// TestWrapKeepsOptions: half of one is none, and "-" at a line's end is nothing to copy.
func TestWrapKeepsOptions(t *testing.T) {
	for width := 9; width < 40; width++ {
		for _, line := range Wrap("--every 4m --keep 24 goes on, --dry-run too", width, 9) {
			if strings.HasSuffix(line, "-") {
				t.Errorf("width %d: %q", width, line)
			}
		}
	}
}

func TestWrapAddsNothing(t *testing.T) {
	text := "read tcp 127.0.0.1:56334->127.0.0.1:16386: i/o timeout,  well-known  a—b\nhéé 漢字漢字漢字-x   " + strings.Repeat("long", 12)
	bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for width := 3; width < 90; width++ {
		for limit := 1; limit < 9; limit++ {
			lines := Wrap(text, width, limit)
			got := strings.TrimSuffix(bare(strings.Join(lines, "")), "…")
			if len(lines) > limit || got == "" || !strings.HasPrefix(bare(text), got) {
				t.Fatalf("width %d, limit %d: %q", width, limit, lines)
			}
			for _, line := range lines {
				if ansi.StringWidth(line) > width {
					t.Fatalf("width %d, limit %d: %q is too wide", width, limit, line)
				}
			}
		}
	}
	if got := Wrap("It says: 56334->127.0.0.1: no", 20, 1); got[0] != "It says: 56334->12…" {
		t.Errorf("%q", got)
	}
	if got := Wrap("a to 56334->127.0.0.1: no", 10, 2); got[1] != "56334->1…" {
		t.Errorf("%q", got)
	}
}
