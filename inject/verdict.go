package inject

import (
	"slices"
	"strings"
)

// end is how the dialogue of a transaction ended: the verdict, and what becomes of the session. A
// step returns nil if the dialogue goes on.
type end struct {
	stage string
	// outcome applies to all recipients that were not refused or deferred at RCPT.
	outcome Outcome
	// each says that every recipient has its own outcome already.
	each  bool
	reply Reply
	// err is nil where the MTA gave a verdict.
	err *Error
	// session is the state of the session after this, if it is not in a later one already.
	session state
	// attribute is the XCLIENT attribute that was refused with 501, "?" if the reply named none.
	attribute string
	// unanswered says that the MTA said nothing to this message.
	unanswered bool
	// begun says that content of the message may have been sent.
	begun bool
	// others are the recipients for whom another attempt is due, without the one that ended this one.
	others []string
	// beforeClient says that it went wrong before the client was presented.
	beforeClient bool
}

// verdict is the end by a reply of the MTA that decides.
func verdict(stage string, o Outcome, reply Reply) *end {
	e := &end{stage: stage, outcome: o, reply: reply}
	if closing(reply) {
		e.session = broken
	}
	return e
}

// failure is the end without a verdict. It breaks the session.
func failure(stage string, err *Error) *end {
	return &end{stage: stage, outcome: Deferred, reply: err.Reply, err: err, session: broken}
}

// lost is the end by an error of the wire.
func lost(stage string, err error) *end { return failure(stage, classify(stage, err)) }

// misconfigured is the end because of the way in which the MTA is set up.
func misconfigured(reply Reply, text, hint string) *end {
	return &end{stage: stageXCLIENT, outcome: Deferred, reply: reply, session: leaving,
		err: &Error{Kind: Misconfigured, Op: stageXCLIENT, Text: text, Reply: reply, Advice: hint}}
}

// notOffered is the end where the session offers no way to present a client.
func notOffered(err *Error) *end {
	e := misconfigured(Reply{}, err.Text, err.Advice)
	e.beforeClient = true
	return e
}

// withheld is the end of a message that cannot be sent to this MTA as it is.
func withheld(stage, text string, err error) *end {
	return &end{stage: stage, outcome: Withheld, err: &Error{Kind: Unsendable, Op: stage, Text: text, Err: err}}
}

// doubt is the end after a dot that got no reply, or none that can be understood (RFC 1047).
func doubt(err error) *end {
	e := lost(stageDot, err)
	e.outcome = InDoubt
	return e
}

// closing reports whether the server closes the connection after a reply (RFC 5321 section 3.8,
// RFC 7504).
func closing(r Reply) bool { return r.Code == 421 || r.Code == 521 }

// commandError reports whether a reply says that the command was wrong, not its argument (RFC 5321
// section 4.2.1). Such a reply is no verdict: the dialogue is out of step. Postfix answers
// everything with 503 on a session that it has refused. Postfix and Exim say 554 where a command came too early.
func commandError(r Reply) bool {
	if r.Code == 554 {
		text := r.BehindQuotes()
		return strings.Contains(text, "protocol synchronization") || strings.Contains(text, "synchronization error")
	}
	return r.Code == 500 || r.Code == 502 || r.Code == 503
}

// wantsCredentials reports whether a reply asks for AUTH or STARTTLS first (RFC 4954 section 6, RFC
// 3207 section 4). That is a matter of configuration, not of a message or recipient.
func wantsCredentials(r Reply) bool { return r.Code == 530 || r.Code == 538 }

// refusal is the end by a reply to MAIL, RCPT, DATA or BDAT that does not let the dialogue go on.
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

// rcptVerdict returns the outcome of a recipient by the reply to its RCPT, and an end if that reply
// ends the transaction for all recipients.
func rcptVerdict(reply Reply) (Outcome, *end) {
	switch {
	case reply.Code == 421, reply.class() == 3, commandError(reply), wantsCredentials(reply):
		return Deferred, refusal(stageRCPT, reply)
	case reply.Code == 521: // RFC 7504: the connection is closed, and the other recipients are undecided
		return Refused, verdict(stageRCPT, Deferred, reply)
	case reply.Enhanced == "5.2.3", reply.Enhanced == "5.3.4": // too large, which it will be tomorrow
		return Refused, nil
	case reply.Code == 552: // RFC 5321 section 4.5.3.1.10: take it for 452
		return Deferred, nil
	case reply.class() == 5:
		return Refused, nil
	}
	return Deferred, nil // after 2xx only until the dot has its reply
}

// dotVerdict is the end by the reply to the dot or the last chunk.
func dotVerdict(reply Reply, chunked bool) *end {
	var e *end
	switch {
	case reply.Code == 220, reply.Code == 221: // those to XCLIENT and QUIT: never a word about content
		return doubt(&Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"})
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
	if chunked { // RFC 3030 does not say that a refused last chunk ends the mail transaction
		e.session = max(e.session, inMail)
	}
	return e
}

// stale reports whether the reason may be that the session was in use, and not the message: so that it is tried again
// on a fresh one. Never once content was sent.
func (e *end) stale() bool {
	// A reply may say that the session has come to its end: with 421 at any command (RFC 5321 section 3.8), which Postfix
	// says of time and errors and Exim of messages, or with 452 4.5.3 before a recipient was accepted, which OpenSMTPD
	// says of messages.
	atEnd := e.reply.Code == 421
	switch e.stage {
	case stageMAIL, stageRCPT:
		tooMany := e.reply.Code == 452 && e.reply.Enhanced == "4.5.3"
		atEnd = atEnd || tooMany
	}
	switch {
	case e.begun:
		return false
	case e.err == nil:
		return e.outcome == Deferred && atEnd
	case e.err.Op == "RSET": // of the message before
		return true
	case e.err.Kind == Unreachable:
		return e.unanswered // closed before the MTA had answered
	case e.err.Kind == Protocol:
		return e.unanswered && e.attribute == "" // out of step
	}
	// Out of step as well: the reply to an earlier command seems to say that XCLIENT does not work here.
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
