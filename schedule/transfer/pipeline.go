package transfer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// work is the pipeline of one folder: the caller of retrieve fills jobs, feed gives
// them to the MTA, whose sessions record the verdicts, and the caller settles what is ready.
type work struct {
	*run
	plan *plan
	// stop ends retrieval and feeding, with the trouble as the cause.
	stop context.CancelCauseFunc
	// feeding ends when stop was called or the pass was asked to end.
	feeding context.Context
	// lasting outlives the pass's context: a message that is with the MTA is
	// waited for, and its verdict recorded.
	lasting context.Context

	jobs chan *job
	// feeder is the feeding goroutine, inflight what it has submitted.
	feeder, inflight sync.WaitGroup

	mu     sync.Mutex
	ready  []settlement
	streak streak
	// claimed are old records that a message of this pass was recognised by.
	claimed map[ledger.Key]bool
	// taken are the messages of the batch that the sink has had. dropped counts the sessions that ended over
	// one; origin names those that a later session retrieves as the first listing did.
	taken   map[fetch.Ref]bool
	dropped int
	origin  map[fetch.Ref]fetch.Ref
}

// open starts the pipeline.
func (r *run) open(ctx context.Context, p *plan) *work {
	w := &work{run: r, plan: p, lasting: context.WithoutCancel(ctx),
		jobs: make(chan *job, aheadLimit), claimed: map[ledger.Key]bool{}, taken: map[fetch.Ref]bool{}}
	w.feeding, w.stop = context.WithCancelCause(ctx)
	w.feeder.Go(w.feed)
	return w
}

// retrieve fetches all messages of the plan, batch by batch, and settles between
// the batches what has its verdict by then.
func (w *work) retrieve(ctx context.Context) error {
	size := w.Batch
	if size <= 0 {
		size = batchSize
	}
	for left := w.plan.retrieve; len(left) > 0; {
		batch := left[:min(size, len(left))]
		clear(w.taken)
		err := w.mailbox.Retrieve(w.feeding, batch, w.take)
		left = left[len(batch):]
		if fetch.KindOf(err) == fetch.TooLarge {
			left, err = w.carryOn(batch, left, err)
		}
		if err == nil {
			err = w.settle(ctx, w.takeReady())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// carryOn takes retrieval on in another session, after a message of batch went on so far beyond the limit that
// the last session was ended over it, which broken says. It returns what of batch and of the batches to come is
// left to be retrieved, as the new session names it.
func (w *work) carryOn(batch, coming []fetch.Ref, broken error) ([]fetch.Ref, error) {
	if w.dropped++; w.dropped > maxDropped {
		return nil, broken
	}
	carried, err := w.reopen(w.feeding)
	if err != nil {
		return nil, err
	}
	w.settled(carried...)
	here := make(map[fetch.Ref]bool, len(w.listing.Refs))
	for _, ref := range w.listing.Refs {
		here[ref] = true
	}
	var rest []fetch.Ref
	origin := make(map[fetch.Ref]fetch.Ref, len(coming))
	for _, ref := range slices.Concat(batch, coming) {
		if w.taken[ref] {
			continue
		}
		first := w.original(ref)
		now, ok := w.again[first]
		if !ok {
			now, ok = first, here[first] // its content will tell whether it is the same
		}
		if ok {
			rest, origin[now] = append(rest, now), first
		}
	}
	w.origin = origin
	return rest, nil
}

// original returns the name in the first listing of a message that this session names ref.
func (w *work) original(ref fetch.Ref) fetch.Ref {
	if first, ok := w.origin[ref]; ok {
		return first
	}
	return ref
}

// finish waits for everything under way and settles what is left to settle. broken is the
// error that ended retrieval. It returns what stopped the pass, if anything did.
func (w *work) finish(ctx context.Context, broken error) error {
	close(w.jobs)
	w.feeder.Wait()
	w.inflight.Wait()
	trouble := context.Cause(w.feeding)
	w.stop(nil)
	ready := w.takeReady()
	switch sound := broken == nil && ctx.Err() == nil; {
	case sound && trouble == nil:
		return w.settle(ctx, ready)
	case sound && !w.listing.AtClose:
		return errors.Join(trouble, w.settle(ctx, ready))
	}
	w.endEarly(ctx, trouble, ready)
	if trouble != nil {
		return trouble // retrieval ended because of it
	}
	return broken
}

// take is the [fetch.Sink]: it spools one message and puts it on its way.
func (w *work) take(m fetch.Message) error {
	w.taken[m.Ref] = true
	m.Ref = w.original(m.Ref)
	if m.Err != nil {
		return w.notRetrieved(m.Ref, m.Err)
	}
	w.owed.Add(1)
	j, err := w.receive(m)
	switch {
	case errors.Is(err, errSpool):
		if err := drain(m.Body); err != nil && fetch.KindOf(err) != fetch.TooLarge {
			return err
		}
		return w.notRetrieved(m.Ref, err)
	case fetch.KindOf(err) == fetch.TooLarge: // the server had said less
		return w.notRetrieved(m.Ref, err)
	case err != nil:
		return err
	}
	if known, err := w.recognise(j); known || err != nil {
		w.done(j)
		return err
	}
	ready, err := w.prepare(j)
	if err != nil {
		w.done(j)
		return err
	}
	if !ready {
		w.record(j) // held or skipped by our own rules
		return nil
	}
	select {
	case w.jobs <- j:
		return nil
	case <-w.feeding.Done():
		w.done(j)
		return context.Cause(w.feeding)
	}
}

// receive spools a message as far as the budget allows. Servers lie about sizes: one that turned out larger
// waits for the difference holding nothing of the budget, since others may wait just so.
func (w *work) receive(m fetch.Message) (*job, error) {
	hint := m.Size
	if hint < 0 {
		hint = m.Ref.Size
	}
	weight := w.weigh(hint)
	if err := w.Budget.Acquire(w.feeding, weight); err != nil {
		return nil, err
	}
	s, err := spool(m.Body, hint, w.SpoolDir)
	if err != nil {
		w.Budget.Release(weight)
		return nil, err
	}
	if w.listing.AtClose && s.size != m.Ref.Size {
		w.real[m.Ref] = s.size
	}
	if real := w.weigh(s.size); real > weight {
		w.Budget.Release(weight)
		weight = real
		if err := w.Budget.Acquire(w.feeding, weight); err != nil {
			s.close()
			return nil, err
		}
	}
	return &job{ref: m.Ref, spool: s, weight: weight}, nil
}

// weigh returns what a message of this size costs of the budget.
func (w *work) weigh(size int64) int64 { return min(max(size, leastWeight), w.BudgetSize) }

// done frees what a job holds.
func (w *work) done(j *job) {
	j.spool.close()
	w.Budget.Release(j.weight)
}

// feed gives jobs to the MTA in order. A name that must be looked up first holds up
// its own message only, unless the order is to be kept.
func (w *work) feed() {
	var names errgroup.Group
	names.SetLimit(lookupLimit)
	for j := range w.jobs {
		if w.feeding.Err() != nil {
			w.done(j) // not begun: it stays upstream as it was
			continue
		}
		if j.lookup && !w.Ordered {
			names.Go(func() error { w.submit(j); return nil })
			continue
		}
		w.submit(j)
	}
	_ = names.Wait() // its functions return nil
}

// submit names the client and queues the message for injection.
func (w *work) submit(j *job) {
	if j.lookup {
		j.client = WithName(j.client, w.LookupName(w.feeding, j.client.Addr))
		if w.feeding.Err() != nil {
			w.done(j) // the pass ends, and the look-up may have ended early because of it
			return
		}
	}
	to := w.MTA
	if j.plain {
		to = w.Plain
	}
	w.hand(j, to, w.message(j), w.record)
}

// hand queues m for injection; verdict is called with the job and its receipt.
func (w *work) hand(j *job, to Injector, m *inject.Message, verdict func(*job)) {
	w.inflight.Add(1)
	err := to.Submit(w.lasting, m, func(receipt inject.Receipt) {
		defer w.inflight.Done()
		j.receipt = receipt
		verdict(j)
	})
	if err != nil {
		w.inflight.Done()
		w.done(j)
		w.stop(err)
	}
}

// record writes a verdict down and readies the message to be settled once that is durable. It
// runs in the session that got the verdict, which sends no further dot before: so there are
// never more messages in doubt than sessions. The ledger groups what several sessions write.
func (w *work) record(j *job) {
	if !w.judge(j) {
		w.done(j)
		return
	}
	switch {
	case j.record.State != ledger.Refused || w.Quarantine == "" || w.DryRun:
		w.conclude(j)
	case j.plain:
		// This is a session of Plain itself, which would wait for room in its own queue.
		w.inflight.Go(func() { w.quarantine(j) })
	default:
		w.quarantine(j)
	}
}

// conclude makes the job's record durable and tells of it.
func (w *work) conclude(j *job) {
	defer w.done(j)
	if !w.DryRun {
		err := w.Ledger.Put(w.lasting, j.record)
		if err == nil {
			err = w.Ledger.Remove(w.lasting, j.replaces)
		}
		if err != nil {
			w.stop(err) // what was accepted stands at "sending" and is told as in doubt
			return
		}
	}
	w.announce(j)
}

// settled adds to what is ready to be settled.
func (w *work) settled(s ...settlement) {
	if w.DryRun {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = append(w.ready, s...)
}

// takeReady returns what is ready to be settled and empties the list.
func (w *work) takeReady() []settlement {
	w.mu.Lock()
	defer w.mu.Unlock()
	ready := w.ready
	w.ready = nil
	return ready
}
