package main

import (
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
)

// TestRunKeepsToPasses: run works on as many accounts at a time as passes says, and of one host as passes_per_host says, and no more.
func TestRunKeepsToPasses(t *testing.T) {
	for _, c := range []struct{ passes, perHost, hosts, want int }{{1, 4, 1, 1}, {3, 4, 1, 3}, {64, 2, 1, 2}, {64, 2, 2, 4}, {3, 2, 2, 3}} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			text := fmt.Sprintf("state_dir: %s\npasses: %d\npasses_per_host: %d\ndefaults: {password_file: %s, recipients: [joe@example.org]}\naccounts:\n", dir, c.passes, c.perHost, filepath.Join(dir, "none"))
			for n := range 5 {
				text += fmt.Sprintf("  a%d: {user: u%d, host: host%d.example.org}\n", n, n, n%c.hosts)
			}
			cfg, err := config.Parse("truehop.yaml", []byte(text), configOptions())
			if err != nil {
				t.Fatal(err)
			}
			var begun atomic.Int32
			proceed := make(chan bool)
			a, err := app.Open(t.Context(), cfg, app.Options{Now: func() time.Time {
				begun.Add(1)
				<-proceed
				return time.Now()
			}})
			if err != nil {
				t.Fatal(err)
			}
			accounts, err := choose(cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan int)
			go func() {
				done <- passes(t.Context(), a, schedule.NewSlots(cfg.Passes, cfg.PassesPerHost, schedule.Patience), accounts, func(string) app.PassOptions { return app.PassOptions{DryRun: true} }, ui.NewLog(io.Discard, cfg.Log, false), false)
			}()
			synctest.Wait()
			if got := int(begun.Load()); got != c.want {
				t.Errorf("%+v: %d passes have begun", c, got)
			}
			close(proceed)
			if code := <-done; code != exitCredentials {
				t.Errorf("exit code %d, want that of a password file which is not there", code)
			}
			if err := a.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
