package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/metrics"
	"github.com/truehop/truehop/schedule/postgres"
)

// sharing is a ledger that several services share accounts by: [postgres.Ledger].
type sharing interface {
	Serve(ctx context.Context, accounts []string) error
	Unserve(ctx context.Context, accounts []string) error
	Standing(ctx context.Context) (postgres.Standing, error)
	Take(ctx context.Context, n int, but []string) ([]postgres.Taken, error)
	Leave(accounts []string, n int) (idle []string)
	Decline(ctx context.Context, accounts []string) error
	HandOver(ctx context.Context, due map[string]time.Time) error
	Held() []string
	Losses() int
}

// overdueLooks is after how many looks what nobody serves is taken beyond the share.
const overdueLooks = 5

// fleetLook is how often a service looks how the accounts are shared out.
const fleetLook = 2 * time.Second

// assertLooks is after how many looks it tells the database again which accounts it has: one that has left the configuration of another service is
// not to be served by nobody.
const assertLooks = 150

// lookPatience is how long it waits for the answer: while the database says nothing, its leases run out.
const lookPatience = 10 * time.Second

// fleet has a service serve its share of the accounts. An account is in the schedule, and watched, from when its lease was taken until it is handed
// over or lost. One goroutine, run, takes and hands over.
type fleet struct {
	service *service
	ledger  sharing
	look    time.Duration
	// poke has something when an account has left the schedule.
	poke chan struct{}
	// alone says that the last look found no other service. It is run's.
	alone bool
	// looks counts the looks. It is run's.
	looks int
	// overdue counts the looks that found accounts which nobody serves, one after another. It is run's.
	overdue int
	// changing is held while accounts come into the schedule, or their configuration changes. It guards strangers, which others have in their
	// configuration, and this service has not.
	changing  sync.Mutex
	strangers []string

	mu sync.Mutex
	// away is since when looks have failed, zero if the last one did not.
	away time.Time
	// next is when the clock starts the next pass over each account in the schedule; parting are those that are told to leave it, left those that
	// have.
	next          map[string]time.Time
	parting, left map[string]bool
	// unreported are the accounts of which the database does not know yet that they are to be served, true, or not any more.
	unreported map[string]bool
	// taken counts the leases that were taken.
	taken int
	// last is what the last look found.
	last postgres.Standing
}

func newFleet(s *service, l sharing) *fleet {
	return &fleet{service: s, ledger: l, look: fleetLook, poke: make(chan struct{}, 1),
		next: map[string]time.Time{}, parting: map[string]bool{}, left: map[string]bool{}, unreported: map[string]bool{}}
}

// shared is what a monitor is told.
func (f *fleet) shared() metrics.Shared {
	f.mu.Lock()
	defer f.mu.Unlock()
	return metrics.Shared{Held: len(f.ledger.Held()), Taken: f.taken, Lost: f.ledger.Losses(),
		Services: f.last.Nodes, Accounts: f.last.Accounts, Overdue: f.last.Overdue}
}

// run serves this service's share until ctx ends, and hands over what leaves the schedule until ended: then no pass is under way.
func (f *fleet) run(ctx, ended context.Context) {
	again := time.NewTicker(f.look)
	defer again.Stop()
	for ended.Err() == nil {
		f.handOver(ended)
		if ctx.Err() == nil {
			f.share(ctx)
		}
		select {
		case <-again.C:
		case <-f.poke:
		case <-ended.Done():
		}
	}
	f.handOver(context.WithoutCancel(ended))
}

// share takes accounts or lets them go, so that this service has its share.
func (f *fleet) share(ctx context.Context) {
	f.part(ctx, f.lost()) // also while the database is away
	if f.looks++; f.looks%assertLooks == 0 {
		names := f.service.names() // which must not be asked for under mu: a probe locks the other way round
		f.mu.Lock()
		for _, account := range names {
			if _, newer := f.unreported[account]; !newer {
				f.unreported[account] = true
			}
		}
		f.mu.Unlock()
	}
	asking, cancel := context.WithTimeout(ctx, lookPatience)
	standing, err := f.ledger.Standing(asking)
	cancel()
	if err == nil {
		f.note(standing)
		f.part(ctx, f.lost())
		lent := f.ledger.Leave(standing.Asked, len(standing.Asked))
		f.part(ctx, lent)
		declined := f.ledger.Decline(ctx, slices.DeleteFunc(standing.Asked, func(account string) bool { return slices.Contains(lent, account) }))
		standing.Held -= f.leaving()
		take, give := standing.Quota()
		f.part(ctx, f.ledger.Leave(f.latestDueFirst(), give))
		take = max(take, f.beyond(standing))
		err = errors.Join(declined, f.tell(ctx), f.take(ctx, take))
	}
	if failed, was := err != nil, !f.away.IsZero(); failed != was && ctx.Err() == nil {
		f.mu.Lock()
		f.away = time.Time{}
		if failed {
			f.away = time.Now()
		}
		f.mu.Unlock()
		f.service.logger().Sharing(err)
	}
}

// tell tells the database which accounts are to be served by a change of the configuration. Where it is away, the next look that finds it does.
func (f *fleet) tell(ctx context.Context) error {
	f.mu.Lock()
	unreported := f.unreported
	f.unreported = map[string]bool{}
	f.mu.Unlock()
	if len(unreported) == 0 {
		return nil
	}
	var come, gone []string
	for account, served := range unreported {
		if served {
			come = append(come, account)
		} else {
			gone = append(gone, account)
		}
	}
	err := errors.Join(f.ledger.Serve(ctx, come), f.ledger.Unserve(ctx, gone))
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(unreported, f.unreported) // which is newer
	f.unreported = unreported
	return err
}

// note keeps what the look has found for those who ask, and logs once that this service was drained, and again when no other service is left, or there is one again.
func (f *fleet) note(standing postgres.Standing) {
	f.mu.Lock()
	known := f.last.Draining
	f.last = standing
	f.mu.Unlock()
	alone := standing.Nodes == 0
	changed := !known || alone != f.alone
	if f.alone = alone; standing.Draining && changed {
		f.service.logger().Drained(standing.Nodes)
	}
}

// awayLimit is how long the database may be away from a service that serves no account before it is not ready.
const awayLimit = time.Minute

// servesNobody reports whether this service serves no account and takes none: it was drained, or the database has been away for too long and no
// lease is left. One that has no account because the others have them all is ready to take theirs.
func (f *fleet) servesNobody() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	cutOff := !f.away.IsZero() && time.Since(f.away) >= awayLimit && len(f.ledger.Held()) == 0
	return f.last.Draining || cutOff
}

// beyond is how many accounts to take although this service has its share: those that the others had the time to take, and did not take. They
// are handed over at the next look that finds no pass over them under way, and taken again when they are overdue again.
func (f *fleet) beyond(standing postgres.Standing) int {
	n := standing.Beyond()
	if n == 0 {
		f.overdue = 0
		return 0
	}
	f.overdue++
	if f.overdue < overdueLooks {
		return 0
	}
	return n
}

// lost are the accounts in the schedule whose leases are over.
func (f *fleet) lost() []string {
	held := map[string]bool{}
	for _, account := range f.ledger.Held() {
		held[account] = true
	}
	return slices.DeleteFunc(f.latestDueFirst(), func(account string) bool { return held[account] })
}

// leaving counts the accounts that are held only until the pass over them has ended: none of the others is to go for them.
func (f *fleet) leaving() (n int) {
	held := f.ledger.Held()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, account := range held {
		if f.parting[account] {
			n++
		}
	}
	return n
}

// latestDueFirst are the accounts in the schedule, those first that can wait longest for another node to take them.
func (f *fleet) latestDueFirst() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var accounts []string
	for account := range f.next {
		if !f.parting[account] {
			accounts = append(accounts, account)
		}
	}
	slices.SortFunc(accounts, func(a, b string) int { return cmp.Or(f.next[b].Compare(f.next[a]), cmp.Compare(a, b)) })
	return accounts
}

// part takes accounts out of the schedule. They are handed over once they have left it.
func (f *fleet) part(ctx context.Context, accounts []string) {
	f.changing.Lock() // else a change of the configuration could bring one back that it saw before
	defer f.changing.Unlock()
	f.takeOut(ctx, accounts)
}

// takeOut is part for those who hold changing.
func (f *fleet) takeOut(ctx context.Context, accounts []string) {
	if len(accounts) == 0 {
		return
	}
	f.mu.Lock()
	for _, account := range accounts {
		f.parting[account] = true
	}
	f.mu.Unlock()
	f.service.stopServing(accounts)
	update := f.service.update()
	update.Gone = accounts
	f.service.send(ctx, update)
}

// leaves notes that an account has left the schedule. Where neither the service ends nor the account was taken out, it is replaced by
// one of the same name, and stays.
func (f *fleet) leaves(account string, ending bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if ending || f.parting[account] {
		f.left[account] = true
		offer(f.poke)
	}
}

// plans notes when the clock starts the next pass over an account.
func (f *fleet) plans(account string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, here := f.next[account]; here {
		f.next[account] = at
	}
}

// handOver hands over the accounts that have left the schedule. Those that are lost are another's already.
func (f *fleet) handOver(ctx context.Context) {
	f.mu.Lock()
	due := map[string]time.Time{}
	for account := range f.left {
		due[account] = f.next[account]
		delete(f.next, account)
		delete(f.parting, account)
	}
	clear(f.left)
	f.mu.Unlock()
	if len(due) == 0 {
		return
	}
	f.service.notify(f.service.manager.forget(slices.Collect(maps.Keys(due)))) // what becomes of them is the next one's to tell
	if err := f.ledger.HandOver(ctx, due); err != nil {
		f.service.logger().Sharing(err) // they are free when this process has ended, or when it sees them next
	}
}

// take takes so many accounts into the schedule, if there are some that nobody serves.
func (f *fleet) take(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	f.changing.Lock()
	defer f.changing.Unlock()
	taken, err := f.ledger.Take(ctx, n, f.strangers)
	strange := map[string]time.Time{}
	update := f.service.update()
	for _, one := range taken {
		account := f.service.account(one.Account)
		if account == nil {
			f.strangers = append(f.strangers, one.Account)
			strange[one.Account] = one.Due
			continue
		}
		f.mu.Lock()
		f.taken++
		f.next[one.Account] = one.Due
		delete(f.parting, one.Account)
		delete(f.left, one.Account)
		f.mu.Unlock()
		update.Accounts = append(update.Accounts, f.service.serve(ctx, account, one.Due))
	}
	if len(update.Accounts) > 0 {
		f.service.send(ctx, update)
	}
	return errors.Join(err, f.ledger.HandOver(ctx, strange))
}

// change follows a change of the configuration: new accounts are served by whoever takes them, changed ones that are here go on as they are now
// configured, and those that are gone are served by nobody. apply puts the new configuration in force.
func (f *fleet) change(ctx context.Context, come []*config.Account, gone []string, apply func()) {
	f.changing.Lock()
	defer f.changing.Unlock()
	apply()
	f.strangers = nil
	f.takeOut(ctx, slices.DeleteFunc(f.latestDueFirst(), func(account string) bool { return !slices.Contains(gone, account) }))
	update := f.service.update()
	here := f.latestDueFirst()
	for _, account := range come {
		if slices.Contains(here, account.Name) {
			update.Accounts = append(update.Accounts, f.service.serve(ctx, account, time.Now()))
		}
	}
	f.service.send(ctx, update)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, account := range come {
		f.unreported[account.Name] = true
	}
	for _, account := range gone {
		f.unreported[account] = false
	}
	offer(f.poke)
}
