package examples

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
)

// deliver sends messages by truehop's own client in one session at a time, as far as the listener lets it.
func deliver(t *testing.T, network, addr string, messages ...*inject.Message) []inject.Receipt {
	t.Helper()
	return deliverTraced(t, nil, network, addr, messages...)
}

func deliverTraced(t *testing.T, trace func(session uint64, line string), network, addr string, messages ...*inject.Message) []inject.Receipt {
	t.Helper()
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}
	pool := inject.NewPool(dial, inject.Options{Connections: 1, Hello: "truehop.example.org", Trace: trace})
	receipts := make([]inject.Receipt, len(messages))
	for i, m := range messages {
		if err := pool.Submit(t.Context(), m, func(r inject.Receipt) { receipts[i] = r }); err != nil {
			t.Fatal(err)
		}
	}
	if err := pool.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	return receipts
}

// errorCounts counts as Postfix does: what it refuses in a session, until it takes a message.
type errorCounts struct {
	mu        sync.Mutex
	sessions  map[uint64]int
	most      int
	temporary int // replies of 421
}

func (c *errorCounts) line(session uint64, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply, says := strings.CutPrefix(line, "S: ")
	n := c.sessions[session]
	switch {
	case !says:
	case strings.HasPrefix(reply, "250 2.0.0 Ok: queued"):
		n = 0
	case strings.HasPrefix(reply, "4"), strings.HasPrefix(reply, "5"):
		n++
	}
	if strings.HasPrefix(line, "S: 421") {
		c.temporary++
	}
	c.sessions[session], c.most = n, max(c.most, n)
}

// from is a message from a client with this address.
func from(client string) *inject.Message {
	const text = "Subject: x\r\n\r\nbody\r\n"
	return &inject.Message{
		Client: inject.Client{Addr: netip.MustParseAddr(client), Name: "mail.example.com", ReverseName: "mail.example.com", HELO: "mail.example.com", ESMTP: true},
		From:   "a@example.com", To: []string{"user@example.org"}, Size: int64(len(text)),
		Body: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil },
	}
}

// Refused messages count as errors of the session, and XCLIENT does not clear them: Postfix would slow the
// session down from smtpd_soft_error_limit on and end it at the hard limit, and the message behind be deferred for no fault of its own.
func TestPostfixRefusesMany(t *testing.T) {
	const soft = 10 // Postfix's default
	for _, listener := range listeners {
		t.Run(listener, func(t *testing.T) {
			p, network, addr := start(t, listener)
			var messages []*inject.Message
			for n := range 48 {
				messages = append(messages, from(fmt.Sprintf("198.51.100.%d", 100+n)))
			}
			counts := errorCounts{sessions: map[uint64]int{}}
			begun := time.Now()
			receipts := deliverTraced(t, counts.line, network, addr, append(messages, from("192.0.2.7"))...)
			took := time.Since(begun)
			for i, r := range receipts {
				want := inject.Refused
				if i == len(messages) {
					want = inject.Delivered
				}
				if r.Outcome != want {
					t.Errorf("message %d is %v by %q (%v), want %v", i+1, r.Outcome, r.Reply, r.Err, want)
				}
			}
			// One that took less than the soft limit of errors was never slowed down, whatever that took on this machine.
			if counts.temporary != 0 || counts.most == 0 || counts.most >= soft {
				t.Errorf("421 was said %d times; at most %d errors in one of %d sessions, want fewer than %d",
					counts.temporary, counts.most, len(counts.sessions), soft)
			}
			t.Logf("%d refused in %v: %d sessions, at most %d errors in one, none deferred", len(messages), took.Round(time.Millisecond), len(counts.sessions), counts.most)
			if log := p.Log(); strings.Contains(log, "too many errors") {
				t.Errorf("Postfix ended a session:\n%s", log)
			}
		})
	}
}

// A dry run says EHLO and RSET for each message and delivers none: Postfix counts both as junk.
func TestPostfixTakesManyDryRuns(t *testing.T) {
	for _, listener := range listeners {
		t.Run(listener, func(t *testing.T) {
			p, network, addr := start(t, listener, "in_flow_delay = 0")
			var messages []*inject.Message
			for range 120 {
				m := from("192.0.2.7")
				m.DryRun = true
				messages = append(messages, m)
			}
			for i, r := range deliver(t, network, addr, messages...) {
				if r.Stage != "RCPT" || r.Reply.Code != 250 {
					t.Errorf("message %d: %s %q (%v), want 250 to RCPT", i+1, r.Stage, r.Reply, r.Err)
				}
			}
			if log := p.Log(); strings.Contains(log, "too many errors") {
				t.Errorf("Postfix ended a session:\n%s", log)
			}
		})
	}
}

// The cleanup that the recipe's README shows takes what comes through the listener, whichever that is, and nothing holds it
// back.
func TestPostfixCleanupOfItsOwn(t *testing.T) {
	m := regexp.MustCompile("(?ms)^```master\\.cf\n(.*?)^```$\n\nand in the listener `(.*?)`").FindStringSubmatch(read(t, "postfix/README.md"))
	if m == nil {
		t.Fatal("no cleanup is shown")
	}
	for _, listener := range listeners {
		t.Run(listener, func(t *testing.T) {
			p, network, addr := startMaster(t, recipe(t, listener)+"  "+m[2]+"\n"+m[1])
			if r := deliver(t, network, addr, from("192.0.2.7"))[0]; r.Outcome != inject.Delivered {
				t.Fatalf("%v by %q (%v), want it delivered", r.Outcome, r.Reply, r.Err)
			}
			p.Mail()
			if log := p.Log(); !regexp.MustCompile(`postfix/truehop/cleanup\[\d+\]: .*message-id=`).MatchString(log) {
				t.Errorf("another cleanup took the message:\n%s", log)
			}
			out, err := exec.Command("postconf", "-c", filepath.Join(p.Dir, "etc"), "-P", "truehop-cleanup/unix/in_flow_delay").CombinedOutput()
			if err != nil || strings.TrimSpace(string(out)) != "truehop-cleanup/unix/in_flow_delay = 0" {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
}

// A Postfix that speaks IPv4 only takes mail from the clients of an upstream that speaks both.
func TestPostfixTakesIPv6Clients(t *testing.T) {
	for _, listener := range listeners {
		t.Run(listener, func(t *testing.T) {
			p, network, addr := start(t, listener, "inet_protocols = ipv4", "mynetworks = 127.0.0.0/8")
			rs := deliver(t, network, addr, from("2001:db8::1"), from("2001:db8:bad::1"))
			if rs[0].Outcome != inject.Delivered {
				t.Errorf("%v by %q (%v), want it delivered", rs[0].Outcome, rs[0].Reply, rs[0].Err)
			}
			if rs[1].Outcome != inject.Refused || !strings.Contains(rs[1].Reply.Text, "[2001:db8:bad::1]") {
				t.Errorf("%v by %q (%v), want it refused by the rule for its network", rs[1].Outcome, rs[1].Reply, rs[1].Err)
			}
			if mail := p.Mail(); len(mail) != 1 || !strings.Contains(mail[0], "(mail.example.com [IPv6:2001:db8::1])") {
				t.Errorf("delivered %q", mail)
			}
		})
	}
}

// What will not change is refused, and not deferred for days: a HELO that does not exist. Postfix knows of this
// one without asking the DNS.
func TestPostfixRefusesUnknownHELO(t *testing.T) {
	for _, listener := range listeners {
		_, network, addr := start(t, listener, "smtpd_helo_restrictions = reject_unknown_helo_hostname")
		m := from("192.0.2.7")
		m.Client.HELO = "no..name"
		if r := deliver(t, network, addr, m)[0]; r.Outcome != inject.Refused || r.Reply.Code != 550 || !strings.Contains(r.Reply.Text, "Host not found") {
			t.Errorf("%s: %v by %q (%v), want 550 Host not found", listener, r.Outcome, r.Reply, r.Err)
		}
	}
}

// The same for a sender's domain.
func TestPostfixRefusesUnknownDomain(t *testing.T) {
	const domain = "truehop.invalid" // RFC 6761 section 6.4
	var answer *net.DNSError
	if _, err := net.DefaultResolver.LookupMX(t.Context(), domain); !errors.As(err, &answer) || !answer.IsNotFound {
		t.Skipf("needs a name server that knows what does not exist: %v", err)
	}
	for _, listener := range listeners {
		_, network, addr := start(t, listener, "smtpd_sender_restrictions = reject_unknown_sender_domain")
		m := from("192.0.2.7")
		m.From = "a@" + domain
		if r := deliver(t, network, addr, m)[0]; r.Outcome != inject.Refused || r.Reply.Code != 550 || !strings.Contains(r.Reply.Text, "Domain not found") {
			t.Errorf("%s: %v by %q (%v), want 550 Domain not found", listener, r.Outcome, r.Reply, r.Err)
		}
	}
}
