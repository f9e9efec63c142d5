package transfer

import (
	"fmt"
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// A session may end because of one message: the server crashes at it, announces it wrong, or says nothing more. Such a
// message must not keep the others. It becomes a suspect: the others are asked for first, in sets that shrink, and the
// suspects last, each alone in a session of its own. What they are charged with is decided by deed: only a message that
// ends a session in which nothing else was asked for, while others come whole, is to blame.

const (
	// batchSize is the default number of messages per retrieval command: many
	// enough that the round trips between batches do not count, few
	// enough that messages are settled while the pass goes on.
	batchSize = 500
	// maxSuspects bounds the suspects that one pass asks for.
	maxSuspects = 5
	// maxRefused is how many messages in a row the server may refuse one by one before it is taken to refuse all of them.
	maxRefused = 20
	// maxBusy is the same for refusals that have to do with the server, by its words.
	maxBusy = 3
	// maxCharges is how many charges make a message held.
	maxCharges = 3
	// lonelyTries and lonelyTime are how often and for how long a message must have been tried that is held
	// though no other shows that the server can hand over any.
	lonelyTries = 5
	lonelyTime  = 24 * time.Hour
)

// retrieval plans which messages to ask for next. It does no I/O: the pipeline asks for what next returns, reports what
// became of it, and calls restart when it goes on in another session. It knows messages as the first listing
// calls them; next and arrived translate.
type retrieval struct {
	// size is that of the next set, limit what it must not grow beyond.
	size, limit int
	// asked are the messages of the last set that have not come, left those of the sets to come, suspects those to be
	// asked for last. tries is how many of the suspects may still be asked for.
	asked, left, suspects []fetch.Ref
	tries                 int
	// starved are those that an earlier pass did not come to: of suspects, which are asked for before the retries then, and
	// of retries.
	starved map[fetch.Ref]bool
	// retries are those of left that were tried before. They come in sets of their own, and so do the starved ones, which
	// are first: within one set the server has its own order.
	retries map[fetch.Ref]bool
	// set is how many messages the last set had; alone says that it is one suspect.
	set   int
	alone bool
	// underWay is the message whose body is being read.
	underWay *fetch.Ref
	// names are what the session under way calls the messages, firstNames the way back; nil in the first one.
	names, firstNames map[fetch.Ref]fetch.Ref
	// refusedInRow counts messages that were refused one by one since the last that came.
	refusedInRow, busyInRow int
}

// newRetrieval plans the retrieval of what is new in a plan and then of the retries, size at a time, 0 meaning 500, and
// last of at most tries suspects.
func newRetrieval(p *plan, size, tries int) *retrieval {
	if size <= 0 {
		size = batchSize
	}
	r := &retrieval{
		size: size, limit: size, left: slices.Concat(p.retrieve, p.retries), suspects: p.suspects, starved: p.starved, tries: tries,
		retries: map[fetch.Ref]bool{},
	}
	for _, ref := range p.retries {
		r.retries[ref] = true
	}
	return r
}

// more reports whether there is anything to ask for. alone says that it is a suspect, which wants a session in which
// nothing else was asked for.
func (r *retrieval) more() (more, alone bool) {
	if len(r.suspects) > 0 && r.tries > 0 {
		alone = len(r.left) == 0
		if !alone && r.starved[r.suspects[0]] {
			alone = r.retries[r.left[0]]
		}
	}
	return len(r.left) > 0 || alone, alone
}

// next returns the messages to ask for now; none when there is no more.
func (r *retrieval) next() []fetch.Ref {
	_, r.alone = r.more()
	if r.alone {
		r.tries--
		r.asked, r.suspects = slices.Clone(r.suspects[:1]), r.suspects[1:]
	} else {
		n := 0
		for n < min(r.size, len(r.left)) && r.retries[r.left[n]] == r.retries[r.left[0]] && r.starved[r.left[n]] == r.starved[r.left[0]] {
			n++
		}
		r.asked, r.left = slices.Clone(r.left[:n]), r.left[n:]
	}
	r.underWay, r.set = nil, len(r.asked)
	set := slices.Clone(r.asked)
	for i, ref := range set {
		if now, ok := r.names[ref]; ok {
			set[i] = now
		}
	}
	return set
}

// arrived notes that a message begins to come, or that the server says why it does not, and returns what
// the first listing called it.
func (r *retrieval) arrived(ref fetch.Ref) fetch.Ref {
	if first, ok := r.firstNames[ref]; ok {
		ref = first
	}
	r.underWay = &ref
	return ref
}

// done notes that there is nothing more to ask for of a message that arrived, whole or not.
func (r *retrieval) done(ref fetch.Ref) {
	r.underWay = nil
	r.asked = slices.DeleteFunc(r.asked, func(asked fetch.Ref) bool { return asked == ref })
}

// came is done for a message that came whole.
func (r *retrieval) came(ref fetch.Ref) {
	r.done(ref)
	r.refusedInRow, r.busyInRow = 0, 0
}

// succeeded notes that the server answered the last set with OK.
func (r *retrieval) succeeded() {
	r.asked = nil
	if !r.alone {
		r.size = min(2*r.size, r.limit)
	}
}

// refused notes that the server refused what is left of the last set, and that the session goes on. It returns the
// message if it is a single one, whose own failure that is, and reports whether the server seems to refuse everything.
func (r *retrieval) refused(busy bool) (one *fetch.Ref, everything bool) {
	switch len(r.asked) {
	case 0: // all had come
		r.succeeded()
		return nil, false
	case 1:
	default:
		r.size = max(1, len(r.asked)/2)
		r.giveBack()
		return nil, false
	}
	ref := r.asked[0]
	r.asked = nil
	r.refusedInRow++
	if busy {
		r.busyInRow++
	}
	return &ref, r.refusedInRow >= maxRefused || r.busyInRow >= maxBusy
}

// broke notes that the session ended. It returns the message that is suspected: the one that was under way, or the first
// of the set that had not come; nil where all had come. Another session does without it, and asks for half as many.
func (r *retrieval) broke() *fetch.Ref {
	if !r.alone {
		r.limit = min(r.limit, max(1, r.set/2))
		r.size = r.limit
	}
	if len(r.asked) == 0 {
		return nil
	}
	suspect := r.asked[0]
	if r.underWay != nil {
		suspect = *r.underWay
	}
	rest := slices.DeleteFunc(r.asked, func(ref fetch.Ref) bool { return ref == suspect })
	if r.alone {
		r.asked = nil
		return &suspect
	}
	r.left, r.suspects, r.asked = slices.Concat(rest, r.left), append(slices.Clip(r.suspects), suspect), nil
	return &suspect
}

// giveBack plans to ask again for what has not come of the last set.
func (r *retrieval) giveBack() { r.left, r.asked = slices.Concat(r.asked, r.left), nil }

// restart plans what has not come yet for another session, which lists the messages in listed and names those of the
// first listing as again says. A message that is not certain there is left to its content if some message
// still goes by the name it had, and to the next pass if none does: those it returns.
func (r *retrieval) restart(listed []fetch.Ref, again map[fetch.Ref]fetch.Ref) (missing []fetch.Ref) {
	here := make(map[fetch.Ref]bool, len(listed))
	for _, ref := range listed {
		here[ref] = true
	}
	r.names, r.firstNames = map[fetch.Ref]fetch.Ref{}, map[fetch.Ref]fetch.Ref{}
	keep := func(refs []fetch.Ref) []fetch.Ref {
		var kept []fetch.Ref
		for _, first := range refs {
			now, ok := again[first]
			if !ok {
				now, ok = first, here[first]
			}
			if !ok {
				missing = append(missing, first)
				continue
			}
			kept, r.names[first], r.firstNames[now] = append(kept, first), now, first
		}
		return kept
	}
	r.left, r.suspects = keep(r.left), keep(r.suspects)
	return missing
}

// breakage is what is known of a message that ended a session, or that was listed and not handed over.
type breakage struct {
	ref    fetch.Ref
	cause  error
	octets int64 // of it that came
	// alone says that nothing else was asked for in the session.
	alone bool
	// record is what the ledger says of it, further whether it got further in this pass than ever before.
	record  ledger.Record
	further bool
}

// sizeOrLast returns the size that the listing announced, or, where it announced none, the one that was last recorded.
func sizeOrLast(listed int64, last ledger.Record) int64 {
	if listed <= 0 && last.Size > 0 {
		return last.Size
	}
	return listed
}

// after returns the breakage with its record, which follows last: what the ledger said of the message, or only its key.
// The first time that it ends a session it is due again at the next pass: others may be to blame.
func (b breakage) after(last ledger.Record, retry Retry, now time.Time) breakage {
	rec := last
	if rec.First.IsZero() {
		rec.First = now
	}
	if rec.Octets > 0 && b.octets > rec.Octets {
		b.further = true
	}
	rec.State, rec.Last, rec.Next = ledger.Deferred, now, now
	rec.Size = sizeOrLast(b.ref.Size, last)
	rec.Absent = false
	rec.Attempts, rec.Breaks, rec.Octets = rec.Attempts+1, rec.Breaks+1, max(rec.Octets, b.octets)
	rec.Why = "the server ended the session at this message: " + b.cause.Error()
	wait := rec.Breaks - 1
	switch fetch.KindOf(b.cause) {
	case fetch.Gone, fetch.Incomplete:
		rec.Why = "the server lists this message and does not hand it over: " + b.cause.Error()
		wait = rec.Breaks
	}
	if wait > 0 {
		rec.Next = now.Add(retry.after(wait))
	}
	b.record = rec
	return b
}

// sentence returns the record as it is at the end of the pass, and reports whether that differs. othersCame says that
// another message came whole, lonely that no other was to be retrieved.
func (b breakage) sentence(othersCame, lonely bool) (rec ledger.Record, changed bool) {
	rec = b.record
	if !b.alone || b.further {
		return rec, false
	}
	switch {
	case othersCame:
		rec.Charges++
		if rec.Charges >= maxCharges {
			rec.State = ledger.Held
		}
	case lonely && rec.Breaks >= lonelyTries && rec.Last.Sub(rec.First) >= lonelyTime:
		rec.State = ledger.Held
	default:
		return rec, false
	}
	if rec.State == ledger.Held {
		rec.Why = fmt.Sprintf("%s (%d times; read, move or delete it at the server, or let truehop retry it)", rec.Why, rec.Breaks)
	}
	return rec, true
}
