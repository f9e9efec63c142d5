package ledger

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// besides opens a ledger, and the same database as another process does. SQLite waits for that by a clock that no
// test can move, so that it is told to wait for nothing here.
func besides(t *testing.T, dir string) (l *Ledger, other *sql.DB) {
	t.Helper()
	l, err := Open(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.writer.tx.conn.ExecContext(t.Context(), "PRAGMA busy_timeout = 0"); err != nil {
		t.Fatal(err)
	}
	return l, must[*sql.DB](t)(connectWriter(filepath.Join(dir, fileName)))
}

// execute has the other process do something.
func execute(t *testing.T, other *sql.DB, statement string) {
	t.Helper()
	if _, err := other.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// TestVerdictWaitsForAnotherProcess: what an MTA has taken is recorded once another process lets go of the database,
// as one that adopts a large mailbox does after a while. If that takes too long it is said that the ledger is slow,
// and not that the account is another's, and what comes later is recorded.
func TestVerdictWaitsForAnotherProcess(t *testing.T) {
	for name, c := range map[string]struct {
		held time.Duration
		kind Kind // of the error
		left int
	}{
		"for less than a minute": {held: 55 * time.Second, left: 2},
		"for longer":             {held: 2 * time.Minute, kind: Slow, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l, other := besides(t, dir)
				defer l.Close()
				defer other.Close()
				execute(t, other, "BEGIN IMMEDIATE")
				verdict := l.BeginJudged(t.Context(), record("1", Delivered), nil, Judgement{Target: "mta", Client: "203.0.113.1", Taken: true})
				time.Sleep(c.held)
				execute(t, other, "ROLLBACK")
				if err := verdict.Wait(); KindOf(err) != c.kind {
					t.Errorf("the verdict: %v, want Kind %v", err, c.kind)
				}
				put(t, l, record("2", Delivered))
				if got := list(t, l, Filter{}); len(got) != c.left {
					t.Errorf("the ledger holds %v, want %d records", got, c.left)
				}
			})
		})
	}
}

// TestCloseWaitsForNoOtherProcess: a ledger that is closed does not wait until another process lets go of the database.
func TestCloseWaitsForNoOtherProcess(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, other := besides(t, dir)
		defer other.Close()
		execute(t, other, "BEGIN IMMEDIATE")
		verdict := l.BeginJudged(t.Context(), record("1", Delivered), nil, Judgement{})
		time.Sleep(time.Second)
		began := time.Now()
		if err := l.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("Close: %v, after %v", err, time.Since(began))
		}
		if err := verdict.Wait(); KindOf(err) != Slow {
			t.Errorf("the verdict: %v, want Kind slow", err)
		}
	})
}
