package transfer

import (
	"context"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// feed submits messages to the MTA. A name that must be looked up first holds up its own message only. Where the order
// is to be kept it holds up those behind it as well, while their names are looked up.
func (w *pipeline) feed() {
	var names errgroup.Group
	names.SetLimit(lookupLimit)
	ordered := make(chan *message, lookupLimit)
	var inOrder sync.WaitGroup
	inOrder.Go(func() {
		for m := range ordered {
			<-m.named
			w.inject(m)
		}
	})
	for m := range w.messages {
		m.named = make(chan struct{})
		if m.lookup {
			names.Go(func() error {
				m.client = WithName(m.client, w.pass.LookupName(w.feeding, m.client.Addr))
				close(m.named)
				if !w.pass.Ordered {
					w.inject(m)
				}
				return nil
			})
		} else {
			close(m.named)
		}
		switch {
		case w.pass.Ordered:
			ordered <- m
		case !m.lookup:
			w.inject(m)
		}
	}
	close(ordered)
	inOrder.Wait()
	_ = names.Wait() // its functions return nil
}

// inject submits a message whose client has its name.
func (w *pipeline) inject(m *message) {
	if w.feeding.Err() != nil {
		w.free(m) // not begun, or its look-up may have ended early: it stays upstream as it was
		return
	}
	to := w.pass.MTA
	if m.plain {
		to = w.pass.Plain
	}
	if composed := w.compose(m, (*message).compose); composed != nil {
		w.submit(m, to, composed, w.judge)
	}
}

// compose has what is injected put together by as. It returns nil where truehop has a defect with that: then the message is held.
func (w *pipeline) compose(m *message, as func(*message, func(context.Context) error) *inject.Message) (composed *inject.Message) {
	if w.pass.compose != nil {
		as = w.pass.compose
	}
	beforeDot := w.beforeDot(m)
	m.defect = withoutPanic("cannot be put together for the MTA", func() { composed = as(m, beforeDot) })
	if m.defect != nil {
		m.rule(ledger.Held, m.defect.Why)
		w.ruled(m)
		return nil
	}
	return composed
}

// ruled concludes a message that has a verdict of our own.
func (w *pipeline) ruled(m *message) {
	rec := m.record()
	rec.Last, rec.Ran, rec.Recipients = w.clock.now(), w.clock.accountTime(), strings.Join(m.attempt.recipients, " ")
	w.conclude(m)
}

// beforeDot returns what makes durable that the dot of a message is about to leave, nil in a dry run, which has no dot.
func (w *pipeline) beforeDot(m *message) func(context.Context) error {
	if w.pass.DryRun {
		return nil
	}
	return func(ctx context.Context) error {
		record := *m.record()
		record.State, record.Last, record.Recipients = ledger.Sending, w.clock.now(), strings.Join(m.attempt.recipients, " ")
		if err := w.pass.Ledger.Replace(ctx, record, m.identity.replaces); err != nil {
			return err
		}
		m.attempt.sending = true
		return nil
	}
}

// submit queues what was composed of m for injection. verdict is called with the receipt.
func (w *pipeline) submit(m *message, to Injector, composed *inject.Message, verdict func(*message, inject.Receipt)) {
	w.inflight.Add(1)
	composed.MayEnd = w.pass.MayEnd
	refusedAtDot := m.attempt.sending
	err := to.Submit(w.asked, composed, func(receipt inject.Receipt) {
		defer w.inflight.Done()
		verdict(m, receipt)
	})
	if err != nil {
		defer w.inflight.Done()
		w.stop(err)
		if refusedAtDot { // the ledger still says "sending", and there is no doubt
			verdict(m, inject.Receipt{Stage: "connect", Err: &inject.Error{Kind: inject.Aborted, Op: "connect", Err: err}})
			return
		}
		w.free(m)
	}
}

// judge decides about a message by what the MTA said, and sees to it that the verdict is recorded. It
// runs in the session that got the verdict, and the session's next record comes behind this one: so there are
// never more messages in doubt than sessions. The ledger groups what several sessions write.
func (w *pipeline) judge(m *message, receipt inject.Receipt) {
	m.attempt.receipt = receipt
	d := decide(*m.record(), m.attempt, outcomeRules{
		retry: w.pass.Retry, multidrop: w.pass.Recipient.From != "", dryRun: w.pass.DryRun, now: w.clock.now(), ran: w.clock.accountTime(),
	})
	if d.unused {
		w.free(m)
		return
	}
	client, recipient := "", ""
	if m.client.Addr.IsValid() {
		client = m.client.Addr.String()
	}
	if w.pass.Recipient.From != "" {
		recipient = strings.Join(m.attempt.recipients, " ")
	}
	if m.plain && d.cause.what != "" {
		d.cause.what += " at the other listener"
	}
	w.mu.Lock()
	many := false
	if !m.attempt.standIn { // what became of it shows nothing of how clients fare
		many = w.streak.add(d.cause, client, recipient)
		if !m.plain { // nobody judges clients there
			w.tally.add(d.record.State, &receipt)
		}
	}
	w.mu.Unlock()
	if many {
		d.stop = d.cause.err
	}
	if d.stop != nil {
		w.stop(d.stop)
	}
	m.identity.record = d.record
	w.conclude(m)
}

// conclude records the verdict of a message, by way of the quarantine where that is to have it.
func (w *pipeline) conclude(m *message) {
	switch {
	case m.record().State != ledger.Refused || w.pass.Quarantine == "" || w.pass.DryRun:
		w.recordVerdict(m)
	case m.plain:
		// This is a session of Plain itself, which would wait for room in its own queue.
		w.inflight.Go(func() { w.quarantine(m) })
	default:
		w.quarantine(m)
	}
}

// recordVerdict makes the record of a message durable, and only then reports it and queues its disposal. It does not
// keep the session waiting: the session's next dot needs a record of its own, which is durable with this one or after it, and
// mostly in the same transaction.
func (w *pipeline) recordVerdict(m *message) {
	if w.pass.DryRun {
		w.reportVerdict(m)
		return
	}
	pending := w.pass.Ledger.BeginJudged(w.lasting, *m.record(), m.identity.replaces, m.judgement(w.pass.Target, w.judged))
	w.inflight.Go(func() {
		if err := pending.Wait(); err != nil {
			w.stop(err) // what was accepted stands at "sending", and the next pass takes it as in doubt
			w.free(m)
			return
		}
		w.reportVerdict(m)
	})
}

// reportVerdict reports the verdict of a message and queues its disposal.
func (w *pipeline) reportVerdict(m *message) {
	defer w.free(m)
	rec := m.record()
	why := []string{rec.Why}
	for _, v := range rec.Verdicts {
		if v.State != ledger.Delivered {
			why = append(why, v.String())
		}
	}
	w.report.emit(Event{
		Kind: Verdict, Ref: m.ref, Token: rec.Token, Size: rec.Size, Heading: rec.Heading, State: string(rec.State),
		Boundary: m.boundary, Receipt: m.attempt.receipt, Sender: rec.Sender, Recipients: m.attempt.recipients,
		Redelivery: m.redelivery, Why: inOneLine(why), Defect: m.defect,
	})
	if rec.State.Final() {
		w.queueDisposal(m.ref, rec)
	}
}
