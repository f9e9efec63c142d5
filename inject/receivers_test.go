package inject_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// dovecotAttributes are those that Dovecot 2.3 offers, but for the name.
var dovecotAttributes = []string{"ADDR", "PORT", "PROTO", "HELO", "LOGIN", "SESSION", "TTL", "TIMEOUT"}

// A server that ignores [UNAVAILABLE] must not see one client's attributes in another's message.
func TestAttributesThatAServerKeeps(t *testing.T) {
	for name, c := range map[string]struct {
		offered  []string
		keeps    bool
		sessions int
	}{
		"Dovecot":                           {dovecotAttributes, true, 3},
		"no REVERSE_NAME, as Haraka":        {[]string{"NAME", "ADDR", "PROTO", "HELO", "LOGIN"}, true, 3},
		"an attribute that Postfix has not": {append(injecttest.Attributes(), "SESSION"), true, 3},
		"Postfix":                           {nil, false, 1},
		"Postfix before DESTADDR, DESTPORT": {injecttest.Attributes()[:7], false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{XCLIENT: c.offered, KeepsUnavailable: c.keeps, LMTP: true})
			a, b, d := message(1), message(2), message(3)
			b.Client = inject.Client{Addr: b.Client.Addr, ESMTP: true}
			for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1, Dialect: inject.LMTP}, a, b, d) {
				if r.Outcome != inject.Delivered {
					t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
				}
			}
			for _, m := range s.Messages() {
				if m.Client.Addr != b.Client.Addr.String() {
					continue
				}
				if m.Client.Port != "[UNAVAILABLE]" || strings.Contains(m.Client.Name, "example.net") {
					t.Errorf("a client without a name and a port has those of another: %+v", m.Client)
				}
			}
			// The first connection of a pool is used for a message, so that n messages take n of them, one more where the
			// next is opened early.
			if got := s.Sessions(); got != c.sessions {
				t.Errorf("%d sessions, want %d", got, c.sessions)
			}
		})
	}
}

// Where XCLIENT is possible only before AUTH, and mail only after it, this is the order. On other servers AUTH stays
// the first: Postfix would take a client that logs in for one that may relay.
func TestLoginOfAServerThatPresentsBeforeIt(t *testing.T) {
	for name, c := range map[string]struct {
		server injecttest.Options
		verbs  string
	}{
		"Dovecot": {injecttest.Options{XCLIENT: dovecotAttributes, NeedsAuth: true}, "EHLO XCLIENT EHLO AUTH MAIL RCPT DATA"},
		"Postfix": {injecttest.Options{}, "EHLO AUTH XCLIENT EHLO MAIL RCPT DATA"},
	} {
		t.Run(name, func(t *testing.T) {
			c.server.Record, c.server.Users = true, map[string]string{"joe": "secret"}
			s := newServer(t, c.server)
			login := func() (sasl.Client, error) { return sasl.NewPlainClient("", "joe", "secret"), nil }
			r := injectAll(t, s.Dial, inject.Options{Auth: login}, message(1))[0]
			if r.Outcome != inject.Delivered {
				t.Fatalf("%+v, err %v", r, r.Err)
			}
			if got := verbs(said(s)); !strings.HasPrefix(got, c.verbs) {
				t.Errorf("said %q, want %q", got, c.verbs)
			}
			if got := s.Messages()[0].Client.Addr; got != "198.51.0.1" {
				t.Errorf("the client is %s", got)
			}
		})
	}
}

// A login that is refused after XCLIENT is no fault of the message.
func TestLoginRefusedAfterXCLIENT(t *testing.T) {
	s := newServer(t, injecttest.Options{XCLIENT: dovecotAttributes, NeedsAuth: true, Users: map[string]string{"joe": "other"}})
	login := func() (sasl.Client, error) { return sasl.NewPlainClient("", "joe", "secret"), nil }
	r := injectAll(t, s.Dial, inject.Options{Auth: login}, message(1))[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Auth || !r.BeforeClient {
		t.Errorf("%+v, err %v", r, r.Err)
	}
}

// A second attempt is made only with other words.
func TestRefusedAttributeWithNothingElseToSay(t *testing.T) {
	s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Reply: "501 malformed command syntax"}}})
	m := message(1)
	m.Client = inject.Client{Addr: m.Client.Addr, ESMTP: true}
	r := injectAll(t, s.Dial, inject.Options{}, m)[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol || s.Sessions() != 1 {
		t.Errorf("%+v, err %v, %d sessions", r, r.Err, s.Sessions())
	}
}

// A listener that takes no PROXY header says the same to every message: it is told as what it is, with the
// carrier as the hint, and no message is charged with it.
func TestListenerWithoutPROXY(t *testing.T) {
	for name, f := range map[string]injecttest.Fault{
		"the reply comes before EHLO":             {Stage: injecttest.Greeting, Reply: "220 mx.example.org", Extra: "502 5.5.2 Error: command not recognized\r\n"},
		"Postfix takes the header for a command":  {Stage: injecttest.EHLO, Reply: "502 5.5.2 Error: command not recognized"},
		"Postfix takes version 2 for empty lines": {Stage: injecttest.EHLO, Reply: "500 5.5.2 Error: bad syntax"},
		"Exim sees input before its greeting":     {Stage: injecttest.Greeting, Reply: "554 SMTP synchronization error", Then: injecttest.CloseConn},
	} {
		t.Run(name, func(t *testing.T) {
			p := proxied{s: newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{f}})}
			r := injectAll(t, p.dial, inject.Options{Carrier: inject.PROXYv1}, message(1))[0]
			if r.Outcome != inject.Deferred || kindOf(r) != inject.Misconfigured || !r.BeforeClient || r.ClientGiven {
				t.Fatalf("%+v, err %v", r, r.Err)
			}
			if !strings.Contains(r.Err.Hint(), "carrier: xclient") {
				t.Errorf("hint %q", r.Err.Hint())
			}
			if got := verbs(said(p.s)); strings.Contains(got, "HELO") {
				t.Errorf("said %q", got)
			}
			one := inject.Client{Addr: netip.MustParseAddr("192.0.2.1"), ESMTP: true}
			if _, err := inject.Probe(t.Context(), p.dial, inject.Options{Carrier: inject.PROXYv1}, one); inject.KindOf(err) != inject.Misconfigured {
				t.Errorf("Probe: %v", err)
			}
		})
	}
}

// A listener that waits for a PROXY header hangs up on whoever sends none: the hint names the carrier.
func TestListenerWithPROXYMeetsXCLIENT(t *testing.T) {
	hangUp := func(context.Context) (net.Conn, error) {
		client, server := net.Pipe()
		return client, server.Close()
	}
	_, err := inject.Open(t.Context(), hangUp, inject.Options{})
	e, ok := err.(*inject.Error)
	if !ok || !strings.Contains(e.Hint(), "carrier: proxy-v1") {
		t.Errorf("%v", err)
	}
}

// The probe of a listener for XFORWARD says whether that is offered.
func TestProbeForXFORWARD(t *testing.T) {
	one := inject.Client{Addr: netip.MustParseAddr("192.0.2.1"), ESMTP: true}
	for name, offered := range map[string][]string{"offered": {"NAME", "ADDR"}, "not offered": {}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{XFORWARD: offered})
			c, err := inject.Probe(t.Context(), s.Dial, inject.Options{Carrier: inject.XFORWARD}, one)
			if got := err == nil; got != (len(offered) > 0) {
				t.Errorf("%+v, %v", c, err)
			}
		})
	}
}
