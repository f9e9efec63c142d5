package received

import (
	"net/netip"
	"strings"
)

// A socket is what a writer recorded about the connection.
type socket struct {
	addr    netip.Addr
	port    uint16
	name    string // from the writer's lookup
	helo    string
	hasHELO bool
	words   bool        // words of the client's stand behind the address, or without one
	forged  bool        // sendmail: "(may be forged)"
	login   bool        // the comment says that the client logged in
	local   bool        // the peer came over a socket of the writer's own host
	ehlo    bool        // and it was EHLO
	bad     *ParseError // there is an address, but not one to trust
}

// readSocket reads the content of a comment that says what the writer saw.
// The address is in the last bracket of the text that is the writer's own:
// behind an RFC 1413 answer, and before HELO text and inner comments.
func readSocket(c string, by *software) (socket, bool) {
	var s socket
	// Yahoo and its licensees write of a login: "user@ip with plain". The client's words
	// stand before the address only.
	if user, login, _ := strings.Cut(c, " "); user != "" {
		switch login {
		case "with login", "with plain", "with cram-md5", "with xymcookie":
			s.login = true
			c = user
		}
	}
	quoted := by.quotesHELO || quotesHelo(c)
	head := c
	if by.commaHELO {
		if addr, helo, ok := strings.Cut(c, ", HELO "); ok {
			s.helo, s.hasHELO, s.words = helo, true, true
			return s.bare(addr)
		}
	}
	switch {
	case by.account && hasPrefixFold(c, "account "): // "account USER HELO name", "account USER [ip] verified"
		s.login = true
		head = c[max(strings.LastIndexByte(c, '['), 0):]
		if i := strings.LastIndex(c, " HELO "); i > 0 {
			s.helo, s.hasHELO, head = c[i+6:], true, ""
			s.words = true
		}
	case by.account:
	case strings.IndexByte(c, '=') >= 0:
		head = s.takeHelo(c)
		if at := strings.LastIndexByte(c, '@'); at >= len(head) && !by.heloInside {
			s.bad = ErrTwoAddresses // Exim's helo=a@b, or qmail's ident of "[ip] helo=a"
			return s, false
		}
		if _, behind, ends := strings.Cut(c[len(head):], ")"); ends && strings.IndexByte(behind, '[') >= 0 {
			s.bad = ErrTwoAddresses // the writer's own, in a comment that the client opened
			return s, false
		}
	}
	head, after := s.takeInner(head, quoted)
	if hidesAddr(after) && !quoted {
		s.bad = ErrTwoAddresses
		return s, false
	}
	if at := strings.LastIndexByte(head, '@'); at >= 0 {
		head = head[at+1:]
	}
	open := strings.LastIndexByte(head, '[')
	if open < 0 {
		return s.bare(head)
	}
	end := strings.IndexByte(head[open:], ']')
	if end < 0 {
		return s, false
	}
	s.forged = strings.HasPrefix(after, "(may be forged)")
	if port, ok := strings.CutPrefix(head[open+end+1:], ":"); ok {
		port, _, _ = strings.Cut(port, " ")
		s.port, _ = parsePort(port)
	}
	return s.bracketed(strings.TrimSpace(head[:open]), head[open+1:open+end], by)
}

// bracketed reads "name [ip]", and what some write like it: "name [[ip]]",
// "name [ ip ]", "ip[ip port:1]".
func (s *socket) bracketed(before, inside string, by *software) (socket, bool) {
	before = strings.TrimRight(before, " [")
	inside, _, _ = strings.Cut(strings.TrimSpace(inside), " port:")
	a, port, ok := by.addrPort(inside)
	switch {
	case strings.IndexByte(before, ' ') >= 0 && before != "Not Verified": // a remark with a bracket in it
		return *s, false
	case inside == "local", inside == "unix socket", hasPrefixFold(inside, "UNIX: localhost"): // OpenSMTPD, Cyrus, sendmail
		s.local = true
		return *s, false
	case !ok:
		s.bad = doubtful(inside)
		return *s, false
	case twoLiterals(before, a):
		s.bad = ErrTwoAddresses
		return *s, false
	}
	s.addr = a
	if port != 0 {
		s.port = port
	}
	s.lookup(before)
	return *s, true
}

// twoLiterals reports whether s holds an address in brackets other than a: an
// answer of the client's ident server, or worse.
func twoLiterals(s string, a netip.Addr) bool {
	_, rest, more := strings.Cut(s, "[")
	for more {
		var inside string
		inside, rest, more = strings.Cut(rest, "[")
		inside, _, closed := strings.Cut(inside, "]")
		if more && !closed {
			continue // what holds a bracket is no address
		}
		if b, _, ok := parseAddrPort(inside); ok && b != a {
			return true
		}
	}
	return false
}

// takeInner cuts c before an inner comment, which remarks upon the lookup, or
// before ZMailer's quotation of the HELO.
func (s *socket) takeInner(c string, quoted bool) (head, after string) {
	mark := byte('(')
	if quoted {
		mark = '"'
	}
	i := strings.IndexByte(c, mark)
	if i < 0 {
		return c, ""
	}
	head, after = strings.TrimSpace(c[:i]), c[i:]
	if quoted {
		s.words = true
		quote, _, _ := strings.Cut(after[1:], "\"")
		if len(quote) > len("EHLO ") && isHeloComment(quote) {
			s.helo, s.hasHELO, s.ehlo = quote[len("EHLO "):], true, lower(quote[0]) == 'e'
		}
	}
	return head, after
}

// quotesHelo recognises ZMailer's way: [ip]:port "EHLO name" and more.
func quotesHelo(c string) bool {
	if c == "" || c[0] != '[' {
		return false
	}
	_, rest, _ := strings.Cut(c, "]:")
	_, rest, ok := strings.Cut(rest, " \"")
	return ok && isHeloComment(rest)
}

// takeHelo cuts off "helo=...", "ident=..." and what follows: that text is the
// client's. Exim writes port= before it.
func (s *socket) takeHelo(c string) string {
	head := c
	helo := indexKey(c, "helo=")
	at := helo
	if at < 0 {
		at = indexKey(c, "ident=")
	}
	if s.words = at >= 0; s.words {
		head = strings.TrimSpace(c[:at])
	}
	if helo >= 0 {
		s.helo, s.hasHELO = c[helo+len("helo="):], true
		if i := strings.LastIndex(s.helo, " ident="); i >= 0 {
			s.helo = s.helo[:i]
		}
	}
	if hasPrefixFold(head, "port=") {
		port, rest, _ := strings.Cut(head[len("port="):], " ")
		s.port, _ = parsePort(port)
		head = rest
	}
	return head
}

// indexKey finds a key at the beginning of a word.
func indexKey(s, key string) int {
	for from := 0; ; {
		i := indexFold(s[from:], key)
		if i < 0 {
			return -1
		}
		if i += from; i == 0 || s[i-1] == ' ' {
			return i
		}
		from = i + 1
	}
}

// bare reads "ip", "/ip", "name ip".
func (s *socket) bare(c string) (socket, bool) {
	if first, last, ok := strings.Cut(c, " "); ok {
		a, port, ok := parseAddrPort(last)
		if !ok {
			return *s, false
		}
		if b, _, ok := parseAddrPort(first); ok && a != b {
			s.bad = ErrTwoAddresses
			return *s, false
		}
		if strings.ContainsAny(first, "/+=") {
			return *s, false // no name, and so perhaps no address
		}
		s.addr, s.port = a, port
		s.lookup(first)
		return *s, true
	}
	last := strings.TrimPrefix(c, "/")
	a, port, ok := parseAddrPort(last)
	if !ok {
		s.bad = doubtful(last)
		return *s, false
	}
	s.addr, s.port = a, port
	return *s, true
}

// lookup takes the text before the address for the name that the writer
// looked up, if it is one.
func (s *socket) lookup(n string) {
	n = strings.TrimSuffix(n, ".")
	if isName(n) {
		s.name = n
	}
}

// maxName is the length of the longest host name, in octets (RFC 1035, 2.3.4).
const maxName = 255

// notNames are the words that writers put where they have no name: Postfix,
// EMWAC and Vircom, Courier.
var notNames = [...]string{"unknown", "unverified", "softdnserr"}

// isName reports whether n is a host name that a lookup could have given:
// not a word for "none", not an address.
func isName(n string) bool {
	if n == "" || len(n) > maxName {
		return false
	}
	for _, w := range notNames {
		if foldEqual(n, w) {
			return false
		}
	}
	for i := 0; i < len(n); i++ {
		switch c := n[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	_, isAddr := parseAddr(n)
	return !isAddr
}

// doubtful returns an error where s is meant to be an address but is none that
// parseAddr takes: 010.1.1.1, 0x7f.1, 1.2.3, 3232235777, 1.2.3.4evil.
func doubtful(s string) *ParseError {
	if s == "" {
		return nil
	}
	digit := s[0] >= '0' && s[0] <= '9'
	switch {
	case digit && strings.IndexByte(s, '.') > 0, digit && strings.Trim(s, "0123456789") == "", strings.Count(s, ":") >= 2:
		return ErrDoubtfulAddress
	}
	return nil
}

// hidesAddr reports whether an address stands anywhere in a comment of no
// known form: it could be the writer's own, disguised by the client.
func hidesAddr(c string) bool {
	if len(c) < len("::") {
		return false
	}
	const ip4, ip6 = "0123456789.", "0123456789abcdefABCDEF.:"
	if strings.Count(c, ".") >= 3 && hidesRun(c, ip4, ".") {
		return true
	}
	return strings.Count(c, ":") >= 2 && hidesRun(c, ip6, ".:")
}

// hidesRun looks for an address among the runs of certain octets, with or
// without the punctuation at its ends, behind a tag such as the 6 of IPv6, and joined to a port.
func hidesRun(c, octets, punctuation string) bool {
	for i := 0; i < len(c); i++ {
		start := i
		for i < len(c) && strings.IndexByte(octets, c[i]) >= 0 {
			i++
		}
		run := c[start:i]
		if len(run) < 3 {
			continue
		}
		_, tagged, _ := strings.Cut(run, ":")
		portless := run[:max(strings.LastIndexByte(run, '.'), 0)] // Exim 3: 192.0.2.1.1025
		for _, s := range [...]string{run, portless, strings.Trim(run, punctuation), tagged, strings.TrimRight(tagged, punctuation)} {
			if _, ok := parseAddr(s); ok {
				return true
			}
		}
	}
	return false
}
