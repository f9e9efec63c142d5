package transfer

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// whyAdopted is what a person is told of an adopted message.
const whyAdopted = "was there before the first pass"

// noHash stands in a key for the content of a message that was never retrieved.
var noHash = ledger.Key{}.Hash

// folderKey names a folder as the ledger does.
type folderKey struct {
	account, name string
	validity      uint32
}

// key returns the ledger's key of a message in the folder.
func (f folderKey) key(uid string, hash [32]byte) ledger.Key {
	return ledger.Key{Account: f.account, Folder: f.name, Validity: f.validity, UID: uid, Hash: hash}
}

// listedSize is the size that the ledger records as announced by the listing.
func listedSize(ref fetch.Ref) int64 { return max(ref.Size, 0) }

// plan is what there is to do with a listing.
type plan struct {
	// retrieve are the messages to be retrieved, retries those to be retrieved after them because they were tried
	// before: what has made trouble once never comes between new mail and the MTA. suspects come last, because sessions
	// ended at them before, but for those of starved. starved are retries and suspects that an earlier pass did not come
	// to, since it was stopped by what retries met. Among retries, and among suspects, what has been due for longest comes
	// first: so every pass comes to others. settle are the disposals to be carried out without retrieval.
	retrieve, retries, suspects []fetch.Ref
	starved                     map[fetch.Ref]bool
	settle                      []settlement
	// deletable are those of retrieve that are to be disposed of as soon as their content proves to be what the
	// ledger says. overdueFor is how long the first of them could have gone, by the account's clock.
	deletable  []fetch.Ref
	overdueFor time.Duration
	// onlyOverdue says that the pass retrieves the deletable messages and no others.
	onlyOverdue bool
	// known holds what the ledger has of every UID under this UIDVALIDITY, but for those that are at rest.
	known map[string][]ledger.Brief
	// atRest counts those, and atRestOtherwise says that one of them was not just adopted.
	atRest          int
	atRestOtherwise bool
	// listed counts the messages of the listing by their UIDs, asRecorded those that may be what the ledger has under
	// that UID: of another size they are not.
	listed, asRecorded uidCounts
	// leftOut are messages that the search has not found.
	leftOut map[fetch.Ref]bool
	// marked are messages without a record that the upstream says were delivered.
	marked []fetch.Ref
	// absent and back are records whose messages have gone from the listing, or come back.
	absent, back []ledger.Key
	// vanished is the number of absent ones that no pass can have disposed of.
	vanished int
	// heldGone says that a message which is held, and so was never delivered, is not listed.
	heldGone bool
	counts   Counts
	// disposals counts the messages that have their verdicts by what is to become of them now.
	disposals map[fetch.Disposal]int
	// mayHaveMoved says that the ledger knows messages of this folder that are not listed under the name
	// they had, so that what looks new may be one of them.
	mayHaveMoved bool
	// mayBeElsewhere says that what looks new may be known from a folder that the account is not fetched from any more.
	mayBeElsewhere bool
	// renumbered says that the ledger has records of this folder under another UIDVALIDITY.
	renumbered bool
	// lastingUIDs says that a UID never comes to name another message.
	lastingUIDs bool
	// numberedAnew says that the server gives messages their numbers for UIDs, and that these have changed.
	numberedAnew bool
	// partial says that the listing holds only what came since an earlier one, whose messages are all still there.
	partial bool
	// due is what the account's clock shows when time alone makes something of a listed message due, 0 for never.
	due time.Duration
	// outdated says that the ledger may know less of this folder than was delivered, so that what is delivered may be a
	// second copy.
	outdated bool
	trust    ledger.Trust
	// sizes and unsized are those of the listingRules. listedAgain are the messages that are left alone, or are to go, by a record whose message
	// had gone.
	sizes       map[fetch.Ref]int64
	unsized     bool
	listedAgain map[fetch.Ref]bool
	// doubted are those whose UIDs are no proof of what they are, confirmed those whose sizes are.
	doubted, confirmed map[string]bool
	// disposal says what becomes of its messages.
	disposal disposalRules
	// mark says that its delivered messages are to be marked upstream.
	mark bool
	// adopt says that what is unknown in this folder is recorded as done and not delivered, but for what is spared.
	adopt  bool
	spared map[fetch.Ref]bool
}

// listingRules are what compare goes by, beside the listing and the records.
type listingRules struct {
	retry    Retry
	disposal disposalRules
	// sendingUntil is that of the [Pass].
	sendingUntil time.Time
	// setBack says that the server may have given UIDs anew, since the folder was set back. asked are the messages that it was asked for the
	// sizes of, since a UID alone is no proof, and sizes what it told.
	setBack bool
	asked   map[fetch.Ref]bool
	sizes   map[fetch.Ref]int64
	// unsized says that the server did not tell them, and is to be asked again.
	unsized  bool
	now      time.Time
	account  time.Duration // what the account's clock shows
	lastPass time.Time     // when the last pass began, zero if there was none
	// failed says that the last pass went wrong. One that died may have disposed of messages without a record of it.
	failed bool
	// mark says that delivered messages are to be marked upstream.
	mark bool
	// chosen holds the UIDs that the search has found, nil where all are chosen.
	chosen map[string]bool
	// uids are those of the listing, where records of messages at rest were left out by them.
	uids uidCounts
}

// newPlan returns the plan for a listing before its messages are gone through.
func newPlan(listing *fetch.Listing, known map[string][]ledger.Brief, rules listingRules) *plan {
	p := &plan{
		known: known, listed: rules.uids, lastingUIDs: !listing.Reusable && !rules.setBack, sizes: rules.sizes, disposal: rules.disposal,
		disposals: map[fetch.Disposal]int{}, starved: map[fetch.Ref]bool{}, leftOut: map[fetch.Ref]bool{}, listedAgain: map[fetch.Ref]bool{}, doubted: map[string]bool{}, confirmed: map[string]bool{}, unsized: rules.unsized, mark: rules.mark && listing.MarkError == nil,
		partial: listing.Earlier > 0,
	}
	// Of a partial listing it is not known what has moved. What was flagged may leave the folder and come back at any time, and its record
	// is not read once it has left.
	p.mayHaveMoved = p.partial || rules.disposal.onDelivered.Action == fetch.Flag
	if p.listed == nil {
		p.listed = uidCountsOf(listing.Refs)
	}
	p.countUIDs(listing)
	fresh := len(listing.Refs)
	for _, one := range p.listed {
		if one.atRest {
			fresh--
		}
	}
	if len(known) == 0 && fresh > 0 { // as at the first pass: very many, perhaps
		p.retrieve = make([]fetch.Ref, 0, fresh)
	}
	return p
}

// compare says what there is to do with a listing, given what the ledger knows of its UIDs.
func compare(at folderKey, listing *fetch.Listing, known map[string][]ledger.Brief, rules listingRules) *plan {
	p := newPlan(listing, known, rules)
	due, unnamed := map[fetch.Ref]time.Time{}, map[string]int{} // unnamed counts the messages without a UID of their own
	done := sharedAndDone(listing.Refs, p.listed, known, rules)
	for _, ref := range listing.Refs {
		if done[ref.UID] {
			p.counts.Known++
			continue
		}
		if is := p.listed[ref.UID]; is.atRest {
			p.counts.Known++
			p.atRest++
			p.atRestOtherwise = p.atRestOtherwise || !is.adopted
			continue
		}
		if !p.hasOwnUID(ref) {
			p.retrieve = append(p.retrieve, ref) // it is known by its content only
			if unnamed[ref.UID]++; unnamed[ref.UID] > len(known[ref.UID]) {
				p.counts.New++ // at least so many have no record
			}
			continue
		}
		if ref.Marked && len(known[ref.UID]) == 0 {
			p.counts.Known++
			p.marked = append(p.marked, ref)
			continue
		}
		if rules.chosen != nil && !rules.chosen[ref.UID] { // the search has not found it
			p.leftOut[ref] = true
			// What has a record was chosen once, and goes on by that; of a message that was removed another may have the UID by now.
			isNotRemoved := func(b ledger.Brief) bool { return !b.Absent || !b.Disposed }
			if !slices.ContainsFunc(known[ref.UID], isNotRemoved) {
				p.counts.LeftOut++
				continue
			}
		}
		p.due = rules.disposal.soonest(p.due, known[ref.UID])
		size := max(ref.Size, rules.sizes[ref])
		c := classify(known[ref.UID], size, listing.Reusable || rules.setBack, rules)
		isOther := size == 0 || resized(&c.brief, size) // as far as can be told
		unlike := rules.asked[ref] && isOther
		if unlike || p.numberedAnew {
			c.doubt(unlike)
		}
		byUID := c.step == leaveAlone || c.step == disposeUnread
		isLeft := byUID && !listing.Reusable && c.brief.Absent && c.brief.Hash != noHash
		switch {
		case c.isLook() && rules.asked[ref]:
			p.doubted[ref.UID] = true
		case rules.asked[ref]:
			p.confirmed[ref.UID] = true
		case isLeft && rules.unsized: // nothing is done by a UID that may be another's
			c = classified{step: leaveAlone}
		case isLeft:
			p.listedAgain[ref] = true
		}
		if again := p.add(at, ref, c, rules); again {
			if due[ref] = c.brief.Next; c.brief.Next.Before(rules.lastPass) {
				p.starved[ref] = true
			}
		}
	}
	longestDueFirst := func(a, b fetch.Ref) int { return due[a].Compare(due[b]) }
	slices.SortStableFunc(p.retries, longestDueFirst)
	slices.SortStableFunc(p.suspects, longestDueFirst)
	if len(p.doubted) > 0 { // what they name is not what the ledger has under them
		p.asRecorded = maps.Clone(p.asRecorded)
		maps.DeleteFunc(p.asRecorded, func(uid string, _ uidCount) bool { return p.doubted[uid] })
	}
	p.notePresence(at, listing.Unlisted > 0, rules)
	return p
}

// add puts a message where the plan has those of its kind. It reports whether the message was tried before and is to be tried again.
func (p *plan) add(at folderKey, ref fetch.Ref, c classified, rules listingRules) (again bool) {
	// A UID that may name another message by now is no reason to mark it.
	owesMark := p.lastingUIDs && p.owesMark(ref, c.brief.State, c.brief.Hash)
	switch c.step {
	case wait:
		p.counts.Waiting++
		return false
	case leaveAlone:
		p.counts.Known++
		if owesMark {
			p.settle = append(p.settle, settlement{ref: ref, key: at.key(ref.UID, c.brief.Hash), token: c.brief.Token, mark: true})
		}
		return false
	case disposeUnread:
		p.counts.Unsettled++
		p.disposals[c.disposal]++
		p.settle = append(p.settle, settlement{ref: ref, key: at.key(ref.UID, c.brief.Hash), token: c.brief.Token, disposal: c.disposal, mark: owesMark})
		return false
	case deliver:
		p.counts.New++
	case deliverAgain:
		p.counts.Again++
	case disposeAfterLook:
		p.disposals[c.disposal]++
		p.deletable = append(p.deletable, ref)
		p.overdueFor = max(p.overdueFor, c.overdueFor)
	case look: // its content tells what it is
	}
	switch {
	case c.brief.Suspect:
		p.suspects = append(p.suspects, ref)
		return true
	case c.step == deliverAgain:
		p.retries = append(p.retries, ref)
		return true
	}
	p.retrieve = append(p.retrieve, ref)
	return false
}

// countUIDs finds out which messages of a listing have a UID of their own, and which may be what the ledger has under it.
func (p *plan) countUIDs(listing *fetch.Listing) {
	p.counts.Listed, p.counts.Known = listing.Earlier+len(listing.Refs), listing.Earlier
	if p.asRecorded = p.listed; !listing.Reusable {
		return
	}
	p.asRecorded = uidCounts{}
	isNamed := func(ref fetch.Ref) bool { return ref.UID != strconv.FormatUint(uint64(ref.Seq), 10) }
	isOther := func(ref fetch.Ref) bool { // by its size, of all that the ledger does not know to have gone
		found, all := false, true
		for _, b := range p.known[ref.UID] {
			if !b.Absent {
				found, all = true, all && resized(&b, ref.Size)
			}
		}
		return found && all
	}
	// A server that gives messages their numbers for UIDs numbers them anew when one before them has gone. Then no UID is the one
	// that the ledger has.
	if p.numberedAnew = !slices.ContainsFunc(listing.Refs, isNamed) && slices.ContainsFunc(listing.Refs, isOther); p.numberedAnew {
		return
	}
	maps.Copy(p.asRecorded, p.listed)
	for _, ref := range listing.Refs {
		if p.listed[ref.UID].listed == 1 && isOther(ref) {
			delete(p.asRecorded, ref.UID)
		}
	}
}

// owesMark reports whether a message is to be marked upstream, by its state and content: what was known by its mark only, and
// has lost it since, is not marked anew.
func (p *plan) owesMark(ref fetch.Ref, s ledger.State, content [32]byte) bool {
	return p.mark && s == ledger.Delivered && content != noHash && !ref.Marked
}

// lasts reports whether the UID of a message is proof of what it is.
func (p *plan) lasts(ref fetch.Ref) bool { return p.lastingUIDs && !p.doubted[ref.UID] }

// knownSize returns what the listing or a record says of a message's size, 0 if neither says it.
func (p *plan) knownSize(ref fetch.Ref) int64 {
	size := listedSize(ref)
	for _, b := range p.known[ref.UID] {
		size = max(size, b.Size)
	}
	return size
}

// hasOwnUID reports whether a message has a UID that no other message of the listing has.
func (p *plan) hasOwnUID(ref fetch.Ref) bool { return ref.UID != "" && p.listed[ref.UID].listed == 1 }

// isNew reports whether a message has a UID of its own that no record has.
func (p *plan) isNew(ref fetch.Ref) bool {
	return p.hasOwnUID(ref) && !p.listed[ref.UID].atRest && len(p.known[ref.UID]) == 0
}

// notePresence finds the records whose messages have gone, or come back, since they were last looked for. Of a listing
// that is not complete nothing has gone.
func (p *plan) notePresence(at folderKey, incomplete bool, rules listingRules) {
	for uid, briefs := range p.known {
		listed := p.listed[uid].listed > 0
		for _, b := range briefs {
			another := slices.ContainsFunc(briefs, func(other ledger.Brief) bool { return other.Hash != b.Hash && !other.Absent })
			// In a folder that was set back the UID may be another's soon, also where something else is not listed.
			hasGone := !listed && !b.Absent
			mayHaveGone := hasGone && incomplete && rules.setBack
			doubtful := another || p.doubted[uid] || b.State == ledger.Lost // another has the UID, or may have it
			switch key := at.key(uid, b.Hash); {
			case listed && b.Absent && doubtful:
			case listed && b.Absent && p.confirmed[uid]:
				p.back = append(p.back, key)
			case listed && b.Absent && b.Disposed: // another may have the UID by now
			case listed && b.Absent && p.lastingUIDs: // else only its content tells whether it is the same message
				p.back = append(p.back, key)
			case hasGone && !incomplete:
				p.absent = append(p.absent, key)
				disposal, _ := rules.disposal.of(b.State, rules.account-b.Ran, b.Judged)
				mayHaveRemoved := rules.failed && !stays(disposal.Action) // the last pass, and not recorded it
				if !b.Disposed && !mayHaveRemoved {
					p.vanished++
				}
			case mayHaveGone && b.State.Final():
				p.absent = append(p.absent, key)
			}
			if !listed && !b.Disposed {
				p.mayHaveMoved = true
				p.heldGone = p.heldGone || b.State == ledger.Held
			}
		}
	}
}

// step is what there is to do with one listed message.
type step uint8

const (
	deliver          step = iota // nothing is known of it
	deliverAgain                 // it has no final verdict
	wait                         // it has none, and its time has not come
	look                         // only its content tells which message it is
	disposeAfterLook             // as look, and then it is to go
	disposeUnread                // it is to go, and its UID is proof enough
	leaveAlone                   // it has its final verdict, and stays
)

// classified is a step with what is needed to take it.
type classified struct {
	step     step
	brief    ledger.Brief
	disposal fetch.Disposal
	// overdueFor is how long the message could have gone already.
	overdueFor time.Duration
}

// isLook reports whether the content of the message is to tell which one it is.
func (c *classified) isLook() bool { return c.step == look || c.step == disposeAfterLook }

// doubt has a message looked at that is left alone by its UID alone, or is to go by that.
func (c *classified) doubt(removal bool) {
	switch {
	case c.brief.Hash == noHash: // there is nothing to compare
	case c.step == leaveAlone:
		c.step = look
	case c.step == disposeUnread && removal:
		c.step = disposeAfterLook
	}
}

// classify says what to do with a message that is listed with this size, given the records of its UID. reusable
// says that the server may have given the UID to another message since.
func classify(briefs []ledger.Brief, size int64, reusable bool, rules listingRules) classified {
	if len(briefs) == 0 {
		return classified{step: deliver}
	}
	if len(briefs) > 1 { // the listing can mean only one whose message had not gone
		briefs = slices.DeleteFunc(slices.Clone(briefs), func(b ledger.Brief) bool { return b.Absent })
	}
	// What could not be retrieved has a record without its content, which decides when to try again.
	unread := slices.IndexFunc(briefs, func(b ledger.Brief) bool {
		return b.Hash == noHash && !b.Absent && b.State != ledger.Adopted
	})
	switch {
	case unread >= 0:
		briefs = briefs[unread : unread+1]
	case len(briefs) != 1:
		return classified{step: look}
	}
	b := briefs[0]
	if !b.State.Final() {
		if b.State == ledger.Sending && rules.sendingUntil.After(rules.now) {
			return classified{step: wait}
		}
		// A wait longer than any of ours comes from a clock that has been set back since.
		d := b.Next.Sub(rules.now)
		if isWaiting := b.State != ledger.Sending && d > 0 && d <= rules.retry.longest(); isWaiting {
			if rules.setBack && resized(&b, size) {
				return classified{step: look, brief: b} // another has its UID
			}
			return classified{step: wait}
		}
		return classified{step: deliverAgain, brief: b}
	}
	disposal, _ := rules.disposal.of(b.State, rules.account-b.Ran, b.Judged)
	// A flag that was set once may have been removed by a person since, whose wish counts.
	isDone := b.Disposed && disposal.Action == fetch.Flag
	isRemoved := b.Disposed && !(isDone && rules.setBack) // then its size tells
	wasSeenGone := b.Disposed && b.Absent
	hadGone := wasSeenGone || rules.disposal.isAgain(b.Disposed, disposal) // as the server said
	c := classified{brief: b, disposal: disposal, step: leaveAlone}
	isRead := b.Hash != noHash // else nothing here has seen the message that would go
	pending := isRead && disposal.Action != fetch.Keep && !isDone
	switch {
	case reusable && b.Absent && b.State == ledger.Held:
		c.step = look // held unread, it had gone: this may be another
	case reusable && b.Hash == noHash && b.State == ledger.Held && resized(&b, size):
		c.step = look // likewise
	case b.Hash == noHash: // held without being retrieved: nothing to compare, nothing to settle
	case !reusable && hadGone && !isDone: // of what was flagged and listed again the size tells
		c.step = look // a server that was set back may have given its UID to another
	case !reusable && pending:
		c.step = disposeUnread
	case !reusable: // leave it alone
	// RFC 1939 section 7: the server may have given the UID to another message since.
	// Deleting that one unread would lose it, so look first.
	case pending && !b.Absent && !b.Disposed:
		stayed, grace := rules.account-b.Ran, rules.disposal.deleteAfter
		if b.State == ledger.Refused {
			grace = rules.disposal.brake.Grace
		}
		c.step, c.overdueFor = disposeAfterLook, stayed-grace
	case pending || b.Absent || isRemoved || resized(&b, size):
		c.step = look
	}
	return c
}

// resized reports whether a message is listed with another size than the record's was. Servers count line ends in
// their own way, so that is compared with what was listed before; some tell the exact size once they have sent a message.
func resized(b *ledger.Brief, size int64) bool {
	if b.Listed <= 0 || size <= 0 {
		return false // one of them is not known
	}
	return size != b.Listed && size != b.Size
}
