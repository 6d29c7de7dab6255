// Package markdown draws a page of Markdown as styled lines of so many cells: headings, lists, code, tables, emphasis, and
// links as text. goldmark parses; nothing of a page reaches the terminal as an escape sequence.
package markdown

import (
	"fmt"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"

	"captop/tui/cell"
	"captop/tui/theme"
)

// narrowest is the least width that a block is laid out for; on less its lines are cut.
const narrowest = 12

// Page is a parsed page. The zero value is an empty one.
type Page struct {
	source []byte
	root   ast.Node
}

// Parse reads a page. Every text is some page: there is no error in Markdown.
func Parse(source string) Page {
	// Bytes that are no characters would come out as what the terminal makes of them.
	bytes := []byte(strings.ToValidUTF8(source, "?"))
	parser := goldmark.New(goldmark.WithExtensions(extension.Table)).Parser()
	return Page{source: bytes, root: parser.Parse(text.NewReader(bytes))}
}

// Fence draws a fenced code block of the kind info in another way than as code; ok is false for one that it leaves.
type Fence func(info string, lines []string, width int) (drawn []string, ok bool)

// Lines draws the page in lines of at most width cells. fence may be nil.
func (p Page) Lines(width int, t theme.Theme, fence Fence) []string {
	if p.root == nil || width <= 0 {
		return nil
	}
	r := renderer{source: p.source, t: t, fence: fence}
	lines := r.blocks(p.root, max(width, narrowest), false)
	for i, line := range lines {
		lines[i] = cell.Cut(line, width)
	}
	return lines
}

type renderer struct {
	source []byte
	t      theme.Theme
	fence  Fence
}

// blocks draws the children of a container, with a blank line between them unless they belong together.
func (r renderer) blocks(parent ast.Node, width int, tight bool) []string {
	var lines []string
	for node := parent.FirstChild(); node != nil; node = node.NextSibling() {
		drawn := r.block(node, max(width, narrowest))
		if len(drawn) == 0 {
			continue
		}
		if len(lines) > 0 && !tight {
			lines = append(lines, "")
		}
		lines = append(lines, drawn...)
	}
	return lines
}

func (r renderer) block(node ast.Node, width int) []string {
	switch node := node.(type) {
	case *ast.Heading:
		return r.heading(node, width)
	case *ast.Paragraph, *ast.TextBlock:
		return wrap(r.spans(node, r.t.Plain), width)
	case *ast.List:
		return r.list(node, width)
	case *ast.FencedCodeBlock:
		return r.code(node, string(node.Language(r.source)), width)
	case *ast.CodeBlock:
		return r.code(node, "", width)
	case *ast.Blockquote:
		return prefixed(r.t.Rule.Render("│ "), r.t.Rule.Render("│ "), r.blocks(node, width-2, false))
	case *extast.Table:
		return r.table(node, width)
	case *ast.ThematicBreak:
		return []string{r.t.Rule.Render(cell.Run("─", width))}
	case *ast.HTMLBlock:
		return r.html(node, width)
	}
	return r.blocks(node, width, false)
}

// heading is the text in the title's style; the first level has a line up to the edge, the second a mark, so that
// they differ without colours.
func (r renderer) heading(node *ast.Heading, width int) []string {
	switch node.Level {
	case 1:
		lines := wrap(r.spans(node, r.t.Title), width)
		if len(lines) == 0 {
			return nil
		}
		last := len(lines) - 1
		if rest := width - cell.Width(lines[last]) - 1; rest > 0 {
			lines[last] += " " + r.t.Rule.Render(cell.Run("─", rest))
		}
		return lines
	case 2:
		return prefixed(r.t.Title.Render("▸ "), "  ", wrap(r.spans(node, r.t.Title), width-2))
	}
	return wrap(r.spans(node, r.t.Bold), width)
}

// list draws each item with its mark, and what follows in it indented below its text.
func (r renderer) list(node *ast.List, width int) []string {
	var lines []string
	number := node.Start
	for item := node.FirstChild(); item != nil; item = item.NextSibling() {
		mark := "• "
		if node.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		indent := cell.Width(mark)
		drawn := r.blocks(item, width-indent, node.IsTight)
		if len(drawn) == 0 {
			drawn = []string{""}
		}
		if len(lines) > 0 && !node.IsTight {
			lines = append(lines, "")
		}
		lines = append(lines, prefixed(r.t.Bold.Render(mark), cell.Blank(indent), drawn)...)
	}
	return lines
}

// code keeps the lines as they are, indented without marks at the edge so that they can be copied; what is too long goes
// on below, further indented.
func (r renderer) code(node ast.Node, info string, width int) []string {
	source := r.raw(node)
	if r.fence != nil {
		if drawn, ok := r.fence(cell.Clean(info), source, width); ok {
			return drawn
		}
	}
	var lines []string
	for _, line := range source {
		for i, part := range split(line, width-2, width-6) {
			indent := "  "
			if i > 0 {
				indent = "      "
			}
			lines = append(lines, indent+r.t.Series[0].Render(part))
		}
	}
	return lines
}

// html is shown as it is written, except for comments, which are for whoever writes the page.
func (r renderer) html(node *ast.HTMLBlock, width int) []string {
	source := strings.Join(r.raw(node), " ")
	if node.HasClosure() {
		source += " " + string(node.ClosureLine.Value(r.source))
	}
	if strings.HasPrefix(strings.TrimSpace(source), "<!--") {
		return nil
	}
	return wrap([]span{{text: cell.Clean(source), style: r.t.Dim}}, width)
}

// raw is a block's lines, cleaned, with tabs as blanks.
func (r renderer) raw(node ast.Node) []string {
	var lines []string
	for i := range node.Lines().Len() {
		segment := node.Lines().At(i)
		line := strings.TrimRight(string(segment.Value(r.source)), "\r\n")
		lines = append(lines, cell.Clean(strings.ReplaceAll(line, "\t", "    ")))
	}
	return lines
}

// prefixed puts first before the first line and rest before the others.
func prefixed(first, rest string, lines []string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		if i == 0 {
			out[i] = first + line
		} else {
			out[i] = rest + line
		}
	}
	return out
}

// span is a run of text in one style; a span of breaks alone ends the line.
type span struct {
	text  string
	style lipgloss.Style
	stop  bool
}
