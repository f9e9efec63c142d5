package main

import (
	"cmp"
	"context"
	"os"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// checkOptions are what the command line says of check.
type checkOptions struct{ json, verbose bool }

func (p *program) checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Check all that run needs, and change nothing",
		Long: `check looks whether run has all that it needs: the configuration; the state directory and the
spool, for the user that they belong to; each upstream, with its TLS, its login, its folders and those
that mail is moved to; the clients of the last messages; and each MTA, with its TLS, the largest
message that it takes, the recipients, and whether it lets itself be told of clients by XCLIENT,
and its listener plain where mail may go there.
Accounts are looked at together. Each is a line with ok, WARN or FAILED, and below it what is wrong and
what to do; with --verbose, all that was found. It changes nothing anywhere; after a login
that went well, the next pass over the account does not wait because of one that was refused.`,
		ValidArgsFunction: p.completeAccounts,
		RunE:              func(c *cobra.Command, args []string) error { return p.check(c.Context(), args, o) },
	}
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON object per subject and line")
	c.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "print all that was found, not only what is wrong")
	return c
}

// checked is one part of what a pass needs, and the exit code for what was found out about it.
type checked struct {
	*ui.Checked
	code int
}

// fail notes what does not work, if err is not nil.
func (c *checked) fail(err error) {
	if err != nil {
		c.Fail(err)
		c.code = worse(c.code, exitCode(err))
	}
}

// check prints what works and what does not, all of it, and ends with the worst.
func (p *program) check(ctx context.Context, names []string, o checkOptions) error {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	code := exitOK
	var all []*ui.Checked
	for _, done := range together(checkings(ctx, cfg, accounts), schedule.NewSlots(cfg.Passes, cfg.PassesPerHost, schedule.Patience)) {
		c := <-done
		code = worse(code, c.code)
		all = append(all, c.Checked)
		if o.json {
			if err := c.PrintJSON(p.stdout); err != nil {
				return err
			}
		} else if !p.quiet || c.Level > ui.OK {
			c.Print(p.page(), o.verbose)
		}
	}
	if quiet := p.quiet && code == exitOK; !o.json && !quiet {
		ui.PrintConclusion(p.page(), all)
	}
	return ended(code)
}

// checking is a part of what check looks at, and the upstream that it connects with, if it does.
type checking struct {
	upstream string
	look     func() *checked
}

// checkings are the parts of what these accounts need, in the order in which they are shown.
func checkings(ctx context.Context, cfg *config.Config, accounts []*config.Account) []checking {
	user := stateUser(cfg.StateDir)
	tasks := []checking{
		{"", func() *checked { return checkConfiguration(cfg, user) }},
		{"", func() *checked { return checkState(ctx, cfg, user) }},
		{"", func() *checked { return checkSpool(cfg, user) }},
	}
	for _, a := range accounts {
		tasks = append(tasks, checking{a.Upstream(), func() *checked {
			return checkAccount(ctx, a, app.NewPresenter(cfg, a).Policy, cfg, user)
		}})
	}
	for _, target := range cfg.Targets() {
		judged, plain := loads(cfg, accounts, target)
		if len(judged.accounts) > 0 {
			tasks = append(tasks, checking{"", func() *checked { return checkMTA(ctx, target, judged, user) }})
		}
		if len(plain.accounts)+len(plain.to) > 0 {
			tasks = append(tasks, checking{"", func() *checked { return checkPlain(ctx, target, plain, user) }})
		}
	}
	return tasks
}

// together runs the tasks, as many at a time as slots allow, and returns where each hands over its result, in their order.
func together(tasks []checking, slots *schedule.Slots) []chan *checked {
	results := make([]chan *checked, len(tasks))
	for i, task := range tasks {
		results[i] = make(chan *checked, 1)
		slot := slots.Ask(task.upstream)
		go func() { // its end is the result, which the caller waits for
			defer slot.Give()
			slot.Wait(context.Background(), nil) // one whose context has ended fails at once
			results[i] <- task.look()
		}()
	}
	return results
}

// stateUser is the id of the user for whom is checked: our own, or, for root, the one that the state belongs to.
func stateUser(stateDir string) int {
	user := os.Geteuid()
	if info, err := os.Stat(stateDir); err == nil && user == 0 {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			user = int(st.Uid)
		}
	}
	return user
}

// readable returns an error if a file cannot be read by the user that root checks for.
func readable(user int, key, path string) error {
	if path == "" || user == os.Geteuid() {
		return nil // opening it tells
	}
	if err := app.Access(path, user, app.MayRead); err != nil {
		return &config.SecretError{Source: key, Err: err}
	}
	return nil
}

// checkConfiguration says what is odd about the configuration, and whether it can be read.
func checkConfiguration(cfg *config.Config, user int) *checked {
	c := &checked{Checked: ui.CheckConfiguration(cfg)}
	for _, path := range cfg.Files() {
		c.fail(readable(user, "configuration", path))
	}
	c.fail(readable(user, "accounts_key_file "+cfg.AccountsKeyFile, cfg.AccountsKeyFile))
	return c
}

// checkState looks whether the ledger can be kept, and read.
func checkState(ctx context.Context, cfg *config.Config, user int) *checked {
	c := &checked{Checked: ui.CheckState(cfg.Record(), ledger.UserName(user))}
	c.fail(readable(user, "state_password_file "+cfg.StatePasswordFile, cfg.StatePasswordFile))
	if err := ledger.CheckDir(cfg.StateDir, user); err != nil {
		c.fail(err)
		return c
	}
	record, err := app.LookAtLedger(ctx, cfg)
	if ledger.KindOf(err) == ledger.NotFound {
		if cfg.State == "" {
			c.NoLedger()
			return c
		}
		may, asked := app.MayPrepare(ctx, cfg)
		if may {
			c.NoTables()
			return c
		}
		err = cmp.Or(asked, err)
	}
	if err == nil {
		err = record.Close()
	}
	c.fail(err)
	return c
}

// checkSpool looks whether messages above 1 MiB find a place.
func checkSpool(cfg *config.Config, user int) *checked {
	c := &checked{Checked: ui.CheckSpool(cfg.SpoolDir, ledger.UserName(user))}
	if err := cmp.Or(transfer.CheckSpool(cfg.SpoolDir, user), app.SpoolCreatable(cfg.SpoolDir, user)); err != nil {
		c.fail(err)
		return c
	}
	var largest int64
	for _, a := range cfg.Accounts {
		largest = max(largest, int64(a.MaxSize))
	}
	c.fail(transfer.CheckRoom(cfg.SpoolDir, largest))
	return c
}

// reachable returns an error if the user that root checks for could not open the socket of a listener.
func reachable(user int, at config.Endpoint) error {
	if at.Network != "unix" || user == os.Geteuid() {
		return nil // connecting tells
	}
	if err := app.Access(at.Address, user, app.MayRead|app.MayWrite); err != nil {
		return app.SocketClosed(at, ledger.UserName(user), err)
	}
	return nil
}
