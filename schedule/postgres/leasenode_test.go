package postgres

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	if held := l.Held(); len(held) != 0 {
		t.Errorf("after a suspend it holds %v, which may be another's", held)
	}
	if alive, err := l.renew(node); !alive || err != nil {
		t.Errorf("nobody has taken anything: alive %v, %v", alive, err)
	}
	if err := mayEnd(); err != nil {
		t.Errorf("after a renewal in time: %v", err)
	}
	if held := l.Held(); len(held) != 1 {
		t.Errorf("after a renewal in time it holds %v", held)
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

// TestLeaseThatIsLostBeforeTheReply: a lease that was taken for a node which is dead when the process gets to know of it does not last as those of
// the process's next node do.
func TestLeaseThatIsLostBeforeTheReply(t *testing.T) {
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t), Holder: "one"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Serve(t.Context(), []string{"work"}); err != nil {
		t.Fatal(err)
	}
	node, err := l.enrol(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.lose() // and another goroutine becomes the next node
	next, err := l.enrol(t.Context())
	if err != nil || next == node {
		t.Fatalf("node %d after %d, %v", next, node, err)
	}
	if l.leases.add("work", &holding{node: node, epoch: 1}) || len(l.Held()) != 0 {
		t.Errorf("the process holds %v", l.Held())
	}
	if err := l.MayEnd("work")(); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("a dot under it: %v", err)
	}
	if taken, err := l.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 || len(l.Held()) != 1 {
		t.Errorf("the next node takes %v, %v, and holds %v", taken, err, l.Held())
	}
}

// losing is a connection that has something happen once before it sends a question that holds some text.
type losing struct {
	net.Conn
	text   string
	happen func()
	armed  *atomic.Bool
}

func (c losing) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.text)) && c.armed.CompareAndSwap(true, false) {
		c.happen()
	}
	return c.Conn.Write(p)
}

// TestStandingOfALostNode: leases that are lost while their node asks how it stands do not count as handed back: what was at its dot
// is waited for.
func TestStandingOfALostNode(t *testing.T) {
	url := postgrestest.New(t)
	var l *Ledger
	var armed atomic.Bool
	l, err := Open(t.Context(), Options{URL: url, Holder: "lost", Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return losing{conn, "WHERE serves AND NOT draining", func() { l.lose() }, &armed}, err
	}})
	if err == nil {
		defer l.Close()
		err = l.Serve(t.Context(), []string{"work"})
	}
	if err != nil {
		t.Fatal(err)
	}
	if taken, err := l.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 {
		t.Fatalf("it takes %v, %v", taken, err)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.node SET expires = clock_timestamp() - interval '3 minutes'")
	armed.Store(true)
	if s, err := l.Standing(t.Context()); err != nil || armed.Load() || s.Held != 0 {
		t.Errorf("it stands as %+v, %v", s, err)
	}
	next, err := Open(t.Context(), Options{URL: url, Holder: "next"})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, err := next.Lock("work"); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(next.SendingUntil("work")); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("the next holder waits for %v, want what is left of 13 minutes", left)
	}
}

// TestStandingFreesWhatItDoesNotKnow: a lease that was taken without the reply having come is free again after the next look of a node that lives,
// and not by one whose own row is over.
func TestStandingFreesWhatItDoesNotKnow(t *testing.T) {
	for state, free := range map[string]bool{"clock_timestamp() + interval '1 minute'": true, "clock_timestamp() - interval '1 minute'": false} {
		url := postgrestest.New(t)
		l, err := Open(t.Context(), Options{URL: url, Holder: "one", Term: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.Serve(t.Context(), []string{"work"}); err != nil {
			t.Fatal(err)
		}
		postgrestest.Exec(t, url, `UPDATE truehop.lease SET node = (SELECT id FROM truehop.node), expires = 'infinity';
			UPDATE truehop.node SET expires = `+state)
		if s, err := l.Standing(t.Context()); err != nil || s.Held != 0 {
			t.Errorf("it stands as %+v, %v", s, err)
		}
		if got := postgrestest.Ask[bool](t, url, "SELECT node IS NULL FROM truehop.lease"); got != free {
			t.Errorf("of a node whose row lasts until %s: free %v", state, got)
		}
	}
}

// TestBurialSeesWhatTheNodeHasTaken, also where the role of the database works by snapshots unless told otherwise: a burial that had to wait for
// a node which takes a lease frees that lease.
func TestBurialSeesWhatTheNodeHasTaken(t *testing.T) {
	url := postgrestest.New(t)
	l, err := Open(t.Context(), Options{URL: url + "&options=-cdefault_transaction_isolation%3Drepeatable%5C%20read"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var level string
	if err := l.pool.QueryRow(t.Context(), "SHOW transaction_isolation").Scan(&level); err != nil || level != "read committed" {
		t.Errorf("transactions are %s, %v", level, err)
	}
	postgrestest.Exec(t, url, `INSERT INTO truehop.node (name, expires) VALUES ('dead', '-infinity');
		INSERT INTO truehop.lease (account, wanted) VALUES ('work', true)`)
	taking, err := l.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taking.Rollback(t.Context()) }()
	var node int64
	if err := taking.QueryRow(t.Context(), "SELECT id FROM truehop.node FOR SHARE").Scan(&node); err != nil {
		t.Fatal(err)
	}
	buried := make(chan error)
	go func() { buried <- l.exec(t.Context(), "SELECT truehop.bury()") }()
	for waits := false; !waits; {
		if err := l.pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").Scan(&waits); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := taking.Exec(t.Context(), "UPDATE truehop.lease SET node = $1, epoch = epoch + 1, expires = 'infinity'", node); err != nil {
		t.Fatal(err)
	}
	if err := taking.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-buried; err != nil {
		t.Error(err)
	}
	if held := postgrestest.Ask[bool](t, url, "SELECT bool_or(node IS NOT NULL) FROM truehop.lease"); held {
		t.Error("a dead node holds the account for ever")
	}
}

// TestWorkUnderALostLease: while a pass goes on whose lease was lost, its process does not take the account again: the writes of that pass, which
// knows nothing of what others did meanwhile, would count as those of the new lease.
func TestWorkUnderALostLease(t *testing.T) {
	url := postgrestest.New(t)
	for name, serves := range map[string]bool{"a service": true, "a command": false} {
		l, err := Open(t.Context(), Options{URL: url, Holder: name})
		if err != nil {
			t.Fatal(err)
		}
		if serves {
			err = l.Serve(t.Context(), []string{name})
		}
		if err == nil && serves {
			_, err = l.Take(t.Context(), 1, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		unlock, err := l.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		postgrestest.Exec(t, url, "UPDATE truehop.node SET expires = '-infinity'")
		l.lose()
		if serves {
			if taken, err := l.Take(t.Context(), 1, nil); err != nil || len(taken) != 0 {
				t.Errorf("%s takes %v, %v", name, taken, err)
			}
		}
		if _, err := l.Lock(name); err == nil {
			t.Errorf("%s begins anew", name)
		}
		sending := ledger.Record{Key: ledger.Key{Account: name, UID: "1"}, State: ledger.Sending}
		if err := l.Put(t.Context(), sending); ledger.KindOf(err) != ledger.Fenced {
			t.Errorf("%s writes: %v", name, err)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
		if serves {
			if taken, err := l.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 {
				t.Errorf("afterwards %s takes %v, %v", name, taken, err)
			}
		}
		if _, err := l.Lock(name); err != nil {
			t.Errorf("afterwards %s: %v", name, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestRenewalsFollowOneAnother: a renewal that failed is tried again soon, so that a lease outlives a database that is away for a moment;
// after one that went well the next is due in a third of the term.
func TestRenewalsFollowOneAnother(t *testing.T) {
	away := errors.New("away")
	for name, c := range map[string]struct {
		replies []error // of a renewal each, before the one that finds the leases over
		want    []time.Duration
	}{
		"all go well":     {[]error{nil, nil}, []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}},
		"one fails":       {[]error{nil, away, nil}, []time.Duration{10 * time.Second, 20 * time.Second, 22 * time.Second, 32 * time.Second}},
		"the first fails": {[]error{away, nil}, []time.Duration{10 * time.Second, 12 * time.Second, 22 * time.Second}},
		"several fail":    {[]error{away, away, away}, []time.Duration{10 * time.Second, 12 * time.Second, 14 * time.Second, 16 * time.Second}},
		"over at once":    {nil, []time.Duration{10 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var tried []time.Duration
				over := keep(make(chan struct{}), 30*time.Second, func() (alive bool, err error) {
					tried = append(tried, time.Since(began))
					if n := len(tried); n <= len(c.replies) {
						return true, c.replies[n-1]
					}
					return false, nil
				})
				if !over || !slices.Equal(tried, c.want) {
					t.Errorf("over %v, tried at %v, want %v", over, tried, c.want)
				}
			})
		})
	}
}

// TestRenewalsEndWithTheLedger: nothing is renewed, and nothing counts as lost, once the ledger is closed.
func TestRenewalsEndWithTheLedger(t *testing.T) {
	closed := make(chan struct{})
	close(closed)
	over := keep(closed, time.Hour, func() (bool, error) {
		t.Error("a renewal")
		return true, nil
	})
	if over {
		t.Error("leases count as lost")
	}
}

// TestRenewalWaitsForNobody: reads and writes may have all connections, for longer than a renewal may take.
func TestRenewalWaitsForNobody(t *testing.T) {
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t), Holder: "one", Connections: 1, Term: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	node, err := l.enrol(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	busy, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Release()
	if alive, err := l.renew(node); !alive || err != nil {
		t.Errorf("the renewal: alive %v, %v", alive, err)
	}
}

// TestRenewalWithoutRoomForItsConnection: a server that takes no further connection, as many being open as it allows, still has those that reads and
// writes go by.
func TestRenewalWithoutRoomForItsConnection(t *testing.T) {
	var full atomic.Bool
	l, err := Open(t.Context(), Options{URL: postgrestest.New(t), Holder: "one", Connections: 1, Term: time.Minute,
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if full.Load() {
				return nil, errors.New("too many connections")
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	full.Store(true)
	node, err := l.enrol(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if alive, err := l.renew(node); !alive || err != nil {
		t.Errorf("the renewal: alive %v, %v", alive, err)
	}
}
