package transfer_test

import (
	"context"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
)

// muddled cannot list while commands are sent together.
type muddled struct{ fetch.Mailbox }

func (muddled) Open(context.Context, string) (*fetch.Listing, error) {
	return nil, &fetch.Error{Kind: fetch.Protocol, Op: "UIDL", OutOfStep: true}
}

// TestOutOfStep: where replies came out of step, the pass opens the mailbox once more in another session. A server that does not bear that
// either ends the pass.
func TestOutOfStep(t *testing.T) {
	for name, test := range map[string]struct{ always bool }{"sound in the second session": {false}, "never sound": {true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.add(1)
			sessions := 0
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				mailbox, err := w.dial(ctx)
				sessions++
				if sound := sessions > 1 && !test.always; err == nil && !sound {
					mailbox = muddled{mailbox}
				}
				return mailbox, err
			}
			s, err := w.try()
			if test.always {
				if !fetch.IsOutOfStep(err) || sessions != 2 {
					t.Errorf("got %v after %d sessions", err, sessions)
				}
				return
			}
			if err != nil || s.Delivered != 1 {
				t.Errorf("%+v, %v", s, err)
			}
			w.left(0)
		})
	}
}

// TestBreachBehindAMessage: where the protocol is broken behind a message that came, one command at a time, the text behind it may be its rest. It is
// not deleted before another pass has looked at it again.
func TestBreachBehindAMessage(t *testing.T) {
	for kind, left := range map[fetch.Kind]int{fetch.Protocol: 2, fetch.Unreachable: 1} {
		w := newWorld(t)
		w.reusable = true
		breach := true
		w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
			box, err := w.dial(ctx)
			if err != nil || !breach {
				return box, err
			}
			return &breaching{box, kind}, nil
		}
		for n := range 3 {
			w.add(n + 1)
		}
		_, _ = w.try() // what counts is what is left
		if got := len(w.store.UIDs("")); got != left {
			t.Errorf("after an error of kind %v %d messages are left, want %d", kind, got, left)
		}
		breach = false
		w.clock = w.clock.Add(2 * time.Hour)
		w.run()
		w.left(0)
	}
}

// breaching is a session that breaks at the third message.
type breaching struct {
	fetch.Mailbox
	kind fetch.Kind
}

func (b *breaching) Retrieve(ctx context.Context, refs []fetch.Ref, sink fetch.Sink) error {
	for _, ref := range refs {
		if ref.Seq == 3 {
			return &fetch.Error{Kind: b.kind, Op: "RETR"}
		}
		if err := b.Mailbox.Retrieve(ctx, []fetch.Ref{ref}, sink); err != nil {
			return err
		}
	}
	return nil
}
