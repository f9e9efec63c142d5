package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule/ledger"
)

func (p *program) historyCommand() *cobra.Command {
	var asJSON bool
	var last int
	c := &cobra.Command{
		Use:   "history [ACCOUNT...]",
		Short: "Print what became of the latest messages",
		Long: `history prints, from the ledger alone and without connecting anywhere, what became of the
latest messages of each account, the newest first: when, the client that was presented, the MTA's
reply and its queue id. It may be run at any time, beside a service too.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			if last < 1 {
				return usage("--last wants a number of messages, 1 or more")
			}
			return p.history(c.Context(), args, last, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per message and line")
	c.Flags().IntVarP(&last, "last", "n", 100, "print the last `N` messages of each account")
	return c
}

func (p *program) history(ctx context.Context, names []string, last int, asJSON bool) (err error) {
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
		if !p.quiet {
			fmt.Fprintf(p.stderr, "truehop: no pass has been made by the record in %s\n", cfg.StateDir)
		}
		return nil
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	for _, a := range accounts {
		found, err := record.List(ctx, ledger.Filter{Account: a.Name, Limit: last})
		if err != nil {
			return err
		}
		if !asJSON {
			ui.PrintHistory(p.stdout, found)
		} else if err := ui.PrintHistoryJSON(p.stdout, found, cfg.Target(a).Name); err != nil {
			return err
		}
	}
	return nil
}
