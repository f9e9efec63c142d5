package transfer_test

import (
	"strconv"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// sizes makes the server announce each size changed so.
func (w *world) sizes(change func(int64) int64) {
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].Size = change(refs[i].Size)
		}
		return refs
	}
}

// TestNumberForAUID: a server that gives each message its number for a UID calls another message by a known one once the
// first has gone. Its size tells, and then its content, so that nothing is missed and nothing comes twice.
func TestNumberForAUID(t *testing.T) {
	w := keeping(t, true)
	w.add(1)
	w.uidl("1")
	w.run()
	w.delivered(1)
	w.empty()
	w.add(2, "X-Longer: than the first")
	w.uidl("1")
	for range 3 {
		w.run()
	}
	w.delivered(1, 2)
	if w.retrieved != 2 {
		t.Errorf("%d messages were retrieved, want each once", w.retrieved)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 2})

	// The numbers shift: the second message has the number of the first, which is there again behind it.
	w.empty()
	w.add(2, "X-Longer: than the first")
	w.uidl("1")
	w.add(1)
	w.uidl("2")
	for range 2 {
		if s := w.run(); s.Known != 2 {
			t.Errorf("summary %+v, want both known", s)
		}
	}
	w.delivered(1, 2)
}

// TestNumbersShift: a server that numbers its messages has other names for all that follow one which has gone, and for
// the last a name that the ledger does not know. Nothing comes twice, be the sizes the same, and what is new comes once.
func TestNumbersShift(t *testing.T) {
	numbered := func(w *world, ns ...int) {
		w.empty()
		for i, n := range ns {
			line := "X-Length: short"
			if n%3 == 0 {
				line += ", and not so short"
			}
			w.add(n, line)
			w.uidl(strconv.Itoa(i + 1))
		}
	}
	w := keeping(t, true)
	numbered(w, 1, 2, 3, 4, 5)
	w.run()
	w.delivered(1, 2, 3, 4, 5)
	for _, c := range []struct {
		there []int
		comes int // 0 if nothing does
	}{
		{[]int{2, 3, 4, 5}, 0}, {[]int{2, 3, 5}, 0}, {[]int{2, 3, 5, 6}, 6}, {[]int{3, 5, 6, 7}, 7}, {[]int{3, 6, 7}, 0}, {[]int{6, 7, 8}, 8},
	} {
		numbered(w, c.there...)
		w.mta.taken, w.retrieved = nil, 0
		w.run()
		if c.comes > 0 {
			w.delivered(c.comes)
		} else {
			w.delivered()
		}
		w.mta.taken, w.retrieved = nil, 0
		w.run()
		if w.retrieved != 0 {
			t.Errorf("%v: %d messages are retrieved at each pass", c.there, w.retrieved)
		}
		w.delivered()
	}
}

// TestServerThatCountsItsOwnWay: LIST says less or more than there is, which makes nobody retrieve a message twice.
func TestServerThatCountsItsOwnWay(t *testing.T) {
	w := keeping(t, true)
	w.sizes(func(n int64) int64 { return n - 9 }) // LF for CRLF
	for n := range 3 {
		w.add(n + 1)
	}
	for range 3 {
		w.run()
	}
	w.delivered(1, 2, 3)
	if w.retrieved != 3 {
		t.Fatalf("%d messages were retrieved, want 3", w.retrieved)
	}
	w.sizes(func(n int64) int64 { return n }) // exact by now
	w.run()
	if w.retrieved != 3 {
		t.Errorf("%d messages were retrieved, want 3: the size is that of the content", w.retrieved)
	}
	w.sizes(func(n int64) int64 { return n + 7 }) // another server program: each is looked at once more
	for range 3 {
		w.run()
	}
	if w.retrieved != 6 {
		t.Errorf("%d messages were retrieved, want 6: each looked at once", w.retrieved)
	}
	w.delivered(1, 2, 3)
	w.states(map[ledger.State]int{ledger.Delivered: 3})
}

// TestHeldUnreadUnderAUIDThatNamesAnother: what was too large to be retrieved has no content to compare with.
func TestHeldUnreadUnderAUIDThatNamesAnother(t *testing.T) {
	w := keeping(t, true)
	w.broken = &fetch.Error{Kind: fetch.TooLarge, Op: "RETR"}
	w.add(1, "X-Large: it is larger than is allowed")
	w.uidl("1")
	for range 2 {
		w.run()
	}
	w.states(map[ledger.State]int{ledger.Held: 1})
	w.broken = nil
	w.empty()
	w.add(2)
	w.uidl("1")
	for range 2 {
		w.run()
	}
	w.delivered(2)
	if w.retrieved != 1 {
		t.Errorf("%d messages were retrieved, want one, once", w.retrieved)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Held: 1})
}

// TestUnreadUnderANewUIDValidity: what could not be read at the first pass after a new UIDVALIDITY has a record under its
// new UID, and is known by its content all the same when it can be read.
func TestUnreadUnderANewUIDValidity(t *testing.T) {
	w := keeping(t, false)
	w.add(1)
	w.add(2)
	w.run()
	w.delivered(1, 2)
	w.store.SetValidity("", 99)
	w.cut = 20
	_, _ = w.try() // the session breaks at each message
	w.cut = 0
	for range 3 {
		w.clock = w.clock.Add(w.pass.Retry.Max)
		w.run()
	}
	w.delivered(1, 2)
}
