package transfer

import (
	"slices"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// lookPeriod is how often the messages that share a UID are retrieved although none of them seems to be new.
const lookPeriod = 24 * time.Hour

// sharedAndDone returns the UIDs that several messages of the listing share, and of which nothing is to be done: as many
// records have their final verdict as messages are listed, each of the size of one of them, and all are to stay. Some servers
// make the UID of a header or of a checksum (RFC 1939 section 7 lets them), so that only the content tells such messages
// apart: without this all of them would be retrieved at every pass. Once in a lookPeriod they are, for one of them may have
// been exchanged for another of its size.
func sharedAndDone(refs []fetch.Ref, listed uidCounts, known map[string][]ledger.Brief, rules listingRules) map[string]bool {
	lookedToday := !rules.failed && rules.lastPass.Truncate(lookPeriod).Equal(rules.now.Truncate(lookPeriod))
	if !lookedToday {
		return nil
	}
	sizes := map[string][]int64{}
	for _, ref := range refs {
		if ref.UID != "" && listed[ref.UID].listed > 1 {
			sizes[ref.UID] = append(sizes[ref.UID], ref.Size)
		}
	}
	done := map[string]bool{}
	for uid, sizes := range sizes {
		done[uid] = isDone(known[uid], sizes, rules)
	}
	return done
}

// isDone reports whether the records of a UID are those of messages of these sizes, have their final verdicts, and want
// nothing done upstream.
func isDone(briefs []ledger.Brief, sizes []int64, rules listingRules) bool {
	if len(briefs) != len(sizes) {
		return false
	}
	for i := range briefs {
		b := &briefs[i]
		disposal, _ := rules.disposal.of(b.State, rules.account-b.Ran, b.Judged)
		switch {
		case b.Hash == noHash, b.Absent, b.Disposed, !b.State.Final(), disposal.Action != fetch.Keep:
			return false
		}
		// Each record takes the first size that is its own. One that is not known is no record's.
		own := slices.IndexFunc(sizes, func(size int64) bool { return b.Listed > 0 && size > 0 && !resized(b, size) })
		if own < 0 {
			return false
		}
		sizes = slices.Delete(sizes, own, own+1)
	}
	return true
}
