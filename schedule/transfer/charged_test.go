package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestEndlessMessageChargesNoOther: a message that is cut off at the limit ends the session, and the next one is not suspected of it:
// all others come in one more session.
func TestEndlessMessageChargesNoOther(t *testing.T) {
	w := keeping(t, true)
	w.beyond, w.endless = []uint32{2}, true
	for n := range 6 {
		w.add(n + 1)
	}
	w.run()
	w.delivered(1, 3, 4, 5, 6)
	if w.sessions != 2 {
		t.Errorf("%d sessions, want two", w.sessions)
	}
}

// TestSessionsThatRunOutAreTold: where messages are left that were not asked for, the pass has not gone well, though others came.
func TestSessionsThatRunOutAreTold(t *testing.T) {
	w := newWorld(t)
	w.pass.Batch = 1
	f := &faults{}
	w.add(1)
	for n := 2; n < 60; n++ {
		w.add(n)
		f.closes = append(f.closes, n)
	}
	w.add(60)
	w.poison(f)
	if s, err := w.try(); fetch.KindOf(err) != fetch.Unreachable || s.Delivered != 1 {
		t.Errorf("the pass ended with %v, summary %+v", err, s)
	}
}

// ending is a session that is lost when all messages have come.
type ending struct{ fetch.Mailbox }

func (e ending) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	if err := e.Mailbox.Retrieve(ctx, refs, sink); err != nil {
		return err
	}
	return &fetch.Error{Kind: fetch.Unreachable, Op: "UID FETCH", Err: io.ErrUnexpectedEOF}
}

// TestWhatTheNextSessionDoesNotShowWaits: a server that changes what it says of messages between sessions leaves none that is
// surely the one that was listed first. They are left to the next pass, and counted.
func TestWhatTheNextSessionDoesNotShowWaits(t *testing.T) {
	w := keeping(t, true)
	for n := range 5 {
		w.add(n + 1)
	}
	w.poison(&faults{closes: []int{2}})
	w.listing = func(refs []fetch.Ref) []fetch.Ref {
		for i := range refs {
			refs[i].Size += 10 * int64(min(w.sessions, 2)) // as Mailutils, which writes Status fields at the end of a session
		}
		return refs
	}
	s := w.run()
	w.delivered(1)
	if s.Failed != 1 || s.Waiting != 3 || s.ToRetry() != 4 {
		t.Errorf("summary %+v, want one message that failed and three that wait", s)
	}
	w.poison(&faults{})
	w.run()
	w.delivered(1, 3, 4, 5, 2)
}

// TestSessionLostBehindTheLastMessage: everything came and the server's OK did not. That is no message's fault, and is told.
func TestSessionLostBehindTheLastMessage(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.add(2)
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		box, err := w.dial(ctx)
		return ending{box}, err
	}
	if s, err := w.try(); fetch.KindOf(err) != fetch.Unreachable || s.Delivered != 2 || s.Failed != 0 {
		t.Errorf("the pass ended with %v, summary %+v", err, s)
	}
	w.states(map[ledger.State]int{ledger.Delivered: 2})
}

// TestSuspectsOfADryRunLeaveNoTrace: what ends sessions in a dry run is not recorded, and what an earlier pass recorded of
// a message stays, though it comes whole now.
func TestSuspectsOfADryRunLeaveNoTrace(t *testing.T) {
	for name, f := range map[string]*faults{"ends each session": {closes: []int{1}}, "comes alone": {limit: 1}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			validity, _ := w.store.Validity("")
			for n := range 3 {
				w.add(n + 1)
				before := ledger.Record{Key: ledger.Key{Account: "work", UID: fmt.Sprint(n + 1), Validity: validity}, State: ledger.Deferred, Why: "before"}
				if err := w.ledger.Put(t.Context(), before); err != nil {
					t.Fatal(err)
				}
			}
			w.poison(f)
			w.pass.DryRun = true
			for range 3 {
				if _, err := w.try(); err != nil {
					t.Logf("the dry run ended with %v", err)
				}
			}
			records, err := w.ledger.List(t.Context(), ledger.Filter{})
			if err != nil || len(records) != 3 {
				t.Errorf("%d records, %v", len(records), err)
			}
			for _, r := range records {
				if r.State != ledger.Deferred || r.Breaks != 0 || r.Charges != 0 || r.Why != "before" {
					t.Errorf("a record became %+v", r)
				}
			}
		})
	}
}

// TestUnsureMessagesAreLookedAtAgain: where the order of the answers tells messages apart and the session ends among them, the
// next pass looks at those that came; a dry run changes nothing.
func TestUnsureMessagesAreLookedAtAgain(t *testing.T) {
	for _, dryRun := range []bool{false, true} {
		w := keeping(t, true)
		w.together = true
		for n := range 3 {
			w.add(n + 1)
		}
		w.mta.verdict = func(*inject.Message, int) inject.Receipt {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted")
		}
		w.run()
		w.clock = w.clock.Add(time.Hour)
		w.poison(&faults{closes: []int{3}})
		w.pass.DryRun = dryRun
		_, _ = w.try() // what is recorded is the question
		records, err := w.ledger.List(t.Context(), ledger.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if unsure := !dryRun && (r.UID == "0000000100000001" || r.UID == "0000000100000002"); r.Absent != unsure && r.Hash != (ledger.Key{}).Hash {
				t.Errorf("dry run %v: the record of %s has it as gone: %v", dryRun, r.UID, r.Absent)
			}
		}
	}
}

// TestSuspectWithoutUIDHasNoRecord: without a UID there is no name under which a message that was never read could be recorded.
func TestSuspectWithoutUIDHasNoRecord(t *testing.T) {
	for name, f := range map[string]*faults{"ends each session": {closes: []int{1}}, "comes alone": {limit: 1}} {
		t.Run(name, func(t *testing.T) {
			w := keeping(t, true)
			w.listing = func(refs []fetch.Ref) []fetch.Ref {
				for i := range refs {
					refs[i].UID = ""
				}
				return refs
			}
			w.add(1)
			w.add(2)
			w.poison(f)
			for range 3 {
				_, _ = w.try() // what is recorded is the question
			}
			records, err := w.ledger.List(t.Context(), ledger.Filter{})
			if err != nil || len(records) == 0 {
				t.Fatalf("%d records, %v", len(records), err)
			}
			for _, r := range records {
				if r.State != ledger.Delivered {
					t.Errorf("recorded: %+v", r)
				}
			}
		})
	}
}

// TestEndOfThePassOpensNoOtherSession: told to end, a pass leaves deletions that take effect at QUIT to the next one.
func TestEndOfThePassOpensNoOtherSession(t *testing.T) {
	w := once(t)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	events := w.pass.Observe
	w.pass.Observe = func(e transfer.Event) {
		if events(e); e.Kind == transfer.Verdict {
			end()
		}
	}
	if _, err := w.pass.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the pass ended with %v", err)
	}
	if w.sessions != 1 {
		t.Errorf("%d sessions, want one", w.sessions)
	}
	w.left(3)
}

// parting counts the sessions that are left as they should be.
type parting struct {
	fetch.Mailbox
	left *int
}

func (p parting) Leave(ctx context.Context) error {
	*p.left++
	return p.Mailbox.Leave(ctx)
}

// TestSessionIsLeftBeforeAnother: a pass that the MTA stops waits until the server has noticed the end of its session, before it
// deletes in another what was delivered: a server may lock the mailbox for each.
func TestSessionIsLeftBeforeAnother(t *testing.T) {
	w := once(t)
	left := 0
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		box, err := w.dial(ctx)
		if w.sessions == 2 && left != 1 {
			t.Errorf("the second session begins, and the first was left %d times", left)
		}
		return parting{box, &left}, err
	}
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		if m.From == "sender1@example.org" {
			return accept()
		}
		return inject.Receipt{Stage: "connect", BeforeClient: true, Err: &inject.Error{Kind: inject.Unreachable, Op: "connect"}}
	}
	if _, err := w.try(); inject.KindOf(err) != inject.Unreachable {
		t.Errorf("the pass ended with %v", err)
	}
	if got := fmt.Sprint(w.sessions, left, w.store.UIDs("")); got != "2 1 [2 3]" {
		t.Errorf("sessions, left, and what is there: %s", got)
	}
}
