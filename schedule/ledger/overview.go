package ledger

import (
	"context"
	"time"
)

// Overview is what a monitor is told of an account.
type Overview struct {
	Account string
	// Last is the last pass that began, Success when one last ended OK; zero if there was none.
	Last    Pass
	Success time.Time
	// Counts has the number of messages in each state, as [Ledger.Counts].
	Counts map[State]int
	// Oldest is when the message was first seen that waits longest to be tried again; zero if none waits.
	Oldest time.Time
}

// Overviews returns the overviews of these accounts, in their order, by one scan of all records. An account that the ledger does not
// know has an empty one.
func (l *Ledger) Overviews(ctx context.Context, accounts []string) (all []Overview, err error) {
	defer func() { err = l.unchanged(ctx, err) }()
	known := map[string]*Overview{}
	for _, name := range accounts {
		known[name] = &Overview{Account: name, Counts: map[State]int{}}
	}
	rows, err := l.db.QueryContext(ctx, `SELECT account, state, count(*),
		coalesce(min(first) FILTER (WHERE `+l.whereUpstream()+` AND state IN ('sending', 'deferred', 'doubt')), 0)
		FROM record JOIN mailbox ON mailbox.id = record.mailbox GROUP BY record.mailbox, state`)
	if err != nil {
		return nil, l.readError(err)
	}
	defer func() {
		if cause := rows.Close(); err == nil {
			err = l.readError(cause)
		}
	}()
	for rows.Next() {
		var account, state string
		var count int
		var first int64
		if err := rows.Scan(&account, &state, &count, &first); err != nil {
			return nil, l.readError(err)
		}
		one := known[account]
		if one == nil {
			continue // its account is gone
		}
		one.Counts[State(state)] += count
		older := one.Oldest.IsZero() || fromMillis(first).Before(one.Oldest)
		if first > 0 && older {
			one.Oldest = fromMillis(first)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, l.readError(err)
	}
	for _, name := range accounts {
		one := known[name]
		if one.Last, one.Success, err = l.LastPass(ctx, name); err != nil {
			return nil, err
		}
		all = append(all, *one)
	}
	return all, nil
}
