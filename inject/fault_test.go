package inject_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// bubble runs a test in virtual time: hours of silence take no time.
func bubble(t *testing.T, name string, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

// one injects a message against a server with a fault, then a second message, which must
// arrive whatever happened to the first, and returns the receipt of the first.
func one(t *testing.T, so injecttest.Options, o inject.Options) (inject.Receipt, *injecttest.Server, time.Duration) {
	t.Helper()
	so.Record = true
	s := injecttest.New(so)
	defer func() { _ = s.Close() }()
	o.Connections = 1
	p := inject.NewPool(s.Dial, o)
	var first, second inject.Receipt
	var took time.Duration
	start := time.Now()
	done := make(chan bool)
	if err := p.Submit(t.Context(), message(1), func(r inject.Receipt) {
		first, took = r, time.Since(start)
		close(done)
	}); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := p.Submit(t.Context(), message(2), func(r inject.Receipt) { second = r }); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if second.Outcome != inject.Delivered {
		t.Errorf("the message behind it: %+v, err %v", second, second.Err)
	}
	return first, s, took
}

func arrived(s *injecttest.Server, m *inject.Message) int {
	n := 0
	for _, got := range s.Messages() {
		if got.From == m.From {
			n++
		}
	}
	return n
}

// early reports whether no client has been presented yet: a refusal is then not of the message.
func early(stage injecttest.Stage) bool {
	return stage == injecttest.Greeting || stage == injecttest.EHLO
}

// verdict is what a failure at a stage must come to.
type verdict struct {
	outcome inject.Outcome
	kind    inject.Kind // of Err; Unclassified means that Err is nil
	took    time.Duration
}

// withReply is the verdict of a failure that the server announces with a reply.
func withReply(outcome inject.Outcome, before inject.Kind) func(injecttest.Stage) verdict {
	return func(s injecttest.Stage) verdict {
		if early(s) { // not the message's fault: the mail stays where it is
			return verdict{outcome: inject.Deferred, kind: before}
		}
		return verdict{outcome: outcome}
	}
}

// withoutReply is the verdict of a failure without a reply, or with none that makes sense.
func withoutReply(kind inject.Kind, wait map[injecttest.Stage]time.Duration) func(injecttest.Stage) verdict {
	return func(s injecttest.Stage) verdict {
		v := verdict{outcome: inject.Deferred, kind: kind, took: wait[s]}
		if s == injecttest.DOT {
			v.outcome = inject.InDoubt
		}
		return v
	}
}

// silence is how long each reply is awaited (RFC 5321 section 4.5.3.2).
func silence() map[injecttest.Stage]time.Duration {
	m := map[injecttest.Stage]time.Duration{injecttest.DATA: 2 * time.Minute, injecttest.DOT: 10 * time.Minute}
	for _, s := range injecttest.Stages() {
		if m[s] == 0 {
			m[s] = 5 * time.Minute
		}
	}
	return m
}

// Each kind of failure at each stage.
func TestFaults(t *testing.T) {
	say := func(reply string) injecttest.Fault { return injecttest.Fault{Reply: reply} }
	for _, c := range []struct {
		name  string
		fault injecttest.Fault
		want  func(injecttest.Stage) verdict
	}{
		{"421", say("421 4.3.2 closing down"), withReply(inject.Deferred, inject.Unreachable)},
		{"421 and close", injecttest.Fault{Reply: "421 4.3.2 closing down", Then: injecttest.CloseConn}, withReply(inject.Deferred, inject.Unreachable)},
		{"451", say("451 4.3.0 later"), withReply(inject.Deferred, inject.Unreachable)},
		{"554", say("554 5.7.1 no"), withReply(inject.Refused, inject.Misconfigured)},
		{"EOF", injecttest.Fault{Then: injecttest.CloseConn}, withoutReply(inject.Unreachable, nil)},
		{"silence", injecttest.Fault{Then: injecttest.Silence}, withoutReply(inject.Unreachable, silence())},
		{"drip", injecttest.Fault{Drip: 50 * time.Second}, withoutReply(inject.Unreachable, silence())},
		{"endless reply", injecttest.Fault{Then: injecttest.Endless}, withoutReply(inject.Protocol, nil)},
		{"endless line", injecttest.Fault{Then: injecttest.EndlessLine}, withoutReply(inject.Protocol, nil)},
		{"codes differ", say("250-first\r\n251 second"), withoutReply(inject.Protocol, nil)},
		{"334", say("334"), withoutReply(inject.Protocol, nil)},
		{"code of two digits", say("25"), withoutReply(inject.Protocol, nil)},
		{"code of four digits", say("2500 x"), withoutReply(inject.Protocol, nil)},
		{"text without a code", say("hello"), withoutReply(inject.Protocol, nil)},
		{"199", say("199 continue"), withoutReply(inject.Protocol, nil)},
	} {
		for _, stage := range injecttest.Stages() {
			for _, without := range []string{"", "PIPELINING"} {
				bubble(t, fmt.Sprintf("%s/%s/without %s", c.name, stage, without), func(t *testing.T) {
					f := c.fault
					f.Stage, f.Nth = stage, 1
					w := c.want(stage)
					if f.Reply == "334" && stage == injecttest.XCLIENT {
						w.kind = inject.Misconfigured // a well-formed reply that is not 220
					}
					r, s, took := one(t, injecttest.Options{Faults: []injecttest.Fault{f}, Without: []string{without}}, inject.Options{})
					// A peek at a pipe takes 100 µs; a drip may have to end an earlier reply first.
					if r.Outcome != w.outcome || took < w.took || took > w.took+f.Drip+time.Millisecond {
						t.Errorf("outcome %v after %v, want %v after %v: %+v, err %v", r.Outcome, took, w.outcome, w.took, r, r.Err)
					}
					if kind := kindOf(r); kind != w.kind {
						t.Errorf("kind %v, want %v: %v", kind, w.kind, r.Err)
					}
					if want := strings.TrimSuffix(string(stage), "2"); r.Stage != want {
						t.Errorf("stage %q, want %q", r.Stage, want)
					}
					if strings.HasPrefix(c.name, "421") && s.Sessions() != 2 {
						t.Errorf("%d sessions: nothing more is said to who closes down", s.Sessions())
					}
					if n := arrived(s, message(1)); n > 0 && r.Outcome != inject.InDoubt || n > 1 {
						t.Errorf("it arrived %d times\n%s", n, strings.Join(s.Transcript(), "\n"))
					}
					checkRecipients(t, r)
				})
			}
		}
	}
}

func kindOf(r inject.Receipt) inject.Kind {
	if r.Err == nil {
		return inject.Unclassified
	}
	return r.Err.Kind
}

// checkRecipients: a message to one recipient has one outcome.
func checkRecipients(t *testing.T, r inject.Receipt) {
	t.Helper()
	if len(r.Recipients) != 1 || r.Recipients[0].Outcome != r.Outcome || r.Recipients[0].Address != "user@example.org" {
		t.Errorf("recipients %+v beside outcome %v", r.Recipients, r.Outcome)
	}
}

// The connection is reset at each stage, on real sockets.
func TestReset(t *testing.T) {
	for _, stage := range injecttest.Stages() {
		t.Run(string(stage), func(t *testing.T) {
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: stage, Then: injecttest.ResetConn}}})
			if _, err := s.Start(); err != nil {
				t.Fatal(err)
			}
			want := inject.Deferred
			if stage == injecttest.DOT {
				want = inject.InDoubt
			}
			r := injectAll(t, s.Dial, inject.Options{}, message(1))[0]
			if r.Outcome != want || kindOf(r) != inject.Unreachable {
				t.Errorf("%+v, err %v", r, r.Err)
			}
		})
	}
}

// A slow reply is waited for as long as RFC 5321 section 4.5.3.2 asks.
func TestLateVerdict(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault injecttest.Fault
		want  inject.Outcome
	}{
		{"reply to the dot before 10 minutes", injecttest.Fault{Stage: injecttest.DOT, Nth: 1, Delay: 599 * time.Second}, inject.Delivered},
		{"no reply to the dot in 10 minutes", injecttest.Fault{Stage: injecttest.DOT, Nth: 1, Delay: 601 * time.Second}, inject.InDoubt},
		{"greeting after 2 minutes", injecttest.Fault{Stage: injecttest.Greeting, Nth: 1, Delay: 120 * time.Second}, inject.Delivered},
	} {
		bubble(t, c.name, func(t *testing.T) {
			r, s, _ := one(t, injecttest.Options{Faults: []injecttest.Fault{c.fault}}, inject.Options{})
			if r.Outcome != c.want {
				t.Errorf("outcome %v, want %v: %v", r.Outcome, c.want, r.Err)
			}
			if n := arrived(s, message(1)); n != 1 {
				t.Errorf("arrived %d times, want once", n)
			}
		})
	}
}

// Odd replies of one stage each.
func TestReplies(t *testing.T) {
	dot, data := injecttest.DOT, injecttest.DATA
	for _, c := range []struct {
		name    string
		fault   injecttest.Fault
		outcome inject.Outcome
		kind    inject.Kind
		stage   string
	}{
		{"251 to the dot", injecttest.Fault{Stage: dot, Reply: "251 ok"}, inject.Delivered, 0, "dot"},
		{"252 to the dot", injecttest.Fault{Stage: dot, Reply: "252 ok"}, inject.Delivered, 0, "dot"},
		{"200 to the dot, no text", injecttest.Fault{Stage: dot, Reply: "200"}, inject.Delivered, 0, "dot"},
		{"trailing spaces", injecttest.Fault{Stage: dot, Reply: "250    "}, inject.Delivered, 0, "dot"},
		{"no text", injecttest.Fault{Stage: injecttest.RCPT, Reply: "250"}, inject.Delivered, 0, "dot"},
		{"250 to DATA", injecttest.Fault{Stage: data, Reply: "250 ok"}, inject.Deferred, inject.Protocol, "DATA"},
		{"extra reply at XCLIENT", injecttest.Fault{Stage: injecttest.XCLIENT, Extra: "250 x"}, inject.Deferred, inject.Protocol, "EHLO"},
		{"extra reply at EHLO2", injecttest.Fault{Stage: injecttest.EHLO2, Extra: "250 x"}, inject.Deferred, inject.Protocol, "MAIL"},
		{"extra reply at MAIL", injecttest.Fault{Stage: injecttest.MAIL, Extra: "250 x"}, inject.Deferred, inject.Protocol, "DATA"},
		{"extra reply at RCPT", injecttest.Fault{Stage: injecttest.RCPT, Extra: "250 x"}, inject.Deferred, inject.Protocol, "DATA"},
		{"extra reply at DATA", injecttest.Fault{Stage: data, Extra: "250 queued as X"}, inject.Deferred, inject.Protocol, "DATA"},
		{"extra reply behind the dot", injecttest.Fault{Stage: dot, Extra: "250 x"}, inject.Delivered, 0, "dot"},
		{"greylisted like RFC 5321 4.5.3.1.10", injecttest.Fault{Stage: injecttest.RCPT, Reply: "552 too many"}, inject.Deferred, 0, "RCPT"},
		{"no verdict by 503 at MAIL", injecttest.Fault{Stage: injecttest.MAIL, Reply: "503 5.5.1 bad sequence"}, inject.Deferred, inject.Protocol, "MAIL"},
		{"no verdict by 503 at EHLO2", injecttest.Fault{Stage: injecttest.EHLO2, Reply: "503 5.7.0 Error: access denied"}, inject.Deferred, inject.Protocol, "EHLO"},
		{"530 at MAIL", injecttest.Fault{Stage: injecttest.MAIL, Reply: "530 5.7.0 Must issue a STARTTLS command first"}, inject.Deferred, inject.Misconfigured, "MAIL"},
		{"530 at RCPT", injecttest.Fault{Stage: injecttest.RCPT, Reply: "530 5.7.0 Authentication required"}, inject.Deferred, inject.Misconfigured, "RCPT"},
		{"too big, said at the dot", injecttest.Fault{Stage: dot, Reply: "552 5.3.4 Error: message file too big"}, inject.Refused, 0, "dot"},
		{"too many hops", injecttest.Fault{Stage: dot, Reply: "554 5.4.0 Error: too many hops"}, inject.Refused, 0, "dot"},
		{"451 to the dot", injecttest.Fault{Stage: dot, Reply: "451 4.7.1 Service unavailable - try again later"}, inject.Deferred, 0, "dot"},
	} {
		bubble(t, c.name, func(t *testing.T) {
			f := c.fault
			f.Nth = 1
			r, s, _ := one(t, injecttest.Options{Faults: []injecttest.Fault{f}}, inject.Options{})
			if r.Outcome != c.outcome || kindOf(r) != c.kind || r.Stage != c.stage {
				t.Errorf("%v at %q, kind %v; want %v at %q, kind %v: %v\n%s", r.Outcome, r.Stage, kindOf(r), c.outcome, c.stage, c.kind, r.Err, strings.Join(s.Transcript(), "\n"))
			}
			want := 0
			if c.outcome == inject.Delivered {
				want = 1
			}
			if n := arrived(s, message(1)); n != want {
				t.Errorf("arrived %d times, want %d\n%s", n, want, strings.Join(s.Transcript(), "\n"))
			}
		})
	}
}

// The server speaks while the content is
// under way, and is heard before the dot.
func TestEarlyVerdict(t *testing.T) {
	for _, c := range []struct {
		name    string
		reply   string
		then    injecttest.Then
		outcome inject.Outcome
		kind    inject.Kind
	}{
		{"250", "250 queued as X", injecttest.GoOn, inject.Deferred, inject.Protocol},
		{"354", "354 more", injecttest.GoOn, inject.Deferred, inject.Protocol},
		{"452", "452 4.3.1 full", injecttest.GoOn, inject.Deferred, inject.Unclassified},
		{"421", "421 4.3.2 closing down", injecttest.CloseConn, inject.Deferred, inject.Unclassified},
		{"552", "552 5.3.4 too big", injecttest.CloseConn, inject.Refused, inject.Unclassified},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := make(chan bool)
			s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.DOT, Nth: 1, Early: true, Reply: c.reply,
				Then: c.then, Said: func() { close(said) }}}})
			if _, err := s.Start(); err != nil {
				t.Fatal(err)
			}
			m := message(1)
			content := strings.Repeat("line\r\n", 20000)
			m.Size, m.Body = int64(len(content)), bodyOf(content)
			m.BeforeDot = func(context.Context) error { <-said; return nil }
			rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, m, message(2))
			r := rs[0]
			if r.Outcome != c.outcome || kindOf(r) != c.kind || !strings.HasPrefix(c.reply, fmt.Sprint(r.Reply.Code)) {
				t.Errorf("%+v, err %v", r, r.Err)
			}
			if arrived(s, m) != 0 {
				t.Error("it arrived")
			}
			// The content was begun and not ended: nothing else can be said on that session.
			if rs[1].Outcome != inject.Delivered || s.Sessions() != 2 {
				t.Errorf("the message behind it: %+v, err %v, over %d sessions", rs[1], rs[1].Err, s.Sessions())
			}
		})
	}
}

func bodyOf(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

// A server that stops reading in the middle of the content, or at
// its beginning with all of it in one write. The dot has not left: there is no doubt.
func TestDeafServer(t *testing.T) {
	for _, size := range []int{100, 1 << 20} {
		bubble(t, fmt.Sprintf("%d octets", size), func(t *testing.T) { deaf(t, size) })
	}
}

func deaf(t *testing.T, size int) {
	client, server := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		r := bufio.NewReader(server)
		for _, reply := range []string{"220 hello", "250 ok", "250 ok", "250 ok", "354 go ahead"} {
			if _, err := io.WriteString(server, reply+"\r\n"); err != nil {
				t.Error(err)
			}
			if reply[0] != '3' {
				_, _ = r.ReadString('\n')
			}
		}
	})
	dial := func(context.Context) (net.Conn, error) { return client, nil }
	start := time.Now()
	m := message(1)
	m.Size, m.Body = int64(size), bodyOf(strings.Repeat("x", size))
	r := injectAll(t, dial, inject.Options{XCLIENT: inject.Off, Connections: 1}, m)[0]
	serving.Wait()
	if took := time.Since(start); r.Outcome != inject.Deferred || kindOf(r) != inject.Unreachable || took.Round(time.Minute) != 3*time.Minute {
		t.Errorf("%+v, err %v, after %v", r, r.Err, took)
	}
	_ = server.Close()
}
