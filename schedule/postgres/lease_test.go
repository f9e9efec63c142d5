package postgres_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// openNode opens the record as a node of this name.
func openNode(t *testing.T, url, name string) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(t.Context(), postgres.Options{URL: url, Holder: name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// bury has the leases of a node be over, as the database sees it.
func bury(t *testing.T, url, name string, since time.Duration) {
	t.Helper()
	postgrestest.Exec(t, url, "UPDATE truehop.node SET expires = clock_timestamp() - $2::interval WHERE name = $1", name, since)
}

// take takes leases and returns the accounts in order.
func take(t *testing.T, l *postgres.Ledger, n int, but ...string) []string {
	t.Helper()
	taken, err := l.Take(t.Context(), n, but)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, one := range taken {
		names = append(names, one.Account)
	}
	slices.Sort(names)
	return names
}

func serve(t *testing.T, l *postgres.Ledger, accounts ...string) {
	t.Helper()
	if err := l.Serve(t.Context(), accounts); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseOfADeadNode: the leases of a node that was not renewed are another's to take; what it held at its dot waits for the rest of the time in
// which that dot could arrive, and one that was handed back does not.
func TestLeaseOfADeadNode(t *testing.T) {
	url := postgrestest.New(t)
	dead, next := openNode(t, url, "dead"), openNode(t, url, "next")
	unlock := lock(t, dead, "handed back")
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	lock(t, dead, "lost")
	mayEnd := dead.MayEnd("lost")
	if err := mayEnd(); err != nil {
		t.Errorf("a lease that lasts: %v", err)
	}
	if until := dead.SendingUntil("lost"); !until.IsZero() {
		t.Errorf("a first holder waits until %v", until)
	}
	bury(t, url, "dead", 3*time.Minute)
	lock(t, next, "handed back")
	lock(t, next, "lost")
	if until := next.SendingUntil("handed back"); !until.IsZero() {
		t.Errorf("after a lease that was handed back it waits until %v", until)
	}
	if left := time.Until(next.SendingUntil("lost")); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("after a lease that was lost 3 minutes ago it waits for %v, want what is left of 13 minutes", left)
	}
	if err := dead.Put(t.Context(), ledger.Record{Key: ledger.Key{Account: "lost"}, State: ledger.Sending}); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("the dead one's write: %v", err)
	}
	if err := next.Put(t.Context(), ledger.Record{Key: ledger.Key{Account: "lost"}, State: ledger.Sending}); err != nil {
		t.Error(err)
	}
}

// TestBuriedNodeWritesNothing: from the moment on at which a node is found dead its writes are refused, though nobody has taken its accounts yet.
func TestBuriedNodeWritesNothing(t *testing.T) {
	url := postgrestest.New(t)
	dead := openNode(t, url, "dead")
	lock(t, dead, "work")
	bury(t, url, "dead", time.Second)
	lock(t, openNode(t, url, "other"), "another")
	if err := dead.Put(t.Context(), record); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("its write: %v", err)
	}
}

// TestTakeIsExclusive: nodes that take at the same time share the accounts, those due first come first, and each is in one node.
func TestTakeIsExclusive(t *testing.T) {
	url := postgrestest.New(t)
	accounts := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"}
	var nodes []*postgres.Ledger
	for _, name := range []string{"one", "two", "three"} {
		l := openNode(t, url, name)
		serve(t, l, accounts...)
		nodes = append(nodes, l)
	}
	var mu sync.Mutex
	var all []string
	var group sync.WaitGroup
	for _, l := range nodes {
		group.Go(func() {
			s, err := l.Standing(t.Context())
			n, give := s.Quota()
			if err != nil || n != 3 || give != 0 || s.Nodes != 3 || s.Accounts != 9 {
				t.Errorf("standing %+v, %v: takes %d, gives %d", s, err, n, give)
			}
			taken, err := l.Take(t.Context(), n, nil)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, one := range taken {
				all = append(all, one.Account)
			}
		})
	}
	group.Wait()
	// Rows that another node has locked at the moment are skipped: the next look finds them.
	for _, l := range nodes {
		if s, err := l.Standing(t.Context()); err != nil {
			t.Error(err)
		} else if n, _ := s.Quota(); n > 0 {
			all = append(all, take(t, l, n)...)
		}
	}
	slices.Sort(all)
	if !slices.Equal(all, accounts) {
		t.Errorf("taken: %v", all)
	}
	for _, l := range nodes {
		if len(l.Held()) != 3 {
			t.Errorf("a node holds %v", l.Held())
		}
	}
}

// TestHandOver: what a node hands over is taken by another at once, with its due time, and without a wait; what is under way stays.
func TestHandOver(t *testing.T) {
	url := postgrestest.New(t)
	from, to := openNode(t, url, "from"), openNode(t, url, "to")
	serve(t, from, "idle", "working", "later")
	if got := take(t, from, 9); len(got) != 3 {
		t.Fatalf("taken: %v", got)
	}
	unlock := lock(t, from, "working")
	if _, err := from.Lock("working"); ledger.KindOf(err) != ledger.Busy {
		t.Errorf("a second pass: %v", err)
	}
	if idle := from.Leave([]string{"unknown", "working", "idle", "later"}, 1); !slices.Equal(idle, []string{"idle"}) {
		t.Errorf("idle: %v", idle)
	}
	if _, err := from.Lock("idle"); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("a pass over an account that leaves: %v", err)
	}
	due := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	if err := from.HandOver(t.Context(), map[string]time.Time{"idle": due, "working": due}); err != nil {
		t.Fatal(err)
	}
	serve(t, to, "idle", "working")
	taken, err := to.Take(t.Context(), 9, nil)
	if err != nil || len(taken) != 1 || taken[0].Account != "idle" || !taken[0].Due.Equal(due) || !to.SendingUntil("idle").IsZero() {
		t.Errorf("taken: %+v, %v, sending until %v", taken, err, to.SendingUntil("idle"))
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := from.HandOver(t.Context(), map[string]time.Time{"working": due}); err != nil {
		t.Fatal(err)
	}
	if got := take(t, to, 9, "working"); got != nil {
		t.Errorf("an account that it leaves out: %v", got)
	}
	if got := take(t, to, 9); !slices.Equal(got, []string{"working"}) {
		t.Errorf("taken: %v", got)
	}
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	if got := take(t, to, 9); !slices.Equal(got, []string{"later"}) || !to.SendingUntil("later").IsZero() {
		t.Errorf("after its end: %v", got)
	}
}

// TestLockAsksForTheLease: a command gets the account of a serving node that has no pass under way, and the name of the node otherwise.
func TestLockAsksForTheLease(t *testing.T) {
	url := postgrestest.New(t)
	server, command := openNode(t, url, "pid 1 on a.example"), openNode(t, url, "pid 2 on b.example")
	serve(t, server, "work")
	take(t, server, 1)
	unlock := lock(t, server, "work")
	lockAsking := func(answer func(asked []string)) error {
		got := make(chan error)
		go func() {
			back, err := command.Lock("work")
			if err == nil {
				err = back()
			}
			got <- err
		}()
		for answered := false; !answered; {
			s, err := server.Standing(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if answered = len(s.Asked) > 0; answered {
				answer(s.Asked)
			}
		}
		return <-got
	}
	err := lockAsking(func(asked []string) {
		if idle := server.Leave(asked, 1); len(idle) > 0 {
			t.Errorf("idle during a pass: %v", idle)
		}
		if err := server.Decline(t.Context(), asked); err != nil {
			t.Error(err)
		}
	})
	var busy *ledger.Error
	if ledger.KindOf(err) != ledger.Busy || !errors.As(err, &busy) || busy.Holder != "pid 1 on a.example" || busy.Hint() == "" {
		t.Errorf("during a pass: %v", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if err := lockAsking(func(asked []string) {
		server.Leave(asked, 1)
		if err := server.HandOver(t.Context(), map[string]time.Time{"work": time.Now()}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Errorf("between two passes: %v", err)
	}
	if _, err := server.Lock("work"); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("the server, which has handed over: %v", err)
	}
	if got := take(t, server, 1); !slices.Equal(got, []string{"work"}) || !server.SendingUntil("work").IsZero() {
		t.Errorf("the server takes %v back", got)
	}
}

// TestDrain: a node that is told so has no share and takes nothing, and the others share what it had; by the name of its process or machine.
func TestDrain(t *testing.T) {
	url := postgrestest.New(t)
	one, two, three := openNode(t, url, "pid 1 on a_b.example"), openNode(t, url, "pid 2 on aXb.example"), openNode(t, url, "pid 3 on c.example")
	for _, l := range []*postgres.Ledger{one, two, three} {
		serve(t, l, "w", "x", "y")
	}
	for node, want := range map[string][]string{"%": nil, "b.example": nil, "a_b.example": {"pid 1 on a_b.example"}, "pid 3 on c.example": {"pid 3 on c.example"}} {
		if got, err := two.Drain(t.Context(), node); err != nil || !slices.Equal(got, want) {
			t.Errorf("drain %s: %v, %v, want %v", node, got, err, want)
		}
	}
	if s, err := one.Standing(t.Context()); err != nil || !s.Draining || s.Nodes != 1 {
		t.Errorf("standing %+v, %v", s, err)
	}
	if got := take(t, one, 3); got != nil {
		t.Errorf("it takes %v", got)
	}
	s, err := two.Standing(t.Context())
	if n, _ := s.Quota(); err != nil || n != 3 {
		t.Errorf("the one that is left takes %d of %+v, %v", n, s, err)
	}
	nodes, err := two.Nodes(t.Context())
	if err != nil || len(nodes) != 3 || !nodes[0].Draining || nodes[1].Draining || !nodes[2].Draining {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
}

// TestUnserve: an account that leaves the configuration is taken by nobody.
func TestUnserve(t *testing.T) {
	l := openNode(t, postgrestest.New(t), "one")
	serve(t, l, "stays", "goes")
	if err := l.Unserve(t.Context(), []string{"goes"}); err != nil {
		t.Fatal(err)
	}
	if got := take(t, l, 9); !slices.Equal(got, []string{"stays"}) {
		t.Errorf("taken: %v", got)
	}
}

// TestOverdue: what nobody holds is counted once its pass has been due for a minute, unless nobody is to serve it.
func TestOverdue(t *testing.T) {
	l := openNode(t, postgrestest.New(t), "one")
	accounts := []string{"long", "now", "later", "unwanted", "held"}
	serve(t, l, accounts...)
	if taken := take(t, l, len(accounts)); len(taken) != len(accounts) {
		t.Fatalf("taken: %v", taken)
	}
	now := time.Now()
	due := map[string]time.Time{"long": now.Add(-2 * time.Minute), "now": now, "later": now.Add(time.Hour), "unwanted": now.Add(-time.Hour)}
	if err := l.HandOver(t.Context(), due); err != nil {
		t.Fatal(err)
	}
	if err := l.Unserve(t.Context(), []string{"unwanted"}); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Standing(t.Context()); err != nil || s.Overdue != 1 || s.Held != 1 {
		t.Errorf("standing %+v, %v; want one account overdue, and one held", s, err)
	}
}

// TestNoEpochPassesOnDuringAWrite: who takes an account over waits until the write under way has ended, and so sees it; other writes do not wait.
func TestNoEpochPassesOnDuringAWrite(t *testing.T) {
	url := postgrestest.New(t)
	lock(t, openNode(t, url, "holder"), "work")
	connect := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	writes, other := connect(), connect()
	const fence = "SELECT truehop.fence(ARRAY['work'], ARRAY(SELECT epoch FROM truehop.lease WHERE account = 'work'))"
	if _, err := writes.Exec(t.Context(), "BEGIN; "+fence); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "SET lock_timeout = '200ms'; "+fence); err != nil {
		t.Errorf("another write: %v", err)
	}
	const take = "UPDATE truehop.lease SET epoch = epoch + 1 WHERE account = 'work'"
	var waited *pgconn.PgError
	if _, err := other.Exec(t.Context(), take); !errors.As(err, &waited) || waited.Code != "55P03" {
		t.Errorf("the lease passes on during the write: %v", err)
	}
	if _, err := writes.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), take); err != nil {
		t.Errorf("after the write: %v", err)
	}
}

// TestHandedOverLeaseHasAnotherEpoch: what the holder before has still under way is refused, though the one who asked has not written yet.
func TestHandedOverLeaseHasAnotherEpoch(t *testing.T) {
	url := postgrestest.New(t)
	from, asks := openNode(t, url, "from"), openNode(t, url, "asks")
	serve(t, from, "work")
	take(t, from, 1)
	epoch := func() int64 {
		return postgrestest.Ask[int64](t, url, "SELECT epoch FROM truehop.lease WHERE account = 'work'")
	}
	before := epoch()
	lock(t, asks, "another") // makes it a node
	postgrestest.Exec(t, url, "UPDATE truehop.lease SET asked = (SELECT id FROM truehop.node WHERE name = 'asks') WHERE account = 'work'")
	if idle := from.Leave([]string{"work"}, 1); len(idle) != 1 {
		t.Fatalf("idle: %v", idle)
	}
	if err := from.HandOver(t.Context(), map[string]time.Time{"work": time.Now()}); err != nil {
		t.Fatal(err)
	}
	if after := epoch(); after <= before {
		t.Errorf("epoch %d after %d", after, before)
	}
}

// TestFailoverBehindTheLastSteps: after a failover to a standby that had not seen a lease being taken, another node takes it as well. It does not come
// to the same epoch, so that the first one writes nothing more.
func TestFailoverBehindTheLastSteps(t *testing.T) {
	url := postgrestest.New(t)
	first, second := openNode(t, url, "first"), openNode(t, url, "second")
	serve(t, first, "work")
	before := postgrestest.Ask[int64](t, url, "SELECT epoch FROM truehop.lease WHERE account = 'work'")
	if got := take(t, first, 1); len(got) != 1 {
		t.Fatalf("taken: %v", got)
	}
	record := ledger.Record{Key: ledger.Key{Account: "work", Folder: "INBOX", Validity: 1, UID: "1"}, State: ledger.Sending}
	if err := first.Put(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.lease SET node = NULL, epoch = $1, expires = '-infinity' WHERE account = 'work'", before)
	if got := take(t, second, 1); len(got) != 1 {
		t.Fatalf("taken: %v", got)
	}
	if err := first.Put(t.Context(), record); err == nil {
		t.Error("the first one still writes")
	}
	if err := second.Put(t.Context(), record); err != nil {
		t.Errorf("the second one: %v", err)
	}
}

// TestDueAfterADeadHolder: what the holder before a dead one has told says nothing of the dead one's passes, of which the last may have been cut off.
func TestDueAfterADeadHolder(t *testing.T) {
	url := postgrestest.New(t)
	first, dies, last := openNode(t, url, "first"), openNode(t, url, "dies"), openNode(t, url, "last")
	serve(t, first, "work")
	take(t, first, 1)
	due := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	if err := first.HandOver(t.Context(), map[string]time.Time{"work": due}); err != nil {
		t.Fatal(err)
	}
	if taken, err := dies.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 || !taken[0].Due.Equal(due) {
		t.Fatalf("taken: %+v, %v; want it due at %v", taken, err, due)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.node SET expires = clock_timestamp() WHERE name = 'dies'")
	if taken, err := last.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 || !taken[0].Due.IsZero() {
		t.Errorf("taken: %+v, %v; want it due at once", taken, err)
	}
}

// TestTakeBeginsWithWhatIsDueFirst: of free accounts those come first whose passes are due first.
func TestTakeBeginsWithWhatIsDueFirst(t *testing.T) {
	l := openNode(t, postgrestest.New(t), "one")
	serve(t, l, "a", "b", "c")
	take(t, l, 3)
	now := time.Now()
	if err := l.HandOver(t.Context(), map[string]time.Time{"a": now.Add(3 * time.Hour), "b": now.Add(time.Hour), "c": now.Add(2 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"b", "c", "a"} {
		if got := take(t, l, 1); !slices.Equal(got, []string{want}) {
			t.Errorf("taken: %v, want %s", got, want)
		}
	}
}
