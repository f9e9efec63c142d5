package ledger

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fileName    = "ledger.db"
	reserveName = "ledger.reserve"
	lockName    = "lock"
)

// smallFile is the size in octets up to which a database is checked at every
// opening, and not only after a crash.
const smallFile = 4 << 20

// useTimeout bounds the wait for another process that opens the same ledger.
const useTimeout = 30 * time.Second

// Open opens the ledger in dir and creates both if they do not exist. It refuses
// a directory that others can write or that cannot be written, and a ledger
// that is damaged, empty, lost or newer: see [Kind]. Several processes may have one
// ledger open; [Ledger.Lock] keeps them off each other's accounts.
func Open(ctx context.Context, dir string) (*Ledger, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("has no absolute path", dir, err)
	}
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	inUse, alone, err := useDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, inUse: inUse, fsync: (*os.File).Sync}
	if err := l.open(ctx, alone); err != nil {
		if l.db != nil {
			_ = l.db.Close()
		}
		_ = inUse.Close()
		return nil, err
	}
	return l, nil
}

// open does what Open does once the directory is flocked. If alone, no other process has the ledger open, and
// those that open it now wait until this one has created or checked it.
func (l *Ledger) open(ctx context.Context, alone bool) error {
	path := filepath.Join(l.dir, fileName)
	size, wal, err := inspect(l.dir)
	if KindOf(err) == NotFound && alone {
		if err := l.create(ctx); err != nil {
			return failed("cannot be created", path, err)
		}
		size, wal, err = inspect(l.dir)
	}
	if err != nil {
		return err
	}
	if l.db, err = connect(path, "ro", 2, 1024); err != nil {
		return failed("cannot be opened", path, err)
	}
	version, err := verify(ctx, l.db, path)
	if err != nil {
		return err
	}
	if version < schemaVersion && !alone {
		return &Error{Kind: Busy, Op: "is in use by an older truehop", Path: path, Advice: hintOlder}
	}
	// The last process to close a ledger removes the WAL. If it is still there and
	// nobody has the ledger open, a process died.
	check := wal > 0 || size <= smallFile
	if alone && check {
		if err := checkDatabase(ctx, l.db, path); err != nil {
			return err
		}
	}
	r := newReserve(filepath.Join(l.dir, reserveName))
	if err := r.restore(); err != nil {
		return failed("space cannot be reserved", r.path, err)
	}
	db, err := connectWriter(path)
	if err != nil {
		return failed("cannot be opened", path, err)
	}
	if version < schemaVersion {
		if err := upgrade(ctx, db, version); err != nil {
			_ = db.Close()
			return failed("cannot be brought to format "+strconv.Itoa(schemaVersion), path, err)
		}
	}
	l.version = schemaVersion
	file, err := identify(path)
	if err != nil {
		_ = db.Close()
		return failed("cannot be identified", path, err)
	}
	if l.writer, err = startWriter(ctx, path, db, r, file); err != nil {
		_ = db.Close()
		return err
	}
	// From here on others may open it. No process gets an exclusive lock between the two: none waits for one.
	if err := unix.Flock(int(l.inUse.Fd()), unix.LOCK_SH); err != nil {
		_ = l.writer.stop()
		return failed("cannot be locked", l.dir, err)
	}
	return nil
}

// OpenReadOnly opens the ledger in dir for reading while others write it. It
// creates nothing, and returns an error of Kind [NotFound] if there is no ledger.
func OpenReadOnly(ctx context.Context, dir string) (*Ledger, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, failed("has no absolute path", dir, err)
	}
	if _, _, err := inspect(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, fileName)
	db, err := connect(path, "ro", 2, 1024)
	if err != nil {
		return nil, failed("cannot be opened", path, err)
	}
	version, err := verify(ctx, db, path)
	if err != nil {
		_ = db.Close()
		return nil, err
	}
	return &Ledger{dir: dir, readOnly: true, db: db, version: version}, nil
}

// Close ends the write in hand and closes the files. Later calls do nothing and
// return what the first did.
func (l *Ledger) Close() error {
	l.close.Do(func() {
		l.closing.Store(true)
		var errs []error
		// The writer closes last, so that it moves the WAL into the database.
		errs = append(errs, l.db.Close())
		if l.writer != nil {
			errs = append(errs, l.writer.stop())
		}
		if l.inUse != nil {
			errs = append(errs, l.inUse.Close())
		}
		l.closed = failed("cannot be closed", l.dir, errors.Join(errs...))
	})
	return l.closed
}

// create makes a new ledger under another name and renames it, so that a crash
// leaves no empty ledger.db: an empty one means that the record was lost.
func (l *Ledger) create(ctx context.Context) error {
	path := filepath.Join(l.dir, fileName)
	fresh := path + ".new"
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(fresh + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// SQLite gives the WAL the mode of the database.
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connectWriter(fresh)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "BEGIN IMMEDIATE;"+schema+
		"PRAGMA application_id = "+strconv.Itoa(applicationID)+";"+
		"PRAGMA user_version = "+strconv.Itoa(schemaVersion)+"; COMMIT;")
	// Closing the last connection moves the WAL into the database and removes it.
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	// The name is durable only when the directory is: without this a power cut may take away
	// a ledger that already holds verdicts.
	dir, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	return l.fsync(dir)
}

// useDir flocks the directory: exclusively while nobody else has the ledger open
// (alone), else shared. The kernel drops the lock with the process.
func useDir(ctx context.Context, dir string) (f *os.File, alone bool, err error) {
	f, err = os.Open(dir)
	if err != nil {
		return nil, false, failed("cannot be opened", dir, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, useTimeout,
		&Error{Kind: Busy, Op: "another process is opening the ledger", Path: dir})
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, true, nil
		}
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		}
		if err == nil {
			return f, false, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, false, failed("cannot be locked", dir, err)
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			_ = f.Close()
			return nil, false, context.Cause(ctx)
		}
	}
}
