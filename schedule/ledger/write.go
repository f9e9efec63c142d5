package ledger

import (
	"cmp"
	"context"
	"database/sql"
	"runtime"
	"syscall"
	"time"
)

// maxGroup bounds how many callers one transaction serves.
const maxGroup = 256

// write is one caller's change on its way to the writer.
type write struct {
	apply func(*tx) error
	// settles allows the write to use the reserve.
	settles bool
	done    chan error
}

// writer owns the only writing connection. Its goroutine, run, ends by stop.
type writer struct {
	path    string
	db      *sql.DB
	tx      *tx
	reserve *reserve
	writes  chan *write
	quit    chan struct{}
	ended   chan struct{}
	// broken is the error after which nothing is written any more.
	broken error
	// commits counts transactions; tests compare it with the number of writes.
	commits int
}

// write hands a change to the writer and waits until it is durable. Once the
// writer has taken it, ctx no longer matters.
func (l *Ledger) write(ctx context.Context, settles bool, apply func(*tx) error) error {
	if l.writer == nil {
		return &Error{Kind: Permission, Op: "is open for reading only", Path: l.dir}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &write{apply: apply, settles: settles, done: make(chan error, 1)}
	select {
	case l.writer.writes <- w:
		return <-w.done
	case <-ctx.Done():
		return ctx.Err()
	case <-l.writer.quit:
		return errClosed()
	}
}

func errClosed() error { return &Error{Kind: Closed, Op: "is closed"} }

// startWriter proves that path, which is this file, can be written, and starts the goroutine.
func startWriter(ctx context.Context, path string, db *sql.DB, r *reserve, file identity) (*writer, error) {
	t, err := newTx(ctx, db)
	if err != nil {
		return nil, failed("cannot be opened", path, err)
	}
	w := &writer{path: path, db: db, tx: t, reserve: r,
		writes: make(chan *write), quit: make(chan struct{}), ended: make(chan struct{})}
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
	allocateWAL(path + "-wal")
	go w.run()
	return w, nil
}

// stop ends run after the group in hand and closes the connection.
func (w *writer) stop() error {
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
		case first := <-w.writes:
			// Callers that the last group woke are about to come back with their next
			// write: let them, so that they share this fsync.
			runtime.Gosched()
			group := []*write{first}
			for more := true; more && len(group) < maxGroup; {
				select {
				case next := <-w.writes:
					group = append(group, next)
				default:
					more = false
				}
			}
			w.serve(group)
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
	err := w.commit(group)
	if noRoom(err) {
		// SQLite does not tell a disk that fails from a quota that is used up.
		group = w.turnAway(group, cmp.Or(w.reserve.tryWrite(), error(syscall.ENOSPC)))
		w.reserve.release()
		err = w.commit(group)
	}
	if err != nil && !noRoom(err) && kindOfCause(err) != Busy {
		w.broken = failed("write failed", w.path, err)
	}
	answer(group, failed("write failed", w.path, err))
}

// turnAway fails the writes that must not use the reserve, and returns the rest. cause is why there is no room but that.
func (w *writer) turnAway(group []*write, cause error) []*write {
	var settling, beginning []*write
	for _, each := range group {
		if each.settles {
			settling = append(settling, each)
		} else {
			beginning = append(beginning, each)
		}
	}
	answer(beginning, failed("no delivery can begin", w.path, cause))
	return settling
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
	if err := w.tx.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, each := range group {
		if err := each.apply(w.tx); err != nil {
			w.tx.rollback()
			return err
		}
	}
	if err := w.tx.exec("COMMIT"); err != nil {
		w.tx.rollback()
		return err
	}
	return nil
}
