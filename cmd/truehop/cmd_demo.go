package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/demo"
	"github.com/truehop/truehop/schedule/transfer"
)

func (p *program) demoCommand() *cobra.Command {
	var serve bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path on embedded servers; needs nothing installed",
		Long: `demo starts mailboxes in the shapes of several providers (IMAP and POP3, with TLS) and an
MTA with XCLIENT and access rules, all inside this process and on loopback ports, and makes two
passes with the real program: the second settles what was deferred and delivers nothing again.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.demo(c.Context(), serve) },
	}
	c.Flags().BoolVar(&serve, "serve", false, "leave the servers running and print a configuration for them")
	return c
}

func (p *program) demo(ctx context.Context, serve bool) (err error) {
	w, err := demo.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if serve {
		return p.demoServe(ctx, w)
	}
	cfg, err := config.Load(w.Config, configOptions())
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "%d mailboxes at six kinds of provider, %d messages, one MTA with access rules.\nWithout XCLIENT it would see 127.0.0.1 as the client of every one of them.\n\n",
		w.Mailboxes(), w.Messages())
	fmt.Fprintln(p.stdout, "First pass")
	if err := p.demoPass(ctx, cfg, w, 0); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "\nSecond pass, ten minutes later: what was deferred is tried again, the rest is known")
	if err := p.demoPass(ctx, cfg, w, 10*time.Minute); err != nil {
		return err
	}
	arrived, err := w.Verify()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\nThe MTA took %d messages, each once; what it refused, or was not asked about, stays upstream, recorded, and nobody got a bounce.\n", arrived)
	return nil
}

// demoPass makes one real pass over all accounts and prints a row for each message.
func (p *program) demoPass(ctx context.Context, cfg *config.Config, w *demo.World, later time.Duration) error {
	e, err := openEngine(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	e.now = func() time.Time { return time.Now().Add(later) }
	rows := &demoRows{upstream: map[string]string{}}
	e.observe = rows.add
	for _, name := range cfg.Names() {
		if _, err := e.pass(ctx, cfg.Accounts[name], passOptions{}); err != nil {
			return errors.Join(fmt.Errorf("account %s: %w", name, err), e.close(ctx))
		}
	}
	rows.print(p, w)
	return e.close(ctx)
}

// demoRows collects what a pass did.
type demoRows struct {
	verdicts []transfer.Event
	upstream map[string]string
}

func (r *demoRows) add(e transfer.Event) {
	switch e.Kind {
	case transfer.Verdict:
		r.verdicts = append(r.verdicts, e)
	case transfer.Settled:
		r.upstream[e.Token] = disposalText(e.Disposal)
	}
}

func (r *demoRows) print(p *program, w *demo.World) {
	slices.SortStableFunc(r.verdicts, func(a, b transfer.Event) int { return strings.Compare(a.Account+a.Ref.UID, b.Account+b.Ref.UID) })
	t := newTable(p.stdout, "MAILBOX", "MESSAGE", "CLIENT", "NAME", "HELO", "THE MTA SAYS", "UPSTREAM")
	for _, e := range r.verdicts {
		shown := e.Receipt.Presented
		upstream := r.upstream[e.Token]
		if upstream == "" {
			upstream = "kept"
		}
		said := replyText(e.Receipt.Reply)
		if e.Receipt.Reply.Code == 0 {
			said = "not asked, " + reason("", e.Why)
		}
		t.row(e.Account, w.Describe(e.Account, e.Ref.Seq), presented(e.Receipt), orUnknown(shown.Name), orUnknown(shown.HELO),
			e.State+": "+cut(said, 84), upstream)
	}
	t.flush()
}

// demoServe leaves the servers running until a signal.
func (p *program) demoServe(ctx context.Context, w *demo.World) error {
	text, err := os.ReadFile(w.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "# %s\n%s\n", w.Config, text)
	fmt.Fprintf(p.stdout, `# The servers run until you press Ctrl-C. In another terminal:
#   truehop check   --config %[1]s
#   truehop explain --provider gmail -- %[2]s
#   truehop run     --config %[1]s
#   truehop status  --config %[1]s
`, w.Config, w.Sample)
	<-ctx.Done()
	p.caught.Store(0) // being told to end is how it ends
	return nil
}
