package transfer_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// labels wants the messages that the MTA took since the last call to be labelled as possible redeliveries, or not.
func (w *world) labels(want ...bool) {
	w.t.Helper()
	if len(w.mta.taken) != len(want) {
		w.t.Errorf("the MTA took %d messages, want %d", len(w.mta.taken), len(want))
	}
	for i, m := range w.mta.taken[:min(len(want), len(w.mta.taken))] {
		if got := strings.Contains(m.header, "Truehop-Redelivery: possible"); got != want[i] {
			w.t.Errorf("%s: labelled %v, want %v", m.subject(), got, want[i])
		}
	}
	w.mta.taken = nil
}

// restores counts the events that say that the ledger is a copy.
func (w *world) restores() (n int) {
	for _, e := range w.events {
		if e.Kind == transfer.Restored {
			n++
		}
	}
	return n
}

// in opens the ledger in a directory.
func (w *world) in(dir string) {
	w.t.Helper()
	record, err := ledger.Open(w.t.Context(), dir)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = record.Close() })
	w.ledger, w.pass.Ledger = record, record
}

// backup closes the ledger in dir and returns a copy of its file.
func (w *world) backup(dir string) []byte {
	w.t.Helper()
	if err := w.ledger.Close(); err != nil {
		w.t.Fatal(err)
	}
	octets, err := os.ReadFile(filepath.Join(dir, "ledger.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	return octets
}

// TestRestoredLedgerLabelsWhatItDoesNotKnow: a backup knows nothing of what was delivered since. That comes again, and says so,
// until a pass has seen all of the mailbox.
func TestRestoredLedgerLabelsWhatItDoesNotKnow(t *testing.T) {
	for name, reusable := range map[string]bool{"IMAP": false, "POP3": true} {
		t.Run(name, func(t *testing.T) {
			w, dir := keeping(t, reusable), t.TempDir()
			spare := w.ledger
			defer func() { w.ledger = spare }()
			w.in(dir)
			w.run() // the mailbox is empty
			w.add(1)
			w.run()
			w.labels(false)
			old := w.backup(dir)
			w.in(dir)
			w.add(2)
			w.run()
			w.labels(false)
			if err := w.ledger.Close(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "ledger.db")
			if err := errors.Join(os.WriteFile(path+".restored", old, 0o600), os.Rename(path+".restored", path)); err != nil {
				t.Fatal(err)
			}
			w.in(dir)
			w.add(3)
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if m.From == "sender3@example.org" {
					return says(inject.Deferred, "RCPT", 450)(m, 0)
				}
				return says(inject.Delivered, "dot", 250)(m, 0)
			}
			w.cut = 20
			if _, err := w.try(); err == nil {
				t.Fatal("the pass was to fail")
			}
			w.labels()
			w.cut = 0
			w.clock = w.clock.Add(w.pass.Retry.Max)
			w.run()
			w.labels(true) // the second; the first is known
			if w.restores() != 1 {
				t.Errorf("%d events say that the ledger is a copy, want one", w.restores())
			}
			w.mta.verdict = nil
			w.clock = w.clock.Add(w.pass.Retry.Max)
			w.add(4)
			w.run()
			w.labels(false, true) // the fourth came after all was seen; the third may have been delivered before
			if w.restores() != 0 {
				t.Error("it is told again")
			}
		})
	}
}

// TestFirstPassOverAKeptMailboxLabels: a ledger that was lost looks like one that is new. In a mailbox that keeps its
// mail, with fewer messages than make truehop ask, each may have been delivered before.
func TestFirstPassOverAKeptMailboxLabels(t *testing.T) {
	for _, c := range []struct {
		name string
		rule fetch.Action
		want bool
	}{{"kept", fetch.Keep, true}, {"flagged", fetch.Flag, true}, {"deleted", fetch.Delete, false}} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, false)
			w.pass.OnDelivered = fetch.Disposal{Action: c.rule}
			w.add(1)
			w.add(2)
			interrupted := true
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if interrupted && m.From == "sender2@example.org" {
					return inject.Receipt{Outcome: inject.Deferred, Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}}
				}
				return says(inject.Delivered, "dot", 250)(m, 0)
			}
			if _, err := w.try(); err == nil {
				t.Fatal("the pass was to fail")
			}
			w.labels(c.want)
			interrupted = false
			w.run()
			w.labels(c.want)
			w.add(3)
			w.run()
			w.labels(false)
			if w.restores() != 0 {
				t.Error("a new ledger is called a copy")
			}
		})
	}
}

// TestRestoredLedgerLabelsWhatWaitsByIt: a message that waits by the older copy may have been delivered since, also where a
// pass has seen all the others by the time it is due.
func TestRestoredLedgerLabelsWhatWaitsByIt(t *testing.T) {
	w, dir := keeping(t, false), t.TempDir()
	spare := w.ledger
	defer func() { w.ledger = spare }()
	w.in(dir)
	w.run() // the mailbox is empty
	w.add(1)
	w.mta.verdict = says(inject.Deferred, "RCPT", 450)
	w.run()
	w.mta.verdict = nil
	old := w.backup(dir)
	w.in(dir)
	w.clock = w.clock.Add(w.pass.Retry.Min)
	w.run()
	w.labels(false)
	if err := w.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "ledger.db")
	if err := errors.Join(os.WriteFile(path+".restored", old, 0o600), os.Rename(path+".restored", path)); err != nil {
		t.Fatal(err)
	}
	w.in(dir)
	w.clock = w.clock.Add(-time.Minute)
	if s := w.run(); s.Waiting != 1 {
		t.Fatalf("summary %+v, want the message to wait", s)
	}
	w.clock = w.clock.Add(time.Hour)
	w.run()
	w.labels(true)
}
