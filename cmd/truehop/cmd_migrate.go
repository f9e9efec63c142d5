package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/postgres"
)

func (p *program) migrateCommand() *cobra.Command {
	var from, to string
	c := &cobra.Command{
		Use:   "migrate --from PLACE --to PLACE",
		Short: "Move the ledger between a directory and a database",
		Long: `migrate copies the ledger from one place to another: from state_dir into a database of PostgreSQL, or back. A
place is a directory, or what the key state takes. The password of a database comes from the sources of
state_password_file and the like.

Each row is read back and compared. A run that was cut short goes on where it stopped. A place that has other
rows is refused, and so is a ledger that a pass works on; stop truehop serve before. The old ledger stays as it is: do
not use both.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case from == "", to == "":
				return usage("migrate wants --from and --to")
			case from == to:
				return usage("--from and --to are the same")
			}
			cfg, err := p.readConfig(c.Context())
			if err != nil {
				return err
			}
			done, err := app.Move(c.Context(), cfg, from, to, func(account string, messages int) {
				if !p.quiet {
					fmt.Fprintf(p.stdout, "messages of %s: %d\n", fetch.Printable(account), messages)
				}
			})
			if err != nil {
				return err
			}
			if !p.quiet {
				next := "set state: " + to
				if !postgres.IsURL(to) {
					next = "set state_dir: " + to + " and remove state"
				}
				fmt.Fprintf(p.stdout, "Same in both places: messages %d, accounts %d. Copied by this run: %d.\n  next: %s, then truehop check\n",
					done.Messages, done.Accounts, done.Copied, next)
			}
			return nil
		},
	}
	c.Flags().StringVar(&from, "from", "", "`PLACE` that has the ledger: a directory or a database")
	c.Flags().StringVar(&to, "to", "", "`PLACE` that is to have it")
	return c
}
