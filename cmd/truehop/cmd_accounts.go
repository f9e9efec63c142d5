package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/sealed"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/postgres"
)

func (p *program) accountsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "accounts",
		Short: "See and change the accounts that stand in a database",
		Long: `accounts is for the table that accounts_from names. A row has the keys of an account, as in a file, and its
password, encrypted for the first identity in accounts_key_file. Services take up what changes at once. An
account in a file is changed there.`,
		Args: unknownCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.accountsListCommand(), p.accountsCheckCommand(), p.accountsAddCommand(), p.accountsSetCommand(),
		p.accountsSwitchCommand(true), p.accountsSwitchCommand(false), p.accountsRemoveCommand(), p.accountsRekeyCommand(), p.accountsPrepareCommand())
	return c
}

// accountsTable is the table of accounts and the files beneath it.
type accountsTable struct {
	*postgres.Accounts
	files *config.Config
}

// openAccounts opens the table; the caller closes it.
func (p *program) openAccounts(ctx context.Context, readOnly bool) (*accountsTable, error) {
	files, err := config.Load(p.configPath, configOptions())
	if err != nil {
		return nil, err
	}
	if files.AccountsFrom == "" {
		return nil, unfit("no table of accounts is configured; set accounts_from: postgres in %s", files.Path)
	}
	rows, err := app.OpenAccounts(ctx, files, readOnly)
	if err != nil {
		return nil, err
	}
	return &accountsTable{rows, files}, nil
}

// one reads a row.
func (t *accountsTable) one(ctx context.Context, name string) (postgres.Account, error) {
	rows, err := t.Named(ctx, []string{name})
	if err == nil && len(rows) == 0 {
		err = unfit("the table has no account %q; truehop accounts list shows those that it has", name)
		if t.files.Accounts[name] != nil {
			err = unfit("account %s is in %s, and not in the table; change it there", name, t.files.Path)
		}
	}
	if err != nil {
		return postgres.Account{}, err
	}
	return rows[0], nil
}

// fits returns why a row would be no account, or would keep another one from being one, beside those of the files and those of
// the table that could be for the same mailbox.
func (t *accountsTable) fits(ctx context.Context, row postgres.Account) error {
	row.Enabled = true
	alone := config.NewTable(t.files).With(app.Rows([]postgres.Account{row}), nil).Config()
	others := config.NewTable(t.files)
	if a := alone.Accounts[row.Name]; a != nil {
		rows, err := t.OfUser(ctx, a.User)
		if err != nil {
			return err
		}
		others = others.With(app.Rows(rows), []string{row.Name})
	}
	if skipped := newlySkipped(others.Config(), others.With(app.Rows([]postgres.Account{row}), nil).Config()); len(skipped) > 0 {
		return &config.Error{Problems: skipped[0].Problems}
	}
	return nil
}

func (p *program) accountsListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list [ACCOUNT...]",
		Short: "Print the rows of the table, and why one is no account",
		RunE: func(c *cobra.Command, args []string) error {
			rows, _, err := p.accountRows(c.Context(), args)
			if err != nil {
				return err
			}
			return p.printAccountRows(rows, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line, one for each row")
	return c
}

func (p *program) accountsCheckCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [ACCOUNT...]",
		Short: "Find unusable rows, and passwords that cannot be decrypted",
		Long: `check reads every row as a service does, and decrypts its password. It prints those with a problem, connects to
no upstream, and ends with 78 where settings are wrong, and with 77 where a password cannot be had. truehop check
ACCOUNT tries the login.`,
		RunE: func(c *cobra.Command, args []string) error { return p.checkAccounts(c.Context(), args, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per row with a problem and line")
	return c
}

func (p *program) checkAccounts(ctx context.Context, names []string, asJSON bool) error {
	rows, cfg, err := p.accountRows(ctx, names)
	if err != nil {
		return err
	}
	code := exitOK
	for i, row := range rows {
		if len(row.Problems) > 0 {
			code = worse(code, exitConfig)
		}
		account := cfg.Accounts[row.Account]
		sealedHere := account != nil && row.Secret
		if !sealedHere {
			continue
		}
		if _, err := account.Password(ctx); err != nil {
			rows[i].Problems = append(rows[i].Problems, err.Error())
			code = worse(code, exitCredentials)
		}
	}
	bad := slices.DeleteFunc(slices.Clone(rows), func(r ui.AccountRow) bool { return len(r.Problems) == 0 })
	if len(bad) > 0 || asJSON {
		if err := p.printAccountRows(bad, asJSON); err != nil {
			return err
		}
	}
	silent := asJSON || p.quiet
	if !silent {
		fmt.Fprintf(p.stdout, "rows: %d, with a problem: %d\n", len(rows), len(bad))
	}
	return ended(code)
}

// accountRows reads the rows of the table, or those with these names, and the configuration with all of them.
func (p *program) accountRows(ctx context.Context, names []string) ([]ui.AccountRow, *config.Config, error) {
	t, err := p.openAccounts(ctx, true)
	if err != nil {
		return nil, nil, err
	}
	defer t.Close()
	all, err := t.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	table := config.NewTable(t.files)
	table.Set(app.Rows(all)...)
	cfg := table.Config()
	var rows []ui.AccountRow
	for _, row := range app.Rows(all) {
		if len(names) == 0 || slices.Contains(names, row.Name) {
			rows = append(rows, ui.NewAccountRow(row, cfg))
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r ui.AccountRow) bool { return r.Account == name }) {
			_, err := t.one(ctx, name)
			return nil, nil, err
		}
	}
	return rows, cfg, nil
}

func (p *program) printAccountRows(rows []ui.AccountRow, asJSON bool) error {
	if !asJSON {
		ui.PrintAccountRows(p.page(), rows)
		return nil
	}
	for _, r := range rows {
		if err := r.PrintJSON(p.stdout); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) accountsAddCommand() *cobra.Command {
	var without, disabled bool
	c := &cobra.Command{
		Use:   "add ACCOUNT KEY=VALUE...",
		Short: "Add a row, and read its password",
		Long: `add writes a new row with these keys, as in host=imap.example.net user=joe recipients=joe@example.org; commas
separate the items of a list, and a dot stands before a key below another one, as in oauth.tenant=example.org. It
reads the password at a terminal, or as the only line of its input. Nothing is written where the row would be no account.`,
		Args: wantsAccount,
		RunE: func(c *cobra.Command, args []string) error {
			return p.addAccount(c.Context(), args[0], args[1:], !without, !disabled)
		},
	}
	c.Flags().BoolVar(&without, "no-secret", false, "read no password: defaults in a file name its source")
	c.Flags().BoolVar(&disabled, "disabled", false, "do not enable it yet")
	return c
}

// toBeSealed stands for a password until it is read, so that what else is wrong with a row is told before it is asked for.
var toBeSealed = []byte("to be sealed")

func (p *program) addAccount(ctx context.Context, name string, set []string, secret, enabled bool) error {
	t, err := p.openAccounts(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	row := postgres.Account{Name: name, Enabled: enabled}
	if row.Settings, err = config.EditSettings(nil, set, nil); err != nil {
		return unfit("%w", err)
	}
	if secret {
		row.Secret = toBeSealed
	}
	if err := t.fits(ctx, row); err != nil {
		return err
	}
	if secret {
		if row.Secret, err = p.sealPassword(ctx, t.files, name); err != nil {
			return err
		}
	}
	err = t.Add(ctx, row)
	if errors.Is(err, postgres.ErrExists) {
		return unfit("the table has an account %s already; truehop accounts set %s changes it", name, name)
	}
	if err != nil {
		return err
	}
	p.done("account %s is added", name)
	return nil
}

func (p *program) accountsSetCommand() *cobra.Command {
	var unset []string
	var secret, noSecret bool
	c := &cobra.Command{
		Use:   "set ACCOUNT [KEY=VALUE...]",
		Short: "Change keys of a row, or its password",
		Long: `set changes keys of a row, written as for add, takes out those that --unset names, and with --secret reads another
password. Nothing is written where the row would be no account.`,
		Args: wantsAccount,
		RunE: func(c *cobra.Command, args []string) error {
			if secret && noSecret {
				return usage("--secret and --no-secret exclude each other")
			}
			if len(args) == 1 && len(unset) == 0 && !secret && !noSecret {
				return usage("set changes nothing; give KEY=VALUE, --unset KEY or --secret")
			}
			return p.changeAccount(c.Context(), args[0], func(t *accountsTable, row *postgres.Account) (err error) {
				if row.Settings, err = config.EditSettings(row.Settings, args[1:], unset); err != nil {
					return unfit("%w", err)
				}
				if noSecret {
					row.Secret = nil
				}
				if !secret {
					return t.fits(c.Context(), *row)
				}
				row.Secret = toBeSealed
				if err := t.fits(c.Context(), *row); err != nil {
					return err
				}
				row.Secret, err = p.sealPassword(c.Context(), t.files, row.Name)
				return err
			}, "account %s is changed")
		},
	}
	c.Flags().StringArrayVar(&unset, "unset", nil, "take out `KEY`, so that defaults hold for it")
	c.Flags().BoolVar(&secret, "secret", false, "read another password")
	c.Flags().BoolVar(&noSecret, "no-secret", false, "take out the password: defaults in a file name its source")
	return c
}

func (p *program) accountsSwitchCommand(on bool) *cobra.Command {
	use, short, done := "disable ACCOUNT...", "Have no passes made over accounts, and keep their rows", "account %s is disabled"
	if on {
		use, short, done = "enable ACCOUNT...", "Have passes made over accounts again", "account %s is enabled"
	}
	return &cobra.Command{
		Use: use, Short: short, Args: wantsAccount,
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range args {
				err := p.changeAccount(c.Context(), name, func(t *accountsTable, row *postgres.Account) error {
					row.Enabled = on
					if !on {
						return nil
					}
					return t.fits(c.Context(), *row)
				}, done)
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// changeAccount reads a row, has it changed and writes it, unless another has written it in between.
func (p *program) changeAccount(ctx context.Context, name string, change func(*accountsTable, *postgres.Account) error, done string) error {
	t, err := p.openAccounts(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	row, err := t.one(ctx, name)
	if err != nil {
		return err
	}
	if err := change(t, &row); err != nil {
		return err
	}
	written, err := t.Change(ctx, row)
	if err == nil && !written {
		err = unfit("account %s was changed by another in the meantime; look at it with truehop accounts list %s, and try again", name, name)
	}
	if err != nil {
		return err
	}
	p.done(done, name)
	return nil
}

func (p *program) accountsRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove ACCOUNT...",
		Short: "Remove rows; what the ledger knows of their mail stays",
		Args:  wantsAccount,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := p.openAccounts(c.Context(), false)
			if err != nil {
				return err
			}
			defer t.Close()
			for _, name := range args {
				if _, err := t.one(c.Context(), name); err != nil {
					return err
				}
			}
			if _, err := t.Remove(c.Context(), args); err != nil {
				return err
			}
			p.done("removed: %s", ui.List(args))
			return nil
		},
	}
}

func (p *program) accountsPrepareCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "prepare",
		Short: "Make the tables in the database, or bring them to this version",
		Long: `prepare makes the schema truehop with all its tables, those of the record too, or brings it to the version of this
program. It is for a role that owns the schema, so that those of the services need not: TRUEHOP_STATE names the
database by that role for this one command. Where all is as it should be it changes nothing. It needs the key state, or
accounts_from.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			files, err := config.Load(p.configPath, configOptions())
			if err != nil {
				return err
			}
			switch {
			case files.AccountsFrom != "":
			case files.State != "":
				files.AccountsFrom = config.FromState
			default:
				return unfit("no database is configured; set state in %s", files.Path)
			}
			t, err := app.OpenAccounts(c.Context(), files, false)
			if err != nil {
				return err
			}
			defer t.Close()
			p.done("the tables are ready")
			return nil
		},
	}
}

func (p *program) accountsRekeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt all passwords for the first key in accounts_key_file",
		Long: `rekey decrypts each password with any of the identities in accounts_key_file, and encrypts it for the first. To change the
key: put the new identity below the old one on every machine; then move it to the front and run rekey; then take out
the old one everywhere. It may be run again at any time: what is encrypted for the first already stays.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.rekeyAccounts(c.Context()) },
	}
}

func (p *program) rekeyAccounts(ctx context.Context) error {
	t, err := p.openAccounts(ctx, false)
	if err != nil {
		return err
	}
	defer t.Close()
	keys, err := t.files.AccountKeys()
	if err != nil {
		return err
	}
	all, err := t.List(ctx)
	if err != nil {
		return err
	}
	anew, code := 0, exitOK
	for _, row := range all {
		done, err := t.rekey(ctx, keys, row)
		var closed *config.SecretError
		switch {
		case errors.As(err, &closed):
			fmt.Fprintln(p.stderr, fetch.Printable(closed.Error()))
			code = exitCredentials
		case err != nil:
			return err
		case done:
			anew++
		}
	}
	p.done("passwords encrypted anew, for %s: %d", keys.Recipient(), anew)
	return ended(code)
}

// rekey encrypts the password of a row for the first key, where it is not; whoever writes the row in between has it read again.
func (t *accountsTable) rekey(ctx context.Context, keys sealed.Keys, row postgres.Account) (done bool, err error) {
	for {
		if len(row.Secret) == 0 || keys.Current(row.Secret) {
			return false, nil
		}
		password, err := keys.Open(row.Name, row.Secret)
		if err != nil {
			return false, &config.SecretError{Source: "secret of account " + row.Name, Err: err}
		}
		if row.Secret, err = keys.Seal(row.Name, password); err != nil {
			return false, err
		}
		if done, err := t.Change(ctx, row); done || err != nil {
			return done, err
		}
		rows, err := t.Named(ctx, []string{row.Name})
		if err != nil || len(rows) == 0 {
			return false, err
		}
		row = rows[0]
	}
}

// done says what was done, unless nobody wants to hear it.
func (p *program) done(format string, args ...any) {
	if !p.quiet {
		fmt.Fprintf(p.stdout, format+"\n", args...)
	}
}
