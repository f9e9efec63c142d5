package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
)

// refusing is a world of two accounts, each with a message: the upstream of work counts the logins, and refuses them while
// it is closed. That of home lets everybody in, and answers nothing while it is busy.
type refusing struct {
	dir, config string
	closed      atomic.Bool
	logins      atomic.Int64
	busy        sync.Mutex
	mta         *injecttest.Server
	// sessions are those of work: the last login of a program that was ended may be counted after it.
	sessions sync.WaitGroup
}

func newRefusing(t *testing.T, protocol, level string) *refusing {
	t.Helper()
	w := &refusing{dir: t.TempDir(), mta: injecttest.New(injecttest.Options{})}
	t.Cleanup(func() {
		if err := w.mta.Close(); err != nil {
			t.Error(err)
		}
	})
	w.closed.Store(true)
	serve := func(sessions *sync.WaitGroup, reply func(verb, arg string) (string, bool)) string {
		store := fakeserver.NewStore()
		store.Add("INBOX", scriptMail(1))
		s := (&fakeserver.IMAP{Store: store, User: "u", Password: "p", Reply: reply}).Serve
		if protocol == "pop3" {
			s = (&fakeserver.POP3{Store: store, User: "u", Password: "p", Reply: reply}).Serve
		}
		return listen(t, func(conn net.Conn) {
			sessions.Add(1)
			defer sessions.Done()
			s(conn)
		})
	}
	work := serve(&w.sessions, func(verb, _ string) (string, bool) {
		switch verb {
		case "LOGIN", "AUTHENTICATE":
			w.logins.Add(1)
			return "%T NO [AUTHENTICATIONFAILED] who are you\r\n", w.closed.Load()
		case "PASS", "AUTH":
			w.logins.Add(1)
			return "-ERR [AUTH] who are you\r\n", w.closed.Load()
		}
		return "", false
	})
	home := serve(&sync.WaitGroup{}, func(string, string) (string, bool) {
		w.busy.Lock()
		defer w.busy.Unlock()
		return "", false
	})
	w.password(t)
	text := fmt.Sprintf("state_dir: %s\nlog: {level: %s}\ninject: {address: %q}\n", filepath.Join(w.dir, "state"), level, listen(t, w.mta.Serve)) +
		fmt.Sprintf("defaults: {protocol: %s, tls: none, allow_plaintext: true, user: u, password_file: %s, recipients: [joe@example.org], mx: [mx.example.net]}\n",
			protocol, filepath.Join(w.dir, "password")) + "accounts:\n"
	for name, address := range map[string]string{"work": work, "home": home} {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("  %s: {host: %q, port: %s}\n", name, host, port)
	}
	w.config = filepath.Join(w.dir, "truehop.yaml")
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// password writes the password file anew.
func (w *refusing) password(t *testing.T) {
	t.Helper()
	fresh := filepath.Join(w.dir, "password.new")
	if err := os.WriteFile(fresh, []byte("p\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(w.dir, "password")); err != nil {
		t.Fatal(err)
	}
}

// must runs a command and wants an exit code, and that the upstream of work saw logins, or none.
func (w *refusing) must(t *testing.T, code int, logsIn bool, args ...string) *process {
	t.Helper()
	before := w.logins.Load()
	p := must(t, code, append(args, "--config", w.config)...)
	if got := w.logins.Load() > before; got != logsIn {
		t.Fatalf("truehop %v logged in: %v, want %v\n%s", args, got, logsIn, &p.stderr)
	}
	return p
}

// TestRunDoesNotRepeatARefusedLogin: ten runs of cron log in once, and only the account that is refused waits. What may have
// mended it ends the wait.
func TestRunDoesNotRepeatARefusedLogin(t *testing.T) {
	for _, protocol := range []string{"imap", "pop3"} {
		t.Run(protocol, func(t *testing.T) {
			w := newRefusing(t, protocol, "info")
			said := w.must(t, exitCredentials, true, "run").stderr.String()
			for _, want := range []string{`msg="pass failed"`, "who are you", "tried again at ", "truehop check work"} {
				if !strings.Contains(said, want) {
					t.Errorf("the log has no %q:\n%s", want, said)
				}
			}
			if n := len(w.mta.Messages()); n != 1 {
				t.Errorf("%d messages came of the other account", n)
			}
			said = ""
			for range 9 {
				said += w.must(t, exitCredentials, false, "run").stderr.String()
			}
			if said != "" { // cron would mail it a second time
				t.Errorf("nine runs say\n%s", said)
			}
			w.must(t, exitOK, false, "run", "home")
			w.must(t, exitCredentials, false, "run", "--dry-run", "work")
			if text := w.must(t, exitCredentials, false, "status", "work").stdout.String(); !strings.Contains(text, "login refused, 1 in a row") || !strings.Contains(text, "tried again at ") {
				t.Errorf("status says\n%s", text)
			}
			if text := w.must(t, exitCredentials, false, "status", "--json", "work").stdout.String(); !strings.Contains(text, `"login_refused":{"times":1,"last":"`) {
				t.Errorf("status says\n%s", text)
			}
			if text := w.must(t, exitCredentials, true, "run", "--now", "work").stderr.String(); !strings.Contains(text, "login refused 2 times in a row") {
				t.Errorf("run --now says\n%s", text)
			}
			w.must(t, exitCredentials, true, "check", "work")
			w.must(t, exitCredentials, false, "run", "work")
			w.password(t)
			if text := w.must(t, exitCredentials, true, "run", "work").stderr.String(); strings.Contains(text, "in a row") || !strings.Contains(text, `msg="pass failed"`) {
				t.Errorf("with another password it says\n%s", text)
			}
			w.closed.Store(false)
			w.must(t, exitCredentials, false, "run", "work")
			w.must(t, exitOK, true, "check", "work")
			w.must(t, exitOK, true, "run", "work")
			if n := len(w.mta.Messages()); n != 2 {
				t.Errorf("%d messages came, want 2", n)
			}
			if text := w.must(t, exitOK, false, "status", "--json", "work").stdout.String(); !strings.Contains(text, `"login_refused":null`) {
				t.Errorf("status says\n%s", text)
			}
		})
	}
}

// TestServeDoesNotRepeatARefusedLoginAfterARestart: a service that is started again and again waits as run does, with its
// watchers. The other account is slow: until the last service its passes are cut short, and its message stays upstream.
func TestServeDoesNotRepeatARefusedLoginAfterARestart(t *testing.T) {
	w := newRefusing(t, "imap", "debug")
	w.busy.Lock()
	free := sync.OnceFunc(w.busy.Unlock)
	defer free()
	serve := func(until string) {
		t.Helper()
		p := command(t, limited(t, 5*time.Minute), "serve", "--config", w.config)
		p.Cmd.Stderr = nil
		stderr, err := p.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.start(t)
		lines, said := bufio.NewScanner(stderr), ""
		for found := false; !found; {
			if !lines.Scan() {
				t.Fatalf("it ended without %s:\n%s", until, said)
			}
			said += lines.Text() + "\n"
			found = strings.Contains(lines.Text(), until)
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			said += lines.Text() + "\n"
		}
		if code := p.wait(t); code != exitOK {
			t.Errorf("it ended with %d:\n%s", code, said)
		}
		w.sessions.Wait()
	}
	serve("tried again at ") // said by the pass, or where a watcher was first, of it
	before := w.logins.Load()
	if before == 0 {
		t.Fatal("nobody logged in")
	}
	serve(`msg="login waits" account=work`)
	w.must(t, exitCredentials, false, "run", "work") // it shares the record
	serve(`msg="login waits" account=work`)
	if after := w.logins.Load(); after != before {
		t.Errorf("%d logins more after a restart", after-before)
	}
	w.closed.Store(false)
	w.password(t)
	serve("msg=pass account=work")
	if n := len(w.mta.Messages()); n != 1 {
		t.Errorf("%d messages came of the account that was refused, want 1", n)
	}
	free()
	serve("msg=pass account=home")
	if n := len(w.mta.Messages()); n != 2 {
		t.Errorf("%d messages came, want 2: what a signal cut short comes with the next service", n)
	}
}

// TestServeLeavesRefusedLoginsToTheLedger: the clock goes on with passes over an account that is refused, and the first after
// a change logs in. Where the password cannot be read nothing is recorded, and the clock itself backs off, for minutes.
func TestServeLeavesRefusedLoginsToTheLedger(t *testing.T) {
	w := newRefusing(t, "pop3", "error")
	cfg, err := config.Load(w.config, configOptions())
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), cfg, app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	loop := serviceOf(cfg, a, ui.NewLog(io.Discard, cfg.Log, false)).loop(t.Context())
	pass := func(name string, logsIn bool) {
		t.Helper()
		before := w.logins.Load()
		if err := loop.Pass(t.Context(), "work"); err != nil {
			t.Errorf("%s: the clock backs off: %v", name, err)
		}
		if got := w.logins.Load() > before; got != logsIn {
			t.Errorf("%s: logged in: %v, want %v", name, got, logsIn)
		}
	}
	pass("the first", true)
	pass("the second", false)
	w.password(t)
	pass("with another password", true)
	pass("after it", false)
	w.closed.Store(false)
	w.password(t)
	pass("with the right password", true)
	pass("the next", true)
	if err := os.Remove(filepath.Join(w.dir, "password")); err != nil {
		t.Fatal(err)
	}
	if err := loop.Pass(t.Context(), "work"); err == nil || loop.Hard(err) || loop.Ours(err) {
		t.Errorf("without a password the clock does not back off as for an upstream that is away: %v", err)
	}
	for _, c := range []struct {
		err        error
		hard, ours bool
	}{
		{&fetch.Error{Kind: fetch.Auth}, true, false},
		{errors.Join(&fetch.Error{Kind: fetch.Auth}, &ledger.Error{Kind: ledger.Full}), true, false},
		{&ledger.Error{Kind: ledger.Full}, false, false},
		{&ledger.Error{Kind: ledger.Busy}, false, false},
		{&ledger.Error{Kind: ledger.Away}, false, true},
		{&ledger.Error{Kind: ledger.Slow}, false, true},
		{&ledger.Error{Kind: ledger.Fenced}, false, true},
		{&fetch.Error{Kind: fetch.Unreachable}, false, false},
		{&inject.Error{Kind: inject.Auth}, false, false},
	} {
		if hard, ours := loop.Hard(c.err), loop.Ours(c.err); hard != c.hard || ours != c.ours {
			t.Errorf("%v is hard: %v, ours: %v; want %v, %v", c.err, hard, ours, c.hard, c.ours)
		}
	}
}
