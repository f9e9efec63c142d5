// Package postgrestest runs a private PostgreSQL for tests: in a temporary directory, reached by a UNIX socket alone, as an
// unprivileged user where the tests are root's. It writes to the disk as one in earnest does.
package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a private PostgreSQL. Its superuser is postgres, who needs no password.
type Server struct {
	// Dir has its data, its socket and its log.
	Dir string
	// Args are further arguments of the server, as it is next started.
	Args []string

	bin        string
	credential *syscall.Credential
	watchdog   io.Closer

	mu        sync.Mutex
	process   *exec.Cmd // nil while it is stopped
	walLevel  string
	databases int
}

// shared is the server of all tests of a binary that call New.
var shared = sync.OnceValues(func() (*Server, error) { return start(Memory()) })

// New returns the connection string of a fresh database on the server that all tests of a binary share. Where PostgreSQL is not
// installed the test is skipped, or fails if TRUEHOP_REQUIRE_SERVERS is 1.
func New(t testing.TB) string {
	t.Helper()
	s, err := shared()
	usable(t, err)
	return s.New(t)
}

// Start starts a server for this test alone, which may stop and restart it.
func Start(t testing.TB) *Server {
	t.Helper()
	return startFor(t, Memory())
}

// StartOnDisk is Start for measurements: its data are on the disk, where commits take the time that they take.
func StartOnDisk(t testing.TB) *Server {
	t.Helper()
	return startFor(t, "/tmp")
}

func startFor(t testing.TB, parent string) *Server {
	t.Helper()
	s, err := start(parent)
	usable(t, err)
	t.Cleanup(func() { _ = s.watchdog.Close() })
	return s
}

// errMissing is a machine without PostgreSQL.
var errMissing = errors.New("postgresql is not installed")

func usable(t testing.TB, err error) {
	t.Helper()
	missing := errors.Is(err, errMissing)
	switch {
	case missing && os.Getenv("TRUEHOP_REQUIRE_SERVERS") != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
}

// Memory is where records are put that need not outlive the machine: hundreds of tests would else wait for the disk. It is a directory in memory,
// or /tmp where there is none with room in which programs may be run. It is short, for a UNIX socket's name has at most 107 octets.
func Memory() string {
	const enough, noExec = 1 << 29, 8 // a container may have 64 MiB
	var fs syscall.Statfs_t
	// The types of these differ from system to system.
	if err := syscall.Statfs("/dev/shm", &fs); err == nil && uint64(fs.Bavail)*uint64(fs.Bsize) >= enough && uint64(fs.Flags)&noExec == 0 {
		return "/dev/shm"
	}
	return "/tmp"
}

// start makes a cluster below parent and starts its server.
func start(parent string) (s *Server, err error) {
	s = &Server{walLevel: "minimal"}
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian's
	if err != nil || len(bins) == 0 {
		return nil, errMissing
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	s.bin = filepath.Dir(slices.MaxFunc(bins, func(a, b string) int { return version(a) - version(b) }))
	if s.Dir, err = os.MkdirTemp(parent, "pg"); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		uid, gid := 65534, 65534
		if u, err := user.Lookup("postgres"); err == nil {
			uid, _ = strconv.Atoi(u.Uid)
			gid, _ = strconv.Atoi(u.Gid)
		}
		s.credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(s.Dir, uid, gid); err != nil {
			return nil, err
		}
	}
	// It ends the server and removes all when this process has ended, however that happens.
	watchdog := s.command("sh", "-c", `read -r _; kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 0.2; rm -rf "$1"`, "sh", s.Dir)
	if s.watchdog, err = watchdog.StdinPipe(); err != nil {
		return nil, err
	}
	if err := watchdog.Start(); err != nil {
		return nil, err
	}
	go func() { _ = watchdog.Wait() }()
	initdb := s.command(filepath.Join(s.bin, "initdb"), "--no-sync", "--no-instructions", "--auth=trust", "--username=postgres",
		"--encoding=UTF8", "--locale=C", "--pgdata="+filepath.Join(s.Dir, "data"))
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.Start()
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = s.Dir
	c.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential, Setsid: true}
	return c
}

// Start starts the server where it is stopped, and returns once it serves.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	c := s.command(filepath.Join(s.bin, "postgres"), "-D", filepath.Join(s.Dir, "data"), "-k", s.Dir,
		"-c", "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB",
		"-c", "wal_level="+s.walLevel, "-c", "max_wal_senders=0", "-c", "jit=off", "-c", "max_connections=100")
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		return err
	}
	s.process = c
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		if ctx.Err() != nil {
			text, _ := os.ReadFile(filepath.Join(s.Dir, "log"))
			return fmt.Errorf("PostgreSQL does not start: %w\n%s", err, text)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Stop ends the server at once, as a crash does: it recovers when it starts again.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := s.process.Process.Signal(syscall.SIGQUIT)
	_ = s.process.Wait() // its status is that of a crash
	s.process = nil
	return err
}

// Restart stops the server and starts it again.
func (s *Server) Restart() error { return errors.Join(s.Stop(), s.Start()) }

// Demote restarts the server as a standby: it can be read and not written. There is no primary that it follows.
func (s *Server) Demote() error {
	s.mu.Lock()
	s.walLevel = "replica" // has to be so in what a standby recovers from
	s.mu.Unlock()
	if err := errors.Join(s.Restart(), s.Stop()); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "data", "standby.signal"), nil, 0o644); err != nil {
		return err
	}
	return s.Start()
}

// New returns the connection string of a fresh database. It goes when the test ends.
func (s *Server) New(t testing.TB) string {
	t.Helper()
	s.mu.Lock()
	s.databases++
	name := "test" + strconv.Itoa(s.databases)
	s.mu.Unlock()
	url := s.url(name)
	Exec(t, s.url("postgres"), "CREATE DATABASE "+name)
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), s.url("postgres"))
		if err != nil {
			return // it is stopped
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return url
}

func (s *Server) url(database string) string {
	return "postgres://postgres@/" + database + "?host=" + s.Dir
}

// Exec executes statements as the superuser.
func Exec(t testing.TB, url, sql string, args ...any) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// Ask returns the one value that a query yields.
func Ask[T any](t testing.TB, url, sql string, args ...any) (value T) {
	t.Helper()
	conn := connect(t, url)
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), sql, args...).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Empty removes all rows of the record.
func Empty(t testing.TB, url string) {
	t.Helper()
	Exec(t, url, `DELETE FROM truehop.record; DELETE FROM truehop.mailbox; DELETE FROM truehop.pass; DELETE FROM truehop.login;
		DELETE FROM truehop.told; DELETE FROM truehop.judged; DELETE FROM truehop.caught_up; DELETE FROM truehop.lease;
		SELECT setval('truehop.judgement', 0)`)
}

// Drop removes the record from a database.
func Drop(url string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "DROP SCHEMA IF EXISTS truehop CASCADE")
	return errors.Join(err, conn.Close(ctx))
}

// Sever ends all sessions with a database, as a network that breaks does.
func Sever(t testing.TB, url string) {
	t.Helper()
	Exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

// ExpireLeases lets all leases of a database end now.
func ExpireLeases(t testing.TB, url string) {
	t.Helper()
	Exec(t, url, "UPDATE truehop.lease SET node = NULL, expires = '-infinity'")
}
