package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Make passes by each account's schedule until told to end",
		Long: `serve makes passes over every account by its cron spec, in one process, until SIGTERM
or SIGINT; a pass in progress then ends cleanly.

SIGHUP has it read the configuration again: accounts come, change and go, and passes over the others
are not touched; the pass over an account that changed ends cleanly first. A configuration that cannot
be used changes nothing, and serve says what is wrong with it. SIGUSR1 begins a pass over every account
now, as new mail does. truehop run ACCOUNT makes a pass of its own over one account; where serve is in
one over it already, serve makes another right after that.

Under systemd it says when it is ready, reloads and stops, and feeds the watchdog as long as
every account's schedule and watcher show that they live.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// serve makes passes until ctx ends, which is its ordinary end.
func (p *program) serve(ctx context.Context) error {
	// The database may be waited for, and the record checked or rewritten, before the first pass.
	p.signals.endOrdinarily()
	hangups, wakes := make(chan struct{}, 1), make(chan struct{}, 1)
	p.signals.onHangup(func() { offer(hangups) })
	p.signals.onWake(func() { offer(wakes) })
	cfg, log, err := p.load(ctx)
	if err != nil {
		return unlessEnding(ctx, err)
	}
	s := newService(cfg, log)
	s.hangups, s.wakes = hangups, wakes
	if s.app, err = app.Open(ctx, cfg, s.options(ctx, log)); err != nil {
		return unlessEnding(ctx, err)
	}
	if shared := s.app.Shared(); shared != nil {
		s.fleet = newFleet(s, shared)
	}
	p.tellAwaited(s.app, log)
	watched := p.tellsPerson(cfg) && !p.quiet
	if watched {
		ui.PrintServing(p.stderr, len(cfg.Accounts))
	}
	err = s.run(ctx, p.reread)
	err = errors.Join(err, s.app.Close(context.WithoutCancel(ctx)))
	s.logger().Stopped()
	if watched && err == nil {
		ui.PrintServed(p.stderr)
	}
	return err
}

// unlessEnding returns why serve could not begin, nil where it was told to end meanwhile: that is its ordinary end.
func unlessEnding(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// offer puts a value into c, unless one waits there.
func offer(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
