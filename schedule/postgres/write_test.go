package postgres

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// statement is a write of one statement.
func statement(sql string, verdict bool) *write {
	return &write{verdict: verdict, done: make(chan error, 1), queue: func(b *batch) error {
		b.exec(sql)
		return nil
	}}
}

// TestOneWriteThatFailsStopsNoOther: writes that share a transaction with one that the database refuses are made all the same.
func TestOneWriteThatFailsStopsNoOther(t *testing.T) {
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	before, refused, after := statement("SELECT 1", false), statement("SELECT 1/0", false), statement("SELECT 1", false)
	l.writer.serve([]*write{before, refused, after})
	if err := errors.Join(<-before.done, <-after.done); err != nil {
		t.Error(err)
	}
	if err := <-refused.done; ledger.KindOf(err) != ledger.IO {
		t.Errorf("the one that the database refuses: %v", err)
	}
}

// TestVerdictsWaitLongerForADatabaseThatIsAway: what an MTA made of a message is written when the database is back, for long after other
// writes have failed.
func TestVerdictsWaitLongerForADatabaseThatIsAway(t *testing.T) {
	var away atomic.Bool
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t), Patience: time.Millisecond, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away.Load() {
			return nil, errors.New("away")
		}
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	away.Store(true)
	l.pool.Reset()
	verdict, other := statement("SELECT 1", true), statement("SELECT 1", false)
	go l.writer.serve([]*write{verdict, other})
	if err := <-other.done; ledger.KindOf(err) != ledger.Away {
		t.Errorf("another write: %v", err)
	}
	select {
	case err := <-verdict.done:
		t.Fatalf("the verdict waits no longer: %v", err)
	default:
	}
	away.Store(false)
	if err := <-verdict.done; err != nil {
		t.Errorf("the verdict, when the database is back: %v", err)
	}
}

// TestGroupWaitsUntilABrokenSessionHasEnded: a session that broke under a group, and that the server has been told to end, may still be about to
// commit: the group is not sent again before it has gone.
func TestGroupWaitsUntilABrokenSessionHasEnded(t *testing.T) {
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	broke, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer broke.Release()
	other, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	w := &writer{broken: []session{broke.Conn().PgConn().CustomData()[sessionKey].(session)}}
	if err := w.endBroken(t.Context(), other); !errors.Is(err, errStillThere) {
		t.Errorf("while the server has it: %v", err)
	}
	for err = errStillThere; errors.Is(err, errStillThere); {
		err = w.endBroken(t.Context(), other)
	}
	if err != nil || len(w.broken) > 0 {
		t.Errorf("when it has gone: %v, %d left", err, len(w.broken))
	}
}
