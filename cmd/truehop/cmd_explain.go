package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/received"
)

// maxExplained bounds what is read of one file: the header and no more.
const maxExplained = 1 << 20

// explainOptions are the flags of explain.
type explainOptions struct {
	Files        []string // "-" is Stdin
	JSON         bool
	Provider     string
	MX           []string
	Internal     []string
	InternalNets []string
	Gateways     []string
	Edge         bool
	Hops         int    // received.Policy.Hops; below 1: unset
	Account      string // explain by this account's rules
	UID          string // explain this message of an account
	Last         int    // explain the last messages of an account
	Color        bool
	Addresses    config.AddressDetail // how much of an author is shown
	Stdin        io.Reader
}

func (p *program) explainCommand() *cobra.Command {
	var opts explainOptions
	cmd := &cobra.Command{
		Use:   "explain [flags] (-- FILE... | ACCOUNT --uid UID | ACCOUNT --last N)",
		Short: "Show the hops of a message and which one is the client",
		Long: `explain reads the header of each FILE ("-" is standard input), shows its
Received fields from the top down, which of them the provider wrote, which one
shows the client, why, and the XCLIENT command that would present it.

Without --provider or --mx the provider is inferred from the message itself. Where
nothing can be presented it says what run would do with the message: by the defaults of an
account's keys, or with --account by that account's own, as its mailbox is read with.

With --uid or --last the argument is the name of an ACCOUNT and never a file: explain
then fetches messages from its mailbox, applies the account's own rules, and changes
nothing there. --last ends with a table of how many messages came to which outcome, to see
what a policy is worth before mail is injected by it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("hops") && opts.Hops < 1 {
				return usage("--hops wants the number of a Received field, 1 for the topmost")
			}
			if cmd.Flags().Changed("uid") || cmd.Flags().Changed("last") {
				return p.explainAccount(cmd, args, opts)
			}
			if len(args) == 0 {
				return usage("explain wants a FILE, or - for standard input")
			}
			opts.Files = args
			opts.Stdin = cmd.InOrStdin()
			opts.Color = colours(cmd.OutOrStdout())
			opts.Addresses = config.FullAddress // who has the file has them
			how, err := p.filePresenter(cmd.Context(), opts)
			if err != nil {
				return err
			}
			return explainFiles(cmd.Context(), pageOf(cmd.OutOrStdout()), opts, how)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.JSON, "json", false, "print one JSON object a line")
	f.StringVar(&opts.Provider, "provider", "", "built-in profile of the provider by its `NAME`, or auto")
	f.StringArrayVar(&opts.MX, "mx", nil, "`PATTERN` of the provider's hosts that face the Internet (repeatable)")
	f.StringArrayVar(&opts.Internal, "internal", nil, "`PATTERN` of the provider's hosts behind those (repeatable)")
	f.StringArrayVar(&opts.InternalNets, "internal-net", nil, "public network of the provider's own, as `CIDR` (repeatable)")
	f.StringArrayVar(&opts.Gateways, "gateway", nil, "what stands before the provider: a filter service by its name, a `PATTERN` of hosts, or a network (repeatable)")
	f.BoolVar(&opts.Edge, "edge", false, "the hosts of --mx speak to clients on the Internet only")
	f.IntVar(&opts.Hops, "hops", 0, "the client is shown by Received field `N` from the top, 1 for the topmost")
	f.StringVar(&opts.Account, "account", "", "explain a FILE by the rules of this `ACCOUNT` of the configuration")
	f.StringVar(&opts.UID, "uid", "", "explain the message with this `UID` in an account's mailbox")
	f.IntVar(&opts.Last, "last", 0, "explain the last `N` messages of each folder of an account")
	return cmd
}

// filePresenter explains by the flags, and where they name an account by the rules of that.
func (p *program) filePresenter(ctx context.Context, opts explainOptions) (*app.Presenter, error) {
	if opts.Account == "" {
		policy, err := opts.policy()
		if err != nil {
			return nil, err
		}
		return app.DefaultPresenter(policy), nil
	}
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := choose(cfg, []string{opts.Account})
	if err != nil {
		return nil, err
	}
	return presenter(cfg, accounts[0], opts)
}

// presenter explains by the rules of an account, with the policy of the flags in place of its own if
// there is one.
func presenter(cfg *config.Config, a *config.Account, opts explainOptions) (*app.Presenter, error) {
	how := app.NewPresenter(cfg, a)
	if opts.Provider == "" && len(opts.MX)+len(opts.Internal)+len(opts.InternalNets)+len(opts.Gateways) == 0 && opts.Hops < 1 && !opts.Edge {
		return how, nil
	}
	var err error
	if how.Policy, err = opts.policy(); err != nil {
		return nil, err
	}
	return how, nil
}

// policy is the policy that the flags ask for.
func (o *explainOptions) policy() (received.Policy, error) {
	name := o.Provider
	if name == "" && len(o.MX)+len(o.Internal) == 0 && o.Hops < 1 {
		name = "auto"
	}
	var p received.Policy
	if name != "" {
		var ok bool
		if p, ok = received.Profile(name); !ok {
			return p, unfit("there is no provider %q; there are: %s", name, strings.Join(received.Profiles(), ", "))
		}
	}
	p.MX = append(p.MX, o.MX...)
	p.Internal = append(p.Internal, o.Internal...)
	p.Gateways = append(p.Gateways, o.Gateways...)
	p.Edge = p.Edge || o.Edge
	p.Hops = max(o.Hops, 0)
	for _, n := range o.InternalNets {
		net, err := netip.ParsePrefix(n)
		if err != nil {
			return p, usage("--internal-net: %w", err)
		}
		p.InternalNets = append(p.InternalNets, net)
	}
	return p, nil
}

// explainFiles explains each file. One that cannot be read does not stop the
// others; its error is returned at the end.
func explainFiles(ctx context.Context, out io.Writer, opts explainOptions, how *app.Presenter) error {
	var failed []error
	for _, name := range opts.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := readHeader(name, opts.Stdin)
		if errors.Is(err, fs.ErrNotExist) && !strings.Contains(name, "/") {
			err = fmt.Errorf("%w (for an account's mailbox add --last N or --uid UID)", err)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		if err := printExplanation(out, how.Explain(ctx, header), name, opts); err != nil {
			return err
		}
	}
	if err := errors.Join(failed...); err != nil {
		return &usageError{err: err}
	}
	return nil
}

// readHeader reads as much of a file as a header may have.
func readHeader(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		if stdin == nil {
			return nil, errors.New("no standard input")
		}
		return io.ReadAll(io.LimitReader(stdin, maxExplained+1))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxExplained+1))
}

// explainAccount explains messages in an account's mailbox, as they come. It changes nothing there.
func (p *program) explainAccount(cmd *cobra.Command, args []string, opts explainOptions) error {
	byUID, byNumber := cmd.Flags().Changed("uid"), cmd.Flags().Changed("last")
	switch {
	case byUID && byNumber:
		return usage("--uid and --last exclude each other")
	case len(args) != 1:
		return usage("explain --uid and --last want the name of one ACCOUNT")
	case byUID && opts.UID == "":
		return usage("--uid wants the UID of a message")
	case opts.Account != "":
		return usage("--account is for a FILE; a mailbox goes by the rules of its own account")
	case byNumber && opts.Last < 1:
		return usage("--last wants a number of messages, 1 or more")
	}
	opts.Color = colours(cmd.OutOrStdout())
	ctx := cmd.Context()
	cfg, err := p.readConfig(ctx)
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, args)
	if err != nil {
		return err
	}
	opts.Addresses = cfg.Log.Addresses
	x := &liveExplainer{account: accounts[0], opts: opts, out: p.page()}
	if x.how, err = presenter(cfg, x.account, opts); err != nil {
		return err
	}
	mailbox, err := app.Upstream(ctx, x.account, nil)
	if err != nil {
		return err
	}
	defer mailbox.Abort()
	folders, missing, _, err := x.account.Selection().ChooseFrom(ctx, mailbox)
	if err == nil && len(folders) == 0 {
		err = errors.Join(missing...)
	}
	if err != nil {
		return err
	}
	x.several = len(folders) > 1
	for _, folder := range folders {
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

// liveExplainer explains one account's messages. It keeps none of them, so that any number can be explained.
type liveExplainer struct {
	account *config.Account
	opts    explainOptions
	how     *app.Presenter
	out     io.Writer
	// several says that messages of more than one folder are explained.
	several bool
	// head is the header of the message at hand.
	head bytes.Buffer

	seen     int
	outcomes ui.Outcomes
	// failed is the error of the first message that could not be fetched, failures the number of all these.
	failed   error
	failures int
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
	had := make(map[fetch.Ref]bool, len(refs))
	take := func(m fetch.Message) error {
		had[m.Ref] = true
		return x.take(ctx, m)
	}
	if err = mailbox.Retrieve(ctx, refs, take); err == nil || fetch.EndsSession(err) {
		return err
	}
	for _, ref := range refs { // the server refused them as a set
		if had[ref] {
			continue
		}
		err := mailbox.Retrieve(ctx, []fetch.Ref{ref}, take)
		if err != nil && !fetch.EndsSession(err) {
			err = x.take(ctx, fetch.Message{Ref: ref, Err: err})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take explains one message by its header and lets the rest pass by.
func (x *liveExplainer) take(ctx context.Context, m fetch.Message) error {
	x.seen++
	name := m.Ref.UID
	if name == "" {
		name = "#" + strconv.Itoa(int(m.Ref.Seq)) // the server gives none
	}
	if x.several {
		name = m.Ref.Folder + "/" + name
	}
	name = x.account.Name + "/" + name
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
			x.failed = fmt.Errorf("message %s: %w", fetch.Sanitize(name), err)
		}
		return nil
	}
	e := x.how.Explain(ctx, x.head.Bytes())
	x.outcomes.Count(name, e.Boundary)
	return printExplanation(x.out, e, name, x.opts)
}

// end prints the table of outcomes, and returns an error if messages could not be fetched.
func (x *liveExplainer) end() error {
	if x.opts.UID != "" && x.seen == 0 {
		return unfit("the mailbox of account %s has no message with the UID %q", x.account.Name, fetch.Sanitize(x.opts.UID))
	}
	if x.opts.UID == "" && !x.opts.JSON {
		x.outcomes.Print(x.out, x.failures)
	}
	if x.failures > 1 {
		return fmt.Errorf("%w; %d messages could not be fetched", x.failed, x.failures)
	}
	return x.failed
}

// printExplanation writes what there is to say of the message that goes by this name.
func printExplanation(w io.Writer, x app.Explanation, name string, opts explainOptions) error {
	shown := ui.Explanation(x)
	shown.Heading = ui.MaskHeading(x.Heading, opts.Addresses)
	if opts.JSON {
		return shown.PrintJSON(w, name)
	}
	return shown.Print(w, name, opts.Color)
}

// colours reports whether w is a terminal that wants them (no-color.org).
func colours(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}
