package transfer_test

import (
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestDeleteAfter: delivered mail that is kept or flagged is deleted when its time is over, by the account's clock, once, and
// nothing else is: not what was refused, and not what was never delivered by this ledger.
func TestDeleteAfter(t *testing.T) {
	for _, c := range []struct {
		name      string
		pop3      bool
		delivered fetch.Disposal
	}{
		{"IMAP, kept", false, fetch.Disposal{}},
		{"IMAP, flagged", false, fetch.Disposal{Action: fetch.Flag}},
		{"POP3, kept", true, fetch.Disposal{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := keeping(t, c.pop3)
			w.pass.OnDelivered, w.pass.DeleteAfter = c.delivered, 7*24*time.Hour
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if m.From == "sender2@example.org" {
					return inject.Receipt{Outcome: inject.Refused, Stage: "RCPT", Reply: inject.Reply{Code: 554, Enhanced: "5.7.1"}}
				}
				return inject.Receipt{Outcome: inject.Delivered, Stage: "dot", Reply: inject.Reply{Code: 250}}
			}
			w.add(1)
			w.add(2)
			day := func(want int) {
				t.Helper()
				w.run()
				w.left(want)
				for _, e := range w.events {
					if e.Kind == transfer.NotSettled {
						t.Errorf("told that it could not be settled: %v", e.Err)
					}
				}
				w.clock = w.clock.Add(24 * time.Hour)
			}
			for range 6 {
				day(2)
			}
			w.add(3)
			day(3) // the first message is not quite seven days old
			day(2) // it has gone
			w.clock = w.clock.Add(-90 * 24 * time.Hour)
			for range 3 { // a clock that was set back deletes nothing early
				day(2)
			}
			w.delivered(1, 3)
			w.states(map[ledger.State]int{ledger.Delivered: 2, ledger.Refused: 1})
			for range 8 {
				w.run()
				w.clock = w.clock.Add(24 * time.Hour)
			}
			w.left(1) // what was refused
		})
	}
}
