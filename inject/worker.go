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
	// spare is a connection opened ahead of need, for MTAs where each serves one message only.
	spare *spare
}

// spare is a session being opened by a goroutine of its own.
type spare struct {
	opened chan *Session // gets the session, or nil where that failed
	cancel context.CancelFunc
}

// run delivers until the queue is closed and empty.
func (w *worker) run() {
	for j := w.take(); j != nil; j = w.take() {
		j.done(w.deliver(j))
		if w.session != nil && !w.session.Reusable() {
			w.dismiss()
		}
	}
	w.retire()
}

// take waits for the next job, and returns nil at the end. Sessions are closed when no job has come
// for a while.
func (w *worker) take() *job {
	if j := w.held; j != nil {
		w.held = nil
		return j
	}
	select {
	case j := <-w.p.queue:
		return j
	default:
	}
	if w.session == nil && w.spare == nil {
		return <-w.p.queue
	}
	idle := time.NewTimer(w.p.o.Timeouts.Idle)
	defer idle.Stop()
	select {
	case j := <-w.p.queue:
		return j
	case <-idle.C:
		w.retire()
		return <-w.p.queue
	}
}

// next takes the next job ahead of time, if one is waiting.
func (w *worker) next() *Message {
	select {
	case w.held = <-w.p.queue:
	default:
	}
	if w.held == nil {
		return nil
	}
	return w.held.m
}

// retire ends the session and the spare one.
func (w *worker) retire() {
	w.dismiss()
	if w.spare == nil {
		return
	}
	late := time.AfterFunc(w.p.o.Timeouts.Quit, w.spare.cancel)
	w.session = <-w.spare.opened
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

// deliver delivers one job. It makes another attempt if a used session may have failed for reasons
// of its own, and another one if the MTA refused an attribute.
func (w *worker) deliver(j *job) Receipt {
	ctx, cancel := context.WithCancelCause(j.ctx)
	defer cancel(nil)
	stop := context.AfterFunc(w.p.ctx, func() { cancel(context.Cause(w.p.ctx)) })
	defer stop()

	client, why := j.m.Client.Safe(w.p.o.Never)
	notes := []string{why}
	if ctx.Err() != nil {
		if w.session != nil && w.session.state == pipelined {
			w.dismiss()
		}
		return w.p.undelivered(j.m, &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}, client, notes)
	}
	for stale, refused := false, false; ; {
		// If XCLIENT is pipelined, it is this message's: the job was held for that.
		if s := w.session; s != nil && s.state != pipelined && s.w.unsolicited() != nil {
			s.Abort() // the MTA has closed it, or it is out of step
			w.session = nil
		}
		if w.session == nil {
			s, e := w.open(ctx, client)
			if e != nil {
				return w.p.undelivered(j.m, e, client, notes)
			}
			s.onLast = w.prepare
			w.session = s
		}
		receipt, e := w.session.deliver(ctx, j.m, client, notes, w.next)
		switch {
		case e.attribute == "ADDR":
			return receipt // a client that is known is not made an unknown one
		case e.attribute != "" && !refused:
			refused = true
			client = client.without(e.attribute)
			notes = append(notes, e.attribute+" refused with 501, sent "+unavailable)
		case w.used && !stale && e.stale():
			stale = true
		default:
			w.used = true
			return receipt
		}
		w.dismiss()
	}
}

// prepare opens a connection for the next message while this one is under way.
func (w *worker) prepare() {
	if w.spare != nil || len(w.p.queue) == 0 || w.p.o.Carrier != XCLIENT {
		return
	}
	ctx, cancel := context.WithCancel(w.p.ctx)
	sp := &spare{opened: make(chan *Session, 1), cancel: cancel}
	w.spare = sp
	w.p.workers.Go(func() {
		s, _ := open(ctx, w.p.dial, w.p.o, w.p.sessions.Add(1), nil)
		sp.opened <- s
	})
}

// open returns a session that is ready to present client.
func (w *worker) open(ctx context.Context, client Client) (*Session, *Error) {
	if w.spare != nil {
		select {
		case s := <-w.spare.opened:
			w.spare.cancel()
			w.spare = nil
			if s != nil {
				w.used = true
				return s, nil
			}
		case <-ctx.Done():
			return nil, &Error{Kind: Aborted, Op: stageConnect, Err: context.Cause(ctx)}
		}
	}
	w.used = false
	p := w.p
	return open(ctx, p.dial, p.o, p.sessions.Add(1), &client)
}

// undelivered is the receipt of a message for which no session could be opened.
func (p *Pool) undelivered(m *Message, err *Error, client Client, notes []string) Receipt {
	t := newTransaction(m, client, notes)
	e := failure(err.Op, err)
	switch {
	case err.Kind == Unsendable:
		e = withheld(err.Op, err.Text, err.Err)
	case !p.o.Carrier.byProxy() || err.Reply.Code == 0:
	case slices.Contains([]string{stageGreeting, stageEHLO, stageHELO}, err.Op):
		// The MTA knew the client when it replied. STARTTLS and AUTH do not concern the client.
		t.presented = client
		e = greetingRefused(err)
	}
	return t.receipt(e)
}
