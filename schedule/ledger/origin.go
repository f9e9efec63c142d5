package ledger

import (
	"context"
	"database/sql"
	"errors"
)

// A ledger that was restored from a backup knows less than there is: what was delivered since then looks new. A copy
// is another file than the one it was taken of, with an inode and a time of birth of its own, so the ledger
// remembers those of its file. What goes back in place, such as a snapshot of the file system or of the
// machine, cannot be noticed so.

// identity is what a file has to itself: cp, tar and rsync make another file. It does not depend on the
// device, whose number can change when the machine starts. Born is in nanoseconds, 0 where the file system does not tell.
type identity struct{ inode, born int64 }

// sameFile reports whether two identities can be those of one file.
func (id identity) sameFile(other identity) bool {
	if id.inode != other.inode {
		return false
	}
	return id.born == other.born || id.born == 0 || other.born == 0
}

// noteOrigin compares the file with the one that the ledger was in when it was last opened for writing, and counts a
// restore where they differ.
func (t *tx) noteOrigin(now identity) error {
	var last identity
	if err := t.conn.QueryRowContext(context.Background(), "SELECT inode, born FROM origin").Scan(&last.inode, &last.born); err != nil {
		return err
	}
	restored := last != identity{} && !last.sameFile(now)
	if now == last {
		return nil
	}
	return t.exec("UPDATE origin SET inode = ?, born = ?, restores = restores + ?", now.inode, now.born, flag(restored))
}

// Trust says how far the silence of the ledger about a message of a folder can be believed.
type Trust uint8

const (
	// Complete: a pass over the folder has ended well since the ledger was new or restored.
	Complete Trust = iota
	// Unseen: no pass over the folder has ended well.
	Unseen
	// Outdated: none has since the ledger was restored from a copy, which may be older than the mailbox.
	Outdated
)

// Trust returns how far the ledger can be believed about a folder.
func (l *Ledger) Trust(ctx context.Context, account, folder string) (Trust, error) {
	if l.version < 3 {
		return Complete, l.unchanged(ctx, nil) // it is open for reading only, and does not know
	}
	var restores, seen int64
	if err := l.db.QueryRowContext(ctx, "SELECT restores FROM origin").Scan(&restores); err != nil {
		return Outdated, l.readError(err)
	}
	err := l.db.QueryRowContext(ctx, "SELECT restores FROM caught_up WHERE account = ? AND folder = ?", account, folder).Scan(&seen)
	switch {
	case errors.Is(err, sql.ErrNoRows) && restores == 0:
		return Unseen, nil
	case errors.Is(err, sql.ErrNoRows):
		return Outdated, nil
	case err != nil:
		return Outdated, l.readError(err)
	case seen < restores:
		return Outdated, nil
	}
	return Complete, nil
}

// CaughtUp records that a pass has seen all of a folder: the ledger can be believed about it from now on.
func (l *Ledger) CaughtUp(ctx context.Context, account, folder string) error {
	if err := (&Key{Account: account, Folder: folder}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error {
		_, err := tx.caughtUp.Exec(account, folder)
		return err
	})
}
