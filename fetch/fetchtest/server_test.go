package fetchtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestServersHoldMail: each server starts, and its owner sees what was delivered.
func TestServersHoldMail(t *testing.T) {
	message := []byte("Subject: x\r\n\r\nbody\r\n")
	for name, start := range map[string]func(testing.TB) *Server{
		"Mailutils": StartMailutils, "Courier": StartCourier, "Cyrus": StartCyrus, "popa3d": StartPopa3d, "go-imap": StartGoIMAP,
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			if s.Version == "" {
				t.Error("the server has no version")
			}
			s.Owner.Deliver(t, "INBOX", message, message)
			if got := s.Owner.Count(t, "INBOX"); got != 2 {
				t.Errorf("%d messages, want 2", got)
			}
			if s.IMAP != nil {
				s.Owner.Create(t, "Other")
				s.Owner.Deliver(t, "Other", message)
				if got := s.Owner.Count(t, "Other"); got != 1 {
					t.Errorf("%d messages in the other folder, want 1", got)
				}
				if got := s.Owner.Flagged(t, "INBOX", `\Seen`); got != 0 {
					t.Errorf("%d messages are seen, want none", got)
				}
				s.greets(t, s.IMAP, "* OK")
			}
			if s.POP3 != nil {
				s.greets(t, s.POP3, "+OK")
			}
		})
	}
}

// greets wants the front to hand through the greeting, and to cut it off if told.
func (s *Server) greets(t *testing.T, f *Front, want string) {
	t.Helper()
	greeting := func() (string, error) {
		conn, err := tls.Dial("tcp", f.Addr, &tls.Config{InsecureSkipVerify: true})
		must(t, err)
		defer conn.Close()
		return bufio.NewReader(conn).ReadString('\n')
	}
	if said, err := greeting(); err != nil || !strings.HasPrefix(said, want) {
		t.Errorf("the server greets with %q (%v)", said, err)
	}
	f.CutAfter(2)
	if said, err := greeting(); err == nil || said != want[:2] {
		t.Errorf("cut after 2 octets, it greets with %q (%v)", said, err)
	}
	f.CutAfter(0)
	if f.Cuts() != 1 {
		t.Errorf("%d connections were cut, want 1", f.Cuts())
	}
}

// TestMailutilsOutlivesItsCrash: a server that crashed leaves its lock beside the mbox, and the next one takes it away.
func TestMailutilsOutlivesItsCrash(t *testing.T) {
	s := StartMailutils(t)
	s.Owner.Deliver(t, "INBOX", []byte("Subject: x\r\n\r\nbody\r\n"))
	gone := exec.Command("true")
	must(t, gone.Run())
	lock := s.Owner.(mailutilsOwner).inbox.path + ".lock"
	must(t, os.WriteFile(lock, fmt.Appendf(nil, "%d\n", gone.Process.Pid), 0o644))
	must(t, os.Chown(lock, unpackedUID, unpackedUID))
	if got := s.Owner.Count(t, "INBOX"); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
	if _, err := os.Stat(lock); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock of the process that is gone is still there: %v", err)
	}
}

// TestMailutilsCountsItsCrashes: a session that aborts is one, and one whose client is gone is none.
func TestMailutilsCountsItsCrashes(t *testing.T) {
	u := unpack(t, "mailutils")
	begin := func() (*exec.Cmd, io.Closer) {
		conn, err := u.inetd("imap4d", "--inetd", "--no-config")()
		must(t, err)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
			t.Fatalf("it greets with %q: %v", line, err)
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		for cmd := range u.running {
			return cmd, conn
		}
		t.Fatal("no process runs")
		return nil, nil
	}
	_, conn := begin()
	must(t, conn.Close())
	if got := u.crashes(); got != 0 {
		t.Errorf("%d crashes, want none", got)
	}
	cmd, conn := begin()
	defer conn.Close()
	must(t, cmd.Process.Signal(syscall.SIGABRT))
	if got := u.crashes(); got != 1 {
		t.Errorf("%d crashes, want 1", got)
	}
}
