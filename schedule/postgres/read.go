package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// each asks for rows, and has take scan each. It may begin anew: reset makes it as if no row had come.
func (l *Ledger) each(ctx context.Context, reset func(), take func(pgx.Rows) error, sql string, args ...any) error {
	return l.read(ctx, func(ctx context.Context, q querier) error {
		reset()
		rows, err := q.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := take(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// one asks for a row. found says whether there is one.
func (l *Ledger) one(ctx context.Context, into []any, sql string, args ...any) (found bool, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, sql, args...).Scan(into...)
		found = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return found, err
}

// Briefs returns the records of one generation of a folder, by UID, but for messages that were disposed of and have gone since.
func (l *Ledger) Briefs(ctx context.Context, account, folder string, validity uint32) (map[string][]ledger.Brief, error) {
	return l.BriefsBut(ctx, account, folder, validity, nil)
}

// BriefsBut returns what Briefs does, but for the UIDs whose records are at rest, as atRest reports: those take no memory. It is called
// for each UID in turn, perhaps more than once where the connection breaks, and must not use the ledger. nil is for none.
func (l *Ledger) BriefsBut(ctx context.Context, account, folder string, validity uint32, atRest func([]ledger.Brief) bool) (map[string][]ledger.Brief, error) {
	return l.briefs(ctx, atRest, lives, account, []byte(folder), int64(validity))
}

// ByHash returns the records of a folder, of all generations, that have this content.
func (l *Ledger) ByHash(ctx context.Context, account, folder string, hash [sha256.Size]byte) ([]ledger.Record, error) {
	return l.records(ctx, "hash = $1 AND account = $2 AND folder = $3", 0, hash[:], account, []byte(folder))
}

// ByHashAnywhere returns the records of all folders of an account that have this content.
func (l *Ledger) ByHashAnywhere(ctx context.Context, account string, hash [sha256.Size]byte) ([]ledger.Record, error) {
	return l.records(ctx, "hash = $1 AND account = $2", 0, hash[:], account)
}

// Unfinished returns the records of an account, of all folders and generations, that are sending, deferred, in doubt or lost,
// those changed last first.
func (l *Ledger) Unfinished(ctx context.Context, account string) ([]ledger.Record, error) {
	return l.records(ctx, unfinished+" AND account = $1", 0, account)
}

// List returns the records that f selects, those changed last first.
func (l *Ledger) List(ctx context.Context, f ledger.Filter) ([]ledger.Record, error) {
	conds, args := []string{"TRUE"}, []any(nil)
	and := func(cond string, arg any) {
		args = append(args, arg)
		conds = append(conds, cond+strconv.Itoa(len(args)))
	}
	for _, equal := range []struct{ column, value string }{
		{"uid", f.UID}, {"client", f.Client}, {"sender", f.Sender}, {"queueid", f.QueueID}, {"messageid", f.MessageID},
	} {
		if equal.value != "" {
			and(equal.column+" = $", []byte(equal.value))
		}
	}
	if f.Account != "" {
		and("account = $", f.Account)
	}
	if len(f.Tokens) > 0 {
		var octets [][]byte
		for _, token := range f.Tokens {
			octets = append(octets, []byte(token))
		}
		args = append(args, octets)
		conds = append(conds, "token = ANY($"+strconv.Itoa(len(args))+"::bytea[])")
	}
	if !f.Since.IsZero() {
		and("last >= $", ledger.Millis(f.Since))
	}
	if f.Upstream {
		conds = append(conds, "NOT disposed AND NOT absent")
	}
	if f.Unacknowledged {
		conds = append(conds, "acknowledged = 0")
	}
	if len(f.States) > 0 {
		args = append(args, f.States)
		conds = append(conds, "state = ANY($"+strconv.Itoa(len(args))+"::text[])")
	}
	return l.records(ctx, strings.Join(conds, " AND "), f.Limit, args...)
}

func (l *Ledger) records(ctx context.Context, where string, limit int, args ...any) (rs []ledger.Record, err error) {
	sql := "SELECT account, folder, validity, uid, hash, " + recordColumns + ", " + shownColumns +
		" FROM truehop.record JOIN truehop.mailbox ON id = mailbox WHERE " + where + " ORDER BY last DESC, mailbox, uid, hash"
	if limit > 0 {
		sql += " LIMIT " + strconv.Itoa(limit)
	}
	err = l.each(ctx, func() { rs = nil }, func(rows pgx.Rows) error {
		var s shown
		r, err := s.scan(rows)
		rs = append(rs, r)
		return err
	}, sql, args...)
	if err != nil {
		return nil, err
	}
	return rs, nil
}

// Generations returns the UIDVALIDITYs under which a folder has records, the lowest first.
func (l *Ledger) Generations(ctx context.Context, account, folder string) (validities []uint32, err error) {
	err = l.each(ctx, func() { validities = nil }, func(rows pgx.Rows) error {
		var validity int64
		err := rows.Scan(&validity)
		validities = append(validities, uint32(validity))
		return err
	}, `SELECT validity FROM truehop.mailbox WHERE account = $1 AND folder = $2
		AND EXISTS (SELECT FROM truehop.record WHERE mailbox = id) ORDER BY validity`, account, []byte(folder))
	return validities, err
}

// Folders returns the folders of an account that have records, by name.
func (l *Ledger) Folders(ctx context.Context, account string) (names []string, err error) {
	err = l.each(ctx, func() { names = nil }, func(rows pgx.Rows) error {
		var name []byte
		err := rows.Scan(&name)
		names = append(names, string(name))
		return err
	}, `SELECT DISTINCT folder FROM truehop.mailbox WHERE account = $1
		AND EXISTS (SELECT FROM truehop.record WHERE mailbox = id) ORDER BY folder`, account)
	return names, err
}

// Turns returns when the folders of an account last had their turn, by name.
func (l *Ledger) Turns(ctx context.Context, account string) (turns map[string]ledger.Turn, err error) {
	err = l.each(ctx, func() { turns = map[string]ledger.Turn{} }, func(rows pgx.Rows) error {
		var folder []byte
		var first, again int64
		var waiting bool
		err := rows.Scan(&folder, &first, &again, &waiting)
		turns[string(folder)] = ledger.Turn{Waiting: waiting, First: time.Duration(first) * time.Millisecond, Again: time.Duration(again) * time.Millisecond}
		return err
	}, `SELECT folder, max(CASE WHEN attempts > 1 THEN 0 ELSE ran + 1 END), max(CASE WHEN attempts > 1 THEN ran + 1 ELSE 0 END),
		bool_or(state IN ('sending', 'deferred', 'doubt')) FROM truehop.mailbox JOIN truehop.record ON mailbox = id
		WHERE account = $1 AND state <> $2 GROUP BY folder`, account, string(ledger.Adopted))
	return turns, err
}

// Counts returns the number of records in each state, of all accounts if account is "".
func (l *Ledger) Counts(ctx context.Context, account string) (counts map[ledger.State]int, err error) {
	err = l.each(ctx, func() { counts = map[ledger.State]int{} }, func(rows pgx.Rows) error {
		var state string
		var n int
		err := rows.Scan(&state, &n)
		counts[ledger.State(state)] = n
		return err
	}, `SELECT state, count(*) FROM truehop.record JOIN truehop.mailbox ON id = mailbox WHERE $1 = '' OR account = $1 GROUP BY state`, account)
	return counts, err
}

// CountsByAccount returns the number of records in each state of each of these accounts. All of their records are read
// for that, which takes long in a large record.
func (l *Ledger) CountsByAccount(ctx context.Context, accounts []string) (all map[string]map[ledger.State]int, err error) {
	reset := func() {
		all = map[string]map[ledger.State]int{}
		for _, name := range accounts {
			all[name] = map[ledger.State]int{}
		}
	}
	err = l.each(ctx, reset, func(rows pgx.Rows) error {
		var account, state string
		var count int
		err := rows.Scan(&account, &state, &count)
		if err == nil {
			all[account][ledger.State(state)] = count
		}
		return err
	}, `SELECT account, state, count(*) FROM truehop.record JOIN truehop.mailbox ON id = mailbox
		WHERE account = ANY($1) GROUP BY account, state`, accounts)
	return all, err
}

// Overviews returns the overviews of these accounts, in their order. An account that the record does not know has an
// empty one. No more is read than passes and what is unfinished: see [Ledger.CountsByAccount].
func (l *Ledger) Overviews(ctx context.Context, accounts []string) ([]ledger.Overview, error) {
	known := map[string]*ledger.Overview{}
	reset := func() {
		for _, name := range accounts {
			known[name] = &ledger.Overview{Account: name}
		}
	}
	err := l.each(ctx, reset, func(rows pgx.Rows) error {
		var account string
		var first int64
		err := rows.Scan(&account, &first)
		if err == nil {
			known[account].Oldest = ledger.FromMillis(first)
		}
		return err
	}, `SELECT account, min(first) FROM truehop.record JOIN truehop.mailbox ON id = mailbox
		WHERE account = ANY($1) AND `+unfinished+` AND state IN ('sending', 'deferred', 'doubt')
		AND first > 0 AND NOT disposed AND NOT absent GROUP BY account`, accounts)
	if err != nil {
		return nil, err
	}
	err = l.each(ctx, func() {}, func(rows pgx.Rows) error {
		var account string
		var p passRow
		if err := rows.Scan(append([]any{&account}, p.into()...)...); err != nil {
			return err
		}
		known[account].Last, known[account].Success = p.decode()
		return nil
	}, "SELECT account, "+passColumns+" FROM truehop.pass WHERE account = ANY($1)", accounts)
	if err != nil {
		return nil, err
	}
	var all []ledger.Overview
	for _, name := range accounts {
		all = append(all, *known[name])
	}
	return all, nil
}

// passRow is a row of the table pass without the clock.
type passRow struct {
	began, ended, success int64
	error, hint           []byte
	ledger.Pass
}

const passColumns = `began, ended, ok, listed, delivered, deferred, refused, held, doubt, error, hint, exit, success`

func (p *passRow) into() []any {
	return []any{&p.began, &p.ended, &p.OK, &p.Listed, &p.Delivered, &p.Deferred, &p.Refused, &p.Held, &p.InDoubt, &p.error, &p.hint, &p.Exit, &p.success}
}

func (p *passRow) decode() (last ledger.Pass, success time.Time) {
	p.Began, p.Ended = ledger.FromMillis(p.began), ledger.FromMillis(p.ended)
	p.Error, p.Hint = string(p.error), string(p.hint)
	return p.Pass, ledger.FromMillis(p.success)
}

// LastPass returns the last pass that began over account, and when one last ended OK. Both are zero if there was none.
func (l *Ledger) LastPass(ctx context.Context, account string) (last ledger.Pass, lastSuccess time.Time, err error) {
	now, under := l.visits.of(account)
	var p passRow
	found, err := l.one(ctx, p.into(), "SELECT "+passColumns+" FROM truehop.pass WHERE account = $1", account)
	if err != nil {
		return ledger.Pass{}, time.Time{}, err
	}
	if found {
		last, lastSuccess = p.decode()
	}
	if under {
		last = now.began
	}
	return last, lastSuccess, nil
}

// clock returns the clock of an account.
func (l *Ledger) clock(ctx context.Context, account string) (c ledger.Clock, err error) {
	if now, _ := l.visits.of(account); now.known {
		return now.clock, nil
	}
	var at, ran, latest, base int64
	_, err = l.one(ctx, []any{&at, &ran, &latest, &base},
		"SELECT clock_at, clock_ran, clock_latest, clock_base FROM truehop.pass WHERE account = $1", account)
	return ledger.Clock{At: ledger.FromMillis(at), Ran: time.Duration(ran) * time.Millisecond,
		Latest: ledger.FromMillis(latest), Base: time.Duration(base) * time.Millisecond}, err
}

// Ran returns what the last [Ledger.Tick] of an account returned, 0 if there was none.
func (l *Ledger) Ran(ctx context.Context, account string) (time.Duration, error) {
	c, err := l.clock(ctx, account)
	return c.Ran, err
}

// Trust returns how far the record can be believed about a folder.
func (l *Ledger) Trust(ctx context.Context, account, folder string) (ledger.Trust, error) {
	var restores int64
	var seen *int64
	_, err := l.one(ctx, []any{&restores, &seen}, `SELECT restores, (SELECT restores FROM truehop.caught_up WHERE account = $1 AND folder = $2)
		FROM truehop.origin`, account, []byte(folder))
	switch {
	case err != nil:
		return ledger.Outdated, err
	case seen == nil && restores == 0:
		return ledger.Unseen, nil
	case seen == nil, *seen < restores:
		return ledger.Outdated, nil
	}
	return ledger.Complete, nil
}

// Refusal returns whether, and since when, the credentials of an account are refused.
func (l *Ledger) Refusal(ctx context.Context, account string) (r ledger.Refusal, err error) {
	var last, next int64
	var basis, reason []byte
	_, err = l.one(ctx, []any{&r.Times, &last, &next, &r.Told, &basis, &reason},
		"SELECT times, last, next, told, basis, reason FROM truehop.login WHERE account = $1", account)
	if err != nil {
		return ledger.Refusal{}, err
	}
	r.Last, r.Next, r.Basis, r.Reason = ledger.FromMillis(last), ledger.FromMillis(next), string(basis), string(reason)
	return r, nil
}

// Told returns what was last told of an account.
func (l *Ledger) Told(ctx context.Context, account string) (t ledger.Told, err error) {
	var what []byte
	var since, at int64
	_, err = l.one(ctx, []any{&what, &since, &at, &t.Times}, "SELECT what, since, at, times FROM truehop.told WHERE account = $1", account)
	if err != nil {
		return ledger.Told{}, err
	}
	t.What, t.Since, t.At = string(what), ledger.FromMillis(since), ledger.FromMillis(at)
	return t, nil
}

// NextJudgement returns the number of the next judgement.
func (l *Ledger) NextJudgement(ctx context.Context) (next int64, err error) {
	_, err = l.one(ctx, []any{&next}, "SELECT 1 + last_value FROM truehop.judgement")
	return next, err
}

// Proof returns what is remembered of a target.
func (l *Ledger) Proof(ctx context.Context, target string) (ledger.Proof, error) {
	var taken, refused []int64
	err := l.each(ctx, func() { taken, refused = nil, nil }, func(rows pgx.Rows) error {
		var t, r int64
		err := rows.Scan(&t, &r)
		taken, refused = append(taken, t), append(refused, r)
		return err
	}, "SELECT taken, refused FROM truehop.judged WHERE target = $1", []byte(ledger.Cut(target)))
	if err != nil {
		return ledger.Proof{}, err
	}
	return ledger.NewProof(taken, refused), nil
}
