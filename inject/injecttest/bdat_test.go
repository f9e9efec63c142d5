package injecttest

import (
	"strings"
	"testing"
)

// TestBDAT: chunks, in the words of Postfix.
func TestBDAT(t *testing.T) {
	start := []string{">", "220", "EHLO x", "250", "MAIL FROM:<a@example.net>", "250"}
	rcpt := []string{"RCPT TO:<user@example.org>", "250"}
	for _, c := range []struct {
		name   string
		o      Options
		rcpt   bool
		script []string
		data   string // of the message that arrives, "-" for none
		bare   bool
	}{
		{"one", Options{}, true, []string{"BDAT 3 LAST\r\nx", "250 2.0.0 Ok: queued as"}, "x\r\n", false},
		{"several", Options{}, true, []string{"BDAT 3\r\n.", "250 2.0.0 Ok: 3 bytes", "bdat 5\r\nIT.", "250 2.0.0 Ok: 5 bytes", "BDAT 0 LAST", "250 2.0.0 Ok: queued as"}, ".\r\nIT.\r\n", false},
		{"empty", Options{}, true, []string{"BDAT 0 LAST", "250 2.0.0 Ok: queued as"}, "", false},
		{"bare LF", Options{}, true, []string{"BDAT 5 LAST\r\nx\ny", "250"}, "x\ny\r\n", true},
		{"no recipient", Options{}, false, []string{"BDAT 3 LAST\r\nx", "554 5.5.1 Error: no valid recipients", "RSET", "250"}, "-", false},
		{"RSET in the middle", Options{}, true, []string{"BDAT 3\r\nx", "250", "RSET", "250", "BDAT 3 LAST\r\nx", "503 5.5.1 Error: need RCPT command"}, "-", false},
		{"a chunk refused", Options{Faults: []Fault{{Stage: BDAT, Reply: "452 4.3.1 full", Nth: 1}}}, true,
			[]string{"BDAT 3\r\nx", "452", "BDAT 3\r\nx", "551 5.0.0 Discarded 3 bytes after earlier error", "BDAT 3 LAST\r\nx", "551", "MAIL FROM:<>", "250"}, "-", false},
		{"too big", Options{SizeLimit: 4}, true, []string{"BDAT 3\r\nx", "250", "BDAT 3 LAST\r\nx", "552 5.3.4", "MAIL FROM:<>", "250"}, "-", false},
		{"no number", Options{}, true, []string{"BDAT x LAST", "501 5.5.4 Syntax", ">", "EOF"}, "-", false},
		{"no LAST", Options{}, true, []string{"BDAT 3 FIRST", "501 5.5.4 Syntax", ">", "EOF"}, "-", false},
	} {
		s := serve(t, c.o)
		script := append([]string{}, start...)
		if c.rcpt {
			script = append(script, rcpt...)
		}
		dialogue(t, s, append(script, c.script...)...)
		var got []string
		for _, m := range s.Messages() {
			got = append(got, string(m.Data))
			if m.Bare != c.bare || m.Chunks != strings.Count(strings.ToUpper(strings.Join(c.script, " ")), "BDAT") {
				t.Errorf("%s: %+v", c.name, m)
			}
		}
		if c.data == "-" && len(got) > 0 || c.data != "-" && (len(got) != 1 || got[0] != c.data) {
			t.Errorf("%s: arrived as %q, want %q", c.name, got, c.data)
		}
	}
}
