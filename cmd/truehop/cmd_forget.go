package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/schedule/ledger"
)

func (p *program) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget ACCOUNT UID|ID...",
		Short: "Remove messages from the ledger: the next pass sees them as new",
		Long: `forget removes the record of messages, which are named by UID or by Truehop-ID, as history
prints them. If such a message is still upstream, the next pass takes it for a new one and
delivers it, even if it was delivered before.`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.amend(c.Context(), args[0], args[1:], forgetMessages)
		},
	}
}

// forgetMessages removes records.
func forgetMessages(ctx context.Context, l *ledger.Ledger, account string, names []string) (string, error) {
	found, err := named(ctx, l, account, names)
	if err != nil {
		return "", err
	}
	keys := make([]ledger.Key, len(found))
	for i, r := range found {
		keys[i] = r.Key
	}
	if err := l.Remove(ctx, keys); err != nil {
		return "", err
	}
	return fmt.Sprintf("messages of %s forgotten: %d", account, len(keys)), nil
}
