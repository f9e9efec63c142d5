package transfer_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

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
