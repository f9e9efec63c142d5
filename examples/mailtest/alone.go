//go:build linux

package mailtest

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// isolated is set in the environment of a test that has network and mounts of its own.
const isolated = "TEST_ALONE"

// Alone runs the test t again in a process that shares neither network nor mounts with any other, so that programs find their
// name server on port 53, every port free, and files of the test's below /etc. Whatever it starts ends with it, for it is the
// first process of its own. It reports whether this is that process.
func Alone(t *testing.T, args ...string) bool {
	t.Helper()
	required := os.Getenv("TRUEHOP_REQUIRE_SERVERS") == "1"
	if os.Getenv(isolated) == "1" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("proc", "/proc", "proc", 0, ""); err != nil {
			t.Fatal(err)
		}
		resolv := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\noptions timeout:5 attempts:4\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		Mount(t, resolv, "/etc/resolv.conf")
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return true
	}
	if os.Geteuid() != 0 {
		skip := t.Skip
		if required {
			skip = t.Fatal
		}
		skip("needs to be root, for servers and for a network of its own")
	}
	if _, err := exec.LookPath("ip"); err != nil && !required {
		t.Skip("needs ip, of iproute2, for a network of its own")
	}
	pattern := "^" + t.Name() + "$"
	if given := flag.Lookup("test.run").Value.String(); strings.HasPrefix(given, t.Name()+"/") {
		pattern = given // a part of it
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"-test.run=" + pattern, "-test.v"}, args...)...)
	cmd.Env = append(os.Environ(), isolated+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) && !required {
		t.Skipf("needs the right to have a network of its own: %v", err)
	}
	if skipped := regexp.MustCompile(`(?m)^ +\S+\.go:\d+: (.*)\n--- SKIP: ` + t.Name() + ` `).FindSubmatch(out); err == nil && skipped != nil && !required {
		t.Skipf("%s", skipped[1])
	}
	if ran := bytes.Contains(out, []byte("--- PASS: "+t.Name())); err != nil || !ran {
		t.Errorf("ran: %v, %v", ran, err)
	}
	t.Logf("%s", out)
	return false
}

// Mount shows a file or directory at another path, which has to be there, until the test ends. For a test that is [Alone].
func Mount(t *testing.T, from, to string) {
	t.Helper()
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		t.Fatalf("mounting %s at %s: %v", from, to, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(to, syscall.MNT_DETACH) })
}

// Directory has an empty directory at that path until the test ends. For a test that is [Alone]: others do not see what is in it. The directory
// itself they do: who has made it does not remove it while others use it, for that would take it from them.
func Directory(t *testing.T, path string) {
	t.Helper()
	inUse, made, err := useDirectory(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Flock(int(inUse.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil && made {
			_ = os.Remove(path)
		}
		_ = inUse.Close()
	})
	if err := syscall.Mount("none", path, "tmpfs", 0, "mode=755"); err != nil {
		t.Fatalf("mounting %s: %v", path, err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, syscall.MNT_DETACH) })
}

// useDirectory makes a directory, if it is not there, and locks it against being removed.
func useDirectory(path string) (inUse *os.File, made bool, err error) {
	for {
		if err := os.Mkdir(path, 0o755); err == nil {
			made = true
		} else if !errors.Is(err, os.ErrExist) {
			return nil, false, err
		}
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) { // removed since
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil {
			return nil, false, errors.Join(err, f.Close())
		}
		locked, err := f.Stat()
		if there, gone := os.Stat(path); err == nil && gone == nil && os.SameFile(locked, there) {
			return f, made, nil
		}
		_ = f.Close()
	}
}

// Log is what programs have said.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Syslog listens at /dev/log, in a /dev of its own, until the test ends. For a test that is [Alone].
func Syslog(t *testing.T, into io.Writer) {
	t.Helper()
	dev := t.TempDir()
	if err := os.Chmod(dev, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
		Mount(t, filepath.Join("/dev", name), filepath.Join(dev, name))
	}
	if err := os.Mkdir(filepath.Join(dev, "shm"), 0o755); err != nil {
		t.Fatal(err)
	}
	Mount(t, "/dev/shm", filepath.Join(dev, "shm"))
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mount(dev, "/dev", "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount("/dev", syscall.MNT_DETACH) })
	conn, err := net.ListenPacket("unixgram", "/dev/log")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod("/dev/log", 0o666); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		line := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(line)
			if err != nil {
				return
			}
			_, _ = into.Write(append(bytes.TrimRight(line[:n], "\n\x00"), '\n'))
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
}

// StartFilter runs a program until the test ends, and waits until it can be connected to at that address. What it says on its
// standard output and error goes into a log. The function returned ends it earlier.
func StartFilter(t *testing.T, into io.Writer, addr string, argv ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = into, into
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // it is not reaped before stop, so that its group's id is nobody else's when that is killed
		defer close(ended)
		for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
		}
	}()
	stop = sync.OnceFunc(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conn.Close()
			return stop
		}
		select {
		case <-ended:
			stop() // so that all it said is in the log
			t.Fatalf("%s ended: %s", argv[0], into)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s cannot be connected to: %s", argv[0], into)
		}
	}
}
