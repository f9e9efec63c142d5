package app

import (
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestSkippedRowIsToldOnce: by a process that serves accounts with others, too, which has no lease on what is no account.
func TestSkippedRowIsToldOnce(t *testing.T) {
	url := postgrestest.New(t)
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	node := func() *App {
		l, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		if err := l.Serve(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		a := &App{ledger: l}
		a.current.opts.Now = func() time.Time { return now }
		return a
	}
	first, second := node(), node()
	row := config.SkippedRow{Name: "bad", Changed: now}
	for _, c := range []struct {
		when  string
		by    *App
		then  func()
		known bool
	}{
		{"at first", first, func() {}, false},
		{"once more, as after a restart", first, func() {}, true},
		{"by another node", second, func() {}, true},
		{"after the row has changed", second, func() { row.Changed = now.Add(time.Minute) }, false},
		{"a day later", first, func() { now = now.Add(25 * time.Hour) }, false},
	} {
		c.then()
		if got := c.by.TellSkipped(t.Context(), row); got.Known != c.known {
			t.Errorf("%s: it is known: %v, want %v", c.when, got.Known, c.known)
		}
	}
}
