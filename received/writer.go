package received

import "strings"

// readWriter reads by, via, with, id, for, from and the comments among them.
func (p *parser) readWriter() {
	t := p.tokens(p.writer)
	if len(t) > 0 && t[0].kind != comment {
		// A keyword may be the host's name, if another clause or a comment follows.
		named := t[0].key == kwNone
		if !named && len(t) > 1 {
			named = t[1].kind == comment || t[1].key != kwNone
		}
		if named {
			p.hop.By = strings.TrimRight(p.text(t[0]), ",.")
			t = t[1:]
		}
	}
	for i := 0; i < len(t); i++ {
		switch {
		case t[i].kind == comment:
			p.writerComment(p.text(t[i]), i == 0)
		case t[i].kind == literal && i == 0:
			p.hop.ByAddr, _ = parseAddr(p.text(t[i]))
		case t[i].key == kwWith:
			if i+1 < len(t) && t[i+1].kind == comment {
				i++ // with (CIPHER encrypted) ESMTPS
			}
			i += p.phrase(t[i+1:], &p.hop.With)
		case t[i].key == kwVia:
			i += p.phrase(t[i+1:], &p.hop.Via)
		case t[i].key == kwID:
			i += p.value(t[i+1:], &p.hop.ID)
		case t[i].key == kwFor:
			i += p.recipients(t[i+1:])
		case t[i].key == kwFrom, p.is(t[i], "envelope-from"):
			i += p.value(t[i+1:], &p.hop.EnvelopeFrom)
		case i > 0 && t[i-1].kind == comment && p.is(t[i], "tls"): // Exim: (TLS1.3) tls CIPHER
			i += p.value(t[i+1:], &p.hop.TLSCipher)
		}
	}
	date := p.tokens(p.date)
	for i := range date { // Courier writes "; date id X"
		if date[i].key == kwID {
			p.value(date[i+1:], &p.hop.ID)
		}
		if c := p.text(date[i]); date[i].kind == comment && hasPrefixFold(c, "envelope-from ") { // PowerMTA
			p.hop.EnvelopeFrom = unangle(c[len("envelope-from "):])
		}
	}
	if !p.hop.ByAddr.IsValid() {
		p.hop.ByAddr, _ = parseAddr(p.hop.By)
	}
}

// value takes the token after a keyword as its value, unless there is one
// already. It returns the number of tokens taken.
func (p *parser) value(t []token, to *string) int {
	if len(t) == 0 || *to != "" || t[0].kind == comment {
		return 0
	}
	*to = p.text(t[0])
	return 1
}

// writerComment reads a comment behind "by": the writer's address, if it is
// the first one, the envelope sender, TLS and login.
func (p *parser) writerComment(c string, first bool) {
	c = strings.TrimSpace(c)
	switch {
	case p.note(c):
	case hasPrefixFold(c, "envelope-from "):
		p.hop.EnvelopeFrom = unangle(c[len("envelope-from "):])
	case hasPrefixFold(c, "envelope-sender "): // maddy
		p.hop.EnvelopeFrom = unangle(c[len("envelope-sender "):])
	case first && !p.hop.ByAddr.IsValid() && strings.ContainsRune(c, '.'), first && strings.ContainsRune(c, ':'):
		if s, ok := readSocket(c, &software{}); ok {
			p.hop.ByAddr = s.addr
		}
	}
}

// note reads a comment about TLS or a login. It returns false if the comment is
// about neither.
func (p *parser) note(c string) bool {
	if len(c) < 3 {
		return false
	}
	switch c[0] | 0x20 {
	case 'u', 'v', 't', 's':
		switch {
		case hasPrefixFold(c, "using TLS"), hasPrefixFold(c, "version=TLS"), hasPrefixFold(c, "TLS"),
			hasPrefixFold(c, "using SSL"), hasPrefixFold(c, "version=SSL"):
			p.hop.TLS = true
			p.session(c)
			return true
		case hasPrefixFold(c, "smtp-auth"), hasPrefixFold(c, "smtpauth"), hasPrefixFold(c, "smtp auth"),
			hasPrefixFold(c, "SquirrelMail authenticated"):
			p.submission = true
			return true
		}
	case 'a':
		switch {
		case hasPrefixFold(c, "authenticated"), hasPrefixFold(c, "auth: "), hasPrefixFold(c, "auth="), hasPrefixFold(c, "auth "):
			p.submission = true
			return true
		}
	case 'n':
		return hasPrefixFold(c, "no client certificate")
	case 'c':
		return hasPrefixFold(c, "client ") || hasPrefixFold(c, "client-")
	}
	return false
}
