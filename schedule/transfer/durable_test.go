package transfer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// loseLedger closes the ledger, so that nothing can be recorded any more.
func (w *world) loseLedger() {
	if err := w.ledger.Close(); err != nil {
		w.t.Error(err)
	}
}

// lostBefore is an MTA that gets to a message's dot when the ledger has been lost.
type lostBefore struct {
	*mta
	lose func()
}

func (l lostBefore) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	l.lose()
	return l.mta.Submit(ctx, m, done)
}

// TestNoDotBeforeItIsRecorded loses the ledger before the dot: what cannot be recorded as "sending" is not sent,
// since nobody could know afterwards that it might have been.
func TestNoDotBeforeItIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.pass.MTA = lostBefore{w.mta, w.loseLedger}
	w.add(1)
	w.add(2)
	s, err := w.try()
	if ledger.KindOf(err) != ledger.Closed {
		t.Errorf("the pass ended with %v, want the ledger's error", err)
	}
	if s.Delivered != 0 || s.Settled != 0 {
		t.Errorf("summary %+v, want nothing delivered", s)
	}
	w.delivered()
	w.left(2)
}

// lostAfter is an MTA whose reply to the dot comes when the ledger has been lost.
type lostAfter struct {
	*mta
	lose func()
}

func (l lostAfter) Submit(ctx context.Context, m *inject.Message, done func(inject.Receipt)) error {
	return l.mta.Submit(ctx, m, func(r inject.Receipt) {
		l.lose()
		done(r)
	})
}

// TestNothingGoesUpstreamBeforeItsVerdictIsRecorded loses the ledger between the dot and the reply: the MTA has the message, and
// nobody will know it. It stays upstream, to come again labelled.
func TestNothingGoesUpstreamBeforeItsVerdictIsRecorded(t *testing.T) {
	for name, pop := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = pop
			w.pass.MTA = lostAfter{w.mta, w.loseLedger}
			w.add(1)
			w.add(2)
			s, err := w.try()
			if ledger.KindOf(err) != ledger.Closed {
				t.Errorf("the pass ended with %v, want the ledger's error", err)
			}
			if s.Delivered != 0 || s.Settled != 0 {
				t.Errorf("summary %+v, want nothing told as delivered or settled", s)
			}
			w.delivered(1)
			w.left(2)
		})
	}
}

// after is a session in which something happens as soon as messages were disposed of, or as it was closed.
type after struct {
	fetch.Mailbox
	settled, closed func()
}

func (a after) Settle(ctx context.Context, d fetch.Disposal, refs []fetch.Ref) ([]fetch.Failure, error) {
	failures, err := a.Mailbox.Settle(ctx, d, refs)
	a.settled()
	return failures, err
}

func (a after) Close(ctx context.Context) error {
	err := a.Mailbox.Close(ctx)
	a.closed()
	return err
}

// TestDisposalThatCannotBeRecordedFailsThePass loses the ledger between a disposal that took effect, with IMAP at the
// command and with POP3 at QUIT, and its record.
func TestDisposalThatCannotBeRecordedFailsThePass(t *testing.T) {
	for name, pop := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = pop
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				m, err := w.dial(ctx)
				if pop {
					return after{m, func() {}, w.loseLedger}, err
				}
				return after{m, w.loseLedger, func() {}}, err
			}
			w.add(1)
			s, err := w.try()
			if ledger.KindOf(err) != ledger.Closed {
				t.Errorf("the pass ended with %v, want the ledger's error", err)
			}
			if s.Delivered != 1 || s.Settled != 0 {
				t.Errorf("summary %+v, want one delivered and none reported as settled", s)
			}
			w.delivered(1)
			w.left(0)
		})
	}
}

// TestFailedCloseFailsThePass: a session that did not end as it should may not have deleted anything.
func TestFailedCloseFailsThePass(t *testing.T) {
	for name, pop := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reusable = pop
			w.farewell = &fetch.Error{Kind: fetch.Unreachable, Op: "end the session", Err: errors.New("connection closed")}
			w.add(1)
			s, err := w.try()
			if !errors.Is(err, w.farewell) {
				t.Errorf("the pass ended with %v, want %v", err, w.farewell)
			}
			if pop && s.Settled != 0 {
				t.Errorf("summary %+v, want nothing settled", s)
			}
			w.delivered(1)
			w.farewell = nil
			w.run()
			w.delivered(1)
			w.left(0)
		})
	}
}
