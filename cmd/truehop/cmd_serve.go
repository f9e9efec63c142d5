package main

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Make passes by each account's schedule until told to end",
		Long: `serve makes passes over every account by its cron spec, in one process, until SIGTERM
or SIGINT; a pass in progress then ends cleanly. SIGHUP changes nothing yet: restart it after a
change of the configuration. Under systemd (Type=notify) it says when it is ready and when it stops.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// serve makes passes until ctx ends, which is its ordinary end.
func (p *program) serve(ctx context.Context) error {
	cfg, log, err := p.load()
	if err != nil {
		return err
	}
	p.signals.onHangup(log.NotReloaded)
	for _, w := range cfg.Warnings {
		log.Warning(w)
	}
	a, err := app.Open(ctx, cfg, logged(ctx, log))
	if err != nil {
		return err
	}
	p.signals.endOrdinarily()
	watching, stopWatching := context.WithCancel(ctx)
	loop := serviceLoop(watching, cfg, a, log)
	notify(log, daemon.SdNotifyReady)
	log.Serving(len(loop.Accounts))
	err = loop.Run(ctx)
	stopWatching()
	notify(log, daemon.SdNotifyStopping)
	err = errors.Join(err, a.Close(context.WithoutCancel(ctx)))
	log.Stopped()
	return err
}

// startJitter spreads passes that the clock starts for many accounts at once.
const startJitter = 5 * time.Second

// serviceLoop is the schedule of all accounts. New mail is watched for until ctx ends.
func serviceLoop(ctx context.Context, cfg *config.Config, a *app.App, log *ui.Log) *schedule.Loop {
	loop := &schedule.Loop{
		Parallel: cfg.Passes,
		Pass: func(ctx context.Context, name string) error {
			summary, err := a.Pass(ctx, cfg.Accounts[name], app.PassOptions{})
			log.Pass(name, summary, err)
			return err
		},
		// Repeating refused credentials locks accounts.
		Hard: func(err error) bool { return exitCode(err) == exitCredentials },
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
