package ledger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// One transaction, and so one fsync, serves all who wait.
func TestGrouping(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		gate := make(chan struct{})
		var callers sync.WaitGroup
		callers.Go(func() {
			if err := l.write(t.Context(), true, func(*tx) error { <-gate; return nil }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		before := l.writer.commits // the one in hand is counted
		for i := range 100 {
			callers.Go(func() {
				if err := l.Put(t.Context(), record(strconv.Itoa(i), Delivered)); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		callers.Wait()
		if got := l.writer.commits - before; got != 1 {
			t.Errorf("100 waiting writes took %d transactions, want 1", got)
		}
		if got := list(t, l, Filter{}); len(got) != 100 {
			t.Errorf("%d records, want 100", len(got))
		}
	})
}

// Close ends the group in hand; those that still wait get an error.
func TestCloseWhileWriting(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		var inHand, waiting, closed error
		var callers sync.WaitGroup
		callers.Go(func() {
			inHand = l.write(t.Context(), true, func(tx *tx) error {
				<-gate
				r := record("1", Delivered)
				return tx.put(&r)
			})
		})
		synctest.Wait()
		callers.Go(func() { waiting = l.Put(t.Context(), record("2", Delivered)) })
		synctest.Wait()
		callers.Go(func() { closed = l.Close() })
		synctest.Wait()
		close(gate)
		callers.Wait()
		if inHand != nil || closed != nil || KindOf(waiting) != Closed {
			t.Errorf("the write in hand: %v, Close: %v, the waiting write: %v; want nil, nil, Kind closed", inHand, closed, waiting)
		}
	})
	if got := list(t, open(t, dir), Filter{}); len(got) != 1 || got[0].UID != "1" {
		t.Errorf("the ledger holds %v, want record 1", got)
	}
}

// A caller that gives up while it waits has written nothing.
func TestGivingUp(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		gate := make(chan struct{})
		var callers sync.WaitGroup
		callers.Go(func() { _ = l.write(t.Context(), true, func(*tx) error { <-gate; return nil }) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			if err := l.Put(ctx, record("1", Delivered)); !errors.Is(err, context.Canceled) {
				t.Errorf("Put = %v, want context.Canceled", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gate)
		callers.Wait()
		if got := list(t, l, Filter{}); len(got) != 0 {
			t.Errorf("the ledger holds %v, want nothing", got)
		}
	})
}

// After an error of the disk nothing more is claimed to be
// durable. A write that fails leaves nothing of its group.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	put(t, l, record("0", Delivered))
	err := l.write(t.Context(), true, func(tx *tx) error {
		r := record("1", Delivered)
		if err := tx.put(&r); err != nil {
			return err
		}
		return fmt.Errorf("fsync: %w", syscall.EIO)
	})
	if KindOf(err) != IO || !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v, want Kind io", err)
	}
	if err := l.Put(t.Context(), record("2", Delivered)); KindOf(err) != IO {
		t.Errorf("the next write: %v, want Kind io", err)
	}
	if got := list(t, l, Filter{}); len(got) != 1 {
		t.Errorf("the ledger holds %d records, want the one from before", len(got))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, dir), record("2", Delivered)) // opened again, it is checked again
}

// A rollback forgets the mailboxes that it took back.
func TestRollbackOfMailbox(t *testing.T) {
	l := open(t, t.TempDir())
	busy := &Error{Kind: Busy}
	r := record("1", Delivered)
	r.Folder = "new"
	err := l.writer.commit([]*write{{apply: func(tx *tx) error { return errors.Join(tx.put(&r), busy) }}})
	if !errors.Is(err, busy) {
		t.Fatal(err)
	}
	put(t, l, r)
	if got := list(t, l, Filter{}); len(got) != 1 || got[0].Folder != "new" {
		t.Errorf("the ledger holds %+v, want the record in folder new", got)
	}
}

// Durability rests on these settings, and no crash of a process shows that one is missing.
func TestPragmas(t *testing.T) {
	l := open(t, t.TempDir())
	for pragma, want := range map[string]string{
		"synchronous": "2", "journal_mode": "wal", "busy_timeout": "10000", "trusted_schema": "0", "temp_store": "2",
	} {
		var got string
		if err := l.writer.tx.conn.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s = %q, %v, want %s", pragma, got, err, want)
		}
	}
}

// Whatever upstreams and MTAs say comes back as it was, cut where it is too long.
func FuzzRecord(f *testing.F) {
	f.Add("uid", "a@example.org", "250 ok", int64(1), int64(1_700_000_000_000))
	f.Add("", "\x00", "\xff\xfe", int64(-1), int64(-5))
	f.Add("'; --", "\u202e", "%s%n", int64(1<<62), int64(1<<40))
	l := open(f, f.TempDir())
	f.Fuzz(func(t *testing.T, uid, sender, reply string, size, ms int64) {
		r := record("x", Refused)
		r.UID, r.Sender, r.Reply, r.Size = uid, sender, reply, size
		r.Next = fromMillis(ms % (1 << 45))
		err := l.Put(t.Context(), r)
		if len(uid) > maxUID {
			if KindOf(err) != Invalid {
				t.Fatalf("a UID of %d octets: %v, want Kind invalid", len(uid), err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Sender, r.Reply = cut(sender), cut(reply)
		briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), r.Account, r.Folder, r.Validity))
		if len(briefs) != 1 || len(briefs[uid]) != 1 {
			t.Fatalf("Briefs = %+v, want one record under %q", briefs, uid)
		}
		got := list(t, l, Filter{})
		if len(got) != 1 || !reflect.DeepEqual(got[0], r) {
			t.Fatalf("got %+v\nwant %+v", got, r)
		}
		if err := l.Remove(t.Context(), []Key{r.Key}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSequenceIsOneTransaction: of a sequence of records all are written, at once, or none.
func TestSequenceIsOneTransaction(t *testing.T) {
	l, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	sequence := func(bad int) func(func(Record) bool) {
		return func(yield func(Record) bool) {
			for i := range 1200 {
				r := record(strconv.Itoa(i), Adopted)
				if i == bad {
					r.Account = ""
				}
				if !yield(r) {
					return
				}
			}
		}
	}
	var invalid *Error
	if err := l.PutSeq(t.Context(), sequence(1100)); !errors.As(err, &invalid) || invalid.Kind != Invalid {
		t.Errorf("a record without an account: %v", err)
	}
	if got := list(t, l, Filter{}); len(got) != 0 {
		t.Errorf("%d records were written before it", len(got))
	}
	before := l.writer.commits
	if err := l.PutSeq(t.Context(), sequence(-1)); err != nil {
		t.Fatal(err)
	}
	if got := list(t, l, Filter{}); len(got) != 1200 || l.writer.commits-before != 1 {
		t.Errorf("%d records in %d transactions, want 1200 in one", len(got), l.writer.commits-before)
	}
	if err := l.PutSeq(t.Context(), func(func(Record) bool) {}); err != nil || l.writer.commits-before != 1 {
		t.Errorf("an empty sequence: %v, %d transactions", err, l.writer.commits-before)
	}
}

// A write that nobody waits for yet goes to the disk with those behind it, and never after them.
func TestWhatIsBegunIsDurableWithWhatFollows(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		gate := make(chan struct{})
		var callers sync.WaitGroup
		callers.Go(func() { _ = l.write(t.Context(), true, func(*tx) error { <-gate; return nil }) })
		synctest.Wait()
		before := l.writer.commits // the one in hand is counted
		verdict := l.BeginJudged(t.Context(), record("1", Delivered), nil, Judgement{Target: "mta", Client: "203.0.113.1", Taken: true})
		begun := false
		callers.Go(func() {
			err := l.write(t.Context(), false, func(tx *tx) error {
				var n int
				err := tx.conn.QueryRowContext(t.Context(), "SELECT count(*) FROM record WHERE state = 'delivered'").Scan(&n)
				begun = n == 1
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		close(gate)
		callers.Wait()
		if err := verdict.Wait(); err != nil || !begun || l.writer.commits-before != 1 {
			t.Errorf("the verdict: %v, seen by the write behind it: %v, in %d transactions; want it written first, in the same one", err, begun, l.writer.commits-before)
		}
	})
}

// TestVerdictWaitsForCompany: a verdict that nobody is kept waiting by goes to the disk with what is written next, and if nothing
// is, soon by itself. Who waits for one does so no longer than for any other write.
func TestVerdictWaitsForCompany(t *testing.T) {
	taken := Judgement{Target: "mta", Client: "203.0.113.1", Taken: true}
	for name, c := range map[string]struct {
		then    func(*Ledger, context.Context) error // nil for nothing
		wait    time.Duration
		commits int
	}{
		"nothing follows": {nil, patience, 1},
		"another verdict follows": {func(l *Ledger, ctx context.Context) error {
			return l.BeginJudged(ctx, record("2", Delivered), nil, taken).Wait()
		}, patience, 1},
		"the next message follows": {func(l *Ledger, ctx context.Context) error { return l.Replace(ctx, record("2", Sending), nil) }, time.Millisecond, 1},
		"somebody waits for it": {func(l *Ledger, ctx context.Context) error {
			return l.PutJudged(ctx, record("2", Delivered), nil, taken)
		}, time.Millisecond, 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				l, err := Open(context.Background(), dir)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				for range 3 { // the alarm is set anew each time
					before, began := l.writer.commits, time.Now()
					verdict := l.BeginJudged(t.Context(), record("1", Delivered), nil, taken)
					synctest.Wait()
					if len(verdict.w.done) > 0 {
						t.Error("it did not wait")
					}
					time.Sleep(time.Millisecond)
					if c.then != nil {
						if err := c.then(l, t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					if err := verdict.Wait(); err != nil {
						t.Fatal(err)
					}
					if waited, commits := time.Since(began), l.writer.commits-before; waited != c.wait || commits != c.commits {
						t.Errorf("it was durable after %v, in %d transactions; want %v, %d", waited, commits, c.wait, c.commits)
					}
				}
			})
		})
	}
}

// A write that was begun and not yet taken fails when the ledger is closed, and its Wait returns.
func TestCloseFailsWhatIsBegun(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(context.Background(), dir)
		if err != nil {
			t.Fatal(err)
		}
		gate := make(chan struct{})
		var callers sync.WaitGroup
		callers.Go(func() { _ = l.write(t.Context(), true, func(*tx) error { <-gate; return nil }) })
		synctest.Wait()
		verdict := l.BeginJudged(t.Context(), record("1", Delivered), nil, Judgement{})
		callers.Go(func() { _ = l.Close() })
		synctest.Wait()
		close(gate)
		callers.Wait()
		if err := verdict.Wait(); KindOf(err) != Closed {
			t.Errorf("Wait = %v, want Kind closed", err)
		}
		if err := l.BeginJudged(t.Context(), record("2", Delivered), nil, Judgement{}).Wait(); KindOf(err) != Closed {
			t.Errorf("behind Close: %v, want Kind closed", err)
		}
	})
}
