package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// Accounts returns the names of all accounts that the record knows, in alphabetical order.
func (l *Ledger) Accounts(ctx context.Context) (names []string, err error) {
	err = l.each(ctx, func() { names = nil }, func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT account FROM (SELECT account FROM truehop.mailbox UNION SELECT account FROM truehop.pass UNION SELECT account FROM truehop.login
		UNION SELECT account FROM truehop.told UNION SELECT account FROM truehop.caught_up UNION SELECT account FROM truehop.source) AS a ORDER BY account COLLATE "C"`)
	return names, err
}

// Beside returns what is kept beside the records of messages.
func (l *Ledger) Beside(ctx context.Context) (b ledger.Beside, err error) {
	names, err := l.Accounts(ctx)
	if err != nil {
		return b, err
	}
	at := map[string]*ledger.AccountFacts{}
	b.Accounts = make([]ledger.AccountFacts, len(names))
	for i, name := range names {
		b.Accounts[i].Account, at[name] = name, &b.Accounts[i]
	}
	overviews, err := l.passes(ctx)
	if err != nil {
		return b, err
	}
	for name, o := range overviews {
		if f := at[name]; f != nil {
			f.Last, f.Success, f.Clock = o.Last, o.Success, o.Clock
		}
	}
	for _, name := range names {
		if at[name].Refusal, err = l.Refusal(ctx, name); err != nil {
			return b, err
		}
		if at[name].Told, err = l.Told(ctx, name); err != nil {
			return b, err
		}
	}
	err = l.each(ctx, func() { b.Judged = nil }, func(rows pgx.Rows) error {
		var j ledger.Judged
		var target, client []byte
		err := rows.Scan(&target, &client, &j.Taken, &j.Refused, &j.Last)
		j.Target, j.Client = string(target), string(client)
		b.Judged = append(b.Judged, j)
		return err
	}, "SELECT target, client, taken, refused, last FROM truehop.judged ORDER BY last")
	if err != nil {
		return b, err
	}
	err = l.each(ctx, func() { b.CaughtUp = nil }, func(rows pgx.Rows) error {
		var s ledger.Seen
		var folder []byte
		err := rows.Scan(&s.Account, &folder, &s.Restores)
		s.Folder = string(folder)
		b.CaughtUp = append(b.CaughtUp, s)
		return err
	}, `SELECT account, folder, restores FROM truehop.caught_up ORDER BY account COLLATE "C", folder`)
	if err != nil {
		return b, err
	}
	err = l.each(ctx, func() { b.Sources = nil }, func(rows pgx.Rows) error {
		var s ledger.Source
		var folder, mailbox []byte
		err := rows.Scan(&s.Account, &folder, &mailbox)
		s.Folder, s.Mailbox = string(folder), string(mailbox)
		b.Sources = append(b.Sources, s)
		return err
	}, `SELECT account, folder, mailbox FROM truehop.source ORDER BY account COLLATE "C", folder`)
	if err != nil {
		return b, err
	}
	_, err = l.one(ctx, []any{&b.Restores}, "SELECT restores FROM truehop.origin")
	return b, err
}

// passes returns the last pass and the clock of each account.
func (l *Ledger) passes(ctx context.Context) (all map[string]ledger.AccountFacts, err error) {
	err = l.each(ctx, func() { all = map[string]ledger.AccountFacts{} }, func(rows pgx.Rows) error {
		var f ledger.AccountFacts
		var p passRow
		var at, ran, latest, base int64
		if err := rows.Scan(append(append([]any{&f.Account}, p.into()...), &at, &ran, &latest, &base)...); err != nil {
			return err
		}
		f.Last, f.Success = p.decode()
		f.Clock = ledger.Clock{At: ledger.FromMillis(at), Ran: time.Duration(ran) * time.Millisecond,
			Latest: ledger.FromMillis(latest), Base: time.Duration(base) * time.Millisecond}
		all[f.Account] = f
		return nil
	}, "SELECT account, "+passColumns+", clock_at, clock_ran, clock_latest, clock_base FROM truehop.pass")
	return all, err
}

// SetBeside writes what is kept beside the records of messages, in one transaction. This process must have the locks of the accounts.
func (l *Ledger) SetBeside(ctx context.Context, b ledger.Beside) error {
	w := &write{bulk: ctx}
	for i := range b.Accounts {
		if err := checkAccount(b.Accounts[i].Account); err != nil {
			return err
		}
		w.accounts = append(w.accounts, b.Accounts[i].Account)
	}
	w.queue = func(q *batch) error {
		for i := range b.Accounts {
			q.setFacts(&b.Accounts[i])
		}
		last := int64(0)
		for _, j := range b.Judged {
			last = max(last, j.Last)
			q.exec(`INSERT INTO truehop.judged (target, client, taken, refused, last) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (target, client) DO UPDATE SET taken = excluded.taken, refused = excluded.refused, last = excluded.last`,
				[]byte(j.Target), []byte(j.Client), j.Taken, j.Refused, j.Last)
		}
		// The next judgement has a higher number.
		q.exec("SELECT setval('truehop.judgement', greatest($1, last_value)) FROM truehop.judgement", last)
		for _, s := range b.CaughtUp {
			q.exec(`INSERT INTO truehop.caught_up (account, folder, restores) VALUES ($1, $2, $3)
				ON CONFLICT (account, folder) DO UPDATE SET restores = excluded.restores`, s.Account, []byte(s.Folder), s.Restores)
		}
		for _, s := range b.Sources {
			q.setSource(s)
		}
		q.exec("UPDATE truehop.origin SET restores = $1", b.Restores)
		return nil
	}
	return l.write(ctx, w)
}

// setFacts adds the statements that write what is kept of an account, but for what there is nothing of.
func (b *batch) setFacts(f *ledger.AccountFacts) {
	if f.Last != (ledger.Pass{}) || f.Clock != (ledger.Clock{}) {
		p := &f.Last
		b.exec(`INSERT INTO truehop.pass (account, `+passColumns+`, clock_at, clock_ran, clock_latest, clock_base)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (account) DO UPDATE SET
			(`+passColumns+`, clock_at, clock_ran, clock_latest, clock_base) = ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			f.Account, ledger.Millis(p.Began), ledger.Millis(p.Ended), p.OK, p.Listed, p.Delivered, p.Deferred, p.Refused, p.Held, p.InDoubt,
			[]byte(ledger.Cut(p.Error)), []byte(ledger.Cut(p.Hint)), p.Exit, ledger.Millis(f.Success),
			ledger.Millis(f.Clock.At), f.Clock.Ran.Milliseconds(), ledger.Millis(f.Clock.Latest), f.Clock.Base.Milliseconds())
	}
	if r := f.Refusal; r != (ledger.Refusal{}) {
		b.putRefusal(f.Account, r)
	}
	if t := f.Told; t != (ledger.Told{}) {
		b.putTold(f.Account, t)
	}
}
