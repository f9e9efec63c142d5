package inject

import (
	"context"
	"slices"
	"time"
)

// worker delivers messages one after the other, on one session at a time.
type worker struct {
	p       *Pool
	session *Session
	// used says that the session has been idle or has delivered: the MTA may have closed it since.
	used bool
	// held is a job taken from the queue early, to send its XCLIENT with the dot of the one before.
	held *job
	// spare is a session being opened: for a message that has been waiting for it, or ahead of need for MTAs
	// where each session serves one message only.
	spare *spare
	// promised says that the session, or the one being opened, is for a message that is expected and has not come yet.
	promised bool
	// refusedAt is when the MTA last took no further connection of this worker.
	refusedAt time.Time
}

// fullPause is how long a worker that the MTA turned away leaves its messages to those with a session, before
// it tries again.
const fullPause = 5 * time.Second

// spare is a session being opened by a goroutine of its own.
type spare struct {
	opened chan opened
	cancel context.CancelFunc
	// expected says that it is opened for a message that is expected: what comes of it is for the first message that waits for it.
	expected bool
}

// opened is what became of a session being opened.
type opened struct {
	session *Session
	err     *Error
}

// work delivers until the queue is closed and empty, or there are too many workers.
func (w *worker) work() {
	for j := w.take(); j != nil; j = w.take() {
		receipt, mine := w.deliver(j)
		if mine {
			j.done(receipt)
		}
		if w.session != nil && !w.session.Reusable() {
			w.dismiss()
		}
		if mine {
			w.p.judged(receipt.Outcome, w.session == nil)
		}
		if w.held == nil && w.p.leave(w.session != nil) {
			break
		}
	}
	w.retire()
}

// join makes one more worker. It opens its session before it takes a message: if the MTA bears no more of them, that is at
// no message's cost.
func (w *worker) join() {
	w.begin()
	select {
	case o := <-w.spare.opened:
		w.spare.cancel()
		w.spare = nil
		w.p.joined(o.err == nil)
		if o.err == nil {
			w.adopt(o.session, true)
			w.work()
		}
	case <-w.p.ending:
		w.retire()
	}
}

// take waits for the next job, and returns nil at the end. A worker with a session also takes over what another
// waits to open one for. Sessions are closed when no job has come for a while.
func (w *worker) take() *job {
	if j := w.held; j != nil {
		w.held = nil
		return j
	}
	if w.session != nil {
		if j := w.ahead(); j != nil {
			return j
		}
	}
	for {
		if j, ends := w.takeWhile(); j != nil || ends {
			return j
		}
		select {
		case j := <-w.p.queue:
			return j
		default:
		}
		if w.p.leaveIdle(true) { // it has no session that the MTA has shown to bear
			return nil
		}
		select {
		case j := <-w.p.queue:
			return j
		case <-w.p.expected:
			w.begin()
			w.spare.expected, w.promised = true, true
		}
	}
}

// takeWhile waits for the next job while there is a session, or one is being opened. ends is true where the worker is to end.
func (w *worker) takeWhile() (j *job, ends bool) {
	idle := time.NewTimer(w.p.o.Timeouts.Idle)
	defer idle.Stop()
	for w.session != nil || w.spare != nil {
		var waiting chan *job
		var coming chan opened
		var unpromised chan struct{}
		switch {
		case w.session == nil:
			coming = w.spare.opened
		case w.promised:
			waiting = w.p.waiting
		default:
			waiting, unpromised = w.p.waiting, w.p.unpromised
		}
		select {
		case j := <-waiting:
			return j, false
		case j := <-w.p.ready:
			return j, false
		case j := <-w.p.queue:
			return j, j == nil
		case o := <-coming:
			w.spare.cancel()
			w.spare = nil
			w.adopt(o.session, true)
			idle.Reset(w.p.o.Timeouts.Idle)
		case <-unpromised:
			w.promised = true
			idle.Reset(w.p.o.Timeouts.Idle)
		case <-idle.C:
			if w.session == nil && w.spare.expected {
				continue // the timeouts of opening bound it, and a message that comes now is not to begin anew
			}
			w.retire()
			if w.p.leaveIdle(false) {
				return nil, true
			}
		}
	}
	return nil, false
}

// adopt makes s, which may be nil, the worker's session.
func (w *worker) adopt(s *Session, used bool) {
	if w.session, w.used = s, used; s != nil {
		s.onLast = func() { // the next message's connection is opened while this one is under way
			if w.spare == nil && len(w.p.queue) > 0 && w.p.o.Carrier == XCLIENT {
				w.begin()
			}
		}
	}
}

// next takes the next job ahead of time, if one is waiting.
func (w *worker) next() *Message {
	w.p.pacing.Lock()
	ends := w.p.tooMany(true)
	w.p.pacing.Unlock()
	if ends {
		return nil
	}
	if w.held = w.ahead(); w.held == nil {
		return nil
	}
	return w.held.m
}

// ahead returns the next job for a worker with a session, or nil. What waits for a session comes first: it has waited
// longest, and while messages come without a pause none of them would ever be left to an idle worker.
func (w *worker) ahead() *job {
	select {
	case j := <-w.p.waiting:
		return j
	default:
	}
	select {
	case j := <-w.p.queue:
		return j
	default:
		return nil
	}
}

// retire ends the session and the spare one.
func (w *worker) retire() {
	w.dismiss()
	if w.spare == nil {
		return
	}
	late := time.AfterFunc(w.p.o.Timeouts.Quit, w.spare.cancel)
	w.session = (<-w.spare.opened).session
	late.Stop()
	w.spare.cancel()
	w.spare = nil
	w.dismiss()
}

// dismiss ends the session.
func (w *worker) dismiss() {
	if w.session != nil {
		w.session.Close()
	}
	w.session = nil
}

// deliver delivers one job, in a transaction for all recipients or, if it is a bounce, in one for each. A transaction makes another attempt if a used session may have failed for reasons
// of its own, another one if the MTA refused an attribute, and another one without a recipient that
// ended the session. It returns false where another worker has taken the job over.
func (w *worker) deliver(j *job) (r Receipt, mine bool) {
	w.promised = false
	isBounce := j.m.From == "" && len(j.m.To) > 1
	if w.p.o.Dialect == LMTP || !isBounce {
		return w.deliverOne(j, j.m, w.next, false)
	}
	// A client sends a bounce to one recipient, and MTAs refuse one for several (Postfix: reject_multi_recipient_bounce).
	for i := range j.m.To {
		m, next := *j.m, w.next
		m.To = j.m.To[i : i+1]
		if i < len(j.m.To)-1 {
			next = func() *Message { return nil }
		}
		if s := w.session; s != nil && s.state == pipelined && s.pipelined == j.m {
			s.pipelined = &m // its XCLIENT was sent with the dot of the message before
		}
		j.stale = j.stale && i == 0
		of, mine := w.deliverOne(j, &m, next, i > 0)
		if !mine {
			return Receipt{}, false
		}
		r = r.and(of)
		if w.session != nil && !w.session.Reusable() {
			w.dismiss()
		}
		if rest := j.m.To[i+1:]; len(rest) > 0 && of.concernsAll() { // each would wait as long for an MTA that is silent
			m.To = rest
			return r.and(w.p.undelivered(&m, of.Err, of.Presented, nil)), true
		}
	}
	return r, true
}

// deliverOne is deliver for one transaction. begun says that it is not the first one of the job, which stays here then.
func (w *worker) deliverOne(j *job, whole *Message, next func() *Message, begun bool) (r Receipt, mine bool) {
	ctx, cancel := context.WithCancelCause(j.ctx)
	defer cancel(nil)
	stop := context.AfterFunc(w.p.ctx, func() { cancel(context.Cause(w.p.ctx)) })
	defer stop()

	client, why := whole.Client.Safe(w.p.o.Never)
	notes := []string{why}
	if ctx.Err() != nil {
		if w.session != nil && w.session.state == pipelined {
			w.dismiss()
		}
		return w.p.undelivered(whole, &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}, client, notes), true
	}
	m := whole
	var first *Receipt // of the attempt that one recipient ended for all
	for refused := false; ; {
		// If XCLIENT is pipelined, it is this message's: the job was held for that.
		if s := w.session; s != nil && s.state != pipelined {
			switch {
			case s.w.unsolicited() != nil:
				s.Abort() // the MTA has closed it, or it is out of step
				w.session = nil
			case !s.strain.bears(len(m.To)):
				w.dismiss()
			}
		}
		if w.session == nil {
			waiting := w.p.waiting
			if begun || refused || first != nil {
				waiting = nil // what has been learned of this message is here
			}
			e, mine := w.open(ctx, j, client, waiting)
			switch {
			case !mine:
				return Receipt{}, false
			case e != nil && first != nil:
				return *first, true
			case e != nil:
				return w.p.undelivered(whole, e, client, notes), true
			}
		}
		receipt, e := w.session.deliver(ctx, m, client, notes, next)
		if first != nil {
			receipt = first.with(receipt)
		}
		switch {
		case e.attribute == "ADDR":
			return receipt, true // a client that is known is not made an unknown one
		case e.attribute != "" && !refused:
			refused = true
			less, offered := client.without(e.attribute), w.session.ext.xclient
			if slices.Equal(less.Commands(offered), client.Commands(offered)) {
				return receipt, true // the same words would meet the same reply
			}
			client = less
			notes = append(notes, e.attribute+" refused with 501, sent "+unavailable)
		case w.used && !j.stale && e.stale():
			j.stale = true
			w.giveUpSpare()
		case first == nil && len(e.others) > 0:
			some := *m
			some.To = e.others
			first, m = &receipt, &some
			notes = append(notes, "the MTA ended the session at one recipient: the others were tried without it")
		default:
			w.used = true
			return receipt, true
		}
		w.dismiss()
	}
}

// begin begins to open a session.
func (w *worker) begin() {
	ctx, cancel := context.WithCancel(w.p.ctx)
	sp := &spare{opened: make(chan opened, 1), cancel: cancel}
	w.spare = sp
	w.p.opening.Add(1)
	w.p.workers.Go(func() {
		s, err := open(ctx, w.p.dial, w.p.o, w.p.sessions.Add(1), nil)
		if err == nil {
			w.p.open.Add(1)
			s.onEnd = func() { w.p.open.Add(-1) }
		}
		w.p.opening.Add(-1)
		sp.opened <- opened{s, err}
	})
}

// giveUpSpare ends the spare session, which may have come to its end as the one in use has.
func (w *worker) giveUpSpare() {
	sp := w.spare
	if sp == nil {
		return
	}
	w.spare = nil
	sp.cancel()
	w.p.workers.Go(func() {
		if s := (<-sp.opened).session; s != nil {
			s.Close()
		}
	})
}

// open opens a session that is ready to present client. An MTA that serves few connections at a time lets the
// others wait for its greeting, or turns them away: meanwhile the job is offered to waiting, and open returns false
// where a worker that has a session took it. The session comes in spare then, for a later job.
func (w *worker) open(ctx context.Context, j *job, client Client, waiting chan<- *job) (err *Error, mine bool) {
	p := w.p
	if p.o.Carrier.byProxy() { // the connection itself presents this message's client
		s, err := open(ctx, p.dial, p.o, p.sessions.Add(1), &client)
		w.adopt(s, false)
		return err, true
	}
	if w.spare == nil && waiting != nil {
		select {
		case p.ready <- j:
			return nil, false
		default:
		}
	}
	again := false
	for patience := time.Now().Add(p.o.Timeouts.Greeting); ; {
		begun := w.spare != nil
		ahead := begun && !w.spare.expected // it may have failed for reasons that are over
		var coming <-chan opened
		var later <-chan time.Time
		if pause := time.Until(w.refusedAt.Add(fullPause)); !begun && pause > 0 && p.others() > 0 {
			later = time.After(pause)
		} else {
			if !begun {
				w.begin()
			}
			coming = w.spare.opened
		}
		select {
		case <-later:
		case o := <-coming:
			w.spare.cancel()
			w.spare = nil
			switch {
			case !ahead && time.Now().Before(patience) && p.isFull(o.err, again):
				w.refusedAt, again = time.Now(), true
			case !ahead:
				w.adopt(o.session, false)
				return o.err, true
			case o.err != nil:
			case o.session.w.unsolicited() != nil: // closed since, or about to be
				o.session.Abort()
			default:
				w.adopt(o.session, true) // which the MTA may be closing even now
				return nil, true
			}
		case waiting <- j:
			return nil, false
		case <-ctx.Done():
			return &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}, true
		}
	}
}

// undelivered is the receipt of a message for which no session could be opened.
func (p *Pool) undelivered(m *Message, err *Error, client Client, notes []string) Receipt {
	t := newTransaction(m, client, notes)
	e := failure(err.Op, err)
	// A PROXY header presents the client as soon as there is a connection. STARTTLS and AUTH do not concern it.
	knewClient := p.o.Carrier.byProxy() && slices.Contains([]string{"PROXY", stageGreeting, stageEHLO, stageHELO}, err.Op)
	if err.Op == "PROXY" && err.Kind == Misconfigured { // the header was not understood
		knewClient = false
	}
	e.beforeClient = !knewClient && err.Kind != Aborted
	switch {
	case err.Kind == Unsendable:
		e = withheld(err.Op, err.Text, err.Err)
	case knewClient && err.Reply.Code != 0:
		t.notePresented(proxyAttributes)
		if err.Op == stageEHLO || err.Op == stageHELO {
			t.presented.HELO = client.HELO
		}
		e = greetingRefused(err)
	}
	return t.receipt(e)
}
