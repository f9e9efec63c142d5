package app

import (
	"context"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/transfer"
)

// Ledger is the record of messages, wherever it is: [ledger.Ledger] in a file, [postgres.Ledger] in a database.
type Ledger interface {
	transfer.Ledger

	// Lock makes the caller the only one that works on an account.
	Lock(account string) (unlock func() error, err error)

	PassBegan(ctx context.Context, account string, p ledger.Pass) error
	PassEnded(ctx context.Context, account string, p ledger.Pass) error
	Told(ctx context.Context, account string) (ledger.Told, error)
	SetTold(ctx context.Context, account string, t ledger.Told) error
	Refusal(ctx context.Context, account string) (ledger.Refusal, error)
	SetRefusal(ctx context.Context, account string, r ledger.Refusal) error

	Overviews(ctx context.Context, accounts []string) ([]ledger.Overview, error)
	CountsByAccount(ctx context.Context, accounts []string) (map[string]map[ledger.State]int, error)
	Counts(ctx context.Context, account string) (map[ledger.State]int, error)
	Folders(ctx context.Context, account string) ([]string, error)
	Ran(ctx context.Context, account string) (time.Duration, error)

	Close() error
}

// OpenLedger opens the record that the configuration names, and creates it where there is none.
func OpenLedger(ctx context.Context, cfg *config.Config) (Ledger, error) {
	if cfg.State == "" {
		return home(ledger.Open(ctx, cfg.StateDir))
	}
	// Tokens and what the postmaster was told stay on this machine.
	if err := ledger.PrepareDir(cfg.StateDir); err != nil {
		return nil, err
	}
	return home(postgres.Open(ctx, StateOptions(cfg)))
}

// LookAtLedger opens the record for reading. The error is of kind [ledger.NotFound] if there is none.
func LookAtLedger(ctx context.Context, cfg *config.Config) (Ledger, error) {
	if cfg.State == "" {
		return home(ledger.OpenReadOnly(ctx, cfg.StateDir))
	}
	return home(postgres.OpenReadOnly(ctx, StateOptions(cfg)))
}

// MayPrepare reports whether a pass may make the tables of the record in the database that the configuration names.
func MayPrepare(ctx context.Context, cfg *config.Config) (bool, error) {
	return postgres.MayPrepare(ctx, StateOptions(cfg))
}

// home makes an interface of a record, nil where there is none.
func home[L Ledger](opened L, err error) (Ledger, error) {
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// StateOptions say how the database is reached that holds the record. Each of the passes that are made at a time has a connection to read by,
// and one is for what they write.
func StateOptions(cfg *config.Config) postgres.Options {
	return postgres.Options{URL: cfg.State, Term: cfg.Lease, DotOver: cfg.SendingWait, Connections: min(cfg.Passes, 15) + 1, Password: func(ctx context.Context) (string, error) {
		password, err := cfg.StatePassword(ctx)
		return password.Reveal(), err
	}}
}
