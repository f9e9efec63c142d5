package main

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/metrics"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/schedule"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// startJitter spreads passes that the clock starts for many accounts at once.
const startJitter = 5 * time.Second

// service is what the command serve runs: the schedule of all accounts, their watchers, and what tells it to do something else.
type service struct {
	app     *app.App
	manager manager
	pulse   pulse
	metrics *metrics.Metrics
	// fleet shares the accounts with other services, nil where there are none.
	fleet *fleet
	// hangups and wakes have a value when SIGHUP and SIGUSR1 have come.
	hangups, wakes chan struct{}
	updates        chan schedule.Update
	// changes are those of the table of accounts.
	changes chan accountsChange

	mu  sync.Mutex // guards what follows
	cfg *config.Config
	log *ui.Log
	// served are the accounts of cfg, by name, due when a message of each is to be tried again.
	served map[string]served
	due    map[string]time.Time
	// ready says that passes are made, exposer is the server of metrics, nil where there is none.
	ready   bool
	exposer *metrics.Server
}

// served is one account.
type served struct {
	wake chan struct{}
	// unwatch ends its watchers.
	unwatch context.CancelFunc
}

func newService(cfg *config.Config, log *ui.Log) *service {
	s := &service{
		cfg: cfg, log: log, served: map[string]served{}, due: map[string]time.Time{},
		hangups: make(chan struct{}, 1), wakes: make(chan struct{}, 1), updates: make(chan schedule.Update), changes: make(chan accountsChange),
	}
	s.metrics = metrics.New(metrics.Record{
		Overviews:  func(ctx context.Context) ([]ledger.Overview, error) { return s.app.Overviews(ctx) },
		Counts:     func(ctx context.Context) (map[string]map[ledger.State]int, error) { return s.app.Counts(ctx) },
		NotCounted: func(err error) { s.logger().NotCounted(err) },
	})
	return s
}

func (s *service) logger() *ui.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log
}

// account returns an account as it is now, nil if there is none of this name.
func (s *service) account(name string) *config.Account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Accounts[name]
}

// options have everything that happens logged, and taken for a sign of life.
func (s *service) options(ctx context.Context, log *ui.Log) app.Options {
	o := logged(ctx, log)
	observe := o.Observe
	o.Observe = func(e transfer.Event) {
		s.pulse.again(loopOf(e.Account), passSilence)
		s.metrics.Event(e)
		observe(e)
	}
	// A large message over a slow line comes for hours without an event.
	o.Arriving = func(account string, _ int64) { s.pulse.again(loopOf(account), passSilence) }
	o.Session, o.Reset, o.Receipt = s.metrics.Session, s.metrics.Reset, s.metrics.Receipt
	o.Watching = func(account, folder string, within time.Duration) {
		if within == 0 { // for a pass or for a person: the account's schedule shows life, and a refused login may stand for days
			within = -1
		}
		s.pulse.beat("watcher of "+account+" "+fetch.Sanitize(folder), within)
	}
	return o
}

// loopOf names the goroutine that makes an account's passes, in the pulse.
func loopOf(account string) string { return "schedule of " + account }

// run makes passes until ctx ends and those in progress have. read reads the configuration again.
func (s *service) run(ctx context.Context, read func(now *config.Config) (*config.Config, *ui.Log, error)) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // where it cannot begin, the watchers that have begun end
	for _, w := range s.cfg.Warnings {
		s.log.Warning(w)
	}
	s.tellSkipped(ctx, s.cfg.Skipped)
	loop := s.loop(ctx)
	s.metrics.Serve(s.cfg.Names(), s.cfg.TargetNames(), nil, nil)
	var err error
	if s.exposer, err = s.expose(s.cfg.Metrics); err != nil {
		return err
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	s.log.Serving(len(s.cfg.Accounts))
	s.notify(s.manager.ready(len(s.cfg.Accounts)))
	if s.fleet != nil {
		s.metrics.Share(s.fleet.shared)
		if err := s.fleet.ledger.Serve(ctx, s.cfg.Names()); err != nil && ctx.Err() == nil { // else it is told to end
			return err
		}
	}
	var helpers sync.WaitGroup
	working, end := context.WithCancel(context.WithoutCancel(ctx)) // until the last pass has ended
	helpers.Go(func() { s.feedWatchdog(working) })
	helpers.Go(func() { s.listen(ctx) })
	helpers.Go(func() { s.obey(ctx, read) })
	if s.fleet != nil {
		helpers.Go(func() { s.fleet.run(ctx, working) })
	}
	if s.cfg.Table() != nil {
		helpers.Go(func() { s.follow(ctx, s.cfg.Table().Files()) })
	}
	err = loop.Run(ctx)
	end()
	helpers.Wait()
	if s.exposer != nil {
		err = errors.Join(err, s.exposer.Close())
	}
	return err
}

// loop is the schedule of all accounts. New mail is watched for until ctx ends.
func (s *service) loop(ctx context.Context) *schedule.Loop {
	loop := &schedule.Loop{
		Parallel: s.cfg.Passes, PerHost: s.cfg.PassesPerHost, Updates: s.updates, Pass: s.pass,
		// An upstream that is shown refused credentials again locks accounts. A secret that cannot be read is not shown to anybody, and
		// the MTA is the postmaster's own: who has mended that does not wait for hours.
		Hard: func(err error) bool { return fetch.KindOf(err) == fetch.Auth },
		// All passes fail at once where the database is away; when it is back none is to wait for its account's next turn.
		Ours: func(err error) bool {
			kind := ledger.KindOf(err)
			return kind == ledger.Away || kind == ledger.Slow || kind == ledger.Fenced
		},
		OnEnd: func(account string, _ time.Duration, err error) {
			var panicked *schedule.PanicError
			if errors.As(err, &panicked) {
				s.logger().Panicked(account, panicked)
			}
		},
		Due: func(account string) time.Time {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.due[account]
		},
		OnNext: func(account string, at time.Time) {
			s.logger().Next(account, at)
			if s.fleet != nil {
				s.fleet.plans(account, at)
			}
		},
		OnWait: func(account string, waited time.Duration) {
			if a := s.account(account); a != nil {
				s.logger().Waits(account, a.Upstream(), waited)
			}
		},
		OnTurn: func(account string, within time.Duration) {
			if s.fleet != nil && within < 0 {
				s.fleet.leaves(account, ctx.Err() != nil)
			}
			if within == 0 {
				within = passSilence
			}
			s.pulse.beat(loopOf(account), within)
		},
	}
	if s.fleet != nil {
		return loop // its accounts come when their leases have been taken
	}
	for _, name := range s.cfg.Names() {
		loop.Accounts = append(loop.Accounts, s.serve(ctx, s.cfg.Accounts[name], time.Time{}))
	}
	return loop
}

// pass makes one pass over an account.
func (s *service) pass(ctx context.Context, name string) error {
	account := s.account(name)
	if account == nil {
		return nil // it has gone in this moment
	}
	began := time.Now()
	summary, err := s.app.Pass(ctx, account, app.PassOptions{})
	if ctx.Err() == nil { // one that was cut short is no measure
		s.metrics.Pass(name, time.Since(began), err != nil)
	}
	if s.fleet != nil && ledger.KindOf(err) == ledger.Fenced && summary == (transfer.Summary{}) {
		return nil // another service has the account, or is about to
	}
	s.notify(s.manager.ended(name, err))
	s.mu.Lock()
	s.due[name] = dueAfter(s.due[name], summary, err, time.Now())
	s.mu.Unlock()
	log := s.logger()
	var refused *app.RefusedError
	end := passEnd(ctx, s.app, name, summary, err)
	if !errors.As(err, &refused) {
		log.Pass(name, end)
		return err
	}
	if refused.Waits && summary == (transfer.Summary{}) { // else the pass had begun
		log.LoginWaits(name, refused, end.Known)
	} else {
		log.Pass(name, end)
	}
	return nil // the ledger spaces the logins, and lets one through when the credentials were changed
}

// dueAfter is when the account is to be tried again after a pass, by what it knew before: what a pass that failed did not come to is
// due as before. A server that wants time between two logins gets it.
func dueAfter(before time.Time, sum transfer.Summary, err error, now time.Time) time.Time {
	due := sum.Next
	if due.IsZero() && err != nil {
		due = before
	}
	if soonest := now.Add(sum.LoginDelay); !due.IsZero() && due.Before(soonest) {
		due = soonest
	}
	return due
}

// serve begins to watch an account, which takes the place of one of the same name, and returns its place in the schedule: with a pass at first, or at
// the start if that is zero.
func (s *service) serve(ctx context.Context, account *config.Account, first time.Time) schedule.Account {
	watching, unwatch := context.WithCancel(ctx)
	one := served{wake: make(chan struct{}, 1), unwatch: unwatch}
	s.mu.Lock()
	if before, known := s.served[account.Name]; known {
		before.unwatch()
	}
	s.served[account.Name] = one
	s.mu.Unlock()
	s.app.Watch(watching, account, one.wake)
	return schedule.Account{Name: account.Name, Host: account.Upstream(), Spec: account.Schedule, AtStart: first.IsZero(), First: first, Jitter: startJitter, Wake: one.wake}
}

// stopServing ends the watchers of accounts.
func (s *service) stopServing(accounts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range accounts {
		if one, here := s.served[name]; here {
			one.unwatch()
			delete(s.served, name)
		}
	}
}

// update is a change to the schedule that has the limits of the configuration as it is now, and no accounts yet.
func (s *service) update() schedule.Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	return schedule.Update{Parallel: s.cfg.Passes, PerHost: s.cfg.PassesPerHost}
}

// send changes the schedule, unless ctx ends.
func (s *service) send(ctx context.Context, update schedule.Update) {
	select {
	case s.updates <- update:
	case <-ctx.Done():
	}
}

// obey does what signals say, and what changes in the table of accounts asks for, until ctx ends.
func (s *service) obey(ctx context.Context, read func(now *config.Config) (*config.Config, *ui.Log, error)) {
	for {
		select {
		case <-s.hangups:
			s.reload(ctx, read)
		case change := <-s.changes:
			s.adoptRows(ctx, change)
		case <-s.wakes:
			s.mu.Lock()
			for _, one := range s.served {
				offer(one.wake)
			}
			s.mu.Unlock()
		case <-ctx.Done():
			s.mu.Lock()
			s.ready = false
			s.mu.Unlock()
			s.notify(daemon.SdNotifyStopping + "\nSTATUS=waiting for the passes under way")
			return
		}
	}
}

// reload goes on by the configuration as it is now, or as before where it cannot be used. The service manager has its answer before
// the log, whose reader may be slow.
func (s *service) reload(ctx context.Context, read func(now *config.Config) (*config.Config, *ui.Log, error)) {
	// With Type=notify-reload the time has to be there.
	s.notify(daemon.SdNotifyReloading + "\n" + strings.TrimSuffix(daemon.SdNotifyMonotonicUsec(), "\n"))
	before := s.cfg // only this goroutine changes it
	next, log, err := read(before)
	if err == nil {
		err = s.adopt(ctx, next, log, func(come, gone []string) {
			s.metrics.Reload(false)
			s.notify(s.manager.ready(len(s.names())))
			for _, w := range next.Warnings {
				if !slices.Contains(before.Warnings, w) {
					log.Warning(w)
				}
			}
			log.Reloaded(come, gone)
		})
	}
	if err != nil {
		s.metrics.Reload(true)
		s.notify(s.manager.ready(len(s.names())))
		s.logger().NotReloaded(err)
	}
}

// adopt goes on by another configuration, and has told which accounts are new or changed, and which are gone, before the first pass over
// one of them. After an error everything goes on as it was.
func (s *service) adopt(ctx context.Context, next *config.Config, log *ui.Log, tell func(come, gone []string)) (err error) {
	var exposer *metrics.Server
	moved := next.Metrics != s.cfg.Metrics
	if moved {
		if exposer, err = s.expose(next.Metrics); err != nil {
			return err
		}
	}
	if err := s.app.Reload(next, s.options(ctx, log)); err != nil {
		if exposer != nil {
			err = errors.Join(err, exposer.Close())
		}
		return err
	}
	var trouble error
	if moved {
		if s.exposer != nil {
			trouble = s.exposer.Close()
		}
		s.exposer = exposer
	}
	come, gone := s.cfg.Changed(next)
	goneTargets := slices.DeleteFunc(s.cfg.TargetNames(), func(name string) bool { return slices.Contains(next.TargetNames(), name) })
	s.metrics.Serve(next.Names(), next.TargetNames(), gone, goneTargets)
	debug.SetMemoryLimit(memoryFor(len(next.Accounts)))
	skipped := newlySkipped(s.cfg, next)
	s.notify(s.manager.forget(gone))
	s.change(ctx, next, log, come, gone, func() {
		tell(come, gone)
		s.tellSkipped(ctx, skipped)
		if trouble != nil {
			log.NotMeasured(trouble)
		}
	})
	return nil
}

// change has accounts that are new or changed, or gone, in the schedule as the next configuration has them. tell is called once that is in force.
func (s *service) change(ctx context.Context, next *config.Config, log *ui.Log, come, gone []string, tell func()) {
	apply := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cfg, s.log = next, log
	}
	var accounts []*config.Account
	for _, name := range come {
		accounts = append(accounts, next.Accounts[name])
	}
	if s.fleet != nil {
		s.fleet.change(ctx, accounts, gone, apply)
		tell()
		return
	}
	apply()
	s.stopServing(gone)
	update := s.update()
	update.Gone = gone
	for _, account := range accounts {
		update.Accounts = append(update.Accounts, s.serve(ctx, account, time.Time{}))
	}
	tell()
	s.send(ctx, update)
}

// expose answers a monitor at this address, if there is one.
func (s *service) expose(at config.Endpoint) (*metrics.Server, error) {
	if at == (config.Endpoint{}) {
		return nil, nil
	}
	return s.metrics.Listen(at.Network, at.Address, s.health)
}

// health is what an orchestrator is told, see [metrics.Health]. A service of a fleet that serves nobody makes no passes.
func (s *service) health() (late []string, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := s.fleet != nil && s.fleet.servesNobody()
	return s.pulse.late(time.Now()), s.ready && !idle
}

// names are the accounts that are served.
func (s *service) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Names()
}

// listen has truehop run wake accounts, until ctx ends.
func (s *service) listen(ctx context.Context) {
	s.mu.Lock()
	dir := s.cfg.StateDir
	s.mu.Unlock()
	socket, err := app.ListenWake(dir)
	if err == nil {
		err = socket.Serve(ctx, s.wake)
	}
	if err != nil {
		s.logger().NotListening(err)
	}
}

// wake begins a pass over an account, after the one that is under way. It returns false for one that is not served.
func (s *service) wake(account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, known := s.served[account]
	if known {
		offer(one.wake)
	}
	return known
}
