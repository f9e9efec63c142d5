package ledger

import (
	"context"
	"strings"
	"time"
)

// Overview is what a monitor is told of an account.
type Overview struct {
	Account string
	// Last is the last pass that began, Success when one last ended OK; zero if there was none.
	Last    Pass
	Success time.Time
	// Oldest is when the message was first seen that waits longest to be tried again; zero if none waits.
	Oldest time.Time
}

// Overviews returns the overviews of these accounts, in their order. An account that the ledger does not know has an
// empty one. No more is read than passes and what is unfinished: see [Ledger.CountsByAccount].
func (l *Ledger) Overviews(ctx context.Context, accounts []string) (all []Overview, err error) {
	defer func() { err = l.unchanged(ctx, err) }()
	oldest, err := l.oldest(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range accounts {
		one := Overview{Account: name, Oldest: oldest[name]}
		if one.Last, one.Success, err = l.LastPass(ctx, name); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// oldest returns when the message of each account was first seen that waits longest to be tried again.
func (l *Ledger) oldest(ctx context.Context) (first map[string]time.Time, err error) {
	// CROSS keeps SQLite from reading all records of each mailbox.
	rows, err := l.queries.ask(ctx, l.db, `SELECT account, min(first)
		FROM record CROSS JOIN mailbox ON mailbox.id = record.mailbox
		WHERE `+unfinished+` AND state IN ('sending', 'deferred', 'doubt')
		AND first > 0 AND `+l.whereUpstream()+` GROUP BY account`)
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	first = map[string]time.Time{}
	for rows.Next() {
		var account string
		var at int64
		if err := rows.Scan(&account, &at); err != nil {
			return nil, l.readError(err)
		}
		first[account] = fromMillis(at)
	}
	return first, l.readError(rows.Err())
}

// CountsByAccount returns the number of records in each state of each of these accounts. All records are read for
// that, which takes long in a large ledger.
func (l *Ledger) CountsByAccount(ctx context.Context, accounts []string) (all map[string]map[State]int, err error) {
	defer func() { err = l.unchanged(ctx, err) }()
	all = map[string]map[State]int{}
	for _, name := range accounts {
		all[name] = map[State]int{}
	}
	// Grouped by what the table is sorted by; to group by the state as well would sort all records.
	columns, each := countsOfStates()
	rows, err := l.queries.ask(ctx, l.db, "SELECT account, "+columns+
		" FROM record JOIN mailbox ON mailbox.id = record.mailbox GROUP BY record.mailbox")
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var account string
		if err := rows.Scan(append([]any{&account}, each.into()...)...); err != nil {
			return nil, l.readError(err)
		}
		if counts := all[account]; counts != nil { // else its account is gone
			each.addTo(counts)
		}
	}
	return all, l.readError(rows.Err())
}

// Counts returns the number of records in each state, of all accounts if account is "".
func (l *Ledger) Counts(ctx context.Context, account string) (map[State]int, error) {
	// One scan; GROUP BY would sort all records.
	columns, each := countsOfStates()
	err := l.db.QueryRowContext(ctx, "SELECT "+columns+` FROM record
		WHERE ?1 = '' OR mailbox IN (SELECT id FROM mailbox WHERE account = ?1)`, account).Scan(each.into()...)
	if err != nil {
		return nil, l.readError(err)
	}
	counts := map[State]int{}
	each.addTo(counts)
	return counts, nil
}

// numbers are those of records in each of the [States].
type numbers []int

// countsOfStates returns the columns that count records in each state, and where they are scanned into.
func countsOfStates() (columns string, into numbers) {
	var sums []string
	for _, s := range states() {
		sums = append(sums, "count(*) FILTER (WHERE state = '"+string(s)+"')")
	}
	return strings.Join(sums, ", "), make(numbers, len(sums))
}

func (n numbers) into() (columns []any) {
	for i := range n {
		columns = append(columns, &n[i])
	}
	return columns
}

// addTo adds them to counts, but for those that are 0.
func (n numbers) addTo(counts map[State]int) {
	for i, s := range states() {
		if n[i] > 0 {
			counts[s] += n[i]
		}
	}
}
