package main

import (
	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

func (p *program) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show the configuration",
		Args:  unknownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.configShowCommand())
	return c
}

func (p *program) configShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Print what each key is set to, and where that is from",
		Long: `show prints the configuration that holds after defaults, file and environment: each key, its
value, and where it is from: file and line, environment, default, or what a provider publishes (preset). Secrets, and
what a program is called with, are shown as ***.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := p.readConfig(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return ui.PrintSettingsJSON(p.stdout, cfg.Settings())
			}
			ui.PrintSettings(p.page(), cfg.Settings())
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per key and line")
	return c
}
