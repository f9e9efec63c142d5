package inject

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// transaction is one attempt at one message on one session.
type transaction struct {
	s      *Session
	m      *Message
	client Client // as it may be presented
	next   func() *Message
	notes  []string

	from       string
	to         []string
	recipients []RecipientReceipt

	// last says that this is the session's last message.
	last bool
	// presented are the attributes of the client that the MTA was given; given says that it was given any.
	presented Client
	given     bool
	// introduced is the reply to XCLIENT.
	introduced Reply
	// sent are MAIL, RCPT and DATA.
	sent pipeline
	// chunked says that the content goes out by BDAT.
	chunked bool
	// begun says that content may have been sent.
	begun bool
}

// Deliver presents m's client and sends m. next, if not nil, is called at most once and may
// return the message to be delivered on this session right after m: its XCLIENT is then
// sent with m's final dot. The end of ctx closes the connection; once the dot is sent
// it only shortens the wait for the verdict to Timeouts.Grace.
func (s *Session) Deliver(ctx context.Context, m *Message, next func() *Message) Receipt {
	client, why := m.Client.Safe(s.o.Never)
	receipt, _ := s.deliver(ctx, m, client, []string{why}, next)
	return receipt
}

func (s *Session) deliver(ctx context.Context, m *Message, client Client, notes []string, next func() *Message) (Receipt, *end) {
	t := newTransaction(m, client, notes)
	t.s, t.next, t.last = s, next, s.o.Carrier.byProxy()
	stop := s.w.watch(ctx)
	e := t.dialogue(ctx)
	t.leave(e)
	if !stop() {
		s.state = broken // by the end of ctx
	}
	s.w.setDotSent(false)
	if e.err != nil && e.err.Kind == Unreachable && ctx.Err() != nil {
		e.err.Kind, e.err.Err = Aborted, context.Cause(ctx)
	}
	return t.receipt(e), e
}

func newTransaction(m *Message, client Client, notes []string) *transaction {
	t := &transaction{m: m, client: client, recipients: make([]RecipientReceipt, len(m.To))}
	for _, n := range notes {
		t.note(n)
	}
	for i, to := range m.To {
		t.recipients[i].Address = to
	}
	return t
}

// dialogue holds the transaction in the order of the wire. Every step can be the end of it.
func (t *transaction) dialogue(ctx context.Context) *end {
	s := t.s
	if e := t.admit(); e != nil {
		if s.state == pipelined { // the reply to its XCLIENT stays unread
			e.session = broken
		}
		return e
	}

	// XCLIENT and EHLO, or what the carrier uses instead.
	if e := t.present(); e != nil {
		return e
	}

	// MAIL, RCPT, and DATA unless BDAT follows: one write if PIPELINING is offered.
	commands, e := t.envelope()
	if e != nil {
		return e
	}
	t.sent = pipeline{w: s.w, commands: commands, window: 1}
	if s.ext.pipelining {
		t.sent.window = maxWindow
	}
	s.state = inMail
	reply, err := t.sent.next()
	switch {
	case err != nil:
		return lost(stageMAIL, err)
	case reply.class() != 2:
		return refusal(stageMAIL, reply)
	}
	accepted := 0
	for i := range t.recipients {
		if reply, err = t.sent.next(); err != nil {
			return lost(stageRCPT, err)
		}
		r := &t.recipients[i]
		r.Stage, r.Reply = stageRCPT, reply
		if r.Outcome, e = rcptVerdict(reply); e != nil {
			return e
		}
		if reply.class() == 2 {
			accepted++
		}
	}
	switch {
	case accepted == 0 || t.m.DryRun:
		return t.unsent(accepted)
	case !t.chunked:
		if reply, err = t.sent.next(); err != nil {
			return lost(stageDATA, err)
		}
		if reply.Code != 354 {
			return refusal(stageDATA, reply)
		}
	}

	// The content. No dot follows unless all of it was sent.
	t.begun = true
	if e := t.content(); e != nil {
		return e
	}
	if t.m.BeforeDot != nil {
		if err := t.m.BeforeDot(ctx); err != nil {
			return t.local("not completed", err)
		}
	}
	// What the MTA says before it has seen all of the content can be a refusal, and nothing else.
	if err := s.w.unsolicited(); err != nil {
		return t.interrupted(err)
	}
	return t.dot(accepted)
}

// admit checks the session and the envelope before anything is sent.
func (t *transaction) admit() *end {
	s := t.s
	otherMessage := s.state == pipelined && s.pipelined != t.m
	otherClient := s.o.Carrier.byProxy()
	if s.proxied != nil {
		otherClient = *s.proxied != t.client
	}
	if !s.Reusable() || otherMessage || otherClient {
		return failure(stageXCLIENT, &Error{Kind: Protocol, Op: stageXCLIENT, Text: "session not usable"})
	}
	var err error
	if t.from, err = ParsePath(t.m.From); err != nil {
		return withheld(stageMAIL, "reverse-path", err)
	}
	if t.m.NUL && s.o.NUL == RefuseNUL {
		return withheld(stageMAIL, "the content holds a NUL", nil)
	}
	if len(t.m.To) == 0 {
		return withheld(stageRCPT, "no recipients", nil)
	}
	t.to = make([]string, len(t.m.To))
	for i, to := range t.m.To {
		if t.to[i], err = ParseRecipient(to); err != nil {
			return withheld(stageRCPT, "forward-path", err)
		}
	}
	return nil
}

// present presents the client by the carrier, and resets an earlier mail transaction.
func (t *transaction) present() *end {
	s := t.s
	switch {
	case s.o.Carrier == XFORWARD:
		return t.xforward()
	case s.o.Carrier.byProxy(): // presented before the greeting, and named by EHLO
		t.notePresented(append(slices.Clip(proxyAttributes), "HELO"))
	case s.o.XCLIENT == Off, s.o.XCLIENT == IfAvailable && s.ext.xclient == nil:
		t.note("no XCLIENT: the MTA takes this host for the client")
	default:
		return t.xclient()
	}
	return t.reset()
}

// notePresented notes that the MTA was given these attributes of the client, by XCLIENT's names for them.
func (t *transaction) notePresented(attributes []string) {
	c, p := &t.client, Client{ESMTP: t.client.ESMTP, SMTP: t.client.SMTP}
	for _, a := range attributes {
		switch strings.ToUpper(a) {
		case "ADDR":
			p.Addr = c.Addr
		case "NAME": // sets both
			p.Name, p.NameTemporary = c.Name, c.NameTemporary
			if c.Name != "" {
				p.ReverseName = c.Name
			}
		case "REVERSE_NAME":
			p.ReverseName = c.ReverseName
		case "HELO":
			p.HELO = c.HELO
		case "PORT":
			p.Port = c.Port
		case "DESTADDR":
			p.DestAddr = c.DestAddr
		case "DESTPORT":
			p.DestPort = c.DestPort
		}
	}
	t.presented, t.given = p, true
}

// reset ends an earlier mail transaction that is still open.
func (t *transaction) reset() *end {
	if t.s.state != inMail {
		return nil
	}
	reply, _, err := t.s.w.command(t.s.o.Timeouts.Command, "RSET")
	switch {
	case err != nil:
		return lost(stageMAIL, err)
	case reply.Code != 250:
		return failure(stageMAIL, &Error{Kind: Protocol, Op: "RSET", Reply: reply})
	}
	t.s.state = idle
	return nil
}

// envelope returns the commands MAIL, RCPT and DATA, with the parameters that are needed and offered.
func (t *transaction) envelope() ([]command, *end) {
	o, x := t.s.o, &t.s.ext
	// Also where SMTPUTF8 is offered: what was accepted with it can be delivered only by it, and an MTA bounces it where the next one, such as
	// Dovecot's LMTP server, does not offer it (RFC 6531 section 3.2).
	from, to, needed := t.inASCII()
	switch {
	case needed == nil:
		if from != t.from || !slices.Equal(to, t.to) {
			t.note("domains in ASCII")
		}
		t.from, t.to = from, to
	case !x.utf8:
		return nil, needed
	}
	utf8 := t.m.UTF8 || needed != nil
	if utf8 && !x.utf8 {
		t.note("SMTPUTF8 not offered: sent as it is")
	}
	mail := "MAIL FROM:<" + t.from + ">"
	if size := t.m.length(); x.size && size >= 0 { // RFC 1870 section 5: an estimate
		if x.sizeLimit > 0 && size > x.sizeLimit { // section 4: it would be refused
			return nil, withheld(stageMAIL, fmt.Sprintf("%d octets are more than the MTA takes, %d by its SIZE", size, x.sizeLimit), nil)
		}
		mail += " SIZE=" + strconv.FormatInt(size, 10)
	}
	switch {
	case !t.m.EightBit:
	case x.eightBit:
		mail += " BODY=8BITMIME"
	case o.EightBit == RefuseEightBit:
		return nil, withheld(stageMAIL, "8BITMIME is not offered and the content holds octets above 127", nil)
	default:
		t.note("8BITMIME not offered: sent as it is")
	}
	if utf8 && x.utf8 {
		mail += " SMTPUTF8"
	}
	notify := ""
	if o.DSN == DSNNever && x.dsn {
		notify = " NOTIFY=NEVER"
	}
	commands := []command{{mail, o.Timeouts.Command}}
	for _, to := range t.to {
		commands = append(commands, command{"RCPT TO:<" + to + ">" + notify, o.Timeouts.Command})
	}
	t.chunked = o.Chunking && x.chunking && x.pipelining && o.Dialect != LMTP
	if !t.m.DryRun && !t.chunked {
		commands = append(commands, command{"DATA", o.Timeouts.Data})
	}
	return commands, nil
}

// inASCII returns the addresses of the envelope in ASCII, or why they need SMTPUTF8: a domain has a form in ASCII, a local-part has none.
func (t *transaction) inASCII() (from string, to []string, needed *end) {
	from, ok := asciiPath(t.from)
	if !ok {
		return "", nil, withheld(stageMAIL, "SMTPUTF8 is not offered, and the sender is not ASCII before the @", nil)
	}
	for _, each := range t.to {
		each, ok := asciiPath(each)
		if !ok {
			e := withheld(stageRCPT, "SMTPUTF8 is not offered, and a recipient is not ASCII before the @", nil)
			e.err.Advice = "have the MTA offer it (Postfix: smtputf8_enable), or name a recipient in ASCII"
			return "", nil, e
		}
		to = append(to, each)
	}
	return from, to, nil
}

// unsent is the end of a message that goes no further than RCPT, because no recipient was accepted
// or because it is a dry run. The first reply that decided becomes the receipt's.
func (t *transaction) unsent(accepted int) *end {
	outcome := outcomeOf(t.recipients)
	decided := func(r RecipientReceipt) bool { return r.Outcome == outcome }
	if accepted > 0 {
		decided = func(r RecipientReceipt) bool { return r.Reply.class() != 2 }
	}
	i := slices.IndexFunc(t.recipients, decided)
	if i < 0 {
		i = len(t.recipients) - 1
	}
	return &end{stage: stageRCPT, each: true, reply: t.recipients[i].Reply}
}

// local is the end by a failure on our side. After DATA only closing the connection keeps the MTA
// from accepting what was sent; chunks without a last one are no message.
func (t *transaction) local(text string, err error) *end {
	e := &end{stage: stageDATA, outcome: Deferred, err: &Error{Kind: Local, Op: stageDATA, Text: text, Err: err}}
	if !t.chunked {
		e.session = broken
	}
	return e
}

// interrupted is the end because err kept us from sending all of the message: by the refusal that
// the server sent before, if there is one.
func (t *transaction) interrupted(err error) *end {
	reply, err := t.s.w.lastReply(err)
	if err != nil {
		return lost(stageDATA, err)
	}
	return refusal(stageDATA, reply)
}

// dot sends the dot or the last chunk, and takes the verdict on so many recipients.
func (t *transaction) dot(accepted int) *end {
	s := t.s
	if t.chunked {
		s.putChunk(" LAST")
	} else {
		s.w.putRaw(".", dotCRLF)
	}
	size := len(s.w.out)
	s.state = idle

	// Some commands may be sent before the reply to the dot (RFC 2920 section 3.1 lets content
	// begin a group): QUIT if the message is the session's last, else the next message's
	// XCLIENT if the session can be reset in place. A session that has served messages in vain may not be
	// the next one's. Where LMTP is to bring several verdicts, nothing goes along: a server that says too few of them
	// would be heard with the reply to that.
	several := s.o.Dialect == LMTP && accepted > 1
	switch {
	case several, !s.ext.pipelining, s.o.Carrier != XCLIENT:
	case t.last:
		s.w.put("QUIT")
		s.state = quitSent
	case t.next == nil, s.o.XCLIENT == Off, s.strain != strain{}, s.offersXCLIENT() != nil:
	default:
		if m := t.next(); m != nil {
			client, _ := m.Client.Safe(s.o.Never)
			s.w.put(client.Commands(s.ext.xclient)[0])
			s.state, s.pipelined = pipelined, m
		}
	}

	if t.m.MayEnd != nil {
		if err := t.m.MayEnd(); err != nil {
			e := failure(stageDATA, &Error{Kind: Aborted, Op: stageDATA, Text: "not completed", Err: err})
			s.w.fail(e.err) // what waits to be written never is
			return e
		}
	}
	s.w.setDotSent(true)
	if n, err := s.w.flush(s.o.Timeouts.Block); err != nil && n < size {
		return t.interrupted(err) // the dot never left
	}
	// If the dot was written and what follows it was not, the verdict may still come.
	if s.o.Dialect != LMTP {
		return t.readVerdict()
	}
	// LMTP has a reply for each accepted recipient (RFC 2033 section 4.2). If one is missing,
	// the recipients after it are in doubt too.
	var e *end
	session := idle
	for i := range t.recipients {
		r := &t.recipients[i]
		if r.Reply.class() != 2 {
			continue
		}
		if e == nil || e.outcome != InDoubt {
			e = t.readVerdict()
			session = max(session, e.session)
		}
		r.Outcome, r.Stage, r.Reply = e.outcome, stageDot, e.reply
	}
	e.each, e.session = true, session
	return e
}

func (t *transaction) readVerdict() *end {
	reply, _, err := t.s.w.read(t.s.o.Timeouts.Dot)
	if err != nil {
		return doubt(err)
	}
	return dotVerdict(reply, t.chunked)
}

// leave brings the session to its state after e.
func (t *transaction) leave(e *end) {
	s := t.s
	e.unanswered = t.introduced.Code == 0 && t.sent.taken == 0
	e.begun = t.begun
	// Replies to commands that were sent together with a failed one are still due. A 354 among
	// them ends the session: a dot would make an empty message, which might be accepted (RFC
	// 2920 section 3.1).
	for e.session < broken && t.sent.due > 0 {
		reply, err := t.sent.next()
		if err != nil || reply.class() == 3 || closing(reply) {
			e.session = broken
		}
	}
	if s.w.err != nil {
		e.session = broken
	}
	e.others = t.others(e)
	if t.last {
		e.session = max(e.session, leaving)
	}
	s.state = max(s.state, e.session)
	delivered := e.outcome == Delivered || slices.ContainsFunc(t.recipients, func(r RecipientReceipt) bool { return r.Outcome == Delivered })
	if delivered {
		s.strain = strain{}
	} else {
		s.strain = strain{errors: s.strain.errors + s.w.negative, undelivered: s.strain.undelivered + 1}
	}
	s.w.negative = 0
}

// receipt makes the receipt of the message. It is the only function that makes one; [Receipt.with] and [Receipt.and] combine two.
func (t *transaction) receipt(e *end) Receipt {
	r := Receipt{Outcome: e.outcome, Stage: e.stage, Reply: e.reply, Recipients: t.recipients, Presented: t.presented, ClientGiven: t.given,
		Note: strings.Join(t.notes, "; "), Err: e.err, BeforeClient: e.beforeClient}
	for i := range r.Recipients {
		to := &r.Recipients[i]
		undecided := to.Reply.Code == 0 || to.Reply.class() == 2
		if undecided && !e.each {
			to.Outcome, to.Stage, to.Reply = e.outcome, e.stage, e.reply
		}
		if to.Outcome == Delivered && r.QueueID == "" {
			r.QueueID = queueID(to.Reply.Text)
		}
	}
	if len(r.Recipients) > 0 {
		r.Outcome = outcomeOf(r.Recipients)
	}
	return r
}

func (t *transaction) note(s string) {
	if s != "" {
		t.notes = append(t.notes, s)
	}
}
