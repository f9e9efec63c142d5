package app

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestWakeSocket: a service is told which account to wake, in a state directory with a long name as well, and where the socket of a
// service that was killed is left over. Where no service runs, that is no error.
func TestWakeSocket(t *testing.T) {
	for name, dir := range map[string]string{"short": "s", "long": strings.Repeat("long/", 30)} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), dir)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			a := &App{current: setup{cfg: &config.Config{StateDir: dir}}}
			ask := func(account string, want bool) {
				t.Helper()
				if woken, err := a.Wake(t.Context(), account); err != nil || woken != want {
					t.Errorf("wake %s: %v, %v; want %v", account, woken, err, want)
				}
			}
			ask("work", false)
			for range 2 {
				s, err := ListenWake(dir)
				if err != nil {
					t.Fatal(err)
				}
				if info, err := os.Stat(filepath.Join(dir, wakeName)); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the socket is %v, %v; want one for its owner alone", info, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				asked, ended := make(chan string, 10), make(chan error, 1)
				go func() {
					ended <- s.Serve(ctx, func(account string) bool { asked <- account; return account == "work" })
				}()
				ask("work", true)
				ask("other", false)
				ask(strings.Repeat("x", 60), false)
				if got := []string{<-asked, <-asked}; got[0] != "work" || got[1] != "other" {
					t.Errorf("asked for %q", got)
				}
				if second, err := ListenWake(dir); err == nil {
					t.Error("a second service listens", second.close())
				}
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				ask("work", false)
				left(t, dir)
			}
		})
	}
}

// left leaves a socket behind, as a process does that is killed.
func left(t *testing.T, dir string) {
	t.Helper()
	path, end, err := shortPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(l.Close(), end()); err != nil {
		t.Fatal(err)
	}
}

// TestWakeSocketIsHostile: what is no request is dropped, and wakes nobody.
func TestWakeSocketIsHostile(t *testing.T) {
	dir := t.TempDir()
	s, err := ListenWake(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Serve(ctx, func(account string) bool { t.Errorf("%q was woken", account); return true })
	}()
	for _, line := range []string{"", "\n", "work\n", "WAKE work\n", "wake " + strings.Repeat("x", maxWake) + "\n"} {
		conn, err := net.Dial("unix", filepath.Join(dir, wakeName))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if n, _ := conn.Read(make([]byte, 1)); n > 0 {
			t.Errorf("%q got a reply", line)
		}
		_ = conn.Close()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
