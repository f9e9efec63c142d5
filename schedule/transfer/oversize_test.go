package transfer_test

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestMessageBeyondTheLimitEndsNothing: the server said less than it is. It is held by its UID, and not
// retrieved again.
func TestMessageBeyondTheLimitEndsNothing(t *testing.T) {
	for name, c := range map[string]struct {
		endless  bool
		sessions int
	}{"read to its end": {false, 2}, "without end": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			w := once(t)
			w.add(4)
			w.beyond, w.endless = []uint32{2}, c.endless
			if s := w.run(); s.Delivered != 3 || s.Held != 1 || s.Settled != 3 {
				t.Errorf("summary %+v, want three delivered and settled and one held", s)
			}
			w.delivered(1, 3, 4)
			w.left(1)
			w.states(map[ledger.State]int{ledger.Delivered: 3, ledger.Held: 1})
			if w.sessions != c.sessions {
				t.Errorf("%d sessions, want %d", w.sessions, c.sessions)
			}
			held, err := w.ledger.List(t.Context(), ledger.Filter{States: []ledger.State{ledger.Held}})
			if err != nil || len(held) != 1 || held[0].UID != w.store.List("")[0].UIDL {
				t.Errorf("held are %+v, %v, want the message by its UID", held, err)
			}
			w.retrieved = 0
			w.run()
			if w.retrieved != 0 {
				t.Error("the message is retrieved again")
			}
		})
	}
}

// TestUIDOfAHeldMessageIsReused: what was held without its content being here has gone, and new mail has its UID.
func TestUIDOfAHeldMessageIsReused(t *testing.T) {
	w := once(t)
	w.beyond = []uint32{2}
	w.run()
	held, _ := w.store.Get("", 2)
	w.store.Remove("", 2)
	w.run()
	w.add(4)
	w.uidl(held.UIDL)
	w.run()
	w.delivered(1, 3, 4)
	w.left(0)
}

func TestEndlessMessagesInADryRun(t *testing.T) {
	w := once(t)
	w.beyond, w.endless, w.pass.DryRun = []uint32{1, 2}, true, true
	if s := w.run(); s.Asked != 1 || s.Delivered != 0 || s.Held != 2 {
		t.Errorf("summary %+v, want one asked about and two held", s)
	}
	w.left(3)
}

// TestEndlessMessageWithoutUID: it cannot be held, but it keeps no other.
func TestEndlessMessageWithoutUID(t *testing.T) {
	w := once(t)
	w.beyond, w.endless = []uint32{2}, true
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].UID = ""
		}
		return refs
	}
	w.run()
	w.run()
	w.delivered(1, 3)
	w.left(2) // what was delivered before the session broke cannot be named in the next
}

// TestManyEndlessMessages: the sessions of one pass are bounded, and the next pass goes on.
func TestManyEndlessMessages(t *testing.T) {
	w := once(t)
	w.endless = true
	for n := range 30 {
		w.beyond = append(w.beyond, uint32(n+4))
		w.add(n + 4)
	}
	w.add(34)
	if _, err := w.try(); fetch.KindOf(err) != fetch.TooLarge {
		t.Errorf("the pass ended with %v, want it to stop at so many", err)
	}
	if w.sessions > 25 {
		t.Errorf("%d sessions in one pass", w.sessions)
	}
	w.run()
	w.delivered(1, 2, 3, 34)
	w.states(map[ledger.State]int{ledger.Delivered: 4, ledger.Held: 30})
	w.left(30)
}

// TestEndlessMessageAndALoginDelay: the others wait for the next pass, and it goes well.
func TestEndlessMessageAndALoginDelay(t *testing.T) {
	w := once(t)
	w.beyond, w.endless, w.delay = []uint32{2}, true, time.Hour
	if _, err := w.try(); fetch.KindOf(err) != fetch.Busy {
		t.Errorf("the pass ended with %v, want it told that the server wants more time", err)
	}
	w.left(3)
	w.run()
	w.delivered(1, 3)
	w.left(1)
}
