package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"github.com/truehop/truehop/fetch"
)

// Page is a writer of so many columns, for tables to fit in.
type Page struct {
	io.Writer
	Columns int
}

// columnsOf returns how many columns a writer has, 0 where it does not matter.
func columnsOf(w io.Writer) int {
	if p, ok := w.(Page); ok {
		return p.Columns
	}
	return 0
}

// say writes lines of text. Where the writer's width matters they are folded, and what is continued is indented a little more.
func say(w io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		begun := len(line) - len(strings.TrimLeft(line, " "))
		fmt.Fprintln(w, strings.Join(folded(line, columnsOf(w), begun+2), "\n"))
	}
}

// folded breaks a line into some of at most so many columns, all but the first indented; 0 keeps it in one.
func folded(line string, columns, indented int) []string {
	parts := []string{line}
	if runewidth.StringWidth(line) > columns {
		parts = wrapped(line, columns)
	}
	if len(parts) < 2 {
		return parts
	}
	rest := strings.TrimLeft(strings.TrimPrefix(line, parts[0]), " ")
	parts = append(parts[:1], wrapped(rest, columns-indented)...)
	for i := range parts[1:] {
		parts[i+1] = strings.Repeat(" ", indented) + parts[i+1]
	}
	return parts
}

const (
	gap    = "  "
	indent = "    " // of what stands below a row
	// leastColumn is how narrow a column is made at most, and mostBelow how many columns may go below the others.
	leastColumn = 6
	mostBelow   = 3
)

// table writes rows in columns. Where they do not fit, the last ones go below each row, and the others are made narrower:
// nothing is cut off, for what is to be done may stand at the end.
type table struct {
	w     io.Writer
	cells *[][]string
}

func newTable(w io.Writer, heads ...string) table {
	t := table{w, new([][]string)}
	t.row(heads...)
	return t
}

// row adds one row. A cell may hold what a stranger wrote.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = fetch.Printable(cell)
	}
	*t.cells = append(*t.cells, cells)
}

// flush writes the table.
func (t table) flush() {
	var natural []int
	for _, row := range *t.cells {
		for i, cell := range row {
			if i == len(natural) {
				natural = append(natural, 0)
			}
			natural[i] = max(natural[i], runewidth.StringWidth(cell))
		}
	}
	columns := columnsOf(t.w)
	beside := len(natural)
	for columns > 0 && beside > 1 && len(natural)-beside < mostBelow && total(natural[:beside]) > columns {
		beside--
	}
	widths := narrowed(natural[:beside], columns)
	for i, row := range *t.cells {
		writeRow(t.w, row[:min(beside, len(row))], widths)
		if i == 0 {
			continue // what stands below has no head
		}
		for _, cell := range row[min(beside, len(row)):] {
			if cell == "-" {
				continue
			}
			parts := []string{cell}
			if runewidth.StringWidth(indent+cell) > columns { // a line for each of its parts, the first of which matters most
				parts = strings.SplitAfter(cell, "; ")
			}
			for _, part := range parts {
				say(t.w, indent+strings.TrimRight(part, " "))
			}
		}
	}
}

// total is how wide a row of these columns is.
func total(widths []int) int {
	sum := len(gap) * (len(widths) - 1)
	for _, w := range widths {
		sum += w
	}
	return sum
}

// narrowed makes the widest of some columns narrower until they fit; columns 0 leaves them as they are.
func narrowed(natural []int, columns int) []int {
	widths := slices.Clone(natural)
	for columns > 0 && total(widths) > columns {
		widest := 0
		for i := range widths {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= leastColumn {
			break
		}
		widths[widest]--
	}
	return widths
}

// writeRow writes cells beside one another, each in as many lines as it takes.
func writeRow(w io.Writer, cells []string, widths []int) {
	var parts [][]string
	lines := 1
	for i, cell := range cells {
		parts = append(parts, wrapped(cell, widths[i]))
		lines = max(lines, len(parts[i]))
	}
	for n := range lines {
		var line strings.Builder
		for i, part := range parts {
			text := ""
			if n < len(part) {
				text = part[n]
			}
			line.WriteString(runewidth.FillRight(text, widths[i]) + gap)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// rows writes rows at once, in columns: one that is wider than those before it makes its column wider from there on, if the
// writer's width does not matter.
type rows struct {
	w      io.Writer
	widths []int
}

// newRows begins with the columns' names. Names with spaces behind them keep room for cells of that width.
func newRows(w io.Writer, heads ...string) *rows {
	r := &rows{w, make([]int, len(heads))}
	for i, h := range heads {
		r.widths[i] = len(h)
		heads[i] = strings.TrimRight(h, " ")
	}
	r.widths = narrowed(r.widths, columnsOf(w))
	r.row(heads...)
	return r
}

// row writes one row. A cell may hold what a stranger wrote.
func (r *rows) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = fetch.Printable(cell)
		if columnsOf(r.w) == 0 {
			r.widths[i] = max(r.widths[i], runewidth.StringWidth(cells[i]))
		}
	}
	writeRow(r.w, cells, r.widths)
}
