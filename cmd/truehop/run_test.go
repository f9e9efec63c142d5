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

// TestRunKeepsToPasses: run works on as many accounts at a time as passes says, and no more.
func TestRunKeepsToPasses(t *testing.T) {
	for _, parallel := range []int{1, 3} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			text := fmt.Sprintf("state_dir: %s\npasses: %d\ndefaults: {host: localhost, password_file: %s, recipients: [joe@example.org]}\naccounts:\n", dir, parallel, filepath.Join(dir, "none"))
			for n := range 5 {
				text += fmt.Sprintf("  a%d: {user: u%d}\n", n, n)
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
			if got := int(begun.Load()); got != parallel {
				t.Errorf("%d passes have begun, want %d", got, parallel)
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
