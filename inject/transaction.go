package inject

import (
	"context"
	"strings"
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
