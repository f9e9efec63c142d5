package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestConnectionsAreBounded: however many ask and write at once, a process has no more connections than its options say, and the one by which it renews
// its leases. All of them have their turn.
func TestConnectionsAreBounded(t *testing.T) {
	const most, callers = 3, 20
	url := postgrestest.New(t)
	l, err := postgres.Open(t.Context(), postgres.Options{URL: url, Connections: most})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	lock(t, l, "work")
	ctx := t.Context()
	other, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(ctx)
	hold, err := other.Begin(ctx) // nobody's question is answered until it ends
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hold.Exec(ctx, "LOCK TABLE truehop.record IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() {
			r := record
			r.UID = fmt.Sprint(n)
			if err := l.Put(ctx, r); err != nil {
				t.Errorf("write %d: %v", n, err)
			}
		})
		all.Go(func() {
			if _, err := l.List(ctx, ledger.Filter{Account: "work"}); err != nil {
				t.Errorf("question %d: %v", n, err)
			}
		})
	}
	sessions := "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'truehop' AND datname = current_database()"
	until := time.Now().Add(30 * time.Second)
	for postgrestest.Ask[int](t, url, sessions+" AND wait_event_type = 'Lock'") < most && time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond) // the server's: nothing tells when a session waits
	}
	if waiting := postgrestest.Ask[int](t, url, sessions+" AND wait_event_type = 'Lock'"); waiting != most {
		t.Errorf("%d sessions wait for the lock, want all of %d", waiting, most)
	}
	if got := postgrestest.Ask[int](t, url, sessions); got > most+1 {
		t.Errorf("%d callers have %d connections, want at most %d", 2*callers, got, most+1)
	}
	if err := hold.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	if counts, err := l.Counts(ctx, "work"); err != nil || counts[record.State] != callers {
		t.Errorf("%v are written, %v; want %d", counts, err, callers)
	}
}
