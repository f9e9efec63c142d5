package ledgertest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// replace: a record takes the place of others, so that neither both nor none is ever there.
func (s suite) replace(t *testing.T) {
	l := s.fresh(t).open(t)
	old, unread := record("old", ledger.Deferred), record("unread", ledger.Deferred)
	put(t, l, old, unread, record("other", ledger.Held))
	now := record("now", ledger.Sending)
	if err := l.Replace(t.Context(), now, []ledger.Key{old.Key, unread.Key, key("never there")}); err != nil {
		t.Fatal(err)
	}
	uids := func() string {
		var got []string
		for _, r := range list(t, l, ledger.Filter{}) {
			got = append(got, r.UID+" "+string(r.State))
		}
		slices.Sort(got)
		return strings.Join(got, ", ")
	}
	if got := uids(); got != "now sending, other held" {
		t.Errorf("the record has %s", got)
	}
	if err := l.Replace(t.Context(), record("x", "odd"), []ledger.Key{now.Key}); ledger.KindOf(err) != ledger.Invalid || uids() != "now sending, other held" {
		t.Errorf("a record that cannot be stored: %v, %s", err, uids())
	}
	if err := l.Replace(t.Context(), record("now", ledger.Delivered), []ledger.Key{}); err != nil || uids() != "now delivered, other held" {
		t.Errorf("%v, %s", err, uids())
	}
	// The message may be recorded under the key that it replaces.
	judged := record("now", ledger.Refused)
	err := l.PutJudged(t.Context(), judged, []ledger.Key{judged.Key}, ledger.Judgement{Target: "mta", Client: "203.0.113.1"})
	if err != nil || uids() != "now refused, other held" {
		t.Errorf("replaced by itself: %v, %s", err, uids())
	}
}

// sequenceIsOneTransaction: of a sequence of records all are written, or none, however long it is.
func (s suite) sequenceIsOneTransaction(t *testing.T) {
	l := s.fresh(t).open(t)
	sequence := func(bad int) func(func(ledger.Record) bool) {
		return func(yield func(ledger.Record) bool) {
			for i := range 1200 {
				r := record(strconv.Itoa(i), ledger.Adopted)
				if i == bad {
					r.Account = ""
				}
				if !yield(r) {
					return
				}
			}
		}
	}
	if err := l.PutSeq(t.Context(), sequence(1100)); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("a record without an account: %v", err)
	}
	if got := list(t, l, ledger.Filter{}); len(got) != 0 {
		t.Errorf("%d records were written before it", len(got))
	}
	for range 2 { // it may be written again
		if err := l.PutSeq(t.Context(), sequence(-1)); err != nil {
			t.Fatal(err)
		}
		if got := list(t, l, ledger.Filter{}); len(got) != 1200 {
			t.Errorf("%d records, want 1200", len(got))
		}
	}
	if err := l.PutSeq(t.Context(), func(func(ledger.Record) bool) {}); err != nil {
		t.Errorf("an empty sequence: %v", err)
	}
}

// manyKeys: a change of many messages reaches them all.
func (s suite) manyKeys(t *testing.T) {
	l := s.fresh(t).open(t)
	var rs []ledger.Record
	var keys []ledger.Key
	for i := range 700 {
		rs = append(rs, record(strconv.Itoa(i), ledger.Delivered))
		keys = append(keys, rs[i].Key)
	}
	put(t, l, rs...)
	if err := l.SetAbsent(t.Context(), keys[:600], true); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), keys[:300]); err != nil {
		t.Fatal(err)
	}
	gone := 0
	all := list(t, l, ledger.Filter{})
	for _, r := range all {
		if r.Absent {
			gone++
		}
	}
	if len(all) != 400 || gone != 300 {
		t.Errorf("%d records, %d of them absent; want 400 and 300", len(all), gone)
	}
}

// listedIsKept: the size that a listing announces can be noted at a message, and nothing else of it changes.
func (s suite) listedIsKept(t *testing.T) {
	l := s.fresh(t).open(t)
	r := record("1", ledger.Deferred)
	put(t, l, r, record("2", ledger.Deferred))
	if err := l.SetListed(t.Context(), r.Key, 77); err != nil {
		t.Fatal(err)
	}
	r.Listed = 77
	if got := list(t, l, ledger.Filter{UID: "1"}); len(got) != 1 || got[0].Listed != 77 || got[0].Size != r.Size {
		t.Errorf("the record is %+v", got)
	}
	if got := list(t, l, ledger.Filter{UID: "2"}); got[0].Listed != 0 {
		t.Errorf("another message has it, too: %+v", got)
	}
}

// whatIsBegunComesFirst: a write that nobody waits for yet is there once one that was begun after it is.
func (s suite) whatIsBegunComesFirst(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	var pending []ledger.Pending
	for i := range 40 {
		r := record(strconv.Itoa(i), ledger.Delivered)
		pending = append(pending, l.BeginJudged(t.Context(), r, nil, ledger.Judgement{Target: "mta", Client: "203.0.113." + strconv.Itoa(i), Taken: true}))
	}
	put(t, l, record("last", ledger.Sending))
	if got := list(t, l, ledger.Filter{States: []ledger.State{ledger.Delivered}}); len(got) != 40 {
		t.Errorf("%d of 40 verdicts are there once a later write is", len(got))
	}
	for _, p := range pending {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantSince(t, l, "mta", 0, 40, 0)
	l.end(t)
	if err := l.BeginJudged(t.Context(), record("x", ledger.Delivered), nil, ledger.Judgement{}).Wait(); err == nil {
		t.Error("a write behind Close succeeds")
	}
}

// unfinishedAndContent: what a pass asks for when a mailbox was renumbered or a message moved.
func (s suite) unfinishedAndContent(t *testing.T) {
	l := s.fresh(t).open(t)
	var want []string
	for i, state := range ledger.States() {
		r := record(string(state), state)
		r.Last = r.Last.Add(time.Duration(i) * time.Hour)
		r.Folder = "folder " + strconv.Itoa(i%2)
		put(t, l, r)
		if !state.Final() {
			want = append([]string{string(state)}, want...)
		}
	}
	other := record("elsewhere", ledger.Deferred)
	other.Account = "home"
	put(t, l, other)
	var got []string
	for _, r := range must[[]ledger.Record](t)(l.Unfinished(t.Context(), "work")) {
		got = append(got, r.UID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("unfinished are %q, want %q", got, want)
	}
	content := key(string(ledger.Held)).Hash
	if found := must[[]ledger.Record](t)(l.ByHashAnywhere(t.Context(), "work", content)); len(found) != 1 || found[0].State != ledger.Held {
		t.Errorf("by content is found %+v", found)
	}
	if found := must[[]ledger.Record](t)(l.ByHashAnywhere(t.Context(), "home", content)); len(found) != 0 {
		t.Errorf("in another account is found %+v", found)
	}
	if found := must[[]ledger.Record](t)(l.ByHash(t.Context(), "work", "folder 9", content)); len(found) != 0 {
		t.Errorf("in another folder is found %+v", found)
	}
	if names := must[[]string](t)(l.Folders(t.Context(), "work")); !slices.Equal(names, []string{"folder 0", "folder 1"}) {
		t.Errorf("folders %q", names)
	}
	since := ledger.Filter{Account: "work", Since: record("", ledger.Held).Last.Add(8 * time.Hour)}
	if found := list(t, l, since); len(found) != 2 {
		t.Errorf("%d records changed in the last two hours, want 2", len(found))
	}
}

// trust: a folder is unseen until a pass has seen all of it, and stays seen.
func (s suite) trust(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	want := func(folder string, want ledger.Trust) {
		t.Helper()
		if got := must[ledger.Trust](t)(l.Trust(t.Context(), "work", folder)); got != want {
			t.Errorf("folder %q: trust %d, want %d", folder, got, want)
		}
	}
	want("INBOX", ledger.Unseen)
	for range 2 {
		if err := l.CaughtUp(t.Context(), "work", "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	want("INBOX", ledger.Complete)
	want("Archive", ledger.Unseen)
	l.end(t)
	l = place.open(t)
	want("INBOX", ledger.Complete)
	want("Archive", ledger.Unseen)
}

// lock: an account has one worker, whoever opened the record, and is free again when he is done.
func (s suite) lock(t *testing.T) {
	place := s.fresh(t)
	first, second := must[Home](t)(place.openHome()), must[Home](t)(place.openHome())
	defer first.Close()
	defer second.Close()
	unlock := must[func() error](t)(first.Lock("work"))
	for _, l := range []Home{first, second} {
		if _, err := l.Lock("work"); ledger.KindOf(err) != ledger.Busy || !strings.Contains(err.Error(), "by pid ") {
			t.Errorf("the lock of another: %v; want Kind busy, and who has it", err)
		}
	}
	must[func() error](t)(second.Lock("home"))
	for range 2 {
		if err := unlock(); err != nil {
			t.Fatal(err)
		}
	}
	must[func() error](t)(second.Lock("work"))
	if _, err := second.Lock(""); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("no account: %v", err)
	}
}
