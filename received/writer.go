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
	p.clauses(t)
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

// clauses reads what stands behind the writer's name. The sender, the recipient and the subject of
// a certificate are words of the client's, which may hold parentheses: what looks like the writer's
// behind them may be his.
func (p *parser) clauses(t []token) {
	words := false    // the client's words have begun
	protocol := false // the protocol stands behind them
	for i := 0; i < len(t); i++ {
		switch {
		case t[i].kind == comment:
			c := strings.TrimSpace(p.text(t[i]))
			sender, ok := senderOf(c)
			if !ok {
				words = words || hasClientsWords(c)
				p.writerComment(c, i == 0, words)
				continue
			}
			words = true
			p.hop.EnvelopeFrom = unangle(sender)
			if !isWhole(sender) {
				return
			}
		case t[i].kind == literal && i == 0:
			p.hop.ByAddr, _ = parseAddr(p.text(t[i]))
		case t[i].key == kwWith:
			if protocol {
				p.fail(ErrShape)
			}
			protocol = words && p.hop.With == ""
			if i+1 < len(t) && t[i+1].kind == comment {
				i++ // with (CIPHER encrypted) ESMTPS
				p.encrypted(p.text(t[i]))
			}
			i += p.phrase(t[i+1:], &p.hop.With)
		case t[i].key == kwVia:
			i += p.phrase(t[i+1:], &p.hop.Via)
		case t[i].key == kwID && i+2 < len(t) && t[i+1].key == kwFor && t[i+2].kind == angle: // Tencent gives none
		case t[i].key == kwID:
			i += p.value(t[i+1:], &p.hop.ID)
		case t[i].key == kwFor:
			words = true
			taken := p.recipients(t[i+1:])
			for n, to := range t[i+1 : i+1+taken] {
				goesOn := i+n+2 < len(t) && t[i+n+2].kind != semi && p.glued(t[i+n+2])
				ends := to.kind == angle && !goesOn && isWhole(p.raw(to)) && p.text(to) != ""
				if p.s[to.pos] == '<' && !ends {
					return // he has ended in the middle: what follows may be his words
				}
			}
			i += taken
		case t[i].key == kwFrom, p.is(t[i], "envelope-from"):
			words = true
			i += p.value(t[i+1:], &p.hop.EnvelopeFrom)
			if !isWhole(p.raw(t[i])) {
				return
			}
		case i > 0 && t[i-1].kind == comment && p.is(t[i], "tls"): // Exim: (TLS1.3) tls CIPHER
			i += p.value(t[i+1:], &p.hop.TLSCipher)
		}
	}
}

// hasClientsWords reports whether a comment holds words of the client's, who may end it and begin others: the sender, or the subject of his
// certificate, as in Postfix's and Strato's "Client CN "name", Issuer "name"", Momentum's subject="/CN=name", chasquid's "over SMTP, TLS-1.3,
// envelope from "sender"".
func hasClientsWords(c string) bool {
	_, isSender := senderOf(c)
	return isSender || hasPrefixFold(c, "Client CN ") || indexFold(c, "subject=") >= 0 || indexFold(c, "envelope from") >= 0
}

// encrypted reads the comment before a protocol: Axigen's "CIPHER encrypted", T-Online's
// "VERSION:CIPHER encrypted".
func (p *parser) encrypted(c string) {
	cipher, ok := strings.CutSuffix(c, " encrypted")
	if !ok {
		return
	}
	p.hop.TLS = true
	if version, behind, both := strings.Cut(cipher, ":"); both {
		p.negotiated(version, behind)
		return
	}
	p.negotiated("", cipher)
}

// senderOf returns the envelope sender of a comment that gives it: Exim's and Dovecot's
// "envelope-from <sender>", maddy's "envelope-sender <sender>".
func senderOf(c string) (sender string, ok bool) {
	key, sender, ok := strings.Cut(c, " ")
	known := foldEqual(key, "envelope-from") || foldEqual(key, "envelope-sender")
	return sender, ok && known
}

// isWhole reports whether a sender was read to its end: the bracket that it begins with is
// closed, and so is each quotation mark. qmail-scanner writes "<sender>, uid 502".
func isWhole(sender string) bool {
	address, _, _ := strings.Cut(strings.TrimSpace(sender), ", uid ")
	if strings.HasPrefix(address, "<") && !strings.HasSuffix(address, ">") {
		return false
	}
	return strings.Count(sender, `"`)%2 == 0 && strings.IndexByte(sender, '\\') < 0 // which quotes a mark
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
// the first one, TLS and login. Behind the client's words there is no login.
func (p *parser) writerComment(c string, first, words bool) {
	login := false
	switch {
	case p.note(c, &login):
		if login && !words {
			p.submission = true
		}
	case first && !p.hop.ByAddr.IsValid() && strings.ContainsRune(c, '.'), first && strings.ContainsRune(c, ':'):
		if s, ok := readSocket(c, &software{}); ok {
			p.hop.ByAddr = s.addr
		}
	}
}

// note reads a comment about TLS or a login, which sets login. It returns false if the
// comment is about neither.
func (p *parser) note(c string, login *bool) bool {
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
			*login = true
			return true
		}
	case 'a':
		switch {
		case hasPrefixFold(c, "authenticated"), hasPrefixFold(c, "auth: "), hasPrefixFold(c, "auth="), hasPrefixFold(c, "auth "):
			*login = true
			return true
		}
	case 'n':
		return hasPrefixFold(c, "no client certificate")
	case 'c':
		return hasPrefixFold(c, "client ") || hasPrefixFold(c, "client-")
	}
	return false
}
