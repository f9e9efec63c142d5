package transfer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestAccountIsPointedToAnotherMailbox: what is known of one mailbox by its UIDs says nothing of another, whose UIDVALIDITY may be the
// same: many servers count it from 1. A person is asked, and nothing of the other is passed over, or deleted unseen. The same mailbox under another
// name goes on.
func TestAccountIsPointedToAnotherMailbox(t *testing.T) {
	for name, test := range map[string]struct {
		before, now []int // the messages of the mailboxes, in the order of their UIDs
		change      func(*world)
		asks        bool
		delivered   []int
		left        int // in the mailbox that is there now
	}{
		"another": {
			before: []int{1, 2, 3, 4}, now: []int{15, 16, 17, 18, 19}, asks: true, delivered: []int{1, 2, 3, 4}, left: 5,
		},
		"another, after what has gone": {
			before: []int{1, 2, 3, 4}, now: []int{15}, asks: true, delivered: []int{1, 2, 3, 4}, left: 1,
		},
		"the same": {
			before: []int{1, 2, 3, 4}, now: []int{1, 2, 3, 4, 5}, delivered: []int{1, 2, 3, 4, 5},
		},
		"too little to tell them apart": {
			before: []int{1, 2}, now: []int{1, 2, 3}, asks: true, delivered: []int{1, 2}, left: 3,
		},
		"too little, and a person has looked": {
			before: []int{1, 2}, now: []int{1, 2, 3}, change: func(w *world) { w.pass.Flood.Accept = true }, delivered: []int{1, 2, 3},
		},
		"adopted, and a person is to leave it": {
			before: []int{1, 2, 3, 4}, now: []int{15, 16}, change: func(w *world) { w.pass.Flood.Adopt = true }, asks: true, delivered: []int{1, 2, 3, 4}, left: 2,
		},
		"a UIDVALIDITY of its own": {
			before: []int{1, 2, 3, 4}, now: []int{4, 15}, change: func(w *world) { w.store.SetValidity("", 7) }, delivered: []int{1, 2, 3, 4, 15},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered, w.pass.DeleteAfter = fetch.Disposal{}, time.Hour
			w.pass.Folders = fetch.Selection{"INBOX"}
			w.pass.Mailbox = "alice at imap.example.com"
			w.overIMAP(&fakeserver.IMAP{})
			for _, n := range test.before {
				w.add(n)
			}
			w.run()

			w.store = fakeserver.NewStore()
			w.pass.Mailbox = "bob at imap.example.net"
			w.overIMAP(&fakeserver.IMAP{})
			for _, n := range test.now {
				w.add(n)
			}
			if test.change != nil {
				test.change(w)
			}
			for range 2 {
				w.clock = w.clock.Add(90 * time.Minute)
				_, err := w.try()
				var asks *transfer.Error
				if errors.As(err, &asks) != test.asks || (err != nil) != test.asks {
					t.Fatalf("the pass ended with %v", err)
				}
				if test.asks && !strings.Contains(err.Error(), "alice at imap.example.com") {
					t.Errorf("told: %v", err)
				}
				w.pass.Flood.Accept = false
			}
			w.delivered(test.delivered...)
			w.left(test.left)
		})
	}
}

// TestDeletingAccountIsPointedToAnotherMailbox: where nothing that has a record can be listed again, nobody is asked.
func TestDeletingAccountIsPointedToAnotherMailbox(t *testing.T) {
	w := newWorld(t)
	w.pass.Folders = fetch.Selection{"INBOX"}
	w.pass.Mailbox = "alice at imap.example.com"
	w.overIMAP(&fakeserver.IMAP{})
	w.add(1)
	w.run()
	w.run() // which sees that it has gone
	w.store = fakeserver.NewStore()
	w.pass.Mailbox = "bob at imap.example.net"
	w.overIMAP(&fakeserver.IMAP{})
	w.add(2)
	w.run()
	w.delivered(1, 2)
	w.left(0)
	w.states(map[ledger.State]int{ledger.Delivered: 2})
}

// TestMailboxIsNotedThoughNothingIsNew: a ledger that does not know yet whose mailbox it has learns it at the first pass, also where the folder is as it was.
func TestMailboxIsNotedThoughNothingIsNew(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.pass.Folders = fetch.Selection{"INBOX"}
	w.overIMAP(&fakeserver.IMAP{})
	w.add(1)
	w.run()
	w.run()
	w.pass.Mailbox = "alice at imap.example.com"
	w.run()
	if sources, err := w.ledger.Sources(t.Context(), "work"); err != nil || sources["INBOX"] != w.pass.Mailbox {
		t.Errorf("the sources are %q, %v", sources, err)
	}
}
