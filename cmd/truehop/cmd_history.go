package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// recordJSON is what `history --json` prints of a message, one object a line. Absent values are null.
type recordJSON struct {
	Account    string       `json:"account"`
	Folder     string       `json:"folder"`
	Validity   uint32       `json:"validity"`
	UID        string       `json:"uid"`
	ID         *string      `json:"id"`
	State      ledger.State `json:"state"`
	Size       int64        `json:"size"`
	First      *time.Time   `json:"first"`
	Last       *time.Time   `json:"last"`
	Next       *time.Time   `json:"next"`
	Attempts   int          `json:"attempts"`
	Doubts     int          `json:"doubts"`
	Disposed   bool         `json:"disposed"`
	Absent     bool         `json:"absent"`
	Client     *string      `json:"client"`
	HELO       *string      `json:"helo"`
	Sender     string       `json:"sender"`
	Recipients *string      `json:"recipients"`
	Code       int          `json:"code"`
	Reply      *string      `json:"reply"`
	Queue      *string      `json:"queue"`
	Why        *string      `json:"why"`
	// Verdicts are those on single recipients, where not all of them got the message.
	Verdicts []ledger.Verdict `json:"verdicts"`
}

func (p *program) historyCommand() *cobra.Command {
	var asJSON bool
	var last int
	c := &cobra.Command{
		Use:   "history [ACCOUNT...]",
		Short: "Print what became of the latest messages",
		Long: `history prints, from the ledger alone and without connecting anywhere, what became of the
latest messages of each account, the newest first: when, the client that was presented, the MTA's
reply and its queue id. It may be run at any time, beside a service too.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			if last < 1 {
				return &usageError{errors.New("--last wants a number of messages, 1 or more")}
			}
			return p.history(c.Context(), args, last, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per message and line")
	c.Flags().IntVarP(&last, "last", "n", 100, "print the last `N` messages of each account")
	return c
}

func (p *program) history(ctx context.Context, names []string, last int, asJSON bool) error {
	cfg, _, err := p.load()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names, nil, nil)
	if err != nil {
		return err
	}
	record, err := ledger.OpenReadOnly(ctx, cfg.StateDir)
	var missing *ledger.Error
	if errors.As(err, &missing) && missing.Kind == ledger.NotFound {
		if !p.quiet {
			fmt.Fprintf(p.stderr, "truehop: no pass has been made by the record in %s\n", cfg.StateDir)
		}
		return nil
	} else if err != nil {
		return err
	}
	for _, a := range accounts {
		found, err := record.List(ctx, ledger.Filter{Account: a.Name, Limit: last})
		if err == nil && asJSON {
			err = p.encodeHistory(found)
		} else if err == nil {
			p.printHistory(found)
		}
		if err != nil {
			return errors.Join(err, record.Close())
		}
	}
	return record.Close()
}

func (p *program) encodeHistory(found []ledger.Record) error {
	encoder := json.NewEncoder(p.stdout)
	encoder.SetEscapeHTML(false)
	for _, r := range found {
		if err := encoder.Encode(recordJSON{
			Account: r.Account, Folder: r.Folder, Validity: r.Validity, UID: r.UID, ID: orNil(r.Token), State: r.State,
			Size: r.Size, First: moment(r.First), Last: moment(r.Last), Next: moment(r.Next), Attempts: r.Attempts,
			Doubts: r.Doubts, Disposed: r.Disposed, Absent: r.Absent, Client: orNil(r.Client), HELO: orNil(r.HELO),
			Sender: r.Sender, Recipients: orNil(r.Recipients), Code: r.Code, Reply: orNil(r.Reply), Queue: orNil(r.QueueID),
			Why: orNil(r.Why), Verdicts: r.Verdicts,
		}); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) printHistory(found []ledger.Record) {
	if len(found) == 0 {
		return
	}
	t := newTable(p.stdout, "WHEN", "ACCOUNT", "UID", "ID", "STATE", "CLIENT", "QUEUE", "REASON")
	for _, r := range found {
		t.row(when(moment(r.Last)), r.Account, fetch.Sanitize(r.UID), orUnknown(r.Token), string(r.State), orUnknown(r.Client),
			orUnknown(fetch.Sanitize(r.QueueID)), recordReason(r))
	}
	t.flush()
}

func (p *program) retryCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "retry ACCOUNT (UID|ID... | --all)",
		Short: "Try refused, partly refused, held and deferred messages again at the next pass",
		Long: `retry makes messages of an account due at once: those that the MTA refused, for all recipients or
for some, those held for a person, and those deferred, whose time has not come yet. They are named
by UID or by Truehop-ID, as history prints them. The next pass fetches them again. What was
delivered is never tried again by this, and nobody who has a message gets it again; see forget.`,
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 1) {
				return &usageError{errors.New("retry wants either messages, by UID or ID, or --all")}
			}
			return p.amend(c.Context(), args[0], args[1:], retryMessages)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "every refused, partly refused, held and deferred message of the account")
	return c
}

func (p *program) forgetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "forget ACCOUNT UID|ID...",
		Short: "Remove messages from the ledger: the next pass sees them as new",
		Long: `forget removes the record of messages, which are named by UID or by Truehop-ID, as history
prints them. If such a message is still upstream, the next pass takes it for a new one and
delivers it, even if it was delivered before.`,
		Args:              usageArgs(cobra.MinimumNArgs(2)),
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.amend(c.Context(), args[0], args[1:], forgetMessages)
		},
	}
}

// usageArgs makes a wrong number of arguments a mistake of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &usageError{fmt.Errorf("%w: truehop %s", err, c.Use)}
		}
		return nil
	}
}

// amend changes records of an account under its lock, and says what was done.
func (p *program) amend(ctx context.Context, account string, names []string, change func(context.Context, *ledger.Ledger, string, []string) (string, error)) error {
	cfg, _, err := p.load()
	if err != nil {
		return err
	}
	if _, err := choose(cfg, []string{account}, nil, nil); err != nil {
		return err
	}
	record, err := ledger.Open(ctx, cfg.StateDir, ledger.Options{})
	if err != nil {
		return err
	}
	unlock, err := record.Lock(account)
	if err != nil {
		return errors.Join(err, record.Close())
	}
	done, err := change(ctx, record, account, names)
	if err := errors.Join(err, unlock(), record.Close()); err != nil {
		return err
	}
	if !p.quiet {
		fmt.Fprintln(p.stdout, done)
	}
	return nil
}

// named returns the records of an account's messages by UID or Truehop-ID. One that there is no
// record of is a mistake, and then nothing is done for the others.
func named(ctx context.Context, l *ledger.Ledger, account string, names []string) ([]ledger.Record, error) {
	var found []ledger.Record
	seen := map[ledger.Key]bool{}
	for _, name := range names {
		before := len(found)
		for _, f := range []ledger.Filter{{Account: account, UID: name}, {Account: account, Token: name}} {
			records, err := l.List(ctx, f)
			if err != nil {
				return nil, err
			}
			for _, r := range records {
				if !seen[r.Key] {
					seen[r.Key] = true
					found = append(found, r)
				}
			}
		}
		if name == "" || len(found) == before {
			return nil, &usageError{fmt.Errorf("the ledger knows no message %q of account %s, or it is named twice; truehop history %s lists them",
				fetch.Sanitize(name), account, account)}
		}
	}
	return found, nil
}

// retryMessages makes messages due at once: those named, or, without names, all that wait or were given up.
func retryMessages(ctx context.Context, l *ledger.Ledger, account string, names []string) (string, error) {
	found, err := named(ctx, l, account, names)
	if len(names) == 0 {
		found, err = l.List(ctx, ledger.Filter{Account: account, States: []ledger.State{ledger.Refused, ledger.PartlyRefused, ledger.Held, ledger.Deferred, ledger.Doubt}})
	}
	if err != nil {
		return "", err
	}
	due := found[:0]
	for _, r := range found {
		why := retry(&r, time.Now())
		switch {
		case why == "":
			due = append(due, r)
		case len(names) > 0:
			return "", &usageError{fmt.Errorf("message %s of account %s %s", fetch.Sanitize(r.UID), account, why)}
		}
	}
	if err := l.PutAll(ctx, due); err != nil {
		return "", err
	}
	return fmt.Sprintf("messages of %s due at its next pass: %d", account, len(due)), nil
}

// retry makes a record due, or says why it cannot be. A message in doubt stays that: its second copy is labelled.
func retry(r *ledger.Record, now time.Time) (why string) {
	switch {
	case r.Disposed, r.Absent:
		return "is not upstream any more"
	case wantsPerson(r.State), r.State == ledger.Deferred:
		// The age at which it is given up counts from here on: a person wants it.
		r.State, r.First, r.Next = ledger.Deferred, now, time.Time{}
		if len(r.Verdicts) == 0 {
			break
		}
		// It goes to all recipients but those that have it.
		r.Recipients = ""
		r.Verdicts = slices.DeleteFunc(slices.Clone(r.Verdicts), func(v ledger.Verdict) bool { return v.State != ledger.Delivered })
	case r.State == ledger.Doubt, r.State == ledger.Sending:
		r.Next = time.Time{}
	default:
		return fmt.Sprintf("is %s; truehop forget makes the next pass take it for a new one", r.State)
	}
	return ""
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
