package markdown

import (
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/util"

	"captop/tui/cell"
)

// spans are the inline children of a node, in order.
func (r renderer) spans(parent ast.Node, style lipgloss.Style) []span {
	var all []span
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		all = append(all, r.inline(node, style)...)
	}
	return all
}

func (r renderer) inline(node ast.Node, style lipgloss.Style) []span {
	switch node := node.(type) {
	case *ast.Text:
		return r.text(node, style)
	case *ast.String:
		return []span{{text: cell.Clean(string(node.Value)), style: style}}
	case *ast.CodeSpan:
		return []span{{text: r.plain(node), style: r.t.Key}}
	case *ast.Emphasis:
		if node.Level > 1 {
			return r.spans(node, style.Bold(true))
		}
		return r.spans(node, style.Underline(true))
	case *ast.Link:
		return r.link(node, string(node.Destination), style)
	case *ast.Image:
		return []span{{text: "[picture: " + r.plain(node) + "]", style: style}}
	case *ast.AutoLink:
		return []span{{text: cell.Clean(string(node.URL(r.source))), style: style.Underline(true)}}
	case *ast.RawHTML:
		return r.tag(node, style)
	}
	return r.spans(node, style)
}

func (r renderer) text(node *ast.Text, style lipgloss.Style) []span {
	value := node.Segment.Value(r.source)
	if !node.IsRaw() {
		value = util.ResolveEntityNames(util.ResolveNumericReferences(util.UnescapePunctuations(value)))
	}
	// Cleaned last: a numeric reference can stand for an escape character.
	spans := []span{{text: cell.Clean(string(value)), style: style}}
	switch {
	case node.HardLineBreak():
		spans = append(spans, span{stop: true})
	case node.SoftLineBreak():
		spans = append(spans, span{text: " ", style: style})
	}
	return spans
}

// link is the text of a link, and where it leads if the text does not say so.
func (r renderer) link(node ast.Node, target string, style lipgloss.Style) []span {
	spans := r.spans(node, style.Underline(true))
	target = cell.Clean(target)
	if target == "" || strings.Contains(r.plain(node), target) {
		return spans
	}
	return append(spans, span{text: " (" + target + ")", style: r.t.Dim})
}

// tag is a tag within text: a break is one, the others are shown as they are written.
func (r renderer) tag(node *ast.RawHTML, style lipgloss.Style) []span {
	var source strings.Builder
	for i := range node.Segments.Len() {
		segment := node.Segments.At(i)
		source.Write(segment.Value(r.source))
	}
	switch tag := strings.ToLower(source.String()); {
	case strings.HasPrefix(tag, "<br"):
		return []span{{stop: true}}
	case strings.HasPrefix(tag, "<!--"):
		return nil
	}
	return []span{{text: cell.Clean(source.String()), style: style}}
}

// plain is the text below a node without any style.
func (r renderer) plain(node ast.Node) string {
	var out strings.Builder
	for child := node.FirstChild(); child != nil; child = child.NextSibling() {
		if part, ok := child.(*ast.Text); ok {
			out.Write(part.Segment.Value(r.source))
			if part.SoftLineBreak() || part.HardLineBreak() {
				out.WriteByte(' ')
			}
			continue
		}
		out.WriteString(r.plain(child))
	}
	return cell.Clean(out.String())
}

// wrap breaks spans at blanks into lines of width cells. A word that is longer than a line is broken where the line ends.
func wrap(spans []span, width int) []string {
	w := wrapper{width: width}
	for _, s := range spans {
		if s.stop {
			w.endWord()
			w.endLine()
			continue
		}
		for i, word := range strings.Split(s.text, " ") {
			if i > 0 {
				w.endWord()
			}
			if word != "" {
				w.word = append(w.word, span{text: word, style: s.style})
				w.wordWidth += cell.Width(word)
			}
		}
	}
	w.endWord()
	if w.lineWidth > 0 {
		w.endLine()
	}
	return w.lines
}

// wrapper fills lines with words; a word is made of pieces of different styles.
type wrapper struct {
	width     int
	lines     []string
	line      []span
	lineWidth int
	word      []span
	wordWidth int
}

func (w *wrapper) endWord() {
	if len(w.word) == 0 {
		return
	}
	if w.lineWidth > 0 {
		if w.lineWidth+1+w.wordWidth > w.width {
			w.endLine()
		} else {
			w.line[len(w.line)-1].text += " "
			w.lineWidth++
		}
	}
	for _, piece := range w.word {
		for cell.Width(piece.text) > w.width-w.lineWidth {
			head, tail, ok := cutAt(piece.text, w.width-w.lineWidth)
			if !ok && w.lineWidth == 0 {
				break // a character wider than the line: Lines cuts it
			}
			w.put(span{text: head, style: piece.style})
			w.endLine()
			piece.text = tail
		}
		w.put(piece)
	}
	w.word, w.wordWidth = nil, 0
}

func (w *wrapper) put(piece span) {
	if piece.text == "" {
		return
	}
	w.line = append(w.line, piece)
	w.lineWidth += cell.Width(piece.text)
}

func (w *wrapper) endLine() {
	var out strings.Builder
	for _, piece := range w.line {
		out.WriteString(piece.style.Render(piece.text))
	}
	w.lines = append(w.lines, out.String())
	w.line, w.lineWidth = nil, 0
}

// split breaks one line of code: the first part has first cells, the others rest.
func split(line string, first, rest int) []string {
	var parts []string
	for width := first; cell.Width(line) > width; width = rest {
		head, tail, ok := cutAt(line, width)
		if !ok {
			break
		}
		parts, line = append(parts, head), tail
	}
	return append(parts, line)
}

// cutAt divides clean text after at most width cells; ok is false, and head empty, where not one character fits.
func cutAt(s string, width int) (head, tail string, ok bool) {
	head = ansi.Truncate(s, width, "")
	tail, ok = strings.CutPrefix(s, head)
	if head == "" || !ok {
		return "", s, false
	}
	return head, tail, true
}
