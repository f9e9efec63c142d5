package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// schemaTold is the table of [Ledger.Told]. An account without a row has nothing that was told.
const schemaTold = `
CREATE TABLE told (
	account TEXT PRIMARY KEY,
	what    TEXT NOT NULL,
	since   INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	times   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// Told is what was last told of an account, so that it need not be told at each pass. The zero value says that there is
// nothing to tell.
type Told struct {
	// What sums it up, such that what need not be told twice is the same.
	What string
	// Since is when it was told first, At when last; Times is how many passes have come to it since.
	Since, At time.Time
	Times     int
}

// Told returns what was last told of an account.
func (l *Ledger) Told(ctx context.Context, account string) (t Told, err error) {
	if l.version < 6 {
		return t, l.unchanged(ctx, nil) // a ledger that is only read
	}
	var since, at int64
	err = l.db.QueryRowContext(ctx, "SELECT what, since, at, times FROM told WHERE account = ?", account).
		Scan(&t.What, &since, &at, &t.Times)
	if errors.Is(err, sql.ErrNoRows) {
		return Told{}, nil
	}
	if err != nil {
		return Told{}, l.readError(err)
	}
	t.Since, t.At = fromMillis(since), fromMillis(at)
	return t, nil
}

// SetTold records what is told of an account, or with the zero value that nothing is any more.
func (l *Ledger) SetTold(ctx context.Context, account string, t Told) error {
	if err := (&Key{Account: account}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error {
		if t == (Told{}) {
			return tx.exec("DELETE FROM told WHERE account = ?", account)
		}
		return tx.exec("REPLACE INTO told (account, what, since, at, times) VALUES (?, ?, ?, ?, ?)",
			account, cut(t.What), millis(t.Since), millis(t.At), t.Times)
	})
}
