package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Make passes by each account's schedule until told to end",
		Long: `serve makes passes over every account by its cron spec, in one process, until SIGTERM
or SIGINT; a pass in progress then ends cleanly. After SIGHUP it goes on by the configuration as it is
then; if that cannot be used it says so and goes on by the old one. Under systemd (Type=notify) it says when it is ready and when it stops.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// serve makes passes until ctx ends, which is its ordinary end. SIGHUP has it read the configuration anew: passes in
// progress end cleanly then, and all accounts begin as at the start. A configuration that cannot be used changes nothing.
func (p *program) serve(ctx context.Context) error {
	cfg, log, err := p.load()
	if err != nil {
		return err
	}
	reloads := make(chan *config.Config, 1)
	first := log
	p.signals.onHangup(func() {
		next, err := p.readConfig()
		if err != nil {
			first.NotReloaded(err)
			return
		}
		select {
		case <-reloads: // an older one that was not taken up
		default:
		}
		reloads <- next
	})
	a, err := app.Open(ctx, cfg, logged(ctx, log))
	if err != nil {
		return err
	}
	p.signals.endOrdinarily()
	for {
		p.tellAwaited(a, log)
		next, err := serveBy(ctx, cfg, a, log, reloads)
		if err = errors.Join(err, a.Close(context.WithoutCancel(ctx))); err != nil || next == nil || ctx.Err() != nil {
			log.Stopped()
			return err
		}
		nextLog := ui.NewLog(p.stderr, next.Log, p.quiet)
		if a, err = app.Open(ctx, next, logged(ctx, nextLog)); err == nil {
			cfg, log = next, nextLog
			log.Reloaded()
			continue
		}
		log.NotReloaded(err)
		if a, err = app.Open(ctx, cfg, logged(ctx, log)); err != nil {
			return err
		}
	}
}

// serveBy makes passes by one configuration, until ctx ends or there is a new one, which it returns.
func serveBy(ctx context.Context, cfg *config.Config, a *app.App, log *ui.Log, reloads <-chan *config.Config) (next *config.Config, err error) {
	for _, w := range cfg.Warnings {
		log.Warning(w)
	}
	passes, end := context.WithCancel(ctx)
	defer end()
	loop := serviceLoop(passes, cfg, a, log)
	notify(log, daemon.SdNotifyReady)
	log.Serving(len(loop.Accounts))
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case next = <-reloads:
			end()
		case <-passes.Done():
		}
	})
	err = loop.Run(passes)
	end()
	waiter.Wait()
	state := daemon.SdNotifyStopping
	if next != nil {
		state = daemon.SdNotifyReloading
	}
	notify(log, state)
	return next, err
}

// startJitter spreads passes that the clock starts for many accounts at once.
const startJitter = 5 * time.Second

// serviceLoop is the schedule of all accounts. New mail is watched for until ctx ends.
func serviceLoop(ctx context.Context, cfg *config.Config, a *app.App, log *ui.Log) *schedule.Loop {
	loop := &schedule.Loop{
		Parallel: cfg.Passes,
		Pass: func(ctx context.Context, name string) error {
			summary, err := a.Pass(ctx, cfg.Accounts[name], app.PassOptions{})
			var refused *app.RefusedError
			if !errors.As(err, &refused) {
				log.Pass(name, summary, err)
				return err
			}
			if refused.Waits {
				log.LoginWaits(name, refused, refused.Told)
			} else {
				log.Pass(name, summary, err)
			}
			return nil // the ledger spaces the logins, and lets one through when the credentials were changed
		},
		// Repeating refused credentials locks accounts.
		Hard: func(err error) bool { return exitCode(err) == exitCredentials || fetch.KindOf(err) == fetch.Auth },
		OnEnd: func(account string, _ time.Duration, err error) {
			var panicked *schedule.PanicError
			if errors.As(err, &panicked) {
				log.Panicked(account, panicked)
			}
		},
		OnNext: log.Next,
	}
	for _, name := range cfg.Names() {
		account := cfg.Accounts[name]
		loop.Accounts = append(loop.Accounts, schedule.Account{
			Name: name, Spec: account.Schedule, AtStart: true, Jitter: startJitter, Wake: a.Watch(ctx, account),
		})
	}
	return loop
}

// notify reports to the service manager, where there is one.
func notify(log *ui.Log, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.ServiceManager(err)
	}
}
