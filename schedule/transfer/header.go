package transfer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/truehop/truehop/schedule/ledger"
)

// fieldNames that this package looks for or writes.
const (
	fieldID          = "Truehop-ID"
	fieldRedelivery  = "Truehop-Redelivery"
	fieldDeliveredTo = "Delivered-To"
	// renamedDeliveredTo is what a Delivered-To field becomes that names a
	// recipient of ours.
	renamedDeliveredTo = "X-Upstream-Delivered-To"
	// firstLine is the name that the first line of a header gets that begins with white space.
	firstLine = "X-Upstream-First-Line"
)

// maxNoteName is the length of the longest of the names below, with blanks behind it.
const maxNoteName = 32

// withoutNotes returns head without the notes of servers, and whether it has any. Servers, and programs that read their
// mailbox files, keep them in fields: what has been read, what number it has, how long it is. They come and go between two
// sessions (GNU Mailutils, UW IMAP, Courier's and others' mbox stores, Mozilla), and say nothing of the message.
func withoutNotes(head []byte) (kept []byte, notes bool) {
	names := []string{"Status", "X-Status", "X-UID", "X-UIDL", "X-Keywords", "Content-Length", "Lines", "X-IMAP", "X-IMAPbase",
		"X-Mozilla-Status", "X-Mozilla-Status2", "X-Mozilla-Keys"}
	eachField(head, func(field []byte) {
		name, _, ok := bytes.Cut(field, []byte(":"))
		if ok && len(name) <= maxNoteName && containsFold(names, string(bytes.TrimRight(name, " \t"))) {
			notes = true
			return
		}
		kept = append(kept, field...)
	})
	return kept, notes
}

// fingerprint sums up what tells a message from all others and what no server rewrites: its Message-ID, its date and its
// author. It is zero where the header has none of them.
func fingerprint(head []byte) (f ledger.Fingerprint) {
	sum := sha256.New()
	found := false
	for _, name := range []string{"Message-ID", "Date", "From"} {
		value := values(head, name, 1)
		found = found || len(value) > 0
		_, _ = fmt.Fprintf(sum, "%q\n", value) // a hash never fails
	}
	if found {
		copy(f[:], sum.Sum(nil))
	}
	return f
}

// values returns the bodies of the first fields called name, so many at most, top down,
// unfolded and trimmed. Lines that are no fields are passed over.
func values(head []byte, name string, most int) []string {
	var found []string
	eachField(head, func(field []byte) {
		if len(found) == most {
			return
		}
		if value, ok := fieldValue(field, name); ok {
			found = append(found, value)
		}
	})
	return found
}

// rename returns head with every field called name, whose value is one of these
// (compared without regard to case), called to instead. No other octet changes.
// It returns head itself where nothing had to.
func rename(head []byte, name, to string, these []string) []byte {
	var out []byte
	done := 0
	at := 0
	eachField(head, func(field []byte) {
		start := at
		at += len(field)
		value, ok := fieldValue(field, name)
		if !ok || !containsFold(these, strings.Trim(value, "<>")) {
			return
		}
		out = append(out, head[done:start]...)
		out = append(out, to...)
		done = start + len(name)
	})
	if done == 0 {
		return head
	}
	return append(out, head[done:]...)
}

// opening returns what has to stand between fields of ours and head, mostly nothing. A first line that begins with
// white space belongs to no field, and would become part of ours (RFC 5322 section 2.2.3). Where fields follow it,
// it gets a name, and they stay the header. Where none does, it is text: an empty line ends our header.
func opening(head []byte) string {
	if !folds(head) {
		return ""
	}
	end := 0
	for folds(head[end:]) {
		line, _, _ := bytes.Cut(head[end:], []byte("\n"))
		end = min(end+len(line)+1, len(head))
	}
	// A field begins with printable ASCII up to a colon (RFC 5322 section 2.2), before which there may be white
	// space (section 4.5).
	name, _, isField := bytes.Cut(head[end:], []byte(":"))
	name = bytes.TrimRight(name, " \t")
	odd := bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
	if isField && len(name) > 0 && !odd {
		return firstLine + ":"
	}
	return "\r\n"
}

// folds reports whether line begins with white space as the MTA gets it: a CR that ends no line
// goes out as a space.
func folds(line []byte) bool {
	switch {
	case len(line) == 0:
		return false
	case line[0] == '\r':
		return !bytes.HasPrefix(bytes.TrimLeft(line, "\r"), []byte("\n"))
	}
	return line[0] == ' ' || line[0] == '\t'
}

// eachField calls f for every field with its folded lines and line ends, and for
// every line that is no field; their concatenation is head.
func eachField(head []byte, f func(field []byte)) {
	start := 0
	for at := 0; at < len(head); {
		eol := bytes.IndexByte(head[at:], '\n')
		if eol < 0 {
			eol = len(head) - at - 1
		}
		at += eol + 1
		if at < len(head) && strings.IndexByte(" \t", head[at]) >= 0 {
			continue // RFC 5322 section 2.2.3: a folded line belongs to its field
		}
		f(head[start:at])
		start = at
	}
}

// fieldValue returns the unfolded body of field if it is called name.
func fieldValue(field []byte, name string) (string, bool) {
	if len(field) <= len(name) || !strings.EqualFold(string(field[:len(name)]), name) {
		return "", false
	}
	rest := bytes.TrimLeft(field[len(name):], " \t") // RFC 5322 section 4.5 allows space before the colon
	if len(rest) == 0 || rest[0] != ':' {
		return "", false
	}
	body := bytes.TrimSpace(rest[1:])
	return string(slices.DeleteFunc(bytes.Clone(body), func(c byte) bool { return c == '\r' || c == '\n' })), true
}

func containsFold(list []string, s string) bool {
	for _, one := range list {
		if strings.EqualFold(one, s) {
			return true
		}
	}
	return false
}
