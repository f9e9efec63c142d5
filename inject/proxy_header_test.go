package inject

import (
	"bufio"
	"context"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

func TestProxyHeader(t *testing.T) {
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2525}
	unix := &net.UnixAddr{Net: "unix", Name: "/run/x"}
	v2 := "0d0a0d0a000d0a515549540a"
	for _, c := range []struct {
		client  Client
		version Carrier
		peer    net.Addr
		want    string
	}{
		{Client{Addr: addr("192.0.2.1"), Port: 4711}, PROXYv1, tcp, "PROXY TCP4 192.0.2.1 127.0.0.1 4711 25\r\n"},
		{Client{Addr: addr("192.0.2.1"), DestAddr: addr("203.0.113.1"), DestPort: 587}, PROXYv1, tcp, "PROXY TCP4 192.0.2.1 203.0.113.1 1 587\r\n"},
		{Client{Addr: addr("2001:db8::1")}, PROXYv1, tcp, "PROXY TCP6 2001:db8::1 ::1 1 25\r\n"},
		{Client{Addr: addr("192.0.2.1")}, PROXYv1, unix, "PROXY TCP4 192.0.2.1 127.0.0.1 1 25\r\n"},
		{Client{Addr: addr("192.0.2.1"), Port: 4711}, PROXYv2, tcp, "hex:" + v2 + "2111000c" + "c0000201" + "7f000001" + "1267" + "0019"},
		{Client{Addr: addr("2001:db8::1"), Port: 4711}, PROXYv2, unix, "hex:" + v2 + "21210024" + "20010db8000000000000000000000001" + "00000000000000000000000000000001" + "1267" + "0019"},
		{Client{Addr: addr("192.0.2.1")}, PROXYv2, tcp, "hex:" + v2 + "2111000c" + "c0000201" + "7f000001" + "0000" + "0019"},
		{Client{}, PROXYv1, tcp, ""},
		{Client{}, PROXYv2, tcp, ""},
	} {
		got, err := proxyHeader(c.client, c.version, c.peer)
		text := string(got)
		if strings.HasPrefix(c.want, "hex:") {
			text = "hex:" + hex.EncodeToString(got)
		}
		if text != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: %q, %v; want %q", c.client, text, err, c.want)
		}
	}
}

// greeter answers PROXY and the first lines as said.
func greeter(t *testing.T, greeting, ehlo string) Dialer {
	return func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		done := make(chan bool)
		t.Cleanup(func() { _ = server.Close(); <-done })
		go func() {
			defer close(done)
			r := bufio.NewReader(server)
			for _, reply := range []string{greeting, ehlo} {
				if _, err := r.ReadString('\n'); err != nil {
					return
				}
				if _, err := io.WriteString(server, reply+"\r\n"); err != nil {
					return
				}
			}
			_, _ = io.Copy(io.Discard, r)
		}()
		return client, nil
	}
}

// TestProxyVerdicts: behind a PROXY header the greeting speaks of the client.
func TestProxyVerdicts(t *testing.T) {
	known := Client{Addr: addr("192.0.2.1"), HELO: "h.example.net"}
	for _, c := range []struct {
		name           string
		client         Client
		greeting, ehlo string
		outcome        Outcome
		kind           Kind
		stage          string
	}{
		{"listed", known, "554 5.7.1 listed", "", Refused, Unclassified, "greeting"},
		{"greylisted", known, "450 4.7.1 later", "", Deferred, Unclassified, "greeting"},
		{"HELO refused", known, "220 hello", "504 5.5.2 need fully-qualified hostname", Refused, Unclassified, "EHLO"},
		{"out of step", known, "220 hello", "503 5.5.1 what", Deferred, Protocol, "EHLO"},
		{"unknown client", Client{}, "220 hello", "250 ok", Withheld, Unsendable, "PROXY"},
		{"not to be presented", Client{Addr: addr("10.0.0.1")}, "220 hello", "250 ok", Withheld, Unsendable, "PROXY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPool(greeter(t, c.greeting, c.ehlo), Options{Carrier: PROXYv1, Connections: 1})
				var r Receipt
				m := &Message{Client: c.client, To: []string{"user@example.org"}}
				if err := p.Submit(t.Context(), m, func(got Receipt) { r = got }); err != nil {
					t.Fatal(err)
				}
				if err := p.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				kind := Unclassified
				if r.Err != nil {
					kind = r.Err.Kind
				}
				if r.Outcome != c.outcome || kind != c.kind || r.Stage != c.stage {
					t.Errorf("%+v, err %v", r, r.Err)
				}
			})
		})
	}
}
