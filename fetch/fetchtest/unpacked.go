package fetchtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// unpacked is a Debian server that is not installed: its packages lie in a folder, where .ci/servers puts them, and its
// processes see them as part of /usr and /etc, and the test's own directories as /var and /run.
type unpacked struct {
	packages, dir string
	// version is that of the package.
	version string
	// log gets what the processes say on their standard error.
	log *os.File

	mu      sync.Mutex
	ended   bool
	running map[*exec.Cmd]bool
	crashed int
	reaped  sync.WaitGroup
}

// The user whose mail a server of packages has. The password is in /etc/shadow by its hash alone.
const (
	unpackedUser     = "alice"
	unpackedPassword = "correct horse"
	unpackedShadow   = "$6$truehop$UD3Xhvzu/QtdraV81thji/Wvz71M7e11gPvCK33ezVEYwYeCEXWlp3/w8h6bGjM/.mD/HZ3bBOaNqk2pe740K1"
	unpackedUID      = 2001
	unpackedHome     = "/var/home/alice"
)

// unpackedEtc is what every server finds in /etc of its own.
var unpackedEtc = map[string]string{
	"passwd": `root:x:0:0::/root:/bin/sh
daemon:x:1:1::/:/bin/false
alice:x:2001:2001::/var/home/alice:/bin/sh
cyrus:x:2002:8::/var/spool/cyrus:/bin/sh
popa3d:x:2003:2003::/var/empty:/bin/false
courier:x:2004:2004::/var/lib/courier:/bin/false
nobody:x:65534:65534::/:/bin/false
`,
	"group": `root:x:0:
daemon:x:1:
mail:x:8:
shadow:x:42:
sasl:x:45:
alice:x:2001:
popa3d:x:2003:
courier:x:2004:
nogroup:x:65534:
`,
	"shadow":               "alice:" + unpackedShadow + ":19000:0:99999:7:::\n",
	"pam.d/common-auth":    "auth required pam_unix.so\n",
	"pam.d/common-account": "account required pam_unix.so\n",
	"pam.d/common-session": "session required pam_permit.so\n",
}

// unpack readies the server in that folder, or ends the test: with a failure where TRUEHOP_REQUIRE_SERVERS is 1.
func unpack(t testing.TB, name string) *unpacked {
	t.Helper()
	refuse := t.Skipf
	if os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1" {
		refuse = t.Fatalf
	}
	dir := os.Getenv("MAIL_SERVERS")
	u := &unpacked{packages: filepath.Join(dir, name), running: map[*exec.Cmd]bool{}}
	version, err := os.ReadFile(filepath.Join(u.packages, "version"))
	if dir == "" || err != nil {
		refuse("needs %s: .ci/servers DIR unpacks it, MAIL_SERVERS=DIR names the place", name)
	}
	u.version = strings.TrimSpace(string(version))
	if os.Getuid() != 0 {
		refuse("needs root: %s becomes the user who logs in, and is shown a file system of its own", name)
	}
	u.dir, err = os.MkdirTemp("/tmp", "srv") // short: sockets are named below it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(u.dir) })
	must(t, os.Chmod(u.dir, 0o755))
	for _, sub := range []string{"etc/pam.d", "var/mail", "var/tmp", "var/empty", "var" + strings.TrimPrefix(unpackedHome, "/var"), "run"} {
		must(t, os.MkdirAll(filepath.Join(u.dir, sub), 0o755))
	}
	must(t, os.Symlink("/run", filepath.Join(u.dir, "var/run")))
	must(t, os.Chmod(filepath.Join(u.dir, "var/mail"), 0o1777|os.ModeSticky))
	must(t, os.Chown(filepath.Join(u.dir, unpackedHome), unpackedUID, unpackedUID))
	for name, text := range unpackedEtc {
		u.write(t, "/etc/"+name, text)
	}
	u.log, err = os.Create(filepath.Join(u.dir, "log"))
	must(t, err)
	t.Cleanup(func() {
		// The groups of all processes are killed and waited for.
		u.mu.Lock()
		u.ended = true
		for cmd := range u.running {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		u.mu.Unlock()
		u.reaped.Wait()
		_ = u.log.Close()
		if said, _ := os.ReadFile(u.log.Name()); t.Failed() {
			t.Logf("the server said:\n%s", said)
		}
	})
	return u
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes a file that the server finds by that name, in /etc, /var or /run.
func (u *unpacked) write(t testing.TB, name, text string) {
	t.Helper()
	path := filepath.Join(u.dir, name)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// own makes a directory of that user's below /var or /run.
func (u *unpacked) own(t testing.TB, uid, gid int, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(u.dir, name)
		must(t, os.MkdirAll(path, 0o755))
		must(t, os.Chown(path, uid, gid))
	}
}

// unpackedWorld lays what a server sees over the host's file system. It is undone when the last process in the
// namespace has ended.
const unpackedWorld = `set -e
mount -t overlay -o "lowerdir=$0/etc:$1/etc:/etc" none /etc
mount -t overlay -o "lowerdir=$1/usr:/usr" none /usr
mount --bind "$0/var" /var
mount --bind "$0/run" /run
shift
exec "$@"
`

// command readies a process of the server.
func (u *unpacked) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", unpackedWorld, u.dir, u.packages, program}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdout, cmd.Stderr = u.log, u.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Dir = "/"
	return cmd
}

// start starts a process that ends with the test, if not before.
func (u *unpacked) start(cmd *exec.Cmd) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return net.ErrClosed
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	u.running[cmd] = true
	u.reaped.Go(func() {
		_ = cmd.Wait() // what matters of it is asked below
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.running, cmd)
		if cmd.ProcessState.ExitCode() == exitSoftware {
			u.crashed++
		}
	})
	return nil
}

// exitSoftware is EX_SOFTWARE of sysexits.h: Mailutils catches the signals of a crash, and ends with it.
const exitSoftware = 70

// crashes waits until no process runs, and returns how many ended by a fault of their own.
func (u *unpacked) crashes() int {
	u.reaped.Wait()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.crashed
}

// inetd returns what makes a connection by starting a program on it, as inetd(8) does. It is one by TCP: servers ask for
// the client's address, and some serve nobody without one.
func (u *unpacked) inetd(program string, args ...string) dialer {
	return func() (io.ReadWriteCloser, error) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close()
		near, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		if err := u.serve(listener, near.LocalAddr(), program, args...); err != nil {
			return nil, errors.Join(err, near.Close())
		}
		return near, nil
	}
}

// serve starts a program on the connection from that address.
func (u *unpacked) serve(listener net.Listener, client net.Addr, program string, args ...string) error {
	far, err := listener.Accept()
	if err != nil {
		return err
	}
	defer far.Close()
	if far.RemoteAddr().String() != client.String() {
		return fmt.Errorf("a stranger connected from %s", far.RemoteAddr())
	}
	file, err := far.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := u.command(program, args...)
	cmd.Stdin, cmd.Stdout = file, file
	return u.start(cmd)
}
