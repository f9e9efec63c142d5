package ledger

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// longestStep is the most that one tick of an account's clock counts: a mailbox is looked at once a day or more
// often. In a longer time the machine was off, or its clock was set.
const longestStep = 24 * time.Hour

// clock measures how long an account has been looked after. It is not the wall clock: it never
// goes back. A wall clock that was set, or a machine that was off, moves it by one step at most.
type clock struct {
	// at is the time of the last tick, and ran what has passed by then.
	at  time.Time
	ran time.Duration
	// latest is the latest time of any tick, and base what had passed by then. They differ from
	// the above while the wall clock is set back.
	latest time.Time
	base   time.Duration
}

// tick returns the clock as it is at a wall clock's now.
func (c clock) tick(now time.Time) clock {
	step := func(since time.Time) time.Duration {
		if since.IsZero() {
			return 0
		}
		return min(max(now.Sub(since), 0), longestStep)
	}
	if now.Before(c.latest) {
		c.at, c.ran = now, c.ran+step(c.at)
		return c
	}
	// A wall clock that was set back and is right again: the leap was no time, and what passed
	// in between is not counted twice.
	ran := max(c.ran, c.base+step(c.latest))
	return clock{at: now, ran: ran, latest: now, base: ran}
}

// Tick moves the clock of an account to now and returns how long the account has been looked after.
// One tick counts a day at most, and the result never decreases, however the wall clock is set. Each pass
// calls it once.
func (l *Ledger) Tick(ctx context.Context, account string, now time.Time) (ran time.Duration, err error) {
	if err := (&Key{Account: account}).check(); err != nil {
		return 0, err
	}
	err = l.write(ctx, true, func(tx *tx) error {
		var at, sum, latest, base int64
		err := tx.clock.QueryRow(account).Scan(&at, &sum, &latest, &base)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		c := clock{
			at: fromMillis(at), ran: time.Duration(sum) * time.Millisecond,
			latest: fromMillis(latest), base: time.Duration(base) * time.Millisecond,
		}.tick(now)
		ran = c.ran
		_, err = tx.ticked.Exec(account, millis(c.at), c.ran.Milliseconds(), millis(c.latest), c.base.Milliseconds())
		return err
	})
	return ran, err
}

// Ran returns what the last [Ledger.Tick] of an account returned, 0 if there was none.
func (l *Ledger) Ran(ctx context.Context, account string) (time.Duration, error) {
	if l.version < 2 {
		return 0, l.unchanged(ctx, nil)
	}
	var ran int64
	err := l.db.QueryRowContext(ctx, "SELECT ran FROM clock WHERE account = ?", account).Scan(&ran)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return time.Duration(ran) * time.Millisecond, l.readError(err)
}
