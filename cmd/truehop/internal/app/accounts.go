package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
)

// WithAccounts returns a configuration from files with the accounts that it has in a table besides, if it has one.
func WithAccounts(ctx context.Context, files *config.Config) (*config.Config, error) {
	if files.AccountsFrom == "" {
		return files, nil
	}
	rows, err := OpenAccounts(ctx, files, true)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all, err := rows.List(ctx)
	if err != nil {
		return nil, err
	}
	table := config.NewTable(files)
	table.Set(Rows(all)...)
	return table.Config(), nil
}

// OpenAccounts opens the table of accounts that a configuration names.
func OpenAccounts(ctx context.Context, cfg *config.Config, readOnly bool) (*postgres.Accounts, error) {
	o := postgres.Options{URL: cfg.AccountsFrom}
	if cfg.AccountsFrom == config.FromState {
		o = StateOptions(cfg)
	}
	return postgres.OpenAccounts(ctx, o, readOnly)
}

// Rows are rows of the table as the configuration reads them.
func Rows(all []postgres.Account) []config.Row {
	rows := make([]config.Row, len(all))
	for i, a := range all {
		rows[i] = config.Row{Name: a.Name, Settings: a.Settings, Enabled: a.Enabled, Secret: a.Secret, Changed: a.Changed}
	}
	return rows
}

const (
	// accountsNet is after how long the whole table is compared, whatever was told.
	accountsNet = 5 * time.Minute
	// accountsPause is the pause before a connection that was lost is made again; it doubles up to the longest.
	accountsPause        = time.Second
	longestAccountsPause = time.Minute
)

// FollowAccounts tells changed of each change in the table that cfg names, until ctx ends. known is when each row was
// written as far as it is known. trouble is told why nothing is known of changes, and nil when it is again.
func FollowAccounts(ctx context.Context, cfg *config.Config, known func() map[string]time.Time, changed func(rows []config.Row, gone []string), trouble func(error)) {
	pause := accountsPause
	for {
		err := follow(ctx, cfg, known, changed, func() {
			pause = accountsPause
			trouble(nil)
		})
		if ctx.Err() != nil {
			return
		}
		trouble(err)
		select {
		case <-time.After(pause/2 + rand.N(pause)): // the nodes of a fleet do not come at once
			pause = min(2*pause, longestAccountsPause)
		case <-ctx.Done():
			return
		}
	}
}

// follow is FollowAccounts by one connection. sound is called when the table was compared.
func follow(ctx context.Context, cfg *config.Config, known func() map[string]time.Time, changed func(rows []config.Row, gone []string), sound func()) error {
	table, err := OpenAccounts(ctx, cfg, true)
	if err != nil {
		return err
	}
	defer table.Close()
	return table.Listen(ctx, accountsNet, func(names []string) error {
		var rows []postgres.Account
		var gone []string
		var err error
		if names == nil {
			rows, gone, err = table.Difference(ctx, known())
		} else {
			rows, err = table.Named(ctx, names)
			known := map[string]bool{}
			for _, a := range rows {
				known[a.Name] = true
			}
			gone = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known[name] })
		}
		if err != nil {
			return err
		}
		sound()
		if len(rows)+len(gone) > 0 {
			changed(Rows(rows), gone)
		}
		return nil
	})
}

// TellSkipped records that a row of the table is no account, and says whether that is to be told: once until the row or what is
// wrong with it changes, then once a day. The memory of it is apart from that of an account with the same name. A process that serves
// accounts with others has no lock on it: two that see the row in the same moment may both tell it.
func (a *App) TellSkipped(ctx context.Context, row config.SkippedRow) Telling {
	key := "row:" + row.Name // no account is called so
	unlock, err := a.ledger.Lock(key)
	if ledger.KindOf(err) == ledger.Fenced {
		unlock, err = func() error { return nil }, nil
	}
	if err != nil {
		return Telling{Known: ledger.KindOf(err) == ledger.Busy} // another process tells it
	}
	ctx = context.WithoutCancel(ctx)
	last, err := a.ledger.Told(ctx, key)
	if err != nil {
		return Telling{Known: errors.Join(err, unlock()) == nil}
	}
	t, next := tellingOf(last, kindFailed+row.Changed.UTC().Format(time.RFC3339Nano)+" "+row.Error(), a.setup().opts.Now())
	if err := errors.Join(a.ledger.SetTold(ctx, key, next), unlock()); err != nil {
		return Telling{} // it would be told as known without having been told
	}
	return t
}
