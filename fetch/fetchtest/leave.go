package fetchtest

import (
	"context"
	"errors"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
)

// leave ends sessions without the deletions that come with their end.
func (s suite) leave(t *testing.T) {
	t.Run("after retrieval and deletion", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 3)
		box, listing := s.open(t, store, DialOptions{})
		if listing.AtClose != s.DeletesOnClose {
			t.Errorf("the listing says AtClose %v, want %v", listing.AtClose, s.DeletesOnClose)
		}
		if _, _, err := Collect(t.Context(), box, listing.Refs); err != nil {
			t.Fatal(err)
		}
		if _, err := box.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs[:1]); err != nil {
			t.Fatal(err)
		}
		if err := box.Leave(t.Context()); err != nil {
			t.Fatalf("Leave: %v", err)
		}
		want := 2
		if s.DeletesOnClose {
			want = 3
		}
		if got := len(store.UIDs("")); got != want {
			t.Errorf("after Leave %d messages are left, want %d", got, want)
		}
		if _, err := box.Open(t.Context(), ""); err == nil {
			t.Error("Open after Leave gave no error")
		}
		if err := box.Close(t.Context()); err == nil && s.DeletesOnClose {
			t.Error("Close after Leave gave no error")
		}
		if got := len(store.UIDs("")); got != want {
			t.Errorf("after Leave and Close %d messages are left, want %d", got, want)
		}
	})
	t.Run("then again, and none finds the mailbox in use by the session before", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 2)
		for range 50 {
			box, listing := s.open(t, store, DialOptions{Exclusive: true})
			if _, _, err := Collect(t.Context(), box, listing.Refs); err != nil || len(listing.Refs) != 2 {
				t.Fatalf("%d messages are listed of 2: %v", len(listing.Refs), err)
			}
			if err := box.Leave(t.Context()); err != nil {
				t.Fatalf("Leave: %v", err)
			}
		}
	})
	t.Run("cancelled, and nothing is left half done", func(t *testing.T) {
		store := fakeserver.NewStore()
		Fill(store, 1)
		box, _ := s.open(t, store, DialOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := box.Leave(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Leave: got %v, want context canceled", err)
		}
		if got := len(store.UIDs("")); got != 1 {
			t.Errorf("%d messages are left of 1", got)
		}
	})
}
