package main

import (
	"github.com/spf13/cobra"
)

func (p *program) acceptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "accept ACCOUNT...",
		Short: "Deliver the mail of a mailbox that stopped and asked",
		Long: `accept makes one pass over each of these accounts, as run does, and delivers what the ledger does not know, although the
mailbox looks new or renumbered and holds more of it than flood_limit. What it knows by its content is not delivered again.
Where another user or host of an account may lead to another mailbox, accept says that it is the same.`,
		Args:              wantsAccount,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), args, runOptions{accept: args})
		},
	}
}

func (p *program) adoptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt ACCOUNT...",
		Short: "Leave the mail of a mailbox that stopped and asked",
		Long: `adopt makes one pass over each of these accounts, as run does, and records what the ledger does not know as done,
without delivering any of it: it stays upstream, and only what comes later is delivered.`,
		Args:              wantsAccount,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.run(c.Context(), args, runOptions{adopt: args})
		},
	}
}
