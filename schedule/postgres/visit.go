package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
)

// visit is a pass that this process makes over an account: what is known of it, and not written yet. Its begin and the tick of
// the account's clock go with the first other write of the account, and else with its end, so that a pass with nothing new
// writes one row. A process that dies before has recorded nothing that either would say anything about.
type visit struct {
	began ledger.Pass
	// clock is that of the account, if known says so; ticked says that it was moved.
	clock         ledger.Clock
	known, ticked bool
	// written says that the begin is in the database.
	written bool
}

// visits are those under way, by account.
type visits struct {
	mu    sync.Mutex
	under map[string]*visit
}

// begin notes a pass that begins.
func (v *visits) begin(account string, p ledger.Pass) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.under == nil {
		v.under = map[string]*visit{}
	}
	v.under[account] = &visit{began: p}
}

// of returns the visit of an account, false if none is under way.
func (v *visits) of(account string) (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.under[account]; now != nil {
		return *now, true
	}
	return visit{}, false
}

// tick notes the clock in the visit of an account. It returns false if none is under way.
func (v *visits) tick(account string, c ledger.Clock) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.under[account]
	if now != nil {
		now.clock, now.known, now.ticked, now.written = c, true, true, false
	}
	return now != nil
}

// unwritten returns the visit of an account whose begin is about to be written, false if there is nothing to be.
func (v *visits) unwritten(account string) (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.under[account]
	if now == nil || now.written {
		return visit{}, false
	}
	now.written = true
	return *now, true
}

// end takes the visit of an account away.
func (v *visits) end(account string) (visit, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.under[account]
	delete(v.under, account)
	if now == nil {
		return visit{}, false
	}
	return *now, true
}

// PassBegan records the begin of a pass. It stands as not OK until PassEnded. Others see it from the first write of the pass on.
func (l *Ledger) PassBegan(ctx context.Context, account string, p ledger.Pass) error {
	if err := l.mayWrite(ctx, account); err != nil {
		return err
	}
	p.OK, p.Ended = false, time.Time{}
	l.visits.begin(account, p)
	return nil
}

// PassEnded records the end of a pass, and if it is OK, the time of the last success.
func (l *Ledger) PassEnded(ctx context.Context, account string, p ledger.Pass) error {
	if err := l.mayWrite(ctx, account); err != nil {
		return err
	}
	now, _ := l.visits.end(account)
	return l.write(ctx, &write{accounts: []string{account}, queue: func(b *batch) error {
		b.putPass(account, p, now)
		return nil
	}})
}

// mayWrite refuses what the writer would refuse.
func (l *Ledger) mayWrite(ctx context.Context, account string) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	if l.writer == nil {
		return l.onlyRead()
	}
	return ctx.Err()
}

// Tick moves the clock of an account to now and returns how long the account has been looked after.
func (l *Ledger) Tick(ctx context.Context, account string, now time.Time) (ran time.Duration, err error) {
	if err := l.mayWrite(ctx, account); err != nil {
		return 0, err
	}
	c, err := l.clock(ctx, account)
	if err != nil {
		return 0, err
	}
	c = c.Tick(now)
	if l.visits.tick(account, c) {
		return c.Ran, nil
	}
	return c.Ran, l.write(ctx, &write{accounts: []string{account}, queue: func(b *batch) error {
		b.exec(putClock, account, ledger.Millis(c.At), c.Ran.Milliseconds(), ledger.Millis(c.Latest), c.Base.Milliseconds())
		return nil
	}})
}

const putClock = `INSERT INTO truehop.pass AS p (account, clock_at, clock_ran, clock_latest, clock_base) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account) DO UPDATE SET clock_at = excluded.clock_at, clock_ran = excluded.clock_ran,
	clock_latest = excluded.clock_latest, clock_base = excluded.clock_base`

// putPass adds a pass, and the clock if its visit has moved it.
func (b *batch) putPass(account string, p ledger.Pass, v visit) {
	b.exec(`INSERT INTO truehop.pass AS p (account, began, ended, ok, listed, delivered, deferred, refused, held, doubt, error, hint, exit, success,
			clock_at, clock_ran, clock_latest, clock_base)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, CASE WHEN $4::boolean THEN $3::bigint ELSE 0 END, $14, $15, $16, $17)
		ON CONFLICT (account) DO UPDATE SET began = excluded.began, ended = excluded.ended, ok = excluded.ok, listed = excluded.listed,
		delivered = excluded.delivered, deferred = excluded.deferred, refused = excluded.refused, held = excluded.held,
		doubt = excluded.doubt, error = excluded.error, hint = excluded.hint, exit = excluded.exit,
		success = CASE WHEN excluded.ok THEN excluded.ended ELSE p.success END,
		clock_at = CASE WHEN $18 THEN excluded.clock_at ELSE p.clock_at END, clock_ran = CASE WHEN $18 THEN excluded.clock_ran ELSE p.clock_ran END,
		clock_latest = CASE WHEN $18 THEN excluded.clock_latest ELSE p.clock_latest END, clock_base = CASE WHEN $18 THEN excluded.clock_base ELSE p.clock_base END`,
		account, ledger.Millis(p.Began), ledger.Millis(p.Ended), p.OK, p.Listed, p.Delivered, p.Deferred, p.Refused, p.Held, p.InDoubt,
		[]byte(ledger.Cut(p.Error)), []byte(ledger.Cut(p.Hint)), p.Exit,
		ledger.Millis(v.clock.At), v.clock.Ran.Milliseconds(), ledger.Millis(v.clock.Latest), v.clock.Base.Milliseconds(), v.ticked)
}
