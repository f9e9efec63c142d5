package fetchtest

import (
	"slices"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
)

// otherClient has another client expunge messages of the set, and others, while the session lasts:
// Settle removes what is left of the set and nothing else, and what has gone is no failure.
func (s suite) otherClient(t *testing.T) {
	if !s.Folders {
		return // a POP3 session locks the mailbox (RFC 1939 section 4)
	}
	store := fakeserver.NewStore()
	Fill(store, 9)
	box, listing := s.open(t, store, DialOptions{})
	store.Remove("", 1, 4, 8)
	store.Add("", []byte("Subject: new\r\n\r\n"))
	for _, refs := range [][]fetch.Ref{listing.Refs[2:5], listing.Refs[5:7]} {
		if failures, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, refs); err != nil || len(failures) > 0 {
			t.Errorf("Settle: %v, %v", failures, err)
		}
		store.Remove("", 2)
	}
	if got := store.UIDs(""); !slices.Equal(got, []uint32{9, 10}) {
		t.Errorf("left %v, want messages 9 and 10", got)
	}
}

func (s suite) afterClose(t *testing.T) {
	store := fakeserver.NewStore()
	Fill(store, 1)
	box, listing := s.open(t, store, DialOptions{})
	if err := box.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(t.Context(), ""); err == nil {
		t.Error("Open after Close gave no error")
	}
	if _, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err == nil {
		t.Error("Settle after Close gave no error")
	}
	box.Abort()
}
