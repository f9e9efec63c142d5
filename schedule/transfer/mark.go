package transfer

import (
	"context"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// Where [Pass.MarkDelivered] says so, a message carries [fetch.DeliveredKeyword] upstream once its verdict, delivered, is
// durable here. So the mark never says more than the ledger did, and outlives it. What it proves depends on what
// the ledger says:
//
//   - No record of the message: it was delivered, and the ledger is older than the mailbox. The message is recorded as
//     delivered, where UIDs last, and left alone. It is never deleted, moved or flagged for the mark's sake, since another program may have
//     set it, and its content was not seen.
//   - A record without a final verdict: either the ledger is older, or another program has set the mark. Nobody can
//     tell, and no message may be lost, so it is delivered with the label of a possible redelivery.
//   - Another final verdict stands. A person who has such a message tried again gets it delivered with the label.
//   - Delivered without a mark: the pass had ended before it could be set, so the mark is owed and set now.

// whyMarked is what a person is told of a message that was known by its mark.
const whyMarked = "carries " + fetch.DeliveredKeyword + " upstream: an earlier ledger delivered it"

// recordMarked records what only the upstream's mark says: that these messages were delivered. Until a pass has
// seen all of the folder they have no record, and remain evidence that the ledger is older than the mailbox.
func (r *run) recordMarked(ctx context.Context, at folderKey, marked []fetch.Ref) error {
	now := r.clock.now()
	return r.pass.Ledger.PutSeq(ctx, func(yield func(ledger.Record) bool) {
		for _, ref := range marked {
			if !yield(ledger.Record{
				Key: at.key(ref.UID, noHash), State: ledger.Delivered, Size: ref.Size, Listed: listedSize(ref),
				First: now, Last: now, Ran: r.clock.accountTime(), Why: whyMarked,
			}) {
				return
			}
		}
	})
}

// notMarked tells why messages are not marked, if err is not nil and nothing of that kind was told in this pass.
func (s *settler) notMarked(err error) {
	if err == nil || s.toldNotMarked {
		return
	}
	s.toldNotMarked = true
	s.report.emit(Event{Kind: NotMarked, Folder: s.session.folder, Err: err})
}
