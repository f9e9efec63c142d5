package inject_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/inject"
)

// sieve puts what Sieve sees of the client on top of a message. Dovecot 2.3 has no environment item for it
// in LMTP, but its own Received field, the first, shows it.
const sieve = `require ["editheader", "index", "variables"];
if header :index 1 :matches "Received" "*([*])*" { addheader "Seen-Addr" "${2}"; }
`

// startDovecotLMTP starts a Dovecot of the test's own that takes mail by LMTP over TCP, and returns its address and where
// the mailboxes are.
func startDovecotLMTP(t *testing.T) (addr, mail string) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		skip = t.Fatalf
	}
	const binary = "/usr/sbin/dovecot"
	for _, file := range []string{binary, "/usr/lib/dovecot/lmtp", "/usr/lib/dovecot/modules/lib90_sieve_plugin.so"} {
		if _, err := os.Stat(file); err != nil {
			skip("needs dovecot with LMTP and Sieve, as Debian's packages dovecot-lmtpd and dovecot-sieve have them: %v", err)
		}
	}
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
	dir, err := os.MkdirTemp("", "lmtp") // short: it holds sockets
	must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(os.Chmod(dir, 0o755))
	mail = filepath.Join(dir, "mail")
	must(os.Mkdir(mail, 0o777))
	must(os.Chmod(mail, 0o777))
	must(os.WriteFile(filepath.Join(mail, "seen.sieve"), []byte(sieve), 0o644))

	// Dovecot inherits the socket, open, so that no other process takes the port (sd_listen_fds(3)).
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(err)
	socket, err := listener.File()
	must(err)
	addr = listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	var services strings.Builder
	for _, s := range []string{"anvil", "auth", "stats"} {
		fmt.Fprintf(&services, "service %s {\n  chroot =\n}\n", s)
	}
	group, err := user.LookupGroupId(me.Gid)
	must(err)
	text := fmt.Sprintf(`base_dir = %[1]s/run
log_path = %[1]s/log
protocols = lmtp
ssl = no
first_valid_uid = 1
default_internal_user = %[2]s
default_login_user = %[2]s
default_internal_group = %[3]s
mail_location = maildir:%[1]s/mail/%%n
postmaster_address = postmaster@example.org
login_trusted_networks = 127.0.0.0/8
passdb {
  driver = static
  args = password=x
}
userdb {
  driver = static
  args = uid=%[4]s gid=%[5]s home=%[1]s/mail/%%n allow_all_users=yes
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[6]s
  }
}
protocol lmtp {
  mail_plugins = sieve
}
plugin {
  sieve_before = %[1]s/mail/seen.sieve
  sieve_extensions = +editheader
}
%[7]s`, dir, me.Username, group.Name, owner.Uid, owner.Gid, port, &services)
	file := filepath.Join(dir, "dovecot.conf")
	must(os.WriteFile(file, []byte(text), 0o644))
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"`, binary, "-F", "-c", file)
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
	conn, err := net.Dial("tcp", addr)
	must(err)
	defer conn.Close()
	if greeting, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "220 ") {
		t.Fatalf("Dovecot greets with %q, %v", greeting, err)
	}
	return addr, mail
}

// Dovecot's Sieve sees each message's own client, known or a stand-in, of IPv4 or IPv6, and nothing of another's.
func TestDovecotSieveSeesTheClient(t *testing.T) {
	addr, mail := startDovecotLMTP(t)
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
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
		raw := stored(t, filepath.Join(mail, fmt.Sprintf("user%d", i)))
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
