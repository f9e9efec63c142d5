package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestRecordInAFileNeedsNoDatabase: a service whose record is in a file has no goroutine, no child and no connection for the sake of a database, and asks
// none, even where the environment names one. One whose record is in a database has some: the test can tell.
func TestRecordInAFileNeedsNoDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		state func(t *testing.T) string
		want  bool
	}{
		"a file":     {func(*testing.T) string { return "" }, false},
		"a database": {func(t *testing.T) string { return "state: " + postgrestest.New(t) + "\n" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			state := c.state(t)
			asked := pretendedDatabase(t)
			s := newServiceTrial(t, injecttest.Options{}, state)
			s.account(t, "work", nil).Add("INBOX", scriptMail(1))
			s.start(t, 0)
			s.await(t, "msg=pass", "delivered=1")
			pid := s.Process.Pid
			peers := peersOf(t, pid)
			text, err := os.ReadFile(filepath.Join(s.dir, "conf.d", "work.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			port := regexp.MustCompile(`port: (\d+)`).FindStringSubmatch(string(text))[1]
			for _, peer := range peers {
				if known := []string{s.mta.Addr().String(), net.JoinHostPort("127.0.0.1", port)}; !slices.Contains(known, peer) {
					t.Errorf("it is connected to %s, beside %v", peer, known)
				}
			}
			if children := childrenOf(t, pid); children != "" {
				t.Errorf("it has children: %s", children)
			}
			s.signal(t, syscall.SIGQUIT) // which has it write what its goroutines do
			s.hear()
			s.wait(t)
			dump := s.said.String()
			if !strings.Contains(dump, "goroutine 1 ") || !strings.Contains(dump, "main.(*service).run") {
				t.Fatalf("it has written no dump: this proves nothing\n%s", dump)
			}
			if got := regexp.MustCompile(`jackc/|schedule/postgres\.`).FindString(dump); (got != "") != c.want {
				t.Errorf("its goroutines are in %q, want any: %v", got, c.want)
			}
			if asked.Load() != 0 {
				t.Errorf("it has asked a database that only the environment names %d times", asked.Load())
			}
		})
	}
}

// pretendedDatabase has the environment name a database, and counts who connects to it.
func pretendedDatabase(t *testing.T) (asked *atomic.Int64) {
	t.Helper()
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	asked = &atomic.Int64{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			_ = conn.Close()
		}
	}()
	t.Setenv("PGHOST", dir)
	t.Setenv("PGPORT", "5432")
	t.Setenv("PGUSER", "nobody")
	return asked
}

// peersOf are the addresses that a process is connected to by TCP, by proc(5).
func peersOf(t *testing.T, pid int) (peers []string) {
	t.Helper()
	sockets := map[string]bool{}
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(open) == 0 {
		t.Fatalf("%d open files are to be seen, %v", len(open), err)
	}
	for _, path := range open {
		to, err := os.Readlink(path)
		if err != nil {
			continue // it was closed
		}
		if inode, is := strings.CutPrefix(to, "socket:["); is {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || !sockets[fields[9]] {
				continue
			}
			host, port, _ := strings.Cut(fields[2], ":")
			n, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				t.Fatal(err)
			}
			if host == "0100007F" {
				host = "127.0.0.1"
			}
			peers = append(peers, net.JoinHostPort(host, strconv.FormatUint(n, 10)))
		}
	}
	return peers
}

// childrenOf are the processes that a process has started, by proc(5).
func childrenOf(t *testing.T, pid int) (children string) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil || len(tasks) == 0 {
		t.Skip("this kernel does not tell the children of a process")
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err == nil {
			children += string(text)
		}
	}
	return children
}

// TestDatabaseCostsNothingAtTheStart: what is linked for databases does next to nothing before a command begins.
func TestDatabaseCostsNothingAtTheStart(t *testing.T) {
	const enough = 32 << 10 // octets; they are some tables and errors
	p := command(t, limited(t, 5*time.Minute), "--version")
	p.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	p.start(t)
	if code := p.wait(t); code != exitOK {
		t.Fatalf("it ended with %d\n%s", code, &p.stderr)
	}
	octets, packages := 0, 0
	for _, m := range regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes, \d+ allocs$`).FindAllStringSubmatch(p.stderr.String(), -1) {
		for _, begin := range []string{"github.com/jackc/", "github.com/truehop/truehop/schedule/postgres", "filippo.io/age"} {
			if !strings.HasPrefix(m[1], begin) {
				continue
			}
			n, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			octets, packages = octets+n, packages+1
		}
	}
	if packages == 0 {
		t.Fatalf("no package shows what it does at the start: this proves nothing\n%s", &p.stderr)
	}
	if octets > enough {
		t.Errorf("%d packages take %d octets at the start, want at most %d\n%s", packages, octets, enough, &p.stderr)
	}
	t.Logf("%d octets by %d packages", octets, packages)
}
