package fetchtest

import (
	"slices"
	"strings"
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

// marks has messages marked as delivered, and finds them marked in later sessions, whoever marked them, also where the
// folder is empty or none is marked. A session that does not look for marks sees none.
func (s suite) marks(t *testing.T) {
	if !s.Folders {
		return // POP3 has no keywords
	}
	store := fakeserver.NewStore()
	marked := func(o DialOptions) string {
		t.Helper()
		box, listing := s.open(t, store, o)
		defer box.Abort()
		if listing.MarkError != nil {
			t.Errorf("the folder takes no marks: %v", listing.MarkError)
		}
		var uids []string
		for _, ref := range listing.Refs {
			if ref.Marked {
				uids = append(uids, ref.UID)
			}
		}
		return strings.Join(uids, " ")
	}
	look := DialOptions{Marks: true}
	if got := marked(look); got != "" {
		t.Errorf("marked in an empty folder: %s", got)
	}
	Fill(store, 6)
	if got := marked(look); got != "" {
		t.Errorf("marked by nobody: %s", got)
	}
	box, listing := s.open(t, store, look)
	if failures, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Flag, Target: fetch.DeliveredKeyword}, listing.Refs[1:3]); err != nil || len(failures) > 0 {
		t.Fatalf("Settle: %v, %v", failures, err)
	}
	store.Update("", 5, func(m *fakeserver.Message) { m.Flags = []string{`\Seen`, "$truehopdelivered"} })
	if got, want := marked(look), "2 3 5"; got != want {
		t.Errorf("marked are %q, want %q", got, want)
	}
	if got := marked(DialOptions{}); got != "" {
		t.Errorf("marked without being asked for: %s", got)
	}
}

// ended asks a session that is over for more.
func (s suite) ended(t *testing.T) {
	t.Run("by Abort", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 3)
		box, listing := s.open(t, store, DialOptions{})
		if _, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[:1]); err != nil {
			t.Fatal(err)
		}
		box.Abort()
		box.Abort()
		if got := len(store.UIDs("")); s.DeletesOnClose && got != 3 {
			t.Errorf("after Abort %d messages are left, want 3", got)
		}
		if err := box.Close(t.Context()); err == nil {
			t.Error("Close after Abort gave no error")
		}
		if _, _, err := Collect(t.Context(), box, listing.Refs); err == nil {
			t.Error("Retrieve after Abort gave no error")
		}
	})
	t.Run("by Close", func(t *testing.T) {
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
	})
}
