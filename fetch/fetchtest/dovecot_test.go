package fetchtest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch/fakeserver"
)

func TestStartDovecot(t *testing.T) {
	d := StartDovecot(t, DovecotOptions{})
	d.Deliver([]byte("Subject: one\r\n\r\nbody\r\n"))
	d.Deliver([]byte("Subject: two\r\n\r\nbody\r\n"))
	d.Create("Archive/2026")
	c, err := tls.Dial("tcp", d.IMAPSAddr, &tls.Config{RootCAs: d.CA, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := imapDialogue(t, c, d, "Archive/2026"); !strings.Contains(got, "* 2 EXISTS") || !strings.Contains(got, "a3 OK") {
		t.Errorf("SELECT INBOX and the folder say:\n%s", got)
	}
	if n := d.Count(); n != 1 {
		t.Errorf("%d messages are left, want 1", n)
	}
	if m := d.Messages("archive"); len(m) != 0 {
		t.Errorf("a folder that is not there has %d messages", len(m))
	}
}

func imapDialogue(t *testing.T, c net.Conn, d *Dovecot, folder string) string {
	t.Helper()
	fmt.Fprintf(c, "a1 LOGIN %q %q\r\na2 SELECT INBOX\r\nb UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nc UID EXPUNGE 1\r\na3 SELECT %q\r\na4 LOGOUT\r\n", d.User, d.Password, folder)
	var said strings.Builder
	for lines := bufio.NewScanner(c); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
	}
	return said.String()
}

// TestDovecotInherits: the server takes over open sockets, so that there is no moment at which another process could
// have a port that was chosen for it.
func TestDovecotInherits(t *testing.T) {
	asked := 0
	d := startDovecot(t, DovecotOptions{}, func() (net.Listener, error) {
		asked++
		return listenLocal()
	}, true)
	if log, _ := os.ReadFile(d.Log); asked > 4 && strings.Contains(string(log), "Address already in use") {
		t.Skip("this Dovecot is built without systemd and takes no sockets")
	}
	if asked != 4 {
		t.Errorf("it asked for %d sockets, want 4", asked)
	}
	for _, addr := range d.addrs() {
		if l, err := net.Listen("tcp", *addr); err == nil {
			t.Errorf("%s is free", *addr)
			_ = l.Close()
		}
	}
}

// stolen is a socket whose port is a stranger's as soon as it is given up.
type stolen struct {
	net.Listener
	t     *testing.T
	serve func(net.Conn)
	once  sync.Once
}

func (s *stolen) Close() error {
	s.once.Do(func() { s.t.Cleanup(fakeserver.Serve(s.Listener, s.serve).Close) })
	return nil
}

// TestDovecotAmongStrangers: a stranger who takes one of the ports first is never taken for the server, whatever
// he says, and costs an attempt, no more.
func TestDovecotAmongStrangers(t *testing.T) {
	says := func(line string) func(net.Conn) {
		return func(c net.Conn) { _, _ = io.WriteString(c, line) }
	}
	strangers := map[string]func(net.Conn){
		"hangs up": func(net.Conn) {},
		"IMAP":     says("* OK Dovecot ready.\r\n"),
		"POP3":     says("+OK Dovecot ready.\r\n"),
		"silent":   func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	}
	for name, serve := range strangers {
		for _, port := range []int{0, 3} { // in plain, and with TLS
			t.Run(fmt.Sprintf("%s at port %d", name, port+1), func(t *testing.T) {
				asked, taken := 0, ""
				d := startDovecot(t, DovecotOptions{}, func() (net.Listener, error) {
					l, err := listenLocal()
					if asked++; err == nil && asked == port+1 {
						taken = l.Addr().String()
						return &stolen{Listener: l, t: t, serve: serve}, nil
					}
					return l, err
				}, false)
				if asked < 8 {
					t.Errorf("it asked for %d ports, want 8: a second attempt", asked)
				}
				for _, addr := range d.addrs() {
					if said, err := d.greeting(*addr, time.Minute); *addr == taken || err != nil || !strings.Contains(said, d.token) {
						t.Errorf("%s: %q (%v) is not what this server says", *addr, said, err)
					}
				}
			})
		}
	}
}

// TestMasterIsNotSignalledTwice: the process group of a master that has ended and was reaped may be
// somebody else's by now.
func TestMasterIsNotSignalledTwice(t *testing.T) {
	m := &master{cmd: exec.Command("true")}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for m.alive() {
	}
	// A process group of that id, with a stranger in it, is what the system may make next.
	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	m.cmd.Process.Pid = stranger.Process.Pid
	m.stop()
	if m.alive() {
		t.Error("it lives again")
	}
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(stranger.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the stranger was killed: %v, %v", status.Signal(), err)
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = stranger.Wait() // it says that it was killed
}

// TestMasterStopsItsGroup: children that live longer than their master are stopped with it.
func TestMasterStopsItsGroup(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	m := &master{cmd: exec.Command("sh", "-c", "sleep 1000 & echo up >&3; wait")}
	m.cmd.ExtraFiles = []*os.File{in}
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := errors.Join(m.cmd.Start(), in.Close()); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !m.alive() {
		t.Fatalf("the master has ended: %q, %v", line, err)
	}
	m.stop()
	if _, err := io.Copy(io.Discard, out); err != nil { // ends when the last that could write has
		t.Error(err)
	}
}
