package transfer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// marking makes a world with an IMAP mailbox in which delivered messages are marked.
func marking(t *testing.T) *world {
	w := keeping(t, false)
	w.marks, w.pass.MarkDelivered = true, true
	return w
}

// marked wants these messages of the mailbox to be marked as delivered, by their UIDs, each once.
func (w *world) marked(want ...uint32) {
	w.t.Helper()
	var got []uint32
	for _, m := range w.store.List("") {
		for _, f := range m.Flags {
			if f == fetch.DeliveredKeyword {
				got = append(got, m.UID)
			}
		}
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("marked are %v, want %v", got, want)
	}
}

// mark has another program mark a message.
func (w *world) mark(uid uint32) {
	w.store.Update("", uid, func(m *fakeserver.Message) { m.Flags = append(m.Flags, fetch.DeliveredKeyword) })
}

// kinds counts the events of a kind in the last pass.
func (w *world) kinds(k transfer.EventKind) (n int) {
	for _, e := range w.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// afresh gives the pass an empty ledger.
func (w *world) afresh() {
	w.t.Helper()
	if err := w.ledger.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.in(w.t.TempDir())
}

// own lets the world's ledger be replaced, and returns the directory of its first one.
func (w *world) own() string {
	spare, dir := w.ledger, w.t.TempDir()
	w.in(dir)
	w.t.Cleanup(func() { w.ledger = spare })
	return dir
}

// refusing2 refuses the second message.
func refusing2(m *inject.Message, _ int) inject.Receipt {
	if m.From == "sender2@example.org" {
		return inject.Receipt{Outcome: inject.Refused, Stage: "RCPT", Reply: inject.Reply{Code: 554, Enhanced: "5.7.1", Text: "no"}}
	}
	return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250}}
}

// TestDeliveredMailIsMarked: what was delivered is marked, whatever else becomes of it, and nothing else is; where nobody
// asked for it, nothing is.
func TestDeliveredMailIsMarked(t *testing.T) {
	for name, test := range map[string]struct {
		disposal fetch.Disposal
		asked    bool
		flags    []string
	}{
		"kept":                {fetch.Disposal{}, true, []string{fetch.DeliveredKeyword}},
		"kept, not asked for": {fetch.Disposal{}, false, nil},
		"flagged":             {fetch.Disposal{Action: fetch.Flag, Target: "$Done"}, true, []string{fetch.DeliveredKeyword, "$Done"}},
		"moved":               {fetch.Disposal{Action: fetch.Move, Target: "Done"}, true, []string{fetch.DeliveredKeyword}},
	} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, false)
			w.store.Create("Done")
			w.marks, w.pass.MarkDelivered, w.pass.OnDelivered = test.asked, test.asked, test.disposal
			w.mta.verdict = refusing2
			for n := range 3 {
				w.add(n + 1)
			}
			w.run()
			w.delivered(1, 3)
			flags := map[string][]string{}
			for _, m := range slices.Concat(w.store.List(""), w.store.List("Done")) {
				_, rest, _ := strings.Cut(string(m.Raw()), "Subject: number ")
				flags[rest[:1]] = m.Flags
			}
			if !slices.Equal(flags["1"], test.flags) || !slices.Equal(flags["3"], test.flags) || len(flags["2"]) > 0 {
				t.Errorf("the messages have the flags %v; want those that were delivered to have %v, and the refused one none", flags, test.flags)
			}
			w.mta.taken = nil
			w.run()
			w.delivered()
		})
	}
}

// TestLostLedgerKnowsWhatIsMarked: with the ledger gone, what is marked does not come again, more of it than the flood limit
// stops nothing, and what is not marked comes with the label. The next pass knows all of it, and labels nothing.
func TestLostLedgerKnowsWhatIsMarked(t *testing.T) {
	w := marking(t)
	w.own()
	w.pass.Flood = transfer.Flood{Limit: 2, Accept: true}
	w.run() // the mailbox is empty
	for n := range 5 {
		w.add(n + 1)
	}
	w.run()
	w.labels(false, false, false, false, false)
	w.marked(1, 2, 3, 4, 5)
	w.afresh()
	w.pass.Flood.Accept = false
	w.add(6)
	s := w.run()
	w.labels(true)
	w.states(map[ledger.State]int{ledger.Delivered: 6})
	if s.Known != 5 || w.restores() != 1 {
		t.Errorf("%d messages were known, and %d events told of an old ledger; want 5 and 1", s.Known, w.restores())
	}
	w.marked(1, 2, 3, 4, 5, 6)
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work", UID: "1"})
	if err != nil || len(records) != 1 || !strings.Contains(records[0].Why, fetch.DeliveredKeyword) {
		t.Errorf("the ledger does not say how it knows the message: %v, %v", records, err)
	}
	w.add(7)
	w.run()
	w.labels(false)
	if w.restores() != 0 {
		t.Error("the next pass takes the ledger for old, too")
	}
}

// TestLedgerRolledBackInPlace: a snapshot that is rolled back in place is the same file. What was delivered since does not
// come again if it is marked; what the old ledger has as deferred comes again with the label, as does new mail,
// for its mark may have been owed.
func TestLedgerRolledBackInPlace(t *testing.T) {
	w := marking(t)
	dir := w.own()
	deferred := true
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if deferred && m.From == "sender2@example.org" {
			return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 450, Enhanced: "4.2.0", Text: "greylisted"}}
		}
		return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250}}
	}
	w.run() // the mailbox is empty
	w.add(1)
	w.add(2)
	w.run()
	w.labels(false)
	old := w.backup(dir)
	w.in(dir)
	deferred = false
	w.clock = w.clock.Add(time.Hour)
	w.add(3)
	w.run()
	w.labels(false, false)
	w.marked(1, 2, 3)
	if err := w.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ledger.db-wal", "ledger.db-shm"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger.db"), old, 0o600); err != nil { // the same inode
		t.Fatal(err)
	}
	w.in(dir)
	w.add(4)
	w.run()
	w.labels(true, true) // 4 and 2
	w.states(map[ledger.State]int{ledger.Delivered: 4})
	w.add(5)
	w.run()
	w.labels(false)
	w.marked(1, 2, 3, 4, 5)
}

// TestMarkThatIsOwed: a pass that could not set the mark leaves the verdict standing and tells it once; the next pass sets it.
func TestMarkThatIsOwed(t *testing.T) {
	refused := &fetch.Error{Kind: fetch.Refused, Op: "UID STORE", Err: errors.New("not now")}
	broken := &fetch.Error{Kind: fetch.Unreachable, Op: "UID STORE", Err: errors.New("connection lost")}
	for _, disposal := range []fetch.Disposal{{}, {Action: fetch.Flag, Target: "$Done"}} {
		for _, cause := range []*fetch.Error{refused, broken} {
			t.Run(fmt.Sprintf("%v, %v", disposal, cause.Kind), func(t *testing.T) {
				w := marking(t)
				w.pass.OnDelivered = disposal
				w.noMarks = cause
				w.add(1)
				w.add(2)
				_, err := w.try()
				if ends := fetch.EndsSession(cause); (err != nil) != ends {
					t.Errorf("the pass ended with %v", err)
				} else if told := w.kinds(transfer.NotMarked); !ends && told != 1 {
					t.Errorf("it was told %d times, want once", told)
				}
				w.states(map[ledger.State]int{ledger.Delivered: 2})
				w.marked()
				w.noMarks = nil
				w.mta.taken = nil
				w.run()
				w.delivered()
				w.marked(1, 2)
				w.run()
				w.marked(1, 2) // and not again
			})
		}
	}
}

// TestMarkIsNoReasonToDelete: what is known by its mark only is never deleted or moved, for nothing here has seen it and
// another program may have set the mark.
func TestMarkIsNoReasonToDelete(t *testing.T) {
	for _, disposal := range []fetch.Disposal{{Action: fetch.Delete}, {Action: fetch.Move, Target: "Done"}} {
		w := marking(t)
		w.store.Create("Done")
		w.pass.OnDelivered = disposal
		w.add(1)
		w.mark(1)
		for range 2 {
			w.run()
			w.delivered()
			w.left(1)
			w.states(map[ledger.State]int{ledger.Delivered: 1})
		}
	}
}

// TestMarkOfAnother: a message that the ledger has as not delivered may have its mark of another program. It is delivered,
// with the label; one that waits for a person goes on waiting.
func TestMarkOfAnother(t *testing.T) {
	w := marking(t)
	w.mta.verdict = func(m *inject.Message, n int) inject.Receipt {
		if n == 1 {
			return inject.Receipt{Outcome: inject.Deferred, Stage: "RCPT", Reply: inject.Reply{Code: 450, Enhanced: "4.2.0", Text: "greylisted"}}
		}
		return refusing2(m, n)
	}
	w.add(1)
	w.add(2)
	w.run()
	w.mark(1)
	w.mark(2)
	w.clock = w.clock.Add(time.Hour)
	w.run()
	w.labels(true)
	w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Refused: 1})
	w.marked(1, 2)
	if w.restores() != 0 {
		t.Error("the ledger is taken for old")
	}
}

// TestMarksAreRecordedWithTheWholeFolder: until a pass has seen all of the folder, what is known by its mark is evidence that
// the ledger is old, and what is delivered is labelled.
func TestMarksAreRecordedWithTheWholeFolder(t *testing.T) {
	w := marking(t)
	w.add(1)
	w.mark(1)
	w.add(2)
	w.gone = 2
	w.add(3)
	w.run()
	w.labels(true)
	w.clock = w.clock.Add(time.Second)
	w.add(4)
	w.run()
	w.labels(true)
	if w.restores() != 1 {
		t.Errorf("%d events tell of an old ledger, want 1", w.restores())
	}
	w.gone = 0
	w.clock = w.clock.Add(24 * time.Hour)
	w.run()
	w.labels(true) // the one that could not be had
	w.add(5)
	w.run()
	w.labels(false)
}

// TestMarkUnderUIDsThatDoNotLast: where a UID may come to name another message, a mark is believed as long as it is listed,
// and never recorded under the UID.
func TestMarkUnderUIDsThatDoNotLast(t *testing.T) {
	w := keeping(t, true)
	w.marks, w.pass.MarkDelivered = true, true
	w.add(1)
	w.uidl("same")
	w.mark(1)
	for range 2 {
		w.run()
		w.delivered()
		if w.restores() != 0 {
			t.Error("the ledger is taken for old")
		}
	}
	w.store.Remove("", 1)
	w.add(2)
	w.uidl("same")
	w.run()
	w.delivered(2)
}

// TestDryRunMarksNothing: a dry run believes marks and sets and records none.
func TestDryRunMarksNothing(t *testing.T) {
	w := marking(t)
	w.pass.DryRun = true
	w.add(1)
	w.mark(1)
	w.add(2)
	w.run()
	w.marked(1)
	w.states(map[ledger.State]int{})
	if w.mta.tries != 1 {
		t.Errorf("the MTA was asked about %d messages, want 1", w.mta.tries)
	}
}
