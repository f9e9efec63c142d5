package inject_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// message returns a message from the n-th of many clients.
func message(n int) *inject.Message {
	body := fmt.Sprintf("Subject: %d\r\n\r\nbody of %d\r\n", n, n)
	return &inject.Message{
		Client: inject.Client{
			Addr:  netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}),
			Name:  fmt.Sprintf("c%d.example.net", n),
			HELO:  fmt.Sprintf("helo%d.example.net", n),
			ESMTP: true, Port: uint16(1024 + n),
		},
		From:   fmt.Sprintf("sender%d@example.net", n),
		To:     []string{"user@example.org"},
		Size:   int64(len(body)),
		Body:   func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
		Header: []byte("Truehop-ID: x\r\n"),
	}
}

// inject submits messages to a pool and returns their receipts in order.
func injectAll(t testing.TB, dial inject.Dialer, o inject.Options, ms ...*inject.Message) []inject.Receipt {
	t.Helper()
	p := inject.NewPool(dial, o)
	receipts := make([]inject.Receipt, len(ms))
	var calls sync.Map
	for i, m := range ms {
		err := p.Submit(t.Context(), m, func(r inject.Receipt) {
			if _, again := calls.LoadOrStore(i, true); again {
				t.Errorf("done called twice for message %d", i)
			}
			receipts[i] = r
		})
		if err != nil {
			t.Fatalf("Submit %d: %v", i, err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for i := range ms {
		if _, ok := calls.Load(i); !ok {
			t.Errorf("done never called for message %d", i)
		}
	}
	return receipts
}

func newServer(t testing.TB, o injecttest.Options) *injecttest.Server {
	t.Helper()
	s := injecttest.New(o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing the server: %v", err)
		}
	})
	return s
}

// TestPool delivers many messages from many clients: no attribute of one may show at another.
func TestPool(t *testing.T) {
	for _, once := range []bool{false, true} {
		for _, conns := range []inject.Connections{1, 4} {
			for _, network := range []string{"pipe", "tcp"} {
				t.Run(fmt.Sprintf("once=%v/conns=%d/%s", once, conns, network), func(t *testing.T) {
					s := newServer(t, injecttest.Options{Once: once})
					if network == "tcp" {
						if _, err := s.Start(); err != nil {
							t.Fatal(err)
						}
					}
					var ms []*inject.Message
					for i := range 50 {
						ms = append(ms, message(i))
					}
					for i, r := range injectAll(t, s.Dial, inject.Options{Connections: conns}, ms...) {
						if r.Outcome != inject.Delivered || r.Err != nil || r.Stage != "dot" || r.QueueID == "" {
							t.Errorf("message %d: %+v, err %v", i, r, r.Err)
						}
					}
					checkMessages(t, s.Messages(), ms, conns == 1)
					if !once && inject.Connections(s.Sessions()) > conns {
						t.Errorf("%d sessions used where %d would do", s.Sessions(), conns)
					}
				})
			}
		}
	}
}

func checkMessages(t *testing.T, got []injecttest.Message, ms []*inject.Message, ordered bool) {
	t.Helper()
	if len(got) != len(ms) {
		t.Fatalf("%d messages arrived, want %d", len(got), len(ms))
	}
	for i, g := range got {
		var n int
		if _, err := fmt.Sscanf(g.From, "sender%d@", &n); err != nil {
			t.Fatal(err)
		}
		if ordered && n != i {
			t.Errorf("message %d arrived at place %d", n, i)
		}
		m := message(n)
		want := injecttest.Client{Name: m.Client.Name, Addr: m.Client.Addr.String(), ReverseName: m.Client.Name,
			Port: fmt.Sprint(m.Client.Port), Proto: "ESMTP", HELO: m.Client.HELO, Login: "[UNAVAILABLE]",
			DestAddr: "[UNAVAILABLE]", DestPort: "[UNAVAILABLE]"}
		if g.Client != want || g.Hello != m.Client.HELO {
			t.Errorf("message %d was seen from %+v, EHLO %s", n, g.Client, g.Hello)
		}
		body, _ := m.Body()
		content, _ := io.ReadAll(body)
		if !bytes.Equal(g.Data, append(m.Header, content...)) {
			t.Errorf("message %d has content %q", n, g.Data)
		}
	}
}

// probed are clients to probe a listener with: one with an address, one without.
func probed() []inject.Client {
	return []inject.Client{{Addr: netip.MustParseAddr("192.0.2.1"), ESMTP: true}, {ESMTP: true}}
}

func TestProbe(t *testing.T) {
	s := newServer(t, injecttest.Options{Once: true})
	c, err := inject.Probe(context.Background(), s.Dial, inject.Options{}, probed()...)
	if err != nil || len(c.Presented) != 2 || c.Presented[0].Reset || c.Presented[1].Reset || len(c.XCLIENT) != 9 || !c.Pipelining {
		t.Errorf("once: %+v, %v", c, err)
	}
	s = newServer(t, injecttest.Options{})
	c, err = inject.Probe(context.Background(), s.Dial, inject.Options{}, probed()...)
	if err != nil || len(c.Presented) != 2 || !c.Presented[0].Reset || !c.Presented[1].Reset {
		t.Errorf("always: %+v, %v", c, err)
	}
}

// TestProbeTellsOfEachClient: an address that the MTA does not take is found out, and those behind it are asked about all the same.
func TestProbeTellsOfEachClient(t *testing.T) {
	s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 1, Reply: "501 5.5.4 Bad ADDR syntax: IPV6:2001:db8::1"}}})
	six := inject.Client{Addr: netip.MustParseAddr("2001:db8::1"), ESMTP: true}
	c, err := inject.Probe(context.Background(), s.Dial, inject.Options{}, append([]inject.Client{six}, probed()...)...)
	if err != nil || len(c.Presented) != 3 {
		t.Fatalf("%+v, %v; want three results", c, err)
	}
	refused, taken := c.Presented[0], c.Presented[1]
	if refused.Err == nil || refused.Err.Kind != inject.Misconfigured || refused.Reply.Code != 501 || refused.Client != six {
		t.Errorf("IPv6: %+v, want it told that the listener is not set up for it", refused)
	}
	if taken.Err != nil || taken.Reply.Code != 220 || !taken.Reset {
		t.Errorf("IPv4: %+v", taken)
	}
}
