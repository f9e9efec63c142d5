package inject_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

func outcomes(r inject.Receipt) string {
	var out []string
	for _, rr := range r.Recipients {
		out = append(out, rr.Outcome.String())
	}
	return strings.Join(out, " ")
}

// Each recipient has its own verdict, and the message one that follows from them.
func TestRecipients(t *testing.T) {
	rcpt := func(nth int, reply string) injecttest.Fault {
		return injecttest.Fault{Stage: injecttest.RCPT, Nth: nth, Reply: reply}
	}
	for _, c := range []struct {
		name     string
		faults   []injecttest.Fault
		known    []string
		outcome  inject.Outcome
		each     string
		code     int
		sessions int
	}{
		{"all taken", nil, nil, inject.Delivered, "delivered delivered", 250, 1},
		{"the second is unknown", []injecttest.Fault{rcpt(2, "550 5.1.1 unknown")}, nil, inject.Delivered, "delivered refused", 250, 1},
		{"the first is unknown", nil, []string{"two@example.org"}, inject.Delivered, "refused delivered", 250, 1},
		{"one later", []injecttest.Fault{rcpt(1, "450 4.2.0 greylisted")}, nil, inject.Deferred, "deferred delivered", 250, 1},
		{"all unknown", nil, []string{"other@example.org"}, inject.Refused, "refused refused", 550, 1},
		{"one unknown, one later", []injecttest.Fault{rcpt(1, "550 5.1.1 unknown"), rcpt(2, "450 4.2.0 later")}, nil, inject.Deferred, "refused deferred", 450, 1},
		{"all unknown, 354 all the same", []injecttest.Fault{rcpt(0, "550 5.1.1 unknown"), {Stage: injecttest.DATA, Nth: 1, Reply: "354 go ahead"}}, nil, inject.Refused, "refused refused", 550, 2},
		{"MAIL refused, 354 all the same", []injecttest.Fault{{Stage: injecttest.MAIL, Nth: 1, Reply: "450 4.7.1 later"}, {Stage: injecttest.DATA, Nth: 1, Reply: "354 go ahead"}}, nil, inject.Deferred, "deferred deferred", 450, 2},
		{"all refused, and lost at DATA", []injecttest.Fault{rcpt(0, "550 5.1.1 unknown"), {Stage: injecttest.DATA, Nth: 1, Then: injecttest.CloseConn}}, nil, inject.Refused, "refused refused", 550, 2},
		{"MAIL refused", []injecttest.Fault{{Stage: injecttest.MAIL, Nth: 1, Reply: "450 4.7.1 later"}}, nil, inject.Deferred, "deferred deferred", 450, 1},
		{"421 in the middle", []injecttest.Fault{rcpt(2, "421 4.3.2 closing")}, nil, inject.Deferred, "delivered deferred", 421, 2},
		{"one unknown, DATA refused for good and closed", []injecttest.Fault{rcpt(1, "550 5.1.1 unknown"), {Stage: injecttest.DATA, Nth: 1, Reply: "521 5.7.1 never"}}, nil, inject.Refused, "refused refused", 521, 2},
		{"dot refused", []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Reply: "554 5.6.0 no"}, rcpt(1, "450 4.2.0 later")}, nil, inject.Deferred, "deferred refused", 554, 1},
		{"dot in doubt", []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Then: injecttest.CloseConn}, rcpt(1, "550 5.1.1 unknown")}, nil, inject.InDoubt, "refused in-doubt", 0, 2},
	} {
		for _, without := range []string{"", "PIPELINING"} {
			t.Run(c.name+"/without "+without, func(t *testing.T) {
				s := newServer(t, injecttest.Options{Faults: c.faults, Recipients: c.known, Without: []string{without}, Record: true})
				m := message(1)
				m.To = []string{"one@example.org", "two@example.org"}
				r := injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2))[0]
				if r.Outcome != c.outcome || outcomes(r) != c.each || r.Reply.Code != c.code {
					t.Errorf("%v (%s) by %v; want %v (%s) by %d; err %v", r.Outcome, outcomes(r), r.Reply, c.outcome, c.each, c.code, r.Err)
				}
				if without == "" && s.Sessions() != c.sessions {
					t.Errorf("%d sessions, want %d", s.Sessions(), c.sessions)
				}
				for _, got := range s.Messages() {
					if got.From == m.From && len(got.To) != strings.Count(c.each, "delivered") {
						t.Errorf("arrived for %v", got.To)
					}
				}
			})
		}
	}
}

// TestManyRecipients: with PIPELINING a write holds many commands, but no more than 64; without, one.
func TestManyRecipients(t *testing.T) {
	for without, most := range map[string]int{"": 64, "PIPELINING": 1} {
		t.Run("without "+without, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Without: []string{without}})
			dial, writes := recorded(s.Dial)
			m := message(1)
			m.To = nil
			for range 1000 {
				m.To = append(m.To, strings.Repeat("r", 60)+"@example.org")
			}
			r := injectAll(t, dial, inject.Options{Connections: 1}, m)[0]
			if r.Outcome != inject.Delivered || len(s.Messages()[0].To) != 1000 {
				t.Errorf("%v, err %v", r.Outcome, r.Err)
			}
			longest := 0
			for _, w := range writes() {
				if strings.Contains(w, "RCPT TO:") {
					longest = max(longest, strings.Count(w, "\r\n"))
				}
			}
			if longest != most {
				t.Errorf("%d commands in one write, want %d", longest, most)
			}
		})
	}
}

// A client is deferred when it comes for the first time, and its message is taken when it comes again.
func TestGreylist(t *testing.T) {
	s := newServer(t, injecttest.Options{Rules: injecttest.Rules{Greylist: true}})
	rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), message(2), message(1))
	if rs[0].Outcome != inject.Deferred || rs[1].Outcome != inject.Deferred || rs[2].Outcome != inject.Delivered {
		t.Errorf("%v %v %v", rs[0].Outcome, rs[1].Outcome, rs[2].Outcome)
	}
	if rs[0].Reply.Enhanced != "4.2.0" || rs[0].Stage != "RCPT" {
		t.Errorf("%+v", rs[0])
	}
}

// What MAIL and RCPT carry, by what is offered and needed.
func TestParameters(t *testing.T) {
	for _, c := range []struct {
		name       string
		without    []string
		edit       func(*inject.Message)
		never      bool
		outcome    inject.Outcome
		mail, rcpt string
		noted      bool
	}{
		{"plain", nil, func(*inject.Message) {}, false, inject.Delivered, "SIZE=40", "", false},
		{"size unknown", nil, func(m *inject.Message) { m.Size = -1 }, false, inject.Delivered, "", "", false},
		{"no SIZE", []string{"SIZE"}, func(*inject.Message) {}, false, inject.Delivered, "", "", false},
		{"8-bit", nil, func(m *inject.Message) { m.EightBit = true }, false, inject.Delivered, "SIZE=40 BODY=8BITMIME", "", false},
		{"octets above 127, 8BITMIME not offered", []string{"8BITMIME"}, func(m *inject.Message) { m.EightBit = true }, false, inject.Delivered, "SIZE=40", "", true},
		{"NOTIFY", nil, func(*inject.Message) {}, true, inject.Delivered, "SIZE=40", "NOTIFY=NEVER", false},
		{"no DSN", []string{"DSN"}, func(*inject.Message) {}, true, inject.Delivered, "SIZE=40", "", false},
		{"UTF-8 header", nil, func(m *inject.Message) { m.UTF8 = true }, false, inject.Delivered, "SIZE=40 SMTPUTF8", "", false},
		{"UTF-8 header, not offered", []string{"SMTPUTF8"}, func(m *inject.Message) { m.UTF8 = true }, false, inject.Delivered, "SIZE=40", "", true},
		{"UTF-8 address", nil, func(m *inject.Message) { m.From = "jürgen@example.net" }, false, inject.Delivered, "SIZE=40 SMTPUTF8", "", false},
		{"UTF-8 in the sender, SMTPUTF8 not offered", []string{"SMTPUTF8"}, func(m *inject.Message) { m.From = "jürgen@example.net" }, false, inject.Withheld, "", "", false},
		{"UTF-8 in a recipient, SMTPUTF8 not offered", []string{"SMTPUTF8"}, func(m *inject.Message) { m.To = []string{"user@example.org", "jürgen@example.org"} }, false, inject.Withheld, "", "", false},
		{"UTF-8 in a recipient", nil, func(m *inject.Message) { m.To = []string{"jürgen@bücher.example"} }, false, inject.Delivered, "SIZE=40 SMTPUTF8", "", false},
		{"null sender", nil, func(m *inject.Message) { m.From = "" }, false, inject.Delivered, "SIZE=40", "", false},
		{"line break in the sender", nil, func(m *inject.Message) { m.From = "a@b\r\nRCPT TO:<x@y>" }, false, inject.Withheld, "", "", false},
		{"parameter in the sender", nil, func(m *inject.Message) { m.From = "a@b> NOTIFY=NEVER" }, false, inject.Withheld, "", "", false},
		{"command as recipient", nil, func(m *inject.Message) { m.To = []string{"|cmd"} }, false, inject.Withheld, "", "", false},
		{"no recipients", nil, func(m *inject.Message) { m.To = nil }, false, inject.Withheld, "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{Without: c.without, Record: true})
			m := message(1)
			c.edit(m)
			// The next message follows it, pipelined while it is under way.
			o := inject.Options{Connections: 1}
			if c.never {
				o.DSN = inject.DSNNever
			}
			rs := injectAll(t, s.Dial, o, message(2), m, message(3))
			r := rs[1]
			if r.Outcome != c.outcome || (r.Note != "") != c.noted || rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
				t.Fatalf("%+v, err %v; beside it %v, %v", r, r.Err, rs[0].Outcome, rs[2].Outcome)
			}
			if c.outcome == inject.Withheld {
				if kindOf(r) != inject.Unsendable || s.Count() != 2 {
					t.Errorf("%v, %d arrived", r.Err, s.Count())
				}
				return
			}
			got := s.Messages()[1]
			if got.From != m.From || got.FromParams != c.mail || got.ToParams[0] != c.rcpt {
				t.Errorf("MAIL FROM:<%s> %s, RCPT %s", got.From, got.FromParams, got.ToParams)
			}
		})
	}
}

var errSource = errors.New("source failed")

// failingBody fails behind n octets.
func failingBody(n int, err error) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", n)), errReader{err})), nil
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// TestHalfMessage: half a message is never completed, whatever its size and how it ends.
func TestHalfMessage(t *testing.T) {
	for name, edit := range map[string]func(*inject.Message){
		"no body":               func(m *inject.Message) { m.Body = nil },
		"body cannot be opened": func(m *inject.Message) { m.Body = func() (io.ReadCloser, error) { return nil, errSource } },
		"source error at once":  func(m *inject.Message) { m.Body = failingBody(0, errSource) },
		"source error later":    func(m *inject.Message) { m.Body = failingBody(100000, errSource) },
		"unexpected EOF":        func(m *inject.Message) { m.Body = failingBody(100, io.ErrUnexpectedEOF) },
		"shorter than stated":   func(m *inject.Message) { m.Size++ },
		"longer than stated":    func(m *inject.Message) { m.Size-- },
		"BeforeDot says no":     func(m *inject.Message) { m.BeforeDot = func(context.Context) error { return errSource } },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, injecttest.Options{})
			m := message(1)
			edit(m)
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2))
			if rs[0].Outcome != inject.Deferred || kindOf(rs[0]) != inject.Local || rs[1].Outcome != inject.Delivered {
				t.Errorf("%+v, err %v; behind it %v", rs[0], rs[0].Err, rs[1].Outcome)
			}
			if s.Count() != 1 || s.Messages()[0].From != message(2).From {
				t.Errorf("%d arrived", s.Count())
			}
		})
	}
}

// TestBeforeDot: once in each attempt, when the server has all but the dot.
func TestBeforeDot(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	m := message(1)
	calls := 0
	m.BeforeDot = func(context.Context) error {
		calls++
		if s.Count() != 0 {
			t.Error("it has arrived already")
		}
		return nil
	}
	if r := injectAll(t, s.Dial, inject.Options{}, m)[0]; r.Outcome != inject.Delivered || calls != 1 {
		t.Errorf("%+v, err %v, %d calls", r, r.Err, calls)
	}
}

// TestDryRun: as far as RCPT, and nothing arrives.
func TestDryRun(t *testing.T) {
	s := newServer(t, injecttest.Options{Recipients: []string{"user@example.org"}, Record: true})
	dry, unknown := message(1), message(2)
	dry.DryRun, unknown.DryRun = true, true
	unknown.To = []string{"other@example.org"}
	rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, dry, unknown, message(3))
	if r := rs[0]; r.Outcome != inject.Deferred || r.Stage != "RCPT" || r.Reply.Code != 250 || r.Err != nil || r.Presented.Name != "c1.example.net" {
		t.Errorf("dry: %+v, err %v", r, r.Err)
	}
	if r := rs[1]; r.Outcome != inject.Refused || r.Reply.Code != 550 {
		t.Errorf("unknown: %+v, err %v", r, r.Err)
	}
	if rs[2].Outcome != inject.Delivered || s.Count() != 1 || s.Sessions() != 1 {
		t.Errorf("the real one: %+v; %d arrived over %d sessions", rs[2], s.Count(), s.Sessions())
	}
}

// TestCancel: the end of the context aborts before the dot, and waits for a while behind it.
func TestCancel(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   injecttest.Fault
		outcome inject.Outcome
		kind    inject.Kind
		after   time.Duration
	}{
		{"at the greeting", injecttest.Fault{Stage: injecttest.Greeting, Delay: time.Minute}, inject.Deferred, inject.Aborted, 0},
		{"at MAIL", injecttest.Fault{Stage: injecttest.MAIL, Delay: time.Minute}, inject.Deferred, inject.Aborted, 0},
		{"behind the dot, in time", injecttest.Fault{Stage: injecttest.DOT, Delay: 20 * time.Second}, inject.Delivered, inject.Unclassified, 5 * time.Second},
		{"behind the dot, too late", injecttest.Fault{Stage: injecttest.DOT, Delay: time.Minute}, inject.InDoubt, inject.Aborted, 10 * time.Second},
	} {
		for _, way := range []string{"submit", "close"} {
			bubble(t, c.name+"/"+way, func(t *testing.T) {
				s := injecttest.New(injecttest.Options{Faults: []injecttest.Fault{c.fault}})
				defer func() { _ = s.Close() }()
				p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
				defer cancel()
				sctx, cctx := ctx, t.Context()
				if way == "close" {
					sctx, cctx = cctx, sctx
				}
				start := time.Now()
				var got inject.Receipt
				var took time.Duration
				if err := p.Submit(sctx, message(1), func(r inject.Receipt) { got, took = r, time.Since(start) }); err != nil {
					t.Fatal(err)
				}
				err := p.Close(cctx)
				if got.Outcome != c.outcome || kindOf(got) != c.kind || took.Round(time.Second) != 15*time.Second+c.after {
					t.Errorf("%+v, err %v, after %v", got, got.Err, took)
				}
				if (way == "close") != errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Close: %v", err)
				}
			})
		}
	}
}

// TestClosedPool: nothing is taken, and a canceled Submit takes nothing either.
func TestClosedPool(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	p := inject.NewPool(s.Dial, inject.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(inject.Receipt) { t.Error("done was called") }
	if err := p.Submit(ctx, message(1), never); !errors.Is(err, context.Canceled) {
		t.Errorf("Submit with a canceled context: %v", err)
	}
	for range 2 {
		if err := p.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := p.Submit(t.Context(), message(1), never); !errors.Is(err, inject.ErrClosed) {
		t.Errorf("Submit to a closed pool: %v", err)
	}
}

// An MTA that cannot be reached defers everything.
func TestUnreachable(t *testing.T) {
	dial := injecttest.New(injecttest.Options{})
	if err := dial.Close(); err != nil {
		t.Fatal(err)
	}
	r := injectAll(t, dial.Dial, inject.Options{}, message(1))[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Unreachable || r.Stage != "connect" || outcomes(r) != "deferred" {
		t.Errorf("%+v, err %v", r, r.Err)
	}
}

// TestTrace: all lines of the dialogue, and no content.
func TestTrace(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	var lines []string
	m := message(1)
	if r := injectAll(t, s.Dial, inject.Options{Connections: 1, Trace: func(_ uint64, l string) { lines = append(lines, l) }}, m)[0]; r.Outcome != inject.Delivered {
		t.Fatalf("%+v", r)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"S: 220 ", "C: XCLIENT ", "C: EHLO helo1", "C: DATA", "C: (40 octets of content)", "C: .", "S: 250 2.0.0 Ok: queued as", "C: QUIT"} {
		if !strings.Contains(text, want) {
			t.Errorf("trace lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "body of 1") || strings.Contains(text, "Subject") {
		t.Errorf("trace holds content:\n%s", text)
	}
}

// TestSession: the dialogue by itself, without a pool.
func TestSession(t *testing.T) {
	for _, once := range []bool{false, true} {
		s := newServer(t, injecttest.Options{Once: once, Record: true})
		session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		a, b := message(1), message(2)
		if r := session.Deliver(t.Context(), a, func() *inject.Message { return b }); r.Outcome != inject.Delivered {
			t.Errorf("once %v: %+v, err %v", once, r, r.Err)
		}
		if session.Reusable() == once {
			t.Errorf("once %v, and reusable %v", once, session.Reusable())
		}
		if !once {
			if r := session.Deliver(t.Context(), message(3), nil); r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol {
				t.Errorf("another message than the pipelined one: %+v, err %v", r, r.Err)
			}
		}
		if r := session.Deliver(t.Context(), b, nil); r.Outcome != inject.Deferred || kindOf(r) != inject.Protocol {
			t.Errorf("once %v, on a session of no more use: %+v, err %v", once, r, r.Err)
		}
		session.Close()
		if got := strings.Join(said(s), "\n"); s.Count() != 1 || strings.Contains(got, "198.51.0.3") {
			t.Errorf("once %v: %d arrived, said\n%s", once, s.Count(), got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := inject.Open(ctx, newServer(t, injecttest.Options{}).Dial, inject.Options{}); inject.KindOf(err) != inject.Aborted {
		t.Errorf("Open with a canceled context: %v", err)
	}
}

// Many passes leave no goroutine and no connection behind.
// The bubble ends when all its goroutines have, and fails where one stays.
func TestNothingLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, injecttest.Options{Once: true, Discard: true})
		for range 30 {
			injectAll(t, s.Dial, inject.Options{Connections: 3}, message(1), message(2), message(3), message(4), message(5))
		}
		if s.Count() != 150 {
			t.Errorf("%d messages arrived, want 150", s.Count())
		}
		synctest.Wait()
		if n := s.Connected(); n > 0 {
			t.Errorf("%d connections are open after the last pool was closed", n)
		}
	})
}

// TestCanceledInQueue: a message whose context ended before its turn disturbs no other.
func TestCanceledInQueue(t *testing.T) {
	s := newServer(t, injecttest.Options{})
	p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
	ctx, cancel := context.WithCancel(t.Context())
	first := message(1)
	first.BeforeDot = func(context.Context) error { cancel(); return nil }
	queued := make(chan bool)
	first.Body = func() (io.ReadCloser, error) { <-queued; return bodyOf("Subject: 1\r\n\r\nbody of 1\r\n")() }
	var got [3]inject.Receipt
	for i, m := range []*inject.Message{first, message(2), message(3)} {
		c := t.Context()
		if i == 1 {
			c = ctx
		}
		if i == 2 {
			close(queued)
		}
		if err := p.Submit(c, m, func(r inject.Receipt) { got[i] = r }); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got[0].Outcome != inject.Delivered || got[2].Outcome != inject.Delivered || s.Count() != 2 {
		t.Errorf("%v, %v; %d arrived", got[0].Outcome, got[2].Outcome, s.Count())
	}
	if got[1].Outcome != inject.Deferred || kindOf(got[1]) != inject.Aborted {
		t.Errorf("%+v, err %v", got[1], got[1].Err)
	}
}
