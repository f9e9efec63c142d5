// Package app is the configuration brought to life: the one place where the packages of the module are put
// together. What happens it reports by the functions in [Options] and by what it returns; how that is
// shown is not decided here.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/transfer"
)

// App is what all accounts share: the ledger, the sessions with the MTA, the resolver.
type App struct {
	ledger Ledger
	// mu guards current.
	mu      sync.Mutex
	current setup
	// retired closes the sessions of targets that are gone, once no pass uses them.
	retired sync.WaitGroup
	// awaited counts the messages that wait for the reply to their dot.
	awaited atomic.Int64
	// watchers are the goroutines of Watch, logins what they share with the passes.
	watchers sync.WaitGroup
	logins   logins
	shares   shares
	// idles bound the connections of the watchers.
	idles schedule.Slots
}

// Options say where reports of what happens go. Functions are called from several goroutines.
type Options struct {
	// Observe, if not nil, gets every event of every pass.
	Observe func(transfer.Event)
	// Arriving, if not nil, is told how many octets have come of the message that an account's pass is reading. It must not block.
	Arriving func(account string, octets int64)
	// Ended, if not nil, is told how each pass ended, and of those that were not made because of err.
	Ended func(account string, s transfer.Summary, err error)
	// NotWatching, if not nil, gets why no new mail is noticed by IDLE: it is tried again later, unless
	// the server does not offer it.
	NotWatching func(account string, err error)
	// Watching, if not nil, is called when a watcher of a folder does something, and says within which time it will again; 0 is
	// for a wait that ends with a pass over the account, less than 0 for the watcher's end.
	Watching func(account, folder string, within time.Duration)
	// Explain, if not nil, says what to do about the error that a pass ended with, and which exit code stands for it: both are
	// recorded, for those who ask later.
	Explain func(err error) (hint string, exit int)
	// Trace, if not nil, gets each line of the dialogues with the MTA, without secrets.
	Trace func(session uint64, line string)
	// Session, Reset and Receipt, if not nil, are called for each connection made to a target, for each client presented there in a
	// session that had presented another one before, and for how each message put to it ended.
	Session, Reset func(target string)
	Receipt        func(target string, r inject.Receipt)
	// Trouble, if not nil, is told of each mail to the postmaster about a kind of trouble, and why it could not be sent.
	Trouble func(account, kind string, err error)
	// Logger, if not nil, gets what is odd about upstreams, and at debug level the dialogues with them.
	Logger *slog.Logger
	// Now is the clock of the passes; nil is that of the system.
	Now func() time.Time
}

// Open opens the ledger and readies the way to the MTA; it connects to nobody.
func Open(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	// First of all, for it refuses a state directory of another user's: what root creates there,
	// its owner cannot use.
	record, err := OpenLedger(ctx, cfg)
	if err != nil {
		return nil, err
	}
	first, err := setUp(cfg, o, setup{})
	if err != nil {
		return nil, errors.Join(err, record.Close())
	}
	a := &App{ledger: record, current: first}
	a.idles.Resize(cfg.IdleConnections, cfg.IdlePerHost)
	return a, nil
}

// Close waits for what Watch began, ends the sessions with the MTA and closes the ledger.
func (a *App) Close(ctx context.Context) error {
	a.watchers.Wait()
	var err error
	for _, p := range a.setup().mtas {
		err = errors.Join(err, p.close(ctx))
	}
	a.retired.Wait()
	return errors.Join(err, a.ledger.Close())
}

// PassOptions are what the command line adds to an account's configuration.
type PassOptions struct {
	DryRun, Accept, Adopt bool
	// Now has the pass log in although the credentials were refused a while ago.
	Now bool
	// Newest limits a dry run to so many messages of each folder, 0 does not.
	Newest int
}

// Pass makes one pass over an account, under its lock, and records how it ended. Where a login has to wait it makes none,
// and returns a [*RefusedError].
func (a *App) Pass(ctx context.Context, account *config.Account, o PassOptions) (summary transfer.Summary, err error) {
	if ended := a.setup().opts.Ended; ended != nil {
		defer func() { ended(account.Name, summary, err) }()
	}
	unlock, err := a.ledger.Lock(account.Name)
	if err != nil {
		return transfer.Summary{}, err
	}
	// Deferred, so that a pass that panics under serve does not keep the account from the next.
	defer func() { err = errors.Join(err, unlock()) }()
	now, done := a.begin(account)
	if done == nil {
		return summary, context.Canceled // the account goes to a target that is gone: whoever tells that to the pass comes
	}
	defer done()
	a.shares.begin(account.Name)
	defer a.shares.end(account.Name)
	if !o.DryRun {
		defer func() { a.tellTrouble(ctx, now, account, summary, err) }()
	}
	began := now.opts.Now()
	if !o.Now {
		if err := a.loginWaits(ctx, account); err != nil {
			return summary, err
		}
	}
	p := a.plan(now, account, o)
	if shared := a.Shared(); shared != nil {
		p.MayEnd, p.SendingUntil = shared.MayEnd(account.Name), shared.SendingUntil(account.Name)
	}
	if o.DryRun {
		summary, err = p.Run(ctx)
		return summary, withFolderHint(err, account)
	}
	last, _, err := a.ledger.LastPass(ctx, account.Name)
	if err != nil {
		return summary, err
	}
	p.Last, p.Failed = last.Began, !last.Began.IsZero() && !last.OK
	if err := a.ledger.PassBegan(ctx, account.Name, ledger.Pass{Began: began}); err != nil {
		return summary, err
	}
	summary, err = p.Run(ctx)
	err = withFolderHint(err, account)
	ended := ledger.Pass{
		Began: began, Ended: now.opts.Now(), OK: err == nil, Listed: summary.Listed, Delivered: summary.Delivered,
		Deferred: summary.Deferred, Refused: summary.Refused + summary.PartlyRefused + summary.Quarantined, Held: summary.Held, InDoubt: summary.Doubt,
	}
	var refused *RefusedError
	switch {
	case errors.As(err, &refused): // the ledger has beside it until when logins wait
		ended.Error = refused.Err.Error()
	case errors.Is(err, context.Canceled):
		ended.Error = "cut short, the program was told to end"
	case err != nil:
		ended.Error = err.Error()
	case summary.Unlisted > 0:
		ended.Error = fmt.Sprintf("messages out of reach, which the server does not list, or not so that it can be read: %d", summary.Unlisted)
	}
	if err != nil && now.opts.Explain != nil {
		ended.Hint, ended.Exit = now.opts.Explain(err)
	}
	// How a pass ended is recorded even when it ended because the program does.
	return summary, errors.Join(err, a.ledger.PassEnded(context.WithoutCancel(ctx), account.Name, ended))
}

// Shared returns the ledger where it is one by which several machines share accounts, nil where it is this machine's own.
func (a *App) Shared() *postgres.Ledger {
	shared, _ := any(a.ledger).(*postgres.Ledger)
	return shared
}

// Plan is the pass that an account's configuration asks for.
func (a *App) Plan(account *config.Account, o PassOptions) transfer.Pass {
	return a.plan(a.setup(), account, o)
}

// plan is Plan by a setup.
func (a *App) plan(now setup, account *config.Account, o PassOptions) transfer.Pass {
	target := now.cfg.Target(account)
	to := now.mtas[target.Name]
	who := aPass
	if o.Now {
		who = aPerson
	}
	p := transfer.Pass{
		Account: account.Name, Mailbox: account.UserAtHost(), Folders: account.Selection(),
		Dial: func(ctx context.Context) (fetch.Mailbox, error) {
			logIn := func() (fetch.Mailbox, error) { return a.logInInTurn(ctx, account, who) }
			return a.shares.logIn(account.Name, logIn)
		},
		LookupName: func(ctx context.Context, addr netip.Addr) transfer.Name { return lookupName(ctx, now.names, addr) },
		MTA:        awaiting{to.mta, &a.awaited, now.receipts(target.Name)}, Expect: to.mta.Expect, Ledger: a.ledger, Policy: policy(account),
		Recipients: account.Recipients, Sender: account.Sender,
		Recipient:   transfer.RecipientRule{From: account.RecipientFrom, Domains: account.RecipientDomains, StripPrefix: account.RecipientStripPrefix},
		Client:      clientRules(account, target),
		OnDelivered: account.OnDelivered, OnRefused: account.OnRefused.Disposal, Quarantine: account.OnRefused.Quarantine,
		MarkDelivered: account.MarkDelivered, DeleteAfter: account.DeleteAfter, RefusedGrace: account.RefusedGrace, Target: Target(target),
		Retry:    transfer.Retry{Min: account.RetryMin, Max: account.RetryMax, GiveUp: account.GiveUpAfter},
		Flood:    transfer.Flood{Limit: account.FloodLimit, First: account.FirstRun, Accept: o.Accept, Adopt: o.Adopt},
		Search:   account.Search.Search,
		Limit:    transfer.Limit{Messages: account.MaxMessages, Octets: int64(account.MaxBytes)},
		SpoolDir: now.cfg.SpoolDir, Budget: now.budget, BudgetSize: int64(now.cfg.Budget),
		Ordered: target.Connections == 1, DryRun: o.DryRun, Newest: o.Newest, Now: now.opts.Now, Observe: now.opts.Observe,
	}
	if arriving := now.opts.Arriving; arriving != nil {
		p.Arriving = func(octets int64) { arriving(account.Name, octets) }
	}
	if to.plain != nil {
		if !account.Filter { // then all goes there
			p.Expect = to.plain.Expect
		}
		p.Plain = awaiting{to.plain, &a.awaited, now.receipts(target.Name)}
	}
	return p
}

// policy is the account's rule of whom to believe.
func policy(a *config.Account) received.Policy {
	p := received.Policy{MX: a.MX, Internal: a.Internal, Hops: a.Hops}
	if len(a.MX)+len(a.Internal) == 0 && a.Hops == 0 {
		p = a.Provider.Policy(a.Host)
	}
	p.InternalNets = append(p.InternalNets, a.InternalNets...)
	p.Gateways = a.Gateways
	p.Edge = p.Edge || a.Edge
	return p
}

// clientRules are the account's rules for what is presented to its target.
func clientRules(a *config.Account, in *config.Target) transfer.ClientRules {
	return transfer.ClientRules{
		Unfiltered: !a.Filter,
		Unknown:    a.OnUnknownClient, Internal: a.OnInternal,
		StandIns: transfer.StandIns{Unknown: in.UnknownClientAddress.Addr, Internal: in.InternalClientAddress.Addr},
		Never:    neverPresented(in), Submission: a.Submission, Name: a.ClientName, StaleAfter: a.StaleAfter, Stale: a.OnStale,
	}
}
