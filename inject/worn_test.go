package inject_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// Postfix's limits unless it is told otherwise.
const (
	softErrors = 10 // from here on it sleeps before each reply
	hardErrors = 20
	junk       = 100
)

// defaults is a server with Postfix's limits that refuses clients of 198.51.100.0/24 at RCPT.
func defaults(o injecttest.Options) injecttest.Options {
	o.Record, o.ErrorLimit, o.JunkLimit = true, hardErrors, junk
	o.Rules.Listed = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	return o
}

// bad is a message of a listed client, to so many recipients.
func bad(n, recipients int) *inject.Message {
	m := message(n)
	m.Client.Addr = netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
	m.To = nil
	for i := range recipients {
		m.To = append(m.To, fmt.Sprintf("user%d@example.org", i))
	}
	return m
}

// TestRefusedInARow: Postfix counts what it refuses against the session, whoever was presented. No session is used
// until that slows down or ends it, and no message is deferred for what happened to others.
func TestRefusedInARow(t *testing.T) {
	for _, c := range []struct {
		name       string
		mode       inject.Mode
		recipients int
		perSession int
		without    string
	}{
		{"one recipient", inject.Required, 1, 4, ""},
		{"one recipient, without XCLIENT", inject.Off, 1, 4, ""},
		{"one recipient, without PIPELINING", inject.Required, 1, 8, "PIPELINING"},
		{"three recipients", inject.Required, 3, 2, ""},
		{"eight recipients", inject.Required, 8, 1, ""},
		{"twelve recipients", inject.Required, 12, 1, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := defaults(injecttest.Options{Without: []string{c.without}})
			if c.mode == inject.Off {
				o.Rules.Listed = nil
				o.Recipients = []string{"user@example.org"}
			}
			s := newServer(t, o)
			var ms []*inject.Message
			for n := range 48 {
				ms = append(ms, bad(n, c.recipients))
			}
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1, XCLIENT: c.mode}, append(ms, message(48))...)
			for i, r := range rs[:48] {
				if r.Outcome != inject.Refused || r.Stage != "RCPT" {
					t.Errorf("message %d: %v at %s by %v, err %v", i, r.Outcome, r.Stage, r.Reply, r.Err)
				}
			}
			if r := rs[48]; r.Outcome != inject.Delivered {
				t.Errorf("the good one behind: %+v, err %v", r, r.Err)
			}
			limit := max(softErrors, c.recipients+2) // one message alone may come to more
			if want := 48/c.perSession + 1; s.MostErrors() >= limit || s.Sessions() > want || s.Sessions() < want-1 {
				t.Errorf("up to %d errors in each of %d sessions, want %d sessions", s.MostErrors(), s.Sessions(), want)
			}
		})
	}
}

// TestRefusedAtTheDot: the same for what is refused when all of it was sent.
func TestRefusedAtTheDot(t *testing.T) {
	for _, reply := range []string{"554 5.7.1 spam", "451 4.7.1 later"} {
		o := defaults(injecttest.Options{})
		for n := range 20 {
			o.Faults = append(o.Faults, injecttest.Fault{Stage: injecttest.DOT, Nth: n + 1, Reply: reply})
		}
		s := newServer(t, o)
		var ms []*inject.Message
		for n := range 21 {
			ms = append(ms, message(n))
		}
		rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, ms...)
		for i, r := range rs {
			if want := reply[:3] == "554"; i < 20 && ((r.Outcome == inject.Refused) != want || r.Stage != "dot" || r.Err != nil) {
				t.Errorf("%s: message %d: %+v, err %v", reply, i, r, r.Err)
			}
		}
		if rs[20].Outcome != inject.Delivered || s.MostErrors() >= softErrors || s.Sessions() > 4 {
			t.Errorf("%s: %v behind; up to %d errors in each of %d sessions", reply, rs[20].Outcome, s.MostErrors(), s.Sessions())
		}
	}
}

// TestDeliveredClearsTheCount: what is delivered clears it, so that a session on which mail gets through stays.
func TestDeliveredClearsTheCount(t *testing.T) {
	s := newServer(t, defaults(injecttest.Options{}))
	var ms []*inject.Message
	for n := range 40 {
		ms = append(ms, bad(2*n, 1), bad(2*n+1, 1), message(n))
	}
	for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1}, ms...) {
		if want := i%3 == 2; (r.Outcome == inject.Delivered) != want {
			t.Errorf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	if s.Sessions() != 1 || s.MostErrors() >= softErrors {
		t.Errorf("up to %d errors in each of %d sessions", s.MostErrors(), s.Sessions())
	}
}

// TestManyDryRuns: EHLO and RSET count as junk until a message is delivered, and a dry run delivers none.
func TestManyDryRuns(t *testing.T) {
	s := newServer(t, defaults(injecttest.Options{}))
	var ms []*inject.Message
	for n := range 120 {
		m := message(n)
		m.DryRun = true
		ms = append(ms, m)
	}
	for i, r := range injectAll(t, s.Dial, inject.Options{Connections: 1}, ms...) {
		if r.Stage != "RCPT" || r.Reply.Code != 250 {
			t.Errorf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	if s.Sessions() != 5 || s.MostErrors() > 0 || s.Count() != 0 {
		t.Errorf("%d sessions, %d errors, %d arrived", s.Sessions(), s.MostErrors(), s.Count())
	}
}

// TestWornSessionSaysSo: whoever uses a session without a pool is told that it has taken enough.
func TestWornSessionSaysSo(t *testing.T) {
	s := newServer(t, defaults(injecttest.Options{}))
	session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	n := 0
	for ; session.Reusable() && n < 20; n++ {
		if r := session.Deliver(t.Context(), bad(n, 1), nil); r.Outcome != inject.Refused {
			t.Fatalf("message %d: %+v, err %v", n, r, r.Err)
		}
	}
	if n != 4 {
		t.Errorf("it took %d refusals, want 4", n)
	}
}

// TestSessionFull: a server that takes no more mail on a session, or ends it, says nothing about the message: that is
// tried again at once on a fresh one, where the same words are meant for it.
func TestSessionFull(t *testing.T) {
	for _, reply := range []string{
		"421 4.4.2 mx.example.org Error: timeout exceeded",
		"421 4.7.0 mx.example.org Error: too many errors",
		"421 too many messages in this connection",
		"452 4.5.3 Too many messages sent",
	} {
		for _, stage := range []injecttest.Stage{injecttest.XCLIENT, injecttest.EHLO2, injecttest.MAIL, injecttest.RCPT, injecttest.DATA, injecttest.DOT} {
			if beforeMAIL := stage == injecttest.XCLIENT || stage == injecttest.EHLO2; reply[:3] == "452" && (beforeMAIL || stage == injecttest.DATA) {
				continue // nobody says that there
			}
			for _, then := range []injecttest.Then{injecttest.GoOn, injecttest.CloseConn} {
				for times := 1; times <= 2; times++ {
					bubble(t, fmt.Sprintf("%s/%s/%d/%d times", reply, stage, then, times), func(t *testing.T) {
						var faults []injecttest.Fault
						for i := range times {
							faults = append(faults, injecttest.Fault{Stage: stage, Nth: 2 + i, Reply: reply, Then: then})
						}
						s := newServer(t, injecttest.Options{Record: true, Faults: faults})
						rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), message(2), message(3))
						want, sessions := inject.Delivered, 2
						switch {
						case stage == injecttest.DOT:
							// The verdict on this message, whatever the words: no second try.
							want = inject.Deferred
							if times == 2 { // the third is then on a fresh session
								break
							}
						case times == 2:
							want = inject.Deferred
							if reply[:3] == "421" || then == injecttest.CloseConn { // else the third goes on where the second was told to wait
								sessions = 3
							}
						}
						if rs[0].Outcome != inject.Delivered || rs[1].Outcome != want {
							t.Errorf("%v, %v by %v; want the second one %v: %v", rs[0].Outcome, rs[1].Outcome, rs[1].Reply, want, rs[1].Err)
						}
						if third := stage == injecttest.DOT && times == 2; (rs[2].Outcome == inject.Delivered) == third {
							t.Errorf("the third is %v by %v", rs[2].Outcome, rs[2].Reply)
						}
						if stage != injecttest.DOT && s.Sessions() != sessions {
							t.Errorf("%d sessions, want %d\n%s", s.Sessions(), sessions, strings.Join(s.Transcript(), "\n"))
						}
						for n, m := range []*inject.Message{message(1), message(2), message(3)} {
							if got := arrived(s, m); (got == 1) != (rs[n].Outcome == inject.Delivered) || got > 1 {
								t.Errorf("message %d arrived %d times", n+1, got)
							}
						}
					})
				}
			}
		}
	}
}

// TestSessionFullForSomeRecipients: where the MTA takes some recipients of a message and none more, that
// is about the message (RFC 5321 section 4.5.3.1.10), which is not begun anew.
func TestSessionFullForSomeRecipients(t *testing.T) {
	s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: injecttest.RCPT, Nth: 3, Reply: "452 4.5.3 Too many recipients"}}})
	two := message(2)
	two.To = []string{"a@example.org", "b@example.org"}
	rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), two)
	r := rs[1]
	if r.Recipients[0].Outcome != inject.Delivered || r.Recipients[1].Outcome != inject.Deferred || s.Sessions() != 1 || arrived(s, two) != 1 {
		t.Errorf("%+v, err %v, over %d sessions", r, r.Err, s.Sessions())
	}
}

// TestNothingIsTriedAgainBehindContent: once content has been sent, a 421 is the end of that try.
func TestNothingIsTriedAgainBehindContent(t *testing.T) {
	for _, o := range []inject.Options{{}, {Chunking: true}} {
		bubble(t, fmt.Sprintf("chunking %v", o.Chunking), func(t *testing.T) {
			fault := injecttest.Fault{Stage: injecttest.DOT, Nth: 2, Reply: "421 4.3.2 closing", Early: true, Then: injecttest.CloseConn}
			if o.Chunking {
				fault = injecttest.Fault{Stage: injecttest.BDAT, Nth: 1, Reply: "421 4.3.2 closing", Then: injecttest.CloseConn}
			}
			s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{fault}})
			large := message(2)
			content := strings.Repeat("0123456789abcdef\r\n", 40000)
			large.Size, large.Body = int64(len(content)), bodyOf(content)
			o.Connections = 1
			rs := injectAll(t, s.Dial, o, message(1), large)
			if r := rs[1]; r.Outcome != inject.Deferred || r.Reply.Code != 421 || arrived(s, large) != 0 || s.Sessions() != 1 {
				t.Errorf("%+v, err %v, over %d sessions", r, r.Err, s.Sessions())
			}
		})
	}
}

// slow returns what takes so long before the dot.
func slow(d time.Duration) func(context.Context) error {
	return func(context.Context) error { time.Sleep(d); return nil }
}

// TestSpareOutlived: a connection opened ahead of need may have been closed by the time that it is needed, and the message
// then goes by another.
func TestSpareOutlived(t *testing.T) {
	for _, pause := range []time.Duration{0, 9 * time.Second, 11 * time.Second, time.Minute} {
		bubble(t, fmt.Sprint(pause), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Once: true, Record: true, Idle: 10 * time.Second})
			p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
			start := time.Now()
			receipts := make([]inject.Receipt, 12)
			for n := range receipts {
				m := message(n)
				m.BeforeDot = slow(pause)
				if err := p.Submit(t.Context(), m, func(r inject.Receipt) { receipts[n] = r }); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			for n, r := range receipts {
				if r.Outcome != inject.Delivered {
					t.Errorf("message %d: %v at %s by %v, err %v", n, r.Outcome, r.Stage, r.Reply, r.Err)
				}
			}
			// Who writes into a pipe that is not read waits for minutes.
			if took := time.Since(start); s.Count() != len(receipts) || took > 12*pause+time.Second {
				t.Errorf("%d arrived, after %v", s.Count(), took)
			}
		})
	}
}
