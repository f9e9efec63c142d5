package ui

import (
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

// TestTableFits: at 80 and 100 columns no line is wider, nothing is cut off, and what does not fit beside goes below; a pipe
// gets one line for each row.
func TestTableFits(t *testing.T) {
	const reason = "554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using zen.example.net"
	for columns, want := range map[int]string{
		0: `STATE    CLIENT      MESSAGE                     REASON
refused  192.0.2.66  "an invoice" from 界界界界  554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using zen.example.net
held     -           -                           x
`,
		40: `STATE    CLIENT
refused  192.0.2.66
    "an invoice" from 界界界界
    554 5.7.1 Service unavailable;
    Client host [192.0.2.66] blocked
      using zen.example.net
held     -
    x
`,
		80: `STATE    CLIENT      MESSAGE
refused  192.0.2.66  "an invoice" from 界界界界
    554 5.7.1 Service unavailable;
    Client host [192.0.2.66] blocked using zen.example.net
held     -           -
    x
`,
		100: `STATE    CLIENT      MESSAGE
refused  192.0.2.66  "an invoice" from 界界界界
    554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using zen.example.net
held     -           -
    x
`,
	} {
		var b strings.Builder
		table := newTable(Page{&b, columns}, "STATE", "CLIENT", "MESSAGE", "REASON")
		table.row("refused", "192.0.2.66", `"an invoice" from 界界界界`, reason)
		table.row("held", "-", "-", "x")
		table.flush()
		if b.String() != want {
			t.Errorf("in %d columns it is\n%s\nwant\n%s", columns, &b, want)
		}
		for line := range strings.Lines(b.String()) {
			if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); columns > 0 && n > columns {
				t.Errorf("%d columns of %d: %q", n, columns, line)
			}
		}
	}
}

// TestNarrowedColumns: the widest give way first, to a width that can still be read.
func TestNarrowedColumns(t *testing.T) {
	for _, c := range []struct {
		natural string
		columns int
		want    string
	}{{"aaaaaaaaaa bb", 0, "10 2"}, {"aaaaaaaaaa bb", 14, "10 2"}, {"aaaaaaaaaa bb", 12, "8 2"}, {"aaaaaaaaaa bb", 3, "6 2"}, {"aaaaaaaaaa bbbbbbbb", 16, "7 7"}} {
		var natural []int
		for word := range strings.FieldsSeq(c.natural) {
			natural = append(natural, len(word))
		}
		var got []string
		for _, w := range narrowed(natural, c.columns) {
			got = append(got, size(int64(w)))
		}
		if text := strings.ReplaceAll(strings.Join(got, " "), " B", ""); text != c.want {
			t.Errorf("%q in %d columns: %s, want %s", c.natural, c.columns, text, c.want)
		}
	}
}
