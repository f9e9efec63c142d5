package postgres

import (
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestSuspendedNode: a process that was stopped for longer than its lease finds that over before it sends a dot, without asking anybody, and has
// lost all its leases at the next renewal; then it can take others, under new epochs.
func TestSuspendedNode(t *testing.T) {
	url := postgrestest.New(t)
	l, err := Open(t.Context(), Options{URL: url, Holder: "one"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	unlock, err := l.Lock("work")
	if err != nil {
		t.Fatal(err)
	}
	mayEnd, node, epoch := l.MayEnd("work"), l.leases.node, l.leases.epoch("work")
	if err := mayEnd(); err != nil {
		t.Errorf("while it lasts: %v", err)
	}
	slept := time.Duration(0)
	l.leases.mu.Lock()
	l.now = func() time.Duration { return boottime() + slept }
	slept = leaseTerm
	l.leases.mu.Unlock()
	if err := mayEnd(); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("after a suspend: %v", err)
	}
	if alive, err := l.renew(node); !alive || err != nil {
		t.Errorf("nobody has taken anything: alive %v, %v", alive, err)
	}
	if err := mayEnd(); err != nil {
		t.Errorf("after a renewal in time: %v", err)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.node SET expires = clock_timestamp()")
	if alive, err := l.renew(node); alive || err != nil {
		t.Errorf("its lease is over: alive %v, %v", alive, err)
	}
	l.lose()
	if err := mayEnd(); ledger.KindOf(err) != ledger.Fenced || l.Losses() != 1 {
		t.Errorf("after its end: %v, %d losses", err, l.Losses())
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if _, err := l.Lock("work"); err != nil || l.leases.epoch("work") <= epoch {
		t.Errorf("anew: %v, epoch %d after %d", err, l.leases.epoch("work"), epoch)
	}
	if err := mayEnd(); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("the pass before, under the new lease: %v", err)
	}
}
