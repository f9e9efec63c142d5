package transfer_test

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
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

// TestSetBackIsFoundInTheEnd: a folder stays one that was set back over visits that cannot look at all of it, whatever else happens to
// what is remembered of it.
func TestSetBackIsFoundInTheEnd(t *testing.T) {
	for name, test := range map[string]struct {
		// passes are made before the server is as it should be, unlike is how it is at these.
		passes int
		unlike func(w *world) *fakeserver.IMAP
		want   []int
	}{
		"a message is counted and not listed": {1, func(*world) *fakeserver.IMAP {
			return &fakeserver.IMAP{Without: []string{"ESEARCH"}, Reply: func(verb, _ string) (string, bool) {
				return "* SEARCH 1 2\r\n%T OK\r\n", verb == "UID SEARCH"
			}}
		}, []int{1, 2, 3, 4, 33, 34}},
		"records are replaced meanwhile": {1, func(w *world) *fakeserver.IMAP {
			if err := w.ledger.SetLastListing(w.t.Context(), "work", "INBOX", ledger.Listing{Validity: validityOf(w), Next: 5, Messages: 4}); err != nil {
				w.t.Fatal(err)
			}
			if err := w.ledger.Remove(w.t.Context(), []ledger.Key{{Account: "work", Folder: "INBOX", Validity: 9, UID: "9"}}); err != nil {
				w.t.Fatal(err)
			}
			return &fakeserver.IMAP{Reply: func(verb, _ string) (string, bool) { return "%T NO not now\r\n", verb == "UID FETCH" }}
		}, []int{1, 2, 3, 4, 33, 34}},
		"sizes are never told": {5, func(*world) *fakeserver.IMAP {
			return &fakeserver.IMAP{Reply: func(verb, args string) (string, bool) {
				return "%T NO not ever\r\n", verb == "UID FETCH" && !strings.Contains(args, "BODY")
			}}
		}, []int{1, 2, 3, 4, 33, 34}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.fill(4)
			w.store = fakeserver.NewStore() // of which the copy held the first two
			w.add(1)
			w.add(2)
			w.add(33) // under the UID of the third
			w.overInbox(test.unlike(w))
			for range test.passes {
				_, _ = w.try()
			}
			w.add(34) // under that of the fourth: UIDNEXT is what it was
			if test.passes == 1 {
				w.overInbox(&fakeserver.IMAP{})
			}
			for range test.passes {
				w.run()
			}
			for range 2 {
				if got := slices.Sorted(slices.Values(w.numbers())); !slices.Equal(got, test.want) {
					t.Errorf("the MTA took %v, want %v", got, test.want)
				}
				w.run()
			}
		})
	}
}

// readNone wants the last pass to have retrieved nothing.
func (w *world) readNone() {
	w.t.Helper()
	for _, e := range w.events {
		if e.Kind == transfer.Retrieved {
			w.t.Errorf("a message was read: %+v", e.Ref)
		}
	}
}

// TestUIDOfALostMessageIsNoProofOfANewOne: nothing is done to new mail under the UID of a message that was lost when the folder was set
// back, before it is read, whatever the configuration says by then and the server tells.
func TestUIDOfALostMessageIsNoProofOfANewOne(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"deleted": {Action: fetch.Delete}, "flagged": {Action: fetch.Flag, Target: `\Seen`}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = fetch.Disposal{}
			w.overInbox(&fakeserver.IMAP{})
			w.add(1)
			w.add(2)
			w.run()
			w.run()
			w.store = fakeserver.NewStore()
			tells := false
			w.overInbox(&fakeserver.IMAP{Reply: func(verb, args string) (string, bool) {
				return "%T NO not now\r\n", verb == "UID FETCH" && !strings.Contains(args, "BODY") && !tells
			}})
			w.add(1)
			for range 4 {
				w.run()
			}
			w.pass.OnDelivered = disposal
			w.add(33)
			w.run()
			w.delivered(1, 2)
			if m, ok := w.store.Get("", 2); !ok || len(m.Flags) > 0 {
				t.Fatalf("the new message is there: %v, with %v", ok, m.Flags)
			}
			tells = true
			w.run()
			w.delivered(1, 2, 33)
		})
	}
}

// TestFolderThatShowsNothingOnce: where it is whole again, nothing is read, or flagged anew.
func TestFolderThatShowsNothingOnce(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"kept": {}, "flagged": {Action: fetch.Flag, Target: `\Seen`}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = disposal
			w.fill(3)
			store, validity := w.store, validityOf(w)
			w.store = fakeserver.NewStore()
			w.store.SetValidity("", validity)
			w.overInbox(&fakeserver.IMAP{Counter: func(name string, truth uint64) uint64 {
				if name == "UIDNEXT" {
					return 4
				}
				return truth
			}})
			w.run()
			w.store = store
			sizes := 0
			w.overInbox(&fakeserver.IMAP{Reply: func(verb, args string) (string, bool) {
				if verb == "UID FETCH" {
					sizes++
				}
				return "", false
			}})
			w.see(false, 1) // by a person
			for range 3 {
				w.run()
				w.readNone()
				if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil {
					t.Fatal(err)
				}
			}
			w.delivered(1, 2, 3)
			if m, _ := w.store.Get("", 1); len(m.Flags) > 0 || sizes != 1 {
				t.Errorf("the flags are %v, and sizes were asked for %d times, want once", m.Flags, sizes)
			}
		})
	}
}

// TestUIDNEXTThatStandsStill: a server that says it wrong has not set the folder back.
func TestUIDNEXTThatStandsStill(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	sizes := 0
	w.overInbox(&fakeserver.IMAP{
		Counter: func(name string, truth uint64) uint64 {
			if name == "UIDNEXT" {
				return 2
			}
			return truth
		},
		Reply: func(verb, args string) (string, bool) {
			if verb == "UID FETCH" && !strings.Contains(args, "BODY") {
				sizes++
			}
			return "", false
		},
	})
	for n := range 4 {
		w.add(n + 1)
	}
	for range 3 {
		w.run()
	}
	w.delivered(1, 2, 3, 4)
	if sizes != 0 {
		t.Errorf("sizes were asked for %d times", sizes)
	}
}

// TestSetBackUnderOtherUIDs: what the folder holds under the UIDs of other messages is known by its content.
func TestSetBackUnderOtherUIDs(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.overInbox(&fakeserver.IMAP{})
	for _, n := range []int{1, 22, 333, 44} {
		w.store.Add("", mail(n%256, "X-Padding: "+strings.Repeat("x", n)))
	}
	w.run()
	w.store.Remove("", 2)
	w.run()
	w.store = fakeserver.NewStore()
	w.overInbox(&fakeserver.IMAP{})
	for _, n := range []int{1, 333, 44} {
		w.store.Add("", mail(n%256, "X-Padding: "+strings.Repeat("x", n)))
	}
	for range 2 {
		w.run()
		w.delivered(1, 22, 333%256, 44)
	}
}

// TestSetBackTwice: a message that took the UID of another is not read again, however often the folder is set back.
func TestSetBackTwice(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.fill(4)
	w.setBack(&fakeserver.IMAP{}, 1, 22)
	w.run()
	if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{Validity: validityOf(w), Next: 9}); err != nil {
		t.Fatal(err)
	}
	w.run()
	for range 2 {
		if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil {
			t.Fatal(err)
		}
		w.run()
		w.readNone()
	}
	w.delivered(1, 2, 3, 4, 22)
}

// TestLeftOutUnderTheUIDOfALostMessage: mail that the search leaves out is read once, and found when it fits.
func TestLeftOutUnderTheUIDOfALostMessage(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered, w.pass.Search = fetch.Disposal{}, fetch.Search{{Key: fetch.Seen, Not: true}}
	w.fill(3)
	w.setBack(&fakeserver.IMAP{}, 1)
	w.run()
	w.add(22)
	w.see(true, 2)
	w.run()
	for range 3 {
		if s := w.run(); s.LeftOut != 1 {
			t.Errorf("%d are left out, want 1", s.LeftOut)
		}
		w.readNone()
	}
	w.see(false, 2)
	w.run()
	w.delivered(1, 2, 3, 22)
}

// TestSetBackWithAMessageThatIsNeverListed: the sizes are asked for once all the same.
func TestSetBackWithAMessageThatIsNeverListed(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.fill(4)
	w.store = fakeserver.NewStore()
	sizes := 0
	w.overInbox(&fakeserver.IMAP{Without: []string{"ESEARCH"}, Reply: func(verb, args string) (string, bool) {
		switch {
		case verb == "UID SEARCH":
			return "* SEARCH 1\r\n%T OK\r\n", true
		case strings.HasSuffix(verb, "FETCH") && !strings.Contains(args, "BODY") && !strings.Contains(args, "SIZE"):
			return "* 1 FETCH (UID 1)\r\n%T OK\r\n", true // of the other nothing is said
		case verb == "UID FETCH" && !strings.Contains(args, "BODY"):
			sizes++
		}
		return "", false
	}})
	w.add(1)
	w.add(22)
	for range 4 {
		_, _ = w.try()
	}
	if sizes != 1 {
		t.Errorf("sizes were asked for %d times, want once", sizes)
	}
	w.overInbox(&fakeserver.IMAP{})
	w.run()
	w.delivered(1, 2, 3, 4, 22)
}

// numbers are those of the messages that the MTA took.
func (w *world) numbers() (got []int) {
	for _, m := range w.mta.taken {
		var n int
		if _, err := fmt.Sscanf(m.subject(), "number %d", &n); err != nil {
			w.t.Fatal(err)
		}
		got = append(got, n)
	}
	return got
}

func validityOf(w *world) uint32 {
	validity, _ := w.store.Validity("")
	return validity
}

// TestWaitingMessageInAFolderThatWasSetBack: the sizes are asked for at one pass, however long a message waits; new mail under the UID of the
// one that waits is delivered.
func TestWaitingMessageInAFolderThatWasSetBack(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	w.overInbox(&fakeserver.IMAP{})
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if slices.Contains([]string{"sender2@example.org", "sender3@example.org"}, m.From) {
			return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 451, Enhanced: "4.7.1", Text: "greylisted"}}
		}
		return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250}}
	}
	for n := range 4 {
		w.add(n + 1)
	}
	w.run()
	w.store = fakeserver.NewStore()
	asked := 0
	w.overInbox(&fakeserver.IMAP{Reply: func(verb, args string) (string, bool) {
		if verb == "UID FETCH" && !strings.Contains(args, "BODY") {
			asked++
		}
		return "", false
	}})
	w.add(1)
	w.add(2)  // waits
	w.add(33) // under the UID of another that waits
	for range 3 {
		w.run()
	}
	w.delivered(1, 4, 33)
	if asked != 1 {
		t.Errorf("sizes were asked for %d times, want once", asked)
	}
}

// TestMailUnderTheUIDsOfThoseThatWereLost: after a folder was set back, new mail gets the UIDs of messages that it has no more, one by one.
func TestMailUnderTheUIDsOfThoseThatWereLost(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"kept": {}, "flagged": {Action: fetch.Flag, Target: `\Seen`}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass.OnDelivered = disposal
			w.fill(4)
			w.setBack(&fakeserver.IMAP{}, 1)
			w.run()
			want := []int{1, 2, 3, 4}
			for n := 32; n < 36; n++ {
				w.add(n)
				w.run()
				want = append(want, n)
				w.delivered(want...)
			}
			if err := w.ledger.SetLastListing(t.Context(), "work", "INBOX", ledger.Listing{}); err != nil { // as once a day
				t.Fatal(err)
			}
			for range 2 {
				w.run()
				w.delivered(want...)
			}
			w.readNone()
		})
	}
}
