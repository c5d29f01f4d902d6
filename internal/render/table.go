package render

import (
	"io"
	"strings"
)

// Column is one column of a table.
type Column struct {
	Name  string
	Right bool // numbers stand at the right
}

// Table writes rows under a heading, in aligned columns. The last column is cut where the line ends; a row may be shorter
// than the heading. Without rows only the heading is written.
func Table(w io.Writer, s Style, columns []Column, rows [][]string) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = span(c.Name)
	}
	cells := make([][]string, len(rows))
	for r, row := range rows {
		cells[r] = make([]string, len(columns))
		for i := range min(len(row), len(columns)) {
			cells[r][i] = s.clean(row[i])
			widths[i] = max(widths[i], span(cells[r][i]))
		}
	}
	var b strings.Builder
	heading := make([]string, len(columns))
	for i, c := range columns {
		heading[i] = c.Name
	}
	b.WriteString(s.paint(bold, s.row(columns, widths, heading)) + "\n")
	for _, row := range cells {
		b.WriteString(s.row(columns, widths, row) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Style) row(columns []Column, widths []int, cells []string) string {
	var parts []string
	for i, c := range columns {
		if c.Right {
			parts = append(parts, padLeft(cells[i], widths[i]))
			continue
		}
		parts = append(parts, pad(cells[i], widths[i]))
	}
	return s.cut(strings.TrimRight(strings.Join(parts, "  "), " "), s.width())
}
