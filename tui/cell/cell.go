// Package cell fits text into terminal cells: cutting, padding, joining side by side, figures with units.
package cell

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"
)

// Width is the number of cells that s takes on the screen; escape sequences take none.
func Width(s string) int { return ansi.StringWidth(s) }

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

// Wrap breaks plain text at blanks into at most limit lines of width cells; what does not fit ends in an ellipsis.
func Wrap(s string, width, limit int) []string {
	if width <= 0 || limit <= 0 {
		return nil
	}
	lines := strings.Split(ansi.Wrap(s, width, ""), "\n")
	if len(lines) > limit {
		lines[limit-1] = Cut(lines[limit-1]+" "+lines[limit], width-1)
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
