package ledgertest

import (
	"maps"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// listing is a Listing with all that it may hold.
func listing() ledger.Listing {
	return ledger.Listing{Validity: 1<<32 - 1, Next: 11, Messages: 10, ModSeq: 1<<63 - 1, Whole: time.UnixMilli(1_800_000_000_000), Due: 5 * time.Second, Rules: "keep"}
}

func wantListing(t *testing.T, l Home, folder string, want ledger.Listing) {
	t.Helper()
	if got := must[ledger.Listing](t)(l.LastListing(t.Context(), "work", folder)); got != want {
		t.Errorf("the last listing of %s is %+v, want %+v", folder, got, want)
	}
}

// listingOutlivesTheProcess: it is known at the next start, for that folder alone, until it is taken back.
func (s suite) listingOutlivesTheProcess(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	wantListing(t, l, "INBOX", ledger.Listing{})
	for _, n := range []ledger.Listing{{Validity: 1}, listing()} { // the second replaces the first
		if err := l.SetLastListing(t.Context(), "work", "INBOX", n); err != nil {
			t.Fatal(err)
		}
	}
	l.end(t)
	l = place.open(t)
	wantListing(t, l, "INBOX", listing())
	wantListing(t, l, "Junk", ledger.Listing{})
	if err := l.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil {
		t.Fatal(err)
	}
	wantListing(t, l, "INBOX", ledger.Listing{})
}

// listingEndsWithItsRecords: where a record is removed, its message is new again, and the whole folder must be listed to find it. Other
// folders keep theirs.
func (s suite) listingEndsWithItsRecords(t *testing.T) {
	for name, remove := range map[string]func(l Home, r ledger.Record) error{
		"removed": func(l Home, r ledger.Record) error { return l.Remove(t.Context(), []ledger.Key{r.Key}) },
		"replaced": func(l Home, r ledger.Record) error {
			other := r
			other.UID = "2"
			return l.Replace(t.Context(), other, []ledger.Key{r.Key})
		},
		"replaced with a judgement": func(l Home, r ledger.Record) error {
			return l.PutJudged(t.Context(), r, []ledger.Key{r.Key}, ledger.Judgement{Target: "main", Client: "192.0.2.1", Taken: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := s.fresh(t).open(t)
			r := record("1", ledger.Delivered)
			put(t, l, r)
			for _, folder := range []string{"INBOX", "Junk"} {
				if err := l.SetLastListing(t.Context(), "work", folder, listing()); err != nil {
					t.Fatal(err)
				}
			}
			put(t, l, record("3", ledger.Held)) // what is added is found by its state
			wantListing(t, l, "INBOX", listing())
			if err := remove(l, r); err != nil {
				t.Fatal(err)
			}
			wantListing(t, l, "INBOX", ledger.Listing{Validity: listing().Validity, Next: listing().Next}) // it may yet be seen to have been set back
			wantListing(t, l, "Junk", listing())
		})
	}
}

// briefsOfSomeUIDs: only the records with these UIDs, and of this generation, are returned.
func (s suite) briefsOfSomeUIDs(t *testing.T) {
	l := s.fresh(t).open(t)
	other := record("1", ledger.Delivered)
	other.Validity++
	same := record("1", ledger.Held)
	same.Hash[0]++
	odd := record("\x00\xff", ledger.Deferred)
	put(t, l, record("1", ledger.Delivered), same, record("2", ledger.Delivered), odd, other)
	at := record("1", ledger.Delivered).Key
	got := must[map[string][]ledger.Brief](t)(l.BriefsOf(t.Context(), at.Account, at.Folder, at.Validity, []string{"1", "\x00\xff", "4"}))
	if len(got) != 2 || len(got["1"]) != 2 || len(got["\x00\xff"]) != 1 {
		t.Errorf("got %+v", got)
	}
	if none := must[map[string][]ledger.Brief](t)(l.BriefsOf(t.Context(), at.Account, at.Folder, at.Validity, nil)); len(none) != 0 {
		t.Errorf("for no UID: %+v", none)
	}
}

// sourcesOutliveTheProcess: which mailbox the records of a folder are of is known at the next start, of that folder and account alone.
func (s suite) sourcesOutliveTheProcess(t *testing.T) {
	place := s.fresh(t)
	l := place.open(t)
	for _, one := range []ledger.Source{
		{Account: "work", Folder: "INBOX", Mailbox: "before"},
		{Account: "work", Folder: "INBOX", Mailbox: "alice at imap.example.com"},
		{Account: "work", Folder: "\xff", Mailbox: "\xfe at imap.example.com"},
		{Account: "home", Folder: "Lists", Mailbox: "bob at imap.example.net"},
	} {
		if err := l.SetSource(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetSource(t.Context(), ledger.Source{Folder: "INBOX", Mailbox: "of nobody"}); ledger.KindOf(err) != ledger.Invalid {
		t.Errorf("no account: %v", err)
	}
	l.end(t)
	l = place.open(t)
	want := map[string]string{"INBOX": "alice at imap.example.com", "\xff": "\xfe at imap.example.com"}
	if got := must[map[string]string](t)(l.Sources(t.Context(), "work")); !maps.Equal(got, want) {
		t.Errorf("the sources of work are %q, want %q", got, want)
	}
	if got := must[map[string]string](t)(l.Sources(t.Context(), "club")); len(got) != 0 {
		t.Errorf("the sources of an account without any are %q", got)
	}
}
