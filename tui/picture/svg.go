package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Cells of the picture, in pixels, and its colours.
const (
	cellWidth, cellHeight = 8.4, 18.0
	margin                = 14.0
	paper, ink            = "#0d1117", "#d7dde4"
)

// pen is how the following text looks.
type pen struct {
	colour        string
	bold, reverse bool
}

// SVG draws a screen with escape sequences, as tmux captures it, of width columns and height rows.
func SVG(screen string, width, height int) string {
	w, h := float64(width)*cellWidth+2*margin, float64(height)*cellHeight+2*margin
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace" font-size="14">`+"\n", w, h)
	fmt.Fprintf(&out, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", paper)
	p := pen{colour: ink}
	for row, line := range strings.Split(strings.TrimRight(screen, "\n"), "\n") {
		drawLine(&out, line, row, &p)
	}
	out.WriteString("</svg>\n")
	return out.String()
}

// drawLine writes one row: a run of text for each change of the pen, placed by its column.
func drawLine(out *strings.Builder, line string, row int, p *pen) {
	column, start := 0, 0
	var run strings.Builder
	flush := func() {
		drawRun(out, run.String(), start, column, row, *p)
		run.Reset()
		start = column
	}
	state := byte(0)
	for len(line) > 0 {
		sequence, width, n, next := ansi.DecodeSequence(line, state, nil)
		state, line = next, line[n:]
		if width > 0 {
			if r := []rune(sequence)[0]; r > 0x2800 && r < 0x2900 {
				flush()
				drawDots(out, uint8(r-0x2800), column, row, p.colour)
				column, start = column+1, column+1
				continue
			}
			run.WriteString(sequence)
			column += width
			continue
		}
		if strings.HasPrefix(sequence, "\x1b[") && strings.HasSuffix(sequence, "m") {
			flush()
			p.set(strings.TrimSuffix(strings.TrimPrefix(sequence, "\x1b["), "m"))
		}
	}
	flush()
}

func drawRun(out *strings.Builder, text string, from, to, row int, p pen) {
	if strings.TrimSpace(text) == "" && !p.reverse {
		return
	}
	x, y, colour := margin+float64(from)*cellWidth, margin+float64(row)*cellHeight, p.colour
	length := float64(to-from) * cellWidth
	if p.reverse {
		fmt.Fprintf(out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, x, y, length, cellHeight, colour)
		colour = paper
	}
	weight := ""
	if p.bold {
		weight = ` font-weight="bold"`
	}
	fmt.Fprintf(out, `<text x="%.1f" y="%.1f" textLength="%.1f" lengthAdjust="spacingAndGlyphs" xml:space="preserve" fill="%s"%s>%s</text>`+"\n",
		x, y+cellHeight-5, length, colour, weight, html.EscapeString(text))
}

// drawDots draws a braille cell dot by dot: few fonts have these characters in the width of the others.
func drawDots(out *strings.Builder, dots uint8, column, row int, colour string) {
	places := [8][2]int{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}}
	var path strings.Builder
	for bit, place := range places {
		if dots>>bit&1 == 1 {
			x := margin + (float64(column)+0.25+0.5*float64(place[0]))*cellWidth
			y := margin + (float64(row)+0.125+0.25*float64(place[1]))*cellHeight
			fmt.Fprintf(&path, "M%.1f %.1fh2v2h-2z", x-1, y-1)
		}
	}
	fmt.Fprintf(out, `<path fill="%s" d="%s"/>`+"\n", colour, path.String())
}

// set takes the parameters of one SGR sequence.
func (p *pen) set(parameters string) {
	fields := strings.Split(parameters, ";")
	for i := 0; i < len(fields); i++ {
		n, _ := strconv.Atoi(fields[i])
		switch {
		case n == 0:
			*p = pen{colour: ink}
		case n == 1:
			p.bold = true
		case n == 22:
			p.bold = false
		case n == 7:
			p.reverse = true
		case n == 27:
			p.reverse = false
		case n == 39:
			p.colour = ink
		case n >= 30 && n <= 37:
			p.colour = ansi256(n - 30)
		case n >= 90 && n <= 97:
			p.colour = ansi256(n - 90 + 8)
		case n == 38 && i+2 < len(fields) && fields[i+1] == "5":
			index, _ := strconv.Atoi(fields[i+2])
			p.colour, i = ansi256(index), i+2
		case n == 38 && i+4 < len(fields) && fields[i+1] == "2":
			p.colour, i = rgb(fields[i+2:i+5]), i+4
		}
	}
}

func rgb(fields []string) string {
	var parts [3]int
	for i := range parts {
		parts[i], _ = strconv.Atoi(fields[i])
	}
	return fmt.Sprintf("#%02x%02x%02x", parts[0], parts[1], parts[2])
}

// ansi256 is the usual colour of an entry of the 256 colour table.
func ansi256(n int) string {
	base := []string{"#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
		"#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc"}
	switch {
	case n < 0 || n > 255:
		return ink
	case n < 16:
		return base[n]
	case n < 232:
		level := func(v int) int {
			if v == 0 {
				return 0
			}
			return 55 + 40*v
		}
		n -= 16
		return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
	}
	grey := 8 + 10*(n-232)
	return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey)
}
