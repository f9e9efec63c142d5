//go:build unix

package inject_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

// sieve puts what Sieve sees of the client on top of a message. Dovecot 2.3 has no environment item for it
// in LMTP, but its own Received field, the first, shows it.
const sieve = `require ["editheader", "index", "variables"];
if header :index 1 :matches "Received" "*([*])*" { addheader "Seen-Addr" "${2}"; }
`

// dovecotBase is what every Dovecot of a test has. It inherits its socket, open, so that no other process takes the port
// (sd_listen_fds(3)).
const dovecotBase = `base_dir = {dir}/run
log_path = {dir}/log
ssl = no
first_valid_uid = 1
default_internal_user = {me}
default_login_user = {owner}
default_internal_group = {group}
mail_location = maildir:{dir}/mail/%n
postmaster_address = postmaster@example.org
passdb {
  driver = static
  args = password=x
}
userdb {
  driver = static
  args = uid={uid} gid={gid} home={dir}/mail/%n allow_all_users=yes
}
service anvil {
  chroot =
}
service auth {
  chroot =
}
service stats {
  chroot =
}
`

// dovecotTrust has Dovecot believe XCLIENT.
const dovecotTrust = "login_trusted_networks = 127.0.0.0/8\n"

// dovecotLMTP is a Dovecot that takes mail by LMTP also on a UNIX socket. What it needs for TCP is in examples/lmtp.yaml.
const dovecotLMTP = `protocols = lmtp
service lmtp {
  unix_listener lmtp {
    mode = 0666
  }
}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve_before = {dir}/mail/seen.sieve
  sieve_extensions = +editheader
}
`

// dovecot is a Dovecot of the test's own.
type dovecot struct{ dir, addr string }

// startDovecot starts one with that configuration beside dovecotBase. command readies the program, with these arguments.
func startDovecot(t *testing.T, config string, command func(...string) *exec.Cmd) dovecot {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	me, err := user.Current()
	must(err)
	owner := me
	if me.Uid == "0" { // Dovecot delivers nothing as root
		owner, err = user.Lookup("nobody")
		must(err)
	}
	group, err := user.LookupGroupId(me.Gid)
	must(err)
	dir := searchable(t)
	mail := filepath.Join(dir, "mail")
	must(os.Mkdir(mail, 0o777))
	must(os.Chmod(mail, 0o777))
	must(os.WriteFile(filepath.Join(mail, "seen.sieve"), []byte(sieve), 0o644))

	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	socket, err := listener.File()
	must(err)
	addr := listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	file := filepath.Join(dir, "dovecot.conf")
	must(os.WriteFile(file, []byte(strings.NewReplacer("{dir}", dir, "{me}", me.Username, "{owner}", owner.Username, "{group}", group.Name,
		"{uid}", owner.Uid, "{gid}", owner.Gid, "{port}", port).Replace(dovecotBase+config)), 0o644))
	cmd := command("-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"`, dovecotProgram, "-F", "-c", file)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = os.Stderr
	must(cmd.Start())
	must(errors.Join(socket.Close(), listener.Close())) // from now on the socket is Dovecot's, and ends with it
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("%s", log)
		}
		_ = cmd.Process.Signal(os.Interrupt)
		<-ended
	})
	greets(t, "tcp", addr)
	return dovecot{dir: dir, addr: addr}
}

const dovecotProgram = "/usr/sbin/dovecot"

// startDovecotLMTP starts a Dovecot that takes mail by LMTP, with more configuration behind that.
func startDovecotLMTP(t *testing.T, more ...string) dovecot {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		skip = t.Fatalf
	}
	for _, file := range []string{dovecotProgram, "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/modules/lib90_sieve_plugin.so"} {
		if _, err := os.Stat(file); err != nil {
			skip("needs dovecot with LMTP and Sieve, as Debian's packages dovecot-lmtpd and dovecot-sieve have them: %v", err)
		}
	}
	return startDovecot(t, dovecotLMTP+exampleLMTP(t)+strings.Join(more, ""), func(args ...string) *exec.Cmd { return exec.Command("sh", args...) })
}

// exampleLMTP are the lines for Dovecot that examples/lmtp.yaml shows, at another port.
func exampleLMTP(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../examples/lmtp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(regexp.MustCompile(`(?m)^#   .*\n`).FindAllString(string(text), -1), "")
	for _, part := range []string{dovecotTrust, "inet_listener lmtp {", "port = 24\n"} {
		if !strings.Contains(lines, part) {
			t.Fatalf("examples/lmtp.yaml does not show %q", part)
		}
	}
	return strings.NewReplacer("#   ", "", "port = 24\n", "port = {port}\n").Replace(lines)
}

// Dovecot's Sieve sees each message's own client, known or a stand-in, of IPv4 or IPv6, and nothing of another's.
func TestDovecotSieveSeesTheClient(t *testing.T) {
	d := startDovecotLMTP(t)
	dial := dialTo(t, d.addr)
	clients := []inject.Client{
		{Addr: netip.MustParseAddr("198.51.100.7"), Name: "mx.example.net", HELO: "mx.example.net", Port: 4711, ESMTP: true},
		{Addr: netip.MustParseAddr("192.0.0.8"), ESMTP: true},
		{Addr: netip.MustParseAddr("2001:db8::7"), HELO: "six.example.net", ESMTP: true},
		{Addr: netip.MustParseAddr("203.0.113.9"), NameTemporary: true},
	}
	var messages []*inject.Message
	for i, c := range clients {
		m := message(i + 1)
		m.Client, m.To = c, []string{fmt.Sprintf("user%d@example.org", i)}
		messages = append(messages, m)
	}
	for i, r := range injectAll(t, dial, inject.Options{Dialect: inject.LMTP, Connections: 1}, messages...) {
		if r.Outcome != inject.Delivered {
			t.Fatalf("message %d: %+v, err %v", i, r, r.Err)
		}
		raw := stored(t, filepath.Join(d.dir, "mail", fmt.Sprintf("user%d", i)))
		if want := "Seen-Addr: " + clients[i].Addr.String(); !strings.Contains(raw, want) {
			t.Errorf("message %d: no %q in\n%s", i, want, raw)
		}
		for j, other := range clients {
			leaked := strings.Contains(raw, other.Addr.String())
			if other.HELO != "" && strings.Contains(raw, other.HELO) {
				leaked = true
			}
			if j != i && leaked {
				t.Errorf("message %d shows the client of message %d:\n%s", i, j, raw)
			}
		}
	}
}

// stored returns the one message in the mailbox at dir.
func stored(t *testing.T, dir string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(dir, "new"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("%d messages in %s, %v", len(found), dir, err)
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
