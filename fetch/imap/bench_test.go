package imap

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// BenchmarkPass is a whole session over a link with a round trip time: login, list,
// retrieve 1,000 messages of 8 KiB, delete them, log out. What 50 ms add to 0 ms are round
// trips; their number is reported and does not grow with that of the messages.
func BenchmarkPass(b *testing.B) {
	for _, rtt := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run("rtt="+rtt.String(), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				store := fakeserver.NewStore()
				for range 1000 {
					store.Add("", bytes.Repeat([]byte("x"), 8<<10))
				}
				conn := fetchtest.Delay(fetchtest.Dial(b, fetchtest.Listen(b, server(store).Serve).Addr()), rtt)
				b.StartTimer()
				begun := time.Now()
				pass(b, store, func() (*Client, error) { return New(b.Context(), conn, plaintext()) })
				if rtt > 0 {
					b.ReportMetric(float64(time.Since(begun))/float64(rtt), "rtts")
				}
			}
			b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func pass(b *testing.B, store *fakeserver.Store, login func() (*Client, error)) {
	c, err := login()
	if err != nil {
		b.Fatal(err)
	}
	defer c.Abort()
	listing, err := c.Open(b.Context(), "")
	if err != nil {
		b.Fatal(err)
	}
	err = c.Retrieve(b.Context(), listing.Refs, func(m fetch.Message) error {
		_, err := io.Copy(io.Discard, m.Body)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Settle(b.Context(), fetch.Disposal{Action: fetch.Delete}, listing.Refs); err != nil {
		b.Fatal(err)
	}
	if err := c.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if n := len(store.UIDs("")); n != 0 {
		b.Fatalf("%d messages are left", n)
	}
}

// BenchmarkOpen is a poll of 50,000 old messages.
func BenchmarkOpen(b *testing.B) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 50_000)
	c := dial(b, server(store), plaintext())
	b.ReportAllocs()
	for b.Loop() {
		if listing, err := c.Open(b.Context(), ""); err != nil || len(listing.Refs) != 50_000 {
			b.Fatal(err)
		}
	}
}

// BenchmarkDovecot retrieves 1,000 messages of 8 KiB from a real server under TLS.
func BenchmarkDovecot(b *testing.B) {
	d := fetchtest.StartDovecot(b, fetchtest.DovecotOptions{})
	for range 1000 {
		d.Deliver(large(8 << 10))
	}
	c, err := dialDovecot(b.Context(), b, d, true, dovecotOptions(d))
	if err != nil {
		b.Fatal(err)
	}
	listing, err := c.Open(b.Context(), "")
	if err != nil || len(listing.Refs) != 1000 {
		b.Fatal(err)
	}
	for b.Loop() {
		err := c.Retrieve(b.Context(), listing.Refs, func(m fetch.Message) error {
			_, err := io.Copy(io.Discard, m.Body)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(1000*b.N)/b.Elapsed().Seconds(), "msg/s")
}
