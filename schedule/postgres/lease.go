package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// schemaLease is who works on which account. Each taking raises the epoch, and with it ends what an earlier holder may
// write: [fence]. A lease whose expires has passed can be taken by anybody.
const schemaLease = `
CREATE TABLE truehop.lease (
	account text PRIMARY KEY,
	holder  text NOT NULL,
	claim   text NOT NULL,
	epoch   bigint NOT NULL,
	expires timestamptz NOT NULL,
	due     timestamptz NOT NULL DEFAULT '-infinity',
	drained boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);
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
`

// fencedState is the SQLSTATE of a group that holds a write whose epoch has passed on.
const fencedState = "TH001"

// leaseTerm is how long a lease lasts that is not renewed.
const leaseTerm = time.Minute

// leases are the epochs that this process holds, by account.
type leases struct {
	mu     sync.Mutex
	epochs map[string]int64
}

// epoch returns the epoch of an account's lease that this process holds, 0 if it holds none.
func (l *leases) epoch(account string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs[account]
}

func (l *leases) set(account string, epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochs == nil {
		l.epochs = map[string]int64{}
	}
	l.epochs[account] = epoch
}

// drop forgets an epoch, unless the account has another one by now.
func (l *leases) drop(account string, epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochs[account] == epoch {
		delete(l.epochs, account)
	}
}

// takeLease takes a lease that is free, or that the same attempt has taken without having seen the reply.
const takeLease = `INSERT INTO truehop.lease AS l (account, holder, claim, epoch, expires)
VALUES ($1, $2, $3, 1, clock_timestamp() + $4)
ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, claim = excluded.claim, epoch = l.epoch + 1, expires = excluded.expires
WHERE l.expires <= clock_timestamp() OR l.claim = excluded.claim
RETURNING epoch`

// Lock makes this process the only one that works on account, on all machines, until unlock is called or the lease has
// expired. If it is taken, the error is of Kind [ledger.Busy] and names the holder. Writes of the account are refused
// with Kind [ledger.Fenced] without it, and once another has it.
func (l *Ledger) Lock(account string) (unlock func() error, err error) {
	if err := checkAccount(account); err != nil {
		return nil, err
	}
	if l.readOnly {
		return nil, l.onlyRead()
	}
	ctx := context.Background()
	var epoch int64
	claim := rand.Text()
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, takeLease, account, l.holder, claim, leaseTerm).Scan(&epoch)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var holder string
		if err := q.QueryRow(ctx, "SELECT holder FROM truehop.lease WHERE account = $1", account).Scan(&holder); err != nil {
			return err
		}
		return &ledger.Error{Kind: ledger.Busy, Op: "account is locked", Path: l.name + ", account " + account, Holder: holder}
	})
	if err != nil {
		return nil, err
	}
	l.leases.set(account, epoch)
	return sync.OnceValue(func() error {
		l.leases.drop(account, epoch)
		return l.read(ctx, func(ctx context.Context, q querier) error {
			_, err := q.Exec(ctx, "UPDATE truehop.lease SET expires = clock_timestamp() WHERE account = $1 AND epoch = $2", account, epoch)
			return err
		})
	}), nil
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
