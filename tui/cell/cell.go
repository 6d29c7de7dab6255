// Package cell fits text into terminal cells: cutting, padding, joining side by side, figures with units.
package cell

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// Width is the number of cells that s takes on the screen; escape sequences take none.
func Width(s string) int {
	if width, ok := plainWidth(s); ok {
		return width
	}
	return ansi.StringWidth(s)
}

// plainWidth counts the cells of what captop itself draws: ASCII, styles, boxes, blocks, braille and a few marks, each of
// one cell. It saves most of the time that a frame takes. ok is false for everything else.
func plainWidth(s string) (width int, ok bool) {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= 0x20 && c < 0x7f:
			width++
			i++
		case c == 0x1b:
			n := styleLength(s[i:])
			if n == 0 {
				return 0, false
			}
			i += n
		case c >= 0x80:
			r, n := utf8.DecodeRuneInString(s[i:])
			if !(r >= 0x2500 && r < 0x25fd || r >= 0x2800 && r < 0x2900 || r == '·' || r == '…' || r == '–' || r == '≤' || r == '×') {
				return 0, false
			}
			width++
			i += n
		default:
			return 0, false
		}
	}
	return width, true
}

// styleLength is the length of the sequence at the start of s if it sets a style, else 0.
func styleLength(s string) int {
	if len(s) < 3 || s[1] != '[' {
		return 0
	}
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c != ';' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// Clean makes text from elsewhere (answers, error messages, keys) safe to print on one line: escape sequences go,
// control characters become blanks.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, ansi.Strip(s))
}

// Cut shortens s to width cells, with an ellipsis where something was lost.
func Cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	if Width(s) <= width {
		return s
	}
	return ansi.Truncate(s, width, "…")
}

// Left fits s into exactly width cells, flush left.
func Left(s string, width int) string {
	s = Cut(s, width)
	return s + Blank(width-Width(s))
}

// Right fits s into exactly width cells, flush right.
func Right(s string, width int) string {
	s = Cut(s, width)
	return Blank(width-Width(s)) + s
}

// Ends puts left and right at the two ends of a line of width cells; right gives way first.
func Ends(left, right string, width int) string {
	room := width - Width(right)
	if Width(left)+1 > room {
		if Width(left) >= width {
			return Left(left, width)
		}
		right = Cut(right, width-Width(left)-1)
		room = width - Width(right)
	}
	return Left(left, room) + right
}

// Blank is a run of width spaces, empty for a width below one.
func Blank(width int) string {
	if width <= 0 {
		return ""
	}
	return strings.Repeat(" ", width)
}

// Beside joins blocks of lines from left to right, each fitted to its width, with gap between them. All come out as
// tall as the tallest.
func Beside(gap string, widths []int, blocks ...[]string) []string {
	height := 0
	for _, block := range blocks {
		height = max(height, len(block))
	}
	lines := make([]string, height)
	for row := range lines {
		parts := make([]string, len(blocks))
		for i, block := range blocks {
			text := ""
			if row < len(block) {
				text = block[row]
			}
			parts[i] = Left(text, widths[i])
		}
		lines[row] = strings.Join(parts, gap)
	}
	return lines
}

// Fit makes lines exactly height, each at most width cells.
func Fit(lines []string, width, height int) []string {
	out := make([]string, max(height, 0))
	for i := range out {
		if i < len(lines) {
			out[i] = Cut(lines[i], width)
		}
	}
	return out
}

// options finds the options in a text, such as --dry-run, and hyphen is one at which the library breaks no line.
var options = regexp.MustCompile(`(?:^| )-[^ ]+`)

const hyphen = "\u2011"

// Wrap breaks plain text at blanks, and at hyphens within words that are no options, into at most limit lines of width cells;
// what does not fit ends in an ellipsis.
func Wrap(s string, width, limit int) []string {
	if width <= 0 || limit <= 0 {
		return nil
	}
	whole := options.ReplaceAllStringFunc(s, func(option string) string { return strings.ReplaceAll(option, "-", hyphen) })
	lines := strings.Split(strings.ReplaceAll(ansi.Wrap(whole, width, ""), hyphen, "-"), "\n")
	if len(lines) > limit {
		rest := s // not the lines put together again: some end within a word
		for _, line := range lines[:limit-1] {
			_, rest, _ = strings.Cut(rest, strings.TrimSpace(line)) // which is in it, and first
		}
		lines[limit-1] = Cut(strings.TrimLeft(strings.ReplaceAll(rest, "\n", " "), " "), width-1)
		if !strings.HasSuffix(lines[limit-1], "…") {
			lines[limit-1] += "…"
		}
		lines = lines[:limit]
	}
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return lines
}

// Hang puts lead before the first line and as many blanks before the others.
func Hang(lead string, lines []string) []string {
	blank := Blank(Width(lead))
	for i, line := range lines {
		lines[i] = lead + line
		lead = blank
	}
	return lines
}

// Split shares width between n columns with gap cells between them; the first ones take what is left over.
func Split(width, n, gap int) []int {
	room := max(width-gap*(n-1), 0)
	widths := make([]int, n)
	for i := range widths {
		widths[i] = room / n
		if i < room%n {
			widths[i]++
		}
	}
	return widths
}

// Run repeats a one-cell character over width cells.
func Run(s string, width int) string {
	if width <= 0 {
		return ""
	}
	return strings.Repeat(s, width)
}

// Slice gives the cells from left up to right of a line, padded with blanks where the line is shorter.
func Slice(s string, left, right int) string {
	if right <= left {
		return ""
	}
	return Left(ansi.Cut(s, left, right), right-left)
}
