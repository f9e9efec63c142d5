package transfer_test

import (
	"slices"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestMessageIsKnownAfterItHasGone: what a message says of itself stands in the event of its verdict, and in the ledger when
// the mailbox is empty, whatever became of it.
func TestMessageIsKnownAfterItHasGone(t *testing.T) {
	for state, verdict := range map[ledger.State]func(*inject.Message, int) inject.Receipt{
		ledger.Delivered: nil,
		ledger.Refused:   always(reply(inject.Refused, "RCPT", 554, "5.7.1", "Client host blocked")),
		ledger.Lost:      always(reply(inject.Deferred, "RCPT", 450, "4.7.1", "later")),
	} {
		t.Run(string(state), func(t *testing.T) {
			w := newWorld(t)
			w.mta.verdict = verdict
			w.pass.OnDelivered = fetch.Disposal{Action: fetch.Keep}
			w.add(1, "From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>", "Message-ID: <1@example.org>", "Date: Mon, 23 Nov 2026 12:00:00 +0000")
			w.run()
			events := w.events
			w.empty()
			w.run()
			want := ledger.Heading{From: "Zoë <zoe@example.org>", Subject: "number 1", MessageID: "1@example.org"}
			rec := w.only()
			if !rec.Heading.Date.Equal(w.clock) {
				t.Errorf("the ledger has the date %v", rec.Heading.Date)
			}
			rec.Heading.Date = want.Date
			if rec.State != state || rec.Heading != want {
				t.Errorf("the ledger has it as %s, %+v", rec.State, rec.Heading)
			}
			told := 0
			for _, e := range slices.Concat(events, w.events) {
				if e.Kind == transfer.Verdict || e.Kind == transfer.Vanished {
					told++
					if e.Heading.Subject != want.Subject {
						t.Errorf("the event %v has %+v", e.Kind, e.Heading)
					}
				}
			}
			if told == 0 {
				t.Error("nothing was told of it")
			}
		})
	}
}
