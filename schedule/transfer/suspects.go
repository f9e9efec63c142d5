package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// retrieve fetches all messages of the plan, set by set, and settles between the sets what has its verdict by then.
func (w *pipeline) retrieve(ctx context.Context) error {
	for {
		more, alone := w.retrieval.more()
		if !more {
			return nil
		}
		fresh := !w.session.used && !w.session.over
		switch {
		case fresh, !alone && !w.session.over: // this session will do
		case w.session.logins >= maxSessions:
			return nil // suspects wait for the next pass
		default:
			if err := w.startAfresh(ctx); err != nil {
				return err
			}
			continue
		}
		if err := w.retrieveSet(ctx); err != nil {
			return err
		}
		if w.session.over {
			continue
		}
		if err := w.settler.settle(ctx, w.takeReady()); err != nil {
			w.doubtLast(err)
			return err
		}
	}
}

// doubtLast has the last message that came in the session looked at again before anything becomes of it upstream, where what came behind it
// broke the protocol: it may be the rest of the message, which a line of one dot has cut.
func (w *pipeline) doubtLast(err error) {
	if fetch.KindOf(err) == fetch.Protocol && w.last != nil {
		w.unsure = append(w.unsure, w.last)
	}
}

// retrieveSet asks for the next messages, and finds out what it means if the server does not hand over all of them.
func (w *pipeline) retrieveSet(ctx context.Context) error {
	set := w.retrieval.next()
	w.session.used = true
	w.set = nil
	err := w.session.mailbox.Retrieve(w.feeding, set, w.take)
	switch together := w.session.listing.Together && len(set) > 1; {
	case err != nil && together:
		w.unsure = append(w.unsure, w.set...)
	default:
		w.doubtLast(err)
	}
	var upstream *fetch.Error
	switch {
	case err == nil:
		w.retrieval.succeeded()
		return nil
	case w.feeding.Err() != nil, !errors.As(err, &upstream):
		return err
	case !fetch.EndsSession(err):
		one, everything := w.retrieval.refused(upstream.Kind == fetch.Busy)
		if one != nil {
			if err := w.notRetrieved(*one, err); err != nil {
				return err
			}
		}
		if everything {
			return err
		}
		return nil
	}
	w.session.end()
	var suspect *fetch.Ref
	if upstream.Kind == fetch.TooLarge {
		w.retrieval.giveBack() // all but the one that is recorded as too large
	} else if suspect = w.retrieval.broke(); suspect != nil {
		if !slices.Contains(w.plan.suspects, *suspect) { // else it is known to do that
			w.setbacks.broken = cmp.Or(w.setbacks.broken, err)
		}
		b := breakage{ref: *suspect, cause: err, alone: w.retrieval.alone}
		if w.retrieval.underWay != nil {
			b.octets = w.octets
		}
		if err := w.suspect(b); err != nil {
			return err
		}
	}
	more, alone := w.retrieval.more()
	switch {
	case more && !alone:
		if w.session.logins >= maxSessions {
			return err
		}
	case !more && suspect == nil && upstream.Kind != fetch.TooLarge:
		return err // everything came, and the server's OK did not
	}
	return nil
}

// startAfresh goes on in another session. What has its verdict is settled before a suspect may end it.
func (w *pipeline) startAfresh(ctx context.Context) error {
	w.underWay.Wait()
	if w.feeding.Err() != nil {
		return context.Cause(w.feeding)
	}
	if err := w.leaveUnsure(); err != nil {
		return err
	}
	if !w.session.over {
		if err := w.settler.settle(ctx, w.takeReady()); err != nil {
			return err
		}
		if err := w.settler.end(ctx, w.pass.DryRun); err != nil {
			return err
		}
	}
	carried, err := w.settler.reopen(w.feeding)
	if err != nil {
		return err
	}
	w.session.mustStay.Store(0) // nothing was retrieved in this one
	w.last = nil
	w.queue(carried...)
	if w.session.listing.Validity != w.session.first.Validity {
		return &fetch.Error{Kind: fetch.Protocol, Op: "go on in another session", Err: errors.New("UIDVALIDITY has changed")}
	}
	for _, ref := range w.retrieval.restart(w.session.listing.Refs, w.session.again) {
		if _, asked := w.suspected[ref]; !asked {
			w.report.waiting(1)
		}
		w.presence.notRead(len(w.plan.known[ref.UID]) > 0)
	}
	if err := w.settler.settle(ctx, w.takeReady()); err != nil {
		return err
	}
	return w.learnSizes()
}

// leaveUnsure leaves the unsure messages, which have their verdicts by now, to the next pass, which looks at what each UID
// names: a server that lost one answer has given each message behind it the name of the one before.
func (w *pipeline) leaveUnsure() error {
	if len(w.unsure) == 0 || w.pass.DryRun {
		return nil
	}
	var keys []ledger.Key
	unsure := map[fetch.Ref]bool{}
	for _, m := range w.unsure {
		keys, unsure[m.ref] = append(keys, m.record().Key), true
	}
	w.unsure = nil
	w.mu.Lock()
	w.ready = slices.DeleteFunc(w.ready, func(one settlement) bool { return unsure[one.ref] })
	w.mu.Unlock()
	return w.pass.Ledger.SetAbsent(w.lasting, keys, true)
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	octets int64
	// arriving, if not nil, is told how many they are.
	arriving func(octets int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.octets += int64(n)
	if c.arriving != nil {
		c.arriving(c.octets)
	}
	return n, err
}

// suspect records a message that ended a session, or that was listed and not handed over.
func (w *pipeline) suspect(b breakage) error {
	key := w.folder.key(b.ref.UID, noHash)
	last, err := w.lastUnretrieved(key)
	if err != nil {
		return err
	}
	b.further = w.suspected[b.ref].further
	b = b.after(last, w.pass.Retry, w.clock.now())
	w.suspected[b.ref] = b
	if w.pass.DryRun || b.ref.UID == "" {
		return nil
	}
	return w.pass.Ledger.Put(w.lasting, b.record)
}

// lastUnretrieved returns the record of a message that could not be retrieved before, or one with nothing but the key.
func (w *pipeline) lastUnretrieved(key ledger.Key) (ledger.Record, error) {
	if key.UID == "" {
		return ledger.Record{Key: key}, nil
	}
	records, err := w.pass.Ledger.List(w.lasting, ledger.Filter{Account: key.Account, UID: key.UID})
	for _, r := range records {
		if r.Key == key {
			return r, err
		}
	}
	return ledger.Record{Key: key}, err
}

// learnSizes records how large the messages are that this pass or an earlier one could not read, where neither the listing nor the record
// says so: under a new UIDVALIDITY nothing else is known of them. It asks once in a pass about each, in one command for all.
func (w *pipeline) learnSizes() error {
	if w.pass.DryRun || w.feeding.Err() != nil {
		return nil
	}
	var refs []fetch.Ref
	sizes := map[fetch.Ref]int64{}
	for _, ref := range w.session.first.Refs {
		unread := slices.ContainsFunc(w.plan.known[ref.UID], func(b ledger.Brief) bool { return b.Hash == noHash && b.State != ledger.Adopted })
		_, suspected := w.suspected[ref]
		_, refused := w.presence.refused[ref.UID]
		wanted := unread || suspected || refused
		if !wanted || w.sizeAsked[ref] || w.plan.knownSize(ref) > 0 {
			continue
		}
		w.sizeAsked[ref] = true
		if size := w.presence.size(ref); size > 0 { // it was asked for after the UIDs changed
			sizes[ref] = size
		} else {
			refs = append(refs, ref)
		}
	}
	answer, err := w.run.askSizes(w.feeding, refs)
	if err != nil {
		return err
	}
	maps.Copy(sizes, answer)
	var records []ledger.Record
	for ref, size := range sizes {
		rec, err := w.lastUnretrieved(w.folder.key(ref.UID, noHash))
		if err != nil {
			return err
		}
		if rec.State == "" { // it has come since, or is none that is recorded
			continue
		}
		rec.Size = size
		records = append(records, rec)
	}
	return w.pass.Ledger.PutAll(w.lasting, records)
}

// askSizes asks the server for the sizes of messages that its listing does not have. What it does not say is left out. A server
// that fails at the question, as it may at one of the messages, is not asked again in the pass, which goes on in another
// session if need be. An error is the context's.
func (r *run) askSizes(ctx context.Context, refs []fetch.Ref) (map[fetch.Ref]int64, error) {
	sizer, ok := r.session.mailbox.(fetch.Sizer)
	unfit := r.sizesFailed || r.session.over || r.session.logins >= maxSessions
	if !ok || unfit || len(refs) == 0 {
		return nil, nil
	}
	sizes, err := sizer.Sizes(ctx, refs)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r.sizesFailed = err != nil
	if fetch.EndsSession(err) {
		r.session.end()
		r.setbacks.broken = cmp.Or(r.setbacks.broken, err)
	}
	return sizes, nil
}

// sentenceSuspects decides about the suspects that have not come after all, and tells of them.
func (w *pipeline) sentenceSuspects() error {
	unasked := 0
	for _, ref := range w.retrieval.suspects {
		if _, asked := w.suspected[ref]; !asked {
			unasked++
		}
	}
	w.report.waiting(unasked)
	for _, ref := range w.retrieval.suspects {
		w.presence.notRead(len(w.plan.known[ref.UID]) > 0)
	}
	for ref := range w.suspected {
		w.presence.notGiven(ref, len(w.plan.known[ref.UID]) > 0)
	}
	lonely := len(w.plan.retrieve)+len(w.plan.retries)+len(w.plan.suspects) == 1
	for _, b := range w.suspected {
		rec, changed := b.sentence(w.run.came > 0, lonely && w.run.came == 0)
		w.report.emit(Event{Kind: NotRetrieved, Ref: b.ref, Size: b.ref.Size, State: string(rec.State), Why: rec.Why, Err: b.cause})
		if !changed || w.pass.DryRun || b.ref.UID == "" {
			continue
		}
		if err := w.pass.Ledger.Put(w.lasting, rec); err != nil {
			return err
		}
	}
	return nil
}
