package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"github.com/truehop/truehop/schedule"
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Make passes by each account's schedule until told to end",
		Long: `serve makes passes over every account by its cron spec, in one process, until SIGTERM
or SIGINT; a pass in progress then ends cleanly. SIGHUP changes nothing yet: restart it after a
change of the configuration. Under systemd (Type=notify) it says when it is ready and when it stops.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return p.serve(c.Context()) },
	}
}

// serve makes passes until ctx ends, which is its ordinary end.
func (p *program) serve(ctx context.Context) error {
	cfg, log, err := p.load()
	if err != nil {
		return err
	}
	p.serving.Store(log)
	for _, w := range cfg.Warnings {
		log.Warn(logConfig, "warning", w)
	}
	e, err := openEngine(ctx, cfg, log)
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	w := &watchers{engine: e}
	loop := serviceLoop(watching, e, w)
	notify(log, daemon.SdNotifyReady)
	log.Info(logServing, "accounts", len(loop.Accounts))
	err = loop.Run(ctx)
	stopWatching()
	w.group.Wait()
	notify(log, daemon.SdNotifyStopping)
	err = errors.Join(err, e.close(context.WithoutCancel(ctx)))
	log.Info(logStopped)
	p.caught.Store(0) // being told to end is how a service ends well
	return err
}

// startJitter spreads passes that the clock starts for many accounts at once.
const startJitter = 5 * time.Second

// serviceLoop is the schedule of all accounts.
func serviceLoop(ctx context.Context, e *engine, w *watchers) *schedule.Loop {
	loop := &schedule.Loop{
		Parallel: e.cfg.Passes,
		Pass: func(ctx context.Context, name string) error {
			summary, err := e.pass(ctx, e.cfg.Accounts[name], passOptions{})
			logPass(e.log, name, summary, err)
			return err
		},
		// Repeating refused credentials locks accounts.
		Hard: func(err error) bool { return exitCode(err) == exitCredentials },
		OnEnd: func(account string, _ time.Duration, err error) {
			var panicked *schedule.PanicError
			if errors.As(err, &panicked) {
				e.log.Error(logPanic, "account", account, "error", err.Error(), "stack", string(panicked.Stack))
			}
		},
		OnNext: func(account string, at time.Time) { e.log.Debug(logNext, "account", account, "at", at) },
	}
	for _, name := range e.cfg.Names() {
		loop.Accounts = append(loop.Accounts, schedule.Account{
			Name: name, Spec: e.cfg.Accounts[name].Schedule, AtStart: true, Jitter: startJitter, Wake: w.watch(ctx, e.cfg.Accounts[name]),
		})
	}
	return loop
}

// notify tells the service manager, where there is one.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn(logManager, "error", err.Error())
	}
}
