// Package manual writes manual pages in the macros of man(7).
package manual

import (
	"fmt"
	"regexp"
	"strings"
)

// Page is a manual page that is being written, from the top down.
type Page struct{ b strings.Builder }

// Head is what stands above a page and in its first section.
type Head struct {
	// Name is the page's name, as in man(1)'s argument, and Summary a phrase that whatis(1) shows.
	Name, Summary string
	// Section is the section of the manual.
	Section int
	// Date is the day of the last change, Source the version of the program.
	Date, Source string
}

// New begins a page.
func New(h Head) *Page {
	p := &Page{}
	// The date is the one argument that may not be escaped: formatters parse it.
	fmt.Fprintf(&p.b, ".TH %s %d %q %s %s\n", quoted(strings.ToUpper(h.Name)), h.Section, h.Date, quoted(h.Source), quoted("truehop"))
	p.Section("NAME")
	fmt.Fprintf(&p.b, "%s \\- %s\n", escape(h.Name), escape(h.Summary))
	return p
}

// String returns the source of the page.
func (p *Page) String() string { return p.b.String() }

// Section begins a section.
func (p *Page) Section(title string) { fmt.Fprintf(&p.b, ".SH %s\n", quoted(title)) }

// Text writes paragraphs, which blank lines separate. A paragraph whose lines are all indented is literal. What stands
// between backticks is bold.
func (p *Page) Text(text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			p.b.WriteString(".PP\n")
		}
		if literal(paragraph) {
			p.Literal(paragraph)
		} else {
			p.b.WriteString(prose(paragraph))
		}
	}
}

// Bold writes words that are typed as they stand, and behind them what is replaced by other words.
func (p *Page) Bold(words, rest string) {
	fmt.Fprintf(&p.b, "\\fB%s\\fR %s\n", escape(words), escape(rest))
}

// Item writes a term and, indented, what is said of it.
func (p *Page) Item(term, text string) {
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR\n%s", escape(term), prose(text))
}

// Literal writes lines as they are.
func (p *Page) Literal(text string) {
	p.b.WriteString(".RS 4\n.nf\n")
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		p.b.WriteString(protect(escape(strings.TrimSuffix(line, "\n"))) + "\n")
	}
	p.b.WriteString(".fi\n.RE\n")
}

func literal(paragraph string) bool {
	for line := range strings.Lines(paragraph) {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			return false
		}
	}
	return paragraph != ""
}

var backticks = regexp.MustCompile("`([^`\n]+)`")

// prose is running text: each line begins with a word, and none is an empty one, which would end a paragraph.
func prose(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			b.WriteString(protect(backticks.ReplaceAllString(escape(line), `\fB$1\fR`)) + "\n")
		}
	}
	return b.String()
}

// escape takes from text what roff would act on. A hyphen becomes a minus sign: options are copied from the page.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
}

// protect keeps a line that begins like a macro from being one.
func protect(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// quoted is an argument of a macro.
func quoted(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }
