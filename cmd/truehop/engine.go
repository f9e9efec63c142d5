package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// engine is the configuration brought to life: what all accounts share. It is the
// one place where the packages are put together.
type engine struct {
	cfg    *config.Config
	log    *slog.Logger
	ledger *ledger.Ledger
	mta    *inject.Pool
	// plain is the way to inject.plain, nil where there is none.
	plain *inject.Pool
	names *rdns.Resolver
	// never are the networks that are not presented, beside the special ones.
	never  []netip.Prefix
	budget *semaphore.Weighted
	// now is the clock of the passes.
	now func() time.Time
	// observe is told of every event, after the log; silent leaves the log out.
	observe func(transfer.Event)
	silent  bool
}

// openEngine opens the ledger and readies the way to the MTA; it connects to nobody.
func openEngine(ctx context.Context, cfg *config.Config, log *slog.Logger) (*engine, error) {
	// First of all, for it refuses a state directory of another user's: what root creates there,
	// its owner cannot use.
	record, err := ledger.Open(ctx, cfg.StateDir, ledger.Options{})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.SpoolDir, 0o700); err != nil {
		return nil, errors.Join(&ledger.Error{Kind: ledger.Permission, Op: "create spool_dir", Err: err}, record.Close())
	}
	dial, options, err := mtaOptions(cfg)
	if err != nil {
		return nil, errors.Join(err, record.Close())
	}
	if log.Enabled(ctx, slog.LevelDebug) {
		options.Trace = func(session uint64, line string) { log.Debug(logSMTP, "session", session, "line", line) }
	}
	e := &engine{
		cfg: cfg, log: log, ledger: record, now: time.Now,
		mta:    inject.NewPool(dial, options),
		names:  rdns.New(resolverOptions(cfg.Resolver)),
		never:  options.Never,
		budget: semaphore.NewWeighted(int64(cfg.Budget)),
	}
	if cfg.Inject.Plain != (config.Endpoint{}) {
		e.plain = inject.NewPool(plainOptions(&cfg.Inject))
	}
	return e, nil
}

// close ends the sessions with the MTA and closes the ledger.
func (e *engine) close(ctx context.Context) error {
	err := e.mta.Close(ctx)
	if e.plain != nil {
		err = errors.Join(err, e.plain.Close(ctx))
	}
	return errors.Join(err, e.ledger.Close())
}

// passOptions are what the command line adds to an account's configuration.
type passOptions struct {
	dryRun, accept, adopt bool
}

// pass makes one pass over an account, under its lock, and records how it ended.
func (e *engine) pass(ctx context.Context, account *config.Account, o passOptions) (summary transfer.Summary, err error) {
	unlock, err := e.ledger.Lock(account.Name)
	if err != nil {
		return transfer.Summary{}, err
	}
	// Deferred, so that a pass that panics under serve does not keep the account from the next.
	defer func() { err = errors.Join(err, unlock()) }()
	began := e.now()
	p := e.plan(account, o)
	if o.dryRun {
		return p.Run(ctx)
	}
	last, _, err := e.ledger.LastPass(ctx, account.Name)
	if err != nil {
		return summary, err
	}
	p.Failed = !last.Began.IsZero() && !last.OK
	if err := e.ledger.PassBegan(ctx, account.Name, ledger.Pass{Began: began}); err != nil {
		return summary, err
	}
	summary, err = p.Run(ctx)
	ended := ledger.Pass{
		Began: began, Ended: e.now(), OK: err == nil, Listed: summary.Listed, Delivered: summary.Delivered,
		Deferred: summary.Deferred, Refused: summary.Refused + summary.PartlyRefused, Held: summary.Held, InDoubt: summary.Doubt,
	}
	switch {
	case errors.Is(err, context.Canceled):
		ended.Error = "cut short, the program was told to end"
	case err != nil:
		ended.Error = err.Error()
	}
	// How a pass ended is recorded even when it ended because the program does.
	return summary, errors.Join(err, e.ledger.PassEnded(context.WithoutCancel(ctx), account.Name, ended))
}

// plan is the pass that an account's configuration asks for.
func (e *engine) plan(a *config.Account, o passOptions) transfer.Pass {
	p := transfer.Pass{
		Account: a.Name, Folders: a.Folders,
		Dial: func(ctx context.Context) (fetch.Mailbox, error) { return dialUpstream(ctx, a, e.log) },
		MTA:  e.mta, Ledger: e.ledger, Policy: policy(a), LookupName: e.lookupName,
		Recipients: a.Recipients, Sender: a.Sender,
		Recipient:   transfer.RecipientRule{From: a.RecipientFrom, Domains: a.RecipientDomains, StripPrefix: a.RecipientStripPrefix},
		Client:      clientRules(a, e.never),
		OnDelivered: a.OnDelivered, OnRefused: a.OnRefused.Disposal, Quarantine: a.OnRefused.Quarantine,
		Retry:    transfer.Retry{Min: a.RetryMin, Max: a.RetryMax, GiveUp: a.GiveUpAfter},
		Flood:    transfer.Flood{Limit: a.FloodLimit, First: a.FirstRun, Accept: o.accept, Adopt: o.adopt},
		SpoolDir: e.cfg.SpoolDir, Budget: e.budget, BudgetSize: int64(e.cfg.Budget),
		Ordered: e.cfg.Inject.Connections == 1, DryRun: o.dryRun, Now: e.now, Observe: e.tell,
	}
	if e.plain != nil {
		p.Plain = e.plain
	}
	return p
}

// tell logs an event and passes it on.
func (e *engine) tell(event transfer.Event) {
	if !e.silent {
		logEvent(e.log, event, e.cfg.Log.Addresses)
	}
	if e.observe != nil {
		e.observe(event)
	}
}

func (e *engine) lookupName(ctx context.Context, addr netip.Addr) transfer.Name {
	return lookupName(ctx, e.names, addr)
}

// lookupName asks the DNS for the name of a client.
func lookupName(ctx context.Context, names *rdns.Resolver, addr netip.Addr) transfer.Name {
	n := names.Name(ctx, addr)
	return transfer.Name{Verified: n.Verified, Reverse: n.Reverse, Temporary: n.Temporary}
}

// policy is the account's rule of whom to believe.
func policy(a *config.Account) received.Policy {
	if len(a.MX)+len(a.Internal)+len(a.InternalNets) > 0 || a.Hops > 0 {
		return received.Policy{MX: a.MX, Internal: a.Internal, InternalNets: a.InternalNets, Hops: a.Hops}
	}
	return a.Provider.Policy(a.Host)
}

// clientRules are the account's rules for what is presented; never are the networks that are not.
func clientRules(a *config.Account, never []netip.Prefix) transfer.ClientRules {
	return transfer.ClientRules{
		Unknown: a.OnUnknownClient, Never: never, Submission: a.Submission, Name: a.ClientName,
		StaleAfter: a.StaleAfter, Stale: a.OnStale,
	}
}
