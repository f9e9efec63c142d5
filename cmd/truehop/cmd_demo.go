package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/demo"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

func (p *program) demoCommand() *cobra.Command {
	var serve bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path on embedded servers; needs nothing installed",
		Long: `demo starts mailboxes in the shapes of several providers (IMAP and POP3, with TLS) and an
MTA with XCLIENT and access rules, all inside this process and on loopback ports, and makes two
passes with the real program: the second delivers what was deferred, and nothing twice.`,
		Args: noArgs,
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
	fmt.Fprintf(p.stdout, "%d mailboxes at six kinds of provider, %d messages, one MTA with access rules.\n"+
		"Below each message: the client that the MTA sees without truehop -> the one that\nit sees now; and what it says.\n\n", w.Mailboxes(), w.Messages())
	fmt.Fprintln(p.stdout, "First pass")
	if err := p.demoPass(ctx, cfg, w, 0); err != nil {
		return err
	}
	fmt.Fprintln(p.stdout, "\nSecond pass, ten minutes later: what was deferred is tried again")
	if err := p.demoPass(ctx, cfg, w, 10*time.Minute); err != nil {
		return err
	}
	arrived, err := w.Verify()
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "\nThe MTA took %d messages, each once. What it refused, or was not asked about,\nstays upstream, recorded, and nobody got a bounce.\n", arrived)
	return nil
}

// demoPass makes one real pass over all accounts and prints a row for each message.
func (p *program) demoPass(ctx context.Context, cfg *config.Config, w *demo.World, later time.Duration) error {
	var verdicts ui.Verdicts
	a, err := app.Open(ctx, cfg, app.Options{
		Observe: verdicts.Add,
		Now:     func() time.Time { return time.Now().Add(later) },
	})
	if err != nil {
		return err
	}
	for _, name := range cfg.Names() {
		if _, err := a.Pass(ctx, cfg.Accounts[name], app.PassOptions{}); err != nil {
			return errors.Join(fmt.Errorf("account %s: %w", name, err), a.Close(ctx))
		}
	}
	verdicts.PrintDemo(p.stdout, colours(p.stdout), w.Describe)
	return a.Close(ctx)
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
	p.signals.endOrdinarily()
	<-ctx.Done()
	return nil
}
