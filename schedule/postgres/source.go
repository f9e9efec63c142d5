package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// schemaSource is the table of [Ledger.Sources].
const schemaSource = `
CREATE TABLE truehop.source (
	account text NOT NULL,
	folder  bytea NOT NULL,
	mailbox bytea NOT NULL,
	PRIMARY KEY (account, folder)
);
`

// Sources returns the mailboxes that the records of an account's folders are of, by folder, as far as that is known.
func (l *Ledger) Sources(ctx context.Context, account string) (sources map[string]string, err error) {
	err = l.each(ctx, func() { sources = map[string]string{} }, func(rows pgx.Rows) error {
		var folder, mailbox []byte
		err := rows.Scan(&folder, &mailbox)
		sources[string(folder)] = string(mailbox)
		return err
	}, "SELECT folder, mailbox FROM truehop.source WHERE account = $1", account)
	return sources, err
}

// SetSource records which mailbox the records of a folder are of from now on.
func (l *Ledger) SetSource(ctx context.Context, s ledger.Source) error {
	if err := (&ledger.Key{Account: s.Account, Folder: s.Folder}).Check(); err != nil {
		return err
	}
	return l.write(ctx, &write{accounts: []string{s.Account}, queue: func(b *batch) error {
		b.setSource(s)
		return nil
	}})
}

func (b *batch) setSource(s ledger.Source) {
	b.exec(`INSERT INTO truehop.source (account, folder, mailbox) VALUES ($1, $2, $3)
		ON CONFLICT (account, folder) DO UPDATE SET mailbox = excluded.mailbox`, s.Account, []byte(s.Folder), []byte(ledger.Cut(s.Mailbox)))
}
