package main

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestRunKeepsToPasses: run works on as many accounts at a time as passes says, and no more.
func TestRunKeepsToPasses(t *testing.T) {
	for _, passes := range []int{1, 3} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			text := fmt.Sprintf("state_dir: %s\npasses: %d\ndefaults: {host: localhost, password_file: %s, recipients: [joe@example.org]}\naccounts:\n", dir, passes, filepath.Join(dir, "none"))
			for n := range 5 {
				text += fmt.Sprintf("  a%d: {user: u%d}\n", n, n)
			}
			cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
			if err != nil {
				t.Fatal(err)
			}
			e, err := openEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			var begun atomic.Int32
			proceed := make(chan bool)
			e.now = func() time.Time {
				begun.Add(1)
				<-proceed
				return time.Now()
			}
			accounts, err := choose(cfg, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, done := &program{stdout: io.Discard, stderr: io.Discard}, make(chan int)
			go func() {
				done <- p.passes(t.Context(), e, accounts, func(string) passOptions { return passOptions{dryRun: true} })
			}()
			synctest.Wait()
			if got := int(begun.Load()); got != passes {
				t.Errorf("%d passes have begun, want %d", got, passes)
			}
			close(proceed)
			if code := <-done; code != exitCredentials {
				t.Errorf("exit code %d, want that of a password file which is not there", code)
			}
			if err := e.close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
