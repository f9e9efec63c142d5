package inject_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestRepliesToTheLetter: steps that one code answers take no other, though it be positive.
func TestRepliesToTheLetter(t *testing.T) {
	for _, c := range []struct {
		stage injecttest.Stage
		reply string
		kind  inject.Kind
		want  string // the stage in the receipt
	}{
		{injecttest.Greeting, "250 hello", inject.Protocol, "greeting"},
		{injecttest.Greeting, "221 bye", inject.Protocol, "greeting"},
		{injecttest.EHLO, "251-mx.example.org\r\n251 XCLIENT NAME ADDR", inject.Protocol, "EHLO"},
		{injecttest.HELO, "220 mx.example.org", inject.Protocol, "HELO"},
		{injecttest.XCLIENT, "250 2.0.0 Ok", inject.Misconfigured, "XCLIENT"},
		{injecttest.EHLO2, "251-mx.example.org\r\n251 XCLIENT NAME ADDR", inject.Protocol, "EHLO"},
		{injecttest.DATA, "334 go ahead", inject.Protocol, "DATA"},
		{injecttest.DATA, "250 ok", inject.Protocol, "DATA"},
	} {
		t.Run(fmt.Sprint(c.stage, "/", c.reply), func(t *testing.T) {
			o := inject.Options{}
			so := injecttest.Options{Faults: []injecttest.Fault{{Stage: c.stage, Nth: 1, Reply: c.reply}}, Record: true}
			if c.stage == injecttest.HELO {
				so.NoEHLO, o.XCLIENT = true, inject.Off
			}
			r, s, _ := one(t, so, o)
			if r.Outcome != inject.Deferred || kindOf(r) != c.kind || r.Stage != c.want {
				t.Errorf("%v at %q, kind %v: %v\n%s", r.Outcome, r.Stage, kindOf(r), r.Err, strings.Join(s.Transcript(), "\n"))
			}
			if arrived(s, message(1)) != 0 {
				t.Error("it arrived")
			}
		})
	}
}

// TestResetReply: a transaction that was begun ends with RSET, and nothing follows a reply to that other
// than 250. It is not about the message behind, which goes by a fresh session.
func TestResetReply(t *testing.T) {
	for _, mode := range []inject.Mode{inject.Required, inject.Off} {
		for _, reply := range []string{"250 2.0.0 Ok", "251 2.0.0 Ok", "354 go ahead", "421 4.4.2 timeout", "451 4.3.0 later", "503 5.5.1 bad sequence", "hello"} {
			t.Run(fmt.Sprint(mode, "/", reply), func(t *testing.T) {
				s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: injecttest.RSET, Nth: 1, Reply: reply}}})
				dry := message(1)
				dry.DryRun = true
				rs := injectAll(t, s.Dial, inject.Options{Connections: 1, XCLIENT: mode}, dry, message(2), message(3))
				if rs[0].Stage != "RCPT" || rs[2].Outcome != inject.Delivered || !strings.Contains(verbs(said(s)), "RSET") {
					t.Fatalf("%+v, %+v\n%s", rs[0], rs[2], strings.Join(s.Transcript(), "\n"))
				}
				if strings.HasPrefix(reply, "250") {
					if rs[1].Outcome != inject.Delivered || s.Sessions() != 1 {
						t.Errorf("%+v, err %v, over %d sessions", rs[1], rs[1].Err, s.Sessions())
					}
					return
				}
				if rs[1].Outcome != inject.Delivered || arrived(s, message(2)) != 1 || s.Sessions() != 2 {
					t.Errorf("%+v, err %v, over %d sessions", rs[1], rs[1].Err, s.Sessions())
				}
			})
		}
	}
}

// TestXFORWARDReplies: what each reply to XFORWARD means. Where the attributes were not taken no mail follows,
// for they would be those of another message.
func TestXFORWARDReplies(t *testing.T) {
	for _, c := range []struct {
		reply   string
		outcome inject.Outcome
		kind    inject.Kind
	}{
		{"250 2.0.0 Ok", inject.Delivered, inject.Unclassified},
		{"220 2.0.0 Ok", inject.Deferred, inject.Misconfigured},
		{"421 4.3.2 closing", inject.Deferred, inject.Unclassified},
		{"450 4.3.2 later", inject.Deferred, inject.Unclassified},
		{"501 5.5.4 Bad NAME syntax", inject.Deferred, inject.Misconfigured},
		{"550 5.7.0 Error: insufficient authorization", inject.Deferred, inject.Misconfigured},
	} {
		t.Run(c.reply, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true, XFORWARD: []string{"NAME", "ADDR"},
				Faults: []injecttest.Fault{{Stage: injecttest.XFORWARD, Nth: 1, Reply: c.reply}}})
			session, err := inject.Open(t.Context(), s.Dial, inject.Options{Carrier: inject.XFORWARD})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			r := session.Deliver(t.Context(), message(1), nil)
			if r.Outcome != c.outcome || kindOf(r) != c.kind || session.Reusable() != (c.outcome == inject.Delivered) {
				t.Errorf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
			}
			if got := verbs(said(s)); strings.Contains(got, "MAIL") != (c.outcome == inject.Delivered) {
				t.Errorf("said %s", got)
			}
		})
	}
}

// TestXFORWARDReset: an open transaction is reset before the next client is presented.
func TestXFORWARDReset(t *testing.T) {
	s := newServer(t, injecttest.Options{Record: true, XFORWARD: []string{"NAME", "ADDR"}})
	dry := message(1)
	dry.DryRun = true
	rs := injectAll(t, s.Dial, inject.Options{Connections: 1, Carrier: inject.XFORWARD}, dry, message(2))
	if rs[0].Stage != "RCPT" || rs[1].Outcome != inject.Delivered || s.Sessions() != 1 {
		t.Errorf("%+v, then %+v, err %v, over %d sessions\n%s", rs[0], rs[1], rs[1].Err, s.Sessions(), strings.Join(said(s), "\n"))
	}
}

// TestReusableAfterCancel: a session whose context has ended serves no other message, not even if the verdict
// came in time.
func TestReusableAfterCancel(t *testing.T) {
	for _, stage := range []injecttest.Stage{injecttest.MAIL, injecttest.DOT} {
		bubble(t, string(stage), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: stage, Delay: 20 * time.Second}}})
			session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			r := session.Deliver(ctx, message(1), nil)
			if (r.Outcome == inject.Delivered) != (stage == injecttest.DOT) || session.Reusable() {
				t.Errorf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
			}
		})
	}
}

// TestAuthReplies: only 235 is success, and a temporary failure does not blame the credentials.
func TestAuthReplies(t *testing.T) {
	for reply, kind := range map[string]inject.Kind{
		"235 2.7.0 welcome":               inject.Unclassified,
		"250 2.7.0 welcome":               inject.Auth,
		"334 cGxlYXNl":                    inject.Auth, // PLAIN has nothing more to say
		"334 not base64":                  inject.Auth,
		"454 4.7.0 temporary failure":     inject.Unreachable,
		"535 5.7.8 authentication failed": inject.Auth,
	} {
		t.Run(reply, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Users: map[string]string{"joe": "secret"}, Record: true,
				Faults: []injecttest.Fault{{Stage: injecttest.AUTH, Reply: reply}}})
			o := inject.Options{XCLIENT: inject.Off, Auth: func() (sasl.Client, error) { return sasl.NewPlainClient("", "joe", "secret"), nil }}
			r := injectAll(t, s.Dial, o, message(1))[0]
			if kindOf(r) != kind || (r.Outcome == inject.Delivered) != (kind == inject.Unclassified) {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			// An exchange that cannot go on is cancelled (RFC 4954 section 4).
			if cancelled := strings.Contains(verbs(said(s)), "*"); cancelled != strings.HasPrefix(reply, "334") {
				t.Errorf("said %s", verbs(said(s)))
			}
		})
	}
}

// nothingAtFirst is a mechanism whose initial response is there and empty.
type nothingAtFirst struct{}

func (nothingAtFirst) Start() (string, []byte, error) { return "PLAIN", []byte{}, nil }

func (nothingAtFirst) Next([]byte) ([]byte, error) { return nil, sasl.ErrUnexpectedServerChallenge }

// TestEmptyInitialResponse: it is sent as an equals sign, for without one the server would wait for it (RFC 4954
// section 4).
func TestEmptyInitialResponse(t *testing.T) {
	s := newServer(t, injecttest.Options{Users: map[string]string{"joe": "secret"}, Record: true})
	o := inject.Options{XCLIENT: inject.Off, Auth: func() (sasl.Client, error) { return nothingAtFirst{}, nil }}
	injectAll(t, s.Dial, o, message(1))
	if transcript := strings.Join(s.Transcript(), "\n"); !strings.Contains(transcript, "AUTH PLAIN =") {
		t.Errorf("said\n%s", transcript)
	}
}

// TestQuit: QUIT is said to a server that refuses us, and not to one that closes or breaks the protocol.
func TestQuit(t *testing.T) {
	for _, c := range []struct {
		stage injecttest.Stage
		reply string
		verbs string
	}{
		{injecttest.Greeting, "554 5.7.1 no", "QUIT"},
		{injecttest.Greeting, "450 4.3.2 later", "QUIT"},
		{injecttest.Greeting, "421 4.3.2 closing", ""},
		{injecttest.Greeting, "250 hello", ""},
		{injecttest.EHLO, "550 5.7.1 no", "EHLO QUIT"},
		{injecttest.EHLO, "421 4.3.2 closing", "EHLO"},
		{injecttest.EHLO, "354 go on", "EHLO"},
		{injecttest.MAIL, "550 5.7.1 no", "EHLO XCLIENT EHLO MAIL RCPT DATA QUIT"},
		{injecttest.MAIL, "421 4.3.2 closing", "EHLO XCLIENT EHLO MAIL RCPT DATA"},
		{injecttest.MAIL, "521 5.3.2 closing", "EHLO XCLIENT EHLO MAIL RCPT DATA"},
		{injecttest.RCPT, "521 5.3.2 closing", "EHLO XCLIENT EHLO MAIL RCPT DATA"},
		{injecttest.DOT, "421 4.3.2 closing", "EHLO XCLIENT EHLO MAIL RCPT DATA (40 ."},
		{injecttest.DOT, "554 5.7.1 no", "EHLO XCLIENT EHLO MAIL RCPT DATA (40 . QUIT"},
	} {
		t.Run(fmt.Sprint(c.stage, "/", c.reply), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: c.stage, Reply: c.reply}}})
			if r := injectAll(t, s.Dial, inject.Options{}, message(1))[0]; r.Outcome == inject.Delivered {
				t.Errorf("%+v", r)
			}
			if got := verbs(said(s)); got != c.verbs {
				t.Errorf("said %q, want %q", got, c.verbs)
			}
		})
	}
}

// failingClose is a body that is read well and closed ill.
type failingClose struct{ io.Reader }

func (failingClose) Close() error { return errSource }

// TestBodyClose: content whose source fails when it is closed is not whole.
func TestBodyClose(t *testing.T) {
	for _, chunking := range []bool{false, true} {
		s := newServer(t, injecttest.Options{})
		m := message(1)
		const content = "Subject: x\r\n\r\nx\r\n"
		m.Size, m.Body = int64(len(content)), func() (io.ReadCloser, error) { return failingClose{strings.NewReader(content)}, nil }
		rs := injectAll(t, s.Dial, inject.Options{Connections: 1, Chunking: chunking}, m, message(2))
		if rs[0].Outcome != inject.Deferred || kindOf(rs[0]) != inject.Local || !errors.Is(rs[0].Err, errSource) {
			t.Errorf("chunking %v: %+v, err %v", chunking, rs[0], rs[0].Err)
		}
		if rs[1].Outcome != inject.Delivered || s.Count() != 1 {
			t.Errorf("chunking %v: behind it %+v; %d arrived", chunking, rs[1], s.Count())
		}
	}
}

// recordingConn keeps what is written to it.
type recordingConn struct {
	net.Conn
	write func([]byte)
}

func (c recordingConn) Write(p []byte) (int, error) {
	c.write(p)
	return c.Conn.Write(p)
}

// recorded returns a dialer whose connections keep what is written to them, and a function that returns
// it, each write by itself.
func recorded(dial inject.Dialer) (inject.Dialer, func() []string) {
	var mu sync.Mutex
	var writes []string
	recording := func(ctx context.Context) (net.Conn, error) {
		conn, err := dial(ctx)
		return recordingConn{conn, func(p []byte) {
			mu.Lock()
			defer mu.Unlock()
			writes = append(writes, string(p))
		}}, err
	}
	return recording, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(writes)
	}
}

// TestPipelinedXCLIENT: the next message's XCLIENT is in the write that ends with the dot if, and only
// if, PIPELINING is offered and the session can be reset in place.
func TestPipelinedXCLIENT(t *testing.T) {
	for _, c := range []struct {
		name   string
		server injecttest.Options
		mode   inject.Mode
		with   string // what follows the first dot in its write
	}{
		{"reset in place", injecttest.Options{}, inject.Required, "XCLIENT"},
		{"no PIPELINING", injecttest.Options{Without: []string{"PIPELINING"}}, inject.Required, ""},
		{"a connection for each message", injecttest.Options{Once: true}, inject.Required, "QUIT"},
		{"a connection for each message, no PIPELINING", injecttest.Options{Once: true, Without: []string{"PIPELINING"}}, inject.Required, ""},
		{"XCLIENT off", injecttest.Options{}, inject.Off, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.server)
			dial, writes := recorded(s.Dial)
			session, err := inject.Open(t.Context(), dial, inject.Options{XCLIENT: c.mode})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			asked := false
			r := session.Deliver(t.Context(), message(1), func() *inject.Message { asked = true; return message(2) })
			if r.Outcome != inject.Delivered || asked != (c.with == "XCLIENT") {
				t.Fatalf("%+v, err %v, asked for the next message: %v", r, r.Err, asked)
			}
			all := writes()
			last := all[len(all)-1]
			_, after, found := strings.Cut(last, "\r\n.\r\n")
			if verb, _, _ := strings.Cut(strings.TrimSpace(after), " "); !found || verb != c.with {
				t.Errorf("the last write is %q, want %q after the dot", last, c.with)
			}
			// What goes out early is what may be presented.
			if strings.Contains(after, "ADDR=") && !strings.Contains(after, "ADDR=198.51.0.2") {
				t.Errorf("pipelined %q", after)
			}
		})
	}
}

// TestPipelinedClientIsSafe: the XCLIENT that is sent with a dot presents nobody who must not be
// presented.
func TestPipelinedClientIsSafe(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	local := message(2)
	local.Client.Addr = netip.MustParseAddr("127.0.0.1")
	for _, r := range []inject.Receipt{
		session.Deliver(t.Context(), message(1), func() *inject.Message { return local }),
		session.Deliver(t.Context(), local, nil),
	} {
		if r.Outcome != inject.Delivered {
			t.Fatalf("%+v, err %v", r, r.Err)
		}
	}
	if got := s.Messages()[1].Client; got.Addr != "[UNAVAILABLE]" || got.Name != "[UNAVAILABLE]" {
		t.Errorf("presented %+v", got)
	}
}

// TestReplyTooMany: a reply that came with an earlier one is never taken for that to a command, whichever
// command is next.
func TestReplyTooMany(t *testing.T) {
	for _, c := range []struct {
		name string
		o    inject.Options
	}{
		{"XCLIENT", inject.Options{}},
		{"MAIL", inject.Options{XCLIENT: inject.Off}},
		{"XFORWARD", inject.Options{Carrier: inject.XFORWARD}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Record: true, XFORWARD: []string{"NAME", "ADDR"},
				Faults: []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Extra: "220 2.0.0 what"}}})
			session, err := inject.Open(t.Context(), s.Dial, c.o)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			if r := session.Deliver(t.Context(), message(1), nil); r.Outcome != inject.Delivered {
				t.Fatalf("%+v, err %v", r, r.Err)
			}
			before := len(said(s))
			r := session.Deliver(t.Context(), message(2), nil)
			if r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol || session.Reusable() {
				t.Errorf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
			}
			if more := said(s)[before:]; len(more) > 0 {
				t.Errorf("said %q", more)
			}
		})
	}
}

// TestAheadOfNeed: where each connection serves one message, the next one is open, and as far as EHLO,
// before the first message is through.
func TestAheadOfNeed(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Once: true, Record: true, Faults: []injecttest.Fault{{Stage: injecttest.EHLO2, Nth: 1, Delay: time.Second}}})
		m := message(1)
		m.BeforeDot = func(context.Context) error {
			synctest.Wait()
			if got := verbs(said(s)); s.Sessions() != 2 || strings.Count(got, "EHLO") != 3 {
				t.Errorf("%d sessions, said %s", s.Sessions(), got)
			}
			return nil
		}
		for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2)) {
			if r.Outcome != inject.Delivered {
				t.Errorf("message %d: %+v, err %v", i, r, r.Err)
			}
		}
	})
}

// TestIdleSession: a session that nobody needs for Timeouts.Idle is closed with QUIT.
func TestIdleSession(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Record: true})
		p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
		if err := p.Submit(t.Context(), message(1), func(inject.Receipt) {}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			after time.Duration
			quit  bool
		}{{9 * time.Second, false}, {2 * time.Second, true}} {
			time.Sleep(c.after)
			synctest.Wait()
			if got := verbs(said(s)); strings.HasSuffix(got, "QUIT") != c.quit {
				t.Errorf("after another %v said %s", c.after, got)
			}
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLMTPPatience: each verdict is awaited like one of SMTP, and when the context has ended for no
// longer than Timeouts.Grace.
func TestLMTPPatience(t *testing.T) {
	dot := func(nth int, delay time.Duration) injecttest.Fault {
		return injecttest.Fault{Stage: injecttest.DOT, Nth: nth, Delay: delay}
	}
	for _, c := range []struct {
		name   string
		faults []injecttest.Fault
		limit  time.Duration // of the context
		each   string
		took   time.Duration
	}{
		{"late", []injecttest.Fault{dot(1, 599*time.Second), dot(2, 599*time.Second)}, time.Hour, "delivered delivered", 1198 * time.Second},
		{"too late", []injecttest.Fault{dot(1, 599*time.Second), dot(2, 601*time.Second)}, time.Hour, "delivered in-doubt", 1199 * time.Second},
		{"first within the grace", []injecttest.Fault{dot(1, 20*time.Second), dot(2, time.Minute)}, 15 * time.Second, "delivered in-doubt", 30 * time.Second},
		{"both within the grace", []injecttest.Fault{dot(1, 20*time.Second), dot(2, 9*time.Second)}, 15 * time.Second, "delivered delivered", 29 * time.Second},
	} {
		bubble(t, c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{LMTP: true, Faults: c.faults})
			session, err := inject.Open(t.Context(), s.Dial, inject.Options{Dialect: inject.LMTP})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			m := message(1)
			m.To = []string{"one@example.org", "two@example.org"}
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			start := time.Now()
			r := session.Deliver(ctx, m, nil)
			if took := time.Since(start).Round(time.Second); outcomes(r) != c.each || took != c.took {
				t.Errorf("%s after %v, want %s after %v: %v", outcomes(r), took, c.each, c.took, r.Err)
			}
		})
	}
}

// TestRepliesStillDue: the replies to what was sent along with a refused MAIL decide whether the session
// goes on.
func TestRepliesStillDue(t *testing.T) {
	for _, c := range []struct {
		stage    injecttest.Stage
		reply    string
		reusable bool
	}{
		{injecttest.RCPT, "503 5.5.1 need MAIL", true},
		{injecttest.RCPT, "250 ok", true},
		{injecttest.RCPT, "421 4.3.2 closing", false},
		{injecttest.RCPT, "521 5.3.2 closing", false},
		{injecttest.RCPT, "what", false},
		{injecttest.DATA, "503 5.5.1 need MAIL", true},
		{injecttest.DATA, "354 go ahead", false},
		{injecttest.DATA, "421 4.3.2 closing", false},
	} {
		t.Run(fmt.Sprint(c.stage, "/", c.reply), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{
				{Stage: injecttest.MAIL, Nth: 1, Reply: "450 4.7.1 later"}, {Stage: c.stage, Nth: 1, Reply: c.reply}}})
			session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			r := session.Deliver(t.Context(), message(1), nil)
			if r.Outcome != inject.Deferred || r.Stage != "MAIL" || r.Reply.Code != 450 || session.Reusable() != c.reusable {
				t.Fatalf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
			}
			if !c.reusable {
				return
			}
			if r := session.Deliver(t.Context(), message(2), nil); r.Outcome != inject.Delivered {
				t.Errorf("the next one: %+v, err %v", r, r.Err)
			}
		})
	}
}
