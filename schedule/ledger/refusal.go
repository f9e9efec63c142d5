package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// schemaLogin is the table of [Ledger.Refusal]. An account without a row was let in the last time.
const schemaLogin = `
CREATE TABLE login (
	account TEXT PRIMARY KEY,
	times   INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	next    INTEGER NOT NULL,
	told    INTEGER NOT NULL,
	basis   TEXT NOT NULL,
	reason  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`

// Refusal says that an upstream refuses the credentials of an account. The zero value says that it does not.
type Refusal struct {
	// Times is how many logins were refused in a row.
	Times int
	// Last is when the last of them was, Next the time before which there is to be no other.
	Last, Next time.Time
	// Told says that it was told that logins wait for Next.
	Told bool
	// Basis stands for the credentials, and for how they are shown: where it is another now, they were changed.
	// It must not be made of a secret.
	Basis string
	// Reason is why, in one line.
	Reason string
}

// Refusal returns whether, and since when, the credentials of an account are refused.
func (l *Ledger) Refusal(ctx context.Context, account string) (r Refusal, err error) {
	if l.version < 5 {
		return r, l.unchanged(ctx, nil) // a ledger that is only read, and has no refusals yet
	}
	var last, next, told int64
	err = l.db.QueryRowContext(ctx, "SELECT times, last, next, told, basis, reason FROM login WHERE account = ?", account).
		Scan(&r.Times, &last, &next, &told, &r.Basis, &r.Reason)
	if errors.Is(err, sql.ErrNoRows) {
		return Refusal{}, nil
	}
	if err != nil {
		return Refusal{}, l.readError(err)
	}
	r.Last, r.Next, r.Told = fromMillis(last), fromMillis(next), told == flag(true)
	return r, nil
}

// SetRefusal records that the credentials of an account are refused, or with the zero value that they are not.
func (l *Ledger) SetRefusal(ctx context.Context, account string, r Refusal) error {
	if err := (&Key{Account: account}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error {
		if r == (Refusal{}) {
			_, err := tx.let.Exec(account)
			return err
		}
		_, err := tx.refused.Exec(account, r.Times, millis(r.Last), millis(r.Next), flag(r.Told), cut(r.Basis), cut(r.Reason))
		return err
	})
}
