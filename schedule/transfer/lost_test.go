package transfer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// says makes the MTA answer every message so.
func says(o inject.Outcome, stage string, code int) func(*inject.Message, int) inject.Receipt {
	return func(*inject.Message, int) inject.Receipt {
		return inject.Receipt{Outcome: o, Stage: stage, Reply: inject.Reply{Code: code, Text: "so it is"}}
	}
}

// only returns the one record that the ledger has.
func (w *world) only() ledger.Record {
	w.t.Helper()
	rs, err := w.ledger.List(w.t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(rs) != 1 {
		w.t.Fatalf("the ledger has %+v, %v, want one record", rs, err)
	}
	return rs[0]
}

// vanished counts the events that say that a message has vanished.
func (w *world) vanished() (n int) {
	for _, e := range w.events {
		if e.Kind == transfer.Vanished {
			n++
		}
	}
	return n
}

// empty takes away all messages, as another client does.
func (w *world) empty() { w.store.Remove("", w.store.UIDs("")...) }

// TestWhatVanishesBeforeItWasDeliveredIsTold: once by an event, and in each summary until a person took note.
func TestWhatVanishesBeforeItWasDeliveredIsTold(t *testing.T) {
	for _, c := range []struct {
		name    string
		verdict func(*inject.Message, int) inject.Receipt
		lost    bool
		doubts  int
	}{
		{"deferred", says(inject.Deferred, "RCPT", 450), true, 0},
		{"in doubt", says(inject.InDoubt, "dot", 0), true, 1},
		{"refused", says(inject.Refused, "DATA", 554), false, 0},
		{"delivered", nil, false, 0},
		{"held", says(inject.Withheld, "MAIL", 0), true, 0},
	} {
		for name, reusable := range map[string]bool{"IMAP": false, "POP3": true} {
			t.Run(c.name+", "+name, func(t *testing.T) {
				w := keeping(t, reusable)
				w.run() // the mailbox was seen empty
				w.mta.verdict = c.verdict
				w.add(1)
				before := w.run()
				if w.vanished() != 0 || before.Lost != 0 {
					t.Fatal("a message that is there is told as lost")
				}
				state := w.only().State
				w.empty()
				for pass := range 3 {
					s := w.run()
					wantTold, wantLost := 0, 0
					if c.lost {
						wantLost = 1
					}
					if c.lost && pass == 0 {
						wantTold = 1
					}
					if w.vanished() != wantTold || s.Lost != wantLost || s.WantPerson() != wantLost {
						t.Errorf("pass %d: %d events and %d lost in %+v, want %d and %d", pass, w.vanished(), s.Lost, s, wantTold, wantLost)
					}
				}
				r := w.only()
				if !c.lost {
					if r.State != state {
						t.Errorf("the message is %s, want it %s as before", r.State, state)
					}
					return
				}
				mayHaveIt := strings.Contains(r.Why, "the MTA may have it")
				if r.State != ledger.Lost || !r.Absent || r.Doubts != c.doubts || mayHaveIt != (c.doubts > 0) {
					t.Errorf("the ledger says %+v, want it lost, with %d doubts", r, c.doubts)
				}
				r.Acknowledged = w.clock
				if err := w.ledger.Put(t.Context(), r); err != nil {
					t.Fatal(err)
				}
				if s := w.run(); s.Lost != 0 || w.vanished() != 0 {
					t.Errorf("after a person took note: %+v, %d events", s, w.vanished())
				}
			})
		}
	}
}

// TestRunThatDiedAtItsDotIsInDoubtWhenTheMessageVanishes: a record that was left at "sending" may have been delivered.
func TestRunThatDiedAtItsDotIsInDoubtWhenTheMessageVanishes(t *testing.T) {
	w := newWorld(t)
	key := ledger.Key{Account: "work", UID: "1", Validity: 1, Hash: [32]byte{1}}
	if v, _ := w.store.Validity(""); v != key.Validity {
		key.Validity = v
	}
	if err := w.ledger.Put(t.Context(), ledger.Record{Key: key, State: ledger.Sending, Token: "t"}); err != nil {
		t.Fatal(err)
	}
	w.run()
	if r := w.only(); r.State != ledger.Lost || r.Doubts != 1 || !strings.Contains(r.Why, "the MTA may have it") {
		t.Errorf("the ledger says %+v, want it lost and in doubt", r)
	}
}

// TestWhatComesBackIsTriedAgain: under its UID, and under another by its content; labelled where it was in doubt.
func TestWhatComesBackIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		reusable bool
		doubt    bool
		back     func(w *world)
	}{
		{"IMAP, listed again", false, false, func(w *world) { w.listing = nil }},
		{"POP3, listed again", true, true, func(w *world) { w.listing = nil }},
		{"IMAP, under a new UID", false, true, func(w *world) { w.listing = nil; w.empty(); w.add(1) }},
		{"POP3, under a new UID", true, false, func(w *world) { w.listing = nil; w.empty(); w.add(1); w.uidl("new") }},
		{"IMAP, under a new UIDVALIDITY", false, false, func(w *world) { w.listing = nil; w.store.SetValidity("", 99) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, c.reusable)
			w.run() // the mailbox was seen empty
			w.add(1)
			w.mta.verdict = says(inject.Deferred, "RCPT", 450)
			if c.doubt {
				w.mta.verdict = says(inject.InDoubt, "dot", 0)
			}
			w.run()
			w.mta.taken = nil
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
			w.run()
			w.states(map[ledger.State]int{ledger.Lost: 1})
			r := w.only()
			r.Acknowledged = w.clock
			if err := w.ledger.Put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			c.back(w)
			w.clock = w.clock.Add(time.Hour)
			w.mta.verdict = nil
			if s := w.run(); s.Lost != 0 || s.Delivered != 1 {
				t.Errorf("summary %+v, want it delivered and nothing lost", s)
			}
			w.delivered(1)
			if labelled := strings.Contains(w.mta.taken[0].header, "Truehop-Redelivery: possible"); labelled != c.doubt {
				t.Errorf("labelled %v, want %v: %q", labelled, c.doubt, w.mta.taken[0].header)
			}
			r = w.only()
			if r.State != ledger.Delivered || r.Absent || !r.Acknowledged.IsZero() {
				t.Errorf("the ledger says %+v", r)
			}
		})
	}
}

// TestRenumberedMailIsNotLost: a deferred message is listed under another name, and only its content tells.
func TestRenumberedMailIsNotLost(t *testing.T) {
	w := keeping(t, false)
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.add(1)
	w.run()
	w.empty()
	w.store.SetValidity("", 99)
	w.add(1)
	for range 2 {
		if s := w.run(); s.Lost != 0 || w.vanished() != 0 {
			t.Errorf("summary %+v, %d events: want nothing lost", s, w.vanished())
		}
	}
	w.states(map[ledger.State]int{ledger.Deferred: 1})
	// Gone from an empty folder with another UIDVALIDITY, it is lost.
	w.empty()
	w.store.SetValidity("", 100)
	if s := w.run(); s.Lost != 1 || w.vanished() != 1 {
		t.Errorf("summary %+v, %d events: want it lost", s, w.vanished())
	}
}

// TestUIDThatNamesAnotherMessageHidesNoLoss: on POP3 the UID of what has gone may come back for another message.
func TestUIDThatNamesAnotherMessageHidesNoLoss(t *testing.T) {
	w := keeping(t, true)
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.add(1)
	w.uidl("same")
	w.run()
	w.empty()
	w.add(2)
	w.uidl("same")
	w.clock = w.clock.Add(2 * time.Hour)
	w.mta.verdict = nil
	if s := w.run(); s.Lost != 1 || s.Delivered != 1 || w.vanished() != 1 {
		t.Errorf("summary %+v, %d events: want one lost, the other delivered", s, w.vanished())
	}
	w.delivered(2)
	w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Lost: 1})
}

// TestVanishedWithoutUIDs: on a server without UIDL only the contents of all that is listed tell what has gone.
func TestVanishedWithoutUIDs(t *testing.T) {
	w, _ := withoutUIDL(t, fetch.Keep)
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.add(1)
	w.add(2)
	w.run()
	w.store.Remove("", w.store.UIDs("")[0])
	if s := w.run(); s.Lost != 1 || w.vanished() != 1 {
		t.Errorf("summary %+v, %d events: want one lost", s, w.vanished())
	}
	w.states(map[ledger.State]int{ledger.Deferred: 1, ledger.Lost: 1})
}

// TestFailedPassLosesNothing: where new mail could not all be looked at, what has gone may be among it.
func TestFailedPassLosesNothing(t *testing.T) {
	w := keeping(t, false)
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.add(1)
	w.run()
	w.empty()
	w.add(1)
	w.cut = 20
	if _, err := w.try(); err == nil {
		t.Fatal("the pass was to fail")
	}
	if w.vanished() != 0 {
		t.Error("a message is told as lost that may be the one that could not be read")
	}
	w.cut = 0
	w.clock = w.clock.Add(w.pass.Retry.Max)
	w.run()
	w.states(map[ledger.State]int{ledger.Deferred: 1})
	// A folder that cannot be opened says nothing of what is in it.
	w.pass.Dial = func(context.Context) (fetch.Mailbox, error) { return unopened{}, nil }
	if _, err := w.try(); err == nil || w.vanished() != 0 {
		t.Errorf("error %v, %d told as lost", err, w.vanished())
	}
	w.states(map[ledger.State]int{ledger.Deferred: 1})
}

// unopened is a mailbox that cannot be listed.
type unopened struct{ fetch.Mailbox }

func (unopened) Open(context.Context, string) (*fetch.Listing, error) {
	return nil, &fetch.Error{Kind: fetch.Protocol, Op: "UIDL", Err: errors.New("the listing was cut short")}
}

func (unopened) Abort() {}

// TestKeptMailboxWithoutUIDLAsks: a mailbox that keeps its mail and a ledger that knows nothing of it may
// be one whose ledger was lost, also where the messages have no names.
func TestKeptMailboxWithoutUIDLAsks(t *testing.T) {
	w, asked := withoutUIDL(t, fetch.Keep)
	w.pass.Flood.Limit = 3
	for n := range 4 {
		w.add(n + 1)
	}
	_, err := w.try()
	var flood *transfer.Error
	if !errors.As(err, &flood) || !strings.Contains(flood.Text, "knows nothing of this mailbox") {
		t.Fatalf("the pass ended with %v, want it to ask", err)
	}
	w.delivered()
	if got := asked.reset(); got[1] != 0 {
		t.Errorf("%d messages were retrieved", got[1])
	}
	w.pass.Flood.Accept = true
	w.run()
	w.delivered(1, 2, 3, 4)
	w.pass.Flood.Accept = false
	w.add(5) // five by name unknown, four of them by content known
	w.run()
	w.delivered(1, 2, 3, 4, 5)
}

// TestMailboxOfOneUIDAsks: messages that share a UID are as unknown as others.
func TestMailboxOfOneUIDAsks(t *testing.T) {
	w := keeping(t, true)
	w.pass.Flood.Limit = 3
	for n := range 4 {
		w.add(n + 1)
		w.uidl("same")
	}
	_, err := w.try()
	var flood *transfer.Error
	if !errors.As(err, &flood) {
		t.Fatalf("the pass ended with %v, want it to ask", err)
	}
	w.delivered()
}
