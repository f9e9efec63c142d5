package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
)

// refusing is an IMAP server that takes its time to refuse a login, until everybody has begun who wants one. It counts what is shown to it.
type refusing struct {
	begun  sync.WaitGroup
	logins atomic.Int64
}

func (s *refusing) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = fmt.Fprint(conn, "* OK [CAPABILITY IMAP4rev1] ready\r\n")
	for r := bufio.NewScanner(conn); r.Scan(); {
		tag, command, _ := strings.Cut(r.Text(), " ")
		if strings.HasPrefix(command, "LOGIN") {
			s.logins.Add(1)
			s.begun.Wait()
			_, _ = fmt.Fprintf(conn, "%s NO [AUTHENTICATIONFAILED] no\r\n", tag)
			continue
		}
		_, _ = fmt.Fprintf(conn, "%s OK done\r\n", tag)
	}
}

// TestRefusedCredentialsAreShownOnce: of several watchers and a pass that want to log in at once, one finds out that the credentials are refused,
// and the others do not show them.
func TestRefusedCredentialsAreShownOnce(t *testing.T) {
	var s refusing
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	dir := t.TempDir()
	cfg, err := config.Parse("truehop.yaml", fmt.Appendf(nil, "state_dir: %s\ninject: {address: \"unix:/nowhere\"}\naccounts: {work: {host: 127.0.0.1, port: %d, "+
		"tls: none, allow_plaintext: true, user: joe, password_command: [/bin/echo, sesame], recipients: [joe@example.org]}}\n",
		filepath.Join(dir, "state"), l.Addr().(*net.TCPAddr).Port), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := Open(t.Context(), cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	account := cfg.Accounts["work"]
	s.begun.Add(maxWatched + 1)
	refusals := make(chan error, maxWatched+1)
	for range maxWatched {
		begun := sync.OnceFunc(s.begun.Done)
		go func() {
			refusals <- a.idle(t.Context(), account, &watched{folder: "INBOX"}, func(time.Duration) { begun() })
		}()
	}
	s.begun.Done()
	_, err = a.Plan(account, PassOptions{}).Dial(t.Context())
	refusals <- err
	for range maxWatched + 1 {
		var refused *RefusedError
		if err := <-refusals; !errors.As(err, &refused) || fetch.KindOf(err) != fetch.Auth {
			t.Errorf("%v", err)
		}
	}
	if n := s.logins.Load(); n != 1 {
		t.Errorf("the server heard %d logins, want one", n)
	}
	// A person who asks for a login gets one.
	if _, err = a.Plan(account, PassOptions{Now: true}).Dial(t.Context()); fetch.KindOf(err) != fetch.Auth || s.logins.Load() != 2 {
		t.Errorf("%v after %d logins, want another", err, s.logins.Load())
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestPassLogsInBeforeWatchers: a pass waits for the login that is under way, and not for the watchers that stand in line. Who has to
// leave gives its place away, and another account has its own line.
func TestPassLogsInBeforeWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l logins
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		enter := func(ctx context.Context, account, name string, isWatcher bool) {
			all.Go(func() {
				leave, err := l.enter(ctx, account, isWatcher)
				if err != nil {
					return
				}
				defer leave()
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			})
			synctest.Wait()
		}
		gone, leave := context.WithCancel(t.Context())
		enter(t.Context(), "work", "first", true)
		enter(gone, "work", "gone", true)
		enter(t.Context(), "work", "second", true)
		enter(t.Context(), "work", "pass", false)
		enter(t.Context(), "home", "other", true)
		leave()
		all.Wait()
		if got := strings.Join(order, " "); got != "first other pass second" && got != "other first pass second" {
			t.Errorf("they logged in in this order: %s", got)
		}
	})
}
