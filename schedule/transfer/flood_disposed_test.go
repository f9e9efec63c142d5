package transfer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestDisposalsThatADyingPassDidNotRecordAreNoFlood: a pass dies between its deletions and their record, and much new mail
// arrives before the next. What has gone went by our own hand, and is no sign that the mailbox was renumbered.
func TestDisposalsThatADyingPassDidNotRecordAreNoFlood(t *testing.T) {
	for name, pop := range map[string]bool{"imap": false, "pop3": true} {
		t.Run(name, func(t *testing.T) {
			w, dir := newWorld(t), t.TempDir()
			spare := w.ledger
			defer func() { w.ledger = spare }()
			w.in(dir)
			w.reusable, w.pass.Flood.Limit = pop, 2
			dial := w.pass.Dial
			const first = 12
			verdicts := make(chan struct{}, first)
			w.pass.Observe = func(e transfer.Event) {
				if e.Kind == transfer.Verdict {
					verdicts <- struct{}{}
				}
			}
			judged := func() { // so that all are settled together
				for range first {
					<-verdicts
				}
			}
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				m, err := w.dial(ctx)
				if pop {
					return watched{after{m, func() {}, w.loseLedger}, judged}, err
				}
				return watched{after{m, w.loseLedger, func() {}}, judged}, err
			}
			var all []int
			for n := 1; n <= first; n++ {
				w.add(n)
				all = append(all, n)
			}
			if _, err := w.try(); ledger.KindOf(err) != ledger.Closed {
				t.Fatalf("the pass ended with %v, want the ledger's error", err)
			}
			w.left(0)
			w.in(dir)
			w.pass.Dial, w.pass.Observe, w.pass.Failed = dial, nil, true
			for n := 13; n <= 20; n++ {
				w.add(n)
				all = append(all, n)
			}
			w.run()
			w.delivered(all...)
			w.left(0)
		})
	}
}

// TestMailThatGoesBetweenPassesMayBeAFlood: after a pass that went well all its disposals are recorded. What goes after that,
// although it was to go, goes by another hand or under another name.
func TestMailThatGoesBetweenPassesMayBeAFlood(t *testing.T) {
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	for n := 1; n <= 12; n++ {
		w.add(n)
	}
	w.run()
	w.store.Remove("", w.store.UIDs("")...)
	for n := 13; n <= 20; n++ {
		w.add(n)
	}
	w.pass.OnDelivered, w.pass.Flood.Limit = fetch.Disposal{Action: fetch.Delete}, 2
	var stopped *transfer.Error
	if _, err := w.try(); !errors.As(err, &stopped) {
		t.Errorf("the pass ended with %v, want it stopped", err)
	}
}
