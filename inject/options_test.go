package inject_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// front leads to a server and keeps what stands before the greeting of each connection, if something is to.
type front struct {
	s       *injecttest.Server
	carrier inject.Carrier

	mu      sync.Mutex
	headers []string
}

func (f *front) dial(ctx context.Context) (net.Conn, error) {
	if f.carrier != inject.PROXYv1 && f.carrier != inject.PROXYv2 {
		return f.s.Dial(ctx)
	}
	client, server := net.Pipe()
	go func() { // ends with the connection
		header, err := f.read(bufio.NewReaderSize(server, 256))
		if err != nil {
			_ = server.Close()
			return
		}
		f.mu.Lock()
		f.headers = append(f.headers, header)
		f.mu.Unlock()
		f.s.Serve(server)
	}()
	return client, nil
}

// read takes a header of proxy-protocol.txt: a line, or 16 octets of which the last two say how many follow.
func (f *front) read(r *bufio.Reader) (string, error) {
	if f.carrier == inject.PROXYv1 {
		line, err := r.ReadString('\n')
		return strings.TrimSpace(line), err
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	rest := make([]byte, int(head[14])<<8|int(head[15]))
	_, err := io.ReadFull(r, rest)
	return hex.EncodeToString(bytes.Join([][]byte{head[12:14], rest}, nil)), err
}

// told is all that the server was told of clients: the headers, and the commands that present.
func (f *front) told() string {
	f.mu.Lock()
	lines := append([]string(nil), f.headers...)
	f.mu.Unlock()
	for _, line := range said(f.s) {
		if strings.HasPrefix(line, "X") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// carriers are all carriers, and how each presents the client of message 1.
func carriers() map[inject.Carrier]string {
	return map[inject.Carrier]string{
		inject.XCLIENT:  "XCLIENT HELO=helo1.example.net PROTO=ESMTP PORT=1025 LOGIN=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE] REVERSE_NAME=c1.example.net NAME=c1.example.net ADDR=198.51.0.1",
		inject.XFORWARD: "XFORWARD NAME=c1.example.net ADDR=198.51.0.1 PORT=1025 PROTO=ESMTP HELO=helo1.example.net IDENT=[UNAVAILABLE] SOURCE=REMOTE",
		inject.PROXYv1:  "PROXY TCP4 198.51.0.1 127.0.0.1 1025 25",
		inject.PROXYv2:  "2111" + "c6330001" + "7f000001" + "0401" + "0019",
	}
}

func newFront(t *testing.T, c inject.Carrier) *front {
	t.Helper()
	o := injecttest.Options{Record: true}
	if c == inject.XFORWARD {
		o.XFORWARD = []string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}
	}
	return &front{s: newServer(t, o), carrier: c}
}

// TestCarriers: each carrier presents the client in its own way, and in no other.
func TestCarriers(t *testing.T) {
	for carrier, want := range carriers() {
		bubble(t, carrier.String(), func(t *testing.T) {
			f := newFront(t, carrier)
			r := injectAll(t, f.dial, inject.Options{Carrier: carrier, Connections: 1}, message(1))[0]
			if r.Outcome != inject.Delivered || r.Presented.Addr != message(1).Client.Addr {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			if got := f.told(); got != want {
				t.Errorf("the MTA was told\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestNeverPresented: the address of a network that is never to be presented is told by no carrier, neither at a
// session's start nor ahead of its turn behind the message before.
func TestNeverPresented(t *testing.T) {
	for carrier := range carriers() {
		bubble(t, carrier.String(), func(t *testing.T) { neverPresented(t, newFront(t, carrier)) })
		bubble(t, carrier.String()+", a connection for each message", func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true, Once: true, XFORWARD: []string{"NAME", "ADDR"}})
			neverPresented(t, &front{s: s, carrier: carrier})
		})
	}
}

func neverPresented(t *testing.T, f *front) {
	o := inject.Options{Carrier: f.carrier, Connections: 1, Never: []netip.Prefix{netip.MustParsePrefix("198.51.0.2/31")}}
	order := []int{2, 1, 3, 4}
	rs := injectAll(t, f.dial, o, message(2), message(1), message(3), message(4))
	for i, n := range order {
		forbidden := n == 2 || n == 3
		if got := rs[i].Presented.Addr; got.IsValid() == forbidden {
			t.Errorf("message %d was presented as %v", n, got)
		}
		proxied := f.carrier == inject.PROXYv1 || f.carrier == inject.PROXYv2
		unsayable := forbidden && proxied
		if (rs[i].Outcome == inject.Delivered) == unsayable || (kindOf(rs[i]) == inject.Unsendable) != unsayable {
			t.Errorf("message %d: %+v, err %v", n, rs[i], rs[i].Err)
		}
	}
	for _, secret := range []string{"198.51.0.2", "198.51.0.3", "c6330002", "c6330003", "c2.example", "helo3"} {
		if strings.Contains(f.told(), secret) {
			t.Errorf("the MTA was told of %s:\n%s", secret, f.told())
		}
	}
}

// TestSessionNeverPresents: the same holds for a session that is used without a pool.
func TestSessionNeverPresents(t *testing.T) {
	s := newServer(t, injecttest.Options{Record: true})
	o := inject.Options{Never: []netip.Prefix{netip.MustParsePrefix("198.51.0.2/31")}}
	session, err := inject.Open(t.Context(), s.Dial, o)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	r := session.Deliver(t.Context(), message(2), nil)
	f := front{s: s}
	if r.Presented.Addr.IsValid() || strings.Contains(f.told(), "198.51.0.2") {
		t.Errorf("presented as %v; the MTA was told\n%s", r.Presented.Addr, f.told())
	}
}

// TestHello: the first EHLO or LHLO has our own name.
func TestHello(t *testing.T) {
	for dialect, verb := range map[inject.Dialect]string{inject.SMTP: "EHLO", inject.LMTP: "LHLO"} {
		s := newServer(t, injecttest.Options{Record: true, LMTP: dialect == inject.LMTP})
		injectAll(t, s.Dial, inject.Options{Dialect: dialect, Hello: "us.example.org", Connections: 1}, message(1))
		if got := said(s); len(got) == 0 || got[0] != verb+" us.example.org" {
			t.Errorf("%v: said %q", dialect, got)
		}
	}
}

// TestConnections: as many messages are under way as there may be connections, and no more.
func TestConnections(t *testing.T) {
	for _, connections := range []inject.Connections{1, 3, 7} {
		synctest.Test(t, func(t *testing.T) {
			reached, proceed := make(chan bool, 20), make(chan bool)
			s := newServer(t, injecttest.Options{Accepted: func(injecttest.Message) { reached <- true; <-proceed }})
			var ms []*inject.Message
			for n := range 2 * 7 {
				ms = append(ms, message(n))
			}
			done := make(chan bool)
			go func() {
				defer close(done)
				injectAll(t, s.Dial, inject.Options{Connections: connections}, ms...)
			}()
			time.Sleep(time.Second) // of the bubble: a connection is looked at for a moment before it is used
			synctest.Wait()
			if got := len(reached); inject.Connections(got) != connections {
				t.Errorf("%d messages are under way, want %d", got, connections)
			}
			close(proceed)
			<-done
		})
	}
}
