package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// schemaLease is who works on which account. A node is a process that holds leases: they last as long as its row is renewed, so that the
// renewal of all of them is one row. A node that finds another one whose row was not renewed in time buries it, which frees its leases. Each
// taking of a lease, and each burial, raises the epoch. The function fence refuses what an earlier holder writes, since that has a lower one.
//
// expires is infinity while a node holds the lease, -infinity after it was handed back, and else when the lease of the last holder ended; lost is
// the latest such end. due is when the next pass is due, as the last holder that serves accounts has told, -infinity until it has. asked is the
// node that waits for the lease.
const schemaLease = `
CREATE TABLE truehop.node (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name     text NOT NULL,
	expires  timestamptz NOT NULL,
	serves   boolean NOT NULL DEFAULT false,
	draining boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
CREATE TABLE truehop.lease (
	account text PRIMARY KEY,
	node    bigint,
	holder  text NOT NULL DEFAULT '',
	claim   text NOT NULL DEFAULT '',
	epoch   bigint NOT NULL DEFAULT 0,
	expires timestamptz NOT NULL DEFAULT '-infinity',
	lost    timestamptz NOT NULL DEFAULT '-infinity',
	due     timestamptz NOT NULL DEFAULT '-infinity',
	wanted  boolean NOT NULL DEFAULT false,
	asked   bigint
) WITH (fillfactor = 50);
CREATE INDEX lease_node ON truehop.lease (node);
CREATE INDEX lease_asked ON truehop.lease (node) WHERE asked IS NOT NULL;
CREATE INDEX lease_free ON truehop.lease (due) WHERE wanted AND node IS NULL;
CREATE FUNCTION truehop.fence(accounts text[], epochs bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	held bigint;
BEGIN
	-- No epoch passes on before this transaction has ended.
	SELECT count(*) INTO held FROM (
		SELECT FROM truehop.lease JOIN unnest(accounts, epochs) AS w (account, epoch) USING (account, epoch)
		ORDER BY account FOR SHARE OF lease) AS s;
	IF held <> cardinality(accounts) THEN
		RAISE EXCEPTION 'a lease has passed on' USING ERRCODE = '` + fencedState + `';
	END IF;
END $$;
CREATE FUNCTION truehop.bury() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	gone record;
BEGIN
	-- A renewal and a burial exclude each other by the lock on the row. The update comes after the lock, and so sees all that the node has taken.
	FOR gone IN DELETE FROM truehop.node WHERE expires <= clock_timestamp() RETURNING id, expires LOOP
		UPDATE truehop.lease SET node = NULL, epoch = epoch + 1, expires = gone.expires, lost = greatest(lost, gone.expires)
		WHERE node = gone.id;
	END LOOP;
END $$;
`

// fencedState is the SQLSTATE of a group that holds a write whose epoch has passed on.
const fencedState = "TH001"

// leases are what this process holds.
type leases struct {
	mu   sync.Mutex
	held map[string]*holding
	// orphans are accounts on which work is under way whose lease was lost. None is taken before that has ended: its writes would count as
	// those of the new lease.
	orphans map[string]bool
	// node is this process's row, 0 while it has none, and term how long that lasts.
	node int64
	term term
	// serves says that it serves accounts: it holds leases between passes, and takes them only by [Ledger.Take].
	serves, draining bool
	losses           int
	renewing         sync.WaitGroup
}

// holding is one lease.
type holding struct {
	// node is for whom it was taken.
	node, epoch int64
	// kept says that it stays when the work is done, working that a pass or a command is at work, leaving that none may begin.
	kept, working, leaving bool
	sendingUntil           time.Time
}

// epoch returns the epoch of an account's lease that this process holds, 0 if it holds none.
func (l *leases) epoch(account string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.held[account]; h != nil {
		return h.epoch
	}
	return 0
}

// add notes a lease that was taken. It returns false where its node is not this process's any more: the lease was lost before the reply
// came, and is not renewed with those of the process's next node.
func (l *leases) add(account string, h *holding) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.node != h.node {
		return false
	}
	if l.held == nil {
		l.held = map[string]*holding{}
	}
	l.held[account] = h
	return true
}

// withOrphans returns these accounts and the orphans.
func (l *leases) withOrphans(accounts []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq(slices.Clone(accounts), maps.Keys(l.orphans))
}

const (
	// leaseTerm is how long leases last that are not renewed, and dotOver how long something of a dot may arrive, where the options do not say: a
	// write that holds a dot begins before the lease is over and takes 3 minutes at most (RFC 5321 section 4.5.3.2.5), and the reply comes
	// within 10 (4.5.3.2.6) or is waited for no more. A process that is stopped right before that write comes too late as well: a server that is
	// sent nothing closes the connection, after 5 minutes by section 4.5.3.2.7.
	leaseTerm = 30 * time.Second
	dotOver   = 13 * time.Minute
	// askMore is for how much longer than a term Lock waits for a holder to answer: one that is dead has lost the lease by then.
	askMore = 2 * time.Second
	// askPause is how often it looks.
	askPause = 100 * time.Millisecond
)

// epochStep is by how much an epoch rises. After a failover to a standby that had not seen the last steps another node takes them again, and must
// not come to the same epoch: one of the two could not be told from the other.
const epochStep = `1 + (random() * 1e9)::bigint`

// takeLease takes a lease that is free, or that the same attempt has taken without having seen the reply, or that was handed to this node.
const takeLease = `WITH me AS (SELECT id FROM truehop.node WHERE id = $2 AND expires > clock_timestamp() FOR SHARE)
INSERT INTO truehop.lease AS l (account, node, holder, claim, epoch, expires)
SELECT $1, me.id, $3, $4, ` + epochStep + `, 'infinity' FROM me
ON CONFLICT (account) DO UPDATE SET node = excluded.node, holder = excluded.holder, claim = excluded.claim, epoch = l.epoch + ` + epochStep + `,
	expires = excluded.expires, asked = NULL
WHERE l.expires <= clock_timestamp() OR (l.node = excluded.node AND l.claim IN ($4, ''))
RETURNING epoch, ` + lostFor

// lostFor is for how many seconds a lease has been lost, -1 where none was.
const lostFor = `CASE WHEN lost = '-infinity' THEN -1 ELSE greatest(0, extract(epoch FROM clock_timestamp() - lost)) END::float8`

// Lock makes this process the only one that works on account, on all machines, until unlock is called or its lease is
// over. If it is taken, a holder who serves accounts is asked for it, who hands it over unless a pass is under way; then the error is of Kind [ledger.Busy] and
// names the holder. Writes of the account are refused with Kind [ledger.Fenced] without it, and once another has it.
//
// A process that serves accounts takes leases by [Ledger.Take] and keeps them between passes: there Lock asks nobody.
func (l *Ledger) Lock(account string) (unlock func() error, err error) {
	return l.LockContext(context.Background(), account)
}

// LockContext is [Ledger.Lock] for those who wait no longer than ctx lasts. The lock does not end with it.
func (l *Ledger) LockContext(ctx context.Context, account string) (unlock func() error, err error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	if l.readOnly {
		return nil, l.onlyRead()
	}
	l.boxes.forget(account)
	if h, err := l.lockHeld(account); h != nil || err != nil {
		return sync.OnceValue(func() error { return l.unlock(account, h) }), err
	}
	h, err := l.acquire(ctx, account)
	if err != nil {
		return nil, err
	}
	if !l.leases.add(account, h) {
		return nil, l.leaseOver(account)
	}
	return sync.OnceValue(func() error { return l.unlock(account, h) }), nil
}

// lockHeld begins to work under a lease that this process holds. Without one it returns nil.
func (l *Ledger) lockHeld(account string) (*holding, error) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	h := l.leases.held[account]
	switch {
	case h == nil && l.leases.orphans[account]:
		return nil, l.busy(account, l.holder)
	case h == nil && !l.leases.serves:
		return nil, nil
	case h == nil, h.leaving:
		return nil, &ledger.Error{Kind: ledger.Fenced, Op: "account " + account + " is served by another node", Path: l.name}
	case h.working:
		return nil, l.busy(account, l.holder)
	}
	h.working = true
	return h, nil
}

// unlock ends the work under a lease, and hands it back unless it is kept.
func (l *Ledger) unlock(account string, h *holding) error {
	l.boxes.forget(account)
	l.leases.mu.Lock()
	h.working = false
	if l.leases.held[account] != h {
		delete(l.leases.orphans, account)
	}
	kept, node := h.kept, l.leases.node
	if now := l.leases.held[account]; now != nil && !kept && now.epoch == h.epoch {
		delete(l.leases.held, account)
	}
	l.leases.mu.Unlock()
	if kept {
		return nil
	}
	return l.read(context.Background(), func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, "UPDATE truehop.lease SET node = NULL, expires = '-infinity' WHERE account = $1 AND epoch = $2 AND node = $3", account, h.epoch, node)
		return err
	})
}

func (l *Ledger) busy(account, holder string) error {
	return &ledger.Error{Kind: ledger.Busy, Op: "account is locked", Path: l.name + ", account " + account, Holder: holder,
		Advice: "a pass over it is under way there: try again when it has ended; truehop status shows when that is"}
}

// acquire takes one lease from the database. One that a process holds which serves accounts is asked for: others hold theirs only while
// they work under them.
func (l *Ledger) acquire(ctx context.Context, account string) (*holding, error) {
	node, err := l.enrol(ctx)
	if err != nil {
		return nil, err
	}
	claim, asked := rand.Text(), false
	for until := time.Now().Add(l.term + askMore); ; {
		h, err := l.tryLease(ctx, account, node, claim)
		if h != nil || err != nil {
			return h, err
		}
		waits := false
		if asked {
			waits, err = l.asks(ctx, account, node)
		} else {
			waits, err = l.ask(ctx, account, node)
		}
		if err != nil {
			return nil, err
		}
		if asked = true; !waits || time.Now().After(until) {
			return nil, l.giveUp(ctx, account, node)
		}
		select {
		case <-time.After(askPause):
		case <-l.closed:
			return nil, errClosed()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks the holder of a lease for it, and reports whether that is one who may hand it over.
func (l *Ledger) ask(ctx context.Context, account string, node int64) (serves bool, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		done, err := q.Exec(ctx, `UPDATE truehop.lease SET asked = $2 FROM truehop.node
			WHERE account = $1 AND node.id = lease.node AND serves AND (asked IS NULL OR asked NOT IN (SELECT id FROM truehop.node))`, account, node)
		serves = done.RowsAffected() > 0
		return err
	})
	return serves, err
}

// asks reports whether a lease is still asked for. It is not where it was declined, and the last attempt was too early where it was handed over.
func (l *Ledger) asks(ctx context.Context, account string, node int64) (still bool, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, "SELECT coalesce(asked = $2 OR node = $2, false) OR node IS NULL FROM truehop.lease WHERE account = $1", account, node).Scan(&still)
	})
	return still, err
}

// giveUp asks for a lease no longer, and returns who has it.
func (l *Ledger) giveUp(ctx context.Context, account string, node int64) error {
	holder := ""
	err := l.read(ctx, func(ctx context.Context, q querier) error {
		if _, err := q.Exec(ctx, "UPDATE truehop.lease SET asked = NULL WHERE account = $1 AND asked = $2", account, node); err != nil {
			return err
		}
		err := q.QueryRow(ctx, "SELECT holder FROM truehop.lease WHERE account = $1", account).Scan(&holder)
		return err
	})
	if err != nil {
		return err
	}
	return l.busy(account, holder)
}

// tryLease takes a lease if it can be had now, and returns nil otherwise.
func (l *Ledger) tryLease(ctx context.Context, account string, node int64, claim string) (h *holding, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		if _, err := q.Exec(ctx, "SELECT truehop.bury()"); err != nil {
			return err
		}
		var epoch int64
		var lost float64
		err := q.QueryRow(ctx, takeLease, account, node, l.holder, claim).Scan(&epoch, &lost)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err == nil:
			h = &holding{node: node, epoch: epoch, working: true, sendingUntil: sendingUntil(time.Now(), seconds(lost), l.dotOver)}
		}
		return err
	})
	return h, err
}

// exec changes something that may be changed twice.
func (l *Ledger) exec(ctx context.Context, sql string, args ...any) error {
	return l.read(ctx, func(ctx context.Context, q querier) error {
		_, err := q.Exec(ctx, sql, args...)
		return err
	})
}

func seconds(s float64) time.Duration {
	if s < 0 {
		return -1
	}
	return time.Duration(min(s, 1e8) * float64(time.Second)) // three years are as good as for ever
}

// MayEnd returns a function that says whether the lease on an account which this process holds now lasts still. It asks nobody.
func (l *Ledger) MayEnd(account string) func() error {
	epoch := l.leases.epoch(account)
	return func() error {
		l.leases.mu.Lock()
		defer l.leases.mu.Unlock()
		h := l.leases.held[account]
		if h == nil || h.epoch != epoch || l.leases.term.over(l.now()) {
			return l.leaseOver(account)
		}
		return nil
	}
}

func (l *Ledger) leaseOver(account string) error {
	return &ledger.Error{Kind: ledger.Fenced, Op: "the lease on account " + account + " is over: it could not be renewed in time", Path: l.name,
		Advice: "nothing is to be done: whoever takes the account goes on"}
}

// SendingUntil is the time until which a holder before this one, who has lost the lease, may still have a dot on its way; zero where there is
// none.
func (l *Ledger) SendingUntil(account string) time.Time {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	if h := l.leases.held[account]; h != nil {
		return h.sendingUntil
	}
	return time.Time{}
}

// checkAccount refuses a name that no home can keep, or that is no text.
func checkAccount(account string) error {
	if err := (&ledger.Key{Account: account}).Check(); err != nil {
		return err
	}
	if strings.ContainsRune(account, 0) || strings.ToValidUTF8(account, "") != account {
		return &ledger.Error{Kind: ledger.Invalid, Op: "account name " + strconv.Quote(ledger.Cut(account)) + " is no text"}
	}
	return nil
}
