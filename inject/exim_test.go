//go:build unix

package inject_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
)

// eximConfig takes everything from everybody and keeps it in its queue.
const eximConfig = `primary_hostname = mx.example.org
smtp_banner = $primary_hostname ESMTP {dir}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/log/pid
hosts_proxy = {proxy}
queue_only
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
keep_environment =
acl_smtp_rcpt = take
begin acl
take:
  accept
`

// exim is a running daemon of one's own.
type exim struct {
	dir, addr string
	proxied   bool
}

// startExim starts Exim, with more lines in its configuration, and stops it when the test ends. Connections from the
// networks in proxy begin with a PROXY header.
func startExim(t *testing.T, proxy, lines string) *exim {
	t.Helper()
	command := eximCommand(t)
	dir := searchable(t) // Exim reads it as another user
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.File()
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	x := &exim{dir: dir, addr: l.Addr().String(), proxied: proxy != ""}
	config := filepath.Join(dir, "config")
	if err := errors.Join(
		os.WriteFile(config, []byte(strings.NewReplacer("{dir}", dir, "{proxy}", proxy).Replace(lines+eximConfig)), 0o644),
		os.Mkdir(x.path("spool"), 0o755), os.Chmod(x.path("spool"), 0o777),
		os.Mkdir(x.path("log"), 0o755), os.Chmod(x.path("log"), 0o777)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	// -bw: it inherits the socket, so that no other process can come between.
	cmd := command("-C", config, "-bw")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, &out, &out
	if err := errors.Join(cmd.Start(), socket.Close()); err != nil {
		t.Fatal(err)
	}
	ended := make(chan bool)
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	for end := time.Now().Add(2 * time.Minute); !x.answers(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-ended:
			if strings.Contains(out.String(), `option "hosts_proxy" unknown`) {
				t.Skip("this Exim is built without PROXY, as Debian's exim4-daemon-light is: take exim4-daemon-heavy")
			}
			t.Fatalf("Exim ended: %s%s", out.String(), x.read("log/mainlog"))
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("Exim does not listen: %s", x.read("log/mainlog"))
		}
	}
	return x
}

// eximCommand returns what readies a process of Exim: of the one that is installed, else of the one that .ci/servers has
// unpacked, since its package and Postfix's exclude each other.
func eximCommand(t *testing.T) func(...string) *exec.Cmd {
	t.Helper()
	for _, name := range []string{os.Getenv("TRUEHOP_EXIM"), "exim4", "/usr/sbin/exim4"} {
		if path, err := exec.LookPath(name); err == nil && os.Geteuid() == 0 {
			return func(args ...string) *exec.Cmd { return exec.Command(path, args...) }
		}
	}
	u := unpack(t, "exim")
	return func(args ...string) *exec.Cmd { return u.command("/usr/sbin/exim4", args...) }
}

func (x *exim) path(name string) string { return filepath.Join(x.dir, name) }

func (x *exim) read(name string) string {
	text, err := os.ReadFile(x.path(name))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (x *exim) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", x.addr)
}

// answers reports whether this very instance greets: its directory is in the greeting.
func (x *exim) answers() bool {
	conn, err := x.dial(context.Background())
	if err != nil {
		return false
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return false
	}
	if x.proxied {
		if _, err := io.WriteString(conn, "PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\n"); err != nil {
			return false
		}
	}
	said, err := bufio.NewReader(conn).ReadString('\n')
	return err == nil && strings.Contains(said, x.dir)
}

// TestEximProxy: Exim, which has no XCLIENT, takes the client from a PROXY header, and an unknown
// client is not presented as this host.
func TestEximProxy(t *testing.T) {
	x := startExim(t, "127.0.0.1", "")
	n := 0
	for _, carrier := range []inject.Carrier{inject.PROXYv1, inject.PROXYv2} {
		var ms []*inject.Message
		for _, addr := range []string{"192.0.2.1", "2001:db8::25", "203.0.113.9"} {
			n++
			m := message(n)
			m.Client.Addr = netip.MustParseAddr(addr)
			if n%3 == 0 {
				m.Client.Port = 0 // as most upstreams tell none
			}
			ms = append(ms, m)
		}
		for i, r := range injectAll(t, x.dial, inject.Options{Carrier: carrier, Connections: 1}, ms...) {
			c := ms[i].Client
			if r.Outcome != inject.Delivered || r.QueueID == "" || r.Presented.Addr != c.Addr {
				t.Fatalf("carrier %d, %s: %+v, err %v\n%s", carrier, c.Addr, r, r.Err, x.read("log/mainlog"))
			}
			if want := fmt.Sprintf("%s <= %s H=(%s) [%s]", r.QueueID, ms[i].From, c.HELO, c.Addr); !strings.Contains(x.read("log/mainlog"), want) {
				t.Errorf("carrier %d: want %q in the log:\n%s", carrier, want, x.read("log/mainlog"))
			}
			if head, want := x.read("spool/input/"+r.QueueID+"-H"), fmt.Sprintf("Received: from [%s] (helo=%s)", c.Addr, c.HELO); !strings.Contains(head, want) {
				t.Errorf("carrier %d: want %q in\n%s", carrier, want, head)
			}
		}
		unknown := message(99)
		unknown.Client = inject.Client{HELO: "helo.example.net"}
		r := injectAll(t, x.dial, inject.Options{Carrier: carrier}, unknown)[0]
		if r.Outcome != inject.Withheld || kindOf(r) != inject.Unsendable || strings.Contains(x.read("log/mainlog"), unknown.From) {
			t.Errorf("carrier %d, unknown client: %+v, err %v\n%s", carrier, r, r.Err, x.read("log/mainlog"))
		}
	}
	r := injectAll(t, x.dial, inject.Options{}, message(100))[0]
	if r.Outcome != inject.Deferred || strings.Contains(x.read("log/mainlog"), "<= "+message(100).From) {
		t.Errorf("without PROXY it takes nothing, or this test shows nothing: %+v, err %v", r, r.Err)
	}
}

// TestEximTakesFewMessagesInASession: what it says about the session is not taken for a verdict on the message.
func TestEximTakesFewMessagesInASession(t *testing.T) {
	x := startExim(t, "", "smtp_accept_max_per_connection = 3\n")
	var ms []*inject.Message
	for n := range 10 {
		ms = append(ms, message(n))
	}
	for n, r := range injectAll(t, x.dial, inject.Options{XCLIENT: inject.Off, Connections: 1}, ms...) {
		if r.Outcome != inject.Delivered {
			t.Errorf("message %d: %v at %s by %v, err %v", n, r.Outcome, r.Stage, r.Reply, r.Err)
		}
		if log := x.read("log/mainlog"); strings.Count(log, "<= "+ms[n].From) != 1 {
			t.Errorf("message %d did not arrive once:\n%s", n, log)
		}
	}
}
