package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule/ledger"
)

// accountStatus is what `status --json` prints of an account, one object a line.
type accountStatus struct {
	Account     string               `json:"account"`
	LastPass    *time.Time           `json:"last_pass"`
	LastSuccess *time.Time           `json:"last_success"`
	Error       *string              `json:"error"`
	Counts      map[ledger.State]int `json:"counts"`
	// Open are the messages that are not done with: deferred, in doubt, refused, partly refused, held.
	Open []messageStatus `json:"open"`
}

type messageStatus struct {
	Folder string       `json:"folder"`
	UID    string       `json:"uid"`
	ID     string       `json:"id"`
	State  ledger.State `json:"state"`
	Client string       `json:"client"`
	Since  time.Time    `json:"since"`
	Next   *time.Time   `json:"next"`
	Reply  string       `json:"reply"`
	Why    string       `json:"why"`
	// Verdicts are those on single recipients, where not all of them got the message.
	Verdicts []ledger.Verdict `json:"verdicts"`
	reason   string
}

// openStates are those that status lists message by message, in this order.
var openStates = [...][]ledger.State{{ledger.Refused, ledger.PartlyRefused, ledger.Held}, {ledger.Sending, ledger.Doubt}, {ledger.Deferred}}

// statusLimit bounds the messages listed for an account, of each group of states.
const statusLimit = 1000

func (p *program) statusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status [ACCOUNT...]",
		Short: "Print what the ledger knows",
		Long: `status prints, from the ledger alone and without connecting anywhere, when each account
was last passed over, how its messages stand, and every message that is not done with.
It may be run at any time, beside a service too.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			return p.status(c.Context(), args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per account and line")
	return c
}

func (p *program) status(ctx context.Context, names []string, asJSON bool) error {
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
		record = nil // no pass has been made yet, which is a status too
	} else if err != nil {
		return err
	}
	code := exitOK
	encoder := json.NewEncoder(p.stdout)
	for _, a := range accounts {
		s, err := readStatus(ctx, record, a)
		if err != nil {
			return errors.Join(err, closeRecord(record))
		}
		code = worse(code, s.exit())
		if asJSON {
			err = encoder.Encode(s)
		} else {
			p.printStatus(s, cfg.StateDir)
		}
		if err != nil {
			return errors.Join(err, closeRecord(record))
		}
	}
	if err := closeRecord(record); err != nil {
		return err
	}
	if code != exitOK {
		return &outcomeError{code}
	}
	return nil
}

func closeRecord(l *ledger.Ledger) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

// exit is the code by which a monitor sees that messages want a person or wait, or that the last
// pass failed.
func (s *accountStatus) exit() int {
	for _, m := range s.Open {
		if wantsPerson(m.State) {
			return exitPerson
		}
	}
	if s.Error != nil || len(s.Open) > 0 {
		return exitLater
	}
	return exitOK
}

// wantsPerson reports whether nothing more becomes of a message in state s by itself.
func wantsPerson(s ledger.State) bool { return slices.Contains(openStates[0], s) }

func readStatus(ctx context.Context, l *ledger.Ledger, a *config.Account) (*accountStatus, error) {
	s := &accountStatus{Account: a.Name, Counts: map[ledger.State]int{}, Open: []messageStatus{}}
	if l == nil {
		return s, nil
	}
	last, success, err := l.LastPass(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	s.LastPass, s.LastSuccess = moment(last.Began), moment(success)
	if last.Error != "" {
		s.Error = &last.Error
	}
	if s.Counts, err = l.Counts(ctx, a.Name); err != nil {
		return nil, err
	}
	for _, states := range openStates {
		// Refused or deferred mail that was disposed of, or taken away by somebody, wants nothing more; what
		// was in doubt when it went may never have arrived.
		doubtful := states[0] == ledger.Sending
		open, err := l.List(ctx, ledger.Filter{Account: a.Name, States: states, Upstream: !doubtful, Limit: statusLimit})
		if err != nil {
			return nil, err
		}
		for _, r := range open {
			s.Open = append(s.Open, messageStatus{
				Folder: r.Folder, UID: r.UID, ID: r.Token, State: r.State, Client: r.Client, Since: r.First,
				Next: moment(r.Next), Reply: r.Reply, Why: r.Why, Verdicts: r.Verdicts, reason: recordReason(r),
			})
		}
	}
	return s, nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (p *program) printStatus(s *accountStatus, dir string) {
	fmt.Fprintf(p.stdout, "%s: ", s.Account)
	switch {
	case s.LastPass == nil:
		// Another user's record may be another one (state_dir): it is named.
		fmt.Fprintf(p.stdout, "no pass yet, by the record in %s\n", dir)
		return
	case s.Error != nil:
		fmt.Fprintf(p.stdout, "last pass %s FAILED: %s\n", when(s.LastPass), *s.Error)
	default:
		fmt.Fprintf(p.stdout, "last pass %s\n", when(s.LastPass))
	}
	fmt.Fprintf(p.stdout, "  last success %s\n ", when(s.LastSuccess))
	for _, state := range [...]ledger.State{ledger.Delivered, ledger.Deferred, ledger.Doubt, ledger.Sending, ledger.Refused, ledger.PartlyRefused, ledger.Quarantined, ledger.Held, ledger.Adopted} {
		fmt.Fprintf(p.stdout, " %s %d", state, s.Counts[state])
	}
	fmt.Fprintln(p.stdout)
	if len(s.Open) == 0 {
		return
	}
	t := newTable(p.stdout, "  STATE", "UID", "SINCE", "NEXT TRY", "CLIENT", "REASON")
	for _, m := range s.Open {
		t.row("  "+string(m.State), fetch.Sanitize(m.UID), when(&m.Since), nextTry(m), orUnknown(m.Client), m.reason)
	}
	t.flush()
}

// nextTry says when a message is tried again: not at all where a person has to decide.
func nextTry(m messageStatus) string {
	switch {
	case wantsPerson(m.State):
		return "never"
	case m.Next == nil:
		return "next pass"
	}
	return when(m.Next)
}

func when(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}
