package inject_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// benchmark injects b.N messages of 8 KB, each from a client of its own.
func benchmark(b *testing.B, dial inject.Dialer, o inject.Options) {
	body := []byte("From: <a@example.net>\r\nTo: <user@example.org>\r\nSubject: rate\r\nMessage-ID: <rate@example.net>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 70)+"\r\n", 110))
	p := inject.NewPool(dial, o)
	var failed atomic.Pointer[inject.Receipt]
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		m := message(n % 65536)
		m.From, m.Header = "a@example.net", nil
		m.Size, m.Body = int64(len(body)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		if err := p.Submit(b.Context(), m, func(r inject.Receipt) {
			if r.Outcome != inject.Delivered {
				failed.Store(&r)
			}
		}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := p.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	if r := failed.Load(); r != nil {
		b.Fatalf("%+v, err %v", *r, r.Err)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkPool(b *testing.B) {
	for _, once := range []bool{false, true} {
		for _, conns := range []inject.Connections{1, 4, inject.Adaptive} {
			b.Run(fmt.Sprintf("once=%v/sessions=%v", once, conns), func(b *testing.B) {
				s := newServer(b, injecttest.Options{Once: once, Discard: true})
				if _, err := s.Start(); err != nil {
					b.Fatal(err)
				}
				benchmark(b, s.Dial, inject.Options{Connections: conns})
			})
		}
	}
}
