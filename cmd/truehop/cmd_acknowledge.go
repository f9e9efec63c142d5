package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func (p *program) acknowledgeCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "acknowledge ACCOUNT (UID|ID... | --all)",
		Short: "Take note of messages that went before they were delivered",
		Long: `acknowledge records that you know of messages which are lost: they went from the mailbox, by
another hand than truehop's, before they were delivered. They are named by UID or by Truehop-ID,
as status prints them. Until then run and status exit with 65. History keeps them,
and one that is listed again is tried again.`,
		Args:              wantsAccount,
		ValidArgsFunction: p.completeMessages([]ledger.State{ledger.Lost}),
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 1) {
				return usage("acknowledge wants either messages, by UID or ID, or --all")
			}
			return p.amend(c.Context(), args[0], args[1:], acknowledgeMessages)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every lost message of the account")
	return c
}

// acknowledgeMessages records that a person knows of lost messages: of those named, or, without names, of all.
func acknowledgeMessages(ctx context.Context, l app.Ledger, a *config.Account, names []string) (string, error) {
	lost, err := l.List(ctx, ledger.Filter{Account: a.Name, States: []ledger.State{ledger.Lost}})
	if err != nil {
		return "", err
	}
	now := time.Now()
	var noted []ledger.Record
	for _, r := range lost {
		meant := len(names) == 0 || slices.Contains(names, r.UID) || slices.Contains(names, r.Token)
		if meant && r.Acknowledged.IsZero() {
			r.Acknowledged = now
			noted = append(noted, r)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(lost, func(r ledger.Record) bool { return name == r.UID || name == r.Token }) {
			return "", unfit("account %s has lost no message %q; truehop status %s lists what is lost", a.Name, fetch.Sanitize(name), a.Name)
		}
	}
	if err := l.PutAll(ctx, noted); err != nil {
		return "", err
	}
	return fmt.Sprintf("lost messages of %s acknowledged: %d", a.Name, len(noted)), nil
}
