package theme

import (
	"math"
	"testing"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/lucasb-eyer/go-colorful"
	"github.com/muesli/termenv"
)

func getenv(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestProfileComesFromTheEnvironment(t *testing.T) {
	for _, test := range []struct {
		term, colorterm string
		want            termenv.Profile
	}{
		{"xterm", "", termenv.ANSI}, {"xterm-256color", "", termenv.ANSI256}, {"xterm-256color", "truecolor", termenv.TrueColor},
		{"tmux-256color", "truecolor", termenv.ANSI256}, {"linux", "", termenv.ANSI}, {"", "", termenv.ANSI},
	} {
		if got := profile(getenv(map[string]string{"TERM": test.term, "COLORTERM": test.colorterm})); got != test.want {
			t.Errorf("TERM=%s COLORTERM=%s gave profile %v, want %v", test.term, test.colorterm, got, test.want)
		}
	}
}

func TestBackgroundComesFromCOLORFGBG(t *testing.T) {
	for value, dark := range map[string]bool{"": true, "15;0": true, "0;15": false, "0;default;15": false, "12;8": true, "0;7": false, "nonsense": true} {
		if got := darkBackground(value); got != dark {
			t.Errorf("COLORFGBG=%q: dark is %v, want %v", value, got, dark)
		}
	}
}

func TestNoColorKeepsBoldAndShapes(t *testing.T) {
	plain := New(Dark, false, getenv(map[string]string{"NO_COLOR": "1", "TERM": "xterm-256color"}))
	if got := plain.State(Warning, "degraded"); got != "▲ degraded" {
		t.Errorf("a state without colours is %q", got)
	}
	if got := plain.Bold.Render("x"); got == "x" {
		t.Error("bold is lost with NO_COLOR")
	}
}

func TestFoldKeepsEveryCell(t *testing.T) {
	frame := "\x1b[31m● ▲ ■ ─┤╌…⠓漢\x1b[0m plain"
	folded := Fold(frame)
	if got, want := ansi.StringWidth(folded), ansi.StringWidth(frame); got != want {
		t.Errorf("folding changed the width from %d to %d: %q", want, got, folded)
	}
	if got, want := folded, "\x1b[31m* ! X -+-~???\x1b[0m plain"; got != want {
		t.Errorf("Fold gave %q, want %q", got, want)
	}
}

// backgrounds of dark and light terminals as people have them.
var backgrounds = map[bool]string{true: "#1C1C1C", false: "#FFFFFF"}

func rgb(t *testing.T, c lipgloss.TerminalColor) colorful.Color {
	t.Helper()
	parsed, err := colorful.Hex(c.(lipgloss.CompleteColor).TrueColor)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// contrast is that of WCAG 2, from 1 to 21.
func contrast(a, b colorful.Color) float64 {
	luminance := func(c colorful.Color) float64 {
		r, g, b := c.LinearRgb()
		return 0.2126*r + 0.7152*g + 0.0722*b
	}
	high, low := luminance(a), luminance(b)
	return (max(high, low) + 0.05) / (min(high, low) + 0.05)
}

func TestEveryColourCanBeRead(t *testing.T) {
	for _, mode := range []Mode{Dark, Light, ColourBlind} {
		for dark, ground := range backgrounds {
			if mode == Dark && !dark || mode == Light && dark {
				continue
			}
			behind, err := colorful.Hex(ground)
			if err != nil {
				t.Fatal(err)
			}
			p := colours(mode, dark)
			for name, ink := range map[string]lipgloss.TerminalColor{"dim": p.dim, "title": p.title, "limit": p.limit, "first": p.first, "second": p.second,
				"ok": p.ok, "warning": p.warning, "critical": p.critical, "unknown": p.unknown} {
				if got := contrast(rgb(t, ink), behind); got < 4.5 {
					t.Errorf("%s of %s on %s has a contrast of %.1f; text needs 4.5", name, mode, ground, got)
				}
			}
		}
	}
}

// sight is how people see colours who lack one kind of cone: matrices over linear RGB (Machado, Oliveira, Fernandes 2009).
var sight = map[string][9]float64{
	"usual":  {1, 0, 0, 0, 1, 0, 0, 0, 1},
	"protan": {0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998},
	"deutan": {0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881},
	"tritan": {1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.303900},
}

func seenAs(c colorful.Color, m [9]float64) colorful.Color {
	r, g, b := c.LinearRgb()
	row := func(i int) float64 { return math.Min(math.Max(m[i]*r+m[i+1]*g+m[i+2]*b, 0), 1) }
	return colorful.LinearRgb(row(0), row(3), row(6))
}

func TestColourBlindPaletteIsToldApartByEveryone(t *testing.T) {
	for dark := range backgrounds {
		p := colours(ColourBlind, dark)
		inks := []lipgloss.TerminalColor{p.ok, p.warning, p.critical, p.unknown}
		for name, matrix := range sight {
			for i, a := range inks {
				for j, b := range inks[:i] {
					if d := seenAs(rgb(t, a), matrix).DistanceCIEDE2000(seenAs(rgb(t, b), matrix)); d < 0.12 {
						t.Errorf("dark %v, %s sight: levels %d and %d are %.2f apart; want 0.12", dark, name, j, i, d)
					}
				}
			}
			if d := seenAs(rgb(t, p.first), matrix).DistanceCIEDE2000(seenAs(rgb(t, p.second), matrix)); d < 0.12 {
				t.Errorf("dark %v, %s sight: the two lines of a chart are %.2f apart; want 0.12", dark, name, d)
			}
		}
	}
}
