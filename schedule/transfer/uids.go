package transfer

import (
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// A folder may list a million messages, of which nearly all have their verdict and stay. Of those a pass needs to know no more than that, and keeps
// no records of them: they would take several times the memory of the listing itself.

// uidCount is what a pass counts of a UID.
type uidCount struct {
	// listed is how many messages of the listing have the UID.
	listed int32
	// atRest says that the message has its final verdict and stays as it is, and that its records are not kept in memory. read says that its content
	// is known, adopted that it was never delivered.
	atRest, read, adopted bool
}

// uidCounts are by UID.
type uidCounts map[string]uidCount

// uidCountsOf counts the messages of a listing by their UIDs.
func uidCountsOf(refs []fetch.Ref) uidCounts {
	all := make(uidCounts, len(refs))
	for _, ref := range refs {
		one := all[ref.UID]
		one.listed++
		all[ref.UID] = one
	}
	return all
}

// noteAtRest reports whether the records of a UID say that there is nothing to do with its message whatever the pass meets with, and notes that. It is
// for UIDs that never come to name another message. A message that was not read is left out only where nothing is known of its size,
// for by that it may be told apart under a new UID.
func (all uidCounts) noteAtRest(briefs []ledger.Brief, rules listingRules) bool {
	b := briefs[0]
	one := all[b.UID]
	disposal, _ := rules.disposal.of(b.State, rules.account-b.Ran, b.Judged)
	flagged := disposal.Action == fetch.Flag && b.Disposed
	stays := flagged || disposal.Action == fetch.Keep
	switch {
	case len(briefs) != 1, b.UID == "", one.listed != 1: // shared, or not there
		one.atRest = false
	case !b.State.Final(), b.Absent, !stays, rules.disposal.soonest(0, briefs) != 0:
		one.atRest = false
	case b.Hash == noHash:
		one.atRest = b.State == ledger.Adopted && b.Size <= 0
	default:
		one.atRest = true
	}
	if one.atRest {
		one.read, one.adopted = b.Hash != noHash, b.State == ledger.Adopted
	}
	if one.listed > 0 { // else it is not in the listing
		all[b.UID] = one
	}
	return one.atRest
}
