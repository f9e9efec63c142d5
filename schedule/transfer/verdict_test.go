package transfer_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// refusals are the policies for refused mail that take it away.
func refusals() map[string]func(*world) *mta {
	return map[string]func(*world) *mta{
		"delete": func(w *world) *mta {
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			return &mta{}
		},
		"move": func(w *world) *mta {
			w.store.Create("Refused")
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Move, Target: "Refused"}
			return &mta{}
		},
		"quarantine": func(w *world) *mta {
			plain := &mta{}
			w.pass.Plain, w.pass.Quarantine = plain, "spam@example.net"
			return plain
		},
	}
}

// days lets some days pass, with a pass on each.
func (w *world) days(n int) {
	w.t.Helper()
	for range n {
		w.clock = w.clock.Add(24 * time.Hour)
		w.run()
	}
}

// stays wants so many messages to be held upstream whatever passes, and never to be shown to anybody again.
func (w *world) stays(n int, plain *mta) {
	w.t.Helper()
	tries := w.mta.tries
	w.days(5)
	w.left(n)
	w.states(map[ledger.State]int{ledger.Held: n})
	if w.mta.tries != tries || plain.tries != 0 {
		w.t.Errorf("%d more attempts, and %d at the quarantine", w.mta.tries-tries, plain.tries)
	}
}

// TestWhatNoMTARefusedIsHeld: a policy for refused mail is for what the MTA said 5xx to, of the message or its
// client. Everything else that does not get through stays for a person.
func TestWhatNoMTARefusedIsHeld(t *testing.T) {
	receipts := []inject.Receipt{
		{Outcome: inject.Withheld, Stage: "MAIL", Err: &inject.Error{Kind: inject.Unsendable, Op: "MAIL", Text: "SMTPUTF8"}},
		reply(inject.Refused, "MAIL", 552, "5.3.4", "Message size exceeds fixed limit"),
		reply(inject.Refused, "MAIL", 552, "", "too big"),
		reply(inject.Refused, "dot", 552, "5.3.4", "Error: message file too big"),
		reply(inject.Refused, "RCPT", 550, "5.1.1", "User unknown"),
		reply(inject.Refused, "RCPT", 550, "", "Unrouteable address"),
		reply(inject.Refused, "RCPT", 551, "", "User not local"),
		reply(inject.Refused, "RCPT", 553, "5.1.2", "no such domain"),
		reply(inject.Refused, "RCPT", 554, "5.7.1", "<alice@example.net>: Relay access denied"),
		reply(inject.Refused, "dot", 550, "5.1.1", "User unknown, says LMTP"),
		reply(inject.Refused, "dot", 554, "5.4.0", "Error: too many hops"),
	}
	for policy, set := range refusals() {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			plain := set(w)
			w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt { return receipts[attempt-1] }
			for n := range receipts {
				w.add(n + 1)
			}
			if s := w.run(); s.Held != len(receipts) || s.WantPerson() != len(receipts) || s.ToRetry() != 0 {
				t.Errorf("summary %+v, want all held", s)
			}
			for _, e := range w.events {
				if e.Kind == transfer.Verdict && (e.State != string(ledger.Held) || e.Why == "") {
					t.Errorf("%s %v: %s because %q", e.Receipt.Stage, e.Receipt.Reply, e.State, e.Why)
				}
			}
			w.stays(len(receipts), plain)
		})
	}
}

func TestGivenUpIsHeld(t *testing.T) {
	for policy, set := range refusals() {
		t.Run(policy, func(t *testing.T) {
			w := newWorld(t)
			plain := set(w)
			w.mta.verdict = always(reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted"))
			w.add(1)
			w.run()
			w.days(6)
			w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "listed"))
			w.stays(1, plain)
		})
	}
}

// TestUnsayableIsHeld puts to a real pool what cannot be said to its MTA.
func TestUnsayableIsHeld(t *testing.T) {
	unicode := strings.Replace(string(mail(1)), "<sender1@", "<j\u00fcrgen@", 1)
	unknown := "Subject: number 1\r\n\r\nbody\r\n"
	for _, c := range []struct {
		name   string
		raw    string
		server injecttest.Options
		inject inject.Options
	}{
		{"PROXY without a client", unknown, injecttest.Options{}, inject.Options{Carrier: inject.PROXYv2}},
		{"sender without SMTPUTF8", unicode, injecttest.Options{Without: []string{"SMTPUTF8"}}, inject.Options{}},
		{"NUL", string(mail(1)) + "\x00", injecttest.Options{}, inject.Options{NUL: inject.RefuseNUL}},
		{"8-bit", string(mail(1)) + "\xff", injecttest.Options{Without: []string{"8BITMIME"}}, inject.Options{EightBit: inject.RefuseEightBit}},
		{"larger than SIZE", string(mail(1)), injecttest.Options{SizeLimit: 100}, inject.Options{}},
		{"larger than a SIZE that is not announced", string(mail(1)), injecttest.Options{SizeLimit: 100, Without: []string{"SIZE"}}, inject.Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			plain := refusals()["delete"](w)
			server := injecttest.New(c.server)
			pool := inject.NewPool(func(ctx context.Context) (net.Conn, error) { return server.Dial(ctx) }, c.inject)
			t.Cleanup(func() {
				if err := errors.Join(pool.Close(context.Background()), server.Close()); err != nil {
					t.Error(err)
				}
			})
			w.pass.MTA, w.pass.Client.Unknown = pool, transfer.PresentUnavailable
			w.store.Add("", []byte(c.raw))
			if s := w.run(); s.Held != 1 {
				t.Errorf("summary %+v, want one held", s)
			}
			w.stays(1, plain)
			if server.Count() != 0 {
				t.Error("it arrived")
			}
		})
	}
}

// TestWrongRecipientIsHeld: messages to a recipient that the MTA does not take mail for are held one by one; three in
// a row end the pass, and the next one goes on behind them.
func TestWrongRecipientIsHeld(t *testing.T) {
	for _, said := range []inject.Reply{
		{Code: 550, Enhanced: "5.1.1", Text: "User unknown in local recipient table"},
		{Code: 554, Enhanced: "5.7.1", Text: "<alice@example.net>: Relay access denied"},
	} {
		w := newWorld(t)
		w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
		w.pass.Batch = 1
		refusal := always(inject.Receipt{Outcome: inject.Refused, Stage: "RCPT", Reply: said})
		w.mta.verdict = refusal
		w.add(1)
		w.add(2)
		if s := w.run(); s.Held != 2 {
			t.Errorf("%v: summary %+v, want two held", said, s)
		}
		for n := range 30 {
			w.add(n + 3)
		}
		s, err := w.try()
		var stop *transfer.Error
		if !errors.As(err, &stop) || stop.Advice == "" {
			t.Errorf("%v: the pass ended with %v, want an error that says what to do", said, err)
		}
		if s.Held < 3 || s.Held > 20 {
			t.Errorf("%v: summary %+v, want it to have ended soon", said, s)
		}
		w.left(32)
		w.states(map[ledger.State]int{ledger.Held: 2 + s.Held})
		w.mta.verdict = nil
		if again := w.run(); again.Delivered != 30-s.Held {
			t.Errorf("%v: once it is mended %+v, want all delivered that are not held", said, again)
		}
		w.days(10)
		w.left(2 + s.Held)
	}
}

// TestPoisonBlocksNothing: what fails alone fails alone, wherever it stands.
func TestPoisonBlocksNothing(t *testing.T) {
	for name, receipt := range map[string]inject.Receipt{
		"recipient":              reply(inject.Refused, "RCPT", 550, "5.1.1", "User unknown"),
		"relay":                  reply(inject.Refused, "RCPT", 554, "5.7.1", "Relay access denied"),
		"full mailbox":           reply(inject.Deferred, "RCPT", 452, "4.2.2", "mailbox is full"),
		"too many recipients":    reply(inject.Deferred, "RCPT", 452, "4.5.3", "too many recipients"),
		"452 without a code":     reply(inject.Deferred, "RCPT", 452, "", "not now"),
		"full mailbox, at dot":   reply(inject.Deferred, "dot", 452, "4.2.2", "mailbox is full"),
		"452 at MAIL":            reply(inject.Deferred, "MAIL", 452, "4.3.0", "not now"),
		"something else of X.31": reply(inject.Deferred, "RCPT", 452, "4.3.10", "not now"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if m.From == "sender1@example.org" || m.From == "sender2@example.org" {
					return receipt
				}
				return accept()
			}
			for n := range 10 {
				w.add(n + 1)
			}
			w.pass.Batch = 1
			if s := w.run(); s.Delivered != 8 || s.Held+s.Deferred != 2 {
				t.Errorf("summary %+v, want eight delivered", s)
			}
			w.left(2)
		})
	}
}

// TestOutOfStorageStopsThePass: 452 with X.3.1 is about the MTA, at whatever stage it says so.
func TestOutOfStorageStopsThePass(t *testing.T) {
	for _, stage := range []string{"XCLIENT", "MAIL", "RCPT", "DATA", "dot"} {
		w := newWorld(t)
		w.mta.verdict = always(reply(inject.Deferred, stage, 452, "4.3.1", "Insufficient system storage"))
		for n := range 30 {
			w.add(n + 1)
		}
		w.pass.Batch = 1
		s, err := w.try()
		var stop *transfer.Error
		if !errors.As(err, &stop) || !strings.Contains(stop.Text, "storage") {
			t.Errorf("%s: the pass ended with %v", stage, err)
		}
		if s.Deferred == 0 || s.Deferred > 20 {
			t.Errorf("%s: summary %+v, want it to have ended soon", stage, s)
		}
		w.states(map[ledger.State]int{ledger.Deferred: s.Deferred})
	}
}
