package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/truehop/truehop/fetch"
)

// table writes rows in columns.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, heads ...string) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(heads...)
	return t
}

// row writes one row. A cell may hold what a stranger wrote.
func (t table) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = fetch.Printable(cell)
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

func (t table) flush() { _ = t.w.Flush() }

// rows writes rows at once, in columns: one that is wider than those before it makes its column wider from there on.
type rows struct {
	w      io.Writer
	widths []int
}

// newRows begins with the columns' names. Names with spaces behind them keep room for cells of that width.
func newRows(w io.Writer, heads ...string) *rows {
	r := &rows{w, make([]int, len(heads))}
	for i, h := range heads {
		r.widths[i] = len(h)
	}
	r.row(heads...)
	return r
}

// row writes one row. A cell may hold what a stranger wrote.
func (r *rows) row(cells ...string) {
	var line strings.Builder
	for i, cell := range cells {
		cell = fetch.Printable(cell)
		r.widths[i] = max(r.widths[i], utf8.RuneCountInString(cell))
		fmt.Fprintf(&line, "%-*s  ", r.widths[i], cell)
	}
	fmt.Fprintln(r.w, strings.TrimRight(line.String(), " "))
}
