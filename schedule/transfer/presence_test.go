package transfer

import (
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestClaimedRecordsStay: a message that is known by its content under an old UIDVALIDITY has all the records of the UID that it
// had there, and stands for no other that was never read.
func TestClaimedRecordsStay(t *testing.T) {
	now, was := folderKey{account: "work", name: "INBOX", validity: 7}, folderKey{account: "work", name: "INBOX", validity: 6}
	earlier := folderKey{account: "work", name: "INBOX", validity: 5}
	record := func(at folderKey, uid string, content [32]byte) *ledger.Record {
		return &ledger.Record{Key: at.key(uid, content), State: ledger.Deferred, Size: 1}
	}
	for _, c := range []struct {
		name             string
		listing          string
		record           *ledger.Record
		superseded, lost bool
	}{
		{"the record that it is known by", "a/1", record(was, "old", hashOf("content")), false, false},
		{"what stands for it from when it was not read", "a/1", record(was, "old", noHash), false, false},
		{"likewise, and a message for another", "a/1 b/1", record(was, "old", noHash), false, false},
		{"another that was not read", "a/1", record(was, "other", noHash), false, true},
		{"another that was not read, and a message for it", "a/1 b/1", record(was, "other", noHash), true, true},
		{"another that was not read, and a message of another size", "a/1 b/2", record(was, "other", noHash), false, true},
		{"the same one, not read under yet another UIDVALIDITY", "a/1", record(earlier, "old", noHash), true, true},
		{"another that was read", "a/1 b/1", record(was, "other", hashOf("other")), false, true},
		{"one that is listed and was not read", "a/1 b/1", record(now, "b", noHash), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			listing := listingOf(false, c.listing)
			p := newPresence(now, listing, compare(now, listing, nil, listingRules{now: noon}))
			p.claim(was.key("old", hashOf("content")), listing.Refs[0])
			if got := p.superseded(c.record); got != c.superseded {
				t.Errorf("superseded: %t, want %t", got, c.superseded)
			}
			if got := p.lost(c.record); got != c.lost {
				t.Errorf("lost: %t, want %t", got, c.lost)
			}
		})
	}
}
