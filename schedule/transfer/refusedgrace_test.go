package transfer_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// braked is a world that deletes what was refused, by an MTA that refuses everybody at first.
func braked(t *testing.T, pop bool) *world {
	w := newWorld(t)
	w.reusable = pop
	w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
	w.mta.verdict = always(reply(inject.Refused, "RCPT", 554, "5.7.1", "Client host blocked"))
	return w
}

// daily lets some days pass, with a pass on each, which may tell of trouble.
func (w *world) daily(n int) {
	w.t.Helper()
	for range n {
		w.clock = w.clock.Add(24 * time.Hour)
		if _, err := w.try(); err != nil && !strings.Contains(err.Error(), "alike") {
			w.t.Fatal(err)
		}
	}
}

// TestMTAThatRefusesEverybodyEmptiesNoMailbox: the mail of thirty clients is refused, and stays until the MTA has shown
// that it takes mail of three others. Then it is deleted, as on_refused says.
func TestMTAThatRefusesEverybodyEmptiesNoMailbox(t *testing.T) {
	for name, pop := range map[string]bool{"IMAP": false, "POP3": true} {
		t.Run(name, func(t *testing.T) {
			w := braked(t, pop)
			for n := range 30 {
				w.add(n + 1)
			}
			if s, err := w.try(); err == nil || s.Refused != 30 {
				t.Fatalf("summary %+v, error %v, want all refused and that told", s, err)
			}
			w.daily(4)
			w.left(30)
			w.mta.verdict = nil
			for n := range 2 {
				w.add(n + 31)
			}
			w.add(32, "X-Copy: of the same client's")
			w.daily(2)
			w.left(30)
			w.add(33)
			w.daily(2)
			w.left(0)
			w.states(map[ledger.State]int{ledger.Delivered: 4, ledger.Refused: 30})
		})
	}
}

// TestProofIsOfKnownClientsOnly: mail that the MTA takes without having been shown its client proves nothing, nor does
// what another listener takes, or a dry run, or an MTA that refuses most.
func TestProofIsOfKnownClientsOnly(t *testing.T) {
	unknown := func(w *world, n int) {
		w.store.Add("", []byte("Subject: number "+string(rune('a'+n))+"\r\n\r\nbody\r\n"))
	}
	for _, c := range []struct {
		name string
		then func(*world)
		left int
	}{
		{"unknown clients with a stand-in", func(w *world) {
			for n := range 5 {
				unknown(w, n)
			}
		}, 1},
		{"unknown clients", func(w *world) {
			w.pass.Client.Unknown = transfer.PresentUnavailable
			for n := range 5 {
				unknown(w, n)
			}
		}, 1},
		{"clients that must not be presented", func(w *world) {
			w.pass.Client.Unknown = transfer.PresentUnavailable
			w.pass.Client.Never = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			for n := range 5 {
				w.add(n + 10)
			}
		}, 1},
		{"stale mail, through the other listener", func(w *world) {
			w.pass.Plain, w.pass.Client.Stale, w.pass.Client.StaleAfter = &mta{}, transfer.SendPlain, time.Hour
			for n := range 5 {
				w.add(n + 10)
			}
		}, 1},
		{"a dry run", func(w *world) {
			for n := range 5 {
				w.add(n + 10)
			}
			w.pass.DryRun = true
			w.run()
			w.pass.DryRun = false
			w.store.Remove("", w.store.UIDs("")[1:]...)
		}, 1},
		{"an MTA of another name", func(w *world) {
			for n := range 5 {
				w.add(n + 10)
			}
			w.pass.Target = "other"
			w.run()
			w.pass.Target = "mta"
		}, 1},
		{"more refused than taken", func(w *world) {
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if m.Client.Addr.As4()[3] > 13 {
					return reply(inject.Refused, "RCPT", 554, "5.7.1", "Client host blocked")
				}
				return accept()
			}
			for n := range 8 {
				w.add(n + 10)
			}
			w.run()
			w.left(5)
			w.add(18) // as many more are refused as have been taken
			w.run()
		}, 6},
		{"three known clients", func(w *world) {
			for n := range 3 {
				w.add(n + 10)
			}
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := braked(t, false)
			w.add(1)
			w.run()
			w.mta.verdict = nil
			c.then(w)
			w.daily(5)
			w.left(c.left)
		})
	}
}

// TestGraceIsTheConfigurations: with proof, refused mail goes when its grace is over, and no sooner.
func TestGraceIsTheConfigurations(t *testing.T) {
	w := braked(t, false)
	w.pass.RefusedGrace = 36 * time.Hour
	w.add(1)
	w.run()
	w.mta.verdict = nil
	for n := range 3 {
		w.add(n + 2)
	}
	w.daily(1)
	w.left(1)
	w.daily(1)
	w.left(0)
}

// TestCopyAfter4xxToTheDotIsLabelled: an MTA may answer 451 when it has stored the message already.
func TestCopyAfter4xxToTheDotIsLabelled(t *testing.T) {
	for _, c := range []struct {
		stage    string
		labelled bool
	}{{"dot", true}, {"DATA", false}, {"RCPT", false}} {
		w := newWorld(t)
		later := reply(inject.Deferred, c.stage, 451, "4.3.0", "queue file write error")
		w.mta.verdict = func(_ *inject.Message, attempt int) inject.Receipt {
			return []inject.Receipt{later, reply(inject.Deferred, "RCPT", 450, "4.7.1", "Greylisted"), accept()}[attempt-1]
		}
		w.add(1)
		for range 3 { // the label outlasts what happens in between
			w.run()
			w.clock = w.clock.Add(6 * time.Hour)
		}
		if len(w.mta.taken) != 1 || strings.Contains(w.mta.taken[0].header, "Truehop-Redelivery: possible") != c.labelled {
			t.Errorf("after 451 at %s the MTA has %+v, want it labelled: %v", c.stage, w.mta.taken, c.labelled)
		}
	}
}
