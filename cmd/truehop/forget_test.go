package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestForgetForgetsCopies: a copy in another folder would have the message known, and it would not come again.
func TestForgetForgetsCopies(t *testing.T) {
	l, err := ledger.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	record := func(account, folder, uid string, content byte) ledger.Record {
		return ledger.Record{Key: ledger.Key{Account: account, Folder: folder, Validity: 1, UID: uid, Hash: [32]byte{content}}, State: ledger.Delivered, Token: uid}
	}
	if err := l.PutAll(t.Context(), []ledger.Record{
		record("work", "INBOX", "1", 1), record("work", "Lists", "9", 1), record("work", "INBOX", "2", 2), record("home", "INBOX", "1", 1),
		record("work", "INBOX", "3", 0), record("work", "INBOX", "4", 0), // not read
	}); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		uid  string
		left map[string]int
	}{
		{"1", map[string]int{"work": 3, "home": 1}},
		{"3", map[string]int{"work": 2, "home": 1}},
	} {
		account := &config.Account{Name: "work", OnDelivered: fetch.Disposal{}}
		if _, err := forgetMessages(t.Context(), l, account, []string{step.uid}); err != nil {
			t.Fatal(err)
		}
		for name, want := range step.left {
			left, err := l.List(t.Context(), ledger.Filter{Account: name})
			if err != nil || len(left) != want {
				t.Errorf("after forgetting %s, %s has %d records, want %d: %v", step.uid, name, len(left), want, err)
			}
		}
	}
}

// TestUIDThatSeveralMessagesHave: a UID names a message in one folder only. Where others have it too, nothing is done,
// and it is said how to name each; what has gone, and copies of one message, are no others.
func TestUIDThatSeveralMessagesHave(t *testing.T) {
	of := func(folder string, validity uint32, content byte, change ...func(*ledger.Record)) ledger.Record {
		key := ledger.Key{Account: "work", Folder: folder, Validity: validity, UID: "5", Hash: [32]byte{content}}
		r := ledger.Record{Key: key, State: ledger.Held}
		r.Token = fmt.Sprintf("id-%s-%d", folder, validity)
		for _, do := range change {
			do(&r)
		}
		return r
	}
	disposed, absent := func(r *ledger.Record) { r.Disposed = true }, func(r *ledger.Record) { r.Absent = true }
	nameless := func(r *ledger.Record) { r.Token, r.State = "", ledger.Adopted }
	inbox, lists := of("INBOX", 7, 1), of("Lists", 7, 2)
	unread := []ledger.Record{of("INBOX", 7, 0, nameless), of("Lists/a b", 7, 0, nameless)}
	for _, c := range []struct {
		name    string
		records []ledger.Record
		named   string
		flags   bool
		forgets int
		says    []string // of the error, if nothing is forgotten
	}{
		{"another folder", []ledger.Record{inbox, lists}, "5", false, 0, []string{"id-INBOX-7 ", "INBOX", "id-Lists-7 ", "Lists"}},
		{"another UIDVALIDITY", []ledger.Record{inbox, of("INBOX", 8, 2)}, "5", false, 0, []string{"id-INBOX-7 ", "UIDVALIDITY 8"}},
		{"without IDs", unread, "5", false, 0, []string{"INBOX/7/5", "Lists/a b/7/5"}},
		{"by its ID", []ledger.Record{inbox, lists}, "id-INBOX-7", false, 1, nil},
		{"by its place", unread, "Lists/a b/7/5", false, 1, nil},
		{"by no UID in a place", []ledger.Record{inbox}, "INBOX/7/", false, 0, []string{"knows no message"}},
		{"by a place where it is not", []ledger.Record{inbox}, "Lists/7/5", false, 0, []string{"knows no message"}},
		{"the other has gone", []ledger.Record{inbox, of("Lists", 7, 2, absent)}, "5", false, 1, nil},
		{"the other was deleted", []ledger.Record{inbox, of("Lists", 7, 2, disposed)}, "5", false, 1, nil},
		{"the other was flagged", []ledger.Record{inbox, of("Lists", 7, 2, disposed)}, "5", true, 0, []string{"id-Lists-7 "}},
		{"all have gone", []ledger.Record{of("INBOX", 7, 1, absent), of("Lists", 7, 2, absent)}, "5", false, 0, []string{"id-Lists-7 "}},
		{"a copy", []ledger.Record{inbox, of("Lists", 7, 1)}, "5", false, 2, nil},
		{"a copy, and another", []ledger.Record{inbox, of("Lists", 7, 1), of("INBOX", 7, 2)}, "5", false, 0, []string{"id-Lists-7 "}},
		{"two of one UID in one folder", []ledger.Record{inbox, of("INBOX", 7, 2)}, "5", false, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := ledger.Open(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			if err := l.PutAll(t.Context(), c.records); err != nil {
				t.Fatal(err)
			}
			account := &config.Account{Name: "work"}
			if c.flags {
				account.OnDelivered.Action = fetch.Flag
			}
			_, err = forgetMessages(t.Context(), l, account, []string{c.named})
			if c.forgets > 0 && err != nil {
				t.Error(err)
			}
			if c.forgets == 0 && exitCode(err) != exitUsage {
				t.Errorf("it ends with %v, want a mistake on the command line", err)
			}
			for _, word := range c.says {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("it says nothing of %q: %v", word, err)
				}
			}
			left, err := l.List(t.Context(), ledger.Filter{Account: "work"})
			if err != nil || len(c.records)-len(left) != c.forgets {
				t.Errorf("%d of %d are left, %v; want %d forgotten", len(left), len(c.records), err, c.forgets)
			}
		})
	}
}
