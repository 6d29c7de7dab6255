package theme

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// asciiShapes gives each character that captop draws a stand-in of the same width.
var asciiShapes = map[string]string{
	"●": "*", "▲": "!", "■": "X", "◌": "o", "│": "|", "─": "-", "┬": "+", "┴": "+", "├": "+", "┤": "+", "┼": "+",
	"╭": "+", "╮": "+", "╰": "+", "╯": "+", "┌": "+", "┐": "+", "└": "+", "┘": "+", "╌": "-", "┄": "-", "…": "~", "·": "-",
	"–": "-", "—": "-", "×": "x", "≤": "<", "≥": ">", "≠": "#", "→": ">", "←": "<", "↑": "^", "↓": "v", "█": "#", "░": ".", "▏": "|",
	"’": "'", "“": "\"", "”": "\"", "µ": "u", "▸": ">", "┊": ":", "◆": "@", "◀": "<", "━": "=", "┅": ".", "✓": "+", "✗": "x", "•": "*", "▒": "=",
}

// Fold rewrites a frame in ASCII, cell for cell; escape sequences stay. Characters without a stand-in become "?".
func Fold(frame string) string {
	var out strings.Builder
	out.Grow(len(frame))
	state := byte(0)
	for len(frame) > 0 {
		sequence, width, n, next := ansi.DecodeSequence(frame, state, nil)
		state, frame = next, frame[n:]
		switch {
		case width == 0 || isASCII(sequence):
			out.WriteString(asciiOnly(sequence))
		case asciiShapes[sequence] != "":
			out.WriteString(asciiShapes[sequence])
		default:
			out.WriteString(strings.Repeat("?", width))
		}
	}
	return out.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func asciiOnly(s string) string {
	if isASCII(s) {
		return s
	}
	return ""
}
