package examples

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
)

// stackTrial is a listener of a mail stack, and what of the stack's rules can be had without its database.
type stackTrial struct {
	name string
	// service makes the lines of master.cf, as the stack does.
	service func(*testing.T) string
	main    []string
	// policy asks a policy service at this port of the stack; "" for none.
	policy string
	// filter is the stack's own, before the queue at this port; "" for none.
	filter string
	// discards says that a filter behind the queue takes the mail.
	discards bool
}

func stackTrials() []stackTrial {
	unix := func(parts ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			all := read(t, "postfix/master.cf.unix")
			for _, part := range parts {
				all += read(t, filepath.Join("stacks", part))
			}
			return all
		}
	}
	return []stackTrial{
		{name: "mailu", service: mailuService, main: []string{
			"smtpd_authorized_xclient_hosts = 127.0.0.0/8", "smtpd_helo_required = yes",
			"smtpd_client_restrictions = permit_mynetworks, reject_non_fqdn_sender, permit"}},
		{name: "mailcow", service: scriptService("stacks/mailcow/truehop.sh"), main: []string{
			"smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
			"smtpd_recipient_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_invalid_helo_hostname, reject_unknown_reverse_client_hostname, reject_unauth_destination",
			"smtpd_soft_error_limit = 3", "smtpd_hard_error_limit = 5", "smtpd_error_sleep_time = 10s", "smtpd_helo_required = yes"}},
		{name: "docker-mailserver", service: scriptService("stacks/docker-mailserver/user-patches.sh"), main: []string{
			"smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname, permit",
			"smtpd_client_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, reject_unauth_pipelining",
			"smtpd_recipient_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_unauth_destination, reject_non_fqdn_helo_hostname"}},
		{name: "iredmail", service: unix(), policy: "7777", main: []string{
			"smtpd_sender_restrictions = reject_non_fqdn_sender, permit_mynetworks",
			"smtpd_recipient_restrictions = reject_non_fqdn_recipient, check_policy_service inet:127.0.0.1:7777, permit_mynetworks, reject_unauth_destination"}},
		{name: "modoboa with Rspamd", service: unix(), main: []string{"inet_protocols = ipv4", "mynetworks = 127.0.0.0/8", "strict_rfc821_envelopes = yes"}},
		{name: "modoboa with Amavis", service: unix("modoboa/master.cf.amavis"), filter: "10024"},
		{name: "proxmox-mail-gateway, filter behind the queue", service: pmgService(false), policy: "10022", discards: true, main: []string{
			"smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, check_policy_service inet:127.0.0.1:10022"}},
		{name: "proxmox-mail-gateway, filter before the queue", service: pmgService(true), filter: "10024"},
		{name: "mail-in-a-box", policy: "12340", service: func(t *testing.T) string {
			all := unix("mail-in-a-box/master.cf.postgrey")(t)
			without := strings.Replace(all, "reject_rbl_client zen.spamhaus.org=127.0.0.[2..11], ", "", 1)
			if without == all {
				t.Error("the list that the test cannot ask is not there")
			}
			return without
		}, main: []string{"smtpd_recipient_restrictions = reject"}},
		{name: "debian", service: unix()},
	}
}

// postconf runs what a stack runs to change a master.cf, and returns the services that it made.
func postconf(t *testing.T, command ...string) string {
	t.Helper()
	etc := t.TempDir()
	for name, text := range map[string]string{"main.cf": "compatibility_level = 3.6\n", "master.cf": "smtp inet n - n - - smtpd\n"} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a container starts again with what it wrote
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+etc)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%q: %v\n%s", command, err, out)
		}
	}
	_, service, found := strings.Cut(read(t, filepath.Join(etc, "master.cf")), "\n10095 ")
	if !found || strings.Contains(service, "\n10095 ") {
		t.Fatalf("the listener is not there once:\n%s", read(t, filepath.Join(etc, "master.cf")))
	}
	return "{addr} " + service
}

// needPostfix ends the test where there is no Postfix, as injecttest.StartPostfix does.
func needPostfix(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("postconf"); err != nil && os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip(err)
	}
}

// mailuService does what Mailu's start.py does with the file: a shell for each line.
func mailuService(t *testing.T) string {
	var script strings.Builder
	for line := range strings.Lines(read(t, "stacks/mailu/postfix.master")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			fmt.Fprintf(&script, "postconf -Me \"%s\"\n", line)
		}
	}
	return local(t, postconf(t, "sh", "-ec", script.String()), "mailu")
}

// scriptService runs a script as a container does.
func scriptService(path string) func(*testing.T) string {
	return func(t *testing.T) string {
		return local(t, postconf(t, "./"+path), filepath.Base(filepath.Dir(path)))
	}
}

// local puts this host in the place of the one container that may present clients.
func local(t *testing.T, service, stack string) string {
	t.Helper()
	right := "smtpd_authorized_xclient_hosts=" + containerAddress(t, stack)
	if !regexp.MustCompile(regexp.QuoteMeta(right) + `\s`).MatchString(service) {
		t.Fatalf("the right is not that of %s:\n%s", right, service)
	}
	return strings.Replace(service, right, "smtpd_authorized_xclient_hosts=127.0.0.1", 1)
}

// pmgService appends to the listener what the gateway's templates make of the lines for its filter.
func pmgService(before bool) func(*testing.T) string {
	return func(t *testing.T) string {
		choice := regexp.MustCompile(`(?s)\[% IF pmg\.mail\.before_queue_filtering -%\]\n(.*?)\[%- ELSE -%\]\n(.*?)\[%- END %\]\n`)
		which := "$2"
		if before {
			which = "$1"
		}
		text := read(t, "stacks/proxmox-mail-gateway/master.cf.in")
		filled := choice.ReplaceAllString(text, which)
		if filled == text || strings.Contains(filled, "[%") {
			t.Fatalf("the test does not know what this template says:\n%s", filled)
		}
		return read(t, "postfix/master.cf.unix") + filled + "scan unix - - n - - discard\n"
	}
}

// TestStacks: Postfix takes each listener without a warning, one address alone may present clients there and nobody may relay, and truehop's mail shows
// its client, to the stack's policy service and filter too. A client that is not known is no worse off.
func TestStacks(t *testing.T) {
	needPostfix(t)
	for _, trial := range stackTrials() {
		t.Run(trial.name, func(t *testing.T) {
			service, mainCF := trial.service(t), slices.Clone(trial.main)
			var asked *policyServer
			if trial.policy != "" {
				asked = startPolicy(t)
				service = strings.ReplaceAll(service, "127.0.0.1:"+trial.policy, asked.addr)
				for i := range mainCF {
					mainCF[i] = strings.ReplaceAll(mainCF[i], "127.0.0.1:"+trial.policy, asked.addr)
				}
			}
			var filter *passage
			if trial.filter != "" {
				filter = startPassage(t)
				service = strings.NewReplacer("[127.0.0.1]:"+trial.filter, filter.addr, "127.0.0.1:"+trial.filter, filter.addr).Replace(service)
			}
			p := injecttest.StartPostfix(t, injecttest.PostfixOptions{Main: mainCF, Master: []string{service}})
			network, addr := "unix", filepath.Join(p.Dir, "q/public/truehop")
			if strings.HasPrefix(service, "{addr}") {
				network, addr = p.Addr(injecttest.ListenMaster)
				holdsOneAddress(t, addr)
			}
			if filter != nil {
				filter.lead(p.Addr(injecttest.ListenOnce))
			}
			noRelay(t, dial(t, network, addr))
			known, unknown := from("192.0.2.7"), from("192.0.0.8")
			unknown.Client = inject.Client{Addr: unknown.Client.Addr, HELO: "unknown.example.org", ESMTP: true}
			for i, r := range deliver(t, network, addr, known, unknown) {
				if r.Outcome != inject.Delivered {
					t.Errorf("message %d: %v by %q (%v), want it delivered", i+1, r.Outcome, r.Reply, r.Err)
				}
			}
			if mail := strings.Join(p.Mail(), "\n"); !trial.discards && !strings.Contains(mail, "(mail.example.com [192.0.2.7])") {
				t.Errorf("no message shows its client:\n%s", mail)
			}
			log := p.Log()
			if !strings.Contains(log, "postfix/truehop/smtpd") || !strings.Contains(log, "client=mail.example.com[192.0.2.7]") || strings.Contains(log, "warning") {
				t.Errorf("the log does not show the client, or it warns:\n%s", log)
			}
			if trial.discards && !regexp.MustCompile(`relay=none.*status=sent \(127\.0\.0\.1:10024\)`).MatchString(log) {
				t.Errorf("the filter behind the queue was not given the message:\n%s", log)
			}
			if asked != nil && !slices.Contains(asked.clients(), "192.0.2.7") {
				t.Errorf("the policy service was asked about %q", asked.clients())
			}
			if filter != nil && !strings.Contains(filter.said(), "XFORWARD NAME=mail.example.com ADDR=192.0.2.7") {
				t.Errorf("the filter was told\n%s", filter.said())
			}
			for _, args := range [][]string{{"-n"}, {"-M"}, {"-P"}} {
				if out, err := exec.Command("postconf", append([]string{"-c", filepath.Join(p.Dir, "etc")}, args...)...).CombinedOutput(); err != nil || strings.Contains(string(out), "warning") {
					t.Errorf("postconf %s: %v\n%s", args[0], err, out)
				}
			}
		})
	}
}

// holdsOneAddress wants the right to present clients to be that of one address, and nobody near it.
func holdsOneAddress(t *testing.T, addr string) {
	t.Helper()
	if offer := dial(t, "tcp", addr).want("EHLO truehop.example.org", "250"); !strings.Contains(offer, "XCLIENT") {
		t.Errorf("XCLIENT is not offered: %s", offer)
	}
	neighbour := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := neighbour.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{textproto.NewConn(conn), t}
	t.Cleanup(func() { c.Close() })
	c.want("", "220")
	if offer := c.want("EHLO neighbour.example.org", "250"); strings.Contains(offer, "XCLIENT") {
		t.Errorf("XCLIENT is offered to a neighbour: %s", offer)
	}
	c.want("XCLIENT ADDR=192.0.2.7", "550")
	c.want(sender, "250")
	c.want(relay, "554")
}

// noRelay wants a session to be refused what is for elsewhere.
func noRelay(t *testing.T, c *client) {
	t.Helper()
	c.want("EHLO truehop.example.org", "250")
	c.want(sender, "250")
	if reply := c.want(relay, "5"); !strings.Contains(reply, "Relay access denied") {
		t.Errorf("relaying is refused for another reason: %q", reply)
	}
	c.want("QUIT", "221")
}

// policyServer answers DUNNO, and notes whom it was asked about.
type policyServer struct {
	addr string
	mu   sync.Mutex
	of   []string
}

func startPolicy(t *testing.T) *policyServer {
	t.Helper()
	p := &policyServer{}
	p.addr = serve(t, func(conn net.Conn) {
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if name, value, _ := strings.Cut(lines.Text(), "="); name == "client_address" {
				p.mu.Lock()
				p.of = append(p.of, value)
				p.mu.Unlock()
			}
			if lines.Text() == "" {
				_, _ = io.WriteString(conn, "action=DUNNO\n\n")
			}
		}
	})
	return p
}

func (p *policyServer) clients() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.of)
}

// passage is a filter that lets all through to a listener, and notes what it is told.
type passage struct {
	addr          string
	network, next string
	led           chan struct{}
	mu            sync.Mutex
	text          strings.Builder
}

func startPassage(t *testing.T) *passage {
	t.Helper()
	p := &passage{led: make(chan struct{})}
	p.addr = serve(t, func(in net.Conn) {
		<-p.led
		out, err := net.Dial(p.network, p.next)
		if err != nil {
			return
		}
		defer out.Close()
		back := make(chan struct{})
		go func() { // ends when a side has closed
			defer close(back)
			_, _ = io.Copy(in, out)
			_ = in.Close()
		}()
		_, _ = io.Copy(io.MultiWriter(out, p), in)
		_ = out.Close()
		<-back
	})
	return p
}

// lead says where it goes on.
func (p *passage) lead(network, addr string) {
	p.network, p.next = network, addr
	close(p.led)
}

// Write notes what was said.
func (p *passage) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *passage) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// serve serves each connection to a port of this host, until the test ends, and returns its address.
func serve(t *testing.T, each func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				each(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// stackService is what matters of the service in a stack's compose.yaml.
type stackService struct {
	Services map[string]struct {
		Image       string            `yaml:"image"`
		ReadOnly    bool              `yaml:"read_only"`
		Ports       []string          `yaml:"ports"`
		Volumes     []string          `yaml:"volumes"`
		Sysctls     map[string]string `yaml:"sysctls"`
		Environment map[string]string `yaml:"environment"`
		Networks    map[string]struct {
			Address string `yaml:"ipv4_address"`
		} `yaml:"networks"`
	} `yaml:"services"`
}

// containerAddress is the fixed address of truehop's container in a stack.
func containerAddress(t *testing.T, stack string) string {
	t.Helper()
	var file stackService
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join("stacks", stack, "compose.yaml"))), &file); err != nil {
		t.Fatal(err)
	}
	s := file.Services["truehop"]
	if len(file.Services) != 1 || s.Image != "truehop" || !s.ReadOnly || len(s.Ports) > 0 || !slices.Equal(s.Volumes, []string{"truehop:/state"}) || len(s.Networks) != 1 {
		t.Errorf("%s runs another container than the one described: %+v", stack, file)
	}
	if !strings.HasSuffix(s.Environment["TRUEHOP_INJECT__ADDRESS"], ":10095") {
		t.Errorf("%s injects into %s, and the listener has port 10095", stack, s.Environment["TRUEHOP_INJECT__ADDRESS"])
	}
	address := ""
	for _, n := range s.Networks {
		address = n.Address
	}
	if ip, err := netip.ParseAddr(address); err != nil || !ip.Is4() || s.Sysctls["net.ipv6.conf.all.disable_ipv6"] != "1" {
		t.Errorf("%s has the address %q, and may come from another: %v", stack, address, s.Sysctls)
	}
	return address
}

// TestStackPages: each page says what it rests on and what was not run, names files that are there, and is in the index.
func TestStackPages(t *testing.T) {
	pages, err := filepath.Glob("stacks/*/README.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	index := read(t, "stacks/README.md")
	for _, page := range pages {
		text, dir := read(t, page), filepath.Dir(page)
		stack := filepath.Base(dir)
		if !strings.Contains(index, "]("+stack+"/README.md)") {
			t.Errorf("%s is not in the index", stack)
		}
		if stack != "debian" && !strings.Contains(text, "\nNot run ") {
			t.Errorf("%s does not say what was not run", stack)
		}
		if !regexp.MustCompile(`(?m)^\*\*(Its own f|F)etchers?\*\*`).MatchString(text) {
			t.Errorf("%s does not say what becomes of its fetcher", stack)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)[^)]*\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(dir, m[1])); err != nil {
				t.Errorf("%s: %v", stack, err)
			}
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name() != "README.md" && !strings.Contains(text, "]("+f.Name()+")") {
				t.Errorf("%s does not say what %s is for", stack, f.Name())
			}
		}
	}
}

// TestFreeBSDScript: a shell can read it, and it runs the program with the file that the page names.
func TestFreeBSDScript(t *testing.T) {
	if out, err := exec.Command("sh", "-n", "stacks/freebsd/truehop.in").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	script, page := read(t, "stacks/freebsd/truehop.in"), read(t, "stacks/freebsd/README.md")
	for _, path := range []string{"/usr/local/bin/truehop", "/usr/local/etc/truehop/truehop.yaml"} {
		if !strings.Contains(script, path) || !strings.Contains(page, path) {
			t.Errorf("script and page disagree on %s", path)
		}
	}
}
