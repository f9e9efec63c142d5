package transfer_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/transfer"
)

// reporting is a session that tells when it has handed over everything.
type reporting struct {
	*session
	done func()
}

func (r *reporting) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	err := r.session.Retrieve(ctx, refs, sink)
	r.done()
	return err
}

// TestRetrievalDoesNotWaitForTheLookAtAMessage: finding out what the first message is takes until the last has come.
func TestRetrievalDoesNotWaitForTheLookAtAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := keeping(t, true)
		w.listing = func(refs []fetch.Ref) []fetch.Ref {
			for i := range refs {
				refs[i].UID = "" // so that each is known by its content only
			}
			return refs
		}
		w.add(1)
		w.run()
		all := make(chan struct{})
		w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
			box, err := w.dial(ctx)
			return &reporting{box.(*session), func() { close(all) }}, err
		}
		recognised := 0
		w.pass.Observe = func(e transfer.Event) {
			if e.Kind == transfer.Recognised {
				recognised++
				<-all
			}
		}
		for n := range 6 {
			w.add(n + 2)
		}
		w.run()
		if recognised != 1 {
			t.Errorf("%d messages were recognised, want one", recognised)
		}
		w.delivered(1, 2, 3, 4, 5, 6, 7)
	})
}
