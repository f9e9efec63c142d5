package ledger

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Kind classifies an [Error].
type Kind uint8

const (
	// Unclassified: the error is not one of this package.
	Unclassified Kind = iota
	// Corrupt: the file is damaged, empty, lost or no ledger. Nothing may be
	// assumed about what was delivered.
	Corrupt
	// Version: the file was written by a newer truehop.
	Version
	// Permission: the directory or file cannot be written, or somebody else can write it.
	Permission
	// Full: no space left.
	Full
	// Busy: another process works on the account, or opens the ledger or has it open in another format.
	Busy
	// IO: the disk failed. Later writes fail too, until the ledger is opened
	// again: after a failed fsync it is not known what the disk holds.
	IO
	// NotFound: there is no ledger yet.
	NotFound
	// Network: the state directory is on a network file system, where neither
	// locks nor shared memory can be relied on.
	Network
	// Invalid: the caller asked for something that cannot be recorded.
	Invalid
	// Closed: the ledger was closed.
	Closed
	// Away: the database server cannot be reached, or has ended the session. Nothing can be recorded until it is back.
	Away
	// Fenced: the account's lease is not, or no longer, this process's. Whoever holds it now decides.
	Fenced
	// Misnamed: the configuration names the database in a way that cannot be used, or not safely.
	Misnamed
	// Slow: the database did not do in time what it was asked, or others were in its way. Unlike with Busy nobody
	// else works on the account.
	Slow
)

var kindNames = [...]string{"unclassified", "corrupt", "version", "permission", "full", "busy", "io",
	"not-found", "network", "invalid", "closed", "away", "fenced", "misnamed", "slow"}

// String returns the kind's name as logs show it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind-" + strconv.Itoa(int(k))
}

// Error is the one error type of this package.
type Error struct {
	Kind Kind
	// Op is the step that failed.
	Op string
	// Path is the file or directory concerned, or "".
	Path string
	// Owner names the user that the directory belongs to, where that is the trouble, else "".
	Owner string
	// Holder names who holds the lock ("pid 4711 on mail.example.org"), or "".
	Holder string
	// Advice says what to do about it, or "".
	Advice string
	// Err is the cause, or nil.
	Err error
}

// Error puts the step, the file and the cause in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ledger: ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Op)
	if e.Holder != "" {
		b.WriteString(" by " + e.Holder)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Hint returns what to do about it, or "".
func (e *Error) Hint() string { return e.Advice }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of the first *Error in err's chain, else Unclassified.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unclassified
}

const (
	hintCorrupt = "restore the state directory from a backup, or move ledger.* out of it; " +
		"a new ledger knows of no delivery, so mail that is still upstream would come again"
	hintVersion = "it was written by a newer truehop: run that one"
	hintOlder   = "restart truehop serve, and let other runs of it end; then the ledger can be brought to the new format"
	hintOwner   = "the state directory must belong to the user that runs truehop, with mode 0700"
	hintFull    = "free some space on this file system"
	hintSlow    = "another process keeps the ledger busy, as truehop adopt of a large mailbox does: let it end"
	hintIO      = "check the disk, then start truehop again"
)

// failed wraps err as an *Error of the kind that its cause shows. Errors of a
// context and those that are an *Error already come back as they are.
func failed(op, path string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	e := &Error{Kind: kindOfCause(err), Op: op, Path: path, Err: err}
	switch e.Kind {
	case Corrupt:
		e.Advice = hintCorrupt
	case Permission:
		e.Advice = hintOwner
	case Full:
		e.Advice = hintFull
	case Slow:
		e.Advice = hintSlow
	case IO:
		e.Advice = hintIO
	}
	return e
}

func kindOfCause(err error) Kind {
	var se *sqlite.Error
	if errors.As(err, &se) {
		return kindOfCode(se.Code())
	}
	switch {
	case errors.Is(err, errUnsound):
		return Corrupt
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return Full
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return Permission
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	}
	return IO
}

// kindOfCode classifies an SQLite result code (https://www.sqlite.org/rescode.html).
func kindOfCode(code int) Kind {
	switch code & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return Corrupt
	case sqlite3.SQLITE_FULL:
		return Full
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return Slow
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN:
		return Permission
	}
	switch code {
	case sqlite3.SQLITE_IOERR_CORRUPTFS:
		return Corrupt
	case sqlite3.SQLITE_IOERR_SHMSIZE: // the first thing that needs room when a database is opened
		return Full
	}
	return IO
}

// noRoom says whether err means that a write, not an fsync, found no space. SQLite
// reports only ENOSPC as FULL; a quota and a file size limit come as IOERR_WRITE.
func noRoom(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code() {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE:
		return true
	}
	return false
}
