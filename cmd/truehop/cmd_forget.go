package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

func (p *program) forgetCommand() *cobra.Command {
	var all, yes bool
	c := &cobra.Command{
		Use:   "forget ACCOUNT (UID|ID... | --all --yes)",
		Short: "Remove messages from the ledger: the next pass sees them as new",
		Long: `forget removes the record of messages, which are named by UID or by Truehop-ID, as history
prints them. If such a message is still upstream, the next pass takes it for a new one and
delivers it, even if it was delivered before. Its copies in other folders are forgotten with it. With mark_delivered the copy is labelled as a possible redelivery.
Where messages of several folders have the UID, none is forgotten, and forget says by what else to name each.
--all forgets every message of the account, so that all that is upstream comes again; it wants --yes.`,
		Args:              wantsAccount,
		ValidArgsFunction: p.completeMessages(nil),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case all == (len(args) > 1):
				return usage("forget wants either messages, by UID or ID, or --all")
			case all && !yes:
				return usage("forget --all has all mail of %s that is upstream delivered again; say --yes as well if that is what you want", fetch.Sanitize(args[0]))
			case yes && !all:
				return usage("--yes is for --all")
			}
			return p.amend(c.Context(), args[0], args[1:], forgetMessages)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every message of the account")
	c.Flags().BoolVar(&yes, "yes", false, "with --all: I know that all that is upstream comes again")
	return c
}

// withCopies adds to messages those of their account that have the same content, in whatever folder: by them they would be known.
func withCopies(ctx context.Context, l app.Ledger, found []ledger.Record) ([]ledger.Record, error) {
	seen := map[ledger.Key]bool{}
	for _, r := range found {
		seen[r.Key] = true
	}
	for _, r := range slices.Clone(found) {
		if r.Hash == (ledger.Key{}).Hash { // it was never read
			continue
		}
		copies, err := l.ByHashAnywhere(ctx, r.Account, r.Hash)
		if err != nil {
			return nil, err
		}
		for _, one := range copies {
			if !seen[one.Key] {
				seen[one.Key] = true
				found = append(found, one)
			}
		}
	}
	return found, nil
}

// forgetMessages removes records: of those named, or, without names, of all. A message that carries the mark of delivered mail
// upstream would be recognised by that, so it keeps a record, of one that is to be delivered; its second copy is labelled.
func forgetMessages(ctx context.Context, l app.Ledger, a *config.Account, names []string) (string, error) {
	found, err := named(ctx, l, a, names)
	if err == nil {
		found, err = withCopies(ctx, l, found)
	}
	if len(names) == 0 {
		found, err = l.List(ctx, ledger.Filter{Account: a.Name})
	}
	if err != nil {
		return "", err
	}
	var gone []ledger.Key
	var again []ledger.Record
	now := time.Now()
	for _, r := range found {
		mayBeMarked := a.MarkDelivered && r.State == ledger.Delivered
		disposed := r.Disposed && a.OnDelivered.Action != fetch.Flag // flagged is still there
		if mayBeMarked && !disposed && !r.Absent {
			again = append(again, ledger.Record{
				Key: r.Key, State: ledger.Deferred, Size: r.Size, Listed: r.Listed, Token: r.Token, First: now, Last: now, Why: "forgotten after its delivery",
			})
		} else {
			gone = append(gone, r.Key)
		}
	}
	if err := errors.Join(l.PutAll(ctx, again), l.Remove(ctx, gone)); err != nil {
		return "", err
	}
	return fmt.Sprintf("messages of %s forgotten: %d", a.Name, len(found)), nil
}
