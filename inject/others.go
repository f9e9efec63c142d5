package inject

import (
	"cmp"
	"slices"
)

// others returns the recipients that may get the message without the one at which the MTA ended the session: by 421 or 521
// to its RCPT, or by closing the connection behind a 4xx or 5xx. Else that one would keep the message from them at each try.
// It returns nil where no recipient was refused or deferred.
func (t *transaction) others(e *end) []string {
	refused := func(r RecipientReceipt) bool { return r.Reply.class() >= 4 }
	ended := e.session == broken && e.outcome == Deferred
	if t.begun || !ended || !slices.ContainsFunc(t.recipients, refused) {
		return nil
	}
	var others []string
	for _, r := range t.recipients {
		if !refused(r) {
			others = append(others, r.Address)
		}
	}
	return others
}

// with returns a receipt completed by that of a later attempt, which was for some of the recipients in the same order. What
// ended the first attempt counts no more.
func (r Receipt) with(later Receipt) Receipt {
	r.Recipients = slices.Clone(r.Recipients)
	left := later.Recipients
	for i, to := range r.Recipients {
		if len(left) > 0 && to.Address == left[0].Address {
			r.Recipients[i], left = left[0], left[1:]
		}
	}
	return r.decided(later)
}

// concernsAll reports whether what kept a message from one recipient keeps it from all: there is no session, or no time for one.
func (r Receipt) concernsAll() bool {
	if r.Err == nil {
		return false
	}
	return r.BeforeClient || r.Err.Kind == Aborted
}

// and returns a receipt for the recipients of both, which says of the connection what the one says that decides the outcome.
func (r Receipt) and(later Receipt) Receipt {
	if len(r.Recipients) == 0 {
		return later
	}
	all := slices.Concat(r.Recipients, later.Recipients)
	of, other := later, r
	earlier := outcomeOf(all) == r.Outcome
	alike := later.Outcome == r.Outcome
	if alike {
		earlier = later.Err == nil // else the later one knows of the connection, too
	}
	if earlier {
		of, other = r, later
	}
	of.Recipients, of.QueueID, of.Note = all, cmp.Or(of.QueueID, other.QueueID), cmp.Or(of.Note, other.Note)
	return of.decided(of)
}

// decided has what became of the recipients decide the outcome, where later is the last receipt.
func (r Receipt) decided(later Receipt) Receipt {
	r.Outcome = outcomeOf(r.Recipients)
	decided := func(to RecipientReceipt) bool { return to.Outcome == r.Outcome }
	to := r.Recipients[slices.IndexFunc(r.Recipients, decided)]
	r.Stage, r.Reply, r.QueueID, r.Note, r.Err = to.Stage, to.Reply, later.QueueID, later.Note, later.Err
	return r
}
