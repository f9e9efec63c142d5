package received

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// markedComments is how many comments behind "by" are searched for a mark.
const markedComments = 16

// findSoftware knows the writer's software by what stands behind "by". What stands
// before it may be the client's words, and is never asked.
func (p *parser) findSoftware() *software {
	switch {
	case hasPrefixFold(p.leadText(), "qmail "):
		return softwareOf("qmail")
	case hasPrefixFold(p.hop.With, "Microsoft SMTP Server"):
		return softwareOf("exchange")
	}
	comments, words := 0, false // those of the client, the sender or the recipient may look like a mark
	for i, t := range p.tokens(p.writer) {
		if t.kind != comment {
			begins := t.key == kwFor || t.key == kwFrom || p.is(t, "envelope-from")
			if begins && i > 0 { // else it is the writer's name
				words = true
			}
			continue
		}
		c := strings.TrimLeft(p.text(t), " ")
		switch w := markOf(c); {
		case w == nil:
		case w.senderFirst, !words:
			return w
		}
		words = words || hasClientsWords(c)
		if comments++; comments == markedComments {
			break // no writer has so many
		}
	}
	for _, row := range services {
		if slices.ContainsFunc(row.domains, func(d string) bool { return hasSuffixFold(p.hop.By, d) }) {
			return row
		}
	}
	// The words for the protocol are left, and the shape of the field.
	h, form := &p.hop, "generic"
	switch {
	case hasPrefixFold(h.With, "mapi"), hasPrefixFold(h.With, "MailboxResubmission"),
		hasPrefixFold(h.With, "HTTPS") && isMicrosoft(h.By):
		form = "exchange"
	case hasPrefixFold(h.With, "Microsoft SMTPSVC"):
		form = "smtpsvc"
	case hasPrefixFold(h.By, "2002:"):
		form = "google"
	case hasPrefixFold(h.Via, "smap"):
		form = "smap" // the proxy of the Firewall Toolkit
	case foldEqual(h.With, "SMTPs") && h.ByAddr.IsValid():
		form = "yahoo"
	case strings.HasPrefix(h.With, "ESMTP/TLS"):
		form = "ironport"
	case slices.ContainsFunc(p.tokens(p.date), func(t token) bool { return t.key == kwID }):
		form = "courier" // by HOST with ESMTP; date id X
	case hasPrefixFold(h.With, "LMTP") && h.ID != "":
		form = "dovecot"
	case p.eximShape(), hasPrefixFold(h.With, "local"):
		form = "exim"
	}
	return softwareOf(form)
}

// eximShape recognises Exim if its administrator has removed the name: by a
// protocol in lower case and a queue id of three groups.
func (p *parser) eximShape() bool {
	h := &p.hop
	protocol := strings.HasPrefix(h.With, "esmtp") || strings.HasPrefix(h.With, "smtp") || strings.HasPrefix(h.With, "asmtp")
	if !protocol && h.With != "local" {
		return false
	}
	switch id := h.ID; len(id) {
	case 16: // before Exim 4.97
		return id[6] == '-' && id[13] == '-'
	case 23:
		second := id[13] == '-' || id[18] == '-'
		return second && id[6] == '-'
	}
	return false
}

// classify sets Kind and the flags that follow from the protocol: a keyword of
// the IANA registry "Mail Transmission Types", or one that a writer made up.
func (p *parser) classify() {
	h := &p.hop
	switch {
	case !p.isFrom && !p.isBy:
		h.Kind = Noise
		// "qmail 1234 invoked by uid 1000": a person's program handed the message in. qmail's other remarks, "invoked
		// from network" and "invoked by alias", are about mail that came another way.
		_, uid, _ := strings.Cut(p.leadText(), " invoked by uid ")
		n, err := strconv.ParseUint(uid, 10, 32)
		if err == nil && n >= firstUser && hasPrefixFold(p.leadText(), "qmail ") {
			h.Kind = Local
		}
		if p.err == nil && !p.by.remarks && p.lead.to == 0 {
			p.fail(ErrShape)
		}
	case !p.isFrom && !p.leadPeer():
		h.Kind = ByOnly
	default:
		h.Kind = SMTP
	}
	w := h.With
	if cipher, last, ok := strings.Cut(w, " encrypted "); ok { // CIPHER encrypted SMTP
		w, h.TLS = last, true
		p.negotiated("", cipher)
	}
	if cipher, ok := strings.CutPrefix(w, "ESMTP/TLS/"); ok { // Cisco
		h.TLS = true
		p.negotiated("", cipher)
	}
	smtp := "" // behind the name of the software, as in MailEnable ESMTPA
	for word := range strings.FieldsSeq(w) {
		if smtp == "" && indexFold(word, "SMTP") >= 0 {
			smtp = word
		}
	}
	w, _, _ = strings.Cut(w, " ")
	switch {
	case hasPrefixFold(w, "LMTP"), hasPrefixFold(w, "UTF8LMTP"):
		h.Kind = LMTP
	case hasPrefixFold(w, "HTTP"):
		h.Kind = HTTP
	case foldEqual(w, "MAPI"):
		h.Kind = MAPI
	case hasPrefixFold(w, "POP3"), hasPrefixFold(w, "IMAP"), foldEqual(w, "POP"),
		foldEqual(w, "ODMR"), foldEqual(w, "ETRN"):
		h.Kind = Fetch
	case hasPrefixFold(w, "LOCAL"):
		h.Kind = Local
	case h.Kind != Noise && p.isLocal():
		h.Kind = Local
	}
	h.ESMTP = indexFold(smtp, "ESMTP") >= 0 || hasPrefixFold(smtp, "UTF8SMTP") || p.by.esmtp
	if hasSuffixFold(smtp, "SMTPA") || hasSuffixFold(smtp, "SMTPSA") || hasSuffixFold(smtp, "asmtp") {
		h.Authenticated = true
	}
	if hasSuffixFold(smtp, "SMTPS") || hasSuffixFold(smtp, "SMTPSA") {
		h.TLS = true
	}
}

// mailProtocols are words for protocols between mail servers that are no kind of SMTP, LMTP or
// QMTP: of the IANA registry "Mail Transmission Types", and of Orange, Yahoo, qmail and UUCP.
var mailProtocols = [...]string{"MMS", "ME", "NNFMP", "QMQP", "UUCP", "BITNET", "NJE", "X400", "MTA", "MAIL"}

// carriesMail reports whether mail comes by a protocol of this name. A writer that gives none
// speaks SMTP.
func carriesMail(with string) bool {
	first, _, _ := strings.Cut(with, " ")
	if with == "" || indexFold(with, "MTP") >= 0 {
		return true
	}
	return slices.ContainsFunc(mailProtocols[:], func(p string) bool { return foldEqual(first, p) })
}

// isLocal recognises the fields of programs that hand mail to their own
// host's MTA: Postfix's pickup, sendmail's submission, Microsoft's pickup
// directory, DragonFly's agent.
func (p *parser) isLocal() bool {
	if p.by.local {
		return true
	}
	if p.isFrom {
		t := p.tokens(p.peer)
		if len(t) == 1 && t[0].kind == word && p.by.nameFirst {
			// Exim puts a host in brackets, or a comment behind it. T-Online's shows no address.
			_, _, isAddr := parseAddrPort(p.raw(t[0]))
			return !isAddr && indexFold(p.hop.With, "SMTP") < 0
		}
		return len(t) == 3 && foldEqual(p.s[t[0].pos:t[2].end], "mail pickup service")
	}
	if hasPrefixFold(p.leadText(), "from ") {
		return !p.leadPeer()
	}
	for _, t := range p.tokens(p.writer) {
		if t.kind == comment && p.by.handIn != "" && indexFold(p.text(t), p.by.handIn) > 0 {
			return true
		}
	}
	return false
}

// firstUser is the first user id that systems give to a person; those below are the
// system's and the mail server's own.
const firstUser = 500

// leadPeer reports whether the comment before "by" shows a peer, "from NAME
// [ADDRESS]", and not a user, as sendmail's submission does.
func (p *parser) leadPeer() bool {
	text := p.leadText()
	if !hasPrefixFold(text, "from ") {
		return false
	}
	peer := strings.TrimLeft(text[len("from "):], " ") // a blank before it is not the one behind NAME
	return strings.HasSuffix(peer, "]") && strings.Contains(peer, " [")
}

// leadText is the comment that the field begins with, if it does.
func (p *parser) leadText() string {
	if p.lead.to == 0 {
		return ""
	}
	return p.text(p.tokens(p.lead)[0])
}

// finish sets what depends on both parts of the field, completes the error and
// drops an address that is in doubt.
func (p *parser) finish() {
	h := &p.hop
	if h.Form == "generic" && p.hasHELO && h.Kind == SMTP && !h.ESMTP {
		p.by = softwareOf("qmail") // which does not name itself
		h.Form = p.by.form
	}
	isSeen := p.found.addr.IsValid() && !h.AddrUncertain
	switch believed := h.Kind == HTTP || isSeen; {
	case p.by.writesLogin && hasPrefixFold(h.With, "ESMTP"): // classify knows it by the A
	case p.submission, p.login && believed:
		// A remark says that the client logged in. One in the peer's part needs the
		// address before it, and not one that may be HELO, except for a browser, which has no HELO.
		h.Authenticated = true
	}
	if h.Authenticated && p.by.hidesUsers { // whatever looks like an address or a name is HELO
		h.AddrUncertain, h.Name = h.Addr.IsValid(), ""
	}
	if isPublic := h.Addr.IsGlobalUnicast() && !h.Addr.IsPrivate(); p.by.local && isPublic {
		p.fail(ErrShape) // a mail program's own host has no such address for it
	}
	switch {
	case h.Kind == SMTP && p.local && !h.Addr.IsValid():
		h.Kind = Local
	case h.Kind == SMTP && h.Authenticated:
		h.Kind = Submission
	case h.Kind == SMTP && !carriesMail(h.With):
		h.Kind = Other
	}
	overSMTP := h.Kind == SMTP || h.Kind == Submission
	if overSMTP && h.TLS {
		h.ESMTP = true // RFC 3207: TLS is an extension
	}
	if h.Name != "" && h.Addr.IsValid() {
		h.NameVerified = p.by.verifies && !p.found.forged
	}

	remark := !p.isFrom && !p.isBy
	nameless := !p.isBy || h.By == ""
	if nameless && !remark {
		p.fail(ErrNoWriter)
		if p.err == ErrStrayParenthesis {
			p.err = ErrNoWriter // without a writer nothing else counts
		}
	}
	switch p.err {
	case nil:
		return
	case ErrNoWriter, ErrControl:
		// The address is in its place, but the field as a whole is not to be trusted.
	default:
		h.Addr, h.Port, h.AddrUncertain = netip.Addr{}, 0, false
		h.Name, h.NameVerified = "", false
	}
	h.Err = p.err
}
