package main

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestReloadDuringATransaction: a message that waits for the reply to its dot when the configuration is read anew ends by the
// old one, and its verdict is recorded; what comes after it goes by the new one. Nothing comes twice.
func TestReloadDuringATransaction(t *testing.T) {
	catchHangup(t)
	s := newSignalTrial(t, syscall.SIGHUP)
	s.stall(most)
	hangup := s.end // returns when the pass has let go of the upstream
	s.end = func(p *process) {
		old, err := os.ReadFile(s.config)
		if err == nil {
			err = os.WriteFile(s.config, []byte(strings.Replace(string(old), "alice@", "bob@", 1)), 0o600)
		}
		if err != nil {
			t.Error(err)
		}
		hangup(p)
	}
	s.mta = s.startMTA(t, func(n int64) bool { return n == 1 })
	s.start(t, "imap", "")
	text, err := os.ReadFile(s.config)
	if err == nil { // a watcher's would be the first connection, which is the one that falls silent
		err = os.WriteFile(s.config, []byte(strings.Replace(string(text), "    on_delivered: delete\n", "    on_delivered: delete\n    idle: false\n", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := command(t, limited(t, 5*time.Minute), "serve", "--config", s.config)
	p.Cmd.Stderr = nil
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.start(t)
	s.victim(p)
	var log strings.Builder
	lines := bufio.NewScanner(stderr)
	for reloaded, passes := false, 0; !reloaded || passes < 2; { // the pass that ends for it, whose end may be logged first, and the one after it
		if !lines.Scan() {
			t.Fatalf("it ended after %d passes:\n%s", passes, log.String())
		}
		log.WriteString(lines.Text() + "\n")
		reloaded = reloaded || strings.Contains(lines.Text(), "msg=reloaded")
		if strings.Contains(lines.Text(), "msg=pass ") {
			passes++
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil { // which may cut a further pass short
		t.Fatal(err)
	}
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
	}
	if code := p.wait(t); code != exitOK {
		t.Errorf("it ended with %d:\n%s", code, log.String())
	}
	to := map[string]int{}
	for n, m := range s.mta.Messages() {
		to[strings.Join(m.To, " ")]++
		if before := m.To[0] == "alice@example.net"; n == 0 && !before {
			t.Errorf("the message that was at its dot went to %v", m.To)
		}
	}
	if to["alice@example.net"] == 0 || to["bob@example.net"] == 0 || len(to) != 2 {
		t.Errorf("messages went to %v, want some by the old configuration and some by the new", to)
	}
	if counts := s.counts(t, exitOK, exitLater); counts[ledger.Delivered] != killMessages || s.mta.Count() != killMessages {
		t.Errorf("the MTA took %d messages of %d, the ledger counts %v", s.mta.Count(), killMessages, counts)
	}
}

// logIntoFIFO has the service that is about to begin write its log into a FIFO, which the trial reads. done closes the end of it
// that the service gets.
func (s *serviceTrial) logIntoFIFO(t *testing.T) (done func()) {
	t.Helper()
	reader, err := os.OpenFile(s.fifo, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	writer, err := os.OpenFile(s.fifo, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.log, s.Cmd.Stderr = bufio.NewScanner(reader), writer
	return func() { _ = writer.Close() }
}

// fill writes empty lines to a FIFO until it takes no more.
func fill(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Open(path, syscall.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	for lines := []byte(strings.Repeat("\n", 4096)); len(lines) > 0; {
		if _, err = syscall.Write(fd, lines); errors.Is(err, syscall.EAGAIN) {
			lines, err = lines[:len(lines)/2], nil
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
}

// TestReloadIsAnsweredBeforeItIsLogged: the service manager hears that a reload is over, and the new account is served, although
// what reads the log takes nothing for a while.
func TestReloadIsAnsweredBeforeItIsLogged(t *testing.T) {
	catchHangup(t)
	s := newServiceTrial(t, injecttest.Options{}, "")
	s.account(t, "work", nil)
	s.fifo = filepath.Join(s.dir, "log")
	if err := syscall.Mkfifo(s.fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t, 0)
	for _, want := range []string{"READY=1", "RELOADING=1", "READY=1"} {
		if got := s.told(t); !strings.HasPrefix(got, want) {
			t.Fatalf("the manager is told %q, want %s", got, want)
		}
		if want == "READY=1" && s.said.Len() == 0 {
			s.await(t, "msg=serving")
			s.account(t, "club", nil).Add("INBOX", scriptMail(1))
			fill(t, s.fifo)
			s.signal(t, syscall.SIGHUP)
		}
	}
	s.await(t, "msg=reloaded", "come=club")
	s.await(t, "msg=delivered", "account=club")
	s.stop(t)
	if n := strings.Count(s.said.String(), "prefer a UNIX socket"); n != 1 {
		t.Errorf("a warning about the configuration that has not changed was told %d times:\n%s", n, s.said.String())
	}
}
