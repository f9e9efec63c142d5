//go:build linux

package ledger

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// The variables that make the test binary a child with a role.
const (
	roleVar = "LEDGER_TEST_ROLE"
	dirVar  = "LEDGER_TEST_DIR"
)

func TestMain(m *testing.M) {
	roles := map[string]func(dir string) error{
		"writer": writeForever, "holder": holdLock, "full": fillDisk, "readonly": openOnReadOnlyFS, "limited": limitFileSize,
	}
	role, ok := roles[os.Getenv(roleVar)]
	if !ok {
		if err := os.Setenv("TMPDIR", postgrestest.Memory()); err != nil { // for t.TempDir
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if err := role(os.Getenv(dirVar)); err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is this test binary in a role. Its lines come from next.
type child struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, role, dir string, attr *syscall.SysProcAttr) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVar+"="+role, dirVar+"="+dir)
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		if attr != nil {
			t.Skipf("no private mount namespace here: %v", err)
		}
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: bufio.NewScanner(out)}
	t.Cleanup(c.kill)
	return c
}

func (c *child) next(t *testing.T) string {
	t.Helper()
	if !c.lines.Scan() {
		t.Fatalf("the child ended: %v", c.cmd.Wait())
	}
	return c.lines.Text()
}

// kill ends the child as a crash would.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// ends waits for the end of a child that checks something itself.
func (c *child) ends(t *testing.T) {
	t.Helper()
	var said []string
	for c.lines.Scan() {
		said = append(said, c.lines.Text())
	}
	if len(said) > 0 && strings.HasPrefix(said[0], "SKIP") {
		t.Skip(said[0])
	}
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, strings.Join(said, "\n"))
	}
}

// ownMounts runs a child as root of its own user and mount namespaces.
func ownMounts() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

// writeForever puts records from four goroutines and prints the UID of each
// that was acknowledged.
func writeForever(dir string) error {
	l, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := 0; ; i++ {
				r := record(fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i), Sending)
				if err := l.Put(context.Background(), r); err != nil {
					fmt.Println("FAIL", err)
					return
				}
				r.State = Delivered
				if err := l.Put(context.Background(), r); err != nil {
					fmt.Println("FAIL", err)
					return
				}
				mu.Lock()
				fmt.Println(r.UID)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return nil
}

// What was acknowledged survives SIGKILL, and the ledger opens again.
func TestKilledWriter(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round := range 8 {
		c := start(t, "writer", dir, nil)
		for range 1 + 60*round {
			acknowledged = append(acknowledged, c.next(t))
		}
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for c.lines.Scan() { // what it still said before it died
			acknowledged = append(acknowledged, c.lines.Text())
		}
		c.kill()
	}
	l := open(t, dir)
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	for _, uid := range acknowledged {
		if b := briefs[uid]; len(b) != 1 || b[0].State != Delivered {
			t.Fatalf("%s was acknowledged, the ledger has %+v", uid, b)
		}
	}
	// At most the four writes in hand at each death were not acknowledged.
	if extra := len(briefs) - len(acknowledged); extra > 4*8 {
		t.Errorf("%d records were never acknowledged, want at most 32", extra)
	}
}

// holdLock locks an account, begets a child of its own, and stays.
func holdLock(dir string) error {
	l, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	if _, err := l.Lock("work"); err != nil {
		return err
	}
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		return err
	}
	fmt.Println("locked", sleeper.Process.Pid)
	select {}
}

func TestLockAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	holder := start(t, "holder", dir, nil)
	sleeper, err := strconv.Atoi(strings.TrimPrefix(holder.next(t), "locked "))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(sleeper, syscall.SIGKILL) })
	l := open(t, dir)

	host := must[string](t)(os.Hostname())
	_, err = l.Lock("work")
	if want := fmt.Sprintf("pid %d on %s", holder.cmd.Process.Pid, host); KindOf(err) != Busy || !strings.Contains(err.Error(), want) {
		t.Errorf("an account that another process holds: %v, want Kind busy and %q", err, want)
	}
	other, err := l.Lock("home")
	if err != nil {
		t.Errorf("another account: %v", err)
	} else if err := other(); err != nil {
		t.Error(err)
	}
	put(t, l, record("1", Delivered)) // both processes may write

	holder.kill()
	if syscall.Kill(sleeper, 0) != nil {
		t.Fatal("the holder's child is gone: the next check would prove nothing")
	}
	unlock, err := l.Lock("work")
	if err != nil {
		t.Fatalf("the holder is dead, its child lives: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// onTmpfs mounts a file system of the given size in octets.
func onTmpfs(dir string, size int) (string, error) {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", err
	}
	return filepath.Join(dir, "state"), unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("mode=0700,size=%d", size))
}

// exhaust writes name until there is no space left.
func exhaust(name string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if KindOf(failed("", "", err)) != Full {
		return fmt.Errorf("filling the disk: %w", err)
	}
	return nil
}

// openOnReadOnlyFS wants a clear error where nothing can be written.
func openOnReadOnlyFS(dir string) error {
	state, err := onTmpfs(dir, 8<<20)
	if err != nil {
		fmt.Println("SKIP cannot mount:", err)
		return nil
	}
	l, err := Open(context.Background(), state)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	if _, err = Open(context.Background(), state); KindOf(err) != Permission {
		return fmt.Errorf("an existing ledger: %v, want Kind permission", err)
	}
	if _, err = Open(context.Background(), filepath.Join(dir, "new")); KindOf(err) != Permission {
		return fmt.Errorf("a new ledger: %v, want Kind permission", err)
	}
	return nil
}

func TestReadOnlyFileSystem(t *testing.T) {
	start(t, "readonly", t.TempDir(), ownMounts()).ends(t)
}

// limitFileSize wants an error, and no death by SIGXFSZ, at a file size limit.
func limitFileSize(dir string) error {
	signal.Ignore(syscall.SIGXFSZ) // as main does
	l, err := Open(context.Background(), dir)
	if err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	soft := limit.Cur
	limit.Cur = 64 << 10
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := 0; err == nil && i < 1000; i++ {
		err = l.Put(context.Background(), record(strconv.Itoa(i), Delivered))
	}
	if KindOf(err) != IO {
		return fmt.Errorf("at the limit: %v, want Kind io", err)
	}
	limit.Cur = soft
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := l.Put(context.Background(), record("later", Delivered)); err != nil {
		return fmt.Errorf("after the limit was lifted: %w", err)
	}
	return l.Close()
}

func TestFileSizeLimit(t *testing.T) {
	start(t, "limited", t.TempDir(), nil).ends(t)
}
