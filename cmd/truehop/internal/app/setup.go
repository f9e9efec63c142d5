package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// setup is what one reading of the configuration comes to. A pass keeps the one that it began with.
type setup struct {
	cfg  *config.Config
	opts Options
	// mtas are the ways to the targets, by their names.
	mtas   map[string]*pools
	names  *rdns.Resolver
	budget *semaphore.Weighted
}

// setUp readies what a configuration asks for, and takes over from before what is the same there.
func setUp(cfg *config.Config, o Options, before setup) (setup, error) {
	if err := os.MkdirAll(cfg.SpoolDir, 0o700); err != nil {
		return setup{}, noSpool(cfg.SpoolDir, os.Geteuid(), err)
	}
	if err := transfer.CheckSpool(cfg.SpoolDir, os.Geteuid()); err != nil {
		return setup{}, err
	}
	mtas, err := openPools(cfg, o, before.mtas)
	if err != nil {
		return setup{}, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	now := setup{cfg: cfg, opts: o, mtas: mtas, names: before.names, budget: before.budget}
	if before.cfg == nil || before.cfg.Resolver != cfg.Resolver {
		now.names = rdns.New(ResolverOptions(cfg.Resolver))
	}
	if before.cfg == nil || before.cfg.Budget != cfg.Budget {
		now.budget = semaphore.NewWeighted(int64(cfg.Budget))
	}
	return now, nil
}

// SpoolCreatable says why a user could not create the spool directory where it is not there yet, and creates nothing.
func SpoolCreatable(dir string, user int) error {
	at := filepath.Clean(dir)
	for {
		_, err := os.Stat(at)
		if !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	if at == filepath.Clean(dir) {
		return nil
	}
	var err error
	if user == os.Geteuid() {
		err = unix.Access(at, unix.W_OK|unix.X_OK)
	} else {
		err = Access(at, user, MayWrite|MaySearch)
	}
	if err != nil {
		return noSpool(dir, user, err)
	}
	return nil
}

func noSpool(dir string, user int, err error) error {
	return &ledger.Error{Kind: ledger.Permission, Op: "spool_dir cannot be created", Path: dir, Err: err,
		Advice: "create it for " + ledger.UserName(user) + " with mode 0700, or set spool_dir to a place below state_dir"}
}

// receipts returns what gets the receipts of a target.
func (s setup) receipts(target string) func(inject.Receipt) {
	if s.opts.Receipt == nil {
		return func(inject.Receipt) {}
	}
	return func(r inject.Receipt) { s.opts.Receipt(target, r) }
}

// setup returns the one that holds now.
func (a *App) setup() setup {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// begin returns the setup for a pass over an account, whose target stays open until done is called. done is nil where there is
// no such target any more.
func (a *App) begin(account *config.Account) (now setup, done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	target := a.current.cfg.Target(account)
	if target == nil {
		return a.current, nil
	}
	to := a.current.mtas[target.Name]
	to.users.Add(1)
	return a.current, to.users.Done
}

// Reload has the passes that begin from now on go by another configuration. Those under way end by the one that they began with,
// and so does what they have said to the MTA. After an error everything goes on as it was.
func (a *App) Reload(cfg *config.Config, o Options) error {
	before := a.setup()
	if before.cfg.StateDir != cfg.StateDir {
		return &config.Error{Problems: []config.Problem{{Source: cfg.Path, Key: "state_dir",
			Text: fmt.Sprintf("cannot change while the service runs, for other accounts are in the record in %s; restart it", before.cfg.StateDir)}}}
	}
	for _, key := range []struct {
		name    string
		changed bool
	}{ // by which the record was opened
		{"state", before.cfg.State != cfg.State},
		{"state_password_file", before.cfg.StatePasswordFile != cfg.StatePasswordFile},
		{"state_password_command", !slices.Equal(before.cfg.StatePasswordCommand, cfg.StatePasswordCommand)},
		{"state_password_credential", before.cfg.StatePasswordCredential != cfg.StatePasswordCredential},
		{"lease", before.cfg.Lease != cfg.Lease},
		{"sending_wait", before.cfg.SendingWait != cfg.SendingWait},
	} {
		if key.changed {
			return &config.Error{Problems: []config.Problem{{Source: cfg.Path, Key: key.name, Text: "cannot change while the service runs; restart it"}}}
		}
	}
	next, err := setUp(cfg, o, before)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.current = next
	a.mu.Unlock()
	a.idles.Resize(cfg.IdleConnections, cfg.IdlePerHost)
	come, gone := before.cfg.Changed(cfg)
	for _, name := range slices.Concat(come, gone) {
		a.logins.forget(name)
	}
	for name, old := range before.mtas {
		if next.mtas[name] == old {
			continue
		}
		a.retired.Go(func() {
			old.users.Wait() // nobody comes any more
			if err := old.close(context.Background()); err != nil && o.Logger != nil && !errors.Is(err, context.Canceled) {
				o.Logger.Warn("sessions with a former target did not end well", "target", name, "error", err.Error())
			}
		})
	}
	return nil
}

// Overviews returns what the ledger knows of each account of the configuration.
func (a *App) Overviews(ctx context.Context) ([]ledger.Overview, error) {
	return a.ledger.Overviews(ctx, a.setup().cfg.Names())
}

// Counts returns how many messages of each account of the configuration are in each state.
func (a *App) Counts(ctx context.Context) (map[string]map[ledger.State]int, error) {
	return a.ledger.CountsByAccount(ctx, a.setup().cfg.Names())
}
