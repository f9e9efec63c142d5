package transfer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	remove = fetch.Disposal{Action: fetch.Delete}
	flag   = fetch.Disposal{Action: fetch.Flag}
	move   = fetch.Disposal{Action: fetch.Move, Target: "Done"}
)

// hashOf is the content that tests give a message.
func hashOf(text string) (h [32]byte) {
	copy(h[:], text)
	return h
}

func TestClassify(t *testing.T) {
	const hour = time.Hour
	proof := proven(t, leastProof, 0)
	brief := func(s ledger.State, change ...func(*ledger.Brief)) []ledger.Brief {
		b := ledger.Brief{UID: "a", State: s, Hash: hashOf("content")}
		for _, c := range change {
			c(&b)
		}
		return []ledger.Brief{b}
	}
	absent := func(b *ledger.Brief) { b.Absent = true }
	disposed := func(b *ledger.Brief) { b.Disposed = true }
	unread := func(b *ledger.Brief) { b.Hash = noHash }
	due := func(in time.Duration) func(*ledger.Brief) {
		return func(b *ledger.Brief) { b.Next = noon.Add(in) }
	}
	at := func(ran time.Duration) func(*ledger.Brief) { return func(b *ledger.Brief) { b.Ran = ran } }
	for _, c := range []struct {
		name       string
		briefs     []ledger.Brief
		delivered  fetch.Disposal
		refused    fetch.Disposal
		imap, pop3 step
	}{
		{"unknown", nil, remove, remove, deliver, deliver},
		{"deferred, due", brief(ledger.Deferred, due(0)), remove, remove, deliverAgain, deliverAgain},
		{"deferred, due later", brief(ledger.Deferred, due(time.Minute)), remove, remove, wait, wait},
		{"deferred, due at the longest wait", brief(ledger.Deferred, due(hour)), remove, remove, wait, wait},
		{"deferred by a clock that ran ahead", brief(ledger.Deferred, due(hour+1)), remove, remove, deliverAgain, deliverAgain},
		{"in doubt, due later", brief(ledger.Doubt, due(time.Minute)), remove, remove, wait, wait},
		{"in doubt, due", brief(ledger.Doubt), remove, remove, deliverAgain, deliverAgain},
		{"the last run died at its dot", brief(ledger.Sending, due(time.Minute)), remove, remove, deliverAgain, deliverAgain},
		{"delivered, kept", brief(ledger.Delivered), fetch.Disposal{}, remove, leaveAlone, leaveAlone},
		{"delivered, to be deleted", brief(ledger.Delivered), remove, fetch.Disposal{}, disposeUnread, disposeAfterLook},
		{"delivered, to be moved", brief(ledger.Delivered), move, fetch.Disposal{}, disposeUnread, disposeAfterLook},
		{"delivered, deleted, and there again", brief(ledger.Delivered, disposed), remove, remove, look, look},
		{"delivered, flagged", brief(ledger.Delivered, disposed), flag, remove, leaveAlone, look},
		{"delivered, to be flagged", brief(ledger.Delivered), flag, remove, disposeUnread, disposeAfterLook},
		{"delivered, kept, had gone", brief(ledger.Delivered, absent), fetch.Disposal{}, remove, leaveAlone, look},
		{"delivered, to be deleted, had gone", brief(ledger.Delivered, absent), remove, remove, disposeUnread, look},
		{"quarantined", brief(ledger.Quarantined), remove, fetch.Disposal{}, disposeUnread, disposeAfterLook},
		{"refused of late", brief(ledger.Refused, at(hour+1)), fetch.Disposal{}, remove, leaveAlone, leaveAlone},
		{"refused long ago", brief(ledger.Refused, at(hour)), fetch.Disposal{}, remove, disposeUnread, disposeAfterLook},
		{"refused long ago, kept", brief(ledger.Refused, at(hour)), remove, fetch.Disposal{}, leaveAlone, leaveAlone},
		{"partly refused", brief(ledger.PartlyRefused), remove, remove, leaveAlone, leaveAlone},
		{"held", brief(ledger.Held), remove, remove, leaveAlone, leaveAlone},
		{"held, had gone", brief(ledger.Held, absent), remove, remove, leaveAlone, look},
		{"held unread", brief(ledger.Held, unread), remove, remove, leaveAlone, leaveAlone},
		{"held unread, had gone", brief(ledger.Held, unread, absent), remove, remove, leaveAlone, look},
		{"adopted", brief(ledger.Adopted, unread), remove, remove, leaveAlone, leaveAlone},
		{"delivered by its mark only", brief(ledger.Delivered, unread), remove, remove, leaveAlone, leaveAlone},
		{"delivered by its mark only, to be flagged", brief(ledger.Delivered, unread), flag, remove, leaveAlone, leaveAlone},
		{"adopted, had gone", brief(ledger.Adopted, unread, absent), remove, remove, leaveAlone, leaveAlone},
		{"one of two has gone", slices.Concat(brief(ledger.Delivered, absent), brief(ledger.Deferred)), remove, remove, deliverAgain, deliverAgain},
		{"neither of two has gone", slices.Concat(brief(ledger.Delivered), brief(ledger.Deferred)), remove, remove, look, look},
		{"both have gone", slices.Concat(brief(ledger.Delivered, absent), brief(ledger.Held, absent)), remove, remove, look, look},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := listingRules{
				retry:    Retry{Min: time.Minute, Max: hour},
				disposal: disposalRules{onDelivered: c.delivered, onRefused: c.refused, brake: Brake{Grace: graceOfTests, Proof: proof}},
				now:      noon, account: graceOfTests + hour,
			}
			for reusable, want := range map[bool]step{false: c.imap, true: c.pop3} {
				before := fmt.Sprint(c.briefs)
				got := classify(c.briefs, 0, reusable, rules)
				if got.step != want {
					t.Errorf("reusable %v: step %d, want %d", reusable, got.step, want)
				}
				if fmt.Sprint(c.briefs) != before {
					t.Error("the records were changed")
				}
			}
		})
	}
}

// TestSendingWaits: the dot of another machine may still come until then, and of no other state.
func TestSendingWaits(t *testing.T) {
	for _, c := range []struct {
		state ledger.State
		until time.Duration
		want  step
	}{
		{ledger.Sending, -time.Second, deliverAgain},
		{ledger.Sending, 0, deliverAgain},
		{ledger.Sending, time.Second, wait},
		{ledger.Doubt, time.Second, deliverAgain},
		{ledger.Deferred, time.Second, deliverAgain},
		{ledger.Lost, time.Second, deliverAgain},
	} {
		b := []ledger.Brief{{UID: "a", State: c.state, Hash: hashOf("content")}}
		if got := classify(b, 0, false, listingRules{now: noon, sendingUntil: noon.Add(c.until)}).step; got != c.want {
			t.Errorf("%s until %v: step %d, want %d", c.state, c.until, got, c.want)
		}
	}
	b := []ledger.Brief{{UID: "a", State: ledger.Sending}}
	if got := classify(b, 0, false, listingRules{now: noon}).step; got != deliverAgain {
		t.Errorf("without a lease: step %d", got)
	}
}

// TestAnotherSizeWantsALook: where a UID may name another message by now, a known one that is listed with another size is
// looked at. Servers that count octets in their own way make nobody look.
func TestAnotherSizeWantsALook(t *testing.T) {
	const octets, counted = 1000, 980
	read := hashOf("content")
	for _, c := range []struct {
		name   string
		state  ledger.State
		hash   [32]byte
		listed int64
		size   int64
		pop3   step
	}{
		{"the size that was listed", ledger.Delivered, read, counted, counted, leaveAlone},
		{"the exact size, which the server knows by now", ledger.Delivered, read, counted, octets, leaveAlone},
		{"another", ledger.Delivered, read, counted, 981, look},
		{"another than the exact one", ledger.Delivered, read, octets, counted, look},
		{"none was recorded", ledger.Delivered, read, 0, 5, leaveAlone},
		{"none is announced", ledger.Delivered, read, counted, -1, leaveAlone},
		{"refused", ledger.Refused, read, counted, 981, look},
		{"partly refused", ledger.PartlyRefused, read, counted, 981, look},
		{"quarantined", ledger.Quarantined, read, counted, 981, look},
		{"held", ledger.Held, read, counted, 981, look},
		{"held unread", ledger.Held, noHash, counted, 981, look},
		{"held unread, as it was", ledger.Held, noHash, counted, counted, leaveAlone},
		{"adopted by its content", ledger.Adopted, read, counted, 981, look},
		{"adopted unread: there is no content to compare", ledger.Adopted, noHash, counted, 981, leaveAlone},
	} {
		b := []ledger.Brief{{UID: "a", State: c.state, Hash: c.hash, Size: octets, Listed: c.listed}}
		for reusable, want := range map[bool]step{false: leaveAlone, true: c.pop3} {
			if got := classify(b, c.size, reusable, listingRules{}).step; got != want {
				t.Errorf("%s, reusable %v: step %d, want %d", c.name, reusable, got, want)
			}
		}
	}
	// What is to go anyway is looked at first, as ever.
	b := []ledger.Brief{{UID: "a", State: ledger.Delivered, Hash: read, Size: octets, Listed: counted}}
	if got := classify(b, 981, true, listingRules{disposal: disposalRules{onDelivered: remove}}).step; got != disposeAfterLook {
		t.Errorf("to be deleted: step %d", got)
	}
}

// TestOverdueCountsFromWhenItCouldGo: refused mail waits first, and is overdue only after that.
func TestOverdueCountsFromWhenItCouldGo(t *testing.T) {
	brake := Brake{Grace: graceOfTests, Proof: proven(t, leastProof, 0)}
	rules := listingRules{disposal: disposalRules{onDelivered: remove, onRefused: remove, brake: brake}, account: graceOfTests + 5*time.Hour}
	for state, want := range map[ledger.State]time.Duration{ledger.Delivered: graceOfTests + 4*time.Hour, ledger.Refused: 4 * time.Hour} {
		b := ledger.Brief{State: state, Ran: time.Hour, Hash: hashOf("content")}
		if got := classify([]ledger.Brief{b}, 0, true, rules).overdueFor; got != want {
			t.Errorf("%s: overdue for %v, want %v", state, got, want)
		}
	}
}

// uids joins the UIDs of refs.
func uids(refs []fetch.Ref) string {
	var out []string
	for _, r := range refs {
		out = append(out, r.UID)
	}
	return strings.Join(out, " ")
}

func TestCompare(t *testing.T) {
	content := hashOf("content")
	delivered := func(uid string) []ledger.Brief {
		return []ledger.Brief{{UID: uid, State: ledger.Delivered, Hash: content, Token: "token-" + uid}}
	}
	gone := func(uid string, disposed bool) []ledger.Brief {
		b := delivered(uid)
		b[0].Absent, b[0].Disposed = true, disposed
		return b
	}
	for _, c := range []struct {
		name     string
		reusable bool
		listing  string
		known    map[string][]ledger.Brief
		rule     fetch.Disposal
		want     string
	}{
		{"an empty mailbox", false, "", nil, remove, "counts {0 0 0 0 0 0 0}"},
		{"all new", false, "a/1 b/2", nil, remove, "retrieve a b; counts {2 2 0 0 0 0 0}"},
		{"one to be deleted", false, "a/1 b/2", map[string][]ledger.Brief{"a": delivered("a")}, remove,
			"retrieve b; settle a; counts {2 1 0 0 0 1 0}"},
		{"one to be deleted, where UIDs are given again", true, "a/1 b/2", map[string][]ledger.Brief{"a": delivered("a")}, remove,
			"retrieve a b; deletable a; counts {2 1 0 0 0 0 0}"},
		{"one to be tried again", false, "a/1 b/2 c/3", map[string][]ledger.Brief{"a": {{UID: "a", State: ledger.Deferred, Hash: content}}}, remove,
			"retrieve b c; then a; counts {3 2 1 0 0 0 0}"},
		{"one kept", false, "a/1", map[string][]ledger.Brief{"a": delivered("a")}, fetch.Disposal{}, "counts {1 0 0 0 1 0 0}"},
		{"one UID for two", true, "a/1 a/2", map[string][]ledger.Brief{"a": delivered("a")}, remove, "retrieve a a; counts {2 1 0 0 0 0 0}"},
		{"without a UID", true, "none/1", map[string][]ledger.Brief{"": delivered("")}, remove, "retrieve ; counts {1 0 0 0 0 0 0}"},
		{"one vanished", false, "b/1", map[string][]ledger.Brief{"a": delivered("a")}, remove,
			"retrieve b; absent a; vanished 1; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one vanished that a dying pass may have deleted", false, "b/1 failed", map[string][]ledger.Brief{"a": delivered("a")}, remove,
			"retrieve b; absent a; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one vanished that a dying pass may have moved", false, "b/1 failed", map[string][]ledger.Brief{"a": delivered("a")}, move,
			"retrieve b; absent a; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one vanished that no pass deletes", false, "b/1 failed", map[string][]ledger.Brief{"a": delivered("a")}, flag,
			"retrieve b; absent a; vanished 1; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one vanished before its verdict", false, "b/1 failed", map[string][]ledger.Brief{"a": {{UID: "a", State: ledger.Deferred, Hash: content}}}, remove,
			"retrieve b; absent a; vanished 1; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one deleted", false, "", map[string][]ledger.Brief{"a": {{UID: "a", State: ledger.Delivered, Disposed: true, Hash: content}}}, remove,
			"absent a; counts {0 0 0 0 0 0 0}"},
		{"one not listed by a server that does not list all", false, "b/1 unlisted", map[string][]ledger.Brief{"a": delivered("a")}, remove,
			"retrieve b; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one deleted before", false, "a/1", map[string][]ledger.Brief{"a": {{UID: "a", State: ledger.Delivered, Disposed: true, Hash: content, Token: "token-a"}}}, remove,
			"retrieve a; counts {1 0 0 0 0 0 0}"},
		{"one vanished long ago", false, "b/1", map[string][]ledger.Brief{"a": gone("a", false)}, remove,
			"retrieve b; may have moved; counts {1 1 0 0 0 0 0}"},
		{"one came back", false, "a/1", map[string][]ledger.Brief{"a": gone("a", false)}, fetch.Disposal{}, "back a; counts {1 0 0 0 1 0 0}"},
		{"one came back, or another under its UID", true, "a/1", map[string][]ledger.Brief{"a": gone("a", true)}, remove,
			"retrieve a; counts {1 0 0 0 0 0 0}"},
		{"left out by a search, but for what has a record", false, "a/1 b/2 c/3 chosen:c", map[string][]ledger.Brief{"a": {{UID: "a", State: ledger.Deferred, Hash: content}}}, remove,
			"retrieve c; then a; counts {3 1 1 0 0 0 1}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := folderKey{account: "work", name: "INBOX", validity: 7}
			names, failed := strings.CutSuffix(c.listing, " failed")
			names, incomplete := strings.CutSuffix(names, " unlisted")
			names, found, searched := strings.Cut(names, " chosen:")
			var chosen map[string]bool
			if searched {
				chosen = map[string]bool{found: true}
			}
			listing := listingOf(c.reusable, names)
			if incomplete {
				listing.Unlisted = 1
			}
			p := compare(at, listing, c.known, listingRules{now: noon, disposal: disposalRules{onDelivered: c.rule}, failed: failed, chosen: chosen})
			if got := described(t, p, at); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if p.lastingUIDs == c.reusable {
				t.Errorf("lasting UIDs: %v", p.lastingUIDs)
			}
		})
	}
}

// described writes a plan as the table has it.
func described(t *testing.T, p *plan, at folderKey) string {
	var parts []string
	if len(p.retrieve) > 0 {
		parts = append(parts, "retrieve "+uids(p.retrieve))
	}
	if len(p.retries) > 0 {
		parts = append(parts, "then "+uids(p.retries))
	}
	if len(p.deletable) > 0 {
		parts = append(parts, "deletable "+uids(p.deletable))
	}
	for _, s := range p.settle {
		if s.key != at.key(s.ref.UID, hashOf("content")) || s.token != "token-"+s.ref.UID || s.disposal.Action == fetch.Keep {
			t.Errorf("settlement %+v is not the record's", s)
		}
		word := "settle " + s.ref.UID
		if s.again {
			word += " again"
		}
		parts = append(parts, word)
	}
	for word, keys := range map[string][]ledger.Key{"absent": p.absent, "back": p.back} {
		for _, k := range keys {
			if k != at.key(k.UID, hashOf("content")) {
				t.Errorf("%s: key %+v is not the record's", word, k)
			}
			parts = append(parts, word+" "+k.UID)
		}
	}
	if p.vanished > 0 {
		parts = append(parts, fmt.Sprint("vanished ", p.vanished))
	}
	if p.mayHaveMoved {
		parts = append(parts, "may have moved")
	}
	return strings.Join(append(parts, fmt.Sprint("counts ", p.counts)), "; ")
}

// TestLongestDueComesFirst: among those tried before, and among suspects, what has been due for longest comes first, and
// what was due when the last pass began, and was not asked for, is told apart.
func TestLongestDueComesFirst(t *testing.T) {
	known := map[string][]ledger.Brief{}
	for uid, due := range map[string]int{"a": 2, "b": 9, "c": 5, "s": 4, "t": 8, "u": 6} {
		known[uid] = []ledger.Brief{{UID: uid, State: ledger.Deferred, Hash: hashOf(uid), Next: noon.Add(-time.Duration(due) * time.Minute), Suspect: uid >= "s"}}
	}
	listing := listingOf(false, "a/1 b/1 c/1 s/1 t/1 u/1")
	p := compare(folderKey{}, listing, known, listingRules{now: noon, retry: Retry{Min: time.Minute, Max: time.Hour}, lastPass: noon.Add(-5 * time.Minute)})
	if got := uids(p.retries) + ", " + uids(p.suspects); got != "b c a, t u s" {
		t.Errorf("the order is %q", got)
	}
	for _, ref := range listing.Refs {
		if waited := slices.Contains([]string{"b", "t", "u"}, ref.UID); p.starved[ref] != waited {
			t.Errorf("%s counts as starved: %t", ref.UID, p.starved[ref])
		}
	}
}
