package ledger

import (
	"context"
)

// schemaSource is the table of [Ledger.Sources].
const schemaSource = `
CREATE TABLE source (
	account TEXT NOT NULL,
	folder  TEXT NOT NULL,
	mailbox TEXT NOT NULL,
	PRIMARY KEY (account, folder)
) STRICT, WITHOUT ROWID;
`

// Source is the mailbox that the records of a folder are of. An account that is pointed to another keeps its name, and the UIDs of one
// mailbox mean nothing in another.
type Source struct {
	Account, Folder string
	// Mailbox names it, alike for each way to it. It is compared, and shown to people.
	Mailbox string
}

// Sources returns the mailboxes that the records of an account's folders are of, by folder, as far as that is known.
func (l *Ledger) Sources(ctx context.Context, account string) (map[string]string, error) {
	sources := map[string]string{}
	if l.version < 9 {
		return sources, l.unchanged(ctx, nil) // it is open for reading only, and does not know
	}
	err := l.each(ctx, func(scan func(...any) error) error {
		var folder, mailbox string
		err := scan(&folder, &mailbox)
		sources[folder] = mailbox
		return err
	}, "SELECT folder, mailbox FROM source WHERE account = ?", account)
	return sources, err
}

// SetSource records which mailbox the records of a folder are of from now on.
func (l *Ledger) SetSource(ctx context.Context, s Source) error {
	if err := (&Key{Account: s.Account, Folder: s.Folder}).check(); err != nil {
		return err
	}
	return l.write(ctx, true, func(tx *tx) error { return tx.setSource(s) })
}

func (t *tx) setSource(s Source) error {
	return t.exec("REPLACE INTO source (account, folder, mailbox) VALUES (?, ?, ?)", s.Account, s.Folder, cut(s.Mailbox))
}
