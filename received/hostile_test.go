package received

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"testing"
)

// hostileHeaders are headers of about size octets that a sender can write to keep a reader busy.
func hostileHeaders(size int) []struct{ name, header string } {
	fill := func(s string, room int) string { return strings.Repeat(s, max(room, 0)/len(s)) }
	// fields fills the header with fields of n octets: head, as many units as fit, tail.
	fields := func(n int, head, unit, tail string) string {
		field := head + fill(unit, n-len(head)-len(tail)-2) + tail + "\r\n"
		return fill(field, size)
	}
	const (
		from = "Received: from x "
		by   = " by mx.example.org (Postfix) with ESMTP id 4; Mon, 15 Jan 2024 10:00:00 +0000"
		full = maxField - 64
		part = 2100 // 500 fields of these make 1 MiB
	)
	return []struct{ name, header string }{
		{"folded over white space", "Subject: x\r\n" + fill(" \r\n", size)},
		{"folded over white space, LF and tab", "Subject: x\n" + fill("\t\n", size)},
		{"Received folded over white space", fields(full, from, "\r\n ", by)},
		{"fields folded over white space", fields(200, "X-Field: x", "\r\n ", "")},
		{"one field", "Subject: " + fill("x", size)},
		{"one name", fill("x", size) + ": x"},
		{"one name of blanks", "x" + fill(" ", size) + ": x"},
		{"no colon", fill("x", size)},
		{"blanks", fill(" ", size)},
		{"empty fields", fill("X:\r\n", size)},
		{"short fields", fill("X-Field: x\r\n", size)},
		{"long names", fill("X-Field-With-A-Name-Longer-Than-32-Octets: x\r\n", size)},
		{"names of proofs, no address", fill("Received-SPF: x\r\n", size)},
		{"names of proofs, blank before the colon", fill("Received : x\r\n", size)},
		{"long proofs", fields(full, "Received-SPF: pass ", "helo=client-ip=", "")},
		{"long authentication results", fields(full, "Authentication-Results: mx.google.com; ", "designates ", "")},
		{"proofs", fill("Received-SPF: pass (google.com: x) client-ip=192.0.2.1; helo=x\r\n", size)},
		{"recipients", fill("Delivered-To: user@example.org\r\n", size)},
		{"many Received", fill("Received: from mx.example.org (mx.example.org [10.0.0.2])"+by+"\r\n", size)},
		{"many bare Received", fill("Received: x\r\n", size)},
		{"open comments", fields(part, from, "(", by)},
		{"one open comment each", fields(part, from+"(", "a", by)},
		{"comments", fields(part, from, "(a)", by)},
		{"empty comments", fields(part, from, "()", by)},
		{"comments like keys", fields(part, from, "(=)", by)},
		{"writer's comments", fields(part, from+"by x ", "(i)", "")},
		{"nested comments", fields(part, from, "(()", fill(")", part/3)+by)},
		{"comments in long fields", fields(full, from, "(i)", by)},
		{"comments with addresses", fields(full, from, "(a [192.0.2.1])", by)},
		{"comments of numbers", fields(full, from+"(", "1.1.1.1.", ")"+by)},
		{"comments of colons", fields(full, from+"(", "a:", ")"+by)},
		{"brackets in a comment", fields(full, from+"(", "[", "[192.0.2.1])"+by)},
		{"words and brackets in a comment", fields(full, from+"(", "a[", "[192.0.2.1])"+by)},
		{"ends of comments", fields(full, from, ")", by)},
		{"backslashes", fields(full, from+"(", `\`, by)},
		{"semicolons", fields(full, from, ";", by)},
		{"semicolons in short fields", fields(part, from, ";", by)},
		{"dates", fields(full, from+by, "; Mon, 15 Jan 2024 10:00:00 +0000", "")},
		{"a long date", fields(full, from+by, "1:", "")},
		{"blanks in a date", fields(full, from+by, " ,", "")},
		{"angles", fields(full, from, "<", by)},
		{"blank angles", fields(part, from, "< ", by)},
		{"blank angles in long fields", fields(full, from, "< ", by)},
		{"blank angles around pairs", fields(part, from, "< <> ", by)},
		{"open brackets", fields(full, from, "[ ", by)},
		{"quotes", fields(full, from, `" `, by)},
		{"words", fields(full, from, "a ", by)},
		{"words in short fields", fields(part, from, "a ", by)},
		{"colons", fields(full, from, ":", by)},
		{"by", fields(full, from, "by ", by)},
		{"resubmissions", fields(full, from+"by "+fill("a", 20<<10)+" ", "MailboxResubmission by ", "")},
		{"resubmissions at a host", fields(full, from+"by a.outlook.com ", "MailboxResubmission by ", "")},
		{"resubmissions in short fields", fields(part, from+"by a.outlook.com ", "MailboxResubmission by ", "")},
		{"with", fields(full, from+"by x ", "with x ", "")},
		{"ids", fields(full, from+"by x ", "id ", "")},
		{"ids behind the date", fields(full, from+"by x ; ", "id x ", "")},
		{"claims", fields(full, from, "claiming to be ", by)},
		{"helo", fields(full, from+"(", "helo=", ")"+by)},
		{"ident", fields(full, from+"([192.0.2.1] helo=", " ident=", ")"+by)},
		{"a long writer", fields(full, from+"by ", "a", "")},
		{"a long writer of labels", fields(full, from+"by ", "a.", "mx.example.org")},
		{"a long writer of stars", fields(full, from+"by mx", "a", ".example.org")},
		{"long names of peers", fields(full, from+"(", "a.", " [10.0.0.1])"+by)},
		{"a long HELO", fields(full, "Received: from ", "a.", " (mx.example.org [10.0.0.1])"+by)},
		{"8-bit", fields(full, from, "\xff", by)},
		{"NUL", fields(full, from, "\x00", by)},
		{"CR", fields(full, from, "\r", by)},
		{"marks", fields(full, from+"by x ", "(PostfiX)", "")},
		{"sendmail's marks", fields(full, from+"by x ", "(8.1)", "")},
		{"a long mark", fields(full, from+"by x (8.1", "x", ")")},
	}
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
	const size = maxHeader / 4
	for _, h := range hostileHeaders(size) {
		t.Run(h.name, func(t *testing.T) {
			header := []byte(h.header)
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
	const long = 4 << 20
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
	for range 100_000 {
		text := make([]byte, random.IntN(40))
		for i := range text {
			text[i] = octets[random.IntN(len(octets))]
		}
		sc := scanner{s: string(text)}
		for i := bytes.IndexByte(text, '<'); i >= 0; {
			sc.i = i
			kind, want := sc.next(), closingAngleSlowly(sc.s[i:])
			if (kind == angle) != (want >= 0) || kind == angle && sc.i != i+want+1 {
				t.Fatalf("%q: the bracket at %d is token %v up to %d, want its end at %d", text, i, kind, sc.i, i+want)
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
	for _, h := range hostileHeaders(maxHeader) {
		header := []byte(h.header)
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				readEverything(header)
			}
		})
	}
}
