package ui

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

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
