package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// program is what every command shares.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	// configPath is --config, quiet is --quiet.
	configPath string
	quiet      bool
	signals    signals
}

// readConfig loads the configuration, with the accounts that stand in a database where it names one.
func (p *program) readConfig(ctx context.Context) (*config.Config, error) {
	files, err := config.Load(p.configPath, configOptions())
	if err != nil {
		return nil, err
	}
	return app.WithAccounts(ctx, files)
}

// configOptions is what the configuration depends on beside its file.
func configOptions() config.Options { return config.Options{Environ: os.Environ()} }

// load reads the configuration and makes the log that it asks for.
func (p *program) load(ctx context.Context) (*config.Config, *ui.Log, error) {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	debug.SetMemoryLimit(memoryFor(len(cfg.Accounts)))
	return cfg, ui.NewLog(p.stderr, cfg.Log, p.quiet), nil
}

// reread loads the configuration again, of a service that goes on by now. The rows of its table are those that it knows: it is
// told of their changes by itself.
func (p *program) reread(now *config.Config) (*config.Config, *ui.Log, error) {
	cfg, err := config.Load(p.configPath, configOptions())
	if err != nil {
		return nil, nil, err
	}
	if cfg.AccountsFrom != now.AccountsFrom {
		return nil, nil, &config.Error{Problems: []config.Problem{{Source: cfg.Path, Key: "accounts_from", Text: "cannot change while the service runs; restart it"}}}
	}
	if table := now.Table(); table != nil {
		cfg = table.Rebase(cfg).Config()
	}
	return cfg, ui.NewLog(p.stderr, cfg.Log, p.quiet), nil
}

// tellAwaited says, when a signal has told the service to end, which replies it still waits for: to a person at a terminal
// also how not to.
func (p *program) tellAwaited(a *app.App, log *ui.Log) {
	p.signals.onEnd(func() {
		switch n := a.Awaited(); {
		case n > 0 && isTerminal(p.stderr):
			ui.PrintAwaited(p.stderr, n)
		default:
			log.Awaiting(n)
		}
	})
}

// page is where tables are written: they fit the width of a terminal.
func (p *program) page() io.Writer { return pageOf(p.stdout) }

// pageOf is a writer to which what is too wide for a terminal is folded.
func pageOf(w io.Writer) io.Writer {
	if !isTerminal(w) {
		return w
	}
	return ui.Page{Writer: w, Columns: terminalWidth(w)}
}

// defaultWidth is that of a terminal which does not say.
const defaultWidth = 80

// terminalWidth returns how many columns a terminal has.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return defaultWidth
}

// isTerminal reports whether a person sees at once what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// choose returns the accounts to work on: those named, or all.
func choose(cfg *config.Config, names []string) ([]*config.Account, error) {
	if err := known(cfg, names); err != nil {
		return nil, err
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

// known returns an error for a name that is not an account's.
func known(cfg *config.Config, names []string) error {
	for _, name := range names {
		if cfg.Accounts[name] == nil {
			if i := slices.IndexFunc(cfg.Skipped, func(s config.SkippedRow) bool { return s.Name == name }); i >= 0 {
				return &config.Error{Problems: cfg.Skipped[i].Problems}
			}
			if meant := config.Similar(name, cfg.Names()); meant != "" {
				return unfit("no account %q in %s; did you mean %s? It has: %s", name, cfg.Path, meant, ui.List(cfg.Names()))
			}
			return unfit("no account %q in %s; it has: %s", name, cfg.Path, ui.List(cfg.Names()))
		}
	}
	return nil
}

// completeAccounts offers account names to the shell.
func (p *program) completeAccounts(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	cfg, err := p.readConfig(c.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return cfg.Names(), cobra.ShellCompDirectiveNoFileComp
}

// maxOffered is how many messages are offered to the shell.
const maxOffered = 100

// completeMessages offers an account's name, and behind it the UIDs of the account's latest messages in these states, or in any, with what
// became of them.
func (p *program) completeMessages(states []ledger.State) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return p.completeAccounts(c, args, begun)
		}
		cfg, err := p.readConfig(c.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		record, err := app.LookAtLedger(c.Context(), cfg)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		found, err := record.List(c.Context(), ledger.Filter{Account: args[0], States: states, Limit: maxOffered})
		if errors.Join(err, record.Close()) != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var offered []string
		for _, r := range found {
			if uid := fetch.Sanitize(r.UID); uid == r.UID && !slices.Contains(args[1:], uid) {
				offered = append(offered, cobra.CompletionWithDesc(uid, fmt.Sprintf("%s %s", r.State, r.Client)))
			}
		}
		return offered, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}

// noArgs is for commands without arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments", c.Name())
	}
	return nil
}

// wantsAccount is for commands that do nothing without the name of an account.
func wantsAccount(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage("%s wants an ACCOUNT: %s", c.Name(), c.UseLine())
	}
	return nil
}

// usageArgs makes mistakes of usage of what is wrong with the arguments of a command or of one below it.
func usageArgs(c *cobra.Command) {
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			var known *usageError
			if err == nil || errors.As(err, &known) {
				return err
			}
			return usage("%w: %s", err, c.UseLine())
		}
	}
	for _, below := range c.Commands() {
		usageArgs(below)
	}
}
