package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

func TestManyRecipientsAllGetIt(t *testing.T) {
	w := newWorld(t)
	w.pass.Recipients = []string{`"quoted name"@example.net`}
	for n := range 40 {
		w.pass.Recipients = append(w.pass.Recipients, fmt.Sprintf("recipient-number-%02d@example.net", n))
	}
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 1 {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		return accept()
	}
	w.add(1)
	w.run()
	w.clock = w.clock.Add(time.Hour)
	w.run()
	w.delivered(1)
	if got := w.mta.taken[0].to; !slices.Equal(got, w.pass.Recipients) {
		t.Errorf("of %d recipients %d got the message", len(w.pass.Recipients), len(got))
	}
	w.left(0)
}

func TestAdoptingOneFolderDeliversTheOther(t *testing.T) {
	w := keeping(t, false)
	w.pass.Flood = transfer.Flood{Limit: 2, First: transfer.FirstRun{Action: transfer.AdoptAll}}
	w.run()
	w.passed()
	w.add(1)
	w.run()
	w.pass.Folders = []string{"New", ""}
	w.store.Create("New")
	for n := range 5 {
		w.store.Add("New", mail(n+10))
	}
	w.add(2)
	if s := w.run(); s.Adopted != 5 {
		t.Errorf("summary %+v, want the five of the new folder adopted", s)
	}
	w.delivered(1, 2)
}

// passed records that a pass went well, which who calls Run does.
func (w *world) passed() {
	w.t.Helper()
	p := ledger.Pass{Began: w.clock, Ended: w.clock, OK: true}
	if err := errors.Join(w.ledger.PassBegan(w.t.Context(), w.pass.Account, p), w.ledger.PassEnded(w.t.Context(), w.pass.Account, p)); err != nil {
		w.t.Fatal(err)
	}
}

func TestFirstPassAdoptsAlsoAFew(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"keep": {}, "delete": {Action: fetch.Delete}} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, false)
			w.pass.OnDelivered = disposal
			w.pass.Flood = transfer.Flood{Limit: 100, First: transfer.FirstRun{Action: transfer.AdoptAll}}
			w.add(1)
			if s := w.run(); s.Adopted != 1 {
				t.Errorf("summary %+v, want one adopted", s)
			}
			w.passed()
			w.add(2)
			w.run()
			w.delivered(2)
		})
	}
}

func TestFirstMailOfAnEmptyMailboxIsNew(t *testing.T) {
	w := keeping(t, false)
	w.pass.Flood = transfer.Flood{Limit: 100, First: transfer.FirstRun{Action: transfer.AdoptAll}}
	w.run()
	w.passed()
	w.add(1)
	w.run()
	w.delivered(1)
}

// Who has two folders wrong is told of both in one pass, and of five where it is many.
func TestEachFolderThatIsPassedOverIsTold(t *testing.T) {
	for many, want := range map[int]int{2: 2, 9: 5} {
		w := keeping(t, false)
		w.pass.Folders = []string{""}
		for n := range many {
			w.pass.Folders = append(w.pass.Folders, fmt.Sprintf("Missing%d", n))
		}
		w.add(1)
		_, err := w.try()
		if fetch.KindOf(err) != fetch.NoFolder || strings.Count(err.Error(), "Missing") != want {
			t.Errorf("of %d folders that are missing the pass says %v", many, err)
		}
		w.delivered(1)
	}
}

// A folder that a person must look into keeps no mail in the others waiting.
func TestOneFolderThatStopsDelaysNoOther(t *testing.T) {
	w := keeping(t, false)
	w.pass.Flood.Limit = 2
	w.pass.Folders = []string{"Missing", "Old", ""}
	w.store.Create("Old")
	for n := range 5 {
		w.store.Add("Old", mail(n+10))
	}
	w.add(1)
	_, err := w.try()
	if fetch.KindOf(err) != fetch.NoFolder {
		t.Errorf("the pass ended with %v, want the missing folder told", err)
	}
	w.pass.Folders = []string{"Old", ""}
	w.add(2)
	var stopped *transfer.Error
	if _, err = w.try(); !errors.As(err, &stopped) {
		t.Errorf("the pass ended with %v, want the folder told that stopped", err)
	}
	w.delivered(1, 2)
}

func TestQuarantineInDoubtIsLabelled(t *testing.T) {
	w, plain := refusing(t)
	plain.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 1 {
			return inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}
		}
		return accept()
	}
	w.add(1)
	w.run()
	w.clock = w.clock.Add(time.Hour)
	w.run()
	if len(plain.taken) != 2 || !strings.Contains(plain.taken[1].header, "Truehop-Redelivery: possible") {
		t.Errorf("a second copy in the quarantine does not say that it may be one: %+v", plain.taken)
	}
}

// one is a Sender like a pool with one session, whose queue holds one message.
type one struct {
	*mta
	queue chan func()
}

func newOne(m *mta) *one {
	o := &one{mta: m, queue: make(chan func(), 1)}
	go func() {
		for f := range o.queue {
			f()
		}
	}()
	return o
}

func (o *one) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	select {
	case o.queue <- func() {
		if err := o.mta.Submit(ctx, m, done); err != nil {
			done(inject.Receipt{Err: &inject.Error{Kind: inject.Local, Err: err}})
		}
	}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestStaleMailIntoQuarantineDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, plain := refusing(t)
		plain.verdict = func(m *inject.Message, _ int) inject.Receipt {
			if m.To[0] == "spam@example.net" {
				return accept()
			}
			return reply(inject.Refused, "RCPT", 554, "5.7.1", "no")
		}
		listener := newOne(plain)
		defer close(listener.queue)
		w.pass.Plain = listener
		w.pass.Client.StaleAfter, w.pass.Client.Stale = 24*time.Hour, transfer.SendPlain
		w.clock = w.clock.AddDate(0, 1, 0)
		for n := range 6 {
			w.add(n + 1)
		}
		if s := w.run(); s.Quarantined != 6 {
			t.Errorf("summary %+v, want six quarantined", s)
		}
		w.left(0)
	})
}

func TestClockSetBackDoesNotHoldMailForYears(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
		if attempt == 1 {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		return accept()
	}
	w.add(1)
	right := w.clock
	w.clock = right.AddDate(10, 0, 0)
	w.run()
	w.clock = right.Add(time.Hour)
	w.run()
	w.delivered(1)
}

func TestClockSetForwardGivesNothingUp(t *testing.T) {
	for _, wrong := range []int{-56, 10} {
		w := newWorld(t)
		w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
		w.mta.verdict = func(*inject.Message, int) inject.Receipt {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		w.add(1)
		right := w.clock
		w.clock = right.AddDate(wrong, 0, 0)
		w.run()
		w.clock = right
		for range 4 {
			w.clock = w.clock.Add(time.Hour)
			w.run()
		}
		w.states(map[ledger.State]int{ledger.Deferred: 1})
		w.left(1)
		// It ends all the same, by a clock that runs as it should.
		for range 7 * 24 {
			w.clock = w.clock.Add(time.Hour)
			w.run()
		}
		w.states(map[ledger.State]int{ledger.Held: 1})
		w.left(1)
	}
}

func TestDoubtHasAnEnd(t *testing.T) {
	w := newWorld(t)
	w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
	w.mta.verdict = func(*inject.Message, int) inject.Receipt {
		return inject.Receipt{Outcome: inject.InDoubt, Stage: "dot", Err: &inject.Error{Kind: inject.Unreachable, Op: "dot"}}
	}
	w.add(1)
	for range 10 * 24 {
		w.run()
		w.clock = w.clock.Add(time.Hour)
	}
	w.states(map[ledger.State]int{ledger.Held: 1})
	w.left(1)
	if w.mta.tries > 130 {
		t.Errorf("%d copies may have been delivered", w.mta.tries)
	}
}

func TestOneDoubtAfterLongDeferralIsNoEnd(t *testing.T) {
	w := newWorld(t)
	said := reply(inject.Deferred, "RCPT", 451, "4.3.0", "later")
	w.mta.verdict = func(*inject.Message, int) inject.Receipt { return said } // as it is then
	w.add(1)
	for range 5*24 + 1 {
		w.run()
		w.clock = w.clock.Add(time.Hour)
	}
	said = inject.Receipt{Outcome: inject.InDoubt, Stage: "dot"}
	w.run()
	w.states(map[ledger.State]int{ledger.Doubt: 1})
	said = reply(inject.Deferred, "RCPT", 451, "4.3.0", "later")
	w.clock = w.clock.Add(2 * time.Hour)
	w.run()
	w.states(map[ledger.State]int{ledger.Held: 1})
}

// always is an MTA that says this to everything.
func always(r inject.Receipt) func(*inject.Message, int) inject.Receipt {
	return func(*inject.Message, int) inject.Receipt { return r }
}

func TestOutOfStorageForOneMessageBlocksNoOther(t *testing.T) {
	w := newWorld(t)
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if m.From == "sender1@example.org" {
			return reply(inject.Deferred, "MAIL", 452, "4.3.1", "Insufficient system storage")
		}
		return accept()
	}
	for n := range 20 {
		w.add(n + 1)
	}
	w.pass.Batch = 1
	w.run()
	w.left(1)
	w.states(map[ledger.State]int{ledger.Deferred: 1, ledger.Delivered: 19})
}

func TestSizesThatLieDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.listing = func(refs []fetch.Ref) []fetch.Ref {
			for i := range refs {
				refs[i].Size = 1
			}
			return refs
		}
		for n := range 16 {
			w.store.Add("", append(mail(n+1), strings.Repeat("x", 1<<20-1000)...))
		}
		gate := make(chan struct{})
		w.mta.verdict = func(*inject.Message, int) inject.Receipt { <-gate; return accept() }
		go func() {
			synctest.Wait()
			if w.retrieved > 10 {
				t.Errorf("%d messages of 1 MiB are here, with a budget of 8 MiB", w.retrieved)
			}
			close(gate)
		}()
		w.run()
		w.left(0)
	})
}

func TestFailedRetrievalIsForgottenOnceItWorked(t *testing.T) {
	for name, disposal := range map[string]fetch.Disposal{"keep": {}, "delete": {Action: fetch.Delete}} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, true)
			w.pass.OnDelivered = disposal
			w.add(1)
			w.uidl("one")
			w.run()
			w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
			w.run()
			w.listing = nil
			if name == "delete" {
				w.add(1)
				w.uidl("one")
			}
			w.broken = &fetch.Error{Kind: fetch.Refused, Op: "RETR"}
			w.run()
			w.broken, w.clock = nil, w.clock.Add(time.Hour)
			w.run()
			w.delivered(1)
			w.states(map[ledger.State]int{ledger.Delivered: 1})
		})
	}
}

func TestAdoptDeliversNothing(t *testing.T) {
	for name, uid := range map[string]string{"no UID": "", "one UID for all": "same"} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, true)
			w.listing = func(refs []fetch.Ref) []fetch.Ref {
				for i := range refs {
					refs[i].UID = uid
				}
				return refs
			}
			w.add(1)
			w.add(2)
			w.pass.Flood.Adopt = true
			if s := w.run(); s.Adopted != 2 {
				t.Errorf("summary %+v, want two adopted", s)
			}
			w.pass.Flood.Adopt = false
			w.run()
			w.delivered()
			w.add(3)
			w.run()
			w.delivered(3)
		})
	}
}

func TestDryRunLeavesTheLedgerAlone(t *testing.T) {
	w := keeping(t, true)
	w.add(1)
	w.run()
	w.listing = func([]fetch.Ref) []fetch.Ref { return nil }
	w.run()
	w.listing = nil
	w.pass.DryRun = true
	w.run()
	rs, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(rs) != 1 || !rs[0].Absent {
		t.Errorf("after a dry run the ledger says %+v, %v, want what it said before", rs, err)
	}
}

// TestVerdictThatIsNotDurableSettlesNothing loses the ledger between the MTA's 250 and its record.
func TestVerdictThatIsNotDurableSettlesNothing(t *testing.T) {
	w := newWorld(t)
	w.pass.MTA = lossy{w.mta, func() {
		if err := w.ledger.Close(); err != nil {
			t.Error(err)
		}
	}}
	w.add(1)
	s, err := w.try()
	if ledger.KindOf(err) != ledger.Closed || s.Delivered != 0 || s.Settled != 0 {
		t.Errorf("the pass ended with %v and %+v, want the ledger's trouble and nothing told as delivered", err, s)
	}
	w.delivered(1)
	w.left(1)
}

// lossy is an MTA that has taken a message when something happens on this side.
type lossy struct {
	*mta
	happens func()
}

func (l lossy) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	return l.mta.Submit(ctx, m, func(r inject.Receipt) { l.happens(); done(r) })
}

// TestUnreadableLedgerHoldsNothing damages a record that is read only to prepare a message, one of another
// folder: the pass ends, and what could not be prepared is no mail loop, and not to be delivered either.
func TestUnreadableLedgerHoldsNothing(t *testing.T) {
	const id, uid, damaged = "aaaaaaaaaaaaaaaaaaaaaaaaaa", "the-uid-before", "the-uid-behind"
	w, dir := newWorld(t), t.TempDir()
	open := func() {
		record, err := ledger.Open(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		w.ledger, w.pass.Ledger = record, record
	}
	replace := func(old, now string) {
		if err := w.ledger.Close(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "ledger.db")
		octets, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(octets, []byte(old), []byte(now)), 0o600); err != nil {
			t.Fatal(err)
		}
		open()
	}
	spare := w.ledger
	open()
	defer func() { _ = w.ledger.Close(); w.ledger = spare }()
	of := ledger.Record{Key: ledger.Key{Account: "work", Folder: "Elsewhere", UID: uid}, State: ledger.Delivered, Token: id}
	if err := w.ledger.Put(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	replace(uid, damaged)
	w.add(1, "Truehop-ID: "+id)
	s, err := w.try()
	if ledger.KindOf(err) != ledger.Corrupt {
		t.Fatalf("the pass ended with %v, want the ledger's trouble", err)
	}
	if s.Held != 0 || s.ToRetry() != 0 {
		t.Errorf("summary %+v, want nothing said of the message", s)
	}
	w.delivered()
	w.left(1)
	w.states(map[ledger.State]int{ledger.Delivered: 1})
	if !w.pass.Budget.TryAcquire(w.pass.BudgetSize) {
		t.Fatal("the message still weighs on the budget")
	}
	w.pass.Budget.Release(w.pass.BudgetSize)
	replace(damaged, uid)
	w.run()
	w.delivered()
	w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Held: 1})
}
