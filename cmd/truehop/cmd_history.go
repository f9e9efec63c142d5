package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// historyOptions are what the command line says of history.
type historyOptions struct {
	json, follow          bool
	last                  int
	states                []string
	client, sender, queue string
	messageID, since      string
}

func (p *program) historyCommand() *cobra.Command {
	var o historyOptions
	c := &cobra.Command{
		Use:   "history [ACCOUNT...]",
		Short: "Print what became of the latest messages",
		Long: `history prints, from the ledger alone and without connecting anywhere, what became of the
latest messages of each account, the newest first: when, the client that was presented, the MTA's
reply and its queue id. Flags select among them; a message has to fit all. With --follow it goes on with what
happens, the newest last, until a signal. It may be run at any time, beside a service too.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			f, err := o.filter(time.Now())
			if err != nil {
				return err
			}
			return p.history(c.Context(), args, f, o)
		},
	}
	c.Flags().BoolVar(&o.json, "json", false, "print one JSON object per message and line")
	c.Flags().IntVarP(&o.last, "last", "n", 100, "print the last `N` messages of each account")
	c.Flags().StringSliceVar(&o.states, "state", nil, "only messages in this `STATE`, such as refused")
	c.Flags().StringVar(&o.client, "client", "", "only messages of the client with this `ADDRESS`")
	c.Flags().StringVar(&o.sender, "sender", "", "only messages of this envelope sender `ADDRESS`")
	c.Flags().StringVar(&o.queue, "queue-id", "", "only the message that the MTA calls so, by `ID`")
	c.Flags().StringVar(&o.messageID, "message-id", "", "only messages with this `ID` in their Message-ID field")
	c.Flags().StringVar(&o.since, "since", "", "only what happened since `WHEN`: 2h, 3d, 2026-01-31 or 2026-01-31 15:04")
	c.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on with what happens, until a signal")
	_ = c.RegisterFlagCompletionFunc("state", completeStates) // fails only for a flag that is not there
	return c
}

// filter makes a filter of the flags.
func (o *historyOptions) filter(now time.Time) (f ledger.Filter, err error) {
	if o.last < 1 {
		return f, usage("--last wants a number of messages, 1 or more")
	}
	f.Limit, f.QueueID = o.last, o.queue
	if f.States, err = readStates(o.states); err != nil {
		return f, err
	}
	if o.client != "" {
		addr, err := netip.ParseAddr(strings.Trim(o.client, "[]"))
		if err != nil {
			return f, usage("--client wants an address, such as 192.0.2.1, got %q", o.client)
		}
		f.Client = addr.Unmap().String()
	}
	f.Sender = withoutBrackets(o.sender)
	f.MessageID = withoutBrackets(o.messageID)
	f.Since, err = readSince(o.since, now)
	return f, err
}

// withoutBrackets is a path or an identifier without its angle brackets.
func withoutBrackets(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(text, "<"), ">")
}

// readStates reads the names of states.
func readStates(names []string) (states []ledger.State, err error) {
	for _, name := range names {
		if !slices.Contains(ledger.States(), ledger.State(name)) {
			return nil, unfit("there is no state %q; the states are: %s", name, ui.List(stateNames()))
		}
		states = append(states, ledger.State(name))
	}
	return states, nil
}

func stateNames() (names []string) {
	for _, s := range ledger.States() {
		names = append(names, string(s))
	}
	return names
}

// completeStates offers the states to the shell.
func completeStates(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return stateNames(), cobra.ShellCompDirectiveNoFileComp
}

// readSince reads a time, or an age by which it lies back, zero for "".
func readSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := config.ParseDuration(text); err == nil {
		return now.Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usage("--since wants an age, such as 2h or 3d, or a time, such as 2026-01-31 or 2026-01-31 15:04, got %q", fetch.Sanitize(text))
}

// followInterval is how often history --follow looks again.
const followInterval = time.Second

func (p *program) history(ctx context.Context, names []string, f ledger.Filter, o historyOptions) (err error) {
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	record, err := app.LookAtLedger(ctx, cfg)
	if ledger.KindOf(err) == ledger.NotFound {
		if !p.quiet {
			fmt.Fprintf(p.stderr, "truehop: no pass has been made by the record in %s\n", cfg.Record())
		}
		return nil
	} else if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.Close()) }()
	if o.follow {
		p.signals.endOrdinarily()
		return followHistory(ctx, record, cfg, accounts, f, o.json, p.stdout)
	}
	for _, a := range accounts {
		f.Account = a.Name
		found, err := record.List(ctx, f)
		if err != nil {
			return err
		}
		for i := range found {
			found[i].Heading = ui.MaskHeading(found[i].Heading, cfg.Log.Addresses)
		}
		if !o.json {
			ui.PrintHistory(p.page(), found, time.Now())
		} else if err := ui.PrintHistoryJSON(p.stdout, found, targetOf(cfg)); err != nil {
			return err
		}
	}
	return nil
}

// targetOf names the target of an account.
func targetOf(cfg *config.Config) func(account string) string {
	return func(account string) string { return cfg.Target(cfg.Accounts[account]).Name }
}

// followHistory prints records of these accounts, the newest last, and then each that changes.
func followHistory(ctx context.Context, record app.Ledger, cfg *config.Config, accounts []*config.Account, f ledger.Filter, asJSON bool, w io.Writer) error {
	rows := ui.NewHistory(w)
	seen := map[ledger.Key]time.Time{} // of the last moment that was looked at
	return every(ctx, followInterval, func() error {
		var found []ledger.Record
		for _, a := range accounts {
			f.Account = a.Name
			some, err := record.List(ctx, f)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			found = append(found, some...)
		}
		slices.SortStableFunc(found, func(a, b ledger.Record) int { return a.Last.Compare(b.Last) })
		found = slices.DeleteFunc(found, func(r ledger.Record) bool { return seen[r.Key].Equal(r.Last) })
		for i, r := range found {
			found[i].Heading = ui.MaskHeading(r.Heading, cfg.Log.Addresses)
			if r.Last.After(f.Since) {
				f.Since = r.Last
				clear(seen)
			}
			seen[r.Key] = r.Last
		}
		f.Limit = 0 // from here on all that changes
		if asJSON {
			return ui.PrintHistoryJSON(w, found, targetOf(cfg))
		}
		rows.Add(found)
		return nil
	})
}
