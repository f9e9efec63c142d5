package app

import (
	"bufio"
	"context"
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
	mu    sync.Mutex
	heard []string
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

// TestLoginsLearn: what a server cannot do is not asked of it again in the life of the process.
func TestLoginsLearn(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var s clumsy
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	account := &config.Account{Name: "work", Protocol: config.POP3, Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
		TLS: config.NoTLS, AllowPlaintext: true}
	account.User, account.PasswordCommand = "joe", []string{"/bin/echo", "secret"}
	var a App
	open := func(ctx context.Context) error {
		mailbox, err := a.logIn(ctx, account)
		if err != nil {
			return err
		}
		defer mailbox.Abort()
		_, err = mailbox.Open(ctx, "")
		return err
	}
	if err := open(t.Context()); !fetch.IsOutOfStep(err) {
		t.Fatalf("the server bore commands that were sent together: %v", err)
	}
	if heard, want := s.since(), "CAPA AUTH USER PASS UIDL"; !strings.HasPrefix(heard, want) {
		t.Errorf("the server heard %s, want %s", heard, want)
	}
	if err := open(t.Context()); err != nil {
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
