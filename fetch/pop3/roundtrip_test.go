package pop3_test

import (
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/pop3"
)

// TestRoundTrips counts them by a clock that only the link moves: each takes a second.
func TestRoundTrips(t *testing.T) {
	for _, test := range []struct {
		name     string
		server   fakeserver.POP3
		messages int
		// New, Open, Retrieve, Settle, Close; New has half of one for the greeting.
		want [5]time.Duration
	}{
		{"1 message", fakeserver.POP3{}, 1, [5]time.Duration{2500, 1000, 1000, 1000, 1000}},
		{"1,000 messages", fakeserver.POP3{}, 1000, [5]time.Duration{2500, 1000, 1000, 1000, 1000}},
		{"no PIPELINING", fakeserver.POP3{NoPipelining: true}, 10, [5]time.Duration{3500, 2000, 10_000, 10_000, 1000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := test.server
				server.User, server.Password, server.Store = user, password, fakeserver.NewStore()
				fetchtest.Fill(server.Store, test.messages)
				near, far := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() { server.Serve(far) })
				line := fetchtest.Delay(near, time.Second)
				var got [5]time.Duration
				last := time.Now()
				took := func(step int) {
					got[step] = time.Since(last) / time.Millisecond
					last = time.Now()
				}
				client, err := pop3.New(t.Context(), line, plaintext())
				if err != nil {
					t.Fatal(err)
				}
				took(0)
				listing, err := client.Open(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				took(1)
				if octets, _, err := fetchtest.Collect(t.Context(), client, listing.Refs); err != nil || len(octets) != test.messages {
					t.Fatalf("%d messages: %v", len(octets), err)
				}
				took(2)
				if _, err := client.Settle(t.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil {
					t.Fatal(err)
				}
				took(3)
				if err := client.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				took(4)
				if got != test.want {
					t.Errorf("New, Open, Retrieve, Settle, Close took %d ms, want %d", got, test.want)
				}
				wg.Wait()
			})
		})
	}
}
