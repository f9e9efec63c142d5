package received

import "strings"

// writerMarks are the words by which software names itself in the comment
// behind its host name, in the order they are tried.
var writerMarks = [...]struct {
	prefix, form string
}{
	{"Postfix", "postfix"},
	{"Exim", "exim"},
	{"qmail", "qmail"},
	{"amavisd", "amavis"},
	{"Dovecot", "dovecot"},
	{"ecelerity", "momentum"},
	{"Haraka", "haraka"},
	{"OpenSMTPD", "opensmtpd"},
	{"Coremail", "coremail"},
	{"Halon", "halon"},
	{"Stalwart", "stalwart"},
	{"CommuniGate", "communigate"},
	{"MDaemon", "mdaemon"},
	{"Lotus Domino", "domino"},
	{"Domino", "domino"},
	{"IBM Domino", "domino"},
	{"HCL Domino", "domino"},
	{"Oracle Communications", "oracle"},
	{"Sun Java", "oracle"},
	{"iPlanet", "oracle"},
	{"PowerMTA", "powermta"},
	{"JAMES", "james"},
	{"Apache James", "james"},
	{"Kerio", "kerio"},
	{"GroupWise", "groupwise"},
	{"hMailServer", "hmailserver"},
	{"Authentication Milter", "fastmail"},
	{"LMTPProxy", "fastmail"},
	{"Nemesis", "nemesis"},
	{"mreue", "nemesis"},
	{"mrelayeu", "nemesis"},
	{"mxeue", "nemesis"},
	{"Zimbra", "zimbra"},
	{"fetchmail", "fetchmail"},
	{"getmail", "getmail"},
	{"mpop", "mpop"},
	{"chasquid", "chasquid"},
	{"DragonFly", "dma"},
	{"MailEnable", "mailenable"},
	{"Mercury", "mercury"},
	{"Cyrus", "cyrus"},
	{"MessageLabs", "messagelabs"},
	{"Symantec", "symantec"},
	{"PPS", "proofpoint"},
	{"InterScan", "trendmicro"},
	{"mxback/Yandex", "yandex"},
	{"mxfront/Yandex", "yandex"},
	{"nwsmtp/Yandex", "yandex"},
	{"Yandex", "yandex"},
	{"KnoxPortal", "knox"},
	{"Merak", "merak"},
	{"IceWarp", "merak"},
	{"Axigen", "axigen"},
	{"Spam Firewall", "barracuda"},
	{"trex/", "mailchannels"},
	{"LSMTP", "lsmtp"},
	{"LISTSERV", "lsmtp"},
	{"SMTPD32", "imail"},
	{"SMTPD-", "imail"},
	{"EMWAC", "emwac"},
	{"Vircom", "vircom"},
	{"qpsmtpd", "qpsmtpd"},
	{"Debian Smail", "smail"},
	{"Smail", "smail"},
	{"maddy", "maddy"},
	{"Cisco", "ironport"},
	{"Courier", "courier"},
	{"InterMail", "intermail"},
	{"sSMTP", "ssmtp"},
	{"nullmailer", "nullmailer"},
}

// findForm names the writer's software by what stands behind "by": never by
// what stands before it, which may be the client's.
func (p *parser) findForm() {
	h := &p.hop
	if hasPrefixFold(p.leadText(), "qmail ") {
		h.Form = "qmail"
		return
	}
	if hasPrefixFold(h.With, "Microsoft SMTP Server") {
		h.Form = "exchange"
		return
	}
	for _, t := range p.tokens(p.writer) {
		if t.kind == comment {
			if f := markOf(strings.TrimLeft(p.text(t), " ")); f != "" {
				h.Form = f
				return
			}
		}
	}
	for i := range writerDomains {
		if d := &writerDomains[i]; hasSuffixFold(h.By, d.suffix) {
			h.Form = d.form
			return
		}
	}
	h.Form = p.formByProtocol()
}

// writerDomains are the domains of services that run software of their own.
var writerDomains = [...]struct{ suffix, form string }{
	{".google.com", "google"},
	{".gmail.com", "google"},
	{".yahoo.com", "yahoo"},
	{".yahoo.co.jp", "yahoo"},
	{".mail.ru", "mail.ru"},
	{".yandex.net", "yandex"},
	{".mimecast.com", "mimecast"},
	{".pphosted.com", "proofpoint"},
	{".zohomail.com", "zoho"},
	{".zoho.com", "zoho"},
	{".amazonaws.com", "ses"},
	{".amazonses.com", "ses"},
	{".sendgrid.net", "sendgrid"},
	{".postgun.com", "mailgun"},
	{".mailgun.net", "mailgun"},
	{"vger.kernel.org", "zmailer"},
}

// formByProtocol names the software by its words for the protocol, or by the
// shape of the field.
func (p *parser) formByProtocol() string {
	h := &p.hop
	switch {
	case hasPrefixFold(h.With, "mapi"), hasPrefixFold(h.With, "MailboxResubmission"),
		hasPrefixFold(h.With, "HTTPS") && isMicrosoft(h.By):
		return "exchange"
	case hasPrefixFold(h.With, "Microsoft SMTPSVC"):
		return "smtpsvc"
	case hasPrefixFold(h.By, "2002:"):
		return "google"
	case foldEqual(h.With, "SMTPs") && h.ByAddr.IsValid():
		return "yahoo"
	case strings.HasPrefix(h.With, "ESMTP/TLS"):
		return "ironport"
	case p.idBehindDate():
		return "courier"
	case hasPrefixFold(h.With, "LMTP") && h.ID != "":
		return "dovecot"
	case p.eximShape(), hasPrefixFold(h.With, "local"):
		return "exim"
	}
	return "generic"
}

// idBehindDate recognises Courier: "by HOST with ESMTP; date id X".
func (p *parser) idBehindDate() bool {
	for _, t := range p.tokens(p.date) {
		if t.key == kwID {
			return true
		}
	}
	return false
}

// eximShape recognises Exim where its administrator removed the name: a
// protocol in lower case and a queue id of Exim's three groups.
func (p *parser) eximShape() bool {
	h := &p.hop
	if !strings.HasPrefix(h.With, "esmtp") && !strings.HasPrefix(h.With, "smtp") && h.With != "local" && !strings.HasPrefix(h.With, "asmtp") {
		return false
	}
	id := h.ID
	return (len(id) == 16 || len(id) == 23) && id[6] == '-' && (id[13] == '-' || len(id) == 23 && id[18] == '-')
}

// markOf returns the form whose mark c begins with.
func markOf(c string) string {
	if c == "" {
		return ""
	}
	for i := range writerMarks {
		if m := &writerMarks[i]; c[0]|0x20 == m.prefix[0]|0x20 && hasPrefixFold(c, m.prefix) {
			return m.form
		}
	}
	switch {
	case isSendmail(c):
		return "sendmail"
	case c == "SG":
		return "sendgrid"
	}
	return ""
}

// isSendmail recognises sendmail's version, and that of its configuration:
// "8.17.1/8.17.1", "8.14.4/8.14.4/Debian-4", "8.8.5".
func isSendmail(c string) bool {
	if len(c) < 5 || c[0] != '8' || c[1] != '.' || c[2] < '0' || c[2] > '9' {
		return false
	}
	return strings.IndexByte(c[3:], '.') >= 0 && (strings.IndexByte(c, '/') > 0 || strings.Count(c, ".") == 2)
}

// verifies reports whether software of this form looks a name up both ways
// and prints it only where they agree.
func verifies(form string, s *socket) bool {
	switch form {
	case "postfix", "exim":
		return true
	case "sendmail":
		return !s.forged
	}
	return false
}

// classify sets Kind and the flags that follow from the protocol.
func (p *parser) classify() {
	h := &p.hop
	switch {
	case !p.isFrom && !p.isBy:
		h.Kind = Noise
	case !p.isFrom:
		h.Kind = ByOnly
	default:
		h.Kind = SMTP
	}
	if h.Kind == Noise && p.err == nil && h.Form != "qmail" && p.lead.to == 0 {
		p.fail(errShape)
	}
	w := h.With
	if _, last, ok := strings.Cut(w, " encrypted "); ok { // CIPHER encrypted SMTP
		w, h.TLS = last, true
	}
	w, _, _ = strings.Cut(w, " ")
	p.protocol(w)
	if (h.Kind == SMTP || h.Kind == ByOnly) && p.isLocal() {
		h.Kind = Local
	}
}

// isLocal recognises the fields of programs that hand mail to their own
// host's MTA: Postfix's pickup, sendmail's submission, Microsoft's pickup
// directory, DragonFly's agent.
func (p *parser) isLocal() bool {
	h := &p.hop
	if h.Form == "dma" || !p.isFrom && hasPrefixFold(p.leadText(), "from ") {
		return true
	}
	if p.isFrom {
		t := p.tokens(p.peer)
		return len(t) == 3 && foldEqual(p.s[t[0].pos:t[2].end], "mail pickup service")
	}
	for _, t := range p.tokens(p.writer) {
		if t.kind == comment && h.Form == "postfix" && indexFold(p.text(t), "from userid") > 0 {
			return true
		}
	}
	return false
}

// leadText is the comment that the field begins with, if it does.
func (p *parser) leadText() string {
	if p.lead.to == 0 {
		return ""
	}
	return p.text(p.tokens(p.lead)[0])
}

// refine settles what needs the peer's part.
func (p *parser) refine() {
	h := &p.hop
	if h.Form == "generic" && p.hasHELO && h.Kind == SMTP && !h.ESMTP {
		h.Form = "qmail" // which does not say so itself
	}
	if p.submission {
		h.Authenticated = true
	}
	switch {
	case h.Kind == SMTP && p.local && !h.Addr.IsValid():
		h.Kind = Local
	case h.Kind == SMTP && h.Authenticated:
		h.Kind = Submission
	}
	if h.TLS && (h.Kind == SMTP || h.Kind == Submission) {
		h.ESMTP = true // RFC 3207: TLS is an extension
	}
	h.NameVerified = h.Name != "" && h.Addr.IsValid() && verifies(h.Form, &p.found)
}

// protocol reads a keyword of the IANA registry "Mail Transmission Types" and
// the ones that writers made up.
func (p *parser) protocol(w string) {
	h := &p.hop
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
	}
	h.ESMTP = indexFold(w, "ESMTP") >= 0 || hasPrefixFold(w, "UTF8SMTP") || h.Form == "exchange"
	if hasSuffixFold(w, "SMTPA") || hasSuffixFold(w, "SMTPSA") || hasSuffixFold(w, "asmtp") {
		h.Authenticated = true
	}
	if hasSuffixFold(w, "SMTPS") || hasSuffixFold(w, "SMTPSA") {
		h.TLS = true
	}
}
