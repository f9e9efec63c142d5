package transfer_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/sasl"
)

// TestTurnsOfAPass counts the turns of whole passes over IMAP: three where there is nothing new, four with one new message.
func TestTurnsOfAPass(t *testing.T) {
	opening := []string{"SELECT", "UID SEARCH", "UID SEARCH"}
	proven, retrieval, bye := []string{"AUTHENTICATE"}, []string{"UID FETCH"}, []string{"LOGOUT"}
	nothing := [][]string{proven, opening, bye}
	w := newWorld(t)
	w.pass.OnDelivered = fetch.Disposal{}
	server := &fakeserver.IMAP{Store: w.store, User: "u", Password: "correct horse"}
	addr := fetchtest.Listen(t, server.Serve).Addr()
	for n, want := range [][][]string{nothing, {proven, opening, retrieval, bye}, nothing} {
		line := fetchtest.CountTurns(fetchtest.Dial(t, addr), want...)
		w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
			return imap.New(ctx, line, imap.Options{MaxSize: 1 << 20,
				Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
		}
		if n == 1 {
			w.add(1)
		}
		w.run()
		if got := line.Sent(); !reflect.DeepEqual(got, want) {
			t.Errorf("pass %d: %d turns %q, want %d: %q", n+1, len(got), got, len(want), want)
		}
	}
	w.delivered(1)
}
