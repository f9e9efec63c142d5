package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// aheadLimit bounds the number of messages retrieved and not yet injected,
	// beside the budget, which bounds their octets.
	aheadLimit = 512
	// leastWeight is the least that a message takes of the budget, in octets.
	leastWeight = 4 << 10
	// lookupLimit bounds the name look-ups of one pass that go on at once.
	lookupLimit = 64
)

// pipeline carries the messages of one folder. Four parties work in it: the goroutine that calls carry retrieves
// messages into a channel and settles them upstream between two sets; look takes them from there, reads their
// headers and passes on what is to be injected; feed submits that to the MTA; the MTA's sessions call judge
// with the verdicts, which records them and queues the disposals.
type pipeline struct {
	pass     *Pass
	clock    *clock
	report   *reporter
	session  *session
	settler  *settler
	setbacks *setbacks
	run      *run
	folder   folderKey
	plan     *plan
	// judged is the number of the first judgement that the pass could make.
	judged int64

	// retrieval says what to ask the upstream for, octets how much came of the last message, suspected which messages
	// ended a session or were listed and not handed over. They are the retrieving goroutine's. presence is what of the
	// ledger's messages the upstream still has; it is look's.
	retrieval *retrieval
	octets    int64
	suspected map[fetch.Ref]breakage
	presence  *presence
	// sizeAsked are the messages whose sizes the server was asked for because they could not be read.
	sizeAsked map[fetch.Ref]bool
	// set are the messages that came of the set under way, unsure those of sets that did not all come, where the order of
	// the answers is all that tells messages apart, and the last ones before a breach of the protocol.
	// last is the last one that came in the session.
	set, unsure []*message
	last        *message

	// stop ends retrieval and feeding. Its argument is what stops the pass.
	stop context.CancelCauseFunc
	// feeding ends when stop was called or the pass was asked to end.
	feeding context.Context
	// asked is the pass's context: when it ends, a message is abandoned whose dot has not left, and package inject
	// waits a little for the verdict on any other. lasting outlives it, so that the verdict is recorded.
	asked, lasting context.Context

	// arrivals have been retrieved, messages are to be injected.
	arrivals, messages chan *message
	// feeder are the goroutines of look and feed, inflight what it has submitted, underWay the messages that came and are not done with.
	feeder, inflight, underWay sync.WaitGroup
	// held is the number of messages in underWay.
	held atomic.Int64

	mu     sync.Mutex // guards what follows
	ready  []settlement
	streak *streak
	tally  *tally
}

// carry carries out a plan: it retrieves, injects, records and settles. It returns what stopped the pass, if
// anything did, when nothing is under way any more.
func (r *run) carry(ctx context.Context, at folderKey, p *plan, found *presence) error {
	if err := r.noteUnreadBefore(ctx, found); err != nil {
		return err
	}
	w := &pipeline{
		pass: r.pass, clock: &r.clock, report: r.report, session: r.session, settler: r.settler, setbacks: r.setbacks, run: r, folder: at, plan: p, judged: r.judged,
		retrieval: newRetrieval(p, r.pass.Batch, r.tries), suspected: map[fetch.Ref]breakage{}, presence: found, sizeAsked: map[fetch.Ref]bool{},
		asked: ctx, lasting: context.WithoutCancel(ctx), arrivals: make(chan *message, aheadLimit), messages: make(chan *message), streak: &r.streak, tally: &r.tally,
	}
	planned := Event{Kind: Planned, Folder: at.name}
	for _, ref := range slices.Concat(p.retrieve, p.retries) {
		planned.Messages++
		planned.Octets += max(ref.Size, 0) // -1 where the server does not say
	}
	r.report.emit(planned)
	fresh := p.counts.New
	if p.adopt {
		fresh = len(p.spared)
	}
	// What is retrieved to be looked at only, or to be adopted or deleted, does not go to the MTA.
	if n := min(planned.Messages, fresh+p.counts.Again); w.pass.Expect != nil && n > 0 && !p.onlyOverdue {
		w.pass.Expect(n)
	}
	w.feeding, w.stop = context.WithCancelCause(ctx)
	w.feeder.Go(func() {
		defer close(w.messages)
		for m := range w.arrivals {
			if err := w.look(m); err != nil {
				w.stop(err)
			}
		}
	})
	w.feeder.Go(w.feed)
	w.queue(p.settle...)
	broken := w.learnSizes()
	if broken == nil {
		broken = w.retrieve(ctx)
	}
	if broken == nil {
		broken = w.learnSizes() // of what was refused meanwhile
	}
	r.tries = w.retrieval.tries
	unsaid := w.sentenceSuspects()

	close(w.arrivals)
	w.feeder.Wait()
	w.inflight.Wait()
	stopped := context.Cause(w.feeding)
	w.stop(nil)
	unsaid = cmp.Or(unsaid, w.leaveUnsure())
	ready := w.takeReady()
	broken = cmp.Or(broken, unsaid)
	if broken == nil && ctx.Err() == nil {
		switch {
		case stopped == nil && w.session.over:
			w.settler.settleAfresh(ctx, ready)
			return nil
		case stopped == nil:
			return w.settler.settle(ctx, ready)
		}
		if !w.session.listing.AtClose {
			return errors.Join(stopped, w.settler.settle(ctx, ready))
		}
	}
	w.settler.endEarly(ctx, stopped, ready)
	if stopped != nil {
		return stopped // retrieval ended because of it
	}
	return broken
}

// take is the [fetch.Sink]: it spools one message and puts it on its way.
func (w *pipeline) take(m fetch.Message) error {
	m.Ref, w.octets = w.retrieval.arrived(m.Ref), 0
	if m.Err != nil {
		w.retrieval.done(m.Ref)
		return w.notRetrieved(m.Ref, m.Err)
	}
	w.session.mustStay.Add(1)
	body := &counted{Reader: m.Body, arriving: w.pass.Arriving}
	m.Body = body
	msg, err := w.receive(m)
	w.octets = body.octets
	switch {
	case spoolFull(err):
		// The session ends with this message half read: what else is upstream stays there.
		w.retrieval.done(m.Ref)
		if err := w.notRetrieved(m.Ref, err); err != nil {
			return err
		}
		return w.setbacks.spool
	case errors.Is(err, errSpool):
		// The rest is read all the same, so that the session stays in step.
		if _, err := io.Copy(io.Discard, m.Body); err != nil && fetch.KindOf(err) != fetch.TooLarge {
			return err
		}
		w.retrieval.done(m.Ref)
		return w.notRetrieved(m.Ref, err)
	case fetch.KindOf(err) == fetch.TooLarge: // the server had said less
		w.retrieval.done(m.Ref)
		return w.notRetrieved(m.Ref, err)
	case err != nil:
		return err
	}
	w.retrieval.came(m.Ref)
	w.run.came++
	w.set, w.last = append(w.set, msg), msg
	// What was suspected in this pass has come whole. What an earlier pass recorded goes with the verdict.
	if b, suspected := w.suspected[m.Ref]; suspected {
		delete(w.suspected, m.Ref)
		if recorded := !w.pass.DryRun && m.Ref.UID != ""; recorded {
			if err := w.pass.Ledger.Remove(w.lasting, []ledger.Key{b.record.Key}); err != nil {
				w.free(msg)
				return err
			}
		}
	}
	select {
	case w.arrivals <- msg:
		return nil
	case <-w.feeding.Done():
		w.free(msg)
		return context.Cause(w.feeding)
	}
}

// look finds out what a message is that has arrived. It passes it on to be injected, or concludes it. A header that takes long to
// read holds up neither the upstream nor the MTA. An error is the ledger's.
func (w *pipeline) look(m *message) error {
	if w.feeding.Err() != nil {
		w.free(m)
		return nil
	}
	// Here, and not where it came: who is told of it, a terminal perhaps, must not hold up the upstream.
	w.report.emit(Event{Kind: Retrieved, Ref: m.ref, Size: m.spool.size})
	if done, err := w.recognise(m); done || err != nil {
		w.free(m)
		return err
	}
	ready, err := w.prepare(m)
	if err != nil {
		w.free(m)
		return err
	}
	if !ready {
		w.ruled(m)
		return nil
	}
	select {
	case w.messages <- m:
	case <-w.feeding.Done():
		w.free(m)
	}
	return nil
}

// receive spools a message as far as the budget allows. Servers lie about sizes: one that turned out larger
// waits for the difference holding nothing of the budget, since others may wait just so.
func (w *pipeline) receive(m fetch.Message) (*message, error) {
	budget := w.pass.Budget
	weigh := func(size int64) int64 { return min(max(size, leastWeight), w.pass.BudgetSize) }
	hint := m.Size
	if hint < 0 {
		hint = m.Ref.Size
	}
	weight, err := w.reserve(weigh(hint))
	if err != nil {
		return nil, err
	}
	s, err := spool(m.Body, hint, w.pass.SpoolDir)
	if err != nil {
		budget.Release(weight)
		return nil, err
	}
	if w.session.listing.AtClose && s.size != m.Ref.Size {
		w.session.sizes[m.Ref] = s.size
	}
	if exact := weigh(s.size); weight > 0 && exact > weight {
		budget.Release(weight)
		if weight, err = w.reserve(exact); err != nil {
			s.close()
			return nil, err
		}
	}
	w.underWay.Add(1)
	w.held.Add(1)
	return &message{ref: m.Ref, spool: s, weight: weight}, nil
}

// budgetPatience is how long a pass waits for the budget that others hold, before it goes on without.
const budgetPatience = time.Minute

// reserve waits for so much of the budget and returns what it has got: all, or nothing where the pass has waited for long and
// holds no message. Then others hold the budget, perhaps at servers that hang, and must not keep this pass from going on: with
// one message at a time.
func (w *pipeline) reserve(weight int64) (int64, error) {
	for {
		ctx, cancel := context.WithTimeout(w.feeding, budgetPatience)
		err := w.pass.Budget.Acquire(ctx, weight)
		cancel()
		switch {
		case err == nil:
			return weight, nil
		case w.feeding.Err() != nil:
			return 0, w.feeding.Err()
		case w.held.Load() == 0:
			return 0, nil
		}
	}
}

// free frees what a message holds.
func (w *pipeline) free(m *message) {
	defer w.underWay.Done()
	defer w.held.Add(-1)
	m.spool.close()
	w.pass.Budget.Release(m.weight)
}

// notRetrieved reports and records a message that could not be retrieved.
func (w *pipeline) notRetrieved(ref fetch.Ref, cause error) error {
	w.presence.notGiven(ref, len(w.plan.known[ref.UID]) > 0)
	kind := fetch.KindOf(cause)
	if kind == fetch.Gone && w.plan.onlyOverdue && w.setbacks.disposal == nil {
		w.setbacks.disposal = cause // listed, and not to be had: the next pass must not wait for it
	}
	switch kind {
	case fetch.Gone, fetch.Incomplete:
		return w.suspect(breakage{ref: ref, cause: cause, alone: w.retrieval.alone})
	}
	w.report.emit(Event{Kind: NotRetrieved, Ref: ref, Size: ref.Size, Err: cause})
	if errors.Is(cause, errSpool) && w.setbacks.spool == nil {
		w.setbacks.spool = spoolError(w.pass.SpoolDir, cause)
	}
	if w.pass.DryRun || ref.UID == "" {
		return nil
	}
	if errors.Is(cause, errSpool) && !spoolFull(cause) {
		return nil // the next pass finds out by itself
	}
	last, err := w.lastUnretrieved(w.folder.key(ref.UID, noHash))
	if err != nil {
		return err
	}
	rec := decideUnretrieved(last, ref.Size, cause, w.pass.Retry, w.clock.now())
	rec.Ran = w.clock.accountTime()
	return w.pass.Ledger.Put(w.lasting, rec)
}

// queueDisposal readies a retrieved message with a final verdict to be disposed of upstream.
func (w *pipeline) queueDisposal(ref fetch.Ref, rec *ledger.Record) {
	d, mayForget := w.plan.disposal.of(rec.State, w.clock.account-rec.Ran, rec.Judged)
	if mayForget {
		w.session.mustStay.Add(-1)
	}
	mark := w.plan.owesMark(ref, rec.State, rec.Hash)
	if d.Action == fetch.Keep && !mark {
		return
	}
	w.queue(settlement{ref: ref, key: rec.Key, token: rec.Token, disposal: d, mark: mark, again: w.plan.disposal.isAgain(rec.Disposed, d)})
}

// queue adds to what is ready to be settled.
func (w *pipeline) queue(s ...settlement) {
	if w.pass.DryRun {
		return
	}
	for _, one := range s {
		if one.again {
			w.report.emit(Event{Kind: NotSettled, Ref: one.ref, Token: one.token, Disposal: one.disposal, Err: errListedAgain})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = append(w.ready, s...)
}

// takeReady returns what is ready to be settled and empties the list.
func (w *pipeline) takeReady() []settlement {
	w.mu.Lock()
	defer w.mu.Unlock()
	ready := w.ready
	w.ready = nil
	return ready
}
