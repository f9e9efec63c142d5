package transfer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
	"github.com/truehop/truehop/schedule/transfer"
)

// benchMessages are carried in each iteration, of benchOctets each.
const (
	benchMessages = 1000
	benchOctets   = 8 << 10
)

// BenchmarkPass carries 1,000 messages of 8 KB from an embedded upstream over TLS to an embedded
// MTA, over links of 0 and 50 ms round-trip time. What the longer link costs must not grow with
// the number of messages: compare rtt=50ms with rtt=0s.
func BenchmarkPass(b *testing.B) {
	for _, protocol := range []string{"imap", "pop3"} {
		for _, once := range []bool{false, true} {
			for _, rtt := range []time.Duration{0, 50 * time.Millisecond} {
				mode := "reset"
				if once {
					mode = "reconnect"
				}
				b.Run(fmt.Sprintf("%s/%s/rtt=%v", protocol, mode, rtt), func(b *testing.B) {
					benchmarkPass(b, protocol, once, rtt, inDirectory)
				})
			}
		}
	}
}

// BenchmarkPassByHome is BenchmarkPass with the record on either home, both on the disk. Each iteration of either begins with an empty
// record, and with nothing left for the system or the server to write that is not of the pass.
func BenchmarkPassByHome(b *testing.B) {
	server := postgrestest.StartOnDisk(b)
	url := server.New(b)
	inDatabase := func(b *testing.B) simLedger {
		if err := postgrestest.Drop(url); err != nil {
			b.Fatal(err)
		}
		record, err := postgres.Open(b.Context(), postgres.Options{URL: url})
		if err != nil {
			b.Fatal(err)
		}
		return record
	}
	for _, protocol := range []string{"imap", "pop3"} {
		for _, home := range []struct {
			name string
			open func(*testing.B) simLedger
		}{{"sqlite", inDirectory}, {"postgresql", inDatabase}} {
			b.Run(protocol+"/"+home.name, func(b *testing.B) {
				benchmarkPass(b, protocol, false, 0, func(b *testing.B) simLedger {
					record := home.open(b)
					postgrestest.Exec(b, url, "CHECKPOINT")
					syscall.Sync()
					return record
				})
			})
		}
	}
}

// inDirectory opens a new record of SQLite.
func inDirectory(b *testing.B) simLedger {
	record, err := ledger.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return record
}

func benchmarkPass(b *testing.B, protocol string, once bool, rtt time.Duration, open func(*testing.B) simLedger) {
	server, client := fakeserver.TLS()
	mta := injecttest.New(injecttest.Options{Discard: true, Once: once})
	if _, err := mta.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := mta.Close(); err != nil {
			b.Error(err)
		}
	})
	pool := inject.NewPool(func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", mta.Addr().String())
	}, inject.Options{})
	b.Cleanup(func() {
		if err := pool.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	b.SetBytes(benchMessages * benchOctets)
	for b.Loop() {
		b.StopTimer()
		store := benchStore()
		dial := benchUpstream(b, protocol, store, server, client, rtt)
		record := open(b)
		if _, err := record.Lock("bench"); err != nil {
			b.Fatal(err)
		}
		pass := transfer.Pass{
			Account: "bench", Folders: []string{""}, Dial: dial, MTA: pool, Ledger: record,
			Policy:      received.Policy{MX: []string{"mx.example.net"}},
			LookupName:  func(context.Context, netip.Addr) transfer.Name { return transfer.Name{} },
			Recipients:  []string{"alice@example.net"},
			OnDelivered: fetch.Disposal{Action: fetch.Delete},
			SpoolDir:    b.TempDir(), Budget: semaphore.NewWeighted(64 << 20), BudgetSize: 64 << 20,
		}
		b.StartTimer()
		s, err := pass.Run(b.Context())
		b.StopTimer()
		if err != nil || s.Delivered != benchMessages || len(store.UIDs("")) != 0 {
			b.Fatalf("the pass delivered %d of %d and left %d: %v", s.Delivered, benchMessages, len(store.UIDs("")), err)
		}
		if err := record.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(benchMessages*float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func benchStore() *fakeserver.Store {
	store := fakeserver.NewStore()
	for n := range benchMessages {
		m := mail(n % 250)
		line := []byte("The quick brown fox jumps over the lazy dog, seventy octets a line, so.\r\n")
		store.Add("", append(m, bytes.Repeat(line, (benchOctets-len(m))/len(line))...))
	}
	return store
}

// benchUpstream serves store behind a link of this round-trip time and returns how to reach it.
func benchUpstream(b *testing.B, protocol string, store *fakeserver.Store, server, client *tls.Config, rtt time.Duration) func(context.Context) (fetch.Mailbox, error) {
	serve := (&fakeserver.IMAP{Store: store, User: "u", Password: "correct horse", TLS: server, Implicit: true}).Serve
	if protocol == "pop3" {
		serve = (&fakeserver.POP3{Store: store, User: "u", Password: "correct horse", TLS: server, Implicit: true}).Serve
	}
	addr := fetchtest.Listen(b, serve).Addr()
	who := sasl.Credentials{User: "u", Password: "correct horse"}
	return func(ctx context.Context) (fetch.Mailbox, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		if rtt > 0 {
			conn = fetchtest.Delay(conn, rtt)
		}
		secure := tls.Client(conn, client)
		if protocol == "pop3" {
			return pop3.New(ctx, secure, pop3.Options{Credentials: who, Secure: true})
		}
		return imap.New(ctx, secure, imap.Options{Credentials: who, Secure: true})
	}
}
