package imap

import "bytes"

// prompts says how the library gets the continuations of an exchange of AUTHENTICATE. It takes them for base64, and an empty one for
// the request to send an initial response, while servers write prose there and leave out prompts that have no content.
type prompts uint8

const (
	asTheyAre  prompts = iota
	firstEmpty         // the first asks for the response that the client has ready; then as they are
	noContent          // none of them matters to the client
)

// await notes the command that is sent, unless p stands inside a literal, if it wants a continuation.
func (g *guard) await(p []byte, inside bool) {
	tag, command := cutWord(bytes.ToUpper(p))
	exchange := bytes.HasPrefix(command, []byte("AUTHENTICATE ")) || bytes.HasPrefix(command, []byte("IDLE"))
	if wants := g.inside || exchange; wants && !inside {
		g.amend(func(n *notes) { n.awaited = string(tag) })
	}
}

// continued is what the library gets of a continuation. Exchange sends some that nobody has asked for, over which the library would end the
// session: it gets none of those.
func (g *guard) continued() []byte {
	if g.secured && g.noted().awaited == "" {
		return nil
	}
	switch g.prompts {
	case firstEmpty:
		g.prompts = asTheyAre
		return []byte("+ \r\n")
	case noContent:
		return []byte("+ =\r\n") // RFC 9051 section 6.2.2: no octets, and not none
	}
	return g.lex.pass
}
