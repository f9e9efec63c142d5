package inject_test

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// proxied leads to a server that wants a PROXY header of version 1 on each connection. It keeps
// the headers, and drops connections without one.
type proxied struct {
	s *injecttest.Server

	mu      sync.Mutex
	headers []string
}

func (p *proxied) dial(context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	go func() { // ends with the connection
		r := bufio.NewReader(server)
		header, err := r.ReadString('\n')
		p.mu.Lock()
		p.headers = append(p.headers, strings.TrimSpace(header))
		p.mu.Unlock()
		if err != nil || !strings.HasPrefix(header, "PROXY ") || r.Buffered() > 0 {
			_ = server.Close()
			return
		}
		p.s.Serve(server)
	}()
	return client, nil
}

func (p *proxied) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.headers, "\n")
}

// TestProxyLeftOver: a connection presents one client for good. Where its message never got as far
// as MAIL, the next one's client is not taken for it.
func TestProxyLeftOver(t *testing.T) {
	for name, edit := range map[string]func(*inject.Message){
		"bad reverse-path": func(m *inject.Message) { m.From = "nobody" },
		"bad forward-path": func(m *inject.Message) { m.To = []string{"|cmd"} },
		"no recipients":    func(m *inject.Message) { m.To = nil },
		"NUL":              func(m *inject.Message) { m.NUL = true },
		"dry run":          func(m *inject.Message) { m.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied{s: newServer(t, injecttest.Options{})}
			first := message(1)
			edit(first)
			o := inject.Options{Carrier: inject.PROXYv1, Connections: 1, NUL: inject.RefuseNUL}
			rs := injectAll(t, p.dial, o, first, message(2))
			if rs[0].Outcome == inject.Delivered || rs[1].Outcome != inject.Delivered || rs[1].Presented.Addr != message(2).Client.Addr {
				t.Fatalf("%+v, then %+v, err %v", rs[0], rs[1], rs[1].Err)
			}
			// The first EHLO is in the name of the client that the header presented.
			if got := s1(p.s.Messages()).Hello; got != message(2).Client.HELO {
				t.Errorf("the second message came over the connection of %s\n%s", got, p.said())
			}
		})
	}
}

// s1 returns the only message, or an empty one.
func s1(ms []injecttest.Message) injecttest.Message {
	if len(ms) != 1 {
		return injecttest.Message{}
	}
	return ms[0]
}

// TestProxyNotOurs: what the MTA has against this host's credentials is no verdict on a client.
func TestProxyNotOurs(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	starttls := func(reply string) []injecttest.Fault {
		return []injecttest.Fault{{Stage: injecttest.STARTTLS, Reply: reply}}
	}
	plain := func() (sasl.Client, error) { return sasl.NewPlainClient("", "joe", "wrong"), nil }
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		options inject.Options
		kind    inject.Kind
	}{
		{"AUTH refused", injecttest.Options{Users: map[string]string{"joe": "right"}}, inject.Options{Auth: plain}, inject.Auth},
		{"STARTTLS refused", injecttest.Options{TLS: id.server(), Faults: starttls("554 5.7.3 no")},
			inject.Options{StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org")}, inject.TLS},
		{"STARTTLS refused for now", injecttest.Options{TLS: id.server(), Faults: starttls("454 4.7.0 not now")},
			inject.Options{StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org")}, inject.TLS},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := proxied{s: newServer(t, c.server)}
			c.options.Carrier = inject.PROXYv1
			r := injectAll(t, p.dial, c.options, message(1))[0]
			if r.Outcome != inject.Deferred || kindOf(r) != c.kind || r.Presented.Addr.IsValid() {
				t.Errorf("%+v, err %v", r, r.Err)
			}
		})
	}
}

// TestProxyProbe: a listener that wants a PROXY header gets one from Probe too, and a session by
// itself, which has presented nobody, delivers nothing.
func TestProxyProbe(t *testing.T) { synctest.Test(t, testProxyProbe) }

func testProxyProbe(t *testing.T) {
	p := proxied{s: newServer(t, injecttest.Options{})}
	c, err := inject.Probe(t.Context(), p.dial, inject.Options{Carrier: inject.PROXYv1}, probed()...)
	if err != nil || c.Greeting.Code != 220 || !c.Pipelining {
		t.Errorf("%+v, %v", c, err)
	}
	if got := p.said(); !strings.HasPrefix(got, "PROXY TCP4 192.0.2.1 ") {
		t.Errorf("said %q", got)
	}
	s := newServer(t, injecttest.Options{})
	session, err := inject.Open(t.Context(), s.Dial, inject.Options{Carrier: inject.PROXYv1})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	r := session.Deliver(t.Context(), message(1), nil)
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol || r.Presented.Addr.IsValid() || s.Count() != 0 {
		t.Errorf("%+v, err %v; %d arrived", r, r.Err, s.Count())
	}
}
