package transfer

import (
	"context"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// Predecessor is what another program has fetched from one folder of an account before truehop took it over.
type Predecessor struct {
	// Folder is "" with POP3, which has no Validity either.
	Account, Folder string
	Validity        uint32
	// UIDs are of messages that it has fetched. That each is in the mailbox still is not asked.
	UIDs []string
	// Program is its name, and Mailbox whose mailbox this is, for people.
	Program, Mailbox string
}

// Why is what the records of its messages say.
func (p Predecessor) Why() string {
	return "fetched by " + p.Program + " before, as " + p.Mailbox
}

// TakeOver records as done what the predecessor has fetched, in one step, and that it saw the folder to its end: what has no
// record is new. A message that has a record keeps it, so that it may be called again. The caller holds the account's lock.
func TakeOver(ctx context.Context, l Ledger, p Predecessor, now time.Time) (recorded int, err error) {
	known, err := l.Briefs(ctx, p.Account, p.Folder, p.Validity)
	if err != nil {
		return 0, err
	}
	at := folderKey{p.Account, p.Folder, p.Validity}
	var unknown []string
	seen := map[string]bool{}
	for _, uid := range p.UIDs {
		if uid != "" && len(known[uid]) == 0 && !seen[uid] {
			unknown = append(unknown, uid)
		}
		seen[uid] = true
	}
	err = l.PutSeq(ctx, func(yield func(ledger.Record) bool) {
		for _, uid := range unknown {
			rec := ledger.Record{Key: at.key(uid, noHash), State: ledger.Adopted, First: now, Last: now, Why: p.Why()}
			if !yield(rec) {
				return
			}
		}
	})
	if err != nil {
		return 0, err
	}
	return len(unknown), l.CaughtUp(ctx, p.Account, p.Folder)
}
