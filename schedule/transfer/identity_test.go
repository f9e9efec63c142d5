package transfer

import (
	"slices"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func TestKnownByUID(t *testing.T) {
	at := folderKey{account: "work", name: "INBOX", validity: 7}
	key := at.key("a", hashOf("content"))
	rules := identityRules{now: noon, giveUp: 24 * time.Hour}
	early := noon.Add(-2 * time.Hour)
	for _, c := range []struct {
		name     string
		briefs   []ledger.Brief
		want     recognition
		known    bool
		doubts   int
		replaces []ledger.Key
	}{
		{"nothing", nil, unrecognised, false, 0, nil},
		{"another content", []ledger.Brief{{Hash: hashOf("other"), State: ledger.Delivered}}, unrecognised, false, 0, nil},
		{"delivered", []ledger.Brief{{Hash: key.Hash, State: ledger.Delivered}}, sameUID, true, 0, nil},
		{"held", []ledger.Brief{{Hash: key.Hash, State: ledger.Held}}, sameUID, true, 0, nil},
		{"behind another content", []ledger.Brief{{Hash: hashOf("other"), State: ledger.Delivered}, {Hash: key.Hash, State: ledger.Refused}}, sameUID, true, 0, nil},
		{"deferred", []ledger.Brief{{Hash: key.Hash, State: ledger.Deferred, Doubts: 1}}, unfinished, true, 1, nil},
		{"in doubt", []ledger.Brief{{Hash: key.Hash, State: ledger.Doubt, Doubts: 2}}, unfinished, true, 2, nil},
		{"a run died at its dot", []ledger.Brief{{Hash: key.Hash, State: ledger.Sending, Doubts: 2}}, unfinished, true, 3, nil},
		{"could not be retrieved before", []ledger.Brief{{State: ledger.Deferred}}, unrecognised, true, 0, []ledger.Key{at.key("a", noHash)}},
		{"could not be retrieved since it was delivered", []ledger.Brief{{State: ledger.Deferred}, {Hash: key.Hash, State: ledger.Delivered}}, sameUID, true, 0, []ledger.Key{at.key("a", noHash)}},
		{"held unread before", []ledger.Brief{{State: ledger.Held}}, unrecognised, false, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i := range c.briefs {
				c.briefs[i].Token, c.briefs[i].First, c.briefs[i].Attempts, c.briefs[i].Absent = "token", early, 4, true
			}
			id := knownByUID(key, 99, c.briefs, rules)
			if id.recognition != c.want || id.known != c.known || id.record.Doubts != c.doubts || !slices.Equal(id.replaces, c.replaces) {
				t.Errorf("got %+v", id)
			}
			if id.record.Key != key || id.record.Size != 99 {
				t.Errorf("the record is %+v", id.record)
			}
			wantToken, wantFirst := "token", early
			switch c.want {
			case unrecognised:
				wantToken, wantFirst = token(key), noon
			case sameUID:
				wantFirst = noon
			}
			if id.record.Token != wantToken || !id.record.First.Equal(wantFirst) {
				t.Errorf("token %q, first seen %v", id.record.Token, id.record.First)
			}
			if id.recognition != unrecognised && !id.absent {
				t.Error("that the record has it as gone was forgotten")
			}
		})
	}
}

// TestDisposedIsKnownByContent: a record does not say how its message was disposed of. What was flagged is there still, whatever the
// configuration says by now; what was deleted and is there again under another name is new.
func TestDisposedIsKnownByContent(t *testing.T) {
	seen := fetch.Disposal{Action: fetch.Flag, Target: `\Seen`}
	at := folderKey{account: "work", name: "INBOX", validity: 7}
	key := at.key("new", hashOf("content"))
	old := ledger.Record{Key: folderKey{account: "work", name: "INBOX", validity: 6}.key("old", key.Hash), State: ledger.Delivered, Disposed: true}
	for name, c := range map[string]struct {
		disposal disposalRules
		want     recognition
	}{
		"deleted":                              {disposalRules{onDelivered: fetch.Disposal{Action: fetch.Delete}}, unrecognised},
		"flagged":                              {disposalRules{onDelivered: seen}, renamed},
		"flagged before the account was kept":  {disposalRules{}, renamed},
		"flagged, and overdue to be deleted":   {disposalRules{onDelivered: seen, deleteAfter: time.Hour}, renamed},
		"flagged, and to be deleted some time": {disposalRules{onDelivered: seen, deleteAfter: 48 * time.Hour}, renamed},
	} {
		t.Run(name, func(t *testing.T) {
			rules := identityRules{now: noon, account: 24 * time.Hour, disposal: c.disposal}
			id := knownByUID(key, 99, nil, rules).knownByContent([]ledger.Record{old}, uidCounts{"new": {listed: 1}}, map[ledger.Key]bool{}, rules)
			if id.recognition != c.want {
				t.Errorf("recognition %d, want %d", id.recognition, c.want)
			}
		})
	}
}

func TestKnownByContent(t *testing.T) {
	const was, now = 6, 7
	content := hashOf("content")
	at := folderKey{account: "work", name: "INBOX", validity: now}
	key := at.key("new", content)
	record := func(validity uint32, uid string, s ledger.State) ledger.Record {
		return ledger.Record{Key: folderKey{account: "work", name: "INBOX", validity: validity}.key(uid, content), State: s, Token: "token-" + uid, Absent: true}
	}
	disposed := func(r ledger.Record) ledger.Record { r.Disposed = true; return r }
	listed := record(now, "listed", ledger.Delivered)
	listed.Absent = false
	old := record(was, "old", ledger.Delivered)
	for _, c := range []struct {
		name    string
		records []ledger.Record
		claimed map[ledger.Key]bool
		want    recognition
		by      string // the token of the record that it is known by
	}{
		{"no record", nil, nil, unrecognised, ""},
		{"delivered under another UIDVALIDITY", []ledger.Record{old}, nil, renamed, "token-old"},
		{"delivered under another UID", []ledger.Record{record(now, "old", ledger.Delivered)}, nil, renamed, "token-old"},
		{"delivered without a UID", []ledger.Record{record(now, "", ledger.Delivered)}, nil, renamed, "token-"},
		{"delivered under a UID that is listed", []ledger.Record{listed}, nil, unrecognised, ""},
		{"delivered under a UID that names another message by now", []ledger.Record{record(now, "listed", ledger.Delivered)}, nil, renamed, "token-listed"},
		{"delivered under a UID that was listed before", []ledger.Record{record(was, "listed", ledger.Delivered)}, nil, renamed, "token-listed"},
		{"another message was recognised by it", []ledger.Record{old}, map[ledger.Key]bool{old.Key: true}, unrecognised, ""},
		{"one record is taken, another is not", []ledger.Record{old, record(was, "second", ledger.Delivered)}, map[ledger.Key]bool{old.Key: true}, renamed, "token-second"},
		{"deleted, and there again", []ledger.Record{disposed(record(now, "new", ledger.Delivered))}, nil, reappeared, "token-new"},
		{"deferred under another UID", []ledger.Record{record(was, "old", ledger.Deferred)}, nil, unfinished, "token-old"},
		{"a run died at its dot, under another UID", []ledger.Record{record(was, "old", ledger.Sending)}, nil, unfinished, "token-old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := identityRules{now: noon}
			id := knownByUID(key, 99, nil, rules).knownByContent(c.records, uidCounts{"listed": {listed: 1}, "new": {listed: 1}, "": {listed: 1}}, c.claimed, rules)
			if id.recognition != c.want {
				t.Fatalf("recognition %d, want %d", id.recognition, c.want)
			}
			if id.record.Key != key {
				t.Errorf("the record has the key %+v", id.record.Key)
			}
			if c.want == unrecognised {
				if id.known || id.replaces != nil || id.claimed != (ledger.Key{}) || id.record.Token != token(key) {
					t.Errorf("got %+v, want nothing known", id)
				}
				return
			}
			if !id.known || id.record.Token != c.by {
				t.Errorf("known by %q, want %q", id.record.Token, c.by)
			}
			if c.want == reappeared {
				if !id.absent || id.replaces != nil {
					t.Errorf("got %+v, want a record to be corrected and none replaced", id)
				}
				return
			}
			replaces := []ledger.Key{id.claimed}
			if unread := id.claimed; unread.Validity != key.Validity { // it may have been unreadable at times
				unread.Hash = noHash
				replaces = append(replaces, unread)
			}
			if id.record.Absent || !slices.Equal(id.replaces, replaces) || c.claimed[id.claimed] {
				t.Errorf("replaces %v, claimed %v, absent %v", id.replaces, id.claimed, id.record.Absent)
			}
			wantDoubts := 0
			if c.records[0].State == ledger.Sending {
				wantDoubts = 1
			}
			if id.record.Doubts != wantDoubts {
				t.Errorf("%d doubts, want %d", id.record.Doubts, wantDoubts)
			}
		})
	}
}

// TestAgeOfAResumedMessage: only the time in which somebody tried a message counts towards giving it up.
// TestAlteredMessage: under its UID another content is the same message, altered, only of a record that stands for a message which is there:
// what was disposed of or is gone has left its UID to another.
func TestAlteredMessage(t *testing.T) {
	at := folderKey{account: "work", name: "INBOX", validity: 7}
	key := at.key("a", hashOf("content"))
	mark, other := ledger.Fingerprint{1}, ledger.Fingerprint{2}
	record := func(state ledger.State, change func(*ledger.Brief)) []ledger.Brief {
		b := ledger.Brief{Hash: hashOf("before"), State: state, Fingerprint: mark}
		change(&b)
		return []ledger.Brief{b}
	}
	as := func(*ledger.Brief) {}
	for _, c := range []struct {
		name        string
		briefs      []ledger.Brief
		fingerprint ledger.Fingerprint
		lasting     bool
		altered     bool
		replaces    []ledger.Key
	}{
		{"delivered, and UIDs last", record(ledger.Delivered, as), other, true, true, nil},
		{"deferred, and UIDs last", record(ledger.Deferred, as), other, true, true, []ledger.Key{at.key("a", hashOf("before"))}},
		{"delivered, from the same place", record(ledger.Delivered, as), mark, false, true, nil},
		{"delivered, from another place", record(ledger.Delivered, as), other, false, false, nil},
		{"delivered, and no place is known", record(ledger.Delivered, func(b *ledger.Brief) { b.Fingerprint = ledger.Fingerprint{} }), ledger.Fingerprint{}, false, false, nil},
		{"disposed of, and UIDs last", record(ledger.Delivered, func(b *ledger.Brief) { b.Disposed = true }), mark, true, false, nil},
		{"disposed of, from the same place", record(ledger.Delivered, func(b *ledger.Brief) { b.Disposed = true }), mark, false, false, nil},
		{"gone", record(ledger.Deferred, func(b *ledger.Brief) { b.Absent = true }), mark, true, false, nil},
		{"never retrieved", record(ledger.Deferred, func(b *ledger.Brief) { b.Hash = noHash }), mark, true, false, nil},
		{"nothing", nil, mark, true, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := identity{record: ledger.Record{Key: key}}.isAltered(c.briefs, c.fingerprint, c.lasting)
			if id.altered != c.altered || id.known != c.altered || !slices.Equal(id.replaces, c.replaces) {
				t.Errorf("altered %v, known %v, replaces %v; want %v and %v", id.altered, id.known, id.replaces, c.altered, c.replaces)
			}
		})
	}
}

func TestAgeOfAResumedMessage(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name        string
		first, next time.Duration // before now
		giveUp      time.Duration
		want        time.Duration
	}{
		{"tried in time", 2 * day, time.Hour, 5 * day, 2 * day},
		{"tried late", 2 * day, day, 5 * day, 2 * day},
		{"late by all of the time", 9 * day, 5 * day, 5 * day, 9 * day},
		{"the machine was off for longer", 9 * day, 6 * day, 5 * day, 3 * day},
		{"never given up", 9 * day, 6 * day, 0, 9 * day},
		{"first seen in the future", -day, -day, 5 * day, 0},
	} {
		id := identity{}
		id.resume(noon.Add(-c.first), noon.Add(-c.next), identityRules{now: noon, giveUp: c.giveUp})
		if got := noon.Sub(id.record.First); got != c.want {
			t.Errorf("%s: %v old, want %v", c.name, got, c.want)
		}
	}
	id := identity{}
	id.resume(noon.Add(-9*day), time.Time{}, identityRules{now: noon, giveUp: day})
	if got := noon.Sub(id.record.First); got != 9*day {
		t.Errorf("without a time to try again: %v old, want nine days", got)
	}
}

// TestToken: each part of a message's identity makes another Truehop-ID, and parts do not run into each other.
func TestToken(t *testing.T) {
	base := ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: "12", Hash: hashOf("content")}
	seen := map[string]bool{}
	for _, change := range []func(*ledger.Key){
		func(*ledger.Key) {},
		func(k *ledger.Key) { k.Account = "home" },
		func(k *ledger.Key) { k.Folder = "Spam" },
		func(k *ledger.Key) { k.Validity++ },
		func(k *ledger.Key) { k.UID = "13" },
		func(k *ledger.Key) { k.Hash = hashOf("other") },
		func(k *ledger.Key) { k.Account, k.Folder = "workI", "NBOX" },
	} {
		key := base
		change(&key)
		id := token(key)
		if len(id) != tokenLength || seen[id] {
			t.Errorf("%+v: %q has the wrong length or stands for another message", key, id)
		}
		if id != token(key) {
			t.Errorf("%+v: not the same twice", key)
		}
		seen[id] = true
	}
}
