package transfer

import (
	"fmt"
	"sync"
	"testing"

	"github.com/truehop/truehop/schedule/ledger"
)

// TestUnreadRecordsAreSharedOut: under an earlier UIDVALIDITY two messages were not read, of which one has a record with its
// content, too. Whichever of them comes first, and whichever record it takes, none is left that counts as lost.
func TestUnreadRecordsAreSharedOut(t *testing.T) {
	now, was := folderKey{account: "work", name: "INBOX", validity: 7}, folderKey{account: "work", name: "INBOX", validity: 6}
	unread := []ledger.Record{{Key: was.key("read", noHash), Size: 1}, {Key: was.key("unread", noHash), Size: 1}}
	listing := listingOf(false, "a/1 b/1")
	for _, c := range []struct {
		name         string
		records      []ledger.Record
		claimedFirst bool
	}{
		{"the known one comes first", unread, true},
		{"the known one comes last", unread, false},
		{"the known one comes last, in another order", []ledger.Record{unread[1], unread[0]}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPresence(now, listing, underNewUIDs(compare(now, listing, nil, listingRules{now: noon})))
			p.unreadBefore = c.records
			claim := func() { p.claim(was.key("read", hashOf("content")), listing.Refs[0]) }
			if c.claimedFirst {
				claim()
			}
			gone := p.succeed(listing.Refs[1])
			if !c.claimedFirst {
				claim()
			}
			if len(gone) != 1 {
				t.Fatalf("%d records go with the message, want 1", len(gone))
			}
			for i := range unread {
				if r := &unread[i]; r.Key != gone[0] && !p.superseded(r) && p.lost(r) {
					t.Errorf("%q counts as lost", r.UID)
				}
			}
			if again := p.succeed(listing.Refs[1]); len(again) > 0 && c.claimedFirst {
				t.Errorf("%v goes with another message", again)
			}
		})
	}
}

// TestWhatWasReadHasItsSize: where the server could not be asked for sizes, those of what was read count.
func TestWhatWasReadHasItsSize(t *testing.T) {
	now, was := folderKey{account: "work", name: "INBOX", validity: 7}, folderKey{account: "work", name: "INBOX", validity: 6}
	listing := listingOf(false, "a/0 b/0")
	p := newPresence(now, listing, underNewUIDs(compare(now, listing, nil, listingRules{now: noon})))
	record := ledger.Record{Key: was.key("x", noHash), Size: 5}
	p.noteUnread([]ledger.Record{record})
	if p.superseded(&record) || !p.mayBeThere(&record) {
		t.Fatal("a record goes with a message of which nothing is known")
	}
	p.readAs(listing.Refs[0], 7)
	p.readAs(listing.Refs[1], 5)
	p.readAs(listing.Refs[1], 6) // what was known before stands
	if got := p.succeed(listing.Refs[0]); got != nil {
		t.Errorf("with the message of another size go %v", got)
	}
	if got := p.succeed(listing.Refs[1]); len(got) != 1 || got[0] != record.Key {
		t.Errorf("with the message of its size go %v", got)
	}
}

// underNewUIDs is a plan for a folder of which there are records under another UIDVALIDITY.
func underNewUIDs(p *plan) *plan {
	p.renumbered = true
	return p
}

// TestUnreadRecordsAreCountedAgainstMessages: of the records of one size under an earlier UIDVALIDITY as many go as there are messages of
// that size. If those are more than the records, no record goes: one of the messages may be new.
func TestUnreadRecordsAreCountedAgainstMessages(t *testing.T) {
	now, was := folderKey{account: "work", name: "INBOX", validity: 7}, folderKey{account: "work", name: "INBOX", validity: 6}
	for _, c := range []struct {
		listing  string
		goes     int
		mayBe    bool // what is lost may be there
		recorded int  // the size in the records
	}{
		{"", 0, false, 1},
		{"a/1", 1, false, 1},
		{"a/1 b/1", 2, false, 1},
		{"a/1 b/2", 1, false, 1},
		{"a/1 b/1 c/1", 0, true, 1},
		{"a/2", 0, false, 1},
		{"a/0", 0, true, 1},
		{"a/1", 0, true, 0},
		{"", 0, false, 0},
	} {
		t.Run(fmt.Sprintf("%q for two of size %d", c.listing, c.recorded), func(t *testing.T) {
			listing := listingOf(false, c.listing)
			p := newPresence(now, listing, underNewUIDs(compare(now, listing, nil, listingRules{now: noon})))
			unread := []ledger.Record{{Key: was.key("x", noHash), Size: int64(c.recorded)}, {Key: was.key("y", noHash), Size: int64(c.recorded)}}
			p.noteUnread(unread)
			goes := 0
			for i := range unread {
				switch r := &unread[i]; {
				case p.superseded(r):
					goes++
				case !p.lost(r):
					t.Errorf("%q neither goes nor counts as lost", r.UID)
				case p.mayBeThere(r) != c.mayBe:
					t.Errorf("%q may be there: %t, want %t", r.UID, !c.mayBe, c.mayBe)
				}
			}
			if goes != c.goes {
				t.Errorf("%d records go, want %d", goes, c.goes)
			}
		})
	}
}

// TestUnreadRecordsStayWhereMessagesAreLeftOut: a message that the search leaves out may be the one of an unread record under an earlier
// UIDVALIDITY. Nobody looks at it, so the record neither goes with another message nor counts as lost.
func TestUnreadRecordsStayWhereMessagesAreLeftOut(t *testing.T) {
	now, was := folderKey{account: "work", name: "INBOX", validity: 7}, folderKey{account: "work", name: "INBOX", validity: 6}
	for _, of := range []string{"a/1 b/1", "a/1 b/2"} {
		listing := listingOf(false, of)
		p := newPresence(now, listing, compare(now, listing, nil, listingRules{now: noon, chosen: map[string]bool{"a": true}}))
		unread := ledger.Record{Key: was.key("x", noHash), State: ledger.Held, Size: 1}
		p.noteUnread([]ledger.Record{unread})
		if gone := p.succeed(listing.Refs[0]); len(gone) > 0 {
			t.Errorf("%s: %v goes with another message", of, gone)
		}
		if p.superseded(&unread) || p.lost(&unread) {
			t.Errorf("%s: the record does not stay", of)
		}
	}
}

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
		{"another that was not read, and a message for it", "a/1 b/1", record(was, "other", noHash), true, false},
		{"another that was not read, and a message of another size", "a/1 b/2", record(was, "other", noHash), false, true},
		{"the same one, not read under yet another UIDVALIDITY", "a/1", record(earlier, "old", noHash), true, false},
		{"another that was read", "a/1 b/1", record(was, "other", hashOf("other")), false, true},
		{"one that is listed and was not read", "a/1 b/1", record(now, "b", noHash), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			listing := listingOf(false, c.listing)
			p := newPresence(now, listing, underNewUIDs(compare(now, listing, nil, listingRules{now: noon})))
			p.claim(was.key("old", hashOf("content")), listing.Refs[0])
			p.noteUnread([]ledger.Record{*c.record})
			if got := p.superseded(c.record); got != c.superseded {
				t.Errorf("superseded: %t, want %t", got, c.superseded)
			}
			if got := !c.superseded && p.lost(c.record); got != c.lost {
				t.Errorf("lost: %t, want %t", got, c.lost)
			}
		})
	}
}

// TestPresenceIsNotedFromTwoSides: messages that have come are looked at while others are asked for. It is for the detector of races.
func TestPresenceIsNotedFromTwoSides(t *testing.T) {
	now := folderKey{account: "work", name: "INBOX", validity: 7}
	listing := listingOf(false, "a/0 b/0 c/0 d/0")
	p := newPresence(now, listing, underNewUIDs(compare(now, listing, nil, listingRules{now: noon})))
	var sides sync.WaitGroup
	sides.Go(func() {
		for _, ref := range listing.Refs {
			p.readAs(ref, 5)
			p.notRead(true)
		}
	})
	sides.Go(func() {
		for _, ref := range listing.Refs {
			if size := p.size(ref); size != 0 && size != 5 {
				t.Errorf("%s has size %d, want 5 once it was read", ref.UID, size)
			}
			p.notGiven(ref, false)
		}
	})
	sides.Wait()
	if p.size(listing.Refs[0]) != 5 || !p.unread || !p.unreadNew {
		t.Errorf("size %d, unread %v, new %v", p.size(listing.Refs[0]), p.unread, p.unreadNew)
	}
}
