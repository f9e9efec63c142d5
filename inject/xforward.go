package inject

// forwarded are the attributes of XFORWARD.
var forwarded = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}

// noXFORWARD is the error of a listener that does not offer XFORWARD.
func noXFORWARD() *Error {
	return &Error{Kind: Misconfigured, Op: "XFORWARD", Text: "XFORWARD is not offered",
		Advice: "put this host into smtpd_authorized_xforward_hosts of this listener"}
}

// xforward gives the MTA the client for its log and its filters
// (https://www.postfix.org/XFORWARD_README.html). Attributes outlive the message, so all are set.
func (t *transaction) xforward() *end {
	s := t.s
	if s.ext.xforward == nil {
		return notOffered(noXFORWARD())
	}
	if e := t.reset(); e != nil {
		return e
	}
	value := func(name string) string {
		switch name {
		case "IDENT":
			return unavailable
		case "SOURCE":
			return "REMOTE"
		}
		if v := t.client.attribute(name); v != tempUnavail {
			return v
		}
		return unavailable
	}
	for _, line := range commands("XFORWARD", forwarded[:], s.ext.xforward, value) {
		reply, _, err := s.w.command(s.o.Timeouts.Command, line)
		switch {
		case err != nil:
			return lost(stageXCLIENT, err)
		case reply.class() == 4:
			e := verdict(stageXCLIENT, Deferred, reply)
			e.session = max(e.session, leaving)
			return e
		case reply.Code != 250:
			return misconfigured(reply, "XFORWARD was refused", "")
		}
	}
	t.notePresented(s.ext.xforward)
	t.presented.NameTemporary = false
	return nil
}
