package markdown

import (
	"slices"

	extast "github.com/yuin/goldmark/extension/ast"

	"captop/tui/cell"
)

// columnGap is what lies between two columns.
const columnGap = "  "

// table draws the header in bold over a line, then the rows. Columns are as wide as what they hold; where that is too
// much, the widest give way and their cells wrap.
func (r renderer) table(node *extast.Table, width int) []string {
	var rows [][][]span
	columns := 0
	for row := node.FirstChild(); row != nil; row = row.NextSibling() {
		style := r.t.Plain
		if _, header := row.(*extast.TableHeader); header {
			style = r.t.Bold
		}
		var cells [][]span
		for c := row.FirstChild(); c != nil; c = c.NextSibling() {
			cells = append(cells, r.spans(c, style))
		}
		rows, columns = append(rows, cells), max(columns, len(cells))
	}
	if columns == 0 {
		return nil
	}
	widths := columnWidths(rows, columns, width-(columns-1)*len(columnGap))
	var lines []string
	for i, row := range rows {
		blocks := make([][]string, columns)
		for c, content := range row {
			blocks[c] = wrap(content, widths[c])
		}
		lines = append(lines, cell.Beside(columnGap, widths, blocks...)...)
		if i == 0 {
			lines = append(lines, r.t.Rule.Render(cell.Run("─", min(sum(widths)+(columns-1)*len(columnGap), width))))
		}
	}
	return lines
}

// columnWidths gives each column what it needs, and takes from the widest until all of them fit into room.
func columnWidths(rows [][][]span, columns, room int) []int {
	widths := make([]int, columns)
	for _, row := range rows {
		for c, content := range row {
			need := 0
			for _, s := range content {
				need += cell.Width(s.text)
			}
			widths[c] = max(widths[c], need, 1)
		}
	}
	for sum(widths) > room {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= 3 {
			break // more columns than cells: the lines are cut
		}
		widths[widest]--
	}
	return widths
}

func sum(widths []int) (total int) {
	for _, w := range widths {
		total += w
	}
	return total
}
