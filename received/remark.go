package received

import (
	"bytes"
	"slices"
	"strings"
)

// Postfix writes "from HELO (NAME [ADDRESS])" on a line of its own, and then a line
// for each remark about the session, before the line that begins with "by". A remark
// may hold a client's words: the names in a certificate of his own making, or a
// login. They cannot hold a line end, so a line shows what its words may hide.
var (
	remarkCertificate = []byte("\n\t(Client CN \"")
	remarkLogin       = []byte("\n\t(Authenticated sender: ")
)

// withoutWords returns a field of Postfix's with the client's words cut out of the
// remarks, and any other field as it is.
func withoutWords(value []byte) []byte {
	if !holdsWords(value) {
		return value
	}
	peer, rest, _ := bytes.Cut(value, []byte("\n"))
	by := bytes.Index(rest, []byte("\n\tby "))
	if !bytes.HasSuffix(trimEnd(peer), []byte("])")) || by < 0 {
		return value
	}
	writer, _, _ := bytes.Cut(rest[by+1:], []byte("\n"))
	if !bytes.Contains(writer, []byte(" (Postfix")) {
		return value
	}
	out := slices.Grow([]byte(nil), len(value))
	from, to := len(peer)+1, len(peer)+1+by+1
	out = append(out, value[:from]...)
	for line := range bytes.Lines(value[from:to]) {
		for _, r := range [...][]byte{remarkCertificate, remarkLogin} {
			start := r[1:]
			if bytes.HasPrefix(line, start) && bytes.HasSuffix(trimEnd(line), []byte(")")) {
				line = append(slices.Clone(bytes.TrimRight(start, `"`)), ")\n"...)
			}
		}
		out = append(out, line...)
	}
	return append(out, value[to:]...)
}

// holdsWords reports whether a line of value begins with such a remark.
func holdsWords(value []byte) bool {
	for {
		end := bytes.IndexByte(value, '\n')
		if end < 0 {
			return false
		}
		value = value[end:]
		if bytes.HasPrefix(value, remarkCertificate) || bytes.HasPrefix(value, remarkLogin) {
			return true
		}
		value = value[1:]
	}
}

// sessionRemarks are the words that the remarks of Postfix's begin with.
var sessionRemarks = [...]string{"using TLS", "Client CN ", "No client certificate", "Authenticated sender"}

// isSessionRemark reports whether a comment is such a remark and holds no other. One
// that does was begun by the client, and the writer's own comments ended up in it.
func isSessionRemark(c string) bool {
	begins := func(s string) bool {
		return slices.ContainsFunc(sessionRemarks[:], func(r string) bool { return hasPrefixFold(s, r) })
	}
	if !begins(c) {
		return false
	}
	for inside := true; inside; {
		if _, c, inside = strings.Cut(c, "("); begins(c) {
			return false
		}
	}
	return true
}
