package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// statusLimit bounds the messages listed for an account, of each group of states.
const statusLimit = 1000

// statusOptions are what the command line says of status.
type statusOptions struct {
	json, check, watch bool
	maxAge             time.Duration
}

func (p *program) statusCommand() *cobra.Command {
	var o statusOptions
	c := &cobra.Command{
		Use:   "status [ACCOUNT...]",
		Short: "Print what the ledger knows",
		Long: `status prints, from the ledger alone and without connecting anywhere, when each account
was last passed over, how its messages stand, and every message that is not done with.
Below that stands what a person can do. It may be run at any time, beside a service too. The exit code is
that of run for the same fact.

With --check it is a plugin for Nagios and its like: one line, and the exit codes 0 for OK, 1 for WARNING, 2
for CRITICAL, 3 for UNKNOWN. CRITICAL is an account whose last good pass is older than --max-age. Messages
that want a person are a WARNING for a day, and are only counted after that.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			several := 0
			for _, one := range []bool{o.json, o.check, o.watch} {
				if one {
					several++
				}
			}
			switch {
			case several > 1:
				return usage("--json, --check and --watch exclude each other")
			case c.Flags().Changed("max-age") && !o.check:
				return usage("--max-age is for --check")
			case o.maxAge <= 0:
				return usage("--max-age wants a time, such as 1h")
			case o.check:
				return p.statusCheck(c.Context(), args, o.maxAge)
			case o.watch:
				return p.statusWatch(c.Context(), args)
			}
			return p.status(c.Context(), args, o.json)
		},
	}
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON object per account and line")
	c.Flags().BoolVar(&o.check, "check", false, "print one line and exit as a monitoring plugin does")
	c.Flags().DurationVar(&o.maxAge, "max-age", time.Hour, "with --check: how old the last good pass may be")
	c.Flags().BoolVar(&o.watch, "watch", false, "print it again every two seconds, until a signal")
	return c
}

func (p *program) status(ctx context.Context, names []string, asJSON bool) error {
	all, dir, err := p.readStatuses(ctx, names)
	if err != nil {
		return err
	}
	code := exitOK
	for _, s := range all {
		code = worse(code, statusExit(s))
		if !asJSON {
			s.Print(p.page(), dir, time.Now())
		} else if err := s.PrintJSON(p.stdout); err != nil {
			return err
		}
	}
	if !asJSON {
		ui.PrintTotals(p.page(), all)
	}
	return ended(code)
}

// readStatuses reads what the ledger knows of the named accounts, or of all, and returns where the ledger is.
func (p *program) readStatuses(ctx context.Context, names []string) (all []*ui.AccountStatus, dir string, err error) {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return nil, "", err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return nil, "", err
	}
	record, err := app.LookAtLedger(ctx, cfg)
	var missing *ledger.Error
	if errors.As(err, &missing) && missing.Kind == ledger.NotFound {
		record = nil // no pass has been made yet, which is a status too
	} else if err != nil {
		return nil, "", err
	}
	if record != nil {
		defer func() { err = errors.Join(err, record.Close()) }()
	}
	for _, a := range accounts {
		s, err := readStatus(ctx, record, a, app.Target(cfg.Target(a)))
		if err != nil {
			return nil, "", err
		}
		s.Mask(cfg.Log.Addresses)
		s.Target, s.Several = a.Inject, len(cfg.Inject) > 1
		all = append(all, s)
	}
	if len(names) == 0 {
		for _, row := range cfg.Skipped {
			all = append(all, ui.NewSkippedStatus(row, exitConfig))
		}
	}
	return all, cfg.Record(), nil
}

// statusExit is the code by which a monitor sees that messages want a person or wait, or that the last
// pass failed: the one with which run ended then.
func statusExit(s *ui.AccountStatus) int {
	code := exitOK
	if s.Error != nil || len(s.Open) > 0 {
		code = exitLater
	}
	if s.Exit != exitOK {
		code = s.Exit
	}
	if s.LoginRefused != nil { // of the watchers, too, whose passes do not begin then
		code = worse(code, exitCredentials)
	}
	for _, m := range s.Open {
		if m.State.WantsPerson() {
			return worse(code, exitPerson)
		}
	}
	return code
}

// readStatus reads what the ledger knows of an account, whose mail goes to target: nothing where l is nil.
func readStatus(ctx context.Context, l app.Ledger, a *config.Account, target string) (*ui.AccountStatus, error) {
	if l == nil {
		return ui.NewAccountStatus(a.Name, ledger.Pass{}, time.Time{}, map[ledger.State]int{}, nil, nil), nil
	}
	last, success, err := l.LastPass(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	counts, err := l.Counts(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	// What is listed message by message, in this order. Refused or deferred mail that was disposed of, or taken away by
	// somebody, wants nothing more; what was in doubt when it went may never have arrived.
	stuck := ledger.StatesWhere(func(s ledger.State) bool { return s.WantsPerson() && s != ledger.Lost })
	var open []ledger.Record
	for _, f := range []ledger.Filter{
		{States: stuck, Upstream: true},
		{States: []ledger.State{ledger.Lost}, Unacknowledged: true},
		{States: ledger.StatesWhere(ledger.State.InDoubt)},
		{States: []ledger.State{ledger.Deferred}, Upstream: true},
	} {
		f.Account, f.Limit = a.Name, statusLimit
		found, err := l.List(ctx, f)
		if err != nil {
			return nil, err
		}
		open = append(open, found...)
	}
	brake := transfer.Brake{Grace: a.RefusedGrace}
	if brake.Proof, err = l.Proof(ctx, target); err != nil {
		return nil, err
	}
	ran, err := l.Ran(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	s := ui.NewAccountStatus(a.Name, last, success, counts, open, func(r ledger.Record) string {
		if r.State != ledger.Refused || a.OnRefused.Disposal.Action == fetch.Keep {
			return ""
		}
		return brake.Holds(ran-r.Ran, r.Judged)
	})
	folders := a.Folders
	if !a.Selection().Fixed() { // those that were chosen once
		if folders, err = l.Folders(ctx, a.Name); err != nil {
			return nil, err
		}
	}
	refusal, err := l.Refusal(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	s.SetRefusal(refusal)
	for _, folder := range folders {
		trust, err := l.Trust(ctx, a.Name, folder)
		if err != nil {
			return nil, err
		}
		s.Restored = s.Restored || trust == ledger.Outdated
	}
	return s, nil
}
