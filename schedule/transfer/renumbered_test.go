package transfer_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// renumberedInAPass makes a pass whose second session finds another UIDVALIDITY.
func (w *world) renumberedInAPass() {
	w.t.Helper()
	w.add(5)
	w.sessions = 0
	w.login = func(session int) error {
		if session == 2 {
			w.store.SetValidity("", 99)
		}
		return nil
	}
	_, err := w.try()
	if fetch.KindOf(err) != fetch.Protocol {
		w.t.Errorf("the pass ended with %v, want it to notice", err)
	}
	w.login = nil
}

// failAtItsEnd makes a pass that reads all that is there, and then fails: a new message ends its session, and there is no
// other.
func (w *world) failAtItsEnd(f *faults) {
	w.t.Helper()
	w.add(5, "X-Fifth: of a size of its own")
	f.closes, w.sessions = []int{5}, 0
	w.login = func(session int) error {
		if session > 1 {
			return &fetch.Error{Kind: fetch.Unreachable, Op: "connect", Err: errors.New("connection refused")}
		}
		return nil
	}
	if _, err := w.try(); err == nil {
		w.t.Error("the pass succeeded")
	}
	f.closes, w.login = nil, nil
}

// TestUnreadUnderAnOldUIDValidity: what was never read has a record by its UID alone, which a new UIDVALIDITY makes void.
// The record goes where a message of that size is listed, and stands for a loss where none is.
func TestUnreadUnderAnOldUIDValidity(t *testing.T) {
	renumber := func(w *world) { w.store.SetValidity("", 99) }
	for _, c := range []struct {
		name   string
		held   bool // before the UIDVALIDITY changes
		change func(w *world, f *faults)
		passes int
		states map[ledger.State]int
		lost   int
	}{
		{"it still ends sessions", false, func(w *world, _ *faults) { renumber(w) }, 1,
			map[ledger.State]int{ledger.Delivered: 2, ledger.Deferred: 1}, 0},
		{"it comes", false, func(w *world, f *faults) { renumber(w); f.closes = nil }, 1,
			map[ledger.State]int{ledger.Delivered: 3}, 0},
		{"it still ends sessions, held", true, func(w *world, _ *faults) { renumber(w) }, 1,
			map[ledger.State]int{ledger.Delivered: 2, ledger.Deferred: 1}, 0},
		{"it comes, held", true, func(w *world, f *faults) { renumber(w); f.closes = nil }, 1,
			map[ledger.State]int{ledger.Delivered: 3}, 0},
		{"it has gone", false, func(w *world, f *faults) { w.store.Remove("", 1); renumber(w) }, 2,
			map[ledger.State]int{ledger.Delivered: 2, ledger.Lost: 1}, 1},
		{"it has gone, and all with it", false, func(w *world, f *faults) { w.empty(); renumber(w) }, 2,
			map[ledger.State]int{ledger.Delivered: 2, ledger.Lost: 1}, 1},
		{"it has gone, and one of its size is known by its content", false, func(w *world, f *faults) {
			w.add(4)
			w.mta.verdict = says(inject.Deferred, "RCPT", 450)
			_, _ = w.try()
			w.mta.verdict = nil
			w.store.Remove("", 1)
			renumber(w)
		}, 1, map[ledger.State]int{ledger.Delivered: 3, ledger.Lost: 1}, 1},
		{"it has gone, held", true, func(w *world, f *faults) { w.store.Remove("", 1); renumber(w) }, 1,
			map[ledger.State]int{ledger.Delivered: 2, ledger.Lost: 1}, 1},
		{"it comes at a pass that fails, and is deleted", false, func(w *world, f *faults) {
			renumber(w)
			w.failAtItsEnd(f)
			w.store.Remove("", w.store.UIDs("")[0])
		}, 2, map[ledger.State]int{ledger.Delivered: 4}, 0},
		{"it has gone, and a pass failed that read one of its size", false, func(w *world, f *faults) {
			w.add(4)
			_, _ = w.try()
			w.store.Remove("", 1)
			renumber(w)
			w.failAtItsEnd(f)
		}, 2, map[ledger.State]int{ledger.Delivered: 4, ledger.Lost: 1}, 1},
		{"it has gone, and another has come", false, func(w *world, f *faults) {
			w.store.Remove("", 1)
			renumber(w)
			w.add(4, "X-Longer: than the first")
		}, 1, map[ledger.State]int{ledger.Delivered: 3, ledger.Lost: 1}, 1},
		{"it has gone, held, and another has come", true, func(w *world, f *faults) {
			w.store.Remove("", 1)
			renumber(w)
			w.add(4, "X-Longer: than the first")
		}, 1, map[ledger.State]int{ledger.Delivered: 3, ledger.Lost: 1}, 1},
		{"one of two of its size may be it", false, func(w *world, f *faults) {
			w.store.Remove("", 1)
			renumber(w)
			w.add(4)
			w.add(6)
		}, 1, map[ledger.State]int{ledger.Delivered: 4, ledger.Lost: 1}, 1},
		{"a session finds the change", false, func(w *world, _ *faults) { w.renumberedInAPass() }, 2, map[ledger.State]int{ledger.Delivered: 3, ledger.Deferred: 1}, 0},
	} {
		for _, unsized := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sizes asked for: %t", c.name, unsized), func(t *testing.T) {
				w := keeping(t, false)
				f := &faults{closes: []int{1}, unsized: unsized}
				states := maps.Clone(c.states)
				w.poison(f)
				w.add(1)
				w.add(2, "X-Other: size")
				w.add(3, "X-Another: one, again")
				w.run()
				for n := 0; c.held && n < 3; n++ {
					w.clock = w.clock.Add(2 * time.Hour)
					w.store.Remove("", w.store.UIDs("")[2])
					w.add(3, strings.Repeat("X-More: or less\n", n+1)+"X-Last: line")
					w.run()
				}
				if c.held {
					w.record(ledger.Held)
					states[ledger.Delivered] += 3
				}
				w.clock = w.clock.Add(2 * time.Hour)
				c.change(w, f)
				told := 0
				for range c.passes {
					w.clock = w.clock.Add(2 * time.Hour)
					_, _ = w.try() // where nothing comes, with an error
					told += w.vanished()
				}
				w.states(states)
				if told != c.lost {
					t.Errorf("%d messages are told as lost, want %d", told, c.lost)
				}
			})
		}
	}
}

// TestUnreadMessageHidesNoLoss: what cannot be read may be what has gone. That puts it off by one pass, unless the UIDL is
// that of the lost one and the size shows that the message is another.
func TestUnreadMessageHidesNoLoss(t *testing.T) {
	const longer = "X-Longer: than the other"
	for _, c := range []struct {
		name   string
		pop    bool
		change func(w *world)
		lost   int
	}{
		{"a UIDL that names another message", true, func(w *world) {
			w.empty()
			w.add(2, longer)
			w.uidl("same")
		}, 1},
		{"a UIDL that names a message of the same size", true, func(w *world) {
			w.empty()
			w.add(2)
			w.uidl("same")
		}, 0},
		{"a new UIDVALIDITY", false, func(w *world) {
			w.empty()
			w.add(2, longer)
			w.store.SetValidity("", 99)
		}, 1},
		{"a new UIDVALIDITY, and it is there", false, func(w *world) {
			w.add(2, longer)
			w.store.SetValidity("", 99)
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, c.pop)
			w.poison(&faults{refuses: []int{2}})
			w.mta.verdict = says(inject.Deferred, "RCPT", 450)
			w.add(1)
			if c.pop {
				w.uidl("same")
			}
			w.run()
			c.change(w)
			lost := 0
			for range 5 { // the second waits in some of them
				w.clock = w.clock.Add(20 * time.Minute)
				_, _ = w.try()
				lost += w.vanished()
			}
			if lost != c.lost {
				t.Errorf("%d messages are told as lost, want %d", lost, c.lost)
			}
		})
	}
}

// TestNumberedAnewIsNoLoss: where a message's number is its UIDL, another size under it says only that the numbers changed.
func TestNumberedAnewIsNoLoss(t *testing.T) {
	w := keeping(t, true)
	w.poison(&faults{refuses: []int{3}})
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.add(1, "X-Length: 1")
	w.uidl("1")
	for range 4 { // so that it waits for longer than the second
		w.clock = w.clock.Add(time.Hour)
		w.run()
	}
	w.add(2, "X-Length: number 2")
	w.uidl("2")
	w.run()
	w.store.Remove("", w.store.UIDs("")[0])
	w.uidl("1")
	w.add(3, "X-Length: as of number 3")
	w.uidl("2")
	w.clock = w.clock.Add(6 * time.Minute)
	_, _ = w.try()
	if w.vanished() != 0 {
		t.Error("a message is told as lost that is listed under another number")
	}
}

// TestReadAndUnreadUnderAnOldUIDValidity: what was read, and could not be read at the last pass, has two records. Both go when
// it is known by its content.
func TestReadAndUnreadUnderAnOldUIDValidity(t *testing.T) {
	for name, verdict := range map[ledger.State]func(*inject.Message, int) inject.Receipt{
		ledger.Deferred: says(inject.Deferred, "RCPT", 450), ledger.Delivered: says(inject.Delivered, "dot", 250),
	} {
		t.Run(string(name), func(t *testing.T) {
			w := keeping(t, false)
			w.mta.verdict = says(inject.Deferred, "RCPT", 450)
			w.add(1)
			w.run()
			f := &faults{closes: []int{1}}
			w.poison(f)
			w.clock = w.clock.Add(time.Hour)
			_, _ = w.try()
			w.states(map[ledger.State]int{ledger.Deferred: 2})
			w.store.SetValidity("", 99)
			f.closes = nil
			w.mta.verdict = verdict
			w.clock = w.clock.Add(time.Hour)
			if s := w.run(); s.Lost != 0 {
				t.Errorf("summary %+v, want nothing lost", s)
			}
			w.states(map[ledger.State]int{name: 1})
		})
	}
}

// TestSizesOfWhatWasNotRead: sizes are asked for in one command a session for what could not be read in the one before, and in one for
// what a new UIDVALIDITY has brought. Where the server does not tell them, an unread message of the old UIDVALIDITY may be lost, which is
// told; and a server that fails at the question keeps no mail back.
func TestSizesOfWhatWasNotRead(t *testing.T) {
	for name, c := range map[string]struct {
		noSizes error
		lost    int
		asked   string
	}{
		"it tells them":       {nil, 0, "1 | 4 | 1,2,3,4"},
		"it refuses":          {&fetch.Error{Kind: fetch.Refused, Op: "UID FETCH", Text: "no"}, 2, "1 | 1 | 1,4"},
		"it ends the session": {&fetch.Error{Kind: fetch.Unreachable, Op: "UID FETCH", Err: io.ErrUnexpectedEOF}, 2, "1 | 1 | 1,4"},
	} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, false)
			f := &faults{closes: []int{1, 4}, unsized: true, noSizes: c.noSizes}
			w.poison(f)
			for n := range 4 {
				w.add(n+1, "X-Length: "+strings.Repeat("x", n))
			}
			lost := 0
			for n := range 3 {
				if n == 1 {
					w.store.SetValidity("", 99)
				}
				w.clock = w.clock.Add(2 * time.Hour)
				if s, err := w.try(); n == 0 && s.Delivered != 2 {
					t.Errorf("the first pass counts %+v: %v", s, err)
				}
				lost += w.vanished()
			}
			if lost != c.lost {
				t.Errorf("%d messages are told as lost, want %d", lost, c.lost)
			}
			if asked := strings.Join(f.sizesAsked, " | "); asked != c.asked {
				t.Errorf("asked for the sizes of %s, want %s", asked, c.asked)
			}
			if c.lost == 0 {
				return
			}
			found, err := w.ledger.List(t.Context(), ledger.Filter{States: []ledger.State{ledger.Lost}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range found {
				if !strings.HasPrefix(r.Why, "may be gone from the mailbox") {
					t.Errorf("it is lost because %q", r.Why)
				}
			}
		})
	}
}

// TestSizesOfALimitedPass: a server that ends the session when it is asked for sizes, at one message perhaps, keeps no mail back from a
// pass whose limit goes by them.
func TestSizesOfALimitedPass(t *testing.T) {
	w := keeping(t, false)
	w.pass.Limit = transfer.Limit{Octets: 1 << 20}
	f := &faults{unsized: true, noSizes: &fetch.Error{Kind: fetch.Unreachable, Op: "UID FETCH", Err: io.ErrUnexpectedEOF}}
	w.poison(f)
	w.add(1)
	w.add(2)
	w.run()
	w.delivered(1, 2)
	if asked := strings.Join(f.sizesAsked, " | "); asked != "1,2" || w.sessions != 2 {
		t.Errorf("asked for the sizes of %s in %d sessions, want it once, and another session", asked, w.sessions)
	}
}
