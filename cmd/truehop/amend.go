package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// amend changes records of an account under its lock, and says what was done.
func (p *program) amend(ctx context.Context, account string, names []string, change func(context.Context, app.Ledger, *config.Account, []string) (string, error)) error {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	if err := known(cfg, []string{account}); err != nil {
		return err
	}
	record, err := app.OpenLedger(ctx, cfg)
	if err != nil {
		return err
	}
	unlock, err := record.Lock(account)
	if err != nil {
		return errors.Join(err, record.Close())
	}
	done, err := change(ctx, record, cfg.Accounts[account], names)
	if err := errors.Join(err, unlock(), record.Close()); err != nil {
		return err
	}
	if !p.quiet {
		fmt.Fprintln(p.stdout, done)
	}
	return nil
}

// named returns the records of an account's messages by UID or Truehop-ID. One that there is no
// record of is a mistake, and then nothing is done for the others.
func named(ctx context.Context, l app.Ledger, account string, names []string) ([]ledger.Record, error) {
	var found []ledger.Record
	seen := map[ledger.Key]bool{}
	for _, name := range names {
		before := len(found)
		for _, f := range []ledger.Filter{{Account: account, UID: name}, {Account: account, Tokens: []string{name}}} {
			records, err := l.List(ctx, f)
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				if !seen[r.Key] {
					seen[r.Key] = true
					found = append(found, r)
				}
			}
		}
		if name == "" || len(found) == before {
			return nil, unfit("the ledger knows no message %q of account %s, or it is named twice; truehop history %s lists them",
				fetch.Sanitize(name), account, account)
		}
	}
	return found, nil
}
