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

// openMessages select what status lists message by message, in this order. Refused or deferred mail that was disposed of,
// or taken away by somebody, wants nothing more; what was in doubt when it went may never have arrived.
func openMessages() []ledger.Filter {
	stuck := ledger.StatesWhere(func(s ledger.State) bool { return s.WantsPerson() && s != ledger.Lost })
	return []ledger.Filter{
		{States: stuck, Upstream: true},
		{States: []ledger.State{ledger.Lost}, Unacknowledged: true},
		{States: ledger.StatesWhere(ledger.State.InDoubt)},
		{States: []ledger.State{ledger.Deferred}, Upstream: true},
	}
}

// statusLimit bounds the messages listed for an account, of each group of states.
const statusLimit = 1000

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [ACCOUNT...]",
		Short: "Print what the ledger knows",
		Long: `status prints, from the ledger alone and without connecting anywhere, when each account
was last passed over, how its messages stand, and every message that is not done with.
It may be run at any time, beside a service too.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.status(c.Context(), args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per account and line")
	return c
}

func (p *program) status(ctx context.Context, names []string, asJSON bool) (err error) {
	cfg, err := p.readConfig()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	record, err := ledger.OpenReadOnly(ctx, cfg.StateDir)
	var missing *ledger.Error
	if errors.As(err, &missing) && missing.Kind == ledger.NotFound {
		record = nil // no pass has been made yet, which is a status too
	} else if err != nil {
		return err
	}
	if record != nil {
		defer func() { err = errors.Join(err, record.Close()) }()
	}
	code := exitOK
	for _, a := range accounts {
		s, err := readStatus(ctx, record, a, app.Target(cfg.Target(a)))
		if err != nil {
			return err
		}
		s.Target, s.Several = a.Inject, len(cfg.Inject) > 1
		code = worse(code, statusExit(s))
		if !asJSON {
			s.Print(p.stdout, cfg.StateDir)
		} else if err := s.PrintJSON(p.stdout); err != nil {
			return err
		}
	}
	return ended(code)
}

// statusExit is the code by which a monitor sees that messages want a person or wait, or that the last
// pass failed.
func statusExit(s *ui.AccountStatus) int {
	for _, m := range s.Open {
		if m.State.WantsPerson() {
			return exitPerson
		}
	}
	if s.Error != nil || len(s.Open) > 0 {
		return exitLater
	}
	return exitOK
}

// readStatus reads what the ledger knows of an account, whose mail goes to target: nothing where l is nil.
func readStatus(ctx context.Context, l *ledger.Ledger, a *config.Account, target string) (*ui.AccountStatus, error) {
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
	var open []ledger.Record
	for _, f := range openMessages() {
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
