package imap

import (
	"github.com/truehop/truehop/fetch/sasl"
)

// prompts says how the library gets the continuations of an exchange of AUTHENTICATE. It takes them for base64, and an empty one for
// the request to send an initial response, while servers write prose there and leave out prompts that have no content.
type prompts uint8

const (
	asTheyAre  prompts = iota
	firstEmpty         // the first asks for the response that the client has ready; then as they are
	noContent          // none of them matters to the client
)

// promptsOf is for the exchange of a mechanism. atOnce says that its initial response goes out with the command (SASL-IR, RFC 4959).
func promptsOf(mechanism string, atOnce bool) prompts {
	switch {
	case mechanism == sasl.Login:
		return noContent
	case mechanism == sasl.CRAMMD5, atOnce:
		return asTheyAre
	}
	return firstEmpty
}

// say returns a continuation in the form for the library.
func (p *prompts) say(line []byte) []byte {
	switch *p {
	case firstEmpty:
		*p = asTheyAre
		return []byte("+ \r\n")
	case noContent:
		return []byte("+ =\r\n") // RFC 9051 section 6.2.2: no octets, and not none
	}
	return line
}
