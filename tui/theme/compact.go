package theme

import "strings"

// Compact rewrites a frame with as few escape sequences as say the same, and without blanks at the ends of lines: what
// is drawn in many small pieces costs a slow line less than half. Blanks keep the colour of what stands before them.
func Compact(frame string) string {
	var out strings.Builder
	out.Grow(len(frame))
	for i, line := range strings.Split(frame, "\n") {
		if i > 0 {
			out.WriteByte('\n')
		}
		compactLine(&out, line)
	}
	return out.String()
}

// pen is what the terminal was told, and what it has to know before the next ink.
type pen struct {
	now, wanted style
}

// style is the parameters of an escape sequence that sets a style from none.
type style struct {
	parameters string
	blanks     bool // blanks show it: reverse, underline, a background
	colourOnly bool // it is a foreground colour and nothing else
}

func compactLine(out *strings.Builder, line string) {
	var p pen
	blanks := 0 // held back: at the end of a line they are not written
	for len(line) > 0 {
		if parameters, n := styleSequence(line); n > 0 {
			p.wanted = p.wanted.with(parameters)
			line = line[n:]
			continue
		}
		if line[0] == ' ' && !p.wanted.blanks {
			blanks++
			line = line[1:]
			continue
		}
		if blanks > 0 {
			if p.now.blanks {
				p.change(out, style{})
			}
			out.WriteString(strings.Repeat(" ", blanks))
			blanks = 0
		}
		p.change(out, p.wanted)
		n := 1
		for n < len(line) && line[n] != '\x1b' && line[n] != ' ' {
			n++
		}
		out.WriteString(line[:n])
		line = line[n:]
	}
	p.change(out, style{})
}

// change brings the terminal to a style.
func (p *pen) change(out *strings.Builder, to style) {
	if p.now == to {
		return
	}
	switch {
	case to.parameters == "":
		out.WriteString("\x1b[m")
	case p.now.parameters == "", p.now.colourOnly && to.colourOnly:
		out.WriteString("\x1b[" + to.parameters + "m")
	default:
		out.WriteString("\x1b[0;" + to.parameters + "m")
	}
	p.now = to
}

// with is the style after a sequence with these parameters.
func (s style) with(parameters string) style {
	if parameters == "" || parameters == "0" {
		return style{}
	}
	if s.parameters != "" {
		parameters = s.parameters + ";" + parameters
	}
	return read(parameters)
}

// read says what parameters do to blanks.
func read(parameters string) style {
	s := style{parameters: parameters, colourOnly: true}
	fields := strings.Split(parameters, ";")
	for i := 0; i < len(fields); i++ {
		switch f := fields[i]; {
		case f == "38" || f == "48":
			s.blanks = s.blanks || f == "48"
			s.colourOnly = s.colourOnly && f == "38"
			skip := 2 // 5;n
			if i+1 < len(fields) && fields[i+1] == "2" {
				skip = 4 // 2;r;g;b
			}
			i += skip
		case len(f) == 2 && (f[0] == '3' || f[0] == '9'): // a colour of sixteen
		default:
			s.colourOnly = false
			s.blanks = s.blanks || f != "1" && f != "2" && f != "3" && f != "22" && f != "23"
		}
	}
	return s
}

// styleSequence gives the parameters of the sequence at the start of line and its length, 0 where there is none.
func styleSequence(line string) (string, int) {
	if !strings.HasPrefix(line, "\x1b[") {
		return "", 0
	}
	for i := 2; i < len(line); i++ {
		switch c := line[i]; {
		case c == 'm':
			return line[2:i], i + 1
		case c != ';' && (c < '0' || c > '9'):
			return "", 0
		}
	}
	return "", 0
}
