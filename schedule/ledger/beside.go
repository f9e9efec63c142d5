package ledger

import (
	"context"
	"time"
)

// Beside is all that a home keeps beside the records of messages, so that it can be moved to another home.
type Beside struct {
	Accounts []AccountFacts
	Judged   []Judged
	// CaughtUp are the folders that a pass has seen all of, Restores is how often the record has come back from a copy.
	CaughtUp []Seen
	Restores int64
	// Sources are the mailboxes that the records of folders are of.
	Sources []Source
}

// AccountFacts are what is kept of an account.
type AccountFacts struct {
	Account string
	Last    Pass
	Success time.Time
	Clock   Clock
	Refusal Refusal
	Told    Told
}

// Judged is what a target made of a client last, by the numbers of [Judgement]s.
type Judged struct {
	Target, Client       string
	Taken, Refused, Last int64
}

// Seen is a folder that a pass has seen all of, after that many restores.
type Seen struct {
	Account, Folder string
	Restores        int64
}

// Accounts returns the names of all accounts that the ledger knows, in alphabetical order.
func (l *Ledger) Accounts(ctx context.Context) (names []string, err error) {
	err = l.each(ctx, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		names = append(names, name)
		return err
	}, `SELECT account FROM mailbox UNION SELECT account FROM pass UNION SELECT account FROM clock UNION SELECT account FROM login
		UNION SELECT account FROM told UNION SELECT account FROM caught_up UNION SELECT account FROM source ORDER BY account`)
	return names, err
}

// Beside returns what is kept beside the records. The ledger must be open for writing.
func (l *Ledger) Beside(ctx context.Context) (b Beside, err error) {
	names, err := l.Accounts(ctx)
	if err != nil {
		return b, err
	}
	for _, name := range names {
		f := AccountFacts{Account: name}
		if f.Last, f.Success, err = l.LastPass(ctx, name); err != nil {
			return b, err
		}
		if f.Refusal, err = l.Refusal(ctx, name); err != nil {
			return b, err
		}
		if f.Told, err = l.Told(ctx, name); err != nil {
			return b, err
		}
		if err := l.each(ctx, func(scan func(...any) error) error {
			var at, ran, latest, base int64
			err := scan(&at, &ran, &latest, &base)
			f.Clock = Clock{At: fromMillis(at), Ran: time.Duration(ran) * time.Millisecond, Latest: fromMillis(latest), Base: time.Duration(base) * time.Millisecond}
			return err
		}, "SELECT at, ran, latest, base FROM clock WHERE account = ?", name); err != nil {
			return b, err
		}
		b.Accounts = append(b.Accounts, f)
	}
	if err := l.each(ctx, func(scan func(...any) error) error {
		var j Judged
		err := scan(&j.Target, &j.Client, &j.Taken, &j.Refused, &j.Last)
		b.Judged = append(b.Judged, j)
		return err
	}, "SELECT target, client, taken, refused, last FROM judged ORDER BY last"); err != nil {
		return b, err
	}
	if err := l.each(ctx, func(scan func(...any) error) error {
		var s Seen
		err := scan(&s.Account, &s.Folder, &s.Restores)
		b.CaughtUp = append(b.CaughtUp, s)
		return err
	}, "SELECT account, folder, restores FROM caught_up ORDER BY account, folder"); err != nil {
		return b, err
	}
	if err := l.each(ctx, func(scan func(...any) error) error {
		var s Source
		err := scan(&s.Account, &s.Folder, &s.Mailbox)
		b.Sources = append(b.Sources, s)
		return err
	}, "SELECT account, folder, mailbox FROM source ORDER BY account, folder"); err != nil {
		return b, err
	}
	err = l.each(ctx, func(scan func(...any) error) error { return scan(&b.Restores) }, "SELECT restores FROM origin")
	return b, err
}

// each has take scan each row of a query.
func (l *Ledger) each(ctx context.Context, take func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return l.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := take(rows.Scan); err != nil {
			return l.readError(err)
		}
	}
	return l.readError(rows.Err())
}

// SetBeside writes what is kept beside the records, in one transaction.
func (l *Ledger) SetBeside(ctx context.Context, b Beside) error {
	return l.write(ctx, true, func(tx *tx) error {
		for i := range b.Accounts {
			if err := tx.setFacts(&b.Accounts[i]); err != nil {
				return err
			}
		}
		for _, j := range b.Judged {
			if err := tx.exec("REPLACE INTO judged (target, client, taken, refused, last) VALUES (?, ?, ?, ?, ?)",
				j.Target, j.Client, j.Taken, j.Refused, j.Last); err != nil {
				return err
			}
		}
		for _, s := range b.CaughtUp {
			if err := tx.exec("REPLACE INTO caught_up (account, folder, restores) VALUES (?, ?, ?)", s.Account, s.Folder, s.Restores); err != nil {
				return err
			}
		}
		for _, s := range b.Sources {
			if err := tx.setSource(s); err != nil {
				return err
			}
		}
		return tx.exec("UPDATE origin SET restores = ?", b.Restores)
	})
}

// setFacts writes what is kept of an account, but for what there is nothing of.
func (t *tx) setFacts(f *AccountFacts) error {
	p := &f.Last
	if *p != (Pass{}) {
		if err := t.exec("REPLACE INTO pass VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", f.Account, millis(p.Began), millis(p.Ended), flag(p.OK), p.Listed,
			p.Delivered, p.Deferred, p.Refused, p.Held, p.InDoubt, p.failure(), millis(f.Success)); err != nil {
			return err
		}
	}
	if f.Clock != (Clock{}) {
		if _, err := t.ticked.Exec(f.Account, millis(f.Clock.At), f.Clock.Ran.Milliseconds(), millis(f.Clock.Latest), f.Clock.Base.Milliseconds()); err != nil {
			return err
		}
	}
	if r := f.Refusal; r != (Refusal{}) {
		if _, err := t.refused.Exec(f.Account, r.Times, millis(r.Last), millis(r.Next), flag(r.Told), cut(r.Basis), cut(r.Reason)); err != nil {
			return err
		}
	}
	if told := f.Told; told != (Told{}) {
		return t.exec("REPLACE INTO told (account, what, since, at, times) VALUES (?, ?, ?, ?, ?)",
			f.Account, cut(told.What), millis(told.Since), millis(told.At), told.Times)
	}
	return nil
}
