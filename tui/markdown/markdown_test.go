package markdown

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"captop/tui/cell"
	"captop/tui/theme"
)

var update = flag.Bool("update", false, "write the golden pages anew")

func plain() theme.Theme {
	return theme.New(theme.None, false, func(string) string { return "" })
}

func page(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

func TestGoldenPages(t *testing.T) {
	for _, width := range []int{36, 60, 100} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			lines := Parse(page(t)).Lines(width, plain(), nil)
			for i, line := range lines {
				if got := cell.Width(line); got > width {
					t.Errorf("line %d has %d cells of %d: %q", i+1, got, width, line)
				}
			}
			path := filepath.Join("testdata", fmt.Sprintf("page_%d.txt", width))
			got := ansi.Strip(strings.Join(lines, "\n")) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the page differs from %s; go test ./tui/markdown -update writes it anew\n%s", path, got)
			}
		})
	}
}

// TestEveryWordIsShown: whatever the width, wrapping loses nothing.
func TestEveryWordIsShown(t *testing.T) {
	for width := narrowest; width <= 120; width += 7 {
		text := strings.ReplaceAll(ansi.Strip(strings.Join(Parse(page(t)).Lines(width, plain(), nil), " ")), "│", "")
		shown := strings.Join(strings.Fields(text), "")
		for _, part := range []string{"app_cp", "https://redis.io/docs", "breaker-open.md", "&*noemphasis*", "toolongforanarrowpane",
			"maxmemory", "AOFwriteerror", "itcannotknow", "[picture:apicture]"} {
			// In a table the parts of a word lie on several lines, with other cells between.
			if width >= 60 && !strings.Contains(shown, part) {
				t.Errorf("width %d: %q is not shown", width, part)
			}
		}
	}
}

func TestFencesAreDrawnByWhomTheyAreFor(t *testing.T) {
	var seen []string
	fence := func(info string, lines []string, _ int) ([]string, bool) {
		seen = append(seen, info)
		return []string{"STEPS " + fmt.Sprint(len(lines))}, info == "check"
	}
	lines := Parse(page(t)).Lines(80, plain(), fence)
	if !slices.Contains(seen, "sh") || !slices.Contains(lines, "STEPS 2") {
		t.Errorf("fences seen: %v", seen)
	}
	if shown := strings.Join(lines, "\n"); !strings.Contains(shown, "docker compose ps") || strings.Contains(shown, "deriv") {
		t.Error("the fence left alone is gone, or the one drawn is there twice")
	}
}

func TestAPageCannotSteerTheTerminal(t *testing.T) {
	source := "a \x1b[2J b `\x1b]0;x\x07` &#27;[31m \x9b31m\n\n\tcode \x1b[5m\n\n```\x1b[7m\n\u202ex\n```\n\n<b \x1b[1m>\n\n[l](\x1b[3m) \xff"
	for _, line := range Parse(source).Lines(60, plain(), nil) {
		if bad := strings.IndexFunc(ansi.Strip(line), func(r rune) bool { return r < ' ' || r == 0x9b || r == 0x202e }); bad >= 0 {
			t.Errorf("%q has a control character", line)
		}
		for _, sequence := range []string{"\x1b[2J", "\x1b]", "\x1b[31m", "\x1b[5m", "\x1b[3m"} {
			if strings.Contains(line, sequence) {
				t.Errorf("%q would be obeyed", line)
			}
		}
	}
}

// FuzzLines feeds broken Markdown of all sorts: no line may be too wide, and it has to end.
func FuzzLines(f *testing.F) {
	for seed := range uint64(200) {
		f.Add(seed)
	}
	pieces := []string{"# ", "## ", "- ", "1. ", "> ", "```", "```check\n", "\n", "\n\n", "    ", "|", "| --- | --- |\n", "**", "*", "`",
		"[a](b)", "![", "<br>", "<div>\n", "&#27;", "&lt;", "漢字漢字漢字", "🙂", "👨\u200d👩\u200d👧", "e\u0301", "\x1b[31m", "word ", strings.Repeat("long", 30), "\t", "\xff", "\u200b", "***\n"}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 3))
		var source strings.Builder
		for range random.IntN(120) {
			source.WriteString(pieces[random.IntN(len(pieces))])
		}
		width := random.IntN(100)
		for _, line := range Parse(source.String()).Lines(width, plain(), nil) {
			if got := cell.Width(line); got > width || strings.Contains(line, "\n") {
				t.Fatalf("a line of %d cells at width %d: %q\nof %q", got, width, line, source.String())
			}
		}
	})
}

func BenchmarkLines(b *testing.B) {
	source, err := os.ReadFile("testdata/page.md")
	if err != nil {
		b.Fatal(err)
	}
	page, t := Parse(string(source)), plain()
	for b.Loop() {
		page.Lines(90, t, nil)
	}
}
