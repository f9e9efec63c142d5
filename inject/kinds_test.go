//go:build unix

package inject_test

import (
	"os"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// kinds are the embedded servers that stand for a row of the README's table of receivers.
var kinds = []struct {
	program string
	carrier string
	server  injecttest.Options
	options inject.Options
	// noPort says that the program is told the port, and does not show it.
	noPort bool
	real   func(*testing.T) trial
}{
	{"Dovecot 2.3 LMTP, TCP", "xclient", injecttest.Dovecot(), inject.Options{Connections: 1, Dialect: inject.LMTP}, true, tryDovecotLMTP},
	{"Haraka 3.3", "xclient", injecttest.Haraka(), inject.Options{Connections: 1}, true, tryHaraka},
	{"Exim 4.96, `hosts_proxy`", "proxy-v1", injecttest.Exim(), inject.Options{Connections: 1, Carrier: inject.PROXYv1}, false, tryExim},
	{"Exim 4.96, `hosts_proxy`", "proxy-v2", injecttest.Exim(), inject.Options{Connections: 1, Carrier: inject.PROXYv2}, false, tryExim},
}

// An embedded server that stands for another program shows of each client what that program shows.
func TestEmbeddedServersShowWhatTheRealDo(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		t.Run(k.program+" by "+k.carrier, func(t *testing.T) {
			s := newServer(t, k.server)
			shown := func(_ *testing.T, n int, _ inject.Receipt) clientSeen {
				for _, m := range s.Messages() {
					if m.From == message(n).From {
						told := func(s string) string {
							return strings.NewReplacer("[UNAVAILABLE]", "", "[TEMPUNAVAIL]", "", "localhost", "").Replace(known(s))
						}
						seen := clientSeen{addr: m.Client.Addr, name: told(m.Client.Name), helo: told(m.Client.HELO), port: told(m.Client.Port)}
						if k.noPort {
							seen.port = ""
						}
						return seen
					}
				}
				t.Fatalf("message %d did not arrive", n)
				return clientSeen{}
			}
			r := receiver{k.program, k.carrier, k.options, func(*testing.T) trial { return trial{dial: s.Dial, shown: shown} }}
			row := "| " + k.program + " | " + k.carrier + " | " + strings.Join(r.cells(t), " | ") + " |\n"
			if !strings.Contains(string(readme), row) {
				t.Errorf("the README's table does not have the row\n%s", row)
			}
		})
	}
}

// An embedded server offers what the program offers that it stands for.
func TestEmbeddedServersOfferWhatTheRealDo(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.program+" by "+k.carrier, func(t *testing.T) {
			probe := func(dial inject.Dialer) inject.Capabilities {
				c, err := inject.Probe(t.Context(), dial, k.options, receiverClients...)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			is, want := probe(newServer(t, k.server).Dial), probe(k.real(t).dial)
			if is.Pipelining != want.Pipelining || is.DSN != want.DSN || is.EightBit != want.EightBit || is.UTF8 != want.UTF8 || is.Chunking != want.Chunking ||
				is.SizeLimit != want.SizeLimit || is.OneClient != want.OneClient || strings.Join(is.XCLIENT, " ") != strings.Join(want.XCLIENT, " ") {
				t.Errorf("offers\n%q, want\n%q", is.Extensions, want.Extensions)
			}
			if len(is.Presented) != len(want.Presented) {
				t.Fatalf("%d clients could be presented, want %d", len(is.Presented), len(want.Presented))
			}
			for i := range want.Presented {
				if is, want := is.Presented[i], want.Presented[i]; is.Reply.Code != want.Reply.Code || is.Reset != want.Reset {
					t.Errorf("client %s: %v, another after it: %v; want %v, %v", want.Client.Addr, is.Reply, is.Reset, want.Reply, want.Reset)
				}
			}
		})
	}
}

// Postfix before 2.3 goes on with the session of the client before, so that nothing is sent to it; and what it takes for a value is
// what was sent, not what was meant.
func TestPostfixBefore23GetsNothing(t *testing.T) {
	s := newServer(t, injecttest.Postfix22())
	m := message(1)
	m.Client.HELO = "two words"
	r := injectAll(t, s.Dial, inject.Options{}, m)[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Misconfigured || s.Count() != 0 || !strings.Contains(r.Err.Hint(), "2.3") {
		t.Errorf("%+v, err %v, hint %q", r, r.Err, r.Err.Hint())
	}
}

// Exim's limit of messages in a session ends the session, and the message is tried on a fresh one.
func TestMessageLimitOfASession(t *testing.T) {
	o := injecttest.Options{MessageLimit: 2}
	s := newServer(t, o)
	var messages []*inject.Message
	for n := range 7 {
		messages = append(messages, message(n))
	}
	for n, r := range injectAll(t, s.Dial, inject.Options{Connections: 1, XCLIENT: inject.Off}, messages...) {
		if r.Outcome != inject.Delivered {
			t.Errorf("message %d: %+v, err %v", n, r, r.Err)
		}
	}
	if s.Count() != 7 || s.Sessions() != 4 {
		t.Errorf("%d arrived in %d sessions, want 7 in 4", s.Count(), s.Sessions())
	}
}
