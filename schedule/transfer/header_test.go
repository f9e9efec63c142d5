package transfer

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestFieldValues(t *testing.T) {
	const head = "Truehop-ID: one\r\nX: y\r\ntruehop-id :\r\n two\r\n\t2\r\nTruehop-IDs: no\r\n >From\r\nTruehop-ID:three\nTruehop-ID: four\r\n\r\n"
	for _, c := range []struct {
		most int
		want []string
	}{
		{0, nil},
		{1, []string{"one"}},
		{3, []string{"one", "two\t2", "three"}},
		{9, []string{"one", "two\t2", "three", "four"}},
	} {
		if got := values([]byte(head), fieldID, c.most); !slices.Equal(got, c.want) {
			t.Errorf("at most %d: %q, want %q", c.most, got, c.want)
		}
	}
}

func TestRename(t *testing.T) {
	for _, c := range []struct{ name, head, want string }{
		{"none", "Subject: x\r\n\r\n", "Subject: x\r\n\r\n"},
		{"ours", "Delivered-To: alice@example.net\r\nX: y\r\n\r\n", "New: alice@example.net\r\nX: y\r\n\r\n"},
		{"in another case, in brackets, folded", "X: y\r\nDELIVERED-TO:\r\n <Alice@Example.NET>\r\n\r\n", "X: y\r\nNew:\r\n <Alice@Example.NET>\r\n\r\n"},
		{"another's", "Delivered-To: bob@example.net\r\n\r\n", "Delivered-To: bob@example.net\r\n\r\n"},
		{"among others", "Delivered-To: bob@example.net\nDelivered-To: alice@example.net\nDelivered-To: carol@example.net\n\n",
			"Delivered-To: bob@example.net\nNew: alice@example.net\nDelivered-To: carol@example.net\n\n"},
		{"the last, without a line end", "X: y\r\nDelivered-To: alice@example.net", "X: y\r\nNew: alice@example.net"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := rename([]byte(c.head), fieldDeliveredTo, "New", []string{"alice@example.net"}); string(got) != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// hostileHeads are headers of about size octets that a sender can write to keep a reader busy.
func hostileHeads(size int) []struct{ name, head string } {
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	return []struct{ name, head string }{
		{"folded over white space", "Delivered-To: alice@example.net" + fill("\r\n ") + "\r\n\r\n"},
		{"folded over white space, LF and tab", "Truehop-ID: x" + fill("\n\t") + "\n\n"},
		{"one field", "Delivered-To: " + fill("x") + "\r\n\r\n"},
		{"one name", fill("x") + ": x\r\n\r\n"},
		{"blanks before the colon", "Delivered-To" + fill(" ") + ": alice@example.net\r\n\r\n"},
		{"brackets", "Delivered-To: " + fill("<") + "\r\n\r\n"},
		{"no line end", fill("x")},
		{"empty fields", fill("X:\n") + "\n"},
		{"line ends", "X: y" + fill("\r\n\t")},
		{"others' recipients", fill("Delivered-To:x\n") + "\n"},
		{"our recipient", fill("Delivered-To: alice@example.net\r\n") + "\r\n"},
		{"IDs", fill("Truehop-ID:x\n") + "\n"},
		{"names like ours", fill("Truehop-IDx:\n") + "\n"},
	}
}

// TestLongHeads scans headers so long that it would take hours, and not a blink, if each step looked at all of
// it again. The go command ends a test that hangs.
func TestLongHeads(t *testing.T) {
	for _, h := range hostileHeads(4 << 20) {
		t.Run(h.name, func(t *testing.T) {
			head := []byte(h.head)
			if n := headEnd(append(head, "body"...)); n != len(head) && n != len(head)+len("body") {
				t.Errorf("the header ends at %d of %d", n, len(head))
			}
			if n := len(values(head, fieldID, maxLoopIDs)); n > maxLoopIDs {
				t.Errorf("%d values", n)
			}
			renamed := rename(head, fieldDeliveredTo, renamedDeliveredTo, []string{"alice@example.net"})
			back := bytes.ReplaceAll(renamed, []byte(renamedDeliveredTo), []byte(fieldDeliveredTo))
			if !bytes.Equal(back, head) {
				t.Error("other octets changed than the field's name")
			}
		})
	}
}

// BenchmarkHostileHead does with headers of 1 MiB, which is all that is looked at, what is done with each message's.
func BenchmarkHostileHead(b *testing.B) {
	for _, h := range hostileHeads(headLimit) {
		head := []byte(h.head)
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				headEnd(head)
				values(head, fieldID, maxLoopIDs)
				rename(head, fieldDeliveredTo, renamedDeliveredTo, []string{"alice@example.net"})
			}
		})
	}
}

// TestNotesOfServers: what is left without them, for every line end and fold, and what else looks like one.
func TestNotesOfServers(t *testing.T) {
	for in, want := range map[string]string{
		"Subject: x\r\n\r\n": "Subject: x\r\n\r\n",
		"Status: RO\r\nSubject: x\r\nX-Keywords: a\r\n b\r\nlines : 3\n\r\n":        "Subject: x\r\n\r\n",
		"STATUS:\nX-Status-Of: x\nX-UIDL: 1\n":                                      "X-Status-Of: x\n",
		"no field Status: RO\r\nContent-Length: 7\r\n":                              "no field Status: RO\r\n",
		"Subject: x\r\n Status: folded\r\n\r\n":                                     "Subject: x\r\n Status: folded\r\n\r\n",
		"X-Mozilla-Status2: 00000000\r\nContent-Length-Of-What: 1\r\nX-IMAP: 2\r\n": "Content-Length-Of-What: 1\r\n",
	} {
		kept, notes := withoutNotes([]byte(in))
		if string(kept) != want || notes != (in != want) {
			t.Errorf("%q: left is %q, %t; want %q", in, kept, notes, want)
		}
	}
}

// TestFingerprint: messages differ by Message-ID, date or author, and by nothing that a server adds.
func TestFingerprint(t *testing.T) {
	const head = "Message-ID: <a@b>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: a@b\r\n\r\n"
	of := func(head string) string { f := fingerprint([]byte(head)); return string(f[:]) }
	if of("Received: x\r\nX-Spam: yes\r\n"+head) != of(head) {
		t.Error("what was added makes another message of it")
	}
	for _, other := range []string{strings.Replace(head, "<a@b>", "<c@b>", 1), strings.Replace(head, "23 Nov", "24 Nov", 1), strings.Replace(head, "From: a", "From: c", 1)} {
		if of(other) == of(head) {
			t.Errorf("%q is taken for the same", other)
		}
	}
	if of("Subject: x\r\n\r\n") != of("") || of("") != strings.Repeat("\x00", 16) {
		t.Error("a message that says nothing has a fingerprint")
	}
}
