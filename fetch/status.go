package fetch

import (
	"context"
	"slices"
)

// Status is what a folder held at one moment, by the words of STATUS (RFC 9051 section 6.3.11): enough to find what is new later
// without asking for what is old. The zero value says nothing.
type Status struct {
	// Validity is UIDVALIDITY.
	Validity uint32
	// Next is UIDNEXT: no message that came later has a lower UID.
	Next uint32
	// Messages is their number.
	Messages uint32
	// ModSeq is HIGHESTMODSEQ (RFC 7162 section 3.1.2.1), 0 where the server does not say it. It rises with each change of the folder. By POP3
	// it is a digest of what is listed, and Validity and Next are 0.
	ModSeq uint64
}

// Refresher is a [Mailbox] that need not list a folder again whose messages are known.
type Refresher interface {
	// OpenSince is Open of a folder that was listed completely when its status was before. Where what the server says of it now
	// adds up with that, the listing holds only the messages that came since, and says in Earlier how many there
	// are beside them. Else it is that of Open.
	OpenSince(ctx context.Context, folder string, before Status) (*Listing, error)
}

// maxSince is how many messages may be new in a folder that is not listed as a whole.
const maxSince = 1000

// Since returns the UIDs among found of messages that came since before. found is what the server has named when asked for UIDs from
// before.Next on, now what it says of the folder; now.Next is 0 where it does not say that. whole reports whether these messages and those
// of before are all that the folder holds now.
//
// UIDs ascend (RFC 9051 section 2.3.1.1), so what came since has UIDs from Next on; if the folder holds as many messages
// as before and those, none of the old ones has gone. A server whose words contradict each other is not believed.
func (before Status) Since(now Status, found []uint32) (fresh []uint32, whole bool) {
	fresh = slices.DeleteFunc(slices.Clone(found), func(uid uint32) bool { return uid < before.Next }) // "n:*" names the last message in any case
	old := len(found) - len(fresh)
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	switch {
	case old > 1 && uint64(old) != uint64(before.Messages): // it names what was not asked for, and not all of it
		return nil, false
	case before.Validity == 0, before.Next == 0, now.Validity != before.Validity:
		return nil, false
	case now.Next != 0 && now.Next < before.Next: // UIDNEXT never falls
		return nil, false
	case (now.ModSeq == 0) != (before.ModSeq == 0), now.ModSeq < before.ModSeq: // nor does HIGHESTMODSEQ
		return nil, false
	case now.ModSeq != 0 && now.ModSeq == before.ModSeq && len(fresh) > 0: // and each message that comes raises it
		return nil, false
	case len(fresh) > maxSince, uint64(now.Messages) != uint64(before.Messages)+uint64(len(fresh)):
		return nil, false
	}
	return fresh, true
}
