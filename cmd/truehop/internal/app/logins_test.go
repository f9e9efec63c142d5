package app

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// clumsy is a POP3 server that offers what it cannot do: AUTH PLAIN, and to take commands together.
type clumsy struct {
	hangsUp bool // instead of a reply that is none
	mu      sync.Mutex
	heard   []string
}

func (s *clumsy) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	say := func(text string) { _, _ = fmt.Fprint(conn, strings.ReplaceAll(text, "\n", "\r\n")) }
	say("+OK hello\n")
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		s.mu.Lock()
		s.heard = append(s.heard, strings.Fields(line)[0])
		s.mu.Unlock()
		switch verb := strings.Fields(line)[0]; {
		case verb == "CAPA":
			say("+OK\nUSER\nUIDL\nPIPELINING\nSASL PLAIN\n.\n")
		case verb == "AUTH":
			say("-ERR unknown mechanism\n")
		case verb == "UIDL" && in.Buffered() > 0 && s.hangsUp:
			return
		case verb == "UIDL" && in.Buffered() > 0:
			say("oops\n")
		case verb == "UIDL":
			say("+OK\n1 a\n.\n")
		case verb == "LIST":
			say("+OK\n1 9\n.\n")
		default:
			say("+OK\n")
		}
	}
}

func (s *clumsy) since() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard := strings.Join(s.heard, " ")
	s.heard = nil
	return heard
}

// opening returns a function that logs in to a server and opens the inbox.
func opening(t *testing.T, s *clumsy, account *config.Account) func() error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	*account = config.Account{Name: "work", Protocol: config.POP3, Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
		TLS: config.NoTLS, AllowPlaintext: true}
	account.User, account.PasswordCommand = "joe", []string{"/bin/echo", "secret"}
	var a App
	return func() error {
		ctx := t.Context()
		mailbox, err := a.logIn(ctx, account)
		if err != nil {
			return err
		}
		defer mailbox.Abort()
		_, err = mailbox.Open(ctx, "")
		return err
	}
}

// TestLoginsLearn: what a server cannot do is not asked of it again in the life of the process.
func TestLoginsLearn(t *testing.T) {
	var s clumsy
	var account config.Account
	open := opening(t, &s, &account)
	if err := open(); !fetch.IsOutOfStep(err) {
		t.Fatalf("the server bore commands that were sent together: %v", err)
	}
	if heard, want := s.since(), "CAPA AUTH USER PASS UIDL"; !strings.HasPrefix(heard, want) {
		t.Errorf("the server heard %s, want %s", heard, want)
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	// The LIST that went out with UIDL may have come to the server's ears after the first session was given up.
	if heard, want := strings.TrimPrefix(s.since(), "LIST "), "CAPA USER PASS UIDL LIST"; heard != want {
		t.Errorf("the server heard %s, want %s", heard, want)
	}
	if account.Auth != "" || account.Pipelining != config.AutoPipelining {
		t.Errorf("the configuration was changed: %+v", account)
	}
}

// TestLoginsAfterAHangUp: a server that hangs up at commands which are sent together gets one at a time in the next session, and
// only there: the end of a connection may have another cause.
func TestLoginsAfterAHangUp(t *testing.T) {
	s := clumsy{hangsUp: true}
	open := opening(t, &s, &config.Account{})
	for n, outOfStep := range []bool{true, false, true, false} {
		if err := open(); fetch.IsOutOfStep(err) != outOfStep || (err != nil) != outOfStep {
			t.Errorf("session %d: %v", n, err)
		}
	}
}
