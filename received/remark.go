package received

import (
	"bytes"
	"slices"
	"strings"
)

// Postfix writes "from HELO (NAME [ADDRESS])" on a line of its own, and then a line
// for each remark about the session, before the line that begins with "by". A remark
// may hold a client's words: the names in a certificate of his own making, or a
// login. The HELO may be a whole phrase. None of them can hold a line end, so a line
// shows what its words may hide.
var (
	remarkCertificate = []byte("\n\t(Client CN \"")
	remarkLogin       = []byte("\n\t(Authenticated sender: ")
)

// withoutWords returns a field of Postfix's with the client's words cut out of the
// remarks, and with question marks in a HELO for what makes it more than one word. It
// returns any other field as it is.
func withoutWords(value []byte) []byte {
	peer, _, _ := bytes.Cut(value, []byte("\n"))
	if !bytes.HasSuffix(trimEnd(peer), []byte("])")) {
		return value
	}
	helo, after := heloPhrase(peer)
	if helo == after && !holdsWords(value) {
		return value
	}
	by := bytes.Index(value, []byte("\n\tby "))
	if by < 0 {
		return value
	}
	writer, _, _ := bytes.Cut(value[by+1:], []byte("\n"))
	if !bytes.Contains(writer, []byte(" (Postfix")) {
		return value
	}
	out := slices.Grow([]byte(nil), len(value))
	out = append(out, peer...)
	for i := helo; i < after; i++ {
		if strings.IndexByte(partingOctets+"[]", out[i]) >= 0 {
			out[i] = '?'
		}
	}
	for line := range bytes.Lines(value[len(peer) : by+1]) {
		for _, r := range [...][]byte{remarkCertificate, remarkLogin} {
			start := r[1:]
			if bytes.HasPrefix(line, start) && bytes.HasSuffix(trimEnd(line), []byte(")")) {
				line = append(slices.Clone(bytes.TrimRight(start, `"`)), ")\n"...)
			}
		}
		out = append(out, line...)
	}
	return append(out, value[by+1:]...)
}

// remarkSender begins the line in which Exim, Dovecot and FreeBSD's sendmail write the sender.
var remarkSender = []byte("\n\t(envelope-from ")

// withoutSender returns a field without the line that gives the sender, if parentheses in
// him would end that comment early. Any other field is returned as it is, and so is one whose
// line holds an address: it may be the writer's, in a field that was folded anew.
func withoutSender(value []byte) []byte {
	from := bytes.Index(value, remarkSender)
	if from < 0 || bytes.Count(value, remarkSender) > 1 {
		return value
	}
	line, _, _ := bytes.Cut(value[from+1:], []byte("\n"))
	sender, closed := bytes.CutSuffix(trimEnd(line), []byte(")"))
	if !closed || !bytes.ContainsAny(sender[len(remarkSender)-1:], "()") || hidesAddr(string(sender)) {
		return value
	}
	return slices.Concat(value[:from], value[from+1+len(line):])
}

// partingOctets part words, or begin what is no word. A bracket does so only among them.
const partingOctets = " \t();<>\"\\"

// heloPhrase returns where a HELO of more than one word begins and ends in the line "from
// HELO (NAME [ADDRESS])". Both are 0 for any other HELO.
func heloPhrase(peer []byte) (from, to int) {
	const word = "from "
	from = len(peer) - len(bytes.TrimLeft(peer, " \t"))
	to = bytes.LastIndex(peer, []byte(" ("))
	if !hasPrefixFold(string(peer[from:min(len(peer), from+len(word))]), word) || to <= from+len(word) {
		return 0, 0
	}
	from += len(word)
	if !bytes.ContainsAny(peer[from:to], partingOctets) {
		return 0, 0
	}
	return from, to
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
