package theme

import (
	"testing"

	"github.com/charmbracelet/x/ansi"
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
