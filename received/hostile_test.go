package received

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

const (
	topPart = "Received: from x "
	writer  = " by mx.example.org (Postfix) with ESMTP id 4; Mon, 15 Jan 2024 10:00:00 +0000"
	full    = maxField - 64
	part    = 2100 // 500 fields of these make 1 MiB
)

// hostileHeaders are headers that a sender can write to keep a reader busy: fields of so many octets, or one of
// all the header's where size is 0, that begin with head, end with tail, and have units between.
var hostileHeaders = [...]struct {
	name             string
	size             int
	head, unit, tail string
}{
	{"folded over white space", 0, "Subject: x\r\n", " \r\n", ""},
	{"folded over white space, LF and tab", 0, "Subject: x\n", "\t\n", ""},
	{"Received folded over white space", full, topPart, "\r\n ", writer},
	{"fields folded over white space", 200, "X-Field: x", "\r\n ", ""},
	{"one field", 0, "Subject: ", "x", ""},
	{"one name", 0, "", "x", ": x"},
	{"one name of blanks", 0, "x", " ", ": x"},
	{"no colon", 0, "", "x", ""},
	{"blanks", 0, "", " ", ""},
	{"empty fields", 0, "", "X:\r\n", ""},
	{"short fields", 0, "", "X-Field: x\r\n", ""},
	{"long names", 0, "", "X-Field-With-A-Name-Longer-Than-32-Octets: x\r\n", ""},
	{"names of proofs, no address", 0, "", "Received-SPF: x\r\n", ""},
	{"names of proofs, blank before the colon", 0, "", "Received : x\r\n", ""},
	{"long proofs", full, "Received-SPF: pass ", "helo=client-ip=", ""},
	{"long authentication results", full, "Authentication-Results: mx.google.com; ", "designates ", ""},
	{"proofs", 0, "", "Received-SPF: pass (google.com: x) client-ip=192.0.2.1; helo=x\r\n", ""},
	{"recipients", 0, "", "Delivered-To: user@example.org\r\n", ""},
	{"many Received", 0, "", "Received: from mx.example.org (mx.example.org [10.0.0.2])" + writer + "\r\n", ""},
	{"many bare Received", 0, "", "Received: x\r\n", ""},
	{"TLS remarks", part, topPart, "(TLS x=)", writer},
	{"a long TLS remark", full, topPart + "(TLS ", "cipher ", ")" + writer},
	{"many recipients", full, topPart + "by x for ", "a@b ", ""},
	{"many ways", full, topPart + "by x ", "via a ", ""},
	{"open comments", part, topPart, "(", writer},
	{"one open comment each", part, topPart + "(", "a", writer},
	{"comments", part, topPart, "(a)", writer},
	{"empty comments", part, topPart, "()", writer},
	{"comments like keys", part, topPart, "(=)", writer},
	{"writer's comments", part, topPart + "by x ", "(i)", ""},
	{"nested comments", part, topPart, "(()", strings.Repeat(")", part/3) + writer},
	{"comments in long fields", full, topPart, "(i)", writer},
	{"comments with addresses", full, topPart, "(a [192.0.2.1])", writer},
	{"comments of numbers", full, topPart + "(", "1.1.1.1.", ")" + writer},
	{"comments of colons", full, topPart + "(", "a:", ")" + writer},
	{"brackets in a comment", full, topPart + "(", "[", "[192.0.2.1])" + writer},
	{"words and brackets in a comment", full, topPart + "(", "a[", "[192.0.2.1])" + writer},
	{"ends of comments", full, topPart, ")", writer},
	{"backslashes", full, topPart + "(", `\`, writer},
	{"semicolons", full, topPart, ";", writer},
	{"semicolons in short fields", part, topPart, ";", writer},
	{"dates", full, topPart + writer, "; Mon, 15 Jan 2024 10:00:00 +0000", ""},
	{"a long date", full, topPart + writer, "1:", ""},
	{"blanks in a date", full, topPart + writer, " ,", ""},
	{"angles", full, topPart, "<", writer},
	{"blank angles", part, topPart, "< ", writer},
	{"blank angles in long fields", full, topPart, "< ", writer},
	{"blank angles around pairs", part, topPart, "< <> ", writer},
	{"open brackets", full, topPart, "[ ", writer},
	{"quotes", full, topPart, `" `, writer},
	{"words", full, topPart, "a ", writer},
	{"words in short fields", part, topPart, "a ", writer},
	{"colons", full, topPart, ":", writer},
	{"by", full, topPart, "by ", writer},
	{"resubmissions", full, topPart + "by " + strings.Repeat("a", 20<<10) + " ", "MailboxResubmission by ", ""},
	{"resubmissions at a host", full, topPart + "by a.outlook.com ", "MailboxResubmission by ", ""},
	{"resubmissions in short fields", part, topPart + "by a.outlook.com ", "MailboxResubmission by ", ""},
	{"with", full, topPart + "by x ", "with x ", ""},
	{"ids", full, topPart + "by x ", "id ", ""},
	{"ids behind the date", full, topPart + "by x ; ", "id x ", ""},
	{"claims", full, topPart, "claiming to be ", writer},
	{"helo", full, topPart + "(", "helo=", ")" + writer},
	{"ident", full, topPart + "([192.0.2.1] helo=", " ident=", ")" + writer},
	{"a long writer", full, topPart + "by ", "a", ""},
	{"a long writer of labels", full, topPart + "by ", "a.", "mx.example.org"},
	{"a long writer of stars", full, topPart + "by mx", "a", ".example.org"},
	{"long names of peers", full, topPart + "(", "a.", " [10.0.0.1])" + writer},
	{"a long HELO", full, "Received: from ", "a.", " (mx.example.org [10.0.0.1])" + writer},
	{"8-bit", full, topPart, "\xff", writer},
	{"NUL", full, topPart, "\x00", writer},
	{"CR", full, topPart, "\r", writer},
	{"marks", full, topPart + "by x ", "(PostfiX)", ""},
	{"sendmail's marks", full, topPart + "by x ", "(8.1)", ""},
	{"a long mark", full, topPart + "by x (8.1", "x", ")"},
}

// hostileHeader makes the i-th of them, of about size octets.
func hostileHeader(i, size int) []byte {
	h := &hostileHeaders[i]
	if h.size == 0 {
		return []byte(h.head + strings.Repeat(h.unit, size/len(h.unit)) + h.tail + "\r\n")
	}
	room := h.size - len(h.head) - len(h.tail) - len("\r\n")
	field := h.head + strings.Repeat(h.unit, max(room, 0)/len(h.unit)) + h.tail + "\r\n"
	return bytes.Repeat([]byte(field), size/len(field))
}

// readEverything reads a header and looks for the boundary under each kind of policy.
func readEverything(header []byte) *Chain {
	c := ReadChain(header)
	for _, name := range [...]string{"auto", "generic", "gmail", "outlook", "yahoo"} {
		p, _ := Profile(name)
		c.Boundary(p)
	}
	c.Boundary(own)
	c.Boundary(Policy{Hops: 1000})
	return c
}

// TestHostileHeaders: whatever a header holds, what is kept of it stays within the limits, and what is
// allocated on the way is a small multiple of its size.
func TestHostileHeaders(t *testing.T) {
	const size = hostileSize
	for i, h := range hostileHeaders {
		t.Run(h.name, func(t *testing.T) {
			header := hostileHeader(i, size)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			c := readEverything(header)
			runtime.ReadMemStats(&after)
			if n := len(c.Hops); n > maxHops+1 {
				t.Errorf("%d hops", n)
			}
			if n := max(len(c.Proofs), len(c.Envelope.Recipients), len(c.Envelope.ReturnPath)); n > maxEnv {
				t.Errorf("%d proofs or envelope fields", n)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 32*size {
				t.Errorf("%d octets were allocated for %d", n, size)
			}
		})
	}
}

// TestLongScans gives each scan that looks ahead or back a text so long that it would take hours, and not
// a blink, if each step looked at all of it again. The go command ends a test that hangs.
func TestLongScans(t *testing.T) {
	const long = longScan
	fill := func(s string) string { return strings.Repeat(s, long/len(s)) }
	t.Run("field folded over white space", func(t *testing.T) {
		header := []byte("X: y\r\n" + fill(" \r\n") + "Z: z\r\n")
		if field, rest := cutField(header); string(rest) != "Z: z\r\n" || len(field)+len(rest) != len(header) {
			t.Errorf("a field of %d octets, and behind it %.20q", len(field), rest)
		}
	})
	for _, unit := range []string{"[", "[x", "[]", "[x]"} {
		t.Run("brackets "+unit, func(t *testing.T) {
			if twoLiterals(fill(unit), netip.Addr{}) {
				t.Error("an address was found where none is")
			}
		})
	}
	for _, tt := range []struct {
		unit   string
		angles int
	}{
		{"< ", 0}, {"<> ", long / 3}, {"< <> ", long / 5}, {"<<> ", 0}, {"<; ", 0},
	} {
		t.Run("angles "+tt.unit, func(t *testing.T) {
			sc := scanner{s: fill(tt.unit)}
			found := 0
			for sc.i < len(sc.s) {
				if sc.next() == angle {
					found++
				}
				for sc.i < len(sc.s) && sc.s[sc.i] == ' ' {
					sc.i++
				}
			}
			if found != tt.angles {
				t.Errorf("%d angle brackets, want %d", found, tt.angles)
			}
		})
	}
}

// closingAngleSlowly does what scanner.closingAngle does, from the beginning for each bracket.
func closingAngleSlowly(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '<':
			depth++
		case '>':
			depth--
			if depth == 0 {
				return i
			}
		case ';', '(', ')':
			return -1
		}
	}
	return -1
}

func TestClosingAngle(t *testing.T) {
	const octets = "<<<<>>>> a;"
	random := rand.New(rand.NewPCG(1, 2))
	for range randomTexts / 2 {
		text := make([]byte, random.IntN(40))
		for i := range text {
			text[i] = octets[random.IntN(len(octets))]
		}
		sc := scanner{s: string(text)}
		for i := bytes.IndexByte(text, '<'); i >= 0; {
			sc.i = i
			end := -1
			if sc.next() == angle {
				end = sc.i - i - 1
			}
			if want := closingAngleSlowly(sc.s[i:]); end != want {
				t.Fatalf("%q: the bracket at %d ends at %d octets, want %d", text, i, end, want)
			}
			next := strings.IndexByte(sc.s[sc.i:], '<')
			if next < 0 {
				break
			}
			i = sc.i + next
		}
	}
}

// BenchmarkHostileHeader reads headers of 1 MiB, which is all of a header that is read.
func BenchmarkHostileHeader(b *testing.B) {
	for i, h := range hostileHeaders {
		header := hostileHeader(i, maxHeader)
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readEverything(header)
			}
		})
	}
}
