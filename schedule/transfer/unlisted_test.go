package transfer_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
)

// TestMessagesOutOfReachAreToldOfEachPass: a server that lists none of its messages by unique-ids does not pass for one whose mailbox is
// as empty as before.
func TestMessagesOutOfReachAreToldOfEachPass(t *testing.T) {
	for name, c := range map[string]struct{ uids, sizes string }{
		"not by UIDL":          {"+OK\r\n.\r\n", "+OK\r\n1 100\r\n2 200\r\n.\r\n"},
		"not so as to be read": {"+OK\r\nx a\r\ny b\r\n.\r\n", "+OK\r\n1 100\r\n2 200\r\n.\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var faulty atomic.Bool
			server := &fakeserver.POP3{Store: w.store, User: "u", Password: "correct horse", Reply: func(verb, _ string) (string, bool) {
				return map[string]string{"UIDL": c.uids, "LIST": c.sizes}[verb], faulty.Load() && (verb == "UIDL" || verb == "LIST")
			}}
			addr := fetchtest.Listen(t, server.Serve).Addr()
			w.pass.Dial = func(ctx context.Context) (fetch.Mailbox, error) {
				return pop3.New(ctx, fetchtest.Dial(t, addr), pop3.Options{Credentials: sasl.Credentials{User: "u", Password: "correct horse", AllowPlaintext: true}})
			}
			for _, now := range []bool{false, false, true, true, false} {
				faulty.Store(now)
				want := 0
				if now {
					want = 2
				}
				w.clock = w.clock.Add(time.Minute)
				if s := w.run(); s.Unlisted != want || s.Failed != want {
					t.Errorf("%d are out of reach, and %d failed; want %d", s.Unlisted, s.Failed, want)
				}
			}
		})
	}
}
