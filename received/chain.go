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

// MboxLook is the number of octets that [IsMboxLine] looks at.
const MboxLook = 512

// A Chain is what the header of one message says about its route.
type Chain struct {
	// Hops are the Received fields from the top down: the newest first. If the
	// header is broken, longer than 1 MiB, or has more than 500 Received
	// fields, a last Hop with Err set stands for what was not read.
	Hops []Hop

	// Proofs are the fields in which a receiver named the client, 64 at most.
	// Whether one can be believed depends on its position and its writer.
	Proofs []Proof

	// Envelope holds the fields that final delivery writes, 64 of each kind at
	// most.
	Envelope Envelope
}

// An Envelope is what delivery agents recorded of the SMTP envelope.
type Envelope struct {
	ReturnPath []EnvelopeField // RFC 5321, 4.4: the sender
	Recipients []EnvelopeField // Delivered-To, X-Original-To, Envelope-To, X-Envelope-To
}

// An EnvelopeField is one field that a delivery agent wrote.
type EnvelopeField struct {
	Name    string // as written
	Address string // without angle brackets; empty for the null address <>
	Bad     bool   // the value is neither an address nor <>
	At      int    // number of Received fields above it
}

// ReadChain reads the header of a message: the lines before the first empty
// one. Lines end with CRLF or LF. Leading mbox lines ([IsMboxLine]) are
// skipped. header may include the body, which is not read. There is no error:
// what cannot be read is a Hop with Err set.
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
	var p parser
	for len(header) > 0 {
		field, rest := cutField(header)
		if len(trimEnd(field)) == 0 && !startsFolded(field) {
			return c // the empty line
		}
		if cut && len(rest) == 0 {
			break
		}
		header = rest
		if !c.add(&p, field) {
			return c
		}
	}
	if cut {
		c.mark(ErrHeaderTooLong)
	}
	return c
}

// IsMboxLine reports whether b begins with the line that an mbox file has before
// each message, "From ", or with such a line quoted, ">From ". The line is not a
// field, and many readers take it for the end of the header. "From :" is a
// field: RFC 5322, 4.5 allows white space before the colon. Only the first
// [MboxLook] octets are read.
func IsMboxLine(b []byte) bool {
	b = b[:min(len(b), MboxLook)]
	rest, is := bytes.CutPrefix(bytes.TrimLeft(b, ">"), []byte("From "))
	return is && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(":"))
}

// cutField splits b behind its first field, which includes its continuation
// lines and the line end. If the first line holds white space only, it is cut
// off alone.
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

// lineEnd returns the index after the line of b that begins at i.
func lineEnd(b []byte, i int) int {
	n := bytes.IndexByte(b[i:], '\n')
	if n < 0 {
		return len(b)
	}
	return i + n + 1
}

func startsFolded(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	return b[0] == ' ' || b[0] == '\t'
}

// mark appends a hop that stands for something that cannot be read or trusted.
func (c *Chain) mark(e *ParseError) {
	c.Hops = append(c.Hops, Hop{Kind: Noise, Position: len(c.Hops) + 1, Err: e})
}

// add reads one field. It returns false if the rest of the header must not be
// read.
func (c *Chain) add(p *parser, field []byte) bool {
	colon := bytes.IndexByte(field, ':')
	if colon <= 0 || startsFolded(field) {
		c.mark(ErrNoField)
		return false
	}
	name, value := field[:colon], field[colon+1:]
	if trimmed := trimEnd(name); len(trimmed) != len(name) {
		if foldEqual(string(trimmed), "received") {
			return c.addHop(&Hop{Kind: Noise, Err: ErrSpaceBeforeColon}) // RFC 5322, 4.5.8: obsolete, no MTA writes it
		}
		return true
	}
	switch knownField(fields[:], name) {
	case "received":
		*p = parser{scanner: scanner{long: p.long[:0], open: p.open[:0]}} // the memory for tokens is kept
		p.parse(value)
		return c.addHop(&p.hop)
	case "return-path":
		if len(c.Envelope.ReturnPath) < maxEnv {
			c.Envelope.ReturnPath = append(c.Envelope.ReturnPath, c.envelopeField(name, value))
		}
	case "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to":
		if len(c.Envelope.Recipients) < maxEnv {
			c.Envelope.Recipients = append(c.Envelope.Recipients, c.envelopeField(name, value))
		}
	case "":
		if len(c.Proofs) == maxProofs {
			break
		}
		if p, ok := parseProof(name, value); ok {
			p.At = len(c.Hops)
			c.Proofs = append(c.Proofs, p)
		}
	}
	return true
}

// fields are the fields that [Chain.add] reads itself, in lower case.
var fields = [...]string{
	"received", "return-path", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to",
}

// knownField returns the name in names, which are in lower case, that equals name
// in any case, or "".
func knownField(names []string, name []byte) string {
	for _, n := range names {
		if len(n) == len(name) && foldEqual(string(name), n) {
			return n
		}
	}
	return ""
}

// addHop appends a hop. It returns false if there were too many before.
func (c *Chain) addHop(h *Hop) bool {
	if len(c.Hops) == maxHops {
		c.mark(ErrTooManyFields)
		return false
	}
	h.Position = len(c.Hops) + 1
	c.Hops = append(c.Hops, *h)
	return true
}

func (c *Chain) envelopeField(name, value []byte) EnvelopeField {
	v, null := "", false
	if len(value) <= maxField {
		v = unangle(string(value))
		null = v == "" && bytes.Contains(value, []byte("<>"))
	}
	// White space belongs to a quoted local-part only (RFC 5321 section 4.1.2).
	if strings.ContainsAny(v, "\r\n\x00") || strings.ContainsAny(v[quotedPrefix(v):], " \t") {
		v = ""
	}
	return EnvelopeField{Name: string(name), Address: v, Bad: v == "" && !null, At: len(c.Hops)}
}

// quotedPrefix returns the length of the quoted-string that s begins with, 0 if there is none.
func quotedPrefix(s string) int {
	if s == "" || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}
