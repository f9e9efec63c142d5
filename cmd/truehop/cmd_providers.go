package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

func (p *program) providersCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "providers [PROVIDER...]",
		Short: "Print the known providers, and what a login there needs",
		Long: `providers prints the values of the key provider. Of those with one address for all customers it says where
their mailboxes are, which provider: NAME alone then stands for, and what a login needs: an app password, OAuth 2, or
IMAP switched on.`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return providerNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			for _, name := range args {
				if !slices.Contains(providerNames(), name) {
					return unfit("there is no provider %q; there are: %s", name, ui.List(providerNames()))
				}
			}
			for _, known := range config.Providers() {
				if len(args) > 0 && !slices.Contains(args, known.Provider) {
					continue
				}
				if !asJSON {
					ui.PrintProvider(p.page(), known)
				} else if err := ui.PrintProviderJSON(p.stdout, known); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per provider and line")
	return c
}

func providerNames() (names []string) {
	for _, known := range config.Providers() {
		names = append(names, known.Provider)
	}
	return names
}
