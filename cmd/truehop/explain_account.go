package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/received"
)

// explainLive checks the command line of explain over a mailbox and begins it.
func explainLive(cmd *cobra.Command, args []string, opts explainOptions, live func(context.Context, string, explainOptions) error) error {
	byUID, byNumber := cmd.Flags().Changed("uid"), cmd.Flags().Changed("last")
	switch {
	case byUID && byNumber:
		return &usageError{errors.New("--uid and --last exclude each other")}
	case len(args) != 1:
		return &usageError{errors.New("explain --uid and --last want the name of one ACCOUNT")}
	case byUID && opts.UID == "":
		return &usageError{errors.New("--uid wants the UID of a message")}
	case opts.Account != "":
		return &usageError{errors.New("--account is for a FILE; a mailbox goes by the rules of its own account")}
	case byNumber && opts.Last < 1:
		return &usageError{errors.New("--last wants a number of messages, 1 or more")}
	}
	opts.Color = colours(cmd.OutOrStdout())
	return live(cmd.Context(), args[0], opts)
}

// explainAccount explains messages in an account's mailbox, as they come. It changes nothing there.
func (p *program) explainAccount(ctx context.Context, name string, opts explainOptions) error {
	cfg, err := p.readConfig()
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, []string{name}, nil, nil)
	if err != nil {
		return err
	}
	x := &liveExplainer{account: accounts[0], opts: opts, out: p.stdout, outcomes: map[received.Outcome]*outcomeCount{}}
	if x.how, err = accountPresenter(cfg, x.account, opts); err != nil {
		return err
	}
	mailbox, err := dialUpstream(ctx, x.account, nil)
	if err != nil {
		return err
	}
	defer mailbox.Abort()
	for _, folder := range x.account.Folders {
		if err := x.folder(ctx, mailbox, folder); err != nil {
			return err
		}
	}
	// Not by Close: to many a POP3 server what was retrieved in a session that ends well is fetched, and gone.
	if err := mailbox.Leave(ctx); err != nil {
		return err
	}
	return x.end()
}

// liveExplainer explains one account's messages. Of each it keeps nothing but a number.
type liveExplainer struct {
	account *config.Account
	opts    explainOptions
	how     *presenter
	out     io.Writer
	// head is the header of the message at hand.
	head bytes.Buffer

	seen     int
	outcomes map[received.Outcome]*outcomeCount
	// failed is the first message's trouble, failures their number.
	failed   error
	failures int
}

// outcomeCount is how many messages an outcome covers, and one of them.
type outcomeCount struct {
	outcome  received.Outcome
	messages int
	example  string
	why      string
}

// presenter goes by the rules of the account that the flags name.
func (p *program) presenter(opts explainOptions) (*presenter, error) {
	cfg, err := p.readConfig()
	if err != nil {
		return nil, err
	}
	accounts, err := choose(cfg, []string{opts.Account}, nil, nil)
	if err != nil {
		return nil, err
	}
	return accountPresenter(cfg, accounts[0], opts)
}

// accountPresenter goes by the rules of an account, with the policy of the flags in place of its own if
// there is one.
func accountPresenter(cfg *config.Config, a *config.Account, opts explainOptions) (*presenter, error) {
	how := &presenter{
		policy: policy(a), rules: clientRules(a, dialogue(&cfg.Inject).Never),
		names: rdns.New(resolverOptions(cfg.Resolver)), carrier: cfg.Inject.Carrier, off: cfg.Inject.XClient == inject.Off,
	}
	if opts.Provider == "" && len(opts.MX)+len(opts.Internal)+len(opts.InternalNets) == 0 && opts.Hops < 1 {
		return how, nil
	}
	var err error
	if how.policy, err = opts.policy(); err != nil {
		return nil, &usageError{err}
	}
	return how, nil
}

// folder explains the chosen messages of one folder.
func (x *liveExplainer) folder(ctx context.Context, mailbox fetch.Mailbox, folder string) error {
	listing, err := mailbox.Open(ctx, folder)
	if err != nil {
		return err
	}
	refs := listing.Refs
	if x.opts.UID != "" {
		refs = slices.DeleteFunc(refs, func(r fetch.Ref) bool { return r.UID != x.opts.UID })
	} else {
		refs = refs[max(0, len(refs)-x.opts.Last):]
	}
	if len(refs) == 0 {
		return nil
	}
	return mailbox.Retrieve(ctx, refs, func(m fetch.Message) error { return x.take(ctx, m) })
}

// take explains one message by its header and lets the rest pass by.
func (x *liveExplainer) take(ctx context.Context, m fetch.Message) error {
	x.seen++
	name := x.label(m.Ref)
	err := m.Err
	if err == nil {
		x.head.Reset()
		if _, err = io.Copy(&x.head, io.LimitReader(m.Body, maxExplained+1)); err == nil {
			_, err = io.Copy(io.Discard, m.Body)
		}
		if err != nil && fetch.KindOf(err) != fetch.TooLarge {
			return err
		}
	}
	if err != nil {
		x.failures++
		if x.failed == nil {
			x.failed = fmt.Errorf("message %s: %w", name, err)
		}
		return nil
	}
	e := x.how.explain(ctx, name, x.head.Bytes())
	x.count(name, e.boundary)
	return e.render(x.out, x.opts)
}

// label names a message: ACCOUNT/UID, with the folder between where there are several.
func (x *liveExplainer) label(ref fetch.Ref) string {
	uid := ref.UID
	if uid == "" {
		uid = "#" + strconv.Itoa(int(ref.Seq)) // the server gives none
	}
	if len(x.account.Folders) > 1 {
		uid = ref.Folder + "/" + uid
	}
	return x.account.Name + "/" + uid
}

func (x *liveExplainer) count(name string, b received.Boundary) {
	c := x.outcomes[b.Outcome]
	if c == nil {
		c = &outcomeCount{outcome: b.Outcome, example: name, why: b.Why}
		x.outcomes[b.Outcome] = c
	}
	c.messages++
}

// end prints the table of outcomes, and tells what could not be had.
func (x *liveExplainer) end() error {
	if x.opts.UID != "" && x.seen == 0 {
		return &usageError{fmt.Errorf("the mailbox of account %s has no message with the UID %q", x.account.Name, fetch.Sanitize(x.opts.UID))}
	}
	if x.opts.UID == "" && !x.opts.JSON {
		x.table()
	}
	if x.failures > 1 {
		return fmt.Errorf("%w; %d messages could not be fetched", x.failed, x.failures)
	}
	return x.failed
}

// table prints how many messages came to which outcome, the most frequent first.
func (x *liveExplainer) table() {
	if x.seen == 0 {
		fmt.Fprintln(x.out, "the mailbox is empty")
		return
	}
	rows := slices.SortedFunc(maps.Values(x.outcomes), func(a, b *outcomeCount) int {
		return cmp.Or(cmp.Compare(b.messages, a.messages), cmp.Compare(a.outcome, b.outcome))
	})
	fmt.Fprintln(x.out)
	t := newTable(x.out, "OUTCOME", "MESSAGES", "FOR EXAMPLE", "WHY")
	for _, c := range rows {
		t.row(string(c.outcome), strconv.Itoa(c.messages), fetch.Sanitize(c.example), fetch.Sanitize(c.why))
	}
	if x.failures > 0 {
		t.row("not fetched", strconv.Itoa(x.failures), "", "")
	}
	t.flush()
}
