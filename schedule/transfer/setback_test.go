package transfer_test

import (
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestUIDOfARemovedMessageIsGivenAgain: a mailbox that is set back, as to a copy of it, gives new mail the UIDs of messages that were
// deleted, or lists those again. What is new is delivered before it is deleted, what is not is deleted alone.
func TestUIDOfARemovedMessageIsGivenAgain(t *testing.T) {
	for name, test := range map[string]struct {
		passes int // before it is set back: after the first the server has only said that it deleted, after the second it was seen to have
		then   int
		want   []int
	}{
		"another message at once": {1, 2, []int{1, 2}},
		"another message":         {2, 2, []int{1, 2}},
		"the same one at once":    {1, 1, []int{1}},
		"the same one":            {2, 1, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(1)
			for range test.passes {
				w.run()
			}
			w.left(0)
			w.store = fakeserver.NewStore()
			w.add(test.then)
			w.run()
			w.delivered(test.want...)
			w.left(0)
			w.run()
			w.delivered(test.want...)
		})
	}
}

// TestMailboxIsSetBack: where UIDNEXT has fallen, a UID that the ledger knows may be that of new mail, which its size shows. What is as it was
// is not read again.
func TestMailboxIsSetBack(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"kept":    func(w *world) { w.pass.OnDelivered = fetch.Disposal{} },
		"flagged": func(w *world) { w.pass.OnDelivered = fetch.Disposal{Action: fetch.Flag, Target: `\Seen`} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(w)
			w.pass.Folders = fetch.Selection{"INBOX"}
			put := func(n int) { w.store.Add("INBOX", mail(n)) }
			w.overIMAP(&fakeserver.IMAP{})
			for n := range 4 {
				put(n + 1)
			}
			w.run()
			w.run()
			w.store = fakeserver.NewStore() // of which the copy held the first two
			w.overIMAP(&fakeserver.IMAP{})
			put(1)
			put(2)
			put(33) // under the UID of the third
			w.run()
			read := 0
			for _, e := range w.events {
				if e.Kind == transfer.Retrieved {
					read++
				}
			}
			if read != 1 {
				t.Errorf("%d messages were read, want the new one alone", read)
			}
			w.delivered(1, 2, 3, 4, 33)
			for range 3 { // and so it stays, also where the folder is listed as a whole
				if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil {
					t.Fatal(err)
				}
				w.run()
				for _, e := range w.events {
					if e.Kind == transfer.Retrieved {
						t.Errorf("a message was read again: %+v", e.Ref)
					}
				}
			}
			w.delivered(1, 2, 3, 4, 33)
		})
	}
}

// TestFlaggedIsNotRemoved: what was flagged is still there for all that it was disposed of, and is known where the server lists nothing for
// once, or numbers the messages anew.
func TestFlaggedIsNotRemoved(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"empty once": func(w *world) {
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
			w.run()
			w.listing = nil
		},
		"another UIDVALIDITY": func(w *world) { w.store.SetValidity("", 77) },
		"empty, and then another UIDVALIDITY": func(w *world) {
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
			w.run()
			w.listing = nil
			w.store.SetValidity("", 77)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{Action: fetch.Flag, Target: `\Seen`}
			w.add(1)
			w.add(2)
			w.run()
			change(w)
			w.run()
			w.run()
			w.delivered(1, 2)
		})
	}
}
