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

func (p *program) retryCommand() *cobra.Command {
	var all bool
	var states []string
	c := &cobra.Command{
		Use:   "retry ACCOUNT (UID|ID... | --state STATE | --all)",
		Short: "Have refused, held and deferred messages tried again",
		Long: `retry makes messages of an account due at once: those that the MTA refused, for all recipients or
for some, those held for a person, and those deferred, whose time has not come yet. They are named
by UID or by Truehop-ID, as history prints them. The next pass fetches them again. What was
delivered is never tried again by this, and nobody who has a message gets it again; see forget.
Where messages of several folders have the UID, none is tried again, and retry says by what else to name each.`,
		Args:              wantsAccount,
		ValidArgsFunction: p.completeMessages(triable()),
		RunE: func(c *cobra.Command, args []string) error {
			of, err := readStates(states)
			if err != nil {
				return err
			}
			ways := 0
			for _, given := range []bool{len(args) > 1, len(of) > 0, all} {
				if given {
					ways++
				}
			}
			if ways != 1 {
				return usage("retry wants either messages, by UID or ID, or --state, or --all")
			}
			if all {
				of = triable()
			}
			for _, s := range of {
				if !slices.Contains(triable(), s) {
					return unfit("retry does not act on messages that are %s; truehop forget has the next pass take one for new", s)
				}
			}
			return p.amend(c.Context(), args[0], args[1:], func(ctx context.Context, l app.Ledger, a *config.Account, names []string) (string, error) {
				return retryMessages(ctx, l, a, names, of)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every refused, partly refused, held and deferred message of the account")
	c.Flags().StringSliceVar(&states, "state", nil, "every message of the account in this `STATE`, such as refused")
	_ = c.RegisterFlagCompletionFunc("state", completeStates) // fails only for a flag that is not there
	return c
}

// triable are the states of messages that wait or were given up.
func triable() []ledger.State {
	return ledger.StatesWhere(func(s ledger.State) bool { return s.WantsPerson() || !s.Final() })
}

// retryMessages makes messages due at once: those named, or, without names, all in these states.
func retryMessages(ctx context.Context, l app.Ledger, a *config.Account, names []string, states []ledger.State) (string, error) {
	found, err := named(ctx, l, a, names)
	if len(names) == 0 {
		found, err = l.List(ctx, ledger.Filter{Account: a.Name, States: states})
	}
	if err != nil {
		return "", err
	}
	now := time.Now()
	already, err := dueAlready(ctx, l, a.Name, now)
	if err != nil {
		return "", err
	}
	due, anew := found[:0], 0
	for _, r := range found {
		why := retry(&r, now)
		switch {
		case why == "":
			due = append(due, r)
			if !already[r.Key] {
				anew++
			}
		case len(names) > 0:
			return "", unfit("message %s of account %s %s", fetch.Sanitize(r.UID), a.Name, why)
		}
	}
	if err := l.PutAll(ctx, due); err != nil {
		return "", err
	}
	said := fmt.Sprintf("messages of %s due at its next pass: %d", a.Name, anew+len(already))
	if len(already) > 0 {
		said += fmt.Sprintf(", %d of them already", len(already))
	}
	if anew+len(already) > 0 {
		said += "\n  next: truehop run " + a.Name
	}
	return said, nil
}

// dueAlready are the messages of an account that its next pass tries again anyway.
func dueAlready(ctx context.Context, l app.Ledger, account string, now time.Time) (map[ledger.Key]bool, error) {
	waiting := ledger.StatesWhere(ledger.State.Waits)
	records, err := l.List(ctx, ledger.Filter{Account: account, States: waiting})
	due := map[ledger.Key]bool{}
	for _, r := range records {
		gone := r.Disposed || r.Absent
		if !gone && !r.Next.After(now) {
			due[r.Key] = true
		}
	}
	return due, err
}

// retry makes a record due, or says why it cannot be. A message in doubt stays that: its second copy is labelled.
func retry(r *ledger.Record, now time.Time) (why string) {
	switch {
	case r.Disposed, r.Absent:
		return "is not upstream any more"
	case r.State.WantsPerson(), r.State == ledger.Deferred:
		// The age at which it is given up counts from here on: a person wants it.
		r.State, r.First, r.Next, r.Charges = ledger.Deferred, now, time.Time{}, 0
		if len(r.Verdicts) == 0 {
			break
		}
		// It goes to all recipients but those that have it.
		r.Recipients = ""
		r.Verdicts = slices.DeleteFunc(slices.Clone(r.Verdicts), func(v ledger.Verdict) bool { return v.State != ledger.Delivered })
	case r.State.InDoubt():
		r.Next = time.Time{}
	default:
		return fmt.Sprintf("is %s; truehop forget makes the next pass take it for a new one", r.State)
	}
	return ""
}
