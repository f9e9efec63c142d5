package transfer

import (
	"context"
	"slices"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// whyLost is what a person is told of a message that went before it was delivered, whyLostInDoubt of one that the MTA
// may have all the same.
const (
	whyLost        = "gone from the mailbox before it was delivered"
	whyLostInDoubt = "gone from the mailbox before it was known to be delivered: the MTA may have it"
)

// presence is what a complete listing of a folder and the retrievals of a pass tell of what is there.
type presence struct {
	folder folderKey
	// listed counts the messages by their UIDs. lastingUIDs says that a UID never comes to name another message.
	listed      map[string]int
	lastingUIDs bool
	// contents are those of the messages that were retrieved, by their UIDs: only of UIDs that name an unfinished record.
	contents map[string][][32]byte
	// unread says that a message is there whose content nobody has seen: it may be one that has gone under its old name.
	// unreadNew says that there is one which earlier passes did not know.
	unread, unreadNew bool
	// claimed are the records that a message under another UID was recognised by.
	claimed map[ledger.Key]bool
}

// look notes the content of a message that was retrieved. briefs are the records of its UID.
func (p *presence) look(uid string, content [32]byte, briefs []ledger.Brief) {
	if slices.ContainsFunc(briefs, func(b ledger.Brief) bool { return !b.State.Final() }) {
		p.contents[uid] = append(p.contents[uid], content)
	}
}

// notRead notes that a message is there whose content could not be seen. known says that earlier passes knew of it.
func (p *presence) notRead(known bool) {
	p.unread = true
	p.unreadNew = p.unreadNew || !known
}

// lost reports whether the message of an unfinished record is not in the folder any more.
func (p *presence) lost(r *ledger.Record) bool {
	switch {
	case r.Folder != p.folder.name, r.Disposed, p.claimed[r.Key]:
		return false
	case r.Validity != p.folder.validity:
		return !p.unread
	case p.listed[r.UID] == 0:
		return !p.unreadNew // what cannot be read at the next pass either is no reason to wait longer: a lost message may come back
	case p.lastingUIDs, r.Hash == noHash:
		return false
	}
	// The UID may name other messages by now. Only if all were looked at, theirs is known.
	contents := p.contents[r.UID]
	return len(contents) == p.listed[r.UID] && !slices.Contains(contents, r.Hash)
}

// lose records that a message is lost upstream. It is due at once if it is listed again.
func lose(r ledger.Record) ledger.Record {
	why := whyLost
	if r.State == ledger.Sending {
		r.Doubts++ // a run died between the dot and the reply
	}
	if r.Doubts > 0 {
		why = whyLostInDoubt
	}
	r.State, r.Absent, r.Why = ledger.Lost, true, inOneLine([]string{why, r.Why})
	return r
}

// findLost records and tells which messages went from a folder before they were delivered. The pass has looked at
// what is new there, so that what only has another name is not among them.
func (r *run) findLost(ctx context.Context, p *presence) error {
	records, err := r.pass.Ledger.Unfinished(ctx, r.pass.Account)
	if err != nil {
		return err
	}
	now, ran := r.clock.now(), r.clock.accountTime()
	var gone []ledger.Record
	for i := range records {
		if records[i].State != ledger.Lost && p.lost(&records[i]) {
			rec := lose(records[i])
			rec.Last, rec.Ran = now, ran
			gone = append(gone, rec)
		}
	}
	if err := r.pass.Ledger.PutAll(ctx, gone); err != nil {
		return err
	}
	for _, rec := range gone {
		r.report.emit(Event{
			Kind: Vanished, Folder: rec.Folder, Ref: fetch.Ref{Folder: rec.Folder, Validity: rec.Validity, UID: rec.UID, Size: rec.Size},
			Token: rec.Token, Size: rec.Size, State: string(rec.State), Sender: rec.Sender, Why: inOneLine([]string{rec.Why, rec.Reply}),
		})
	}
	return nil
}
