package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestSignals ends a pass by a signal, between a dot and its reply or in the middle of retrieval, and
// wants the exit code of that signal, every verdict recorded, and the next pass to bring the rest, none of it
// twice.
func TestSignals(t *testing.T) {
	catchHangup(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		for _, protocol := range []string{"imap", "pop3"} {
			for _, dot := range []int64{1, 5, 0} {
				t.Run(fmt.Sprintf("%v/%s/dot %d", sig, protocol, dot), func(t *testing.T) {
					s := newSignalTrial(t, sig)
					s.stall(most)
					s.mta = s.startMTA(t, func(n int64) bool { return dot == n })
					if dot == 0 {
						s.stalled = s.kill // the signal comes while the program waits for the upstream
					}
					s.start(t, protocol, "")
					p := s.run(t, "run", "--config", s.config)
					if code := p.wait(t); code != 128+int(sig) {
						t.Fatalf("the program ended with %d, want %d:\n%s", code, 128+int(sig), &p.stderr)
					}
					s.wantRecorded(t, dot)
					s.spare.Store(true)
					s.verify(t, must(t, exitOK, "run", "--config", s.config))
					if got := s.mta.Count(); got != killMessages {
						t.Errorf("the MTA took %d messages, want %d: none twice", got, killMessages)
					}
				})
			}
		}
	}
}

// TestSecondSignal: the first signal is answered by what the program waits for, a second one ends it at once. The message
// whose dot has no reply is in doubt then, and comes again with its label.
func TestSecondSignal(t *testing.T) {
	s := newSignalTrial(t, syscall.SIGTERM)
	s.stall(most)
	dead, lines := make(chan struct{}), make(chan *bufio.Scanner, 1)
	first := s.end
	s.end = func(p *process) {
		first(p) // returns when the program has heard it
		log, said := <-lines, false
		for !said && log.Scan() {
			said = strings.Contains(log.Text(), "msg=awaiting messages=")
		}
		if !said {
			t.Error("it does not say that it waits")
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-dead // the MTA's reply comes too late
	}
	s.mta = s.startMTA(t, func(n int64) bool { return n == 1 })
	s.start(t, "imap", "")
	p := command(t, limited(t, 5*time.Minute), "run", "--config", s.config) // for a signal that never came
	p.Cmd.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	lines <- bufio.NewScanner(stderr)
	s.victim(p)
	code := p.wait(t)
	close(dead)
	if code != 143 {
		t.Fatalf("the program ended with %d, want 143", code)
	}
	if counts := s.counts(t, exitLater); counts[ledger.Sending] == 0 {
		t.Errorf("the ledger does not know of the message on its way: %v", counts)
	}
	s.spare.Store(true)
	s.verify(t, must(t, exitOK, "run", "--config", s.config))
}

// TestSignalBeforeAnything: ended before the upstream has said a word, the code is that of the signal
// too, and with --quiet nothing is said.
func TestSignalBeforeAnything(t *testing.T) {
	s := newSignalTrial(t, syscall.SIGINT)
	s.stall(0)
	s.stalled = s.kill
	s.mta = s.startMTA(t, func(int64) bool { return false })
	s.start(t, "pop3", "")
	p := s.run(t, "run", "--quiet", "--config", s.config)
	if code := p.wait(t); code != 130 {
		t.Errorf("it ended with %d, want 130", code)
	}
	if said := strings.TrimSpace(p.stderr.String() + p.stdout.String()); said != "" {
		t.Errorf("it said %s", said)
	}
}

// TestHangupTwice: a terminal that is closed may send two SIGHUP, and the second does not cut short the
// wait for the reply to a dot.
func TestHangupTwice(t *testing.T) {
	catchHangup(t)
	s := newSignalTrial(t, syscall.SIGHUP)
	s.stall(most)
	first := s.end
	s.end = func(p *process) {
		first(p) // returns when the program has heard it
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	s.mta = s.startMTA(t, func(n int64) bool { return n == 1 })
	s.start(t, "imap", "")
	p := s.run(t, "run", "--config", s.config)
	if code := p.wait(t); code != 129 {
		t.Fatalf("the program ended with %d, want 129:\n%s", code, &p.stderr)
	}
	s.wantRecorded(t, 1)
}

// catchHangup lets the programs that this test starts get SIGHUP, also where the test itself was started
// without it, by nohup.
func catchHangup(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(c) })
}

// TestHangupOfRunUnderNohup: a program that was started with SIGHUP ignored goes on ignoring it.
func TestHangupOfRunUnderNohup(t *testing.T) {
	s := newKillTrial(t)
	s.end = func(p *process) {
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Error(err)
		}
	}
	s.mta = s.startMTA(t, func(n int64) bool { return n == 1 })
	s.start(t, "imap", "")
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.CommandContext(t.Context(), "sh", "-c", `trap "" HUP; exec "$0" "$@"`, path, "run", "--config", s.config)}
	p.Cmd.Stdout, p.Cmd.Stderr = &p.stdout, &p.stderr
	p.start(t)
	s.victim(p)
	if code := p.wait(t); code != exitOK || s.mta.Count() != killMessages {
		t.Errorf("the program ended with %d, and the MTA took %d messages of %d:\n%s", code, s.mta.Count(), killMessages, &p.stderr)
	}
}

// TestHangupOfServe: at SIGHUP a service reads its configuration anew and goes on by that; one that cannot be used is
// told, and the service goes on by the one that it has.
func TestHangupOfServe(t *testing.T) {
	catchHangup(t)
	s := newKillTrial(t)
	taken := make(chan int64, killMessages+1)
	s.mta = s.startMTA(t, func(n int64) bool { taken <- n; return false })
	s.start(t, "imap", "")
	p := command(t, limited(t, 5*time.Minute), "serve", "--config", s.config)
	p.Cmd.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	lines := bufio.NewScanner(stderr)
	// await reads the log up to a line with this message.
	await := func(message string) string {
		t.Helper()
		for lines.Scan() {
			if line := lines.Text(); strings.Contains(line, "msg="+message) {
				return line
			}
		}
		t.Fatalf("the program ended without saying %s", message)
		return ""
	}
	await("serving")
	for range killMessages {
		<-taken
	}
	await("pass")
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	hangup := func(configuration string) {
		t.Helper()
		if err := os.WriteFile(s.config, []byte(configuration), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hangup(string(good) + "no_such_key: 1\n")
	if line := await(`"not reloaded"`); !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "no_such_key") {
		t.Errorf("it says %s", line)
	}
	// That the old one is in force shows below: mail is still taken.
	s.store.Add("INBOX", scriptMail(100))
	<-taken
	hangup(string(good) + "log: {level: debug}\n")
	await("reloaded")
	s.store.Add("INBOX", scriptMail(101))
	<-taken
	if line := await(`"next pass"`); !strings.Contains(line, "level=DEBUG") {
		t.Errorf("the new level does not hold: %s", line)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await("stopped")
	if lines.Scan() {
		t.Errorf("after its end it says %s", lines.Text())
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("it ended with %d, want 0", code)
	}
}

const (
	// large is the size of a message of these trials, in octets.
	large = 8 << 10
	// most is what the upstream sends before it falls silent: enough for five messages, too little for all.
	most = large * (killMessages - 3)
)

// signalTrial is a [killTrial] whose victim gets a signal that it can catch. For the signal to
// come in time whatever the machine does, the upstream falls silent in the middle, and the MTA keeps its
// reply back until the program has let go of the upstream.
type signalTrial struct {
	*killTrial
	// gone is closed when the program has dropped the connection that fell silent.
	gone chan struct{}
	// stalled, if not nil, is called when the upstream has fallen silent.
	stalled func()
}

func newSignalTrial(t *testing.T, sig syscall.Signal) *signalTrial {
	s := &signalTrial{killTrial: newKillTrial(t), gone: make(chan struct{})}
	s.store = fakeserver.NewStore()
	for n := range killMessages {
		padding := strings.Repeat(strings.Repeat("x", 70)+"\r\n", large/72)
		s.store.Add("INBOX", append(scriptMail(n+1), padding...))
	}
	s.end = func(p *process) {
		if err := p.Process.Signal(sig); err != nil {
			t.Error(err)
		}
		if s.stalled == nil {
			<-s.gone
		}
	}
	return s
}

// stall lets the first connection to the upstream fall silent after so many octets.
func (s *signalTrial) stall(after int) {
	var first sync.Once
	s.wrap = func(conn net.Conn) net.Conn {
		first.Do(func() { conn = &stalling{Conn: conn, trial: s, left: after} })
		return conn
	}
}

// stalling is a connection that falls silent until the other side drops it.
type stalling struct {
	net.Conn
	trial          *signalTrial
	left           int
	silent, closed sync.Once
}

func (c *stalling) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left >= 0 {
		return c.Conn.Write(p)
	}
	c.silent.Do(func() {
		if c.trial.stalled != nil {
			c.trial.stalled()
		}
		_, _ = io.Copy(io.Discard, c.Conn) // its end is what is waited for
	})
	return 0, net.ErrClosed
}

// Close is called by the upstream when the program has dropped the connection.
func (c *stalling) Close() error {
	c.closed.Do(func() { close(c.trial.gone) })
	return c.Conn.Close()
}

func (s *signalTrial) run(t *testing.T, args ...string) *process {
	t.Helper()
	p := command(t, limited(t, 5*time.Minute), args...) // for a signal that never came
	p.start(t)
	s.victim(p)
	return p
}

// wantRecorded wants the ledger to have a verdict for every message that the MTA took, at least n, and
// nothing in doubt.
func (k *killTrial) wantRecorded(t *testing.T, n int64) {
	t.Helper()
	counts := k.counts(t, exitLater) // for the pass did not see the whole account
	delete(counts, ledger.Deferred)  // abandoned before their dots
	if counts[ledger.Delivered] != k.mta.Count() || len(counts) > 1 {
		t.Errorf("the MTA took %d messages, the ledger counts %v", k.mta.Count(), counts)
	}
	if got := k.mta.Count(); got < int(n) || got == killMessages {
		t.Errorf("the MTA took %d messages before the end", got)
	}
}

// counts returns what status counts by state, having ended with one of the codes.
func (k *killTrial) counts(t *testing.T, codes ...int) map[ledger.State]int {
	t.Helper()
	var s ui.AccountStatus
	p := command(t, t.Context(), "status", "--json", "--config", k.config)
	p.start(t)
	if code := p.wait(t); !slices.Contains(codes, code) {
		t.Errorf("status ended with %d, want one of %v\n%s%s", code, codes, &p.stdout, &p.stderr)
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s.Counts
}
