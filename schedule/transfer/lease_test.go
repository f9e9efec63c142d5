package transfer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// dieAtDot has a pass end between the record of "sending" and the dot, as a process does that loses its machine.
func (w *world) dieAtDot() {
	w.t.Helper()
	pass := w.pass
	pass.MTA = died{w.mta}
	if _, err := pass.Run(w.t.Context()); !errors.Is(err, errDied) {
		w.t.Fatalf("the pass ended with %v", err)
	}
	w.states(map[ledger.State]int{ledger.Sending: 1})
}

// TestSendingOfLostLease: what an earlier holder of the lease left at its dot waits until no connection of his can be open any
// more, is due then, and is delivered with its label. Other messages do not wait for that.
func TestSendingOfLostLease(t *testing.T) {
	for name, change := range map[string]func(*world){
		"listed as it was":              func(*world) {},
		"of POP3":                       func(w *world) { w.reusable = true },
		"under a new UIDVALIDITY":       func(w *world) { w.store.SetValidity("", 77) },
		"under a new UIDVALIDITY, kept": func(w *world) { w.store.SetValidity("", 77); w.pass.OnDelivered.Action = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if name == "of POP3" {
				w.reusable = true
			}
			w.add(1)
			w.dieAtDot()
			change(w)
			w.add(2)
			until := w.clock.Add(13 * time.Minute)
			w.pass.SendingUntil = until
			w.clock = until.Add(-time.Millisecond)
			if s := w.run(); s.Delivered != 1 || s.Waiting != 1 || !s.Next.Equal(until) || s.Lost != 0 {
				t.Errorf("before its time: %+v", s)
			}
			w.delivered(2)
			w.clock = until
			if s := w.run(); s.Delivered != 1 || s.Waiting != 0 {
				t.Errorf("at its time: %+v", s)
			}
			w.delivered(2, 1)
			if len(w.mta.taken) == 2 && !strings.Contains(w.mta.taken[1].header, "Truehop-Redelivery: possible") {
				t.Errorf("it was delivered without its label: %q", w.mta.taken[1].header)
			}
		})
	}
}

// TestLeaseOverAtDot: a message whose dot must not leave is abandoned, the pass ends with the reason, the message is no attempt further
// and is delivered by the next pass without a label.
func TestLeaseOverAtDot(t *testing.T) {
	w := newWorld(t)
	w.add(1)
	w.add(2)
	over := &ledger.Error{Kind: ledger.Busy, Op: "the lease is over"}
	w.pass.MayEnd = func() error { return over }
	w.mta.verdict = func(m *inject.Message, attempt int) inject.Receipt {
		if m.MayEnd == nil {
			t.Fatal("nobody asks whether the dot may leave")
		}
		if err := m.BeforeDot(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := m.MayEnd(); err != nil {
			return inject.Receipt{Stage: "DATA", Err: &inject.Error{Kind: inject.Aborted, Op: "DATA", Err: err}}
		}
		return accept()
	}
	if _, err := w.try(); !errors.Is(err, over) {
		t.Errorf("the pass ended with %v", err)
	}
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.State != ledger.Deferred || r.Attempts != 0 || r.DotSent || r.Doubts != 0 {
			t.Errorf("recorded as %+v", r)
		}
	}
	if len(records) == 0 || w.mta.tries > 2 {
		t.Errorf("%d records after %d tries", len(records), w.mta.tries)
	}
	w.mta.verdict, w.pass.MayEnd = nil, nil
	w.run()
	w.delivered(2, 1) // what was begun comes behind what was not
	for _, m := range w.mta.taken {
		if strings.Contains(m.header, "Truehop-Redelivery") {
			t.Errorf("labelled: %q", m.header)
		}
	}
}
