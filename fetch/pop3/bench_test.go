package pop3_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
)

// BenchmarkRetrieve retrieves 1,000 messages of 8 KB over links of several round trip times.
func BenchmarkRetrieve(b *testing.B) {
	raw := bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"), 128)
	store := fakeserver.NewStore()
	for range 1000 {
		store.Add("", raw)
	}
	for _, rtt := range []time.Duration{0, 50 * time.Millisecond} {
		b.Run(fmt.Sprintf("rtt=%s", rtt), func(b *testing.B) {
			b.SetBytes(int64(1000 * len(raw)))
			var wrap func(net.Conn) net.Conn
			if rtt > 0 {
				wrap = func(c net.Conn) net.Conn { return fetchtest.Delay(c, rtt) }
			}
			client := dial(b, &fakeserver.POP3{Store: store}, plaintext(), wrap)
			listing, err := client.Open(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				err := client.Retrieve(b.Context(), listing.Refs, func(m fetch.Message) error {
					_, err := io.Copy(io.Discard, m.Body)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen lists 50,000 messages.
func BenchmarkOpen(b *testing.B) {
	store := fakeserver.NewStore()
	fetchtest.Fill(store, 50_000)
	client := dial(b, &fakeserver.POP3{Store: store}, plaintext(), nil)
	b.ReportAllocs()
	for b.Loop() {
		listing, err := client.Open(b.Context(), "")
		if err != nil || len(listing.Refs) != 50_000 {
			b.Fatal(err)
		}
	}
}
