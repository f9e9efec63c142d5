package transfer_test

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// goingDown is what a server says that closes the connection then, to the connection that it goes out on.
const goingDown = "* BYE going down\r\n"

// closing is the server's end of such a connection.
type closing struct{ net.Conn }

func (c closing) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if bytes.Contains(p, []byte(goingDown)) {
		_ = c.Close() // the client sees the end
	}
	return n, err
}

// fill puts so many messages into the inbox of an IMAP server, and makes the passes until nothing is left to do.
func (w *world) fill(messages int) {
	w.t.Helper()
	w.overInbox(&fakeserver.IMAP{})
	for n := range messages {
		w.add(n + 1)
	}
	w.run()
	w.run()
}

// setBack puts a copy of the mailbox in its place, which holds these messages, under UIDs from 1 on.
func (w *world) setBack(server *fakeserver.IMAP, messages ...int) {
	w.store = fakeserver.NewStore()
	w.overInbox(server)
	for _, n := range messages {
		w.add(n)
	}
}

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

// TestFlaggedComesBackUnderAnotherUID: people take what was delivered and flagged out of a folder, and put it back.
func TestFlaggedComesBackUnderAnotherUID(t *testing.T) {
	for name, passes := range map[string]int{"between two passes": 0, "while a pass looked": 1} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{Action: fetch.Flag, Target: `\Seen`}
			w.overInbox(&fakeserver.IMAP{})
			w.add(1)
			w.add(2)
			w.run()
			w.run()
			w.store.Remove("", 1)
			for range passes {
				w.run()
			}
			w.add(1)
			if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil { // as once a day
				t.Fatal(err)
			}
			w.run()
			w.delivered(1, 2)
		})
	}
}

// TestSetBackIsNotForgotten: what a visit to a folder that was set back could not look at, a later one does, also when as much mail has
// come by then as was lost.
func TestSetBackIsNotForgotten(t *testing.T) {
	for name, reply := range map[string]string{
		"the server refuses to tell sizes": "%T NO not now\r\n",
		"the server goes away":             goingDown,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.fill(4)
			w.store = fakeserver.NewStore() // of which the copy held the first two
			w.overInbox(&fakeserver.IMAP{
				Wrap:  func(c net.Conn) net.Conn { return closing{c} },
				Reply: func(verb, _ string) (string, bool) { return reply, verb == "UID FETCH" },
			})
			w.add(1)
			w.add(2)
			w.add(33) // under the UID of the third
			_, _ = w.try()
			w.delivered(1, 2, 3, 4)
			w.overInbox(&fakeserver.IMAP{})
			w.add(34) // under that of the fourth: UIDNEXT is what it was
			w.run()
			w.delivered(1, 2, 3, 4, 33, 34)
			w.run()
			w.delivered(1, 2, 3, 4, 33, 34)
		})
	}
}

// TestMailUnderTheUIDOfOneThatWasToBeDeleted: a pass that delivers and cannot delete, and a server that comes back as an older copy, may leave
// new mail under the UID of a message that is to be deleted.
func TestMailUnderTheUIDOfOneThatWasToBeDeleted(t *testing.T) {
	tellsNone := func(verb, args string) (string, bool) {
		return "%T NO not now\r\n", verb == "UID FETCH" && !strings.Contains(args, "BODY")
	}
	for name, test := range map[string]struct {
		then  int
		reply func(verb, args string) (string, bool)
		want  []int
		read  bool
	}{
		"another message":                       {33, nil, []int{1, 2, 33}, true},
		"the same one":                          {2, nil, []int{1, 2}, false},
		"another, and the server tells no size": {33, tellsNone, []int{1, 2, 33}, true},
		"the same one, and it tells no size":    {2, tellsNone, []int{1, 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.overInbox(&fakeserver.IMAP{
				Wrap:  func(c net.Conn) net.Conn { return closing{c} },
				Reply: func(verb, _ string) (string, bool) { return goingDown, verb == "UID STORE" },
			})
			w.add(1)
			w.add(2)
			if _, err := w.try(); err == nil {
				t.Fatal("the pass did not fail")
			}
			w.delivered(1, 2)
			w.store = fakeserver.NewStore()
			w.overInbox(&fakeserver.IMAP{Reply: test.reply})
			w.add(1)
			w.add(test.then)
			w.pass.Failed = true
			w.run()
			w.delivered(test.want...)
			read := slices.ContainsFunc(w.events, func(e transfer.Event) bool { return e.Kind == transfer.Retrieved })
			if read != test.read {
				t.Errorf("a message was read: %v, want %v", read, test.read)
			}
			w.run()
			w.delivered(test.want...)
			w.left(0)
		})
	}
}

// TestSearchInAFolderThatWasSetBack: new mail under a UID that is known is delivered once the search finds it, and not touched before.
func TestSearchInAFolderThatWasSetBack(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered, w.pass.Search = fetch.Disposal{}, fetch.Search{{Key: fetch.Seen, Not: true}}
	w.fill(4)
	w.setBack(&fakeserver.IMAP{}, 1, 2, 33)
	w.see(true, 3)
	for range 2 {
		w.run()
		w.delivered(1, 2, 3, 4)
	}
	w.pass.OnDelivered = fetch.Disposal{Action: fetch.Delete}
	w.run()
	w.left(1)
	w.see(false, 3)
	w.run()
	w.delivered(1, 2, 3, 4, 33)
	w.left(0)
}
