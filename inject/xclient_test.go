package inject_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// said returns what the client said in a transcript.
func said(s *injecttest.Server) []string {
	var out []string
	for _, line := range s.Transcript() {
		if c, ok := strings.CutPrefix(line, "C: "); ok {
			out = append(out, c)
		}
	}
	return out
}

func verbs(lines []string) string {
	var out []string
	for _, l := range lines {
		verb, _, _ := strings.Cut(l, " ")
		out = append(out, verb)
	}
	return strings.Join(out, " ")
}

// What each reply to XCLIENT
// means, and that nothing but QUIT follows it.
func TestXCLIENTRefused(t *testing.T) {
	xclient := func(reply string, then injecttest.Then) injecttest.Options {
		return injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 1, Reply: reply, Then: then}}}
	}
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		outcome inject.Outcome
		kind    inject.Kind
		verbs   string
	}{
		{"not offered", injecttest.Options{XCLIENT: []string{}}, inject.Deferred, inject.Misconfigured, "EHLO QUIT"},
		{"no ADDR", injecttest.Options{XCLIENT: []string{"NAME", "HELO"}}, inject.Deferred, inject.Misconfigured, "EHLO QUIT"},
		{"250 instead of 220", xclient("250 2.0.0 Ok", 0), inject.Deferred, inject.Misconfigured, "EHLO XCLIENT QUIT"},
		{"postscreen 3.7", xclient("502 5.5.2 Error: command not recognized", 0), inject.Deferred, inject.Misconfigured, "EHLO XCLIENT QUIT"},
		{"not authorised", xclient("550 5.7.0 Error: insufficient authorization", 0), inject.Deferred, inject.Misconfigured, "EHLO XCLIENT QUIT"},
		{"greylisted", xclient("450 4.7.1 Client host rejected: greylisted", injecttest.Dead), inject.Deferred, inject.Unclassified, "EHLO XCLIENT QUIT"},
		{"listed", xclient("554 5.7.1 Client host rejected: listed", injecttest.Dead), inject.Refused, inject.Unclassified, "EHLO XCLIENT QUIT"},
		{"550 5.7.1 is of the client", xclient("550 5.7.1 Client host rejected", injecttest.Dead), inject.Refused, inject.Unclassified, "EHLO XCLIENT QUIT"},
		{"521", xclient("521 5.7.1 hard no", injecttest.CloseConn), inject.Refused, inject.Unclassified, "EHLO XCLIENT QUIT"},
		{"too many connections", xclient("421 4.7.0 Error: too many connections from 192.0.2.1", injecttest.CloseConn), inject.Deferred, inject.Unclassified, "EHLO XCLIENT"},
		{"503 is no verdict", xclient("503 5.7.0 Error: access denied", 0), inject.Deferred, inject.Protocol, "EHLO XCLIENT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.server.Record = true
			s := newServer(t, c.server)
			r := injectAll(t, s.Dial, inject.Options{}, message(1))[0]
			if r.Outcome != c.outcome || kindOf(r) != c.kind || r.Stage != "XCLIENT" {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			// A pipe lost in the act does not carry QUIT.
			if got := verbs(said(s)); got != c.verbs && got+" QUIT" != c.verbs {
				t.Errorf("said %q, want %q", got, c.verbs)
			}
			if c.kind == inject.Misconfigured && r.Err.Text == "" {
				t.Errorf("no explanation: %v", r.Err)
			}
			if s.Count() != 0 {
				t.Error("it arrived")
			}
		})
	}
}

// One retry on a fresh connection, without what was refused.
func TestBadAttribute(t *testing.T) {
	const na = "[UNAVAILABLE]"
	full := injecttest.Client{Name: "c1.example.net", Addr: "198.51.0.1", ReverseName: "c1.example.net", Port: "1025", Proto: "ESMTP",
		HELO: "helo1.example.net", Login: na, DestAddr: na, DestPort: na}
	for _, c := range []struct {
		reply string
		want  func(*injecttest.Client)
	}{
		{"501 5.5.4 Bad NAME syntax: c1.example.net", func(c *injecttest.Client) { c.Name, c.ReverseName = na, na }},
		{"501 5.5.4 Bad REVERSE_NAME syntax: c1.example.net", func(c *injecttest.Client) { c.Name, c.ReverseName = na, na }},
		{"501 5.5.4 Bad HELO syntax: x", func(c *injecttest.Client) { c.HELO = "[198.51.0.1]" }},
		{"501 5.5.4 Bad PORT syntax: 1025", func(c *injecttest.Client) { c.Port = na }},
		{"501 5.5.4 Error: attribute value too long", func(c *injecttest.Client) {
			c.Name, c.ReverseName, c.Port, c.HELO = na, na, na, "[198.51.0.1]"
		}},
	} {
		t.Run(c.reply, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 1, Reply: c.reply}}})
			r := injectAll(t, s.Dial, inject.Options{Hello: "[127.0.0.1]"}, message(1))[0]
			if r.Outcome != inject.Delivered || !strings.Contains(r.Note, "refused with 501") || s.Sessions() != 2 {
				t.Fatalf("%+v, err %v, %d sessions", r, r.Err, s.Sessions())
			}
			want := full
			c.want(&want)
			if got := s.Messages()[0].Client; got != want {
				t.Errorf("presented %+v, want %+v", got, want)
			}
		})
	}
	t.Run("twice", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Reply: "501 5.5.4 Bad PROTO syntax: ESMTP"}}})
		r := injectAll(t, s.Dial, inject.Options{}, message(1))[0]
		if r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol || s.Sessions() != 2 {
			t.Errorf("%+v, err %v, %d sessions", r, r.Err, s.Sessions())
		}
	})
}

// TestAddressThatTheMTADoesNotTake: a client that is known is never presented as one that is not. An MTA without
// IPv6 refuses the address of each IPv6 client, and its mail waits until that is mended.
func TestAddressThatTheMTADoesNotTake(t *testing.T) {
	for addr, want := range map[string]struct {
		kind inject.Kind
		hint string
	}{"2001:db8::1": {inject.Misconfigured, "inet_protocols=all"}, "198.51.0.1": {inject.Protocol, ""}} {
		t.Run(addr, func(t *testing.T) {
			fault := injecttest.Fault{Stage: injecttest.XCLIENT, Nth: 1, Reply: "501 5.5.4 Bad ADDR syntax: IPV6:" + addr}
			s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{fault}})
			m := message(1)
			m.Client.Addr = netip.MustParseAddr(addr)
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2))
			if rs[0].Outcome != inject.Deferred || kindOf(rs[0]) != want.kind || !strings.Contains(rs[0].Err.Error(), want.hint) {
				t.Errorf("%+v, err %v; want it deferred, and %q said", rs[0], rs[0].Err, want.hint)
			}
			if rs[1].Outcome != inject.Delivered || s.Count() != 1 {
				t.Errorf("the message behind: %+v, err %v; %d arrived", rs[1], rs[1].Err, s.Count())
			}
			for _, line := range said(s) {
				if strings.Contains(line, " ADDR=[UNAVAILABLE]") {
					t.Errorf("it was presented as unknown: %s", line)
				}
			}
		})
	}
}

// On the wire are the attributes that the server offers, and no others.
func TestAttributesOffered(t *testing.T) {
	s := newServer(t, injecttest.Options{XCLIENT: []string{"NAME", "ADDR"}, Record: true})
	if r := injectAll(t, s.Dial, inject.Options{}, message(1))[0]; r.Outcome != inject.Delivered {
		t.Fatalf("%+v, err %v", r, r.Err)
	}
	if lines := said(s); lines[1] != "XCLIENT NAME=c1.example.net ADDR=198.51.0.1" || lines[2] != "EHLO helo1.example.net" {
		t.Errorf("said %q", lines)
	}
}

// TestAttributesChange: an attribute that is no longer offered cannot be set again for the next
// message, which therefore gets another connection, however many others are offered instead.
func TestAttributesChange(t *testing.T) {
	s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.EHLO2, Nth: 1,
		Reply: "250-mx.example.org\r\n250-PIPELINING\r\n250 XCLIENT NAME ADDR PROTO HELO REVERSE_NAME FUTURE LOGIN DESTADDR DESTPORT"}}})
	a, b := message(1), message(2)
	for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1}, a, b) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	if got := s.Messages()[1].Client.Port; got != fmt.Sprint(b.Client.Port) {
		t.Errorf("the second client's port is %s; the first one's was %d", got, a.Client.Port)
	}
}

// A hostile HELO on the wire: one line, no control
// character, and the very octets at the other end.
func TestHostileHELO(t *testing.T) {
	for helo, hello := range map[string]string{
		"a\r\nMAIL FROM:<evil@example.com>": "a??MAIL?FROM:<evil@example.com>",
		"x+0D+0ARSET":                       "x+0D+0ARSET",
		"tab\tand space":                    "tab?and?space",
		"esc\x1b[2J":                        "esc?[2J",
		"caf\xc3\xa9":                       "caf??",
		"(c) <a> \"q\" a=b":                 "(c)?<a>?\"q\"?a=b",
		"\x01\x02":                          "[198.51.0.1]",
		"":                                  "[198.51.0.1]",
	} {
		t.Run(fmt.Sprintf("%q", helo), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true, Rules: injecttest.Rules{}})
			m := message(1)
			m.Client.HELO = helo
			r := injectAll(t, s.Dial, inject.Options{Hello: "own.example.org"}, m)[0]
			if r.Outcome != inject.Delivered {
				t.Fatalf("%+v, err %v", r, r.Err)
			}
			if got := s.Messages()[0].Hello; got != hello {
				t.Errorf("EHLO %q, want %q", got, hello)
			}
			if hello == "[198.51.0.1]" && r.Note == "" {
				t.Error("a literal was said, and no word of it")
			}
			lines := said(s)
			for _, l := range lines {
				if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("on the wire: %q", l)
				}
			}
			if got := verbs(lines); got != "EHLO XCLIENT EHLO MAIL RCPT DATA (40 . QUIT" {
				t.Errorf("said %q", got)
			}
		})
	}
}

// Whatever the order of clients, of which some know much and some
// nothing, the server never sees at one what belongs to another.
func TestNoLeak(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var ms []*inject.Message
		for i := range 30 {
			m := message(i)
			strip := []func(){
				func() { m.Client.Addr = netip.Addr{} },
				func() { m.Client.Name = "" },
				func() { m.Client.Name, m.Client.NameTemporary = "", true },
				func() { m.Client.Name, m.Client.ReverseName = "", fmt.Sprintf("r%d.example.net", i) },
				func() { m.Client.HELO = "" },
				func() { m.Client.Port = 0 },
				func() { m.Client.DestAddr, m.Client.DestPort = netip.MustParseAddr("203.0.113.1"), 25 },
				func() { m.Client.HELO = strings.Repeat("h", 255) },
				func() { m.Client.Addr = netip.MustParseAddr("127.0.0.1") },
				func() { m.Client.ESMTP = false },
			}
			for range rnd.IntN(4) {
				strip[rnd.IntN(len(strip))]()
			}
			ms = append(ms, m)
		}
		for _, once := range []bool{false, true} {
			s := newServer(t, injecttest.Options{Once: once})
			for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1, Hello: "own.example.org"}, ms...) {
				if r.Outcome != inject.Delivered {
					t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
				}
			}
			for i, got := range s.Messages() {
				safe, _ := ms[i].Client.Safe(nil)
				if want := seen(safe); got.Client != want {
					t.Errorf("seed %d, once %v, message %d was seen from\n%+v, want\n%+v", seed, once, i, got.Client, want)
				}
			}
		}
	}
}

// TestClientWithoutAName introduces itself by the literal of its address, under each carrier that speaks in its name.
func TestClientWithoutAName(t *testing.T) {
	for a, want := range map[string]string{"192.0.0.8": "[192.0.0.8]", "2001:db8::1": "[IPv6:2001:db8::1]", "::ffff:198.51.0.9": "[198.51.0.9]"} {
		s := newServer(t, injecttest.Options{Record: true})
		m := message(1)
		m.Client.Addr, m.Client.HELO = netip.MustParseAddr(a), ""
		r := injectAll(t, s.Dial, inject.Options{Hello: "own.example.org"}, m)[0]
		if lines := said(s); r.Outcome != inject.Delivered || lines[2] != "EHLO "+want {
			t.Errorf("%s: %+v, err %v, said %q; want EHLO %s", a, r, r.Err, lines, want)
		}
	}
}

// seen is how a server that honours XCLIENT and then EHLO sees a client.
func seen(c inject.Client) injecttest.Client {
	or := func(s string) string {
		if s == "" {
			return "[UNAVAILABLE]"
		}
		return s
	}
	number := func(n uint16) string {
		if n == 0 {
			return "[UNAVAILABLE]"
		}
		return fmt.Sprint(n)
	}
	address := func(a netip.Addr) string {
		if !a.IsValid() {
			return "[UNAVAILABLE]"
		}
		return a.String()
	}
	name := func(s string) string {
		if s == "" && c.NameTemporary {
			return "[TEMPUNAVAIL]"
		}
		return or(s)
	}
	helo := c.HELO
	if helo == "" {
		helo = "[192.0.0.8]"
		if c.Addr.IsValid() {
			helo = "[" + c.Addr.String() + "]"
		}
	}
	return injecttest.Client{Name: name(c.Name), Addr: address(c.Addr), ReverseName: name(c.ReverseName), Port: number(c.Port),
		Proto: "ESMTP", HELO: helo, Login: "[UNAVAILABLE]", DestAddr: address(c.DestAddr), DestPort: number(c.DestPort)}
}

// countingConn counts writes.
type countingConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestRoundTrips: with PIPELINING and reset in place, three writes a message, and as many waits.
func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name    string
		server  injecttest.Options
		options inject.Options
		want    int64
	}{
		{"reset in place", injecttest.Options{}, inject.Options{}, 2 + 3*3 + 1},                               // EHLO, XCLIENT; EHLO, MAIL.., content..; QUIT
		{"once", injecttest.Options{Once: true}, inject.Options{}, 3 * 5},                                     // EHLO, XCLIENT, EHLO, MAIL.., content and QUIT
		{"no PIPELINING", injecttest.Options{Without: []string{"PIPELINING"}}, inject.Options{}, 1 + 3*6 + 1}, // EHLO; XCLIENT, EHLO, MAIL, RCPT, DATA, content; QUIT
		{"off", injecttest.Options{}, inject.Options{XCLIENT: inject.Off}, 1 + 3*2 + 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.server)
			var writes atomic.Int64
			dial := func(ctx context.Context) (net.Conn, error) {
				conn, err := s.Dial(ctx)
				return countingConn{conn, &writes}, err
			}
			c.options.Connections = 1
			p := inject.NewPool(dial, c.options)
			queued := make(chan bool) // the first is held back until all are queued
			for i := range 3 {
				m := message(i)
				if i == 0 {
					m.BeforeDot = func(context.Context) error { <-queued; return nil }
				}
				if err := p.Submit(t.Context(), m, func(r inject.Receipt) {
					if r.Outcome != inject.Delivered {
						t.Errorf("%+v, err %v", r, r.Err)
					}
				}); err != nil {
					t.Fatal(err)
				}
				if i == 1 {
					close(queued)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := writes.Load(); got > c.want+1 {
				t.Errorf("%d writes, want %d, or one more if the queue ran empty", got, c.want)
			}
		})
	}
}

// TestModes: off and if-available send as this host, and say so.
func TestModes(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    inject.Mode
		offered []string
		address string
	}{
		{"off", inject.Off, nil, "127.0.0.1"},
		{"if-available and it is not", inject.IfAvailable, []string{}, "127.0.0.1"},
		{"if-available and it is", inject.IfAvailable, nil, "198.51.0.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{XCLIENT: c.offered})
			rs := injectAll(t, s.Dial, inject.Options{XCLIENT: c.mode, Connections: 1}, message(1), message(1))
			for i, r := range rs {
				presented := c.address != "127.0.0.1"
				if r.Outcome != inject.Delivered || (r.Note == "") != presented || r.Presented.Addr.IsValid() != presented {
					t.Errorf("%d: %+v, err %v", i, r, r.Err)
				}
				if got := s.Messages()[i].Client.Addr; got != c.address {
					t.Errorf("%d: seen from %s", i, got)
				}
			}
			if s.Sessions() != 1 {
				t.Errorf("%d sessions", s.Sessions())
			}
		})
	}
}

// TestStaleSession: a session that the server closed while it was idle costs nothing, and one
// that it closes between two messages costs a connection.
func TestStaleSession(t *testing.T) {
	bubble(t, "idle", func(t *testing.T) {
		s := injecttest.New(injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Extra: "421 4.4.2 timeout exceeded", Then: injecttest.CloseConn, Reply: "250 ok"}}})
		defer func() { _ = s.Close() }()
		p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
		for range 2 {
			done := make(chan inject.Receipt)
			if err := p.Submit(t.Context(), message(1), func(r inject.Receipt) { done <- r }); err != nil {
				t.Fatal(err)
			}
			if r := <-done; r.Outcome != inject.Delivered {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute) // longer than Timeouts.Idle
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if s.Sessions() != 2 {
			t.Errorf("%d sessions", s.Sessions())
		}
	})
	t.Run("in the act", func(t *testing.T) {
		// The second message's XCLIENT rides behind the first one's dot, and gets no reply.
		s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 2, Then: injecttest.CloseConn}}})
		for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), message(2), message(3)) {
			if r.Outcome != inject.Delivered {
				t.Errorf("message %d: %+v, err %v", i, r, r.Err)
			}
		}
		if s.Sessions() != 2 || s.Count() != 3 {
			t.Errorf("%d sessions, %d messages", s.Sessions(), s.Count())
		}
	})
}

// TestDelayedAck: a server that sends the replies to a dot and to the XCLIENT behind it in two
// segments, the second only when the first is acknowledged, does not cost 40 ms a message. A busy
// machine may cost more: one run of several in time shows that the wait is not the rule.
func TestDelayedAck(t *testing.T) {
	const messages, limit = 25, 25 * 40 * time.Millisecond / 2
	var took [5]time.Duration
	for i := range took {
		// What a server that does not wait takes, all else is.
		if took[i] = unacknowledged(t, messages, false) - unacknowledged(t, messages, true); runtime.GOOS != "linux" || took[i] < limit {
			return
		}
	}
	t.Errorf("%d messages took %v longer", messages, took)
}

// unacknowledged returns how long so many messages take to a server that minds Nagle, or does not.
func unacknowledged(t *testing.T, messages int, noDelay bool) time.Duration {
	t.Helper()
	s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Delay: time.Millisecond}}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	defer func() { _ = l.Close(); serving.Wait() }()
	serving.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = conn.(*net.TCPConn).SetNoDelay(noDelay)
		s.Serve(conn)
	})
	var ms []*inject.Message
	for i := range messages {
		ms = append(ms, message(i))
	}
	start := time.Now()
	dial := func(context.Context) (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	for i, r := range injectAll(t, dial, inject.Options{Connections: 1}, ms...) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	return time.Since(start)
}
