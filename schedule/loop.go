package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"
)

// Pass makes one pass over an account. It must return soon after ctx ends.
type Pass func(ctx context.Context, account string) error

// Account is one account in a [Loop].
type Account struct {
	Name string
	Spec Spec
	// Host is what its passes connect with. Those of one host are bounded by [Loop.PerHost]; "" is bounded by nothing of its own.
	Host string
	// AtStart runs a pass as soon as the loop runs.
	AtStart bool
	// First, if not zero, is when the first pass is due, by the wall clock, unless the spec has one before it: another loop has made the last one.
	// In the past it is AtStart, but for Jitter.
	First time.Time
	// Jitter delays each pass that the clock starts by a random time below it.
	Jitter time.Duration
	// Wake starts a pass at once, without regard to the clock and the back-off;
	// only MinInterval is kept, and not even that for three passes in a row. A wake-up during a pass leads to one more pass
	// after it if the channel can hold it: give it a buffer of 1, and senders that
	// do not block.
	Wake <-chan struct{}
}

// Back-off after the first failure in a row; it doubles with each, up to the bound.
const (
	backOff        = time.Minute
	maxBackOff     = 30 * time.Minute
	hardBackOff    = 15 * time.Minute
	maxHardBackOff = 12 * time.Hour
)

// The same for failures that are not the account's, see [Loop.Ours].
const (
	oursBackOff    = MinInterval
	maxOursBackOff = time.Minute
)

// againInterval is the shortest time from the start of a pass to one for a message that is to be tried again.
const againInterval = time.Minute

// Patience is how long a pass counts against [Loop.Parallel].
const Patience = 5 * time.Minute

// recheck is the longest time that the loop sleeps without reading the wall clock:
// it may be set, and it goes on while the machine is suspended.
const recheck = time.Minute

// Loop runs passes until its context ends. Its fields must not change while it runs.
// The hooks may be nil. They are called from several goroutines and must not block.
type Loop struct {
	Pass     Pass
	Accounts []Account
	// Parallel is the highest number of passes at a time; 0 means one per account. A pass that takes longer than five minutes
	// does not count any more: accounts that hang delay no other.
	Parallel int
	// PerHost is the highest number of passes at a time over accounts of one host, 0 for no bound. There a pass counts as long as it takes. Passes
	// begin in the order in which they are due, except that none waits behind one whose host is busy.
	PerHost int
	// Updates, if not nil, changes the accounts while the loop runs.
	Updates <-chan Update
	// Hard reports whether a retry makes a failure worse, as with refused
	// credentials. The back-off is then 15 minutes to 12 hours instead of 1 to 30
	// minutes. nil means that no failure is hard.
	Hard func(error) bool
	// Ours reports whether a failure has nothing to do with the account's upstream, as where the record cannot be reached. Then the
	// clock starts the next pass after 10 seconds to a minute, even if the account's spec has it later: what was due when all passes
	// failed is not put off by more than that. nil means that none has.
	Ours func(error) bool
	// Due, if not nil, says after a pass when a message of the account is to be tried again, by the wall clock; the zero time
	// means none. The clock starts a pass then, too, unless the account's spec has one before it, and not sooner than a minute
	// after the last one began: many messages that were deferred one after the other come due one after the other.
	Due func(account string) time.Time
	// OnEnd is called after a pass.
	OnEnd func(account string, took time.Duration, err error)
	// OnNext reports when the clock will start the next pass; the zero time means
	// never. It is called at the start, after each pass, and when the clock was set
	// back.
	OnNext func(account string, at time.Time)
	// OnWait is called when a pass that is due has to wait because as many are made already as Parallel and PerHost allow: at once, and each minute
	// with how long it has waited.
	OnWait func(account string, waited time.Duration)
	// OnTurn is called whenever the goroutine of an account has its turn, which it has again within that time at the latest; 0 is
	// for a pass, which takes as long as it takes, and less than 0 says that the account is gone.
	OnTurn func(account string, within time.Duration)
	// Now is the wall clock, time.Now if nil.
	Now func() time.Time
}

// PanicError is a panic in a pass.
type PanicError struct {
	Value any
	Stack []byte
}

// Error names the value that the pass panicked with.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Run runs passes until ctx ends, waits for those in progress and returns nil. It
// returns an error at once if Pass is nil or two accounts have the same name.
func (l *Loop) Run(ctx context.Context) error {
	if l.Pass == nil {
		return errors.New("schedule: no pass to run")
	}
	seen := make(map[string]bool, len(l.Accounts))
	for _, a := range l.Accounts {
		if seen[a.Name] {
			return fmt.Errorf("schedule: account %q twice", a.Name)
		}
		seen[a.Name] = true
	}
	all := &roster{loop: l, slots: NewSlots(l.Parallel, l.PerHost, Patience), entries: map[string]entry{}}
	for _, a := range l.Accounts {
		all.begin(ctx, a)
	}
	for updates := l.Updates; updates != nil; {
		select {
		case u, open := <-updates:
			if !open {
				updates = nil
				continue
			}
			all.update(ctx, u)
		case <-ctx.Done():
			updates = nil
		}
	}
	all.owners.Wait()
	return nil
}

// owner is the one goroutine of an account. There is only one, so passes over the
// account never overlap.
type owner struct {
	loop    *Loop
	account Account
	slots   *Slots
	// due is when the clock starts the next pass, by the wall clock; base is
	// what it was computed from.
	due, base time.Time
	// first is when the first pass is due, by the wall clock, until it has begun.
	first time.Time
	// again is when a message is to be tried again, by the wall clock.
	again time.Time
	// earliest, retry and makeUp are by the monotonic clock: no pass before earliest, and before retry only
	// one that was woken; at makeUp, if not zero, a pass that failed is made up for.
	earliest, retry, makeUp time.Time
	// prompt is the same as earliest for a pass that was woken, and quick how many of those came in a row before
	// MinInterval was over: mail that comes just after a pass does not wait, and a stream of it makes no stream of passes.
	prompt time.Time
	quick  int
	// failures are those in a row, setbacks the ones that are not the account's.
	failures, setbacks int
}

// maxQuick bounds the passes that do not keep MinInterval, in a row.
const maxQuick = 3

// turn reports that the owner has its turn, and has it again within that time.
func (o *owner) turn(within time.Duration) {
	if o.loop.OnTurn != nil {
		o.loop.OnTurn(o.account.Name, within)
	}
}

// now returns the wall clock, without the monotonic reading that would hide steps.
func (o *owner) now() time.Time {
	if o.loop.Now != nil {
		return o.loop.Now().Round(0)
	}
	return time.Now().Round(0)
}

// plan computes the next pass after base. Passes that were missed are not made up
// for.
func (o *owner) plan(base time.Time) {
	now := o.now()
	o.base = base
	o.due = o.account.Spec.Next(base)
	if !o.due.IsZero() && !o.due.After(now) {
		o.due = o.account.Spec.Next(now)
	}
	if !o.due.IsZero() && o.account.Jitter > 0 {
		o.due = o.due.Add(rand.N(o.account.Jitter))
	}
	if again := o.again; !again.IsZero() {
		if soonest := base.Add(againInterval); again.Before(soonest) {
			again = soonest
		}
		if o.due.IsZero() || again.Before(o.due) {
			o.due = again
		}
	}
	var makeUp time.Time
	if !o.makeUp.IsZero() {
		makeUp = now.Add(time.Until(o.makeUp))
	}
	for _, at := range []time.Time{o.first, makeUp} {
		if sooner := o.due.IsZero() || at.Before(o.due); sooner && !at.IsZero() {
			o.due = at
		}
	}
	if o.loop.OnNext == nil {
		return
	}
	at := o.due
	if held := now.Add(time.Until(o.retry)); !at.IsZero() && held.After(at) {
		at = held
	}
	o.loop.OnNext(o.account.Name, at)
}

// begin plans the first pass.
func (o *owner) begin() {
	first := o.account.First
	if soonest := o.now(); !first.IsZero() && first.Before(soonest) {
		first = soonest
		if o.account.Jitter > 0 {
			first = first.Add(rand.N(o.account.Jitter))
		}
	}
	o.first = first
	o.plan(o.now())
}

// wait returns true when the next pass may start, false when ctx has ended.
func (o *owner) wait(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	woken := false
	for {
		select {
		case <-ctx.Done():
			return false
		case _, open := <-o.account.Wake:
			if !open {
				o.account.Wake = nil
			}
			woken = woken || open
		case <-timer.C:
		}
		now := o.now()
		// The clock was set back. What was planned before may be years away now.
		if now.Before(o.base) {
			o.plan(now)
		}
		var left time.Duration
		switch earliest := time.Until(o.earliest); {
		case woken && o.quick < maxQuick:
			left = time.Until(o.prompt)
		case woken:
			left = earliest
		case o.due.IsZero():
			left = recheck
		default:
			left = max(o.due.Sub(now), time.Until(o.retry), earliest)
		}
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer.Reset(min(left, recheck))
		o.turn(min(left, recheck))
	}
}

// pass waits for a slot, runs one pass and plans the next.
func (o *owner) pass(ctx context.Context) {
	slot := o.slots.Ask(o.account.Host)
	defer slot.Give()
	waits := func(waited time.Duration) {
		o.turn(recheck)
		if o.loop.OnWait != nil {
			o.loop.OnWait(o.account.Name, waited)
		}
	}
	if !slot.Wait(ctx, waits) {
		return
	}
	o.turn(0)
	o.first, o.makeUp = time.Time{}, time.Time{}
	began, start := o.now(), time.Now()
	err := o.protected(ctx)
	if o.loop.OnEnd != nil {
		o.loop.OnEnd(o.account.Name, time.Since(start), err)
	}
	switch {
	case start.Before(o.earliest):
		o.quick++
	case start.After(o.earliest.Add(MinInterval)):
		o.quick = 0
	}
	o.earliest, o.prompt = start.Add(MinInterval), time.Now()
	if o.loop.Due != nil {
		o.again = o.loop.Due(o.account.Name)
	}
	// Failures in a row put off the time before which the clock starts no pass.
	hard := err != nil && o.loop.Hard != nil && o.loop.Hard(err)
	switch {
	case err == nil:
		o.failures, o.setbacks, o.retry = 0, 0, time.Time{}
	case !hard && o.loop.Ours != nil && o.loop.Ours(err): // an error may join one of each kind
		o.setbacks++
		o.makeUp = time.Now().Add(doubled(oursBackOff, maxOursBackOff, o.setbacks))
	default:
		o.failures++
		o.retry = time.Now().Add(BackOff(o.failures, hard))
	}
	o.plan(began)
}

// protected runs the pass and makes a panic an error.
func (o *owner) protected(ctx context.Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return o.loop.Pass(ctx, o.account.Name)
}

// BackOff returns how long to wait after so many failures in a row, the last of them hard or not: see [Loop].
func BackOff(failures int, hard bool) time.Duration {
	if hard {
		return doubled(hardBackOff, maxHardBackOff, failures)
	}
	return doubled(backOff, maxBackOff, failures)
}

// doubled returns wait after one failure, and twice as much after each further one, but no more than bound.
func doubled(wait, bound time.Duration, failures int) time.Duration {
	for range min(failures-1, 16) {
		wait = min(2*wait, bound)
	}
	return wait
}
