//go:build linux

package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"
	"modernc.org/sqlite"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/fetch/imap"
	"github.com/truehop/truehop/fetch/pop3"
	"github.com/truehop/truehop/fetch/sasl"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/transfer"
)

// These flags make the test binary a victim: it makes one pass and kills itself at a step of it.
var (
	victimStep     = flag.Int64("victim.step", 0, "make one pass and die at this step")
	victimCommit   = flag.Int64("victim.commit", 0, "make one pass, hold this commit of it until nothing else moves, and die")
	victimRead     = flag.Int64("victim.read", 0, "make one pass and die at this read from its database")
	victimDir      = flag.String("victim.dir", "", "where the victim finds its sockets and its ledger")
	victimScenario = flag.Int("victim.scenario", 0, "which of the scenarios the victim plays")
	victimDatabase = flag.String("victim.database", "", "the database that has the record; none is an SQLite ledger")
)

// killScenarios are the mailboxes that a pass is killed over.
var killScenarios = []killScenario{
	{name: "imap delete", disposal: fetch.Disposal{Action: fetch.Delete}},
	{name: "imap move", disposal: fetch.Disposal{Action: fetch.Move, Target: "Done"}},
	{name: "pop3 that shows a message once", pop3: true, once: true, disposal: fetch.Disposal{Action: fetch.Delete}},
	{name: "pop3 keep", pop3: true},
}

type killScenario struct {
	name       string
	pop3, once bool
	disposal   fetch.Disposal
}

func (s killScenario) folder() string {
	if s.pop3 {
		return ""
	}
	return "INBOX"
}

// fates are the mixed verdicts of the pass, by the last octet of the client's address, which is also
// the message's number.
var fates = []fate{
	{n: 1, name: "delivered", want: ledger.Delivered, alice: true, bob: true},
	{n: 2, name: "deferred once", want: ledger.Delivered, alice: true, bob: true},
	{n: 3, name: "refused", want: ledger.Refused},
	{n: 4, name: "partly refused", want: ledger.PartlyRefused, alice: true},
	{n: 5, name: "taken and the reply lost", want: ledger.Delivered, alice: true, bob: true},
	{n: 6, name: "deferred for ever", want: ledger.Deferred},
	{n: 7, name: "one recipient deferred once", want: ledger.Delivered, alice: true, bob: true},
}

type fate struct {
	n          int
	name       string
	want       ledger.State
	alice, bob bool
}

const (
	alice = "alice@example.net"
	bob   = "bob@example.net"
)

// TestPassKilledAtEachStep makes a pass with mixed verdicts and has the process kill itself with SIGKILL at its
// n-th step, for every n: before each commit of the ledger, before and in the middle of each write to the
// upstream or the MTA, behind each read from them. What comes after the kill must make up for it.
func TestPassKilledAtEachStep(t *testing.T) {
	if *victimStep > 0 || *victimCommit > 0 || *victimRead > 0 {
		dieInPass(t)
		return
	}
	for number, s := range killScenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			killed := killAtEach(t, "step", 1, stride, func() *killWorld { return newKillWorld(t, number) })
			for _, where := range []string{"commit", "upstream write", "upstream half", "upstream read", "mta write", "mta half", "mta read"} {
				if killed[where] == 0 && stride == 1 {
					t.Errorf("nothing was killed at %s: are its steps counted?", where)
				}
			}
		})
	}
}

// killAtEach kills a pass at its steps of a kind, each in a world of its own, until it gets to its end, and returns how often it was
// killed where.
func killAtEach(t *testing.T, kind string, first, stride int64, fresh func() *killWorld) (killed map[string]int) {
	t.Helper()
	killed = map[string]int{}
	for step := first; ; step += stride {
		w := fresh()
		where, dead := w.victim(t, kind, step)
		if dead {
			killed[where]++
		}
		w.aftermath(t)
		if t.Failed() {
			t.Fatalf("the pass was killed at %s %d: %s", kind, step, where)
		}
		if !dead {
			t.Logf("killed at %v", killed)
			return killed
		}
	}
}

// killWorld is one mailbox and one MTA, which outlive the victim.
type killWorld struct {
	dir      string
	number   int
	scenario killScenario
	// database has the record; "" is an SQLite ledger in dir.
	database string
	store    *fakeserver.Store
	mta      *injecttest.Server
	upstream *fakeserver.Server

	mu      sync.Mutex
	tried   map[string]bool
	severed bool
	conns   map[net.Conn]bool
	serving sync.WaitGroup
	entry   net.Listener
}

func newKillWorld(t *testing.T, number int) *killWorld {
	t.Helper()
	dir, err := os.MkdirTemp("", "kp") // short, for the names of sockets
	if err != nil {
		t.Fatal(err)
	}
	w := &killWorld{dir: dir, number: number, scenario: killScenarios[number], store: fakeserver.NewStore(),
		tried: map[string]bool{}, conns: map[net.Conn]bool{}}
	w.store.Create("Done")
	for _, f := range fates {
		w.store.Add("", killMail(f.n))
	}
	w.mta = injecttest.New(injecttest.Options{Rules: injecttest.Rules{Recipient: w.judge}, Accepted: w.accepted})
	if w.entry, err = net.Listen("unix", filepath.Join(dir, "mta")); err != nil {
		t.Fatal(err)
	}
	w.serving.Go(w.accept)
	serve := (&fakeserver.IMAP{Store: w.store, User: "u", Password: "correct horse"}).Serve
	if w.scenario.pop3 {
		serve = (&fakeserver.POP3{Store: w.store, User: "u", Password: "correct horse", Once: w.scenario.once}).Serve
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "upstream"))
	if err != nil {
		t.Fatal(err)
	}
	w.upstream = fakeserver.Serve(listener, serve)
	return w
}

// killMail is a message that a client at 203.0.113.n sent.
func killMail(n int) []byte {
	return fmt.Appendf(nil, "Return-Path: <sender@example.org>\r\nReceived: from helo.example.org (host%[1]d.example.org [203.0.113.%[1]d])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4XyZ%[1]d\r\n\tfor <alice@example.net>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\nSubject: number %[1]d\r\n\r\nbody\r\n", n)
}

// accept gives the MTA its connections, and remembers them so that they can be cut.
func (w *killWorld) accept() {
	for {
		conn, err := w.entry.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		w.conns[conn] = true
		w.mu.Unlock()
		w.serving.Go(func() { w.mta.Serve(conn) })
	}
}

// judge is what the MTA says of each message at RCPT.
func (w *killWorld) judge(c injecttest.Client, to string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := !w.tried[c.Addr+to]
	w.tried[c.Addr+to] = true
	const later, no = "450 4.7.1 try again later", "554 5.7.1 not wanted"
	n, _ := strconv.Atoi(c.Addr[strings.LastIndexByte(c.Addr, '.')+1:])
	switch {
	case n == 2 && first, n == 6, n == 7 && to == bob && first:
		return later
	case n == 3, n == 4 && to == bob:
		return no
	}
	return ""
}

// accepted cuts the connection between the dot of a message and its reply, once.
func (w *killWorld) accepted(m injecttest.Message) {
	if !bytes.Contains(m.Data, []byte("Subject: number 5\r\n")) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.severed {
		return
	}
	w.severed = true
	for conn := range w.conns {
		_ = conn.Close()
	}
}

// victim runs the process that dies at the n-th step of a kind. It returns where it died, and whether it did.
func (w *killWorld) victim(t *testing.T, kind string, n int64) (where string, dead bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestPassKilledAtEachStep$",
		fmt.Sprintf("-victim.%s=%d", kind, n), fmt.Sprintf("-victim.scenario=%d", w.number), "-victim.dir="+w.dir, "-victim.database="+w.database)
	out, err := cmd.CombinedOutput()
	if err == nil {
		return "", false
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	found := regexp.MustCompile(`(?m)^died at (.*)$`).FindSubmatch(out)
	if !ok || status.Signal() != syscall.SIGKILL || found == nil {
		t.Fatalf("%s %d: the victim did not kill itself: %v\n%s", kind, n, err, out)
	}
	return string(found[1]), true
}

// dieInPass is the victim.
func dieInPass(t *testing.T) {
	s := &steps{holds: *victimCommit > 0}
	switch {
	case *victimCommit > 0:
		s.only = "commit"
	case *victimRead > 0:
		s.only = "database read"
	}
	s.left.Store(max(*victimStep, *victimCommit, *victimRead))
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, _ string) error {
		hooks, ok := conn.(sqlite.HookRegisterer)
		if !ok {
			return errors.New("the driver has no commit hook any more")
		}
		hooks.RegisterCommitHook(func() int32 { s.reach("commit"); return 0 })
		return nil
	})
	w := &killWorld{dir: *victimDir, number: *victimScenario, scenario: killScenarios[*victimScenario], database: *victimDatabase}
	record := w.open(t, s)
	if err := w.pass(t.Context(), record, killClock, s); err != nil {
		t.Fatal(err)
	}
	if err := record.Close(); err != nil {
		t.Fatal(err)
	}
}

// killClock is the time of the first pass.
var killClock = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// killRecord is the record, wherever it is.
type killRecord interface {
	transfer.Ledger
	Lock(account string) (unlock func() error, err error)
	Close() error
}

// open opens the record and locks the account. s, if it is not nil, counts what is said to a database from then on.
func (w *killWorld) open(t *testing.T, s *steps) killRecord {
	t.Helper()
	var record killRecord
	var err error
	var counted atomic.Pointer[steps]
	if w.database == "" {
		record, err = ledger.Open(t.Context(), filepath.Join(w.dir, "state"))
	} else {
		record, err = postgres.Open(t.Context(), postgres.Options{URL: w.database, Connections: 3, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return &databaseConn{conn, &counted}, err
		}})
	}
	if err != nil {
		t.Fatalf("the ledger does not open: %v", err)
	}
	if _, err := record.Lock("work"); err != nil {
		t.Fatal(err)
	}
	counted.Store(s)
	return record
}

// databaseConn is a connection to a database whose writes and reads are steps.
type databaseConn struct {
	net.Conn
	steps *atomic.Pointer[steps]
}

func (c *databaseConn) Write(p []byte) (int, error) {
	s := c.steps.Load()
	if s == nil {
		return c.Conn.Write(p)
	}
	s.reach("commit")
	half, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return half, err
	}
	s.reach("database half")
	rest, err := c.Conn.Write(p[half:])
	return half + rest, err
}

func (c *databaseConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if s := c.steps.Load(); s != nil && n > 0 {
		s.reach("database read")
	}
	return n, err
}

// pass makes one pass, whose steps s counts, if it is not nil.
func (w *killWorld) pass(ctx context.Context, record killRecord, now time.Time, s *steps) (err error) {
	pool := inject.NewPool(w.dialer("mta", s), inject.Options{Connections: 1})
	defer func() { err = errors.Join(err, pool.Close(ctx)) }()
	p := transfer.Pass{
		Account: "work", Folders: []string{w.scenario.folder()}, Dial: w.login(s), MTA: pool, Ledger: record,
		Policy:     received.Policy{MX: []string{"mx.example.net"}},
		LookupName: func(context.Context, netip.Addr) transfer.Name { return transfer.Name{} },
		Recipients: []string{alice, bob}, OnDelivered: w.scenario.disposal,
		Retry: transfer.Retry{Min: time.Minute, Max: time.Hour}, Flood: transfer.Flood{Limit: 100, Accept: true},
		SpoolDir: w.dir, Budget: semaphore.NewWeighted(1 << 20), BudgetSize: 1 << 20,
		Ordered: true, Batch: 2, Now: func() time.Time { return now },
	}
	_, err = p.Run(ctx)
	return err
}

func (w *killWorld) dialer(name string, s *steps) inject.Dialer {
	return func(context.Context) (net.Conn, error) {
		conn, err := net.Dial("unix", filepath.Join(w.dir, name))
		if err != nil || s == nil {
			return conn, err
		}
		return &countedConn{Conn: conn, name: name, steps: s}, nil
	}
}

func (w *killWorld) login(s *steps) func(context.Context) (fetch.Mailbox, error) {
	return func(ctx context.Context) (m fetch.Mailbox, err error) {
		conn, err := w.dialer("upstream", s)(ctx)
		if err != nil {
			return nil, &fetch.Error{Kind: fetch.Unreachable, Op: "connect", Err: err}
		}
		credentials := sasl.Credentials{User: "u", Password: "correct horse"}
		if w.scenario.pop3 {
			m, err = pop3.New(ctx, conn, pop3.Options{Credentials: credentials, Secure: true})
		} else {
			m, err = imap.New(ctx, conn, imap.Options{Credentials: credentials, Secure: true})
		}
		if err == nil && s != nil && s.holds {
			m = &slowUpstream{Mailbox: m, steps: s}
		}
		return m, err
	}
}

// countedConn is a connection whose writes and reads are steps.
type countedConn struct {
	net.Conn
	name  string
	steps *steps
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.steps.reach(c.name + " write")
	half, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return half, err
	}
	c.steps.reach(c.name + " half")
	rest, err := c.Conn.Write(p[half:])
	return half + rest, err
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.steps.reach(c.name + " read")
	}
	return n, err
}

func (w *killWorld) close(t *testing.T, record killRecord) {
	t.Helper()
	w.upstream.Close()
	err := errors.Join(record.Close(), w.entry.Close(), w.mta.Close())
	w.serving.Wait()
	if err = errors.Join(err, os.RemoveAll(w.dir)); err != nil {
		t.Error(err)
	}
}
