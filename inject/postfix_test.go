//go:build unix

package inject_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestPostfixListeners sends from many clients through each kind of listener.
func TestPostfixListeners(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	const each = 20
	for i, listener := range []string{injecttest.ListenUnix, injecttest.ListenOnce, injecttest.ListenAll} {
		t.Run(listener, func(t *testing.T) {
			var ms []*inject.Message
			for n := range each {
				ms = append(ms, message(n))
			}
			for n, r := range injectAll(t, p.Dialer(listener), inject.Options{Connections: 2}, ms...) {
				if r.Outcome != inject.Delivered || r.QueueID == "" || r.Err != nil {
					t.Fatalf("message %d: %+v %v", n, r, r.Err)
				}
			}
			mail := p.Mail()
			if len(mail) != (i+1)*each {
				t.Fatalf("%d messages in the mailbox, want %d", len(mail), (i+1)*each)
			}
			for _, text := range mail {
				checkReceived(t, text)
			}
		})
	}
}

// checkReceived compares Postfix's Received field with the client that the subject numbers.
func checkReceived(t *testing.T, text string) {
	t.Helper()
	var n int
	_, subject, _ := strings.Cut(text, "Subject: ")
	if _, err := fmt.Sscan(subject, &n); err != nil {
		t.Fatalf("no subject in %q", text)
	}
	c := message(n).Client
	want := fmt.Sprintf("Received: from %s (%s [%s])\n\tby mx.example.org (Postfix) with ESMTP id ", c.HELO, c.Name, c.Addr)
	if !strings.Contains(text, want) {
		t.Errorf("message %d lacks %q:\n%s", n, want, text)
	}
}

// TestPostfixProbe: what `check` says of each listener.
func TestPostfixProbe(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "none"},
		{Name: "networks", Options: []string{"smtpd_authorized_xclient_hosts=0.0.0.0/0,[::]/0"}},
	}})
	for listener, want := range map[string]struct{ offered, unknown, foreign bool }{
		injecttest.ListenUnix: {true, true, true},
		injecttest.ListenAll:  {true, true, true},
		injecttest.ListenOnce: {true, false, false},
		"networks":            {true, false, true}, // "unknown" is in no network
		"none":                {false, false, false},
	} {
		c, err := inject.Probe(t.Context(), p.Dialer(listener), inject.Options{}, probed()...)
		reset := func(i int) bool { return i < len(c.Presented) && c.Presented[i].Reset }
		if (c.XCLIENT != nil) != want.offered || reset(1) != want.unknown || reset(0) != want.foreign || (err == nil) != want.offered {
			t.Errorf("%s: %+v, %v; want %+v", listener, c, err, want)
		}
		if !want.offered && inject.KindOf(err) != inject.Misconfigured {
			t.Errorf("%s: %v", listener, err)
		}
	}
}

// TestPostfixReceived: what the MTA's own field says of clients that are only partly known, and
// what the documentation of this package says about PROTO.
func TestPostfixReceived(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	a := netip.MustParseAddr("192.0.2.1")
	long := strings.Repeat("h", 255)
	for i, c := range []struct {
		name   string
		client inject.Client
		want   string
	}{
		{"nothing known", inject.Client{}, "from [192.0.0.8] (unknown [unknown])\n\tby mx.example.org (Postfix) with ESMTP id"},
		{"no name known", inject.Client{Addr: a, HELO: "h.example.net", ESMTP: true}, "from h.example.net (unknown [192.0.2.1])\n\tby mx.example.org (Postfix) with ESMTP id"},
		{"address with relay rights", inject.Client{Addr: netip.MustParseAddr("10.1.2.3"), Name: "x.example.net", HELO: "h.example.net"}, "from [192.0.0.8] (unknown [unknown])\n"},
		{"IPv6", inject.Client{Addr: netip.MustParseAddr("2001:DB8::1"), Name: "six.example.net", HELO: "h.example.net"}, "from h.example.net (six.example.net [IPv6:2001:db8::1])\n"},
		{"hostile HELO", inject.Client{Addr: a, HELO: "a\r\nb (c) <d>"}, "from a??b?"},
		{"longest values, split commands", inject.Client{Addr: netip.MustParseAddr("2001:db8:1111:2222:3333:4444:5555:6666"), Name: "n." + strings.Repeat("n", 60) + "." + strings.Repeat("m", 63) + "." + strings.Repeat("o", 63) + ".example.net", HELO: long}, "from " + long},
		{"SMTP is shown as ESMTP", inject.Client{Addr: a, HELO: "old.example.net"}, "from old.example.net (unknown [192.0.2.1])\n\tby mx.example.org (Postfix) with ESMTP id"},
	} {
		for _, listener := range []string{injecttest.ListenUnix, injecttest.ListenOnce} {
			m := message(1)
			m.Client = c.client
			m.From = fmt.Sprintf("case%d-%s@example.net", i, listener)
			r := injectAll(t, p.Dialer(listener), inject.Options{Hello: "own.example.org"}, m)[0]
			if r.Outcome != inject.Delivered {
				t.Fatalf("%s: %+v, err %v", c.name, r, r.Err)
			}
			found := false
			for _, text := range p.Mail() {
				if strings.Contains(text, "Return-Path: <"+m.From+">") {
					found = strings.Contains(text, c.want)
					if !found {
						t.Errorf("%s over %s lacks %q:\n%s", c.name, listener, c.want, text)
					}
				}
			}
			if !found {
				t.Errorf("%s over %s: not found", c.name, listener)
			}
		}
	}
}

// An unknown client may not relay, and this host could have.
func TestPostfixRelay(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
	m := message(1)
	m.To = []string{"somebody@example.com"}
	m.Client = inject.Client{}
	r := injectAll(t, p.Dialer(injecttest.ListenUnix), inject.Options{}, m)[0]
	if r.Outcome != inject.Refused || r.Reply.Code != 554 || !strings.Contains(r.Reply.Text, "Relay access denied") {
		t.Errorf("unknown client: %+v, err %v", r, r.Err)
	}
	r = injectAll(t, p.Dialer(injecttest.ListenOnce), inject.Options{XCLIENT: inject.Off}, m)[0]
	if r.Outcome != inject.Delivered {
		t.Errorf("without XCLIENT this host may relay, or the test shows nothing: %+v, err %v", r, r.Err)
	}
}

// The rules of a real MTA, judged at
// XCLIENT (smtpd_delay_reject=no) and at RCPT.
func TestPostfixRules(t *testing.T) {
	rules := []string{
		"smtpd_authorized_xclient_hosts=static:all",
		"smtpd_client_restrictions=check_client_access cidr:{etc}/client, permit_mynetworks, reject_unknown_reverse_client_hostname",
		"smtpd_helo_restrictions=reject_invalid_helo_hostname, reject_non_fqdn_helo_hostname",
	}
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Files: map[string]string{"client": "203.0.113.66 REJECT listed\n203.0.113.68 450 4.7.1 greylisted\n203.0.113.69 421 4.7.0 go away\n203.0.113.70 521 5.7.1 hard no\n"},
		Listeners: []injecttest.Listener{
			{Name: "early", Options: append([]string{"smtpd_delay_reject=no"}, rules...)},
			{Name: "late", Options: append([]string{"smtpd_delay_reject=yes"}, rules...)},
		},
	})
	named := func(addr string) inject.Client {
		return inject.Client{Addr: netip.MustParseAddr(addr), Name: "mail.example.net", HELO: "mail.example.net", ESMTP: true}
	}
	noFQDN := named("192.0.2.1")
	noFQDN.HELO = "localhost"
	for _, c := range []struct {
		name         string
		client       inject.Client
		outcome      inject.Outcome
		earlyS, code string
	}{
		{"listed", named("203.0.113.66"), inject.Refused, "XCLIENT", "554"},
		{"greylisted", named("203.0.113.68"), inject.Deferred, "XCLIENT", "450"},
		{"421", named("203.0.113.69"), inject.Deferred, "XCLIENT", "421"},
		{"521", named("203.0.113.70"), inject.Refused, "XCLIENT", "521"},
		{"no reverse name", inject.Client{Addr: netip.MustParseAddr("192.0.2.9"), HELO: "h.example.net"}, inject.Deferred, "XCLIENT", "450"},
		{"reverse name temporarily unknown", inject.Client{Addr: netip.MustParseAddr("192.0.2.9"), NameTemporary: true, HELO: "h.example.net"}, inject.Deferred, "XCLIENT", "450"},
		{"HELO", noFQDN, inject.Refused, "EHLO", "504"},
		{"good", named("192.0.2.1"), inject.Delivered, "dot", "250"},
	} {
		for _, listener := range []string{"early", "late"} {
			stage := c.earlyS
			if listener == "late" && c.outcome != inject.Delivered {
				stage = "RCPT"
			}
			m := message(1)
			m.Client = c.client
			// One that is good rides behind it, and must not suffer.
			rs := injectAll(t, p.Dialer(listener), inject.Options{Connections: 1}, message(5), m, message(6))
			r := rs[1]
			if r.Outcome != c.outcome || r.Stage != stage || fmt.Sprint(r.Reply.Code) != c.code || r.Err != nil {
				t.Errorf("%s, %s: %v at %s by %v, err %v; want %v at %s by %s", c.name, listener, r.Outcome, r.Stage, r.Reply, r.Err, c.outcome, stage, c.code)
			}
			if rs[0].Outcome != inject.Delivered || rs[2].Outcome != inject.Delivered {
				t.Errorf("%s, %s: beside it %+v and %+v", c.name, listener, rs[0], rs[2])
			}
		}
	}
}

// Before its tests are passed, postscreen does not do XCLIENT.
func TestPostfixPostscreen(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Listeners: []injecttest.Listener{{Name: "postscreen", Program: "postscreen", Options: []string{"smtpd_authorized_xclient_hosts=static:all",
			"postscreen_greet_wait=1s", "postscreen_pipelining_enable=yes", "postscreen_pipelining_action=enforce"}}},
		Master: []string{"smtpd pass - - n - - smtpd", "dnsblog unix - - n - 0 dnsblog", "tlsproxy unix - - n - 0 tlsproxy"},
	})
	r := injectAll(t, p.Dialer("postscreen"), inject.Options{}, message(1))[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Misconfigured || len(p.Mail()) != 0 {
		t.Errorf("%+v, err %v", r, r.Err)
	}
}

// Whatever the listener takes for
// the end of DATA, one message stays one, and arrives as it was meant.
func TestPostfixSmuggling(t *testing.T) {
	var listeners []injecttest.Listener
	for _, setting := range []string{"no", "normalize", "reject"} {
		listeners = append(listeners, injecttest.Listener{Name: setting, Options: []string{
			"smtpd_authorized_xclient_hosts=static:all", "smtpd_forbid_bare_newline=" + setting, "smtpd_forbid_bare_newline_exclusions="}})
	}
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: listeners})
	const smuggled = "MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
	var ms []*inject.Message
	want := map[string]string{}
	for i, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r\n.\r\r\n", "\r\r\n.\r\n", "\r\n.\x00\r\n",
		"\n.\r\r\n", "\r\n.\r\n", "\r\n..\r\n...\r\n", "\r\n\x00.\r\n", "\n\n.\n\n", "\n.\r"} {
		body := fmt.Sprintf("Subject: %d\r\n\r\nhello", i) + end + smuggled
		m := message(i)
		m.Size, m.Body = int64(len(body)), bodyOf(body)
		ms = append(ms, m)
		canonical := regexp.MustCompile("\r*\n").ReplaceAllString(body, "\n")
		_, text, _ := strings.Cut(strings.ReplaceAll(canonical, "\r", " "), "\n\n")
		want[m.From] = text
	}
	for i, setting := range []string{"no", "normalize", "reject"} {
		for n, r := range injectAll(t, p.Dialer(setting), inject.Options{Connections: 2}, ms...) {
			if r.Outcome != inject.Delivered {
				t.Errorf("%s, variant %d: %+v, err %v", setting, n, r, r.Err)
			}
		}
		mail := p.Mail()
		if len(mail) != (i+1)*len(ms) {
			t.Errorf("%s: %d messages, want %d", setting, len(mail), (i+1)*len(ms))
		}
		for _, text := range mail {
			if strings.Contains(text, "Return-Path: <evil") {
				t.Errorf("%s: smuggled:\n%s", setting, text)
			}
			_, from, _ := strings.Cut(text, "Return-Path: <")
			from, _, _ = strings.Cut(from, ">")
			if _, body, _ := strings.Cut(text, "\n\n"); body != want[from] {
				t.Errorf("%s: %s has body %q, want %q", setting, from, body, want[from])
			}
		}
	}
}

// The limits of a real MTA: space, size, hops and the rate of a client.
func TestPostfixLimits(t *testing.T) {
	all := "smtpd_authorized_xclient_hosts=static:all"
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "full", Options: []string{all, "queue_minfree=100000000000000"}},
		{Name: "small", Options: []string{all, "message_size_limit=1000"}},
		{Name: "rate", Options: []string{"smtpd_authorized_xclient_hosts=127.0.0.0/8", "smtpd_client_message_rate_limit=1", "smtpd_client_event_limit_exceptions="}},
	}})
	for _, c := range []struct {
		name, listener string
		body           string
		size           int64
		outcome        inject.Outcome
		stage, reply   string
	}{
		{"queue full", "full", "x\r\n", 3, inject.Deferred, "MAIL", "452 4.3.1"},
		{"too big, announced", "small", strings.Repeat("x\r\n", 1000), 3000, inject.Withheld, "MAIL", ""},
		{"too big, found at the dot", "small", strings.Repeat("x\r\n", 1000), -1, inject.Refused, "dot", "552 5.3.4"},
		{"too many hops", injecttest.ListenAll, strings.Repeat("Received: x\r\n", 50), 50 * 13, inject.Refused, "dot", "554 5.4.0"},
	} {
		m := message(1)
		m.Body, m.Size = bodyOf(c.body), c.size
		r := injectAll(t, p.Dialer(c.listener), inject.Options{}, m)[0]
		if r.Outcome != c.outcome || r.Stage != c.stage || !strings.HasPrefix(r.Reply.String(), c.reply) || (r.Err != nil) != (c.outcome == inject.Withheld) {
			t.Errorf("%s: %v at %s by %v, err %v", c.name, r.Outcome, r.Stage, r.Reply, r.Err)
		}
	}
	rs := injectAll(t, p.Dialer("rate"), inject.Options{Connections: 1}, message(1), message(1), message(2))
	if rs[0].Outcome != inject.Delivered || rs[1].Outcome != inject.Deferred || rs[1].Reply.Code != 450 || rs[2].Outcome != inject.Delivered {
		t.Errorf("a client that sends too often: %v, %v by %v, %v", rs[0].Outcome, rs[1].Outcome, rs[1].Reply, rs[2].Outcome)
	}
}

// What is killed or reloaded around the dot.
func TestPostfixKilled(t *testing.T) {
	// It is called from a session's goroutine, which t.Fatal would leave behind.
	signal := func(t *testing.T, p *injecttest.Postfix, daemon string, sig syscall.Signal) {
		t.Helper()
		pids := p.Processes(daemon)
		if len(pids) == 0 {
			t.Errorf("no %s is running", daemon)
		}
		for _, pid := range pids { // any but the one in use may end by itself
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Errorf("kill -%d %s: %v", sig, daemon, err)
			}
		}
	}
	t.Run("smtpd killed behind the dot", func(t *testing.T) {
		p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
		m := message(1)
		m.BeforeDot = func(context.Context) error {
			signal(t, p, "cleanup", syscall.SIGSTOP)
			return nil
		}
		dial := func(ctx context.Context) (net.Conn, error) {
			conn, err := p.Dialer(injecttest.ListenAll)(ctx)
			return &dotConn{Conn: conn, sent: func() {
				signal(t, p, "smtpd", syscall.SIGKILL)
				signal(t, p, "cleanup", syscall.SIGCONT)
			}}, err
		}
		r := injectAll(t, dial, inject.Options{}, m)[0]
		if r.Outcome != inject.InDoubt || kindOf(r) != inject.Unreachable {
			t.Errorf("%+v, err %v", r, r.Err)
		}
		if mail := p.Mail(); len(mail) > 1 {
			t.Errorf("%d copies", len(mail))
		}
	})
	t.Run("smtpd killed before the dot", func(t *testing.T) {
		p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
		m := message(1)
		m.BeforeDot = func(context.Context) error {
			signal(t, p, "smtpd", syscall.SIGKILL)
			return awaitGone(p, "smtpd")
		}
		r := injectAll(t, p.Dialer(injecttest.ListenAll), inject.Options{}, m)[0]
		if r.Outcome != inject.Deferred || kindOf(r) != inject.Unreachable || len(p.Mail()) != 0 {
			t.Errorf("%+v, err %v", r, r.Err)
		}
	})
	t.Run("reloaded before the dot", func(t *testing.T) {
		p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
		m := message(1)
		m.BeforeDot = func(context.Context) error {
			signal(t, p, "master", syscall.SIGHUP)
			return nil
		}
		r := injectAll(t, p.Dialer(injecttest.ListenAll), inject.Options{}, m)[0]
		if r.Outcome != inject.Delivered || len(p.Mail()) != 1 {
			t.Errorf("%+v, err %v", r, r.Err)
		}
	})
	t.Run("cleanup killed before the dot", func(t *testing.T) {
		p := injecttest.StartPostfix(t, injecttest.PostfixOptions{})
		m := message(1)
		m.BeforeDot = func(context.Context) error {
			signal(t, p, "cleanup", syscall.SIGKILL)
			return awaitGone(p, "cleanup")
		}
		r := injectAll(t, p.Dialer(injecttest.ListenAll), inject.Options{}, m)[0]
		if r.Outcome != inject.Deferred || r.Reply.Code != 451 || r.Err != nil {
			t.Errorf("%+v, err %v", r, r.Err)
		}
	})
}

// dotConn calls sent, once the dot is on its way.
type dotConn struct {
	net.Conn
	sent func()
}

func (c *dotConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil && bytes.HasSuffix(b, []byte("\r\n.\r\n")) {
		c.sent()
	}
	return n, err
}

// awaitGone waits until a daemon of another program has ended.
func awaitGone(p *injecttest.Postfix, daemon string) error {
	for end := time.Now().Add(2 * time.Minute); len(p.Processes(daemon)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s does not end", daemon)
		}
	}
	return nil
}

// TestPostfixTLS: XCLIENT within STARTTLS, reset in place.
func TestPostfixTLS(t *testing.T) {
	id := newIdentity(t, "mx.example.org", time.Now().Add(time.Hour))
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Files: map[string]string{"tls.pem": id.pem},
		Listeners: []injecttest.Listener{{Name: "tls", Options: []string{"smtpd_authorized_xclient_hosts=static:all",
			"smtpd_tls_security_level=encrypt", "smtpd_tls_chain_files={etc}/tls.pem", "smtpd_tls_received_header=yes"}}},
	})
	o := inject.Options{StartTLS: inject.StartTLS, TLSConfig: id.client("mx.example.org"), Connections: 1}
	for i, r := range injectAll(t, p.Dialer("tls"), o, message(1), message(2), message(3)) {
		if r.Outcome != inject.Delivered {
			t.Errorf("message %d: %+v, err %v", i, r, r.Err)
		}
	}
	for _, text := range p.Mail() {
		if !strings.Contains(text, "using TLSv1.3") {
			t.Errorf("not within TLS:\n%s", text)
		}
	}
	r := injectAll(t, p.Dialer("tls"), inject.Options{}, message(4))[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Misconfigured {
		t.Errorf("without TLS: %+v, err %v", r, r.Err)
	}
}

// Octets that need no change arrive unchanged.
func TestPostfixBytes(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Main: []string{"line_length_limit = 20000000"}})
	var every bytes.Buffer
	for i := range 256 {
		if i != '\r' && i != '\n' {
			every.WriteByte(byte(i))
		}
	}
	for i, body := range []string{
		every.String() + "\n",
		".\n..\n...\n.x\n",
		strings.Repeat("long ", 2000) + "\n",
		"From somebody\n>From somebody\n",
		strings.Repeat("x", 10<<20) + "\n",
	} {
		m := message(i)
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s", i, strings.ReplaceAll(body, "\n", "\r\n"))
		m.Size, m.Body, m.EightBit = int64(len(text)), bodyOf(text), true
		if r := injectAll(t, p.Dialer(injecttest.ListenUnix), inject.Options{}, m)[0]; r.Outcome != inject.Delivered {
			t.Fatalf("case %d: %+v, err %v", i, r, r.Err)
		}
		found := false
		for _, text := range p.Mail() {
			if strings.Contains(text, "Return-Path: <"+m.From+">") {
				_, got, _ := strings.Cut(text, "\n\n")
				if found = true; got != body {
					t.Errorf("case %d arrives as %.300q (%d octets), want %.300q (%d)", i, got, len(got), body, len(body))
				}
			}
		}
		if !found {
			t.Errorf("case %d did not arrive", i)
		}
	}
}

// TestPostfixCarriers: XFORWARD changes the log and no more; PROXY changes the client.
func TestPostfixCarriers(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		{Name: "proxy", Options: []string{"smtpd_upstream_proxy_protocol=haproxy"}}}})
	for i, c := range []struct {
		listener string
		carrier  inject.Carrier
		addr     string
		received string
		log      string
	}{
		{injecttest.ListenOnce, inject.XFORWARD, "192.0.2.7", "from own.example.org (unknown [127.0.0.1])", "client=unknown[127.0.0.1], orig_client=c%d.example.net[192.0.2.7]"},
		{"proxy", inject.PROXYv1, "192.0.2.1", "from helo%d.example.net (unknown [192.0.2.1])", "client=unknown[192.0.2.1]"},
		{"proxy", inject.PROXYv1, "2001:db8::1", "from helo%d.example.net (unknown [IPv6:2001:db8::1])", "client=unknown[2001:db8::1]"},
		{"proxy", inject.PROXYv2, "192.0.2.2", "from helo%d.example.net (unknown [192.0.2.2])", "client=unknown[192.0.2.2]"},
		{"proxy", inject.PROXYv2, "2001:db8::2", "from helo%d.example.net (unknown [IPv6:2001:db8::2])", "client=unknown[2001:db8::2]"},
	} {
		a, b := message(2*i), message(2*i+1)
		for _, m := range []*inject.Message{a, b} {
			m.Client.Addr = netip.MustParseAddr(c.addr)
		}
		rs := injectAll(t, p.Dialer(c.listener), inject.Options{Carrier: c.carrier, Connections: 1, Hello: "own.example.org"}, a, b)
		for n, m := range []*inject.Message{a, b} {
			if r := rs[n]; r.Outcome != inject.Delivered || r.Presented.Addr != m.Client.Addr {
				t.Fatalf("%v: %+v, err %v", c.carrier, r, r.Err)
			}
			number := func(s string) string { return strings.ReplaceAll(s, "%d", fmt.Sprint(2*i+n)) }
			mail := strings.Join(p.Mail(), "\n")
			_, mail, _ = strings.Cut(mail, "Return-Path: <"+m.From+">")
			if received, _, _ := strings.Cut(mail, "Subject: "); !strings.Contains(received, number(c.received)) {
				t.Errorf("%v: want %q in\n%s", c.carrier, number(c.received), received)
			}
			if !strings.Contains(p.Log(), number(c.log)) {
				t.Errorf("%v: want %q in the log", c.carrier, number(c.log))
			}
		}
	}
	if c, err := inject.Probe(t.Context(), p.Dialer("proxy"), inject.Options{Carrier: inject.PROXYv1}, probed()...); err != nil || !c.Pipelining {
		t.Errorf("probed behind PROXY: %+v, %v", c, err)
	}
	m := message(100)
	r := injectAll(t, p.Dialer(injecttest.ListenAll), inject.Options{Carrier: inject.XFORWARD}, m)[0]
	if r.Outcome != inject.Deferred || kindOf(r) != inject.Misconfigured {
		t.Errorf("XFORWARD where it is not offered: %+v", r)
	}
}
