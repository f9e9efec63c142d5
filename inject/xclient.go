package inject

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	unavailable = "[UNAVAILABLE]"
	tempUnavail = "[TEMPUNAVAIL]"

	// maxValue is Postfix's limit for an encoded attribute value, in octets.
	maxValue = 255
	// maxCommand is RFC 5321 section 4.5.3.1.4 without the CRLF.
	maxCommand = 510
)

// offersXCLIENT returns an error that says what is missing from the EHLO reply, nil if nothing is.
func (s *Session) offersXCLIENT() *Error {
	e := &Error{Kind: Misconfigured, Op: stageXCLIENT}
	if s.ext.xclient == nil {
		e.Text = "XCLIENT is not offered"
		e.Advice = "put this host into smtpd_authorized_xclient_hosts of this listener"
		return e
	}
	if !contains(s.ext.xclient, "ADDR") { // all the others can be missing: Dovecot takes no NAME
		e.Text = "XCLIENT is offered without ADDR"
		return e
	}
	return nil
}

// clearsAttributes reports whether a server that offers these attributes forgets one that is [UNAVAILABLE], so
// that a session can present one client after another. Postfix does, and is known by REVERSE_NAME, which it has
// offered since 2.5. Dovecot ignores [UNAVAILABLE], so the value of the client before would stand for the next one.
func clearsAttributes(offered []string) bool {
	return contains(offered, "NAME") && contains(offered, "REVERSE_NAME") && !foreign(offered)
}

// foreign reports whether attributes are offered that Postfix does not know, as Dovecot's SESSION, TTL and TIMEOUT.
func foreign(offered []string) bool {
	return slices.ContainsFunc(offered, func(a string) bool { return !contains(attributes[:], a) })
}

func contains(list []string, s string) bool {
	return slices.ContainsFunc(list, func(l string) bool { return strings.EqualFold(l, s) })
}

// xclient presents the client: XCLIENT, unless that was sent with the last dot, and the greeting in the
// client's name. The session is then like a new connection from that client.
func (t *transaction) xclient() *end {
	s := t.s
	if s.state != pipelined {
		if e := s.offersXCLIENT(); e != nil {
			return notOffered(e)
		}
	}
	// Attributes that do not fit in one command go in several, each sent after the reply to the
	// one before.
	for _, line := range t.client.Commands(s.ext.xclient) {
		if s.state != pipelined {
			if err := s.w.inStep(); err != nil {
				return lost(stageXCLIENT, err)
			}
			if s.state == inMail {
				s.w.put("RSET")
			}
			s.w.put(line)
			if _, err := s.w.flush(s.o.Timeouts.Command); err != nil {
				return lost(stageXCLIENT, err)
			}
		}
		if s.state == inMail {
			reply, _, err := s.w.read(s.o.Timeouts.Command)
			switch {
			case err != nil:
				return lost(stageXCLIENT, err)
			case reply.Code != 250:
				return failure(stageXCLIENT, &Error{Kind: Protocol, Op: "RSET", Reply: reply})
			}
		}
		s.state, s.pipelined = idle, nil
		reply, _, err := s.w.read(s.o.Timeouts.Command)
		switch {
		case err != nil:
			return lost(stageXCLIENT, err)
		case reply.Code != 220:
			e := xclientRefused(reply, t.client)
			if e.err == nil { // the verdict is on the client
				t.notePresented(s.ext.xclient)
			}
			return e
		}
		t.introduced = reply
	}
	t.notePresented(append(slices.Clip(s.ext.xclient), "HELO"))
	if s.introduced && s.o.OnReset != nil {
		s.o.OnReset()
	}
	s.introduced = true
	return t.introduce()
}

// introduce greets in the client's name, which the MTA takes for the beginning of that client's session.
func (t *transaction) introduce() *end {
	s := t.s
	name, same := sayHELO(t.client.HELO)
	switch {
	case name == "":
		name = literal(t.client.Addr)
		t.presented.HELO = name
		t.note("EHLO with the client's address: its name is unknown or cannot be said")
	case !same:
		t.note("HELO masked for EHLO")
	}
	if t.client.SMTP && t.lostByHELO() == "" {
		reply, _, err := s.w.command(s.o.Timeouts.Command, "HELO "+name)
		switch {
		case err != nil:
			return lost(stageHELO, err)
		case reply.Code == 250:
			// Nothing is offered after HELO, and so not the XCLIENT of another message either.
			s.ext, t.last = extensions{}, true
			if s.onLast != nil {
				s.onLast()
			}
			return nil
		case !commandError(reply):
			return greetingRefused(hostRefused(stageHELO, reply))
		} // else the server knows only EHLO
	}
	offered := s.ext.xclient
	if e := s.hello(name); e != nil {
		return greetingRefused(e)
	}
	// An attribute that is no longer offered cannot be set for the next message, which would
	// inherit it.
	gone := func(a string) bool { return !slices.Contains(s.ext.xclient, a) }
	t.last = slices.ContainsFunc(offered, gone) || s.offersXCLIENT() != nil || !clearsAttributes(offered)
	if t.last && s.onLast != nil {
		s.onLast()
	}
	if s.loginDue {
		s.loginDue = false
		if err := s.authenticate(); err != nil {
			e := failure(err.Op, err)
			e.beforeClient = true // it says nothing about the message
			return e
		}
	}
	return nil
}

// lostByHELO says what the message would lose if its client introduced itself by HELO, by what the EHLO before has
// offered. It returns "" if only the reuse of the session is lost, and round trips.
func (t *transaction) lostByHELO() string {
	o, x := t.s.o, &t.s.ext
	_, _, needsUTF8 := t.inASCII()
	size := t.m.length()
	fits := size >= 0 && size <= x.sizeLimit
	switch {
	case o.Dialect == LMTP:
		return "LHLO is the only greeting (RFC 2033)"
	case t.s.loginDue:
		return "AUTH"
	case o.DSN == DSNNever && x.dsn && t.from != "": // the null sender gets no notice (RFC 3461 section 4.1)
		return "NOTIFY=NEVER, which keeps the MTA from bouncing to a forged sender"
	case t.m.EightBit && x.eightBit:
		return "BODY=8BITMIME"
	case needsUTF8 != nil, t.m.UTF8 && x.utf8:
		return "SMTPUTF8"
	case o.Chunking && x.chunking:
		return "BDAT"
	case x.sizeLimit > 0 && !fits:
		return "SIZE, by which the message is refused before its content"
	}
	return ""
}

// xclientRefused is the end by a reply to XCLIENT other than 220. Postfix answers everything after
// it with 503, so only this reply counts, and the session serves no other message.
func xclientRefused(reply Reply, client Client) *end {
	var e *end
	switch {
	case reply.class() == 4:
		e = verdict(stageXCLIENT, Deferred, reply)
	case wantsCredentials(reply):
		e = refusal(stageXCLIENT, reply)
	case reply.Code == 501:
		// The attributes before the bad one have been applied, so the session must not go on.
		e = failure(stageXCLIENT, &Error{Kind: Protocol, Op: stageXCLIENT, Reply: reply, Text: "attribute refused"})
		e.attribute = "?"
		words := strings.FieldsFunc(reply.Text, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
		for _, w := range words[:min(4, len(words))] { // "Bad NAME syntax: x"
			named := func(a string) bool { return strings.EqualFold(a, w) }
			if i := slices.IndexFunc(attributes[:], named); i >= 0 {
				e.attribute = attributes[i]
				break
			}
		}
		if e.attribute == "ADDR" && client.Addr.Is6() {
			// The client is known, and other clients fare better: its mail waits for the listener to be mended.
			e.err.Kind, e.err.Text = Misconfigured, "the MTA does not take the address; for IPv6 its listener needs inet_protocols=all"
		}
	case reply.class() < 4, reply.Code == 500, reply.Code == 502:
		// postscreen's built-in engine answers 250 or 502 and ignores the attributes.
		return misconfigured(reply, "XCLIENT was not carried out", "point the injector at an smtpd listener of Postfix 2.3 or newer, not at postscreen or a proxy")
	case commandError(reply):
		e = failure(stageXCLIENT, &Error{Kind: Protocol, Op: stageXCLIENT, Reply: reply, Text: "session out of step"})
	case notAuthorized(reply):
		return misconfigured(reply, "not authorised for XCLIENT", "put this host into smtpd_authorized_xclient_hosts of this listener")
	default:
		e = verdict(stageXCLIENT, Refused, reply)
	}
	e.session = max(e.session, leaving)
	return e
}

// notAuthorized reports whether a reply says who may send XCLIENT, in the words of Postfix, Exim, Dovecot, Haraka and Nodemailer,
// and not who the client may be. It looks behind what the text may quote, which is the client's; and a client may have the name xclient.
func notAuthorized(reply Reply) bool {
	text := strings.Trim(reply.BehindQuotes(), ". ")
	all := strings.TrimPrefix(text, "error: ")
	says := func(words string) bool { return strings.Contains(text, words) }
	return all == "not authorized" || all == "not allowed" || strings.HasPrefix(all, "xclient ") ||
		slices.ContainsFunc([]string{"insufficient authorization", "not from trusted ip"}, says)
}

// greetingRefused is the end by a failed EHLO in the client's name. A refusal is the MTA's verdict
// on the client or its name.
func greetingRefused(err *Error) *end {
	var e *end
	switch {
	case err.Reply.class() == 4:
		e = verdict(err.Op, Deferred, err.Reply)
	case wantsCredentials(err.Reply):
		e = refusal(err.Op, err.Reply)
	case err.Reply.class() == 5 && !commandError(err.Reply):
		e = verdict(err.Op, Refused, err.Reply)
	case err.Kind == Misconfigured:
		return failure(err.Op, &Error{Kind: Protocol, Op: err.Op, Reply: err.Reply, Text: "session out of step"})
	default:
		return failure(err.Op, err)
	}
	e.session = max(e.session, leaving)
	return e
}

// attributes in the order in which they are sent. After each command the MTA decides anew, by name
// and address, whether XCLIENT is allowed. They come last, so that attributes in several
// commands can be sent to the end. NAME follows REVERSE_NAME because a NAME sets both.
var attributes = [...]string{"HELO", "PROTO", "PORT", "LOGIN", "DESTADDR", "DESTPORT", "REVERSE_NAME", "NAME", "ADDR"}

// AllAttributes returns the names of all attributes that this package knows.
func AllAttributes() []string { return slices.Clone(attributes[:]) }

// Commands returns the XCLIENT commands, without CRLF and each at most 510 octets,
// that set every attribute in offered which this package knows. An unknown value is
// sent as [UNAVAILABLE], never left out, because attributes outlive the message they were
// set for. LOGIN is always [UNAVAILABLE]: any value would make the session authenticated.
func (c Client) Commands(offered []string) []string {
	return commands("XCLIENT", attributes[:], offered, c.attribute)
}

// commands builds the commands for the attributes of order that are in offered.
func commands(verb string, order, offered []string, value func(string) string) []string {
	var out []string
	line := append(make([]byte, 0, maxCommand), verb...)
	for _, a := range order {
		if !contains(offered, a) {
			continue
		}
		pair := " " + a + "=" + value(a)
		// NAME and ADDR go together: after a NAME alone the MTA might not allow ADDR.
		need := len(pair)
		if a == "NAME" {
			need += len(" ADDR=IPV6:") + 39
		}
		if len(line)+need > maxCommand {
			out = append(out, string(line))
			line = append(line[:0], verb...)
		}
		line = append(line, pair...)
	}
	if len(line) == len(verb) {
		return out
	}
	return append(out, string(line))
}

// attribute returns the value to send for one attribute, encoded.
func (c Client) attribute(name string) string {
	switch name {
	case "NAME":
		return c.nameValue(c.Name)
	case "REVERSE_NAME":
		if c.Name != "" {
			return c.nameValue(c.Name)
		}
		return c.nameValue(c.ReverseName)
	case "ADDR":
		return addrValue(c.Addr)
	case "DESTADDR":
		return addrValue(c.DestAddr)
	case "PORT":
		return portValue(c.Port)
	case "DESTPORT":
		return portValue(c.DestPort)
	case "HELO":
		if v := xtext(c.HELO); v != "" && len(v) <= maxValue {
			return v
		}
	case "PROTO": // knows no [UNAVAILABLE]
		if c.ESMTP {
			return "ESMTP"
		}
		return "SMTP"
	}
	return unavailable // LOGIN, or a HELO that cannot be sent
}

func (c Client) nameValue(name string) string {
	if h, ok := hostname(name); ok && h != "" {
		return h
	}
	if c.NameTemporary {
		return tempUnavail
	}
	return unavailable
}

func addrValue(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.Zone() != "":
		return unavailable
	case a.Is6():
		return "IPV6:" + a.String()
	}
	return a.String()
}

func portValue(p uint16) string {
	if p == 0 {
		return unavailable
	}
	return strconv.Itoa(int(p))
}

// without returns c with one attribute unavailable, everything but ADDR if it names none.
func (c Client) without(attribute string) Client {
	switch attribute {
	case "NAME", "REVERSE_NAME": // both are sent from the same name
		c.Name, c.ReverseName, c.NameTemporary = "", "", false
	case "HELO":
		c.HELO = ""
	case "PORT":
		c.Port = 0
	case "DESTADDR":
		c.DestAddr = netip.Addr{}
	case "DESTPORT":
		c.DestPort = 0
	default:
		return Client{Addr: c.Addr, ESMTP: c.ESMTP}
	}
	return c
}

// literal returns the address literal (RFC 5321 section 4.1.3) by which a client without a name introduces itself.
// Rules for HELO names take it where they refuse a name that does not exist, and our own name, which a client
// must not have. Where there is no address it is the dummy of RFC 7600.
func literal(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case !a.IsValid():
		return "[192.0.0.8]"
	case a.Is6():
		return "[IPv6:" + a.WithZone("").String() + "]"
	}
	return "[" + a.String() + "]"
}

const hexDigits = "0123456789ABCDEF"

// xtext encodes s by RFC 3461 section 4. NUL, at which Postfix would cut the value,
// becomes "?".
func xtext(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = xchar(s[i])
	}
	if clean {
		return s
	}
	b := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); i++ {
		switch ch := s[i]; {
		case xchar(ch):
			b = append(b, ch)
		case ch == 0:
			b = append(b, '?')
		default:
			b = append(b, '+', hexDigits[ch>>4], hexDigits[ch&15])
		}
	}
	return string(b)
}

// xchar is the xchar of RFC 3461: printable ASCII but "+" and "=".
func xchar(ch byte) bool { return ch > ' ' && ch < 0x7f && ch != '+' && ch != '=' }

// sayHELO returns the name to send with EHLO for a client's HELO, and whether it is the same.
// Octets that EHLO cannot carry become "?", as in Postfix itself. It returns "" if nothing
// is left.
func sayHELO(helo string) (say string, same bool) {
	helo = strings.Trim(helo, " \t\r\n")
	if helo == "" || len(helo) > maxValue {
		return "", false
	}
	b := []byte(helo)
	kept := 0
	for i, ch := range b {
		if ch <= ' ' || ch > '~' {
			b[i] = '?'
		} else {
			kept++
		}
	}
	if kept == 0 {
		return "", false
	}
	return string(b), kept == len(b)
}
