package inject

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// transaction is one attempt at one message on one session.
type transaction struct {
	s       *Session
	ctx     context.Context
	m       *Message
	next    func() *Message
	client  Client
	receipt Receipt
	notes   []string

	from     string
	to       []string
	accepted int // recipients that wait for the dot's verdict
	// chunked says that the content goes out by BDAT.
	chunked bool

	// refused is the attribute for which XCLIENT got 501, "?" if the reply named none.
	refused string
	// fresh says that the MTA has said nothing to this message: it may be tried on
	// another connection as if this one had never been.
	fresh bool
}

// Deliver presents m's client and sends m. next, if not nil, is called at most once and may
// return the message to be delivered on this session right after m: its XCLIENT then
// goes out behind m's final dot. The end of ctx closes the connection; once the dot is
// out it only shortens the wait for the verdict to Timeouts.Grace.
func (s *Session) Deliver(ctx context.Context, m *Message, next func() *Message) Receipt {
	client, why := m.Client.Safe(s.o.Never)
	return s.deliver(ctx, m, client, why, next).receipt
}

func newTransaction(s *Session, m *Message, client Client, note string) *transaction {
	t := &transaction{s: s, m: m, client: client, fresh: true}
	t.note(note)
	t.receipt.Recipients = make([]RecipientReceipt, len(m.To))
	for i, to := range m.To {
		t.receipt.Recipients[i].Address = to
	}
	return t
}

func (s *Session) deliver(ctx context.Context, m *Message, client Client, note string, next func() *Message) *transaction {
	t := newTransaction(s, m, client, note)
	t.ctx, t.next = ctx, next
	stop := s.w.watch(ctx)
	_ = t.inStep() && t.address() && t.introduce() && t.envelope() && t.content()
	if !stop() {
		s.broken = true // by the end of ctx
	}
	s.w.setDotSent(false)
	if e := t.receipt.Err; e != nil && e.Kind == Unreachable && ctx.Err() != nil {
		e.Kind, e.Err = Aborted, context.Cause(ctx)
	}
	t.receipt.Note = strings.Join(t.notes, "; ")
	return t
}

// inStep refuses a session that cannot take this message.
func (t *transaction) inStep() bool {
	s, proxied := t.s, t.s.o.proxied()
	if s.announced != nil && s.announced != t.m || !s.Reusable() || proxied && (s.told == nil || *s.told != t.client) {
		return t.fail(stageXCLIENT, &Error{Kind: Protocol, Op: stageXCLIENT, Text: "session not usable"})
	}
	// A PROXY header presents one client for good, whatever becomes of the message.
	s.spent = proxied
	return true
}

func (t *transaction) note(s string) {
	if s != "" {
		t.notes = append(t.notes, s)
	}
}

// verdict ends the transaction by a reply of the MTA.
func (t *transaction) verdict(stage string, o Outcome, reply Reply) bool {
	t.fresh = false
	t.receipt.Stage, t.receipt.Reply = stage, reply
	t.settle(o, reply)
	if closing(reply) {
		t.s.broken = true
	}
	return false
}

// closing reports whether the server closes the connection behind a reply (RFC 5321
// section 3.8, RFC 7504).
func closing(r Reply) bool { return r.Code == 421 || r.Code == 521 }

// settle gives the outcome to all recipients that have none of their own.
func (t *transaction) settle(o Outcome, reply Reply) {
	for i := range t.receipt.Recipients {
		if r := &t.receipt.Recipients[i]; r.Reply.Code == 0 || r.Reply.class() == 2 {
			r.Outcome, r.Stage, r.Reply = o, t.receipt.Stage, reply
		}
	}
	t.sumUp()
	if len(t.receipt.Recipients) == 0 {
		t.receipt.Outcome = o
	}
}

// sumUp derives Outcome from the recipients'.
func (t *transaction) sumUp() {
	var seen [Withheld + 1]bool
	for _, r := range t.receipt.Recipients {
		seen[r.Outcome] = true
	}
	for _, o := range []Outcome{InDoubt, Deferred, Delivered, Refused, Withheld} {
		if seen[o] {
			t.receipt.Outcome = o
			return
		}
	}
}

// fail ends the transaction without a verdict. The session is of no more use.
func (t *transaction) fail(stage string, e *Error) bool {
	t.s.broken = true
	return t.conclude(stage, e)
}

// conclude ends the transaction without a verdict.
func (t *transaction) conclude(stage string, e *Error) bool {
	t.receipt.Stage, t.receipt.Err, t.receipt.Reply = stage, e, e.Reply
	t.settle(Deferred, e.Reply)
	return false
}

func (t *transaction) lost(stage string, err error) bool { return t.fail(stage, classify(stage, err)) }

// misconfigured ends the transaction and the session because of how the MTA is set up.
func (t *transaction) misconfigured(reply Reply, text, hint string) bool {
	t.fresh = false
	t.s.spent = true
	t.receipt.Stage, t.receipt.Reply = stageXCLIENT, reply
	t.receipt.Err = &Error{Kind: Misconfigured, Op: stageXCLIENT, Text: text, Reply: reply, Hint: hint}
	t.settle(Deferred, reply)
	return false
}

// unsayable ends the transaction because this MTA cannot be told of this message.
func (t *transaction) unsayable(stage, text string, err error) bool {
	t.fresh = false
	t.receipt.Stage, t.receipt.Reply = stage, Reply{}
	t.receipt.Err = &Error{Kind: Unsayable, Op: stage, Text: text, Err: err}
	t.settle(Withheld, Reply{})
	return false
}

// address checks the envelope before a word is said about the message.
func (t *transaction) address() bool {
	var err error
	if t.from, err = ParsePath(t.m.From); err != nil {
		return t.giveWay(t.unsayable(stageMAIL, "reverse-path", err))
	}
	if t.m.NUL && t.s.o.NUL == RefuseNUL {
		return t.giveWay(t.unsayable(stageMAIL, "the content holds a NUL", nil))
	}
	if len(t.m.To) == 0 {
		return t.giveWay(t.unsayable(stageRCPT, "no recipients", nil))
	}
	t.to = make([]string, len(t.m.To))
	for i, to := range t.m.To {
		if t.to[i], err = ParseRecipient(to); err != nil {
			return t.giveWay(t.unsayable(stageRCPT, "forward-path", err))
		}
	}
	return true
}

// giveWay ends a session whose reply to this message's XCLIENT is still due.
func (t *transaction) giveWay(result bool) bool {
	if t.s.announced == t.m {
		t.s.broken = true
	}
	return result
}

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

// content sends header, body and dot or last chunk, and takes the verdict.
func (t *transaction) content() bool {
	t.receipt.Stage = stageDATA
	if err := t.copyBody(); err != nil {
		return t.cutShort(err)
	}
	if t.m.BeforeDot != nil {
		if err := t.m.BeforeDot(t.ctx); err != nil {
			return t.local("not completed", err)
		}
	}
	if err := t.s.w.unsolicited(); err != nil {
		return t.early(err)
	}
	return t.finalDot()
}

// cutShort ends a transaction whose content could not be sent in full: never with a dot.
func (t *transaction) cutShort(err error) bool {
	var chunk *chunkError
	var local *localError
	switch {
	case errors.As(err, &chunk) && chunk.err != nil:
		return t.lost(stageDATA, chunk.err)
	case errors.As(err, &chunk):
		return t.negative(stageDATA, chunk.reply)
	case errors.As(err, &local):
		return t.local("content", local.err)
	}
	return t.interrupted(stageDATA, err)
}

// local ends a transaction because of our side of it. Within DATA nothing but closing the
// connection keeps what was sent from being taken; chunks without a last one are nothing.
func (t *transaction) local(text string, err error) bool {
	t.s.broken = t.s.broken || !t.chunked
	return t.conclude(stageDATA, &Error{Kind: Local, Op: stageDATA, Text: text, Err: err})
}

// early ends a transaction in which the server spoke before the dot. A refusal
// is one; nothing else can be a verdict on content that it has not seen in full.
func (t *transaction) early(err error) bool {
	if !errors.Is(err, errMalformed) {
		return t.lost(stageDATA, err)
	}
	reply, _, rerr := t.s.w.read(time.Second)
	if rerr != nil {
		return t.lost(stageDATA, rerr)
	}
	if reply.class() >= 4 {
		t.negative(stageDATA, reply)
	} else {
		t.fail(stageDATA, &Error{Kind: Protocol, Op: stageDATA, Reply: reply, Text: "reply before the final dot"})
	}
	t.s.broken = true
	return false
}

// finalDot sends the dot or the last chunk, behind it the next message's XCLIENT or QUIT, and
// reads the verdict.
func (t *transaction) finalDot() bool {
	s := t.s
	if t.chunked {
		s.putChunk(" LAST")
	} else {
		s.w.trace("C: ", ".")
		s.w.out = append(s.w.out, dotCRLF...)
	}
	end := len(s.w.out)
	t.follow()
	s.w.setDotSent(true)
	t.receipt.Stage = stageDot
	n, err := s.w.flush(s.o.Timeouts.Block)
	if err != nil {
		s.announced = nil
		if n < end { // the dot never left
			return t.interrupted(stageDATA, err)
		}
		s.broken = true // and yet the verdict may be waiting
	}
	if s.o.LMTP {
		return t.lmtpVerdicts()
	}
	reply, _, err := s.w.read(s.o.Timeouts.Dot)
	if err != nil {
		return t.doubt(err)
	}
	return t.judge(reply)
}

// follow puts behind the dot what may be sent before its reply (RFC 2920 section 3.1
// lets content begin a group): the next XCLIENT where the session can be reset in place,
// QUIT where it is spent.
func (t *transaction) follow() {
	s := t.s
	if !s.ext.pipelining || t.s.o.Carrier != XCLIENT {
		return
	}
	if s.spent {
		s.w.put("QUIT")
		s.quit = true
		return
	}
	if t.next == nil || s.o.XCLIENT == Off || s.offersXCLIENT() != nil {
		return
	}
	if m := t.next(); m != nil {
		client, _ := m.Client.Safe(s.o.Never)
		s.w.put(client.Commands(s.ext.xclient)[0])
		s.announced = m
	}
}

// judge takes the reply to the dot.
func (t *transaction) judge(reply Reply) bool {
	t.s.open = t.chunked && reply.class() != 2 // RFC 3030 does not say that a failed LAST ends it
	switch reply.class() {
	case 2:
		t.receipt.QueueID = queueID(reply.Text)
		return t.verdict(stageDot, Delivered, reply)
	case 4:
		return t.verdict(stageDot, Deferred, reply)
	case 5:
		if t.chunked && commandError(reply) {
			return t.negative(stageDot, reply)
		}
		return t.verdict(stageDot, Refused, reply)
	}
	return t.doubt(&Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"})
}

// doubt ends a transaction whose dot was sent and got no reply that can be understood.
func (t *transaction) doubt(err error) bool {
	e := classify(stageDot, err)
	t.s.broken = true
	t.fresh = false
	t.receipt.Stage, t.receipt.Err, t.receipt.Reply = stageDot, e, e.Reply
	t.settle(InDoubt, e.Reply)
	return false
}

// lmtpVerdicts takes one reply to the dot for each recipient accepted (RFC 2033 section 4.2).
func (t *transaction) lmtpVerdicts() bool {
	t.s.open = false
	for i := range t.receipt.Recipients {
		r := &t.receipt.Recipients[i]
		if r.Reply.class() != 2 {
			continue
		}
		reply, _, err := t.s.w.read(t.s.o.Timeouts.Dot)
		if err == nil && reply.class() == 3 {
			err = &Error{Kind: Protocol, Op: stageDot, Reply: reply, Text: "unexpected reply"}
		}
		if err != nil {
			t.s.broken = true
			t.receipt.Err = classify(stageDot, err)
			t.doubtFrom(i)
			return false
		}
		r.Stage, r.Reply = stageDot, reply
		r.Outcome = [...]Outcome{2: Delivered, 4: Deferred, 5: Refused}[reply.class()]
		t.receipt.Reply = reply
		if r.Outcome == Delivered && t.receipt.QueueID == "" {
			t.receipt.QueueID = queueID(reply.Text)
		}
		t.s.broken = t.s.broken || closing(reply)
	}
	t.fresh = false
	t.sumUp()
	return false
}

// doubtFrom puts the recipients from i on whose verdict is missing in doubt.
func (t *transaction) doubtFrom(i int) {
	for ; i < len(t.receipt.Recipients); i++ {
		if r := &t.receipt.Recipients[i]; r.Reply.class() == 2 {
			r.Outcome, r.Stage, r.Reply = InDoubt, stageDot, Reply{}
		}
	}
	t.fresh = false
	t.sumUp()
}
