package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) runCommand() *cobra.Command {
	var o passOptions
	var accept, adopt []string
	c := &cobra.Command{
		Use:   "run [ACCOUNT...]",
		Short: "Make one pass over each account",
		Long: `run makes one pass over each account, or over those named: it fetches what is new,
injects it, records the verdicts and settles the messages upstream. Made for the
command line, cron and systemd timers: with --quiet it says nothing unless something is wrong.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), args, o, accept, adopt)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "ask the MTA up to RCPT what it would say; change nothing")
	c.Flags().StringArrayVar(&accept, "accept", nil, "deliver the unknown messages of `ACCOUNT` although its mailbox looks renumbered")
	c.Flags().StringArrayVar(&adopt, "adopt", nil, "record the unknown messages of `ACCOUNT` as done, delivering none of them")
	return c
}

// run makes one pass over each of the named accounts, several at a time.
func (p *program) run(ctx context.Context, names []string, o passOptions, accept, adopt []string) error {
	cfg, log, err := p.load()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names, accept, adopt)
	if err != nil {
		return err
	}
	e, err := openEngine(ctx, cfg, log)
	if err != nil {
		return err
	}
	var table *dryTable
	if o.dryRun {
		table = &dryTable{}
		e.observe, e.silent = table.add, true
	}
	code := p.passes(ctx, e, accounts, func(name string) passOptions {
		return passOptions{dryRun: o.dryRun, accept: slices.Contains(accept, name), adopt: slices.Contains(adopt, name)}
	})
	switch {
	case table != nil && len(table.events) > 0:
		table.print(p.stdout)
	case table != nil && code == exitOK:
		fmt.Fprintln(p.stdout, "nothing new")
	}
	if err := e.close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if code != exitOK {
		return &outcomeError{code}
	}
	return nil
}

// passes makes the passes and returns the worst exit code.
func (p *program) passes(ctx context.Context, e *engine, accounts []*config.Account, options func(string) passOptions) int {
	var mu sync.Mutex
	code := exitOK
	var group errgroup.Group
	group.SetLimit(e.cfg.Passes)
	for _, a := range accounts {
		group.Go(func() error {
			o := options(a.Name)
			summary, err := e.pass(ctx, a, o)
			if !o.dryRun || err != nil {
				logPass(e.log, a.Name, summary, err)
			}
			if o.dryRun {
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

// choose returns the accounts to work on: those named, or all.
func choose(cfg *config.Config, names, accept, adopt []string) ([]*config.Account, error) {
	for _, name := range slices.Concat(names, accept, adopt) {
		if cfg.Accounts[name] == nil {
			return nil, &usageError{fmt.Errorf("no account %q in %s; it has: %s", name, cfg.Path, list(cfg.Names()))}
		}
	}
	for _, name := range accept {
		if slices.Contains(adopt, name) {
			return nil, &usageError{fmt.Errorf("--accept %s and --adopt %s exclude each other", name, name)}
		}
	}
	if len(names) == 0 {
		names = cfg.Names()
	}
	accounts := make([]*config.Account, 0, len(names))
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		accounts = append(accounts, cfg.Accounts[name])
	}
	return accounts, nil
}

// load reads the configuration and makes the log that it asks for.
func (p *program) load() (*config.Config, *slog.Logger, error) {
	cfg, err := p.readConfig()
	if err != nil {
		return nil, nil, err
	}
	log := newLog(p.stderr, cfg.Log, p.quiet)
	return cfg, log, nil
}

// completeAccounts offers account names to the shell.
func (p *program) completeAccounts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cfg, err := p.readConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return cfg.Names(), cobra.ShellCompDirectiveNoFileComp
}

// dryTable collects what a dry run was told, for one table at the end.
type dryTable struct {
	events []transfer.Event
	mu     sync.Mutex
}

func (t *dryTable) add(e transfer.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Kind == transfer.Verdict {
		t.events = append(t.events, e)
	}
}
