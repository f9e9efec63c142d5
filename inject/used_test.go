package inject_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestUsedSession: on a session that has delivered before, what fails before the MTA has said a word
// to a message is tried again at once; nothing else is, and least of all a message whose dot is out.
func TestUsedSession(t *testing.T) {
	for _, mode := range []inject.Mode{inject.Required, inject.Off} {
		first := injecttest.XCLIENT
		if mode == inject.Off {
			first = injecttest.MAIL
		}
		for _, stage := range []injecttest.Stage{injecttest.XCLIENT, injecttest.EHLO2, injecttest.MAIL, injecttest.RCPT, injecttest.DATA, injecttest.DOT} {
			if mode == inject.Off && (stage == injecttest.XCLIENT || stage == injecttest.EHLO2) {
				continue
			}
			for _, then := range []injecttest.Then{injecttest.CloseConn, injecttest.Silence} {
				bubble(t, fmt.Sprintf("mode %d/%s/%d", mode, stage, then), func(t *testing.T) {
					s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: stage, Nth: 2, Then: then, Accept: true}}})
					rs := injectAll(t, s.Dial, inject.Options{Connections: 1, XCLIENT: mode}, message(1), message(2), message(3))
					want, copies := inject.Deferred, 0
					switch stage {
					case first:
						want, copies = inject.Delivered, 1
					case injecttest.DOT:
						want, copies = inject.InDoubt, 1
					}
					if rs[1].Outcome != want || rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
						t.Errorf("%v, %v, %v; want the second one %v: %v", rs[0].Outcome, rs[1].Outcome, rs[2].Outcome, want, rs[1].Err)
					}
					if n := arrived(s, message(2)); n != copies || s.Sessions() != 2 {
						t.Errorf("it arrived %d times, want %d, over %d sessions\n%s", n, copies, s.Sessions(), strings.Join(s.Transcript(), "\n"))
					}
				})
			}
		}
	}
}

// TestUsedSessionOutOfStep: on a session in use a reply that seems to say that XCLIENT does not work here may
// be that to an earlier command: the message is tried again once on a fresh connection, which knows better.
func TestUsedSessionOutOfStep(t *testing.T) {
	for reply, kind := range map[string]inject.Kind{
		"250 2.0.0 Ok": inject.Misconfigured,
		"502 5.5.2 Error: command not recognized":       inject.Misconfigured,
		"550 5.7.0 Error: insufficient authorization":   inject.Misconfigured,
		"503 5.5.1 Error: MAIL transaction in progress": inject.Protocol,
		"220-mx.example.org\r\n250 Ok":                  inject.Protocol,
		"hello":                                         inject.Protocol,
	} {
		for times, want := range map[int]inject.Outcome{1: inject.Delivered, 2: inject.Deferred} {
			t.Run(fmt.Sprint(reply, "/", times), func(t *testing.T) {
				var faults []injecttest.Fault
				for i := range times {
					faults = append(faults, injecttest.Fault{Stage: injecttest.XCLIENT, Nth: 2 + i, Reply: reply})
				}
				s := newServer(t, injecttest.Options{Record: true, Faults: faults})
				rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), message(2), message(3))
				if rs[1].Outcome != want || rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
					t.Errorf("%v, %v, %v; want the second one %v: %v", rs[0].Outcome, rs[1].Outcome, rs[2].Outcome, want, rs[1].Err)
				}
				if want == inject.Deferred && kindOf(rs[1]) != kind {
					t.Errorf("%+v, err %v", rs[1], rs[1].Err)
				}
				if s.Sessions() != 1+times {
					t.Errorf("%d sessions\n%s", s.Sessions(), strings.Join(s.Transcript(), "\n"))
				}
			})
		}
	}
}

// TestPipelinedMessageGivenUp: where a message is given up whose XCLIENT has been sent with the dot of the
// one before, nobody waits for its reply, and nothing else is said on that session.
func TestPipelinedMessageGivenUp(t *testing.T) {
	t.Run("withheld", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Record: true})
		session, err := inject.Open(t.Context(), s.Dial, inject.Options{})
		if err != nil {
			t.Fatal(err)
		}
		bad := message(2)
		bad.From = "nobody"
		if r := session.Deliver(t.Context(), message(1), func() *inject.Message { return bad }); r.Outcome != inject.Delivered || !session.Reusable() {
			t.Fatalf("%+v, err %v", r, r.Err)
		}
		if r := session.Deliver(t.Context(), bad, nil); kindOf(r) != inject.Unsendable || session.Reusable() {
			t.Errorf("%+v, err %v, reusable %v", r, r.Err, session.Reusable())
		}
		session.Close()
		if got := verbs(said(s)); strings.HasSuffix(got, "QUIT") {
			t.Errorf("said %s", got)
		}
	})
	bubble(t, "cancelled", func(t *testing.T) {
		s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: injecttest.XCLIENT, Nth: 2, Delay: time.Minute}}})
		p := inject.NewPool(s.Dial, inject.Options{Connections: 1})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		queued := make(chan bool)
		first := message(1)
		first.BeforeDot = func(context.Context) error { <-queued; return nil }
		start, took := time.Now(), time.Duration(0)
		rs := make([]inject.Receipt, 3)
		for i, c := range []struct {
			ctx context.Context
			m   *inject.Message
		}{{t.Context(), first}, {ctx, message(2)}, {t.Context(), message(3)}} {
			if err := p.Submit(c.ctx, c.m, func(r inject.Receipt) {
				rs[i], took = r, time.Since(start)
				if i == 0 {
					cancel()
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
		if rs[0].Outcome != inject.Delivered || kindOf(rs[1]) != inject.Aborted || rs[2].Outcome != inject.Delivered || took > time.Second {
			t.Errorf("%v, %v, %v after %v: %v", rs[0].Outcome, rs[1].Outcome, rs[2].Outcome, took, rs[2].Err)
		}
		if s.Sessions() != 2 || arrived(s, message(3)) != 1 {
			t.Errorf("%d sessions\n%s", s.Sessions(), strings.Join(s.Transcript(), "\n"))
		}
	})
}

// A reply that comes when its command has been given up is never
// counted for another, because nothing more is said on that session.
func TestLateReply(t *testing.T) {
	for _, stage := range injecttest.Stages() {
		for _, mode := range []inject.Mode{inject.Required, inject.Off} {
			if mode == inject.Off && (stage == injecttest.XCLIENT || stage == injecttest.EHLO2) {
				continue
			}
			bubble(t, fmt.Sprintf("%s/mode %d", stage, mode), func(t *testing.T) {
				late := injecttest.Fault{Stage: stage, Nth: 1, Delay: silence()[stage] + time.Second}
				r, s, _ := one(t, injecttest.Options{Faults: []injecttest.Fault{late}}, inject.Options{XCLIENT: mode})
				want := inject.Deferred
				if stage == injecttest.DOT {
					want = inject.InDoubt
				}
				if r.Outcome != want || s.Sessions() != 2 {
					t.Errorf("%v, want %v, over %d sessions: %v\n%s", r.Outcome, want, s.Sessions(), r.Err, strings.Join(s.Transcript(), "\n"))
				}
			})
		}
	}
}

// On a session on which
// a client was refused everything gets 503, so the next message goes by another.
func TestLastByRefusal(t *testing.T) {
	for _, reply := range []string{"450 4.7.1 Client host rejected", "554 5.7.1 Client host rejected", "250 2.0.0 Ok",
		"550 5.7.0 Error: insufficient authorization", "503 5.7.0 Error: access denied"} {
		for _, stage := range []injecttest.Stage{injecttest.XCLIENT, injecttest.EHLO2} {
			if stage == injecttest.EHLO2 && reply[0] == '2' {
				continue // that is no refusal
			}
			t.Run(fmt.Sprint(stage, "/", reply), func(t *testing.T) {
				s := newServer(t, injecttest.Options{Record: true, Faults: []injecttest.Fault{{Stage: stage, Nth: 1, Reply: reply, Then: injecttest.Dead}}})
				rs := injectAll(t, s.Dial, inject.Options{Connections: 1}, message(1), message(2))
				if rs[0].Outcome == inject.Delivered || rs[1].Outcome != inject.Delivered || s.Sessions() != 2 {
					t.Errorf("%v, then %v by %v, over %d sessions", rs[0].Outcome, rs[1].Outcome, rs[1].Reply, s.Sessions())
				}
				if got := verbs(said(s)); strings.Count(got, "XCLIENT") != 2 {
					t.Errorf("said %s", got)
				}
			})
		}
	}
}
