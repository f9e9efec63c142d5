package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) runCommand() *cobra.Command {
	var dryRun bool
	var accept, adopt []string
	c := &cobra.Command{
		Use:   "run [ACCOUNT...]",
		Short: "Make one pass over each account",
		Long: `run makes one pass over each account, or over those named: it fetches what is new,
injects it, records the verdicts and settles the messages upstream. Made for the
command line, cron and systemd timers: with --quiet it says nothing unless something is wrong.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), args, dryRun, accept, adopt)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "ask the MTA up to RCPT what it would say; change nothing")
	c.Flags().StringArrayVar(&accept, "accept", nil, "deliver the unknown messages of `ACCOUNT` although its mailbox looks renumbered")
	c.Flags().StringArrayVar(&adopt, "adopt", nil, "record the unknown messages of `ACCOUNT` as done, delivering none of them")
	return c
}

// run makes one pass over each of the named accounts, several at a time.
func (p *program) run(ctx context.Context, names []string, dryRun bool, accept, adopt []string) error {
	cfg, log, err := p.load()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	if err := known(cfg, slices.Concat(accept, adopt)); err != nil {
		return err
	}
	for _, name := range accept {
		if slices.Contains(adopt, name) {
			return usage("--accept %s and --adopt %s exclude each other", name, name)
		}
	}
	o := logged(ctx, log)
	var verdicts ui.Verdicts
	if dryRun {
		o.Observe = verdicts.Add
	}
	a, err := app.Open(ctx, cfg, o)
	if err != nil {
		return err
	}
	p.tellAwaited(a, log)
	code := passes(ctx, a, cfg.Passes, accounts, func(name string) app.PassOptions {
		return app.PassOptions{DryRun: dryRun, Accept: slices.Contains(accept, name), Adopt: slices.Contains(adopt, name)}
	}, log)
	switch {
	case dryRun && verdicts.Len() > 0:
		verdicts.PrintDryRun(p.stdout)
	case dryRun && code == exitOK:
		fmt.Fprintln(p.stdout, "nothing new")
	}
	if err := a.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	return ended(code)
}

// logged has everything that happens logged.
func logged(ctx context.Context, log *ui.Log) app.Options {
	o := app.Options{Observe: log.Event, NotWatching: log.NotWatching, Logger: log.Logger}
	if log.Enabled(ctx, slog.LevelDebug) {
		o.Trace = log.SMTP
	}
	return o
}

// passes makes a pass over each account, so many at a time, and returns the worst exit code.
func passes(ctx context.Context, a *app.App, parallel int, accounts []*config.Account, options func(string) app.PassOptions, log *ui.Log) int {
	var mu sync.Mutex
	code := exitOK
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, account := range accounts {
		group.Go(func() error {
			o := options(account.Name)
			summary, err := a.Pass(ctx, account, o)
			if !o.DryRun || err != nil {
				log.Pass(account.Name, summary, err)
			}
			if o.DryRun {
				summary = transfer.Summary{} // nothing of it happened
			}
			mu.Lock()
			defer mu.Unlock()
			code = worse(code, worse(exitCode(err), summaryExit(summary)))
			return nil
		})
	}
	_ = group.Wait() // no function of the group returns an error: each account has its own end
	return code
}
