package ledger

import (
	"maps"
	"path/filepath"
	"testing"
	"time"
)

// TestTurns: per folder the latest first attempt and the latest repeated one, by the account's clock, and whether any is to follow.
func TestTurns(t *testing.T) {
	l, err := Open(t.Context(), filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	put := func(account, folder, uid string, s State, attempts int, ran time.Duration) Record {
		return Record{Key: Key{Account: account, Folder: folder, UID: uid}, State: s, Attempts: attempts, Ran: ran}
	}
	records := []Record{
		put("a", "INBOX", "1", Delivered, 1, 0),
		put("a", "Again", "1", Delivered, 1, 3*time.Second), put("a", "Again", "2", Delivered, 4, 2*time.Second), put("a", "Again", "3", Held, 2, time.Second),
		put("a", "Waits", "1", Deferred, 1, time.Second), put("a", "Waits", "2", Delivered, 1, 2*time.Second),
		put("a", "Adopted", "1", Adopted, 0, time.Hour),
		put("b", "INBOX", "1", Deferred, 2, time.Hour),
	}
	if err := l.PutAll(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	want := map[string]Turn{"INBOX": {First: ms}, "Again": {First: 3*time.Second + ms, Again: 2*time.Second + ms}, "Waits": {First: 2*time.Second + ms, Waiting: true}}
	if got, err := l.Turns(t.Context(), "a"); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := l.Turns(t.Context(), "none"); err != nil || len(got) != 0 {
		t.Errorf("of an account without records: %v, %v", got, err)
	}
}
