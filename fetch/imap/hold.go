package imap

import "bytes"

// hold keeps commands back, so that several leave in one write. Only the goroutine that writes uses it.
type hold struct {
	on   bool
	line []byte // what is kept
}

// add keeps a line back and returns nothing; or what is to be written now. A server that is to prompt for a literal must have
// what is before it (RFC 9051 section 4.3).
func (h *hold) add(line []byte) (now []byte) {
	if !h.on {
		return line
	}
	h.line = append(h.line, line...)
	if bytes.HasSuffix(line, []byte("}\r\n")) {
		return h.end()
	}
	return nil
}

// end returns what was kept back. From now on nothing is.
func (h *hold) end() (now []byte) {
	now = h.line
	h.on, h.line = false, nil
	return now
}

// inOneWrite has the commands leave together that send sends. A server finds all of them at once then, and answers them in one: Dovecot, which
// answers SELECT before it has seen what follows, kept the second reply for a round trip, until the first was acknowledged (RFC 896).
func (g *guard) inOneWrite(send func()) {
	g.hold.on = true
	send()
	if now := g.hold.end(); len(now) > 0 {
		_ = g.write(now) // if that fails, the reader ends, and with it the commands: it was there when each of them was kept back
	}
}
