package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/metrics"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// runOptions are what the command line says of run.
type runOptions struct {
	dryRun, now   bool
	last          int
	accept, adopt []string
	report        string
}

func (p *program) runCommand() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run [ACCOUNT...]",
		Short: "Make one pass over each account",
		Long: `run makes one pass over each account, or over those named: it fetches what is new,
injects it, records the verdicts and settles the messages upstream. Made for the
command line, cron and systemd timers: with --quiet it says nothing unless something is wrong.
Where an upstream refuses the credentials of an account, run logs in there again after 15 minutes, then after 30,
and so on up to 12 hours, or as soon as the credentials were changed or truehop check could log in.
Beside a running truehop serve it makes its own pass; where serve is in the middle of one over that account,
run has serve make another one directly after it, says "woken", and ends.`,
		ValidArgsFunction: p.completeAccounts,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case c.Flags().Changed("last") && !o.dryRun:
				return usage("--last is for --dry-run: a pass delivers all that is new")
			case o.last < 1:
				return usage("--last wants a number of messages, 1 or more")
			}
			return p.run(c.Context(), args, o)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "ask the MTA up to RCPT what it would say; change nothing")
	c.Flags().IntVar(&o.last, "last", 50, "with --dry-run: ask about the last `N` messages of each folder")
	c.Flags().BoolVar(&o.now, "now", false, "log in even where the credentials were refused a while ago, and the next login would wait")
	c.Flags().StringArrayVar(&o.accept, "accept", nil, "deliver the unknown messages of `ACCOUNT` although its mailbox looks new or renumbered")
	c.Flags().StringArrayVar(&o.adopt, "adopt", nil, "record the unknown messages of `ACCOUNT` as done, delivering none of them")
	c.Flags().StringVar(&o.report, "report", "", "write what was done to `FILE`, as one JSON object")
	_ = c.MarkFlagFilename("report", "json") // fails only for a flag that is not there
	return c
}

// run makes one pass over each of the named accounts, several at a time.
func (p *program) run(ctx context.Context, names []string, o runOptions) error {
	cfg, log, err := p.load(ctx)
	if err != nil {
		return err
	}
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	if err := known(cfg, slices.Concat(o.accept, o.adopt)); err != nil {
		return err
	}
	for _, name := range o.accept {
		if slices.Contains(o.adopt, name) {
			return usage("--accept %s and --adopt %s exclude each other", name, name)
		}
	}
	reports := logged(ctx, log)
	var told teller = log
	if p.tellsPerson(cfg) {
		screen := ui.NewScreen(p.stderr, ui.ScreenOptions{
			Width: terminalWidth(p.stderr), Color: colours(p.stderr), Quiet: p.quiet, Addresses: cfg.Log.Addresses, Config: p.configPath, Now: time.Now,
			Progress: os.Getenv("TERM") != "dumb" && !o.dryRun, // a dry run writes its rows there
		})
		defer screen.Close()
		told = screen
		reports.Observe, reports.Arriving, reports.Logger, reports.Trace = screen.Event, screen.Arriving, screen.Logger, nil
	}
	rows := ui.NewDryRun(p.page(), cfg.Log.Addresses)
	if o.dryRun {
		reports.Observe = rows.Add
	}
	var report *ui.Report
	if o.report != "" {
		report = ui.NewReport(time.Now(), o.dryRun)
		reports.Ended = func(account string, s transfer.Summary, err error) {
			report.Add(account, s, err, worse(exitCode(err), summaryExit(s)))
		}
	}
	a, err := app.Open(ctx, cfg, reports)
	if err != nil {
		return err
	}
	p.signals.onEnd(func() { told.Awaiting(a.Awaited()) })
	code := passes(ctx, a, schedule.NewSlots(cfg.Passes, cfg.PassesPerHost, schedule.Patience), accounts, func(name string) app.PassOptions {
		return app.PassOptions{DryRun: o.dryRun, Now: o.now, Newest: o.last, Accept: slices.Contains(o.accept, name), Adopt: slices.Contains(o.adopt, name)}
	}, told, isTerminal(p.stderr) || o.now)
	if len(names) == 0 {
		for _, row := range cfg.Skipped {
			if o.dryRun || !a.TellSkipped(ctx, row).Known {
				told.Skipped(row)
			}
			code = worse(code, exitConfig)
		}
	}
	if o.dryRun {
		rows.End(o.last, code == exitOK)
	}
	if !o.dryRun {
		writeMetrics(cfg, a, log)
	}
	if err := a.Close(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if report != nil {
		if err := report.Write(o.report, time.Now(), code); err != nil {
			return &writeError{o.report, err}
		}
	}
	return ended(code)
}

// writeMetrics writes the file for a monitor, where the configuration names one.
func writeMetrics(cfg *config.Config, a *app.App, log *ui.Log) {
	if cfg.MetricsFile == "" {
		return
	}
	record := metrics.Record{Overviews: a.Overviews, Counts: a.Counts, NotCounted: log.NotCounted}
	if err := metrics.WriteFile(cfg.MetricsFile, record); err != nil {
		log.NotMeasured(err)
	}
}

// logged has everything that happens logged.
func logged(ctx context.Context, log *ui.Log) app.Options {
	o := app.Options{
		Observe: log.Event, NotWatching: log.NotWatching, Trouble: log.Trouble, Logger: log.Logger,
		Explain: func(err error) (string, int) { return ui.Hint(err), exitCode(err) },
	}
	if log.Enabled(ctx, slog.LevelDebug) {
		o.Trace = log.SMTP
	}
	return o
}

// teller tells of passes: a [ui.Screen] a person at a terminal, who is told each time what a [ui.Log] tells once.
type teller interface {
	Begin(account string)
	Waits(account, upstream string, waited time.Duration)
	Pass(account string, end ui.PassEnd)
	LoginWaits(account string, err error, known bool)
	Woken(account string)
	Skipped(row config.SkippedRow)
	Awaiting(messages int)
}

// tellsPerson reports whether run writes sentences: at a terminal, unless the configuration asks for a format of
// the log or for its debug level.
func (p *program) tellsPerson(cfg *config.Config) bool {
	return isTerminal(p.stderr) && cfg.Log.Format == config.AutoFormat && cfg.Log.Level > slog.LevelDebug
}

// passes makes a pass over each account, as many at a time as slots allow, and returns the worst exit code. seen says
// that somebody reads the output now: then everything is shown, and nothing is recorded as already said in the log.
func passes(ctx context.Context, a *app.App, slots *schedule.Slots, accounts []*config.Account, options func(string) app.PassOptions, told teller, seen bool) int {
	var mu sync.Mutex
	code := exitOK
	var under sync.WaitGroup
	for _, account := range accounts {
		slot := slots.Ask(account.Upstream()) // here, so that they come in this order
		under.Go(func() {
			defer slot.Give()
			// Where ctx has ended the pass says so.
			slot.Wait(ctx, func(waited time.Duration) { told.Waits(account.Name, account.Upstream(), waited) })
			one := onePass(ctx, a, account, options(account.Name), told, seen)
			mu.Lock()
			defer mu.Unlock()
			code = worse(code, one)
		})
	}
	under.Wait()
	return code
}

// onePass makes a pass over an account, and returns its exit code. Each account has its own end.
func onePass(ctx context.Context, a *app.App, account *config.Account, o app.PassOptions, told teller, seen bool) int {
	told.Begin(account.Name)
	summary, err := a.Pass(ctx, account, o)
	if asks := o == (app.PassOptions{Newest: o.Newest}); asks && ledger.KindOf(err) == ledger.Busy {
		woken, cause := a.Wake(ctx, account.Name)
		if woken {
			told.Woken(account.Name)
			return exitOK
		}
		err = errors.Join(err, cause)
	}
	end := ui.PassEnd{Summary: summary, Err: err}
	if !o.DryRun && !seen {
		end = passEnd(ctx, a, account.Name, summary, err)
	}
	var refused *app.RefusedError
	switch waits := errors.As(err, &refused) && refused.Waits; {
	case waits:
		told.LoginWaits(account.Name, refused, end.Known)
	case !o.DryRun, err != nil:
		told.Pass(account.Name, end)
	}
	if o.DryRun {
		summary = transfer.Summary{} // nothing of it happened
	}
	return worse(exitCode(err), summaryExit(summary))
}

// passEnd is how a pass ended, and whether that was told before.
func passEnd(ctx context.Context, a *app.App, account string, summary transfer.Summary, err error) ui.PassEnd {
	t := a.Telling(ctx, account, summary, err)
	return ui.PassEnd{Summary: summary, Err: err, Known: t.Known, Since: t.Since, Passes: t.Passes, Recovered: t.Recovered}
}
