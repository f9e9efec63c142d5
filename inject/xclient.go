package inject

import (
	"slices"
	"strings"
)

// introduce presents the client: the carrier's commands, then EHLO in the client's name.
func (t *transaction) introduce() bool {
	switch t.s.o.Carrier {
	case XFORWARD:
		return t.xforward()
	case PROXYv1, PROXYv2: // done before the greeting
		t.receipt.Presented = t.client
		return t.reset()
	}
	s := t.s
	if s.o.XCLIENT == Off || s.o.XCLIENT == IfAvailable && s.ext.xclient == nil {
		t.receipt.Stage = stageXCLIENT
		t.note("no XCLIENT: the MTA takes this host for the client")
		return t.reset()
	}
	if s.announced != t.m {
		if e := s.offersXCLIENT(); e != nil {
			return t.misconfigured(Reply{}, e.Text, e.Hint)
		}
	}
	return t.xclient() && t.ehlo()
}

// offersXCLIENT says what is missing from the EHLO reply.
func (s *Session) offersXCLIENT() *Error {
	e := &Error{Kind: Misconfigured, Op: stageXCLIENT}
	if s.ext.xclient == nil {
		e.Text = "XCLIENT is not offered"
		e.Hint = "put this host into smtpd_authorized_xclient_hosts of this listener"
		return e
	}
	for _, need := range []string{"NAME", "ADDR"} {
		if !contains(s.ext.xclient, need) {
			e.Text = "XCLIENT is offered without " + need
			return e
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if strings.EqualFold(l, s) {
			return true
		}
	}
	return false
}

// reset ends what is left of an earlier transaction.
func (t *transaction) reset() bool {
	if !t.s.open {
		return true
	}
	reply, _, err := t.s.command(t.s.o.Timeouts.Command, "RSET")
	if err != nil {
		return t.lost(stageMAIL, err)
	}
	if reply.Code != 250 {
		return t.fail(stageMAIL, &Error{Kind: Protocol, Op: "RSET", Reply: reply})
	}
	t.s.open = false
	return true
}

// xclient sends the attributes, unless they went out behind the last dot, and requires
// 220. A set too long for one command goes in several, each after the reply to the one before.
func (t *transaction) xclient() bool {
	s := t.s
	t.receipt.Stage = stageXCLIENT
	for i, line := range t.client.Commands(s.ext.xclient) {
		if i > 0 || s.announced != t.m {
			if err := s.sendXCLIENT(line); err != nil {
				return t.lost(stageXCLIENT, err)
			}
		}
		s.announced = nil
		reply, _, err := s.read(s.o.Timeouts.Command)
		if err != nil {
			return t.lost(stageXCLIENT, err)
		}
		if reply.Code != 220 {
			return t.xclientRefused(reply)
		}
		t.fresh = false
		t.receipt.Reply = reply
	}
	t.receipt.Presented = t.client
	return true
}

// sendXCLIENT writes one command, behind RSET if a transaction is open.
func (s *Session) sendXCLIENT(line string) error {
	if err := s.inStep(); err != nil {
		return err
	}
	reset := s.open
	if reset {
		s.put("RSET")
	}
	s.put(line)
	if _, err := s.flush(s.o.Timeouts.Command); err != nil {
		return err
	}
	if !reset {
		return nil
	}
	s.open = false
	reply, _, err := s.read(s.o.Timeouts.Command)
	if err == nil && reply.Code != 250 {
		err = &Error{Kind: Protocol, Op: "RSET", Reply: reply}
	}
	return err
}

// xclientRefused sorts the replies to XCLIENT. Postfix answers everything after them with
// 503, so that the session is spent whatever it was, and only this reply counts.
func (t *transaction) xclientRefused(reply Reply) bool {
	t.s.spent = true
	text := strings.ToLower(reply.Text)
	switch {
	case reply.class() == 4:
		t.receipt.Presented = t.client
		return t.verdict(stageXCLIENT, Deferred, reply)
	case reply.Code == 501:
		// The attributes before the bad one have been applied: the session must not go on.
		t.refused = badAttribute(reply.Text)
		e := &Error{Kind: Protocol, Op: stageXCLIENT, Reply: reply, Text: "attribute refused"}
		if t.refused == "ADDR" && t.client.Addr.Is6() {
			e.Text = "the MTA does not take the address; for IPv6 its listener needs inet_protocols=all"
		}
		return t.fail(stageXCLIENT, e)
	case reply.Code == 550 && strings.Contains(text, "insufficient authorization"):
		return t.misconfigured(reply, "not authorised for XCLIENT", "put this host into smtpd_authorized_xclient_hosts of this listener")
	case reply.class() < 4, reply.Code == 500, reply.Code == 502:
		// postscreen's engine answers 250 or 502 and has not done it.
		return t.misconfigured(reply, "XCLIENT was not carried out", "point the injector at an smtpd listener, not at postscreen or a proxy")
	case reply.Code == 503:
		return t.fail(stageXCLIENT, &Error{Kind: Protocol, Op: stageXCLIENT, Reply: reply, Text: "session out of step"})
	}
	t.receipt.Presented = t.client
	return t.verdict(stageXCLIENT, Refused, reply)
}

// badAttribute finds the attribute that a 501 complains about ("Bad NAME syntax: x"), or "?".
func badAttribute(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return !alnum(byte(r)) && r != '_' || r > '~' })
	for i, w := range words {
		if i < 4 && contains(attributes[:], w) {
			return w
		}
	}
	return "?"
}

// ehlo greets in the client's name. The state is that of a new connection: what
// is offered now counts, XCLIENT above all.
func (t *transaction) ehlo() bool {
	s := t.s
	say, same := sayHELO(t.client.HELO)
	switch {
	case say == "":
		say = s.o.Hello
		t.note("EHLO with our own name: the client's is unknown or cannot be said")
	case !same:
		t.note("HELO masked for EHLO")
	}
	offered := s.ext.xclient
	if e := s.hello(say); e != nil {
		s.spent = true
		return t.greetingRefused(e)
	}
	// What is no longer offered cannot be set again: it would outlive its message.
	gone := func(a string) bool { return !slices.Contains(s.ext.xclient, a) }
	s.spent = slices.ContainsFunc(offered, gone) || s.offersXCLIENT() != nil
	if s.spent && s.onSpent != nil {
		s.onSpent()
	}
	return true
}

// greetingRefused takes the failure of a greeting in the client's name: a refusal is the
// MTA's verdict on the client or its name.
func (t *transaction) greetingRefused(e *Error) bool {
	switch {
	case e.Reply.class() == 4:
		return t.verdict(e.Op, Deferred, e.Reply)
	case e.Reply.class() == 5 && !commandError(e.Reply):
		return t.verdict(e.Op, Refused, e.Reply)
	case e.Kind == Misconfigured:
		e = &Error{Kind: Protocol, Op: e.Op, Reply: e.Reply, Text: "session out of step"}
	}
	return t.fail(e.Op, e)
}
