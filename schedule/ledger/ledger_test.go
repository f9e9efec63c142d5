package ledger

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"
)

// open opens a ledger in dir and closes it at the end of the test.
func open(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return l
}

// must returns v, or fails the test.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func key(uid string) Key {
	return Key{Account: "work", Folder: "INBOX", Validity: 7, UID: uid, Hash: sha256.Sum256([]byte(uid))}
}

func record(uid string, s State) Record {
	at := time.UnixMilli(1_700_000_000_123)
	return Record{
		Key: key(uid), State: s, Size: 4321, Token: "tok-" + uid, Attempts: 2, Doubts: 1,
		First: at, Last: at.Add(time.Minute), Next: at.Add(time.Hour),
		Client: "192.0.2.1", HELO: "mx.example.org", Sender: "a@example.org", Recipients: "b@example.net",
		Code: 250, Reply: "2.0.0 Ok: queued as 4Xyz", QueueID: "4Xyz", Why: "accepted",
	}
}

func put(t testing.TB, l *Ledger, rs ...Record) {
	t.Helper()
	if err := l.PutAll(t.Context(), rs); err != nil {
		t.Fatalf("PutAll: %v", err)
	}
}

func list(t testing.TB, l *Ledger, f Filter) []Record {
	t.Helper()
	return must[[]Record](t)(l.List(t.Context(), f))
}

// TestReplace: a record takes the place of others in one transaction, so that neither both nor none is ever there.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	old, unread := record("old", Deferred), record("unread", Deferred)
	put(t, l, old, unread, record("other", Held))
	before := l.writer.commits
	now := record("now", Sending)
	if err := l.Replace(t.Context(), now, []Key{old.Key, unread.Key, key("never there")}); err != nil {
		t.Fatal(err)
	}
	if got := l.writer.commits - before; got != 1 {
		t.Errorf("%d transactions, want 1", got)
	}
	uids := func() (got []string) {
		for _, r := range list(t, l, Filter{}) {
			got = append(got, r.UID+" "+string(r.State))
		}
		slices.Sort(got)
		return got
	}
	if got := strings.Join(uids(), ", "); got != "now sending, other held" {
		t.Errorf("the ledger has %s", got)
	}
	if err := l.Replace(t.Context(), record("x", "odd"), []Key{now.Key}); KindOf(err) != Invalid || len(uids()) != 2 {
		t.Errorf("a record that cannot be stored: %v, %v", err, uids())
	}
	if err := l.Replace(t.Context(), record("now", Delivered), []Key{}); err != nil || strings.Join(uids(), ", ") != "now delivered, other held" {
		t.Errorf("%v, %v", err, uids())
	}
}
