package main

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestWatcherThatWaitsForAPersonIsNotLate: while an account's credentials stand refused its watchers wait, for days perhaps, and the service is as
// well as before.
func TestWatcherThatWaitsForAPersonIsNotLate(t *testing.T) {
	log := ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true)
	s := newService(&config.Config{}, log)
	watching := s.options(t.Context(), log).Watching
	watching("work", "INBOX", time.Minute)
	in := time.Now().Add(24 * time.Hour)
	if late := s.pulse.late(in); len(late) != 1 {
		t.Errorf("late: %v, want a watcher that has said nothing for a day", late)
	}
	watching("work", "INBOX", 0)
	if late := s.pulse.late(in); len(late) != 0 {
		t.Errorf("late: %v", late)
	}
}

// TestServeEndsWhereItCannotBegin: where the address for metrics is taken the service says so and ends, though accounts are watched.
func TestServeEndsWhereItCannotBegin(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := newServiceTrial(t, injecttest.Options{}, "metrics: "+taken.Addr().String()+"\n")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "truehop.yaml", strings.Replace(string(text), "idle: false", "idle: true", 1))
	s.account(t, "work", nil)
	s.start(t, 0)
	s.hear()
	if code := s.wait(t); code != exitLater || !strings.Contains(s.said.String(), taken.Addr().String()) {
		t.Errorf("it ended with %d:\n%s", code, s.said.String())
	}
}

// TestReloadKeepsTheRecord: a reload that names another state directory is refused: what is recorded would be lost to it.
func TestReloadKeepsTheRecord(t *testing.T) {
	catchHangup(t)
	s := newServiceTrial(t, injecttest.Options{}, "")
	s.account(t, "work", nil)
	s.start(t, 0)
	s.await(t, "msg=serving")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, "truehop.yaml", strings.Replace(string(text), "/state\n", "/elsewhere\n", 1))
	s.signal(t, syscall.SIGHUP)
	s.await(t, `msg="not reloaded"`, "state_dir: cannot change while the service runs")
	s.stop(t)
}

// TestMessageThatComesSlowly: while octets of a message come its account's schedule lives, though nothing else happens for hours. Where none come
// any more it does not.
func TestMessageThatComesSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := ui.NewLog(io.Discard, config.Log{Format: config.TextFormat}, true)
		s := newService(&config.Config{}, log)
		arriving := s.options(t.Context(), log).Arriving
		arriving("gone", 1)
		s.pulse.beat(loopOf("work"), passSilence)
		for octets := range int64(10) {
			time.Sleep(passSilence)
			arriving("work", octets)
		}
		if late := s.pulse.late(time.Now()); len(late) != 0 {
			t.Errorf("late: %v", late)
		}
		time.Sleep(passSilence + 2*pulseGrace)
		if late := s.pulse.late(time.Now()); !slices.Equal(late, []string{loopOf("work")}) {
			t.Errorf("late: %v, want the pass that hears nothing any more", late)
		}
	})
}

// TestServeIsToldToEndBeforeItBegins: SIGTERM is the ordinary end also while a database that says nothing is waited for.
func TestServeIsToldToEndBeforeItBegins(t *testing.T) {
	dir, asked := t.TempDir(), make(chan struct{}, 10)
	database := fetchtest.Listen(t, func(conn net.Conn) {
		offer(asked)
		_, _ = io.Copy(io.Discard, conn)
	}).Addr()
	for key, lines := range map[string]string{"state": "", "accounts_from": "accounts_from: postgres\n"} {
		t.Run(key, func(t *testing.T) {
			path := filepath.Join(dir, key+".yaml")
			text := "state: postgres://u@" + database + "/x?sslmode=disable\n" + lines + "state_dir: " + filepath.Join(dir, "state") +
				"\naccounts: {work: {host: imap.invalid, user: joe, password_file: /p, recipients: [joe@example.org]}}\n"
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx := limited(t, 5*time.Minute) // where it does not end
			p := command(t, ctx, "serve", "--config", path)
			p.start(t)
			select {
			case <-asked:
			case <-ctx.Done():
				t.Fatal("the database is not asked")
			}
			if err := p.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(t); code != exitOK || p.stderr.Len() > 0 {
				t.Errorf("it ends with %d:\n%s", code, &p.stderr)
			}
		})
	}
}
