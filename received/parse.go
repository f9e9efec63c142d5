package received

import (
	"strings"
	"time"
)

// Parse reads the body of one Received field, folded or not, without the field's
// name. It never fails as a whole: [Hop.Err] says whether the address can be
// trusted. Whatever value holds, Parse does not panic, does not call itself, and
// allocates no more than a small multiple of its length. A field longer than
// 64 KiB, or of more than 2,048 parts, gives an error.
func Parse(value []byte) Hop {
	var p parser
	p.parse(value)
	return p.hop
}

// parse reads a field into hop. It takes a parser that has read none.
func (p *parser) parse(value []byte) {
	if len(value) > maxField {
		p.hop = Hop{Kind: Noise, Err: ErrTooLong}
		return
	}
	var bad *ParseError
	p.hop.Raw, p.s, bad = unfold(value, withoutWords(withoutSender(value)))
	if bad != nil {
		p.fail(bad)
	}
	p.scan()
	p.split()
	p.readWriter()
	p.by = p.findSoftware()
	p.hop.Form = p.by.form
	p.classify()
	p.readPeer()
	p.finish()
}

// A parser reads one field: scan into tokens, split into the peer's part, the
// writer's part and the date, and read each.
type parser struct {
	scanner
	hop Hop
	by  *software // the row of the writer's

	lead   span // comments before "from" or "by"
	peer   span // after "from", up to "by"
	writer span // after "by", up to the date
	date   span // after the last semicolon
	isFrom bool // the field begins with "from"
	isBy   bool // there is a writer's part

	name       token  // what the peer's part begins with, unless that is a comment
	found      socket // what the peer's part says about the connection
	helo       string // from a comment (HELO ...) or helo=
	hasHELO    bool
	port       uint16 // from a comment without an address: (port=1 helo=HELO)
	local      bool   // the peer came over a socket of the writer's own host
	twice      bool   // the address stands there twice, with words of the client's between
	remarked   bool   // a remark with words of the client's was read: a login, a certificate
	unknown    bool   // a comment of no known form holds an address
	heloAddr   bool   // one that seems to give the HELO looks like a name that was looked up, HELO, and an address
	stray      bool   // an address stands where the form has HELO text only
	submission bool   // a comment behind "by" says that the client logged in
	login      bool   // so does one of the peer's part, behind the address
	words      bool   // the comment that was read last in the peer's part, or one before it, holds the client's words
}

// split finds the clauses that every form has: from, by, and the date behind the
// last semicolon. The word right after "from" is the name even if it is "by",
// because it may be the client's HELO.
func (p *parser) split() {
	if p.n == 0 {
		p.fail(ErrEmpty)
		return
	}
	t := p.tokens(span{0, p.n})
	end := p.n
	for i := p.n - 1; i > 0; i-- {
		if t[i].kind == semi {
			end, p.date = i, span{i + 1, p.n}
			p.hop.Time, p.hop.Zone = parseTime(p.s[t[i].end:])
			damaged := p.err == ErrUnclosed || p.err == ErrStrayParenthesis
			if damaged && p.at >= int(t[i].end) && strings.IndexByte(p.s[p.at:], ';') < 0 && !hidesAddr(p.s[p.at:]) {
				// Only a remark behind the date is damaged. A HELO that holds a whole
				// field pushes the writer's part there, with its address and its date.
				p.err = nil
			}
			break
		}
	}
	i := 0
	for i < end && t[i].kind == comment {
		i++
	}
	p.lead = span{0, i}
	if i < end && t[i].key == kwFrom {
		p.isFrom = true
		i++
	}
	by := p.findBy(span{i, end})
	if by < 0 && p.isFrom && i+1 < end && t[i].key == kwBy {
		by = i // "from by HOST": an empty name
	}
	switch {
	case by >= 0:
		p.isBy = true
		p.peer, p.writer = span{i, by}, span{by + 1, end}
	case p.isFrom:
		p.peer = span{i, end}
	}
	// The sender may stand behind the date, or before it, and hold one of his own.
	for i, c := range p.tokens(p.writer) {
		if c.kind != semi {
			continue
		}
		behind, _, _ := strings.Cut(p.s[c.end:], ";")
		if other, _ := parseTime(behind); !other.IsZero() {
			if !other.Equal(p.hop.Time) {
				p.hop.Time, p.hop.Zone = time.Time{}, ""
			}
			p.writer.to = p.writer.from + i // no writer has a clause behind its date
			break
		}
	}
}

// findBy returns the index of the "by" that begins the writer's part, or -1. A
// second one is an error, because then the first may be the client's.
func (p *parser) findBy(body span) int {
	t := p.tokens(span{0, p.n})
	by, first := -1, body.from
	if p.isFrom {
		first++
	}
	for i := first; i < body.to; i++ {
		switch {
		case t[i].key != kwBy:
		case by < 0:
			by = i
		case p.is(t[i-1], "MailboxResubmission") && isMicrosoft(p.text(t[by+1])):
			// Exchange Online: "with MailboxResubmission by AntispamTT"
		case i+2 < body.to && t[i+2].kind == angle && strings.IndexByte(p.raw(t[i+1]), '.') < 0:
			// Exim, where its administrator wrote "by authid <user@host>": no host
		default:
			p.fail(ErrTwoWriters)
			return by
		}
	}
	for _, d := range p.tokens(p.date) {
		if d.key == kwBy && by >= 0 {
			p.fail(ErrTwoWriters)
		}
	}
	return by
}

// foldEqual is strings.EqualFold for ASCII, which is all that keywords are.
func foldEqual(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && foldEqual(s[:len(prefix)], prefix)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && foldEqual(s[len(s)-len(suffix):], suffix)
}

// indexFold is strings.Index without regard to case, for an ASCII needle.
func indexFold(s, needle string) int {
	first := lower(needle[0])
	for i := 0; i+len(needle) <= len(s); i++ {
		if lower(s[i]) == first && foldEqual(s[i:i+len(needle)], needle) {
			return i
		}
	}
	return -1
}

// unangle strips white space and one pair of angle brackets.
func unangle(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && s[0] == '<' && s[len(s)-1] == '>' {
		s = s[1 : len(s)-1]
	}
	return s
}
