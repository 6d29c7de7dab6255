package theme

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// ink is what a cell shows: its character, and how it looks.
type ink struct {
	text          string
	bold, reverse bool
	colour        string
}

// inks reads a line as a terminal does. A blank that is not in reverse has no look; those at the end are not there.
func inks(t *testing.T, line string) []ink {
	var cells []ink
	var look ink
	state := byte(0)
	for len(line) > 0 {
		sequence, width, n, next := ansi.DecodeSequence(line, state, nil)
		state, line = next, line[n:]
		if width > 0 {
			cell := look
			if cell.text = sequence; sequence == " " && !look.reverse {
				cell = ink{text: " "}
			}
			cells = append(cells, cell)
			continue
		}
		fields := strings.Split(strings.TrimSuffix(strings.TrimPrefix(sequence, "\x1b["), "m"), ";")
		for i := 0; i < len(fields); i++ {
			switch f := fields[i]; {
			case f == "" || f == "0":
				look = ink{}
			case f == "1":
				look.bold = true
			case f == "7":
				look.reverse = true
			case f == "38" && fields[i+1] == "5":
				look.colour = strings.Join(fields[i:i+3], ";")
				i += 2
			case f == "38":
				look.colour = strings.Join(fields[i:i+5], ";")
				i += 4
			case len(f) == 2 && (f[0] == '3' || f[0] == '9'):
				look.colour = f
			default:
				t.Fatalf("the test does not know %q", sequence)
			}
		}
	}
	for len(cells) > 0 && cells[len(cells)-1] == (ink{text: " "}) {
		cells = cells[:len(cells)-1]
	}
	return cells
}

func TestCompactShowsTheSame(t *testing.T) {
	styles := []string{"", "1", "7", "1;7", "38;5;214", "38;5;7", "38;2;1;7;40", "1;38;5;245", "1;7;38;5;203", "31", "97", "0"}
	texts := []string{"x", " ", "   ", "a b", " ● OK ", "", "漢"}
	for seed := range uint64(3000) {
		random := rand.New(rand.NewPCG(seed, 3))
		var line strings.Builder
		for range random.IntN(12) {
			text := texts[random.IntN(len(texts))]
			if style := styles[random.IntN(len(styles))]; style != "" {
				text = "\x1b[" + style + "m" + text + "\x1b[0m"
			}
			line.WriteString(text)
		}
		compact := Compact(line.String())
		got, want := inks(t, compact), inks(t, line.String())
		if len(got) != len(want) {
			t.Fatalf("%q became %q: %d cells, want %d", line.String(), compact, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q became %q: cell %d is %+v, want %+v", line.String(), compact, i, got[i], want[i])
			}
		}
	}
}

func TestCompactSaves(t *testing.T) {
	const dim, red = "\x1b[38;5;245m", "\x1b[38;5;203m"
	for from, want := range map[string]string{
		dim + "a\x1b[0m " + dim + "b\x1b[0m":                   dim + "a b\x1b[m",
		dim + "a\x1b[0m" + red + "b\x1b[0m   ":                 dim + "a" + red + "b\x1b[m",
		"\x1b[1;7m a \x1b[0m b":                                "\x1b[1;7m a \x1b[m b",
		"plain   ":                                             "plain",
		dim + "   \x1b[0m":                                     "",
		"\x1b[1;38;5;203ma\x1b[0m\x1b[38;5;245mb\x1b[0m\nnext": "\x1b[1;38;5;203ma\x1b[0;38;5;245mb\x1b[m\nnext",
	} {
		if got := Compact(from); got != want {
			t.Errorf("Compact(%q) is %q, want %q", from, got, want)
		}
	}
}
