package transfer_test

import (
	"context"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestWhatWasNotExpungedIsTold: a server that answers OK and leaves a message where it is has not settled it. The
// pass says so, and the next one asks again without delivering again.
func TestWhatWasNotExpungedIsTold(t *testing.T) {
	w := newWorld(t)
	leaves := uint32(2)
	server := &fakeserver.IMAP{Store: w.store, User: "u", Password: "p", Spare: func(uid uint32) bool { return uid == leaves }}
	addr := fetchtest.Listen(t, server.Serve).Addr()
	w.pass.Folders = []string{"INBOX"}
	w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
		return imap.New(ctx, fetchtest.Dial(t, addr), imap.Options{Credentials: sasl.Credentials{User: "u", Password: "p", AllowPlaintext: true}})
	}
	for n := range 3 {
		w.add(n + 1)
	}
	s, err := w.try()
	if fetch.KindOf(err) != fetch.Refused || s.Delivered != 3 || s.Settled != 2 || s.Unsettled != 1 {
		t.Errorf("the first pass: %+v, %v; want one message unsettled and Kind refused", s, err)
	}
	for _, e := range w.events {
		settled := e.Kind == transfer.Settled && e.Ref.UID == "2"
		other := e.Kind == transfer.NotSettled && e.Ref.UID != "2"
		if settled || other {
			t.Errorf("told of message %s: %+v", e.Ref.UID, e)
		}
	}
	w.left(1)

	leaves = 0
	if s := w.run(); s.Delivered != 0 || s.Settled != 1 {
		t.Errorf("the second pass: %+v; want one message settled and none delivered", s)
	}
	w.left(0)
	w.delivered(1, 2, 3)
}
