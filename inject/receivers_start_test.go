//go:build unix

package inject_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// receivers are the rows of the README's table.
var receivers = []receiver{
	{"Postfix 3.7", "xclient", inject.Options{Connections: 1}, tryPostfixXCLIENT},
	{"Postfix 3.7", "xforward", inject.Options{Connections: 1, Carrier: inject.XFORWARD}, tryPostfixXFORWARD},
	{"Postfix 3.7, `smtpd_upstream_proxy_protocol`", "proxy-v1", inject.Options{Connections: 1, Carrier: inject.PROXYv1}, tryPostfixPROXY},
	{"Postfix 3.7, `smtpd_upstream_proxy_protocol`", "proxy-v2", inject.Options{Connections: 1, Carrier: inject.PROXYv2}, tryPostfixPROXY},
	{"Postfix 3.7, postscreen with `postscreen_upstream_proxy_protocol`", "proxy-v2", inject.Options{Connections: 1, Carrier: inject.PROXYv2}, tryPostscreenPROXY},
	{"Dovecot 2.3 LMTP, TCP", "xclient", inject.Options{Connections: 1, Dialect: inject.LMTP}, tryDovecotLMTP},
	{"Dovecot 2.3 LMTP, UNIX socket", "xclient", inject.Options{Connections: 1, Dialect: inject.LMTP}, tryDovecotLMTPUnix},
	{"Dovecot 2.3 submission, and the MTA behind it", "xclient", inject.Options{Connections: 1, Auth: dovecotLogin}, tryDovecotSubmission},
	{"Exim 4.96, `hosts_proxy`", "proxy-v1", inject.Options{Connections: 1, Carrier: inject.PROXYv1}, tryExim},
	{"Exim 4.96, `hosts_proxy`", "proxy-v2", inject.Options{Connections: 1, Carrier: inject.PROXYv2}, tryExim},
	{"OpenSMTPD 6.8, `proxy-v2`", "proxy-v2", inject.Options{Connections: 1, Carrier: inject.PROXYv2}, tryOpenSMTPD},
	{"Haraka 3.3", "xclient", inject.Options{Connections: 1}, tryHaraka},
}

// known returns a value, or "" for the word by which Postfix and others say that there is none.
func known(s string) string {
	if strings.Trim(s, "<>") == "unknown" {
		return ""
	}
	return s
}

// policyListener is a listener of Postfix's that asks a policy server.
func policyListener(p *policyLog, name string, options ...string) injecttest.Listener {
	return injecttest.Listener{Name: name, Options: append(options,
		"smtpd_recipient_restrictions=check_policy_service,inet:"+p.listener.Addr().String()+",reject_unauth_destination")}
}

// client returns what the policy server was asked about the client of message n.
func (p *policyLog) client(n int) clientSeen {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked[fmt.Sprintf("user%d@example.org", n)]
	return clientSeen{addr: asked["client_address"], name: known(asked["client_name"]), helo: asked["helo_name"], port: known(asked["client_port"])}
}

func (p *policyLog) shown(_ *testing.T, n int, _ inject.Receipt) clientSeen { return p.client(n) }

func tryPostfixXCLIENT(t *testing.T) trial {
	policy := startPolicyLog(t)
	const all = "smtpd_authorized_xclient_hosts=static:all"
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{
		policyListener(policy, "asked", all),
		{Name: "names", Options: []string{all, "smtpd_client_restrictions=reject_unknown_client_hostname", "unknown_client_reject_code=550"}},
	}})
	return trial{dial: p.Dialer("asked"), shown: policy.shown, names: p.Dialer("names")}
}

// tryPostfixXFORWARD shows what is seen by a filter behind the queue, by the log, and by the rules.
func tryPostfixXFORWARD(t *testing.T) trial {
	filter := newServer(t, injecttest.Options{Record: true, XCLIENT: []string{}, XFORWARD: []string{"NAME", "ADDR", "PROTO", "HELO", "PORT", "SOURCE"}})
	addr, err := filter.Start()
	if err != nil {
		t.Fatal(err)
	}
	policy := startPolicyLog(t)
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Listeners: []injecttest.Listener{policyListener(policy, "asked", "smtpd_authorized_xforward_hosts=static:all", "content_filter=filter:["+strings.Replace(addr.String(), ":", "]:", 1))},
		Master:    []string{"filter unix - - n - - smtp", "  -o smtp_send_xforward_command=yes"},
	})
	return trial{dial: p.Dialer("asked"),
		shown: func(t *testing.T, n int, _ inject.Receipt) clientSeen {
			p.Mail() // waits until the queue is empty
			return forwarded(filter.Transcript(), message(n).From)
		},
		others: func(t *testing.T, n int) string {
			if rules := policy.client(n); rules.addr != "127.0.0.1" {
				t.Errorf("the rules see %+v", rules)
			}
			c := receiverClients[n]
			if line := fmt.Sprintf("orig_client=%s[%s]", cmp.Or(c.Name, "unknown"), c.Addr); !strings.Contains(p.Log(), line) {
				t.Errorf("no %q in the log", line)
			}
			return " (log, filter behind the queue); rules: this host"
		}}
}

// forwarded returns what was told by XFORWARD of the message from that sender.
func forwarded(transcript []string, from string) clientSeen {
	told := map[string]string{}
	for _, line := range transcript {
		attributes, forwards := strings.CutPrefix(line, "C: XFORWARD ")
		for _, pair := range strings.Fields(attributes) {
			if name, value, _ := strings.Cut(pair, "="); forwards && value != "[UNAVAILABLE]" {
				told[name] = regexp.MustCompile("(?i)^ipv6:").ReplaceAllString(value, "")
			}
		}
		switch {
		case strings.HasPrefix(line, "C: MAIL FROM:<"+from+">"):
			return clientSeen{addr: told["ADDR"], name: told["NAME"], helo: told["HELO"], port: told["PORT"]}
		case strings.HasPrefix(line, "C: MAIL FROM:"):
			clear(told)
		}
	}
	return clientSeen{}
}

func tryPostfixPROXY(t *testing.T) trial {
	policy := startPolicyLog(t)
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Listeners: []injecttest.Listener{policyListener(policy, "asked", "smtpd_upstream_proxy_protocol=haproxy")}})
	return trial{dial: p.Dialer("asked"), shown: policy.shown}
}

func tryPostscreenPROXY(t *testing.T) trial {
	policy := startPolicyLog(t)
	p := injecttest.StartPostfix(t, injecttest.PostfixOptions{
		Main: []string{"smtpd_recipient_restrictions = check_policy_service inet:" + policy.listener.Addr().String() + ", reject_unauth_destination"},
		Listeners: []injecttest.Listener{{Name: "postscreen", Program: "postscreen", Options: []string{
			"postscreen_upstream_proxy_protocol=haproxy", "postscreen_greet_wait=1s"}}},
		Master: []string{"smtpd pass - - n - - smtpd", "dnsblog unix - - n - 0 dnsblog", "tlsproxy unix - - n - 0 tlsproxy"},
	})
	return trial{dial: p.Dialer("postscreen"), shown: policy.shown}
}

// receivedField is what a Received field shows of the client, as Dovecot, OpenSMTPD and Postfix write it.
var receivedField = regexp.MustCompile(`Received: from (\S+) \((?:(\S+) )?\[(?:IPv6:)?([^\]]+)\]\)`)

// inReceived returns what the first Received field of a message shows.
func inReceived(t *testing.T, raw string) clientSeen {
	t.Helper()
	m := receivedField.FindStringSubmatch(raw)
	if m == nil {
		t.Fatalf("no Received field shows a client:\n%.500s", raw)
	}
	return clientSeen{helo: m[1], name: known(m[2]), addr: m[3]}
}

func tryDovecotLMTP(t *testing.T) trial {
	d := startDovecotLMTP(t)
	return trial{dial: dialTo(t, d.addr), shown: func(t *testing.T, n int, _ inject.Receipt) clientSeen {
		return inReceived(t, stored(t, filepath.Join(d.dir, "mail", fmt.Sprintf("user%d", n))))
	}}
}

func tryDovecotLMTPUnix(t *testing.T) trial {
	d := startDovecotLMTP(t)
	return trial{dial: func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(d.dir, "run/lmtp"))
	}}
}

func dovecotLogin() (sasl.Client, error) { return sasl.NewPlainClient("", "user", "x"), nil }

// tryDovecotSubmission shows what reaches the MTA that Dovecot hands the mail to.
func tryDovecotSubmission(t *testing.T) trial {
	mta := newServer(t, injecttest.Options{})
	addr, err := mta.Start()
	if err != nil {
		t.Fatal(err)
	}
	_, relay, _ := net.SplitHostPort(addr.String())
	u := unpack(t, "submission")
	d := startDovecot(t, dovecotTrust+`protocols = submission
auth_mechanisms = plain
disable_plaintext_auth = no
hostname = mx.example.org
submission_relay_host = 127.0.0.1
submission_relay_port = `+relay+`
submission_relay_trusted = yes
service submission-login {
  chroot =
  inet_listener submission {
    address = 127.0.0.1
    port = {port}
  }
  inet_listener submissions {
    port = 0
  }
}
`, func(args ...string) *exec.Cmd { return u.command("/bin/sh", args...) })
	told := func(n int) injecttest.Client {
		for _, m := range mta.Messages() {
			if m.From == message(n).From {
				return m.Client
			}
		}
		t.Fatal("the MTA behind Dovecot got no message")
		return injecttest.Client{}
	}
	return trial{dial: dialTo(t, d.addr),
		shown: func(_ *testing.T, n int, _ inject.Receipt) clientSeen {
			s := clientSeen{addr: told(n).Addr}
			if receiverClients[n].Port != 0 {
				s.port = told(n).Port
			}
			return s
		},
		others: func(t *testing.T, n int) string {
			c := told(n)
			if c.Name != "localhost" || c.HELO != "mx.example.org" {
				t.Errorf("the MTA sees %+v", c)
			}
			if receiverClients[n].Port == 0 && c.Port != "[UNAVAILABLE]" {
				return "; port: truehop's; name, HELO: Dovecot's"
			}
			return "; name, HELO: Dovecot's"
		}}
}

func tryExim(t *testing.T) trial {
	x := startExim(t, "127.0.0.1", "")
	host := regexp.MustCompile(`(?m)^-host_address \[([^\]]+)\]:(\d+)$`)
	helo := regexp.MustCompile(`(?m)^-{1,2}helo_name (\S+)$`)
	name := regexp.MustCompile(`(?m)^-{1,2}host_name (\S+)$`)
	return trial{dial: x.dial, shown: func(t *testing.T, _ int, r inject.Receipt) clientSeen {
		queued := x.read("spool/input/" + r.QueueID + "-H")
		address := host.FindStringSubmatch(queued)
		if address == nil {
			t.Fatalf("Exim knows no client:\n%s", queued)
		}
		s := clientSeen{addr: address[1], port: address[2]}
		if m := helo.FindStringSubmatch(queued); m != nil {
			s.helo = m[1]
		}
		if m := name.FindStringSubmatch(queued); m != nil {
			s.name = m[1]
		}
		return s
	}}
}

func tryOpenSMTPD(t *testing.T) trial {
	u := unpack(t, "opensmtpd")
	const owner = 2001
	if err := errors.Join(os.Chown(filepath.Join(u.dir, "var/home/alice"), owner, owner), os.Chmod(filepath.Join(u.dir, "var/spool/smtpd"), 0o711)); err != nil {
		t.Fatal(err)
	}
	addr := ownLoopback(t)
	host, port, _ := net.SplitHostPort(addr)
	u.write(t, "etc/smtpd.conf", "listen on "+host+" port "+port+` proxy-v2 hostname mx.example.org
action keep maildir "/var/home/alice/Maildir" virtual { "@example.org" = alice }
match from any for domain "example.org" action keep
`)
	startServer(t, u.command("/usr/sbin/smtpd", "-d"))
	return trial{dial: dialTo(t, addr), shown: func(t *testing.T, n int, _ inject.Receipt) clientSeen {
		return inReceived(t, awaitMail(t, filepath.Join(u.dir, "var/home/alice/Maildir/new"), fmt.Sprintf("\nSubject: %d\n", n)))
	}}
}

// awaitMail returns the message with that line from a mailbox that another program delivers to.
func awaitMail(t *testing.T, dir, line string) string {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		found := ""
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if raw, err := os.ReadFile(path); err == nil && strings.Contains(string(raw), line) {
				found = string(raw)
			}
			return nil
		})
		if found != "" {
			return found
		}
	}
	t.Fatalf("no message with %q in %s after 30 s", line, dir)
	return ""
}

// harakaSeen is a plugin that takes everything and writes down what Haraka knows of the client.
const harakaSeen = `const fs = require('node:fs')
exports.hook_rcpt = (next) => next(OK)
exports.hook_queue = (next, connection) => {
  const { remote, hello, transaction } = connection
  fs.appendFileSync(process.env.SEEN, JSON.stringify({ from: String(transaction.mail_from.address), addr: remote.ip, name: remote.host, helo: hello.host }) + '\n')
  next(OK, 'queued')
}
`

// tryHaraka is never required: the Node.js that Debian 12 has is too old for it.
func tryHaraka(t *testing.T) trial {
	program := filepath.Join(os.Getenv("MAIL_SERVERS"), "haraka/node_modules/Haraka")
	if _, err := os.Stat(program); err != nil {
		t.Skipf("needs Haraka: .ci/servers DIR gets it from npm, MAIL_SERVERS=DIR names the place: %v", err)
	}
	dir, addr := t.TempDir(), ownLoopback(t)
	connection, err := os.ReadFile(filepath.Join(program, "config/connection.ini"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"config/smtp.ini": "listen=" + addr + "\nnodes=0\n", "config/plugins": "xclient\nseen\n", "config/me": "mx.example.org\n",
		"config/connection.ini": string(connection), "plugins/seen.js": harakaSeen} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", filepath.Join(program, "bin/haraka"), "-c", dir)
	cmd.Env = append(os.Environ(), "SEEN="+filepath.Join(dir, "seen"))
	startServer(t, cmd)
	return trial{dial: dialTo(t, addr), shown: func(t *testing.T, n int, _ inject.Receipt) clientSeen {
		text, err := os.ReadFile(filepath.Join(dir, "seen"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var client struct{ From, Addr, Name, HELO string }
			if err := json.Unmarshal([]byte(line), &client); err != nil {
				t.Fatal(err)
			}
			if client.From == message(n).From {
				name := strings.NewReplacer("NXDOMAIN", "", "DNSERROR", "", "Unknown", "").Replace(client.Name) // what it says of its own look-up
				return clientSeen{addr: client.Addr, name: name, helo: client.HELO}
			}
		}
		t.Fatalf("Haraka took no message from %s: %s", message(n).From, text)
		return clientSeen{}
	}}
}
