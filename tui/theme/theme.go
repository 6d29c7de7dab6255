// Package theme decides how captop looks: colours for dark, light and colourless terminals, and the ASCII fallback.
//
// It decides from configuration and the environment and never asks the terminal anything.
package theme

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// Mode is the choice of colours.
type Mode string

// The modes. Auto reads COLORFGBG, and takes dark where that says nothing.
const (
	Auto  Mode = "auto"
	Dark  Mode = "dark"
	Light Mode = "light"
	None  Mode = "none" // no colours; bold and underline stay

	ColourBlind Mode = "colour-blind" // colours that differ in brightness too; dark or light as Auto has it
)

// Names are the modes by name.
func Names() []string {
	return []string{string(Auto), string(Dark), string(Light), string(ColourBlind), string(None)}
}

// ParseMode reads a mode; "" is Auto.
func ParseMode(s string) (Mode, error) {
	if s == "" {
		return Auto, nil
	}
	if slices.Contains(Names(), s) {
		return Mode(s), nil
	}
	return "", fmt.Errorf("theme %q: want one of %s", s, strings.Join(Names(), ", "))
}

// Level orders states from well to unwell. Each has a shape, a word and a colour, so that any one of them is enough.
type Level int

// The levels.
const (
	OK Level = iota
	Warning
	Critical
	Unknown
)

// Theme is the set of styles. The zero value does not work; New makes one.
type Theme struct {
	Plain, Dim, Bold, Title, Rule, Key, Limit, Cursor lipgloss.Style
	Series                                            [2]lipgloss.Style // the two lines of a chart: cp, ap
	ASCII                                             bool

	levels [4]lipgloss.Style
	badges [4]lipgloss.Style
}

// New makes the theme for an environment (a getenv function). NO_COLOR wins over mode. Colours are as rich as TERM and COLORTERM promise.
func New(mode Mode, ascii bool, getenv func(string) string) Theme {
	if getenv("NO_COLOR") != "" {
		mode = None
	}
	renderer := lipgloss.NewRenderer(io.Discard)
	renderer.SetColorProfile(profile(getenv))
	dark := mode == Dark || mode != Light && darkBackground(getenv("COLORFGBG"))
	renderer.SetHasDarkBackground(dark)
	return build(renderer, colours(mode, dark), ascii)
}

// colours picks the palette of a mode on a dark or a light background.
func colours(mode Mode, dark bool) palette {
	switch {
	case mode == None:
		return palette{}
	case mode == ColourBlind && dark:
		return blindDarkColours
	case mode == ColourBlind:
		return blindLightColours
	case dark:
		return darkColours
	}
	return lightColours
}

func build(renderer *lipgloss.Renderer, c palette, ascii bool) Theme {
	ink := func(colour lipgloss.TerminalColor) lipgloss.Style {
		style := renderer.NewStyle()
		if colour != nil {
			style = style.Foreground(colour)
		}
		return style
	}
	t := Theme{
		Plain: ink(nil), Dim: ink(c.dim), Bold: ink(nil).Bold(true),
		Title: ink(c.title).Bold(true), Rule: ink(c.rule), Key: ink(c.title).Bold(true),
		Limit: ink(c.limit), Cursor: ink(nil).Reverse(true),
		Series: [2]lipgloss.Style{ink(c.first), ink(c.second)},
		ASCII:  ascii,
	}
	for i, colour := range []lipgloss.TerminalColor{c.ok, c.warning, c.critical, c.unknown} {
		t.levels[i] = ink(colour)
		t.badges[i] = ink(colour).Bold(true).Reverse(true)
	}
	t.levels[Critical] = t.levels[Critical].Bold(true)
	return t
}

// At is the style of text in state l.
func (t Theme) At(l Level) lipgloss.Style { return t.levels[l.index()] }

// Badge is a word in a box of l's colour; without colours the box is reverse video.
func (t Theme) Badge(l Level, word string) string {
	return t.badges[l.index()].Render(" " + l.Shape() + " " + word + " ")
}

// State is shape and word in l's colour.
func (t Theme) State(l Level, word string) string { return t.At(l).Render(l.Shape() + " " + word) }

// Shape is a mark that differs by form, not only by colour.
func (l Level) Shape() string { return [...]string{"●", "▲", "■", "?"}[l.index()] }

// Word is OK, WARNING, CRITICAL or UNKNOWN.
func (l Level) Word() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[l.index()] }

// index keeps a level from elsewhere in bounds: what is not known is Unknown.
func (l Level) index() Level {
	if l < OK || l > Unknown {
		return Unknown
	}
	return l
}

// palette holds one set of colours; nil leaves the terminal's own.
type palette struct {
	dim, title, rule, limit, first, second, ok, warning, critical, unknown lipgloss.TerminalColor
}

func colour(rgb, ansi256, ansi string) lipgloss.TerminalColor {
	return lipgloss.CompleteColor{TrueColor: rgb, ANSI256: ansi256, ANSI: ansi}
}

var darkColours = palette{
	dim: colour("#8A9199", "245", "7"), title: colour("#E6EDF3", "255", "15"), rule: colour("#4A525B", "239", "8"),
	limit: colour("#E69F00", "214", "3"), first: colour("#56B4E9", "75", "14"), second: colour("#E0A6D1", "182", "13"),
	ok: colour("#2BC4A0", "43", "6"), warning: colour("#F0C000", "220", "11"), critical: colour("#FF6A3D", "203", "9"),
	unknown: colour("#C58FD6", "176", "13"),
}

var lightColours = palette{
	dim: colour("#5F6770", "241", "8"), title: colour("#111418", "233", "0"), rule: colour("#B4BAC1", "249", "7"),
	limit: colour("#A85F00", "130", "3"), first: colour("#0067A5", "25", "4"), second: colour("#8E3A78", "90", "5"),
	ok: colour("#00694E", "23", "6"), warning: colour("#8A5A00", "94", "3"), critical: colour("#B83200", "130", "1"),
	unknown: colour("#6B3FA0", "55", "5"),
}

// The colour-blind palettes go from blue for well over yellow to vermilion for unwell, after Okabe and Ito, and differ in
// brightness as well: they are told apart with red or green, or blue and yellow, seen alike. Where a terminal has 16
// colours, blue, yellow and red are as far apart as those get.
var blindDarkColours = palette{
	dim: colour("#9AA0A8", "247", "7"), title: colour("#FFFFFF", "231", "15"), rule: colour("#4A525B", "239", "8"),
	limit: colour("#E69F00", "214", "3"), first: colour("#56B4E9", "75", "14"), second: colour("#F5C27A", "222", "11"),
	ok: colour("#56A0F0", "75", "12"), warning: colour("#F8EC5A", "227", "11"), critical: colour("#E4572E", "166", "9"),
	unknown: colour("#E8E8F0", "255", "15"),
}

var blindLightColours = palette{
	dim: colour("#5A6169", "240", "8"), title: colour("#000000", "16", "0"), rule: colour("#B4BAC1", "249", "7"),
	limit: colour("#8F5A00", "94", "3"), first: colour("#005FA8", "25", "4"), second: colour("#7A4A00", "94", "3"),
	ok: colour("#0060C0", "26", "4"), warning: colour("#7F6C00", "58", "3"), critical: colour("#8A0000", "88", "1"),
	unknown: colour("#2A2A34", "235", "0"),
}

// profile is the number of colours that TERM and COLORTERM promise.
func profile(getenv func(string) string) termenv.Profile {
	term := strings.ToLower(getenv("TERM"))
	switch strings.ToLower(getenv("COLORTERM")) {
	case "truecolor", "24bit", "yes", "true":
		// tmux and screen pass 24 bit colours on only if told to; 256 always arrive.
		if !strings.HasPrefix(term, "screen") && !strings.HasPrefix(term, "tmux") {
			return termenv.TrueColor
		}
	}
	if strings.Contains(term, "256color") || strings.Contains(term, "kitty") || strings.Contains(term, "direct") {
		return termenv.ANSI256
	}
	return termenv.ANSI
}

// darkBackground reads "foreground;background" as rxvt, Konsole and others export it; 7 and 9 to 15 are light.
func darkBackground(colorfgbg string) bool {
	fields := strings.Split(colorfgbg, ";")
	n, err := strconv.Atoi(fields[len(fields)-1])
	return err != nil || n != 7 && n < 9
}
