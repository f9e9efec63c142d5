package main

import (
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
