package inject

// forwarded are the attributes of XFORWARD. SOURCE and IDENT are known and fixed.
var forwarded = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}

// xforward tells the MTA what to log and to hand to its filters
// (https://www.postfix.org/XFORWARD_README.html). Attributes outlive the message, so all are set.
func (t *transaction) xforward() bool {
	const op = "XFORWARD"
	s := t.s
	if s.ext.xforward == nil {
		s.spent = true
		return t.misconfigured(Reply{}, "XFORWARD is not offered", "put this host into smtpd_authorized_xforward_hosts of this listener")
	}
	if !t.reset() {
		return false
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
	for _, line := range commands(op, forwarded[:], s.ext.xforward, value) {
		reply, _, err := s.w.command(s.o.Timeouts.Command, line)
		if err != nil {
			return t.lost(stageXCLIENT, err)
		}
		switch {
		case reply.class() == 4:
			s.spent = true
			return t.verdict(stageXCLIENT, Deferred, reply)
		case reply.Code != 250:
			return t.misconfigured(reply, "XFORWARD was refused", "")
		}
	}
	t.receipt.Presented = t.client
	return true
}
