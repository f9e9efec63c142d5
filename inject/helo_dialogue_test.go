package inject_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// A client that is known to have said HELO says it again, once, and the next message gets a session of its own.
func TestClientSaysHELO(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   injecttest.Options
		client   func(*inject.Client)
		options  inject.Options
		proto    string
		verbs    string
		sessions int
	}{
		{"it said HELO", injecttest.Options{}, func(c *inject.Client) { c.SMTP, c.ESMTP = true, false }, inject.Options{}, "SMTP", "EHLO XCLIENT HELO MAIL RCPT DATA", 2},
		{"nothing is known of that", injecttest.Options{}, func(c *inject.Client) { c.ESMTP = false }, inject.Options{}, "ESMTP", "EHLO XCLIENT EHLO MAIL RCPT DATA", 1},
		{"NOTIFY=NEVER is needed", injecttest.Options{}, func(c *inject.Client) { c.SMTP, c.ESMTP = true, false }, inject.Options{DSN: inject.DSNNever}, "ESMTP", "EHLO XCLIENT EHLO MAIL RCPT DATA", 1},
		{"the server knows no HELO", injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.HELO, Reply: "502 5.5.2 no such command"}}},
			func(c *inject.Client) { c.SMTP, c.ESMTP = true, false }, inject.Options{}, "ESMTP", "EHLO XCLIENT HELO EHLO MAIL RCPT DATA", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t, c.server)
			// The next session may begin while the first is under way.
			var mu sync.Mutex
			commands := map[uint64][]string{}
			c.options.Connections, c.options.Trace = 1, func(session uint64, line string) {
				mu.Lock()
				defer mu.Unlock()
				if command, ours := strings.CutPrefix(line, "C: "); ours {
					commands[session] = append(commands[session], command)
				}
			}
			first := message(1)
			c.client(&first.Client)
			for i, r := range injectAll(t, s.Dial, c.options, first, message(2)) {
				if r.Outcome != inject.Delivered {
					t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
				}
			}
			got := s.Messages()
			if got[0].Client.Proto != c.proto || got[0].Hello != first.Client.HELO {
				t.Errorf("seen as %+v, introduced as %s; want %s", got[0].Client, got[0].Hello, c.proto)
			}
			if got[1].Client.Proto != "ESMTP" || got[1].Client.Addr != message(2).Client.Addr.String() {
				t.Errorf("the next message is seen as from %+v", got[1].Client)
			}
			mu.Lock()
			defer mu.Unlock()
			if said := verbs(commands[1]); !strings.HasPrefix(said, c.verbs) || s.Sessions() != c.sessions {
				t.Errorf("said %s in the first of %d sessions, want %s in the first of %d", said, s.Sessions(), c.verbs, c.sessions)
			}
		})
	}
}

// A refusal of the HELO is the verdict on the client, as one of its EHLO is.
func TestHELORefused(t *testing.T) {
	for reply, want := range map[string]inject.Outcome{"550 5.7.1 no": inject.Refused, "450 4.7.1 later": inject.Deferred} {
		s := newServer(t, injecttest.Options{Faults: []injecttest.Fault{{Stage: injecttest.HELO, Reply: reply}}})
		m := message(1)
		m.Client.SMTP = true
		r := injectAll(t, s.Dial, inject.Options{}, m)[0]
		if r.Outcome != want || r.Stage != "HELO" || !r.ClientGiven || r.Reply.String() != reply {
			t.Errorf("%+v, err %v; want %v by %s", r, r.Err, want, reply)
		}
	}
}

// Postfix writes down a client that says HELO as one that speaks SMTP, which it does not where EHLO follows PROTO=SMTP.
func TestPostfixClientSaysHELO(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	helo, ehlo := message(1), message(2)
	helo.Client.SMTP, helo.Client.ESMTP, ehlo.Client.ESMTP = true, false, false
	for i, r := range injectAll(t, p.Dialer(injecttest.ListenAll), inject.Options{Connections: 1}, helo, ehlo, message(3)) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	for _, mail := range p.Mail() {
		want := "with ESMTP id"
		if strings.Contains(mail, "Subject: 1\n") {
			want = "with SMTP id"
		}
		if !strings.Contains(mail, want) {
			t.Errorf("no %q in\n%s", want, mail)
		}
	}
}
