package manual

import "testing"

// TestPage: text is written so that the formatter shows it and acts on none of it.
func TestPage(t *testing.T) {
	for _, tc := range []struct {
		name  string
		write func(*Page)
		want  string
	}{
		{"a paragraph", func(p *Page) { p.Text("One line,\nanother.\n") }, "One line,\nanother.\n"},
		{"two paragraphs", func(p *Page) { p.Text("One.\n\nTwo.") }, "One.\n.PP\nTwo.\n"},
		{"an indented paragraph", func(p *Page) { p.Text("As in\n\n  a: b\n  c: d\n\nabove.") },
			"As in\n.PP\n.RS 4\n.nf\n  a: b\n  c: d\n.fi\n.RE\n.PP\nabove.\n"},
		{"a line that looks like a macro", func(p *Page) { p.Text(".SH is one,\n'so is this.") }, "\\&.SH is one,\n\\&'so is this.\n"},
		{"a literal line that looks like a macro", func(p *Page) { p.Literal(".so /etc/passwd") }, ".RS 4\n.nf\n\\&.so /etc/passwd\n.fi\n.RE\n"},
		{"a blank literal line", func(p *Page) { p.Literal("a\n\nb\n") }, ".RS 4\n.nf\na\n\nb\n.fi\n.RE\n"},
		{"backslashes and hyphens", func(p *Page) { p.Text(`'\Junk' --all`) }, "\\&'\\eJunk' \\-\\-all\n"},
		{"backticks", func(p *Page) { p.Text("see `truehop check`.") }, "see \\fBtruehop check\\fR.\n"},
		{"an option", func(p *Page) { p.Item("--last N", "the last N") }, ".TP\n\\fB\\-\\-last N\\fR\nthe last N\n"},
		{"a section", func(p *Page) { p.Section(`A "B"`) }, `.SH "A \(dqB\(dq"` + "\n"},
		{"what is typed", func(p *Page) { p.Bold("truehop run", "[ACCOUNT...]") }, "\\fBtruehop run\\fR [ACCOUNT...]\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &Page{}
			tc.write(p)
			if got := p.String(); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// TestHead: the first lines name the page for man(1) and whatis(1).
func TestHead(t *testing.T) {
	p := New(Head{Name: "truehop-run", Summary: "make one pass", Section: 1, Date: "2026-03-01", Source: "v1.2.3"})
	const want = `.TH "TRUEHOP\-RUN" 1 "2026-03-01" "v1.2.3" "truehop"` + "\n" + `.SH "NAME"` + "\n" + `truehop\-run \- make one pass` + "\n"
	if got := p.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
