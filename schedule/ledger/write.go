package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxGroup bounds how many callers one transaction serves.
	maxGroup = 256
	// patience is how long a write that nobody is kept waiting by waits for others, to go to the disk with them: by then the
	// session that began it has come to its next message, if there is one.
	patience = 10 * time.Millisecond
	// busyPatience is how long a group is tried again while another process has the database, as one that adopts a
	// large mailbox: less than the 90 seconds that a unit gives a service to end. busyPause is between two tries;
	// each waits for 10 seconds itself.
	busyPatience = time.Minute
	busyPause    = 100 * time.Millisecond
)

// write is one caller's change on its way to the writer.
type write struct {
	apply func(*tx) error
	// mayUseReserve is for the results of attempts.
	mayUseReserve bool
	// patient says that it may wait for company.
	patient bool
	done    chan error
}

// writer owns the only writing connection. Its goroutine, run, ends by stop.
type writer struct {
	path    string
	db      *sql.DB
	tx      *tx
	reserve *reserve
	// wake has something when writes wait.
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	// broken is the error after which nothing is written any more.
	broken error
	// commits counts transactions; tests compare it with the number of writes.
	commits int

	mu      sync.Mutex
	waiting []*write    // in the order in which they came
	alarm   *time.Timer // ends the patience of those that wait; nil before the first
	closed  bool
}

// Pending is a write on its way to the disk. Writes are applied in the order in which they were begun: none is durable
// before all that were begun earlier are, or have failed.
type Pending struct {
	w   *write
	err error // why it was never begun
}

// Wait waits until the write is durable. It must be called exactly once.
func (p Pending) Wait() error {
	if p.w == nil {
		return p.err
	}
	return <-p.w.done
}

// begin hands a change to the writer. Once it is begun, ctx no longer matters.
func (l *Ledger) begin(ctx context.Context, each write) Pending {
	if l.writer == nil {
		return Pending{err: &Error{Kind: Permission, Op: "is open for reading only", Path: l.dir}}
	}
	if err := ctx.Err(); err != nil {
		return Pending{err: err}
	}
	each.done = make(chan error, 1)
	if !l.writer.enqueue(&each) {
		return Pending{err: errClosed()}
	}
	return Pending{w: &each}
}

// write hands a change to the writer and waits until it is durable. Once the
// writer has taken it, ctx no longer matters.
func (l *Ledger) write(ctx context.Context, mayUseReserve bool, apply func(*tx) error) error {
	p := l.begin(ctx, write{apply: apply, mayUseReserve: mayUseReserve})
	if p.w == nil {
		return p.err
	}
	select {
	case err := <-p.w.done:
		return err
	case <-ctx.Done():
		if l.writer.withdraw(p.w) {
			return ctx.Err()
		}
		return <-p.w.done
	}
}

// enqueue adds a write to those that wait. It returns false where the writer takes none any more.
func (w *writer) enqueue(each *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.waiting = append(w.waiting, each)
	switch {
	case !each.patient, len(w.waiting) >= maxGroup:
		w.rouse()
	case len(w.waiting) > 1: // the first has set the alarm, or roused the writer
	case w.alarm == nil:
		w.alarm = time.AfterFunc(patience, w.rouse)
	default:
		w.alarm.Reset(patience)
	}
	return true
}

// rouse tells run that writes wait.
func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // it has been told
	}
}

// withdraw takes back a write. It returns false where the writer has taken it.
func (w *writer) withdraw(each *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, each)
	if i < 0 {
		return false
	}
	w.waiting = slices.Delete(w.waiting, i, i+1)
	return true
}

// take returns the writes that wait, as many as one transaction serves. Of a writer that is closed it returns none.
func (w *writer) take() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	n := min(len(w.waiting), maxGroup)
	group := slices.Clone(w.waiting[:n])
	if w.waiting = slices.Delete(w.waiting, 0, n); len(w.waiting) > 0 {
		w.rouse()
	}
	return group
}

func errClosed() error { return &Error{Kind: Closed, Op: "is closed"} }

// startWriter proves that path, which is this file, can be written, and starts the goroutine.
func startWriter(ctx context.Context, path string, db *sql.DB, r *reserve, file identity) (*writer, error) {
	t, err := newTx(ctx, db)
	if err != nil {
		return nil, failed("cannot be opened", path, err)
	}
	w := &writer{path: path, db: db, tx: t, reserve: r,
		wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{})}
	touch := func(tx *tx) error {
		if err := tx.noteOrigin(file); err != nil {
			return err
		}
		return tx.exec("UPDATE opened SET at = ?", time.Now().UnixMilli())
	}
	if err := w.commit([]*write{{apply: touch}}); err != nil {
		t.close()
		return nil, failed("cannot be written", path, err)
	}
	// The WAL gets its space. Where it cannot, the reserve has to suffice. Opening and closing this file drops no lock: SQLite
	// locks the others.
	if f, err := os.OpenFile(path+"-wal", os.O_WRONLY|unix.O_NOFOLLOW, 0); err == nil {
		_ = allocateBeyond(f, walSize)
		_ = f.Close()
	}
	go w.run()
	return w, nil
}

// stop ends run after the group in hand and closes the connection. Writes that still wait fail.
func (w *writer) stop() error {
	w.mu.Lock()
	w.closed = true
	waiting := w.waiting
	w.waiting = nil
	if w.alarm != nil {
		w.alarm.Stop()
	}
	w.mu.Unlock()
	answer(waiting, errClosed())
	close(w.quit)
	<-w.ended
	w.tx.close()
	return w.db.Close()
}

// run serves all writes that wait at a time as one group.
func (w *writer) run() {
	defer close(w.ended)
	for {
		select {
		case <-w.wake:
			// Callers that the last group woke are about to come back with their next
			// write: let them, so that they share this fsync.
			runtime.Gosched()
			w.serve(w.take())
		case <-w.quit:
			return
		}
	}
}

// serve commits a group and answers each caller. With no space left, a write that begins
// an attempt fails, and one that ends an attempt may use the reserve.
func (w *writer) serve(group []*write) {
	if w.broken != nil {
		answer(group, w.broken)
		return
	}
	if w.reserve.spent {
		if err := w.reserve.restore(); err != nil {
			group = w.turnAway(group, err)
		}
	}
	err := w.persist(group)
	if noRoom(err) {
		// SQLite does not tell a disk that fails from a quota that is used up.
		group = w.turnAway(group, cmp.Or(w.reserve.tryWrite(), error(syscall.ENOSPC)))
		w.reserve.release()
		err = w.persist(group)
	}
	if err != nil && !noRoom(err) && kindOfCause(err) != Slow {
		w.broken = failed("write failed", w.path, err)
	}
	answer(group, failed("write failed", w.path, err))
}

// persist commits a group. While another process has the database nothing of it has begun, and it is tried again: a
// message that the MTA has taken would be delivered twice if that were not recorded.
func (w *writer) persist(group []*write) error {
	began := time.Now()
	for {
		err := w.commit(group)
		var waits *notBegun
		if !errors.As(err, &waits) || kindOfCause(err) != Slow {
			return err
		}
		if time.Since(began) >= busyPatience {
			return err
		}
		select {
		case <-w.quit:
			return err
		case <-time.After(busyPause):
		}
	}
}

// turnAway fails the writes that must not use the reserve, and returns the rest. cause is why there is no room but that.
func (w *writer) turnAway(group []*write, cause error) []*write {
	var ending, beginning []*write
	for _, each := range group {
		if each.mayUseReserve {
			ending = append(ending, each)
		} else {
			beginning = append(beginning, each)
		}
	}
	answer(beginning, failed("no delivery can begin", w.path, cause))
	return ending
}

func answer(group []*write, err error) {
	for _, each := range group {
		each.done <- err
	}
}

// commit runs a group in one transaction. An error means that nothing of it is
// in the database.
func (w *writer) commit(group []*write) error {
	if len(group) == 0 {
		return nil
	}
	w.commits++
	return w.tx.run(func() error {
		for _, each := range group {
			if err := each.apply(w.tx); err != nil {
				return err
			}
		}
		return nil
	})
}
