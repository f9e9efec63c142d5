package received

import (
	"net/netip"
	"strings"
)

// readPeer reads the tokens between "from" and "by". The forms, with the
// client's words in capitals:
//
//	HELO (rdns [ip])               Postfix, sendmail, Gmail, most others
//	HELO ([ip])  HELO (ip)         no lookup, or Exchange
//	rdns ([ip] helo=HELO)          Exim
//	[ip] (port=1 helo=HELO)        Exim, no rdns
//	rdns (HELO HELO) (IDENT@ip)    qmail
//	ip (EHLO HELO)                 Yahoo
//	HELO [ip]                      fetchmail, old writers
//
// Each may be followed by comments about TLS and login. The address is taken
// from one place; a second address in such a place is a reason to refuse.
func (p *parser) readPeer() {
	if !p.isFrom && p.leadPeer() { // in the comment before "by": (from HELO [ADDRESS])
		text := strings.TrimSuffix(p.leadText()[len("from "):], "]")
		open := strings.LastIndex(text, " [")
		p.hop.HELO = strings.TrimSpace(text[:open])
		a, port, ok := parseAddrPort(text[open+2:])
		more := p.lead.to > 1 || p.writer.from > p.lead.to+1 // before "by": what ended the comment may be the HELO
		if !ok || more || hidesAddr(p.hop.HELO) {
			p.fail(ErrUnknownPeer)
			return
		}
		p.hop.Addr, p.hop.Port = a, port
		return
	}
	all := p.tokens(p.peer)
	if !p.isFrom || len(all) == 0 {
		return
	}
	name, rest := all[0], all[1:]
	if name.kind == comment {
		name, rest = token{}, all
	}
	for name.kind == word && len(rest) > 0 && p.glued(rest[0]) && rest[0].kind != comment {
		name.end, rest = rest[0].end, rest[1:] // Computer_[192.168.1.1], x;y
	}
	p.name = name
	remark := ""
	for i, t := range rest {
		switch t.kind {
		case comment:
			c := strings.TrimSpace(p.text(t))
			if !p.peerComment(c) && i == 0 {
				remark = c
			}
		case literal:
			p.bracket(p.text(t), remark, i > 0 && rest[i-1].kind == comment)
		case word:
			if p.found.addr.IsValid() && i+3 < len(rest) && p.is(t, "claiming") && p.is(rest[i+2], "be") {
				p.setHelo(p.text(rest[i+3]), false) // smap: UNKNOWN(ip), claiming to be "HELO"
				p.words = true
			}
			if port, ok := strings.CutPrefix(p.raw(t), ":"); ok && p.glued(t) && p.found.addr.IsValid() {
				p.found.port, _ = parsePort(port)
			}
		}
	}
	p.setPeer()
}

// bracket reads an address in brackets outside a comment. Behind a comment it is
// the writer's. Right behind the name it may be HELO text with a blank in it,
// except where the form has it there. remark is a comment before it.
func (p *parser) bracket(text, remark string, behind bool) {
	a, port, ok := p.by.addrPort(text)
	switch {
	case !ok:
		if own := p.by.nameFirst || p.by.bracket; own {
			if bad := doubtful(text); bad != nil {
				p.fail(bad)
			}
		}
		return
	case p.by.comments:
		p.stray = true // HELO text, if there is a comment
		return
	}
	s := socket{addr: a, port: port}
	if p.by.nameFirst && remark != "" {
		p.setHelo(remark, false) // Exim 3: rdns (HELO) [ip]
	} else {
		s.lookup(remark)
	}
	if !p.found.addr.IsValid() {
		p.hop.AddrUncertain = !behind && !p.by.bracket
	}
	p.candidate(s)
	p.words = p.words || p.by.nameFirst // Exim 3 writes the answer of the ident server behind it
}

// candidate records an address found in a place for the peer.
func (p *parser) candidate(s socket) {
	switch {
	case s.bad != nil:
		p.fail(s.bad)
	case p.found.addr.IsValid() && p.found.addr != s.addr:
		p.fail(ErrTwoAddresses)
	case p.words && p.addrSeen():
		// Once more, in the client's words or behind them: who wrote which nobody knows.
		if p.login || s.login {
			p.fail(ErrTwoAddresses)
		}
		p.agree(&s)
		p.found, p.login, p.twice = s, false, true
	default:
		if p.remarked && p.found.addr.IsValid() {
			p.agree(&s)
		}
		p.found, p.login, p.words = s, s.login, s.words // a remark before the address is in the client's HELO
	}
}

// agree takes the name out of a second reading of the address that has another one.
func (p *parser) agree(s *socket) {
	if s.name != p.found.name {
		s.name = ""
	}
}

// addrSeen reports whether the client's address has been read already, or is what the
// field begins with.
func (p *parser) addrSeen() bool {
	if p.found.addr.IsValid() {
		return true
	}
	a, _, ok := parseAddrPort(p.text(p.name))
	return ok && !a.IsLoopback() // Yahoo used to write 127.0.0.1
}

// trustedRelay is what a patch to qmail glues to the address of a client that logged in.
const trustedRelay = "_trustedrelay"

// peerComment reads one comment of the peer's part. It returns false if nothing
// was found in it.
func (p *parser) peerComment(c string) bool {
	if p.found.addr.IsValid() && p.by.comments && isSessionRemark(c) {
		return p.peerNote(c) // whatever it holds: the writer's own comment was before it
	}
	if i := strings.IndexByte(c, '('); i >= 0 && hidesAddr(c[i:]) {
		p.fail(ErrTwoAddresses) // the writer's own, in a comment that the client opened
		return true
	}
	if p.by.heloBehind && p.name.kind == literal {
		p.words = true
		if !hidesAddr(c) {
			p.setHelo(c, true)
			return true
		}
	}
	remark := true // it is about something else than the address
	inside, socket := p.nameAndAddr(c)
	noHELO := p.by.comments || p.by.heloBehind // no comment of the writer's gives the HELO in this way
	switch {
	case isHeloComment(c) && !(socket && noHELO):
		helo := strings.TrimSpace(c[4:])
		a, _, bare := parseAddrPort(helo) // "name ip", of a writer without brackets, or an old client's HELO
		if bare {
			inside = a
		}
		again := bare && p.found.addr.IsValid() && !p.hop.AddrUncertain
		if socket || again {
			p.heloSocket(inside)
		}
		p.setHelo(helo, c[0]|0x20 == 'e')
		p.words = true
	case socket: // whatever the name begins with: tls1.example.net, client-192-0-2-10.example.net
		remark = false
	case hasPrefixFold(c, "envelope-from "), hasPrefixFold(c, "envelope-sender "):
		p.hop.EnvelopeFrom = unangle(c[strings.IndexByte(c, ' '):])
		_, _, bare := parseAddrPort(p.hop.EnvelopeFrom) // which is no sender
		p.unknown = p.unknown || bare
		p.words = true
	case hasPrefixFold(c, "proxying for "), hasPrefixFold(c, "original mail from"):
	default:
		if remark = p.peerNote(c); remark {
			// The writer's own, tls.example.net/192.0.2.10, looks so too. A name holds no blank; a remark with an address,
			// such as one about a certificate, does.
			head, _, _ := strings.Cut(c, "(")
			if hidesAddr(head) && isTwoWords(head) {
				p.unknown, p.login = true, false
			}
		}
	}
	if remark {
		_, _, ident := parseAddrPort(strings.Trim(c[strings.LastIndexByte(c, '@')+1:], "[]"))
		p.unknown = p.unknown || ident // user@ip, the user's name made to look like a remark
		return true
	}
	if p.hasHELO && hasSuffixFold(c, trustedRelay) {
		c = c[:len(c)-len(trustedRelay)]
	}
	s, ok := readSocket(c, p.by)
	if s.hasHELO {
		p.setHelo(s.helo, s.ehlo)
	}
	if s.port != 0 {
		p.port = s.port
	}
	if !ok && s.bad == nil {
		p.unknown = p.unknown || hidesAddr(c)
		user := p.by.userAtLocalhost && hasSuffixFold(c, "@localhost")
		p.local = p.local || s.local || user
		if s.login && !p.words {
			p.login = true
		}
		p.words = p.words || s.words
		return s.hasHELO
	}
	p.candidate(s)
	return true
}

// heloSocket notes that a comment which seems to give an address as HELO may be the writer's own: a looked-up name that
// is HELO, and the address. Then what stood before it are the client's words.
func (p *parser) heloSocket(inside netip.Addr) {
	p.login = false
	if p.found.addr.IsValid() {
		p.twice = true
		if inside != p.found.addr {
			p.fail(ErrTwoAddresses)
		}
	}
	// A private address is a client's at home. The client's own one is the same in either reading.
	named, _, _ := parseAddrPort(p.text(p.name))
	isOther := Public(inside) && inside != named
	p.heloAddr = p.heloAddr || isOther
}

// nameAndAddr returns the address if c is one word and an address in brackets. The word may be any that a reverse zone
// can give, and no host name: tls=1.example.net.
func (p *parser) nameAndAddr(c string) (netip.Addr, bool) {
	name, behind, _ := strings.Cut(c, "[")
	inside, _, closed := strings.Cut(behind, "]")
	if name = strings.TrimSuffix(name, " "); !closed || name == "" || strings.ContainsAny(name, ` "(`) {
		return netip.Addr{}, false
	}
	inside, _, _ = strings.Cut(strings.TrimLeft(inside, " "), " ") // [ip port:1], [ ip ]
	a, _, ok := p.by.addrPort(inside)
	return a, ok
}

// isTwoWords reports whether c may be a name and an address: "name/ip", "name ip", "name [ ip ]".
func isTwoWords(c string) bool {
	words := 0
	for w := range strings.FieldsSeq(c) {
		if strings.Trim(w, "[]") != "" {
			words++
		}
	}
	return words <= 2
}

// peerNote is note for the peer's part: behind the client's words, which may have ended
// their comment, there is no login.
func (p *parser) peerNote(c string) bool {
	login := false
	known := p.note(c, &login)
	switch {
	case login && p.twice:
		p.fail(ErrTwoAddresses)
	case login && !p.words:
		p.login = true
	}
	if login || hasPrefixFold(c, "client") {
		p.remarked = true
	}
	p.words = p.words || hasClientsWords(c)
	return known
}

// isHeloComment reports whether c is "HELO name" or the like; the name may be
// empty.
func isHeloComment(c string) bool {
	k := c[:min(len(c), 4)]
	if len(c) > 4 && c[4] != ' ' && c[4] != '\t' {
		return false
	}
	return foldEqual(k, "HELO") || foldEqual(k, "EHLO") || foldEqual(k, "LHLO")
}

func (p *parser) setHelo(h string, ehlo bool) {
	if !p.hasHELO {
		p.helo, p.hasHELO = h, true
		p.hop.ESMTP = p.hop.ESMTP || ehlo
	}
}

// setPeer sets what the first token means in the writer's form: the HELO name,
// the looked-up name or the address.
func (p *parser) setPeer() {
	h, name := &p.hop, p.name
	h.HELO = p.helo
	first := p.text(name)
	addr, _, isAddr := parseAddrPort(first)
	if name.kind == literal {
		first = p.raw(name)
	}
	if p.stray && !p.found.addr.IsValid() {
		p.fail(ErrUnknownPeer)
	}
	// The writer's address stands in a comment always, or in one that could not be read.
	inComment := p.by.comments
	if !p.by.addrFirst || p.by.heloBehind {
		inComment = inComment || p.unknown || p.heloAddr
	}
	switch {
	case p.found.addr.IsValid():
		lookedUp := p.hasHELO || p.by.addrFirst
		if p.by.heloBehind && name.kind != literal {
			lookedUp = false // it has brackets there always
		}
		inName := isAddr && lookedUp // elsewhere it is HELO text
		switch {
		case p.unknown, p.local: // the address in the remark may be the writer's, and the other one the client's
			p.fail(ErrUnknownPeer)
		case inName && addr != p.found.addr && !addr.IsLoopback(): // Yahoo used to write 127.0.0.1
			p.fail(ErrTwoAddresses)
		}
	case p.err == ErrDoubtfulAddress, p.err == ErrTwoAddresses:
	case isAddr && inComment:
		p.fail(ErrUnknownPeer)
		h.HELO = first
		return
	case isAddr: // and there is no other
		addrFirst := p.by.addrFirst && !p.by.heloBehind              // chasquid writes the HELO alone of a user who logged in
		h.AddrUncertain = !p.hasHELO && h.Kind != HTTP && !addrFirst // HTTP has no HELO
		p.found.addr = addr
		first = ""
	default:
		host := hostOf(first)
		switch {
		case h.Kind == Local:
		case !p.hasHELO:
			h.HELO = first
		case isName(host):
			h.Name = host
		}
		return
	}
	h.Addr, h.Port, h.Name = p.found.addr, p.found.port, p.found.name
	if h.Port == 0 {
		h.Port = p.port
	}
	named := p.hasHELO && !p.by.comments
	if p.by.nameFirst {
		named = named || name.kind == word
	}
	if host := hostOf(first); named && h.Name == "" && isName(host) {
		h.Name = host
	}
	if !p.hasHELO {
		h.HELO = first
	}
}

// hostOf returns the name that a writer put first, without an RFC 1413 answer
// before it and without a final dot.
func hostOf(first string) string {
	return strings.TrimSuffix(first[strings.LastIndexByte(first, '@')+1:], ".")
}
