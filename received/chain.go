package received

import (
	"bytes"
	"strings"
)

// Limits of one header.
const (
	maxHeader = 1 << 20
	maxHops   = 500
	maxProofs = 64
	maxEnv    = 64
)

// MboxLook is how many octets [IsMboxLine] looks at.
const MboxLook = 512

// A Chain is what the header of one message says about its way.
type Chain struct {
	// Hops are the Received fields from the top down: the newest first. Where
	// the header is broken, longer than 1 MiB, or holds more than 500
	// Received fields, a last Hop with Err set stands for what was not read.
	Hops []Hop

	// Proofs are the fields in which some receiver named the client. Whether
	// to believe one depends on where it stands and who wrote it.
	Proofs []Proof

	// Envelope holds the fields that final delivery writes.
	Envelope Envelope
}

// An Envelope is what delivery agents recorded of the SMTP envelope.
type Envelope struct {
	ReturnPath []EnvelopeField // RFC 5321, 4.4: the sender
	Recipients []EnvelopeField // Delivered-To, X-Original-To, Envelope-To, X-Envelope-To
}

// An EnvelopeField is one of them, from the top down.
type EnvelopeField struct {
	Name    string // as written
	Address string // without angle brackets; empty for <>
	Bad     bool   // it holds no address, nor <>
	At      int    // number of Received fields above it
}

// ReadChain reads the header of a message: all that stands before the first
// empty line. Lines end with CRLF or LF. Leading mbox lines ([IsMboxLine]) are
// skipped. header may go on into the body; it is not read that far.
func ReadChain(header []byte) *Chain {
	c := &Chain{}
	cut := len(header) > maxHeader
	if cut {
		header = header[:maxHeader]
	}
	for IsMboxLine(header) {
		_, header, _ = bytes.Cut(header, []byte("\n"))
	}
	if n := bytes.Count(header, []byte("\nReceived:")); n > 0 {
		c.Hops = make([]Hop, 0, min(n+1, maxHops+1))
	}
	for len(header) > 0 {
		field, rest := cutField(header)
		if len(trimEnd(field)) == 0 && !startsFolded(field) {
			return c // the empty line
		}
		if cut && len(rest) == 0 {
			break
		}
		header = rest
		if !c.add(field) {
			return c
		}
	}
	if cut {
		c.mark(errHeaderEnd)
	}
	return c
}

// IsMboxLine reports whether b begins with the line that an mbox file has before each message, "From ",
// or with such a line quoted, ">From ". It is no field, and a header that holds one ends there for many
// a reader. "From :" is a field: RFC 5322, 4.5.2 allows white space before the colon. It looks at the first
// [MboxLook] octets.
func IsMboxLine(b []byte) bool {
	b = b[:min(len(b), MboxLook)]
	rest, is := bytes.CutPrefix(bytes.TrimLeft(b, ">"), []byte("From "))
	return is && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(":"))
}

// cutField returns the first field of b with its continuation lines and line
// end, and what follows it. A first line of white space only is a field of its own.
func cutField(b []byte) (field, rest []byte) {
	end := lineEnd(b, 0)
	if len(trimEnd(b[:end])) == 0 {
		return b[:end], b[end:]
	}
	for startsFolded(b[end:]) {
		end = lineEnd(b, end)
	}
	return b[:end], b[end:]
}

// lineEnd returns the index behind the line of b that begins at i.
func lineEnd(b []byte, i int) int {
	n := bytes.IndexByte(b[i:], '\n')
	if n < 0 {
		return len(b)
	}
	return i + n + 1
}

func startsFolded(b []byte) bool { return len(b) > 0 && (b[0] == ' ' || b[0] == '\t') }

// mark appends a hop that stands for what cannot be read or trusted.
func (c *Chain) mark(e *ParseError) {
	c.Hops = append(c.Hops, Hop{Kind: Noise, Err: e})
}

// add takes one field; it returns false where reading has to end.
func (c *Chain) add(field []byte) bool {
	colon := bytes.IndexByte(field, ':')
	if colon <= 0 || startsFolded(field) {
		c.mark(errJunk)
		return false
	}
	name, value := field[:colon], field[colon+1:]
	if trimmed := trimEnd(name); len(trimmed) != len(name) {
		if foldEqual(string(trimmed), "received") {
			return c.addHop(Hop{Kind: Noise, Err: errSpace}) // RFC 5322, 4.5.8: obsolete, and no MTA writes it
		}
		return true
	}
	switch len(name) {
	case len("received"):
		if foldEqual(string(name), "received") {
			return c.addHop(Parse(value))
		}
	case len("return-path"):
		if foldEqual(string(name), "return-path") && len(c.Envelope.ReturnPath) < maxEnv {
			c.Envelope.ReturnPath = append(c.Envelope.ReturnPath, c.envelopeField(name, value))
			return true
		}
	}
	if isRecipientField(name) && len(c.Envelope.Recipients) < maxEnv {
		c.Envelope.Recipients = append(c.Envelope.Recipients, c.envelopeField(name, value))
		return true
	}
	if len(c.Proofs) < maxProofs {
		if p, ok := parseProof(name, value); ok {
			p.At = len(c.Hops)
			c.Proofs = append(c.Proofs, p)
		}
	}
	return true
}

// addHop appends a hop; it returns false where there are too many.
func (c *Chain) addHop(h Hop) bool {
	if len(c.Hops) == maxHops {
		c.mark(errTooMany)
		return false
	}
	c.Hops = append(c.Hops, h)
	return true
}

func (c *Chain) envelopeField(name, value []byte) EnvelopeField {
	v := ""
	if len(value) <= maxField {
		v = unangle(string(value))
	}
	null := v == "" && len(value) <= maxField && bytes.Contains(value, []byte("<>"))
	if strings.ContainsAny(v, " \t\r\n\x00") {
		v = ""
	}
	return EnvelopeField{Name: string(name), Address: v, Bad: v == "" && !null, At: len(c.Hops)}
}

func isRecipientField(name []byte) bool {
	switch len(name) {
	case len("delivered-to"):
		return foldEqual(string(name), "delivered-to")
	case len("envelope-to"):
		return foldEqual(string(name), "envelope-to")
	case len("x-original-to"):
		return foldEqual(string(name), "x-original-to") || foldEqual(string(name), "x-envelope-to") || foldEqual(string(name), "x-delivered-to")
	case len("x-delivered-to"):
		return foldEqual(string(name), "x-delivered-to")
	}
	return false
}
