package transfer_test

import (
	"context"
	"testing"

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
