package transfer

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// whyLost is what a person is told of a message that went before it was delivered, whyLostInDoubt of one that the MTA
// may have all the same, whyLostHeld of one that waited for a person.
const (
	whyLost        = "gone from the mailbox before it was delivered"
	whyLostInDoubt = "gone from the mailbox before it was known to be delivered: the MTA may have it"
	whyLostHeld    = "gone from the mailbox while it was held"
	// whyMayBeLost is what a person is told of a message that was never read, and whose UID means nothing any more.
	whyMayBeLost = "may be gone from the mailbox: the UIDs there are new, and it was never read, so that nothing tells whether it is among the messages listed"
)

// presence is what a complete listing of a folder and the retrievals of a pass tell of what is there.
type presence struct {
	folder folderKey
	// mu guards unread, unreadNew and sizeOf while messages that have come are looked at and further ones are asked for.
	mu sync.Mutex
	// listed counts the messages by their UIDs. lastingUIDs says that a UID never comes to name another message.
	listed      uidCounts
	lastingUIDs bool
	// contents are those of the messages that were retrieved, by their UIDs: only of UIDs that name an unfinished record.
	contents map[string][][32]byte
	// unread says that a message is there whose content nobody has seen: it may be one that has gone under its old name.
	// unreadNew says that there is one which earlier passes did not know.
	unread, unreadNew bool
	// refused are the sizes of the messages that this pass asked for and did not get, by their UIDs.
	refused map[string]int64
	// claimed are the records that a message under another UID was recognised by.
	claimed map[ledger.Key]bool
	// notReadYet are the listed messages that no earlier pass has read, sizeOf what is known of their sizes, sizes how many of them
	// have each, 0 where it is not known. taken counts those of them whose record under an earlier UIDVALIDITY is known. renumbered
	// says that the ledger has records from before a new one, unreadBefore are those of them without content.
	notReadYet   []fetch.Ref
	sizeOf       map[fetch.Ref]int64
	sizes        map[int64]int
	taken        map[sizeUnder]int
	renumbered   bool
	unreadBefore []ledger.Record
	// numberedAnew says that UIDs are numbers, and are not those that the ledger has.
	numberedAnew bool
	// leavesOut says that there are messages which a search has left out, or which are not listed, so that nobody looks at them;
	// partial that those which are not listed are there.
	leavesOut, partial bool
	// heldGone says that a message which is held is not listed.
	heldGone bool
}

// sizeUnder is a size of messages that have records under a UIDVALIDITY.
type sizeUnder struct {
	validity uint32
	size     int64
}

// newPresence returns what a listing alone tells.
func newPresence(at folderKey, listing *fetch.Listing, p *plan) *presence {
	found := &presence{
		folder: at, listed: p.listed, lastingUIDs: p.lastingUIDs, numberedAnew: p.numberedAnew, renumbered: p.renumbered, leavesOut: len(p.leftOut) > 0 || p.partial, partial: p.partial, heldGone: p.heldGone,
		contents: map[string][][32]byte{}, claimed: map[ledger.Key]bool{}, refused: map[string]int64{},
		sizeOf: map[fetch.Ref]int64{}, sizes: map[int64]int{}, taken: map[sizeUnder]int{},
	}
	if !p.renumbered { // else nothing is told by its size, and there may be very many messages
		return found
	}
	for _, ref := range listing.Refs {
		wasRead := slices.ContainsFunc(p.known[ref.UID], func(b ledger.Brief) bool { return b.Hash != noHash })
		if !wasRead && !p.listed[ref.UID].read {
			found.notReadYet = append(found.notReadYet, ref)
			found.sizeOf[ref] = p.knownSize(ref)
			found.sizes[found.sizeOf[ref]]++
		}
	}
	return found
}

// sized notes how large a listed message is that no earlier pass has read.
func (p *presence) sized(ref fetch.Ref, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sizes[p.sizeOf[ref]]--
	p.sizes[size]++
	p.sizeOf[ref] = size
}

// size returns what is known of the size of a listed message that no earlier pass has read, 0 for others.
func (p *presence) size(ref fetch.Ref) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sizeOf[ref]
}

// readAs is sized for a message that was read now, if nobody could tell its size before. A server may end the session at that question.
func (p *presence) readAs(ref fetch.Ref, size int64) {
	if known, unread := p.sizeOf[ref]; unread && known == 0 {
		p.sized(ref, size)
	}
}

// under returns the UIDVALIDITY and the size of a record, by which messages that were never read are matched.
func under(r *ledger.Record) sizeUnder { return sizeUnder{r.Validity, max(r.Size, 0)} }

// candidates counts the messages that may be one of the records under an earlier UIDVALIDITY that were not read.
func (p *presence) candidates(of sizeUnder) int { return p.sizes[of.size] - p.taken[of] }

// serves reports whether there are at most as many candidates for a record as there are records like it, so that each
// candidate must be the message of one. Where there are more, one may be new, and the message of the record lost.
func (p *presence) serves(of sizeUnder) bool {
	like := 0
	for i := range p.unreadBefore {
		if r := &p.unreadBefore[i]; under(r) == of && !p.claimed[r.Key] {
			like++
		}
	}
	found := p.candidates(of)
	return of.size > 0 && found > 0 && found <= like
}

// mayBeThere reports whether the message of a record that was not read under an earlier UIDVALIDITY may be among those listed.
func (p *presence) mayBeThere(r *ledger.Record) bool {
	if r.Hash != noHash || r.Validity == p.folder.validity {
		return false
	}
	if r.Size > 0 {
		return p.candidates(under(r)) > 0 || p.candidates(sizeUnder{validity: r.Validity}) > 0
	}
	for size := range p.sizes {
		if p.candidates(sizeUnder{r.Validity, size}) > 0 {
			return true
		}
	}
	return false
}

// claim notes that a listed message was recognised by its content, which a record under another name has.
func (p *presence) claim(record ledger.Key, ref fetch.Ref) {
	p.claimed[record] = true
	if record.Validity == p.folder.validity {
		return
	}
	record.Hash = noHash   // the same message, when it could not be read
	if p.claimed[record] { // another message took it, whose own is left for this one
		return
	}
	p.claimed[record] = true
	p.taken[sizeUnder{record.Validity, p.sizeOf[ref]}]++
}

// succeed finds what a message supersedes that was read and that no record has: under each earlier UIDVALIDITY a record
// of its size that was never read. They go with the message's own record and not at the end of the pass, which may fail
// when the message has been deleted already.
func (p *presence) succeed(ref fetch.Ref) []ledger.Key {
	if p.leavesOut {
		return nil // it may be one of those
	}
	var keys []ledger.Key
	served := map[uint32]bool{}
	for i := range p.unreadBefore {
		r := &p.unreadBefore[i]
		if served[r.Validity] || p.claimed[r.Key] || under(r).size != p.sizeOf[ref] || !p.serves(under(r)) {
			continue
		}
		served[r.Validity] = true
		p.taken[under(r)]++
		p.claimed[r.Key] = true
		keys = append(keys, r.Key)
	}
	return keys
}

// superseded reports whether the message of a record that was never read is listed under the new UIDVALIDITY, and so has
// a record of its own there. RFC 3501 section 2.3.1.1: its UID means nothing any more. So each listed message whose
// record under the old UIDVALIDITY is not known serves for one there that has its size, unless there are more of that size
// than records.
func (p *presence) superseded(r *ledger.Record) bool {
	unread := r.Folder == p.folder.name && r.Hash == noHash && !p.claimed[r.Key] && !p.leavesOut
	if !unread || r.Validity == p.folder.validity || !p.serves(under(r)) {
		return false
	}
	p.taken[under(r)]++
	p.claimed[r.Key] = true
	return true
}

// notRead notes that a message is there whose content could not be seen. known says that earlier passes knew of it.
func (p *presence) notRead(known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unread = true
	p.unreadNew = p.unreadNew || !known
}

// notGiven is notRead for a message that the pass asked for.
func (p *presence) notGiven(ref fetch.Ref, known bool) {
	p.notRead(known)
	p.refused[ref.UID] = listedSize(ref)
}

// lost reports whether the message of an unfinished record is not in the folder any more.
func (p *presence) lost(r *ledger.Record) bool {
	switch {
	case r.Folder != p.folder.name, r.Disposed, p.claimed[r.Key]:
		return false
	case r.Validity != p.folder.validity && p.leavesOut:
		return false // it may be one of them under a new UID
	case p.partial && p.listed[r.UID].listed == 0:
		return false
	case r.Validity != p.folder.validity, p.listed[r.UID].listed == 0:
		return !p.unreadNew // what cannot be read at the next pass either is no reason to wait longer: a lost message may come back
	case p.lastingUIDs, r.Hash == noHash:
		return false
	}
	// The UID may name other messages by now. Of one that does not come the size tells, and else the contents, if all
	// were looked at. What was not asked for in this pass may have grown by a field that a server adds.
	size, refused := p.refused[r.UID]
	isOther := resized(&ledger.Brief{Listed: r.Listed, Size: r.Size}, size)
	if refused && isOther && p.listed[r.UID].listed == 1 {
		return !p.unreadNew && !p.numberedAnew
	}
	contents := p.contents[r.UID]
	return len(contents) == int(p.listed[r.UID].listed) && !slices.Contains(contents, r.Hash)
}

// lose records that a message is lost upstream, or may be. It is due at once if it is listed again.
func lose(r ledger.Record, mayBeThere bool) ledger.Record {
	why := whyLost
	if r.State == ledger.Sending {
		r.Doubts++ // a run died between the dot and the reply
	}
	switch {
	case mayBeThere:
		why = whyMayBeLost
	case r.Doubts > 0:
		why = whyLostInDoubt
	case r.State == ledger.Held:
		why = whyLostHeld
	}
	r.State, r.Absent, r.Next, r.Why = ledger.Lost, true, time.Time{}, inOneLine([]string{why, r.Why})
	return r
}

// unfinished returns the records of the account without a verdict, with those that are held or without.
func (r *run) unfinished(ctx context.Context, withHeld bool) ([]ledger.Record, error) {
	records, err := r.pass.Ledger.Unfinished(ctx, r.pass.Account)
	if err != nil || !withHeld {
		return records, err
	}
	held, err := r.pass.Ledger.List(ctx, ledger.Filter{Account: r.pass.Account, States: []ledger.State{ledger.Held}})
	return append(records, held...), err
}

// noteUnreadBefore reads what is known of a folder by the UIDs of an earlier UIDVALIDITY alone. The sizes of those messages are
// all there is to know them by, so those of what is listed now are asked for.
func (r *run) noteUnreadBefore(ctx context.Context, p *presence) error {
	if !p.renumbered {
		return nil
	}
	records, err := r.unfinished(ctx, true)
	if err != nil {
		return err
	}
	p.noteUnread(records)
	if !slices.ContainsFunc(p.unreadBefore, func(rec ledger.Record) bool { return rec.Size > 0 }) {
		return nil
	}
	unknown := slices.DeleteFunc(slices.Clone(p.notReadYet), func(ref fetch.Ref) bool { return p.sizeOf[ref] > 0 })
	sizes, err := r.askSizes(ctx, unknown)
	for ref, size := range sizes {
		p.sized(ref, size)
	}
	return err
}

// noteUnread finds among records without a verdict those of messages that were not read under an earlier UIDVALIDITY.
func (p *presence) noteUnread(records []ledger.Record) {
	p.unreadBefore = nil
	for _, rec := range records {
		unread := rec.Folder == p.folder.name && rec.Validity != p.folder.validity && rec.Hash == noHash
		if unread && rec.State != ledger.Lost {
			p.unreadBefore = append(p.unreadBefore, rec)
		}
	}
}

// isElsewhere reports whether a message that is not in its folder any more is in another one, or has its verdict there.
func (r *run) isElsewhere(ctx context.Context, gone *ledger.Record) (bool, error) {
	if !r.several || gone.Hash == noHash {
		return false, nil
	}
	records, err := r.pass.Ledger.ByHashAnywhere(ctx, gone.Account, gone.Hash)
	return slices.ContainsFunc(records, func(other ledger.Record) bool {
		if other.Folder == gone.Folder {
			return false
		}
		isThere := !other.Absent && !other.Disposed
		return isThere || isVerdict(other.State)
	}), err
}

// findLost records and tells which messages went from a folder before they were delivered. The pass has looked at
// what is new there, so that what only has another name is not among them. It removes records that others supersede.
func (r *run) findLost(ctx context.Context, p *presence) error {
	records, err := r.unfinished(ctx, p.renumbered || p.heldGone)
	if err != nil {
		return err
	}
	p.noteUnread(records)
	now, ran := r.clock.now(), r.clock.accountTime()
	var gone []ledger.Record
	var superseded []ledger.Key
	for i := range records {
		switch rec := &records[i]; {
		case rec.State == ledger.Lost: // stays until a person has taken note of it
		case p.superseded(rec):
			superseded = append(superseded, rec.Key)
		case p.lost(rec):
			moved, err := r.isElsewhere(ctx, rec)
			if err != nil {
				return err
			}
			if moved {
				superseded = append(superseded, rec.Key)
				continue
			}
			rec := lose(*rec, p.mayBeThere(rec))
			rec.Last, rec.Ran = now, ran
			gone = append(gone, rec)
		}
	}
	if err := r.pass.Ledger.Remove(ctx, superseded); err != nil {
		return err
	}
	if err := r.pass.Ledger.PutAll(ctx, gone); err != nil {
		return err
	}
	for _, rec := range gone {
		r.report.emit(Event{
			Kind: Vanished, Folder: rec.Folder, Ref: fetch.Ref{Folder: rec.Folder, Validity: rec.Validity, UID: rec.UID, Size: rec.Size},
			Token: rec.Token, Size: rec.Size, Heading: rec.Heading, State: string(rec.State), Sender: rec.Sender, Why: inOneLine([]string{rec.Why, rec.Reply}),
		})
	}
	return nil
}
