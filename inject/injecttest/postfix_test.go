//go:build unix

package injecttest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestMainCF: no name is in main.cf twice, however its settings are given.
func TestMainCF(t *testing.T) {
	got := mainCF([]string{
		"# A file.\n\nsmtpd_client_restrictions =\n    permit_mynetworks\n#   a comment\n    reject\nmynetworks=\ninet_protocols = ipv4\n",
		"smtpd_client_restrictions = reject", "inet_protocols = all\nnew =\n\tone\n# of the file\n\ttwo",
	})
	counts := map[string]int{}
	for line := range strings.Lines(got) {
		if name, _, setting := strings.Cut(line, "="); setting && !strings.HasPrefix(line, "\t") {
			counts[strings.TrimSpace(name)]++
		}
	}
	for name, n := range counts {
		if n != 1 {
			t.Errorf("%s is there %d times", name, n)
		}
	}
	if want := strings.Count(postfixMain, "\n") + 2; len(counts) != want {
		t.Errorf("%d settings, want %d", len(counts), want)
	}
	for _, want := range []string{"\nsmtpd_client_restrictions = reject\n", "\nmynetworks=\n", "\ninet_protocols = all\n", "\nnew =\n\tone\n\ttwo\n", "\nmyhostname = mx.example.org\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "permit_mynetworks\n    reject") {
		t.Errorf("what was replaced is still there:\n%s", got)
	}
}

// TestPortTaken: a stranger who has the port that was chosen is never taken for Postfix, and
// costs an attempt, no more.
func TestPortTaken(t *testing.T) {
	for n := range 3 {
		t.Run(fmt.Sprintf("port %d", n+1), func(t *testing.T) {
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var stranger sync.WaitGroup
			stranger.Go(func() {
				for {
					conn, err := taken.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, "220 mx.example.org ESMTP Postfix\r\n")
					_ = conn.Close()
				}
			})
			t.Cleanup(func() { _ = taken.Close(); stranger.Wait() })
			asked := 0
			p := startPostfix(t, PostfixOptions{
				Main:   []string{"smtpd_banner = $myhostname ESMTP {etc}"},
				Master: []string{"{addr} inet n - n - - smtpd"},
			}, func() (string, error) {
				if asked++; asked == n+1 {
					return taken.Addr().String(), nil
				}
				return port(t)
			})
			if asked < 6 {
				t.Errorf("it asked for %d ports, want 6: a second attempt", asked)
			}
			for _, listener := range []string{ListenOnce, ListenAll, ListenMaster, ListenUnix} {
				if _, addr := p.Addr(listener); addr == taken.Addr().String() || !strings.Contains(greeting(t, p, listener), p.Dir) {
					t.Errorf("at %s of %s is somebody else", addr, listener)
				}
			}
		})
	}
}

// TestListenersHaveTheirOwnPorts: a port that is free once may be found free a second time. Of two entries of one name master takes the last.
func TestListenersHaveTheirOwnPorts(t *testing.T) {
	last := ""
	p := startPostfix(t, PostfixOptions{}, func() (addr string, err error) {
		if addr, last = last, ""; addr == "" { // each comes twice
			addr, err = port(t)
			last = addr
		}
		return addr, err
	})
	taken := map[string]bool{}
	for _, listener := range []string{ListenOnce, ListenAll, ListenMaster} {
		if _, addr := p.Addr(listener); taken[addr] {
			t.Errorf("%s is at %s, as another is", listener, addr)
		} else {
			taken[addr] = true
		}
	}
}

// greeting returns what a listener says to one who leaves at once.
func greeting(t *testing.T, p *Postfix, listener string) string {
	t.Helper()
	conn, err := p.Dialer(listener)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

// TestStopAfterMaster: daemons that live longer than their master are stopped, and a group that may be
// somebody else's by now is not signalled.
func TestStopAfterMaster(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{})
	conn, err := p.Dialer(ListenAll)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := p.master.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if len(p.Processes("smtpd")) == 0 {
		t.Fatal("smtpd is gone, which was to outlive its master")
	}
	p.stop()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("smtpd speaks")
	}

	stranger := exec.Command("sleep", "1000")
	stranger.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	p.master.cmd.Process.Pid = stranger.Process.Pid // as if the system had given it the number
	p.stop()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(stranger.Process.Pid, &status, syscall.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the stranger was killed: %v, %v", status.Signal(), err)
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = stranger.Wait() // it says that it was killed
}

// TestLog: what a daemon has logged when it answers stands in the log that is read next.
func TestLog(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{})
	for i := range 20 {
		line := fmt.Sprintf("line %d", i)
		if err := p.tellPostlogd(line + strings.Repeat("x", 1000)); err != nil {
			t.Fatal(err)
		}
		if log := p.Log(); !strings.Contains(log, line) || strings.Contains(log, "mark") {
			t.Errorf("%q is not in the log, or more than that:\n%.3000s", line, log)
		}
	}
}

// TestMailBesideWhatACleanupLeft: a cleanup that is killed leaves the beginning of a message in the queue, and Postfix leaves it there.
// Mail does not wait for it, and does wait for one that a living cleanup has in hand.
func TestMailBesideWhatACleanupLeft(t *testing.T) {
	p := StartPostfix(t, PostfixOptions{})
	conn, err := p.Dialer(ListenUnix)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	replies := bufio.NewReader(conn)
	for _, line := range []string{"", "HELO client.example\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<alice@example.org>\r\n", "DATA\r\n"} {
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if reply, err := replies.ReadString('\n'); err != nil || reply[0] > '3' {
			t.Fatalf("%q: %q, %v", line, reply, err)
		}
	}
	if p.idle() {
		t.Error("the queue is empty while a message comes in")
	}
	cleanups := p.Processes("cleanup")
	if len(cleanups) == 0 {
		t.Fatal("no cleanup has the message in hand")
	}
	for _, pid := range cleanups {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if mail := p.Mail(); len(mail) != 0 {
		t.Errorf("%d messages were delivered", len(mail))
	}
}

// TestPort: nobody finds a port free that a test has, a server can listen there nevertheless, and before it does a connection
// is refused.
func TestPort(t *testing.T) {
	ours := Port(t)
	if conn, err := net.Dial("tcp", ours); err == nil {
		_ = conn.Close()
		t.Errorf("somebody listens at %s", ours)
	}
	for range 100 {
		if other := Port(t); other == ours {
			t.Fatalf("%s is given to another", ours)
		}
	}
	l, err := net.Listen("tcp", ours)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var served sync.WaitGroup
	served.Go(func() {
		if conn, err := l.Accept(); err == nil {
			_ = conn.Close()
		}
	})
	conn, err := net.Dial("tcp", ours)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	served.Wait()
}
