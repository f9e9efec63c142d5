package inject

import (
	"fmt"
	"strconv"
)

// envelope sends MAIL, RCPT and, unless chunks follow, DATA, in one write where PIPELINING
// allows it.
func (t *transaction) envelope() bool {
	mail, ok := t.mailCommand()
	if !ok {
		return false
	}
	lines := []string{mail}
	for _, to := range t.to {
		lines = append(lines, t.rcptCommand(to))
	}
	t.chunked = !t.m.DryRun && t.s.chunking()
	if !t.m.DryRun && !t.chunked {
		lines = append(lines, "DATA")
	}
	for at := 0; at < len(lines); {
		n := t.group(lines[at:])
		if ok, done := t.converse(lines, at, at+n); done {
			return ok
		}
		at += n
	}
	if t.chunked {
		return true
	}
	// A dry run ends here; its outcome stays Deferred.
	t.receipt.Stage = stageRCPT
	t.sumUp()
	for _, r := range t.receipt.Recipients {
		if t.receipt.Reply = r.Reply; r.Reply.class() != 2 {
			break
		}
	}
	return false
}

// group returns how many of lines to send in one write: one without PIPELINING, else few
// enough that neither side's replies can fill a buffer while we still write
// (RFC 2920 section 3.1).
func (t *transaction) group(lines []string) int {
	if !t.s.ext.pipelining {
		return 1
	}
	return min(len(lines), 64)
}

// converse sends lines[from:to] and reads their replies. done says that the envelope is
// finished, ok that content may follow.
func (t *transaction) converse(lines []string, from, to int) (ok, done bool) {
	s := t.s
	if err := s.w.inStep(); err != nil {
		return t.lost(t.stageOf(from), err), true
	}
	for _, line := range lines[from:to] {
		s.w.put(line)
	}
	s.open = true
	if _, err := s.w.flush(s.o.Timeouts.Command); err != nil {
		return t.interrupted(t.stageOf(from), err), true
	}
	for i := from; i < to; i++ {
		timeout := s.o.Timeouts.Command
		if t.stageOf(i) == stageDATA {
			timeout = s.o.Timeouts.Data
		}
		reply, _, err := s.w.read(timeout)
		switch {
		case err == nil:
		case t.stageOf(i) == stageDATA && t.accepted == 0: // what matters has been said
			s.broken = true
			return t.noRecipients(), true
		default:
			return t.lost(t.stageOf(i), err), true
		}
		t.fresh = false
		if ok, done = t.replied(i, reply); done {
			if i < to-1 && !s.broken {
				s.broken = !t.drain(to - 1 - i)
			}
			return ok, true
		}
	}
	return false, false
}

// interrupted ends a transaction whose write failed, with what the server had to say last.
func (t *transaction) interrupted(stage string, err error) bool {
	reply, _, err := t.s.w.lastReply(err)
	if err != nil {
		return t.lost(stage, err)
	}
	return t.negative(stage, reply)
}

// drain reads the replies to commands that were sent along with one that failed, and
// reports whether the session can go on. A 354 among them cannot be answered: the
// empty message that a dot would make might be accepted (RFC 2920 section 3.1).
func (t *transaction) drain(n int) bool {
	for range n {
		reply, _, err := t.s.w.read(t.s.o.Timeouts.Command)
		if err != nil || reply.class() == 3 || closing(reply) {
			return false
		}
	}
	return true
}

// stageOf names the stage of the i-th line of the envelope.
func (t *transaction) stageOf(i int) string {
	switch {
	case i == 0:
		return stageMAIL
	case i <= len(t.to):
		return stageRCPT
	}
	return stageDATA
}

// replied takes the reply to the i-th line of the envelope.
func (t *transaction) replied(i int, reply Reply) (ok, done bool) {
	stage := t.stageOf(i)
	switch stage {
	case stageMAIL:
		if reply.class() == 2 {
			return true, false
		}
		return t.negative(stage, reply), true
	case stageRCPT:
		return t.recipient(i-1, reply)
	}
	switch {
	case t.accepted == 0 && reply.class() != 3:
		return t.noRecipients(), true
	case t.accepted == 0:
		t.s.broken = true
		return t.noRecipients(), true
	case reply.Code == 354:
		return true, true
	}
	return t.negative(stage, reply), true
}

// recipient takes the reply to one RCPT.
func (t *transaction) recipient(i int, reply Reply) (ok, done bool) {
	r := &t.receipt.Recipients[i]
	r.Stage, r.Reply = stageRCPT, reply
	switch {
	case reply.Code == 421, reply.class() == 3, commandError(reply), wantsCredentials(reply):
		return t.negative(stageRCPT, reply), true
	case reply.Code == 521: // RFC 7504; Postfix closes the connection, with the others unheard
		r.Outcome = Refused
		return t.verdict(stageRCPT, Deferred, reply), true
	case reply.class() == 2:
		t.accepted++
	case reply.class() == 5 && reply.Code != 552: // RFC 5321 section 4.5.3.1.10: take 552 for 452
		r.Outcome = Refused
	}
	last := i == len(t.to)-1
	if last && t.accepted == 0 && (t.m.DryRun || t.chunked || !t.s.ext.pipelining) {
		return t.noRecipients(), true
	}
	return true, false
}

// noRecipients ends a transaction in which every RCPT was refused.
func (t *transaction) noRecipients() bool {
	t.receipt.Stage = stageRCPT
	t.sumUp()
	for _, r := range t.receipt.Recipients {
		if r.Outcome == t.receipt.Outcome {
			t.receipt.Reply = r.Reply
			break
		}
	}
	return false
}

// commandError reports whether a reply says that the command, not its argument, was
// wrong (RFC 5321 section 4.2.1): the dialogue is out of step, which is no verdict.
// Postfix answers 503 to everything on a session that it refused for now.
func commandError(r Reply) bool { return r.Code == 500 || r.Code == 502 || r.Code == 503 }

// wantsCredentials reports whether a reply asks for AUTH or STARTTLS first (RFC 4954 section 6, RFC 3207
// section 4), which is about how things are set up and not about a message or recipient.
func wantsCredentials(r Reply) bool { return r.Code == 530 || r.Code == 538 }

// negative takes a reply to MAIL, RCPT or DATA that is not the one hoped for.
func (t *transaction) negative(stage string, reply Reply) bool {
	switch {
	case wantsCredentials(reply):
		t.receipt.Err = &Error{Kind: Misconfigured, Op: stage, Reply: reply, Text: "the MTA wants authentication or TLS"}
		return t.verdict(stage, Deferred, reply)
	case reply.class() == 5 && !commandError(reply):
		return t.verdict(stage, Refused, reply)
	case reply.class() == 4:
		return t.verdict(stage, Deferred, reply)
	}
	return t.fail(stage, &Error{Kind: Protocol, Op: stage, Reply: reply, Text: "unexpected reply"})
}

// mailCommand builds MAIL with the parameters that are offered and needed.
func (t *transaction) mailCommand() (string, bool) {
	x := &t.s.ext
	line := "MAIL FROM:<" + t.from + ">"
	if size := t.m.length(); x.size && size >= 0 { // RFC 1870 section 5: an estimate
		if x.sizeLimit > 0 && size > x.sizeLimit { // section 4: it would be refused
			return "", t.unsayable(stageMAIL, fmt.Sprintf("%d octets are more than the MTA takes, %d by its SIZE", size, x.sizeLimit), nil)
		}
		line += " SIZE=" + strconv.FormatInt(size, 10)
	}
	if t.m.EightBit {
		if x.eightBit {
			line += " BODY=8BITMIME"
		} else if t.s.o.EightBit == RefuseEightBit {
			return "", t.unsayable(stageMAIL, "8BITMIME is not offered and the content holds octets above 127", nil)
		} else {
			t.note("8BITMIME not offered: sent as it is")
		}
	}
	utf8 := !ascii(t.from)
	for _, to := range t.to {
		utf8 = utf8 || !ascii(to)
	}
	if utf8 && !x.utf8 {
		return "", t.unsayable(stageMAIL, "SMTPUTF8 is not offered and an address is not ASCII", nil)
	}
	if x.utf8 && (utf8 || t.m.UTF8) {
		line += " SMTPUTF8"
	} else if t.m.UTF8 {
		t.note("SMTPUTF8 not offered: sent as it is")
	}
	return line, true
}

func (t *transaction) rcptCommand(to string) string {
	line := "RCPT TO:<" + to + ">"
	if t.s.o.NotifyNever && t.s.ext.dsn {
		line += " NOTIFY=NEVER"
	}
	return line
}
