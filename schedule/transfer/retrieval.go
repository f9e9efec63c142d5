package transfer

import (
	"slices"

	"github.com/truehop/truehop/fetch"
)

const (
	// batchSize is the default number of messages per retrieval command: many
	// enough that the round trips between batches do not count, few
	// enough that messages are settled while the pass goes on.
	batchSize = 500
	// maxBroken bounds the sessions of a pass that end over one message each.
	maxBroken = 20
)

// retrieval plans which messages to ask for next. It does no I/O: the pipeline asks for what next returns, reports each
// message that came, and calls restart when it goes on in another session.
type retrieval struct {
	size int // of a batch
	// asked are the messages of the last batch, left those of the batches to come, as the session names them.
	asked, left []fetch.Ref
	// came are the messages of the last batch that came, or of which the server said that they cannot.
	came map[fetch.Ref]bool
	// firstName is what the first listing called the messages of a later session.
	firstName map[fetch.Ref]fetch.Ref
	// broken counts the sessions that ended over one message.
	broken int
}

// newRetrieval plans the retrieval of refs, size at a time; 0 means 500.
func newRetrieval(refs []fetch.Ref, size int) *retrieval {
	if size <= 0 {
		size = batchSize
	}
	return &retrieval{size: size, left: refs, came: map[fetch.Ref]bool{}}
}

// next returns the messages to ask for now; none when all were asked for.
func (r *retrieval) next() []fetch.Ref {
	n := min(r.size, len(r.left))
	r.asked, r.left = r.left[:n], r.left[n:]
	clear(r.came)
	return r.asked
}

// arrived notes that a message came and returns what the first listing called it.
func (r *retrieval) arrived(ref fetch.Ref) fetch.Ref {
	r.came[ref] = true
	return r.original(ref)
}

// original returns what the first listing called a message.
func (r *retrieval) original(ref fetch.Ref) fetch.Ref {
	if first, ok := r.firstName[ref]; ok {
		return first
	}
	return ref
}

// sessionBroke notes that a session ended over one message, and reports whether to go on in another.
func (r *retrieval) sessionBroke() bool {
	r.broken++
	return r.broken <= maxBroken
}

// restart plans what has not come yet for another session, which lists the messages in listed and names those of the
// first listing as again says. A message that is not certain there is left to its content if some message
// still goes by the name it had, and to the next pass if none does.
func (r *retrieval) restart(listed []fetch.Ref, again map[fetch.Ref]fetch.Ref) {
	here := make(map[fetch.Ref]bool, len(listed))
	for _, ref := range listed {
		here[ref] = true
	}
	var left []fetch.Ref
	firstName := make(map[fetch.Ref]fetch.Ref, len(r.left))
	for _, ref := range slices.Concat(r.asked, r.left) {
		if r.came[ref] {
			continue
		}
		first := r.original(ref)
		now, ok := again[first]
		if !ok {
			now, ok = first, here[first]
		}
		if ok {
			left, firstName[now] = append(left, now), first
		}
	}
	r.asked, r.left, r.firstName = nil, left, firstName
}
