package inject

import "slices"

// end is how a dialogue ended: the verdict, and what becomes of the session. A step returns nil
// where the dialogue goes on.
type end struct {
	stage string
	// outcome is that of all recipients that have not been refused or deferred before.
	outcome Outcome
	// each says that every recipient has its outcome already.
	each  bool
	reply Reply
	// err is nil where the MTA gave a verdict.
	err *Error
	// session is the state that the session comes to at least.
	session state
	// attribute is the one for which XCLIENT got 501, "?" if the reply named none.
	attribute string
	// unanswered says that the MTA said nothing to this message.
	unanswered bool
}

// verdict is the end by a reply of the MTA that decides.
func verdict(stage string, o Outcome, reply Reply) *end {
	e := &end{stage: stage, outcome: o, reply: reply}
	if closing(reply) {
		e.session = broken
	}
	return e
}

// failure is the end without a verdict, and of the session.
func failure(stage string, err *Error) *end {
	return &end{stage: stage, outcome: Deferred, reply: err.Reply, err: err, session: broken}
}

// lost is the end by an error of the wire.
func lost(stage string, err error) *end { return failure(stage, classify(stage, err)) }

// misconfigured is the end because of how the MTA is set up.
func misconfigured(reply Reply, text, hint string) *end {
	return &end{stage: stageXCLIENT, outcome: Deferred, reply: reply, session: leaving,
		err: &Error{Kind: Misconfigured, Op: stageXCLIENT, Text: text, Reply: reply, Hint: hint}}
}

// unsayable is the end because this MTA cannot be told of this message.
func unsayable(stage, text string, err error) *end {
	return &end{stage: stage, outcome: Withheld, err: &Error{Kind: Unsayable, Op: stage, Text: text, Err: err}}
}

// doubt is the end of a message whose dot was sent and got no reply that makes sense (RFC 1047).
func doubt(err error) *end {
	e := lost(stageDot, err)
	e.outcome = InDoubt
	return e
}

// closing reports whether the server closes the connection behind a reply (RFC 5321
// section 3.8, RFC 7504).
func closing(r Reply) bool { return r.Code == 421 || r.Code == 521 }

// commandError reports whether a reply says that the command, not its argument, was
// wrong (RFC 5321 section 4.2.1): the dialogue is out of step, which is no verdict.
// Postfix answers 503 to everything on a session that it refused for now.
func commandError(r Reply) bool { return r.Code == 500 || r.Code == 502 || r.Code == 503 }

// wantsCredentials reports whether a reply asks for AUTH or STARTTLS first (RFC 4954 section 6, RFC 3207
// section 4), which is about how things are set up and not about a message or recipient.
func wantsCredentials(r Reply) bool { return r.Code == 530 || r.Code == 538 }

// refusal is the end by a reply to MAIL, RCPT, DATA or BDAT that is not the one hoped for.
func refusal(stage string, reply Reply) *end {
	switch {
	case wantsCredentials(reply):
		e := verdict(stage, Deferred, reply)
		e.err = &Error{Kind: Misconfigured, Op: stage, Reply: reply, Text: "the MTA wants authentication or TLS"}
		return e
	case reply.class() == 5 && !commandError(reply):
		return verdict(stage, Refused, reply)
	case reply.class() == 4:
		return verdict(stage, Deferred, reply)
	}
	return failure(stage, &Error{Kind: Protocol, Op: stage, Reply: reply, Text: "unexpected reply"})
}

// rcptVerdict is what a reply to RCPT says of its recipient, and whether it is the end for all.
func rcptVerdict(reply Reply) (Outcome, *end) {
	switch {
	case reply.Code == 421, reply.class() == 3, commandError(reply), wantsCredentials(reply):
		return Deferred, refusal(stageRCPT, reply)
	case reply.Code == 521: // RFC 7504; Postfix closes the connection, with the others unheard
		return Refused, verdict(stageRCPT, Deferred, reply)
	case reply.Code == 552: // RFC 5321 section 4.5.3.1.10: take it for 452
		return Deferred, nil
	case reply.class() == 5:
		return Refused, nil
	}
	return Deferred, nil // with 2xx until the dot has its reply
}

// dotVerdict is the end by the reply to the dot or the last chunk.
func dotVerdict(reply Reply, chunked bool) *end {
	var e *end
	switch {
	case reply.class() == 2:
		return verdict(stageDot, Delivered, reply)
	case reply.class() == 4:
		e = verdict(stageDot, Deferred, reply)
	case chunked && commandError(reply):
		e = refusal(stageDot, reply)
	case reply.class() == 5:
		e = verdict(stageDot, Refused, reply)
	default:
		return doubt(&Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"})
	}
	if chunked { // RFC 3030 does not say that a failed LAST ends the transaction
		e.session = max(e.session, inMail)
	}
	return e
}

// stale reports whether the end may be that of a session too long in use: closed before the
// MTA answered, or out of step with its replies, so that they seem to say that XCLIENT does
// not work here.
func (e *end) stale() bool {
	switch {
	case e.err == nil:
		return false
	case e.err.Kind == Unreachable:
		return e.unanswered
	}
	return e.err.Kind == Misconfigured && e.err.Op == stageXCLIENT
}

// outcomeOf sums up the outcomes of recipients, see Receipt.Outcome.
func outcomeOf(recipients []RecipientReceipt) Outcome {
	for _, o := range []Outcome{InDoubt, Deferred, Delivered, Refused} {
		if slices.ContainsFunc(recipients, func(r RecipientReceipt) bool { return r.Outcome == o }) {
			return o
		}
	}
	return Withheld
}
