//go:build unix

package inject_test

import (
	"bufio"
	"context"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
)

// unpacked is a Debian server that is not installed: .ci/servers has unpacked its packages into a folder. Its processes see them
// as part of /usr and /etc, and the test's own directories as /var and /run.
type unpacked struct{ packages, dir string }

const (
	unpackedPasswd = `root:x:0:0::/root:/bin/sh
alice:x:2001:2001::/var/home/alice:/bin/sh
Debian-exim:x:2006:2006::/var/empty:/bin/false
opensmtpd:x:2007:2007::/var/empty:/bin/false
opensmtpq:x:2008:2008::/var/empty:/bin/false
nobody:x:65534:65534::/:/bin/false
`
	unpackedGroup = `root:x:0:
mail:x:8:
alice:x:2001:
Debian-exim:x:2006:
opensmtpd:x:2007:
opensmtpq:x:2008:
nogroup:x:65534:
`
	// unpackedWorld lays what a server sees over the host's file system, for the time of its life.
	unpackedWorld = `set -e
mount -t overlay -o "lowerdir=$0/etc:$1/etc:/etc" none /etc
mount -t overlay -o "lowerdir=$1/usr:/usr" none /usr
mount --bind "$0/var" /var
mount --bind "$0/run" /run
shift
exec "$@"
`
)

// unpack readies a server in a folder of MAIL_SERVERS, or ends the test: with a failure where TRUEHOP_REQUIRE_SERVERS is 1.
func unpack(t *testing.T, name string) unpacked {
	t.Helper()
	lack := t.Skipf
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		lack = t.Fatalf
	}
	servers := os.Getenv("MAIL_SERVERS")
	u := unpacked{packages: filepath.Join(servers, name)}
	if _, err := os.Stat(filepath.Join(u.packages, "version")); servers == "" || err != nil {
		lack("needs %s: .ci/servers DIR unpacks it, MAIL_SERVERS=DIR names the place", name)
	}
	if os.Geteuid() != 0 {
		lack("needs root: %s is shown a file system of its own", name)
	}
	u.dir = searchable(t)
	for _, sub := range []string{"etc", "run", "var/home/alice", "var/lib/opensmtpd/empty", "var/spool/smtpd", "var/empty", "var/mail", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(u.dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/run", filepath.Join(u.dir, "var/run")); err != nil {
		t.Fatal(err)
	}
	u.write(t, "etc/passwd", unpackedPasswd)
	u.write(t, "etc/group", unpackedGroup)
	return u
}

// searchable makes a directory that a server can search as another user, with a name short enough for sockets.
func searchable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "srv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write writes a file that the server sees at that place below /.
func (u unpacked) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// command readies a process of the server.
func (u unpacked) command(program string, args ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--mount", "sh", "-c", unpackedWorld, u.dir, u.packages, program}, args...)...)
}

// startServer starts a server and ends it, and all that it has started, with the test. Its log is shown if that failed.
func startServer(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // how it ends is not asked
		if said, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said)
		}
		_ = log.Close()
	})
}

// ownLoopback is an address that no other process of this host uses, with a port for each test: what an earlier test killed may go on for a
// moment. Servers that cannot inherit a socket listen there.
func ownLoopback(t *testing.T) string {
	pid, name := os.Getpid(), fnv.New32a()
	_, _ = name.Write([]byte(t.Name()))
	return fmt.Sprintf("127.%d.%d.%d:%d", 64+pid>>16&63, pid>>8&255, pid&255, 10_000+name.Sum32()%20_000)
}

// dialTo returns what connects to a server by TCP, once it listens.
func dialTo(t *testing.T, addr string) inject.Dialer {
	t.Helper()
	var d net.Dialer
	dial := func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", addr) }
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := dial(t.Context())
		if err == nil {
			_ = conn.Close()
			return dial
		}
		if time.Now().After(end) {
			t.Fatalf("nobody listens at %s: %v", addr, err)
		}
	}
}

// greets reads the first line that a server says.
func greets(t *testing.T, network, addr string) {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if greeting, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(greeting, "220 ") {
		t.Fatalf("greets with %q, %v", greeting, err)
	}
}
