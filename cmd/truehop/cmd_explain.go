package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/inject/rdns"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/transfer"
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
	Hops         int    // received.Policy.Hops; below 1: unset
	Account      string // explain by this account's rules
	UID          string // explain this message of an account
	Last         int    // explain the last messages of an account
	Color        bool
	Stdin        io.Reader
}

// newExplainCommand returns the command; live explains messages in an account's mailbox, rules are
// those of an account.
func newExplainCommand(live func(ctx context.Context, account string, opts explainOptions) error, rules func(opts explainOptions) (*presenter, error)) *cobra.Command {
	opts := explainOptions{Hops: -1}
	cmd := &cobra.Command{
		Use:   "explain [flags] (-- FILE... | ACCOUNT --uid UID | ACCOUNT --last N)",
		Short: "Show the hops of a message and which one is the client",
		Long: `Explain reads the header of each FILE ("-" is standard input), shows its
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
			if cmd.Flags().Changed("uid") || cmd.Flags().Changed("last") {
				return explainLive(cmd, args, opts, live)
			}
			if len(args) == 0 {
				return &usageError{errors.New("explain wants a FILE, or - for standard input")}
			}
			opts.Files = args
			opts.Stdin = cmd.InOrStdin()
			opts.Color = colours(cmd.OutOrStdout())
			how, err := filePresenter(opts, rules)
			if err != nil {
				return err
			}
			return runExplain(cmd.Context(), cmd.OutOrStdout(), opts, how)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&opts.JSON, "json", false, "print one JSON object a line")
	f.StringVar(&opts.Provider, "provider", "", "built-in profile of the provider, or auto")
	f.StringArrayVar(&opts.MX, "mx", nil, "host `pattern` of the provider that faces the Internet (repeatable)")
	f.StringArrayVar(&opts.Internal, "internal", nil, "host `pattern` behind it (repeatable)")
	f.StringArrayVar(&opts.InternalNets, "internal-net", nil, "public `network` of the provider's own (repeatable)")
	f.IntVar(&opts.Hops, "hops", -1, "position from the top of the field that shows the client (1 is the topmost)")
	f.StringVar(&opts.Account, "account", "", "explain a FILE by the rules of this `ACCOUNT` of the configuration")
	f.StringVar(&opts.UID, "uid", "", "explain the message with this `UID` in an account's mailbox")
	f.IntVar(&opts.Last, "last", 0, "explain the last `N` messages of each folder of an account")
	return cmd
}

// colours reports whether w is a terminal that wants them (no-color.org).
func colours(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
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
			return p, fmt.Errorf("no provider %q; there are %q", name, received.Profiles())
		}
	}
	p.MX = append(p.MX, o.MX...)
	p.Internal = append(p.Internal, o.Internal...)
	p.Hops = max(o.Hops, 0)
	for _, n := range o.InternalNets {
		net, err := netip.ParsePrefix(n)
		if err != nil {
			return p, fmt.Errorf("--internal-net: %w", err)
		}
		p.InternalNets = append(p.InternalNets, net)
	}
	return p, nil
}

// runExplain explains each file. One that cannot be read does not stop the
// others; its error is returned at the end.
func runExplain(ctx context.Context, out io.Writer, opts explainOptions, how *presenter) error {
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
		x := how.explain(ctx, name, header)
		if err := x.render(out, opts); err != nil {
			return err
		}
	}
	if err := errors.Join(failed...); err != nil {
		return &usageError{err}
	}
	return nil
}

// presenter explains messages by the rules that run would present their clients by.
type presenter struct {
	policy received.Policy
	rules  transfer.ClientRules
	// names looks up the names of clients, nil where nobody is to be asked.
	names *rdns.Resolver
	// carrier is how clients are presented, if they are at all.
	carrier inject.Carrier
	off     bool
}

// filePresenter goes by the flags, and where they name an account by rules, which gives that account's.
func filePresenter(opts explainOptions, rules func(explainOptions) (*presenter, error)) (*presenter, error) {
	if opts.Account != "" {
		return rules(opts)
	}
	policy, err := opts.policy()
	if err != nil {
		return nil, &usageError{err}
	}
	return &presenter{policy: policy, rules: transfer.ClientRules{Never: ownAddresses()}}, nil
}

// explain says what run would do with the message that has this header.
func (p *presenter) explain(ctx context.Context, name string, header []byte) *explanation {
	x := &explanation{presenter: p, name: name, chain: received.ReadChain(header)}
	x.boundary = x.chain.Boundary(p.policy)
	x.run = transfer.Present(x.chain, x.boundary, p.rules, time.Now())
	if x.run.Lookup && p.names != nil {
		x.run.Client = transfer.WithName(x.run.Client, lookupName(ctx, p.names, x.run.Client.Addr))
		x.run.Lookup = false
	}
	return x
}

// explanation is what there is to say of one message.
type explanation struct {
	*presenter
	name     string
	chain    *received.Chain
	boundary received.Boundary
	// run is what run would do with it.
	run transfer.Presentation
}

func (x *explanation) render(w io.Writer, opts explainOptions) error {
	if opts.JSON {
		return x.renderJSON(w)
	}
	return x.renderText(w, opts.Color)
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

// The JSON contract of explain. Absent values are null.
type (
	explainJSON struct {
		File     string       `json:"file"`
		Boundary boundaryJSON `json:"boundary"`
		Hops     []hopJSON    `json:"hops"`
		XCLIENT  []string     `json:"xclient"`
		Run      runJSON      `json:"run"`
	}
	// runJSON is what run would do: present, plain, hold or skip. Where it presents nobody, why says why.
	// carrier is inject.carrier, or null where inject.xclient is off.
	runJSON struct {
		Does    string  `json:"does"`
		Why     *string `json:"why"`
		Carrier *string `json:"carrier"`
	}
	boundaryJSON struct {
		Found         bool       `json:"found"`
		Hop           *int       `json:"hop"`
		Client        clientJSON `json:"client"`
		Proto         *string    `json:"proto"`
		Authenticated bool       `json:"authenticated"`
		Why           string     `json:"why"`
	}
	clientJSON struct {
		Addr *string `json:"addr"`
		Name *string `json:"name"`
		HELO *string `json:"helo"`
	}
	hopJSON struct {
		HELO  *string `json:"helo"`
		Name  *string `json:"name"`
		Addr  *string `json:"addr"`
		By    *string `json:"by"`
		With  *string `json:"with"`
		ID    *string `json:"id"`
		For   *string `json:"for"`
		Time  *string `json:"time"`
		Form  *string `json:"form"`
		Error *string `json:"error"`
	}
)

// renderJSON writes one object and a line end.
func (x *explanation) renderJSON(w io.Writer) error {
	chain, b := x.chain, x.boundary
	o := explainJSON{
		File: x.name,
		Boundary: boundaryJSON{
			Found:         b.Found,
			Authenticated: b.Authenticated,
			Why:           b.Why,
		},
		Hops:    make([]hopJSON, len(chain.Hops)),
		XCLIENT: x.xclientLines(),
		Run:     runJSON{x.run.Treatment.String(), orNil(x.run.Why), orNil(x.carrierName())},
	}
	if b.Found {
		o.Boundary.Hop = &b.Hop
		o.Boundary.Client = clientJSON{addrOrNil(b.Client.Addr), orNil(b.Client.Name), orNil(b.Client.HELO)}
		o.Boundary.Proto = orNil(proto(b))
	}
	for i := range chain.Hops {
		h := &chain.Hops[i]
		j := hopJSON{
			HELO: orNil(h.HELO), Name: orNil(h.Name), Addr: addrOrNil(h.Addr), By: orNil(h.By),
			With: orNil(h.With), ID: orNil(h.ID), For: orNil(h.For), Form: orNil(h.Form),
		}
		if !h.Time.IsZero() {
			j.Time = orNil(h.Time.Format(time.RFC3339))
		}
		if h.Err != nil {
			j.Error = orNil(h.Err.Error())
		}
		o.Hops[i] = j
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(o)
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func addrOrNil(a netip.Addr) *string {
	if !a.IsValid() {
		return nil
	}
	return orNil(a.String())
}

// proto is the value of XCLIENT's PROTO.
func proto(b received.Boundary) string {
	if b.ESMTP {
		return "ESMTP"
	}
	return "SMTP"
}
