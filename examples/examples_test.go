// Package examples holds configurations and recipes. The configurations are loaded by the tests of
// cmd/truehop/internal/config, the recipes for Postfix are run here.
package examples

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

const tcpListener = "127.0.0.1:10027"

// listeners are all that is written down for master.cf: two recipes, and what the README shows.
var listeners = []string{readme, "master.cf.unix", "master.cf.tcp"}

// readme stands for the listener in the README at the top.
const readme = "README"

// start runs Postfix with a listener of listeners, word for word, and our main.cf, which more lines may
// change. It returns where the listener is.
func start(t *testing.T, listener string, lines ...string) (p *injecttest.Postfix, network, addr string) {
	t.Helper()
	return startMaster(t, recipe(t, listener), lines...)
}

// recipe is what is written down for a listener of listeners.
func recipe(t *testing.T, listener string) string {
	t.Helper()
	if listener == readme {
		return shown(t)
	}
	return read(t, filepath.Join("postfix", listener))
}

// startMaster is start for a listener, and what else belongs to it, in these lines of master.cf.
func startMaster(t *testing.T, master string, lines ...string) (p *injecttest.Postfix, network, addr string) {
	t.Helper()
	network = "unix"
	if strings.Contains(master, tcpListener) {
		network = "tcp"
		master = strings.Replace(master, "\n"+tcpListener, "\n{addr}", 1)
	}
	p = injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main:   append([]string{read(t, "postfix/main.cf")}, lines...),
		Master: []string{master},
		Files:  map[string]string{"truehop_clients": read(t, "postfix/truehop_clients")},
	})
	if network == "tcp" {
		_, addr = p.Addr(injecttest.ListenMaster)
		return p, network, addr
	}
	return p, network, filepath.Join(p.Dir, "q/public/truehop")
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// shown is the listener that the README shows, without the indentation of the list that it stands in.
func shown(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile("(?ms)^( *)```master\\.cf\n(.*?)^ *```$").FindStringSubmatch(read(t, "../README.md"))
	if m == nil {
		t.Fatal("the README shows no listener")
	}
	return strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")
}

// client is a session with the listener.
type client struct {
	*textproto.Conn
	t *testing.T
}

func dial(t *testing.T, network, addr string) *client {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// For one that never answers.
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &client{textproto.NewConn(conn), t}
	t.Cleanup(func() { c.Close() })
	c.want("", "220")
	return c
}

// want sends a command and expects a reply that begins with prefix. It returns the reply.
func (c *client) want(command, prefix string) string {
	c.t.Helper()
	if command != "" {
		if err := c.PrintfLine("%s", command); err != nil {
			c.t.Fatal(err)
		}
	}
	code, text, err := c.ReadResponse(0)
	var te *textproto.Error
	if err != nil && !errors.As(err, &te) {
		c.t.Fatalf("%s: %v", command, err)
	}
	if te != nil {
		code, text = te.Code, te.Msg
	}
	reply := fmt.Sprintf("%d %s", code, text)
	if !strings.HasPrefix(reply, prefix) {
		c.t.Errorf("%s: got %q, want %q", command, reply, prefix)
	}
	return reply
}

// present does what truehop does for a message: XCLIENT with the whole set, then EHLO. It
// reports whether XCLIENT is still offered.
func (c *client) present(addr, name string) bool {
	c.t.Helper()
	c.want("XCLIENT HELO=client.example.com PROTO=ESMTP LOGIN=[UNAVAILABLE] PORT=[UNAVAILABLE] REVERSE_NAME="+name+" NAME="+name+" ADDR="+addr, "220")
	return strings.Contains(c.want("EHLO client.example.com", "250"), "XCLIENT")
}

const (
	sender    = "MAIL FROM:<a@example.com>"
	recipient = "RCPT TO:<user@example.org>"
	relay     = "RCPT TO:<somebody@elsewhere.example.net>"
)

// Postfix knows every parameter of the recipes, and says nothing about them.
func TestPostfixWarnsOfNothing(t *testing.T) {
	for _, fragment := range listeners {
		p, network, addr := start(t, fragment)
		dial(t, network, addr).want("EHLO truehop.example.org", "250")
		for _, args := range [][]string{{"-n"}, {"-M"}, {"-P"}} {
			out, err := exec.Command("postconf", append([]string{"-c", filepath.Join(p.Dir, "etc")}, args...)...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "warning") {
				t.Errorf("%s: postconf %s: %v\n%s", fragment, args[0], err, out)
			}
		}
		if strings.Contains(p.Log(), "warning") {
			t.Errorf("%s:\n%s", fragment, p.Log())
		}
	}
}

// The rules of port 25 judge the presented client, in one session for all of them.
func TestPostfixUnix(t *testing.T) {
	_, network, addr := start(t, "master.cf.unix")
	c := dial(t, network, addr)
	if !strings.Contains(c.want("EHLO truehop.example.org", "250"), "XCLIENT") {
		t.Fatal("XCLIENT is not offered")
	}
	for _, tc := range []struct{ addr, name, want string }{
		{"192.0.2.7", "mail.example.com", "250"},
		{"198.51.100.9", "mail.example.com", "554 5.7.1 <mail.example.com[198.51.100.9]>: Client host rejected: listed in truehop_clients"},
		{"198.51.100.7", "[UNAVAILABLE]", "250"},
		{"192.0.2.8", "[UNAVAILABLE]", "550 5.7.25"},
		{"192.0.0.8", "[UNAVAILABLE]", "250"},  // stands for a client that is not known
		{"198.18.0.8", "[UNAVAILABLE]", "250"}, // for mail that had none
		{"192.0.2.8", "[TEMPUNAVAIL]", "450 4.7.25"},
		{"IPV6:2001:db8:bad::1", "mail.example.com", "554"},
		{"IPV6:2001:db8::1", "mail.example.com", "250"},
		{"[UNAVAILABLE]", "[UNAVAILABLE]", "550 5.7.25"},
		{"192.0.2.7", "mail.example.com", "250"},
	} {
		if !c.present(tc.addr, tc.name) {
			t.Fatalf("after %s the right is lost", tc.addr)
		}
		c.want(sender, "250")
		c.want(recipient, tc.want)
		c.want("RSET", "250")
	}
}

// Mail that began at the upstream is not put to what judges clients, for it had none. All other mail is, also that of a
// client that is not known: here both the policy service and the milter are out of order.
func TestPostfixExemptsInternalMail(t *testing.T) {
	restrictions := regexp.MustCompile(`(?m)^smtpd_recipient_restrictions =\n(^[ #].*\n)+`).FindString(read(t, "postfix/main.cf"))
	const service = "#   check_policy_service unix:private/policyd-spf"
	if !strings.Contains(restrictions, service) {
		t.Fatalf("the recipe shows no policy service:\n%s", restrictions)
	}
	for name, line := range map[string]string{
		"policy service": strings.Replace(restrictions, service, "    check_policy_service inet:127.0.0.1:1", 1), "milter": "smtpd_milters = inet:127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			_, network, addr := start(t, "master.cf.unix", line, "smtpd_policy_service_max_idle = 1s", "smtpd_policy_service_try_limit = 1")
			messages := []*inject.Message{from("192.0.2.7"), from("192.0.0.8"), from("198.18.0.8"), from("192.0.2.7")}
			for i, r := range deliver(t, network, addr, messages...) {
				want := inject.Deferred
				if i == 2 {
					want = inject.Delivered
				}
				if r.Outcome != want {
					t.Errorf("%s: %v by %q (%v), want %v", messages[i].Client.Addr, r.Outcome, r.Reply, r.Err, want)
				}
			}
		})
	}
}

// No way to relay: not with XCLIENT forgotten, not as this host, not as a private address, not with a login.
func TestPostfixNoRelay(t *testing.T) {
	for _, fragment := range listeners {
		t.Run(fragment, func(t *testing.T) {
			_, network, addr := start(t, fragment)
			for _, xclient := range []string{
				"", "XCLIENT NAME=localhost ADDR=127.0.0.1", "XCLIENT NAME=localhost ADDR=IPV6:::1",
				"XCLIENT NAME=mail.example.com ADDR=10.0.0.1", "XCLIENT NAME=mail.example.com ADDR=198.51.100.7 LOGIN=joe",
				"XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.0.8", "XCLIENT NAME=[UNAVAILABLE] ADDR=198.18.0.8",
			} {
				c := dial(t, network, addr)
				c.want("EHLO truehop.example.org", "250")
				if xclient != "" {
					c.want(xclient, "220")
					c.want("EHLO client.example.com", "250")
				}
				c.want(sender, "250")
				reply := c.want(relay, "5")
				// This host without a name falls to a rule for clients first.
				if !strings.HasPrefix(reply, "554 5.7.1 <somebody@elsewhere.example.net>: Relay access denied") && !strings.Contains(reply, "[127.0.0.1]") {
					t.Errorf("%s: %q", xclient, reply)
				}
			}
		})
	}
}

// Over TCP the right ends with the first client presented.
func TestPostfixTCP(t *testing.T) {
	_, network, addr := start(t, "master.cf.tcp")
	for _, tc := range []struct{ addr, want string }{{"192.0.2.7", "250"}, {"198.51.100.9", "554"}} {
		c := dial(t, network, addr)
		if !strings.Contains(c.want("EHLO truehop.example.org", "250"), "XCLIENT") {
			t.Fatal("XCLIENT is not offered")
		}
		if c.present(tc.addr, "mail.example.com") {
			t.Errorf("%s keeps the right to present clients", tc.addr)
		}
		c.want(sender, "250")
		c.want(recipient, tc.want)
		c.want("XCLIENT ADDR=192.0.2.9", "5")
	}
}

// The header arrives as it was sent, below what every MTA adds.
func TestPostfixLeavesHeader(t *testing.T) {
	p, network, addr := start(t, "master.cf.unix")
	const message = "From: bare\nTo: other\nSubject: x\n\nbody\n"
	c := dial(t, network, addr)
	c.want("EHLO truehop.example.org", "250")
	c.present("192.0.2.7", "mail.example.com")
	c.want(sender, "250")
	c.want(recipient, "250")
	c.want("DATA", "354")
	c.want(strings.ReplaceAll(message, "\n", "\r\n")+".", "250")
	mail := p.Mail()
	if len(mail) != 1 || !strings.HasSuffix(mail[0], "\n"+message) || !strings.Contains(mail[0], "(mail.example.com [192.0.2.7])") {
		t.Errorf("delivered %q", mail)
	}
}

// A second message hidden behind a bare LF is refused with the first.
func TestPostfixSmuggling(t *testing.T) {
	for _, presented := range []bool{true, false} {
		p, network, addr := start(t, "master.cf.unix")
		c := dial(t, network, addr)
		c.want("EHLO truehop.example.org", "250")
		if presented {
			c.present("192.0.2.7", "mail.example.com")
		} else {
			c.present("198.51.100.7", "localhost")
		}
		c.want(sender, "250")
		c.want(recipient, "250")
		c.want("DATA", "354")
		if _, err := io.WriteString(c.W, "Subject: x\r\n\r\nx\n.\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<user@example.org>\r\nDATA\r\nSubject: y\r\n\r\ny\r\n.\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := c.W.Flush(); err != nil {
			t.Fatal(err)
		}
		c.want("", "550 5.5.2")
		if mail := p.Mail(); len(mail) != 0 {
			t.Errorf("delivered %q", mail)
		}
	}
}

// The listener of inject.plain judges nobody, whatever port 25 does; nobody is presented there, and nobody relays.
func TestPostfixPlain(t *testing.T) {
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main: []string{read(t, "postfix/main.cf"), "smtpd_milters = inet:127.0.0.1:1", "smtpd_client_restrictions = reject", "smtpd_recipient_restrictions = reject",
			"smtpd_data_restrictions = reject", "smtpd_helo_restrictions = reject", "smtpd_sender_restrictions = reject"},
		Master: []string{read(t, "postfix/master.cf.unix"), read(t, "postfix/master.cf.plain")},
		Files:  map[string]string{"truehop_clients": read(t, "postfix/truehop_clients")},
	})
	public := filepath.Join(p.Dir, "q/public")
	judged := dial(t, "unix", filepath.Join(public, "truehop"))
	judged.want("EHLO truehop.example.org", "250")
	judged.want(sender, "451")
	plain := dial(t, "unix", filepath.Join(public, "truehop-plain"))
	if offer := plain.want("EHLO truehop.example.org", "250"); strings.Contains(offer, "XCLIENT") {
		t.Errorf("XCLIENT is offered: %s", offer)
	}
	plain.want(sender, "250")
	plain.want(relay, "554 5.7.1")
	plain.want(recipient, "250")
	plain.want("DATA", "354")
	plain.want("Subject: x\r\n\r\nbody\r\n.", "250")
	if mail := p.Mail(); len(mail) != 1 {
		t.Errorf("delivered %q", mail)
	}
	out, err := exec.Command("postconf", "-c", filepath.Join(p.Dir, "etc"), "-P").CombinedOutput()
	if err != nil || strings.Contains(string(out), "unused parameter") {
		t.Errorf("postconf: %v\n%s", err, out)
	}
}

// A user outside group postdrop cannot reach the socket.
func TestSocketIsClosedToUsers(t *testing.T) {
	p, _, addr := start(t, "master.cf.unix")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(p.Dir, "probe") // where another user can execute it
	if err := os.WriteFile(probe, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(probe, "-test.run=^TestProbe$")
	cmd.Dir = "/"
	cmd.Env = []string{probeVariable + "=" + addr}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "as 65534: permission denied") {
		t.Errorf("%v\n%s", err, out)
	}
}

const probeVariable = "TRUEHOP_TEST_PROBE"

// TestProbe is the other user of TestSocketIsClosedToUsers.
func TestProbe(t *testing.T) {
	addr := os.Getenv(probeVariable)
	if addr == "" {
		t.Skip("runs as a child of TestSocketIsClosedToUsers")
	}
	conn, err := net.Dial("unix", addr)
	if err == nil {
		conn.Close()
	}
	what := "connected"
	if errors.Is(err, os.ErrPermission) {
		what = "permission denied"
	}
	fmt.Printf("as %d: %s\n", os.Geteuid(), what)
}
