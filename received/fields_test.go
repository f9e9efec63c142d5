package received

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFields parses each field of testdata/fields.txt: one form of one writer
// each, and hostile variants of it. A block is a remark, the field with its
// folding, and below "=" what Parse reads. Run with -update, and read the
// difference, after a change that is meant to show.
func TestFields(t *testing.T) {
	const file = "testdata/fields.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var fresh strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(string(text), "\n"), "\n\n") {
		remark, rest, ok := strings.Cut(block, "\n")
		if !ok || !strings.HasPrefix(remark, "# ") {
			t.Fatalf("a block does not begin with a remark: %q", block)
		}
		field, want, _ := strings.Cut(rest, "\n= ")
		got := describe(Parse(wire(field)))
		fmt.Fprintf(&fresh, "%s\n%s\n= %s\n\n", remark, field, got)
		t.Run(strings.TrimPrefix(remark, "# "), func(t *testing.T) {
			if got != want && !*update {
				t.Errorf("\n%s\n got %s\nwant %s", field, got, want)
			}
		})
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.TrimRight(fresh.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// wire turns the lines of a golden file into a field body: CRLF between
// lines, \0 \r \e and \xe9 for the octets a text file should not hold.
func wire(field string) []byte {
	field = strings.ReplaceAll(field, "\n", "\r\n")
	return []byte(strings.NewReplacer(`\0`, "\x00", `\r`, "\r", `\e`, "\x1b", `\xe9`, "\xe9").Replace(field))
}

// describe writes a hop in one line, leaving out what is zero.
func describe(h Hop) string {
	var s strings.Builder
	s.WriteString(string(h.Kind))
	put := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&s, " %s=%s", key, strings.NewReplacer("\x00", `\0`, "\x1b", `\e`, "\xe9", `\xe9`).Replace(value))
		}
	}
	put("form", h.Form)
	put("helo", h.HELO)
	put("name", h.Name)
	if h.NameVerified {
		s.WriteString(" verified")
	}
	if h.Addr.IsValid() {
		put("addr", h.Addr.String())
	}
	if h.AddrUncertain {
		s.WriteString(" uncertain")
	}
	if h.Port != 0 {
		put("port", fmt.Sprint(h.Port))
	}
	put("by", h.By)
	if h.ByAddr.IsValid() {
		put("byaddr", h.ByAddr.String())
	}
	put("with", h.With)
	for _, f := range []struct {
		set  bool
		word string
	}{{h.ESMTP, " esmtp"}, {h.TLS, " tls"}, {h.Authenticated, " authenticated"}} {
		if f.set {
			s.WriteString(f.word)
		}
	}
	put("id", h.ID)
	put("for", h.For)
	put("from", h.EnvelopeFrom)
	if !h.Time.IsZero() {
		put("time", h.Time.Format(time.RFC3339))
	}
	if h.Err != nil {
		s.WriteString(" ERROR " + h.Err.Error())
	}
	return s.String()
}
