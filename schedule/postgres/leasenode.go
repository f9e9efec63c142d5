package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// renewals is how many renewals fit into a term, and renewalTries how many attempts into the time between two of them.
const (
	renewals     = 3
	renewalTries = 5
)

// enrol makes this process a node, with leases of its own, unless it is one.
func (l *Ledger) enrol(ctx context.Context) (node int64, err error) {
	l.enrolling.Lock()
	defer l.enrolling.Unlock()
	l.leases.mu.Lock()
	node = l.leases.node
	serves, draining := l.leases.serves, l.leases.draining
	l.leases.mu.Unlock()
	if node != 0 {
		return node, nil
	}
	sent := l.now()
	err = l.read(ctx, func(ctx context.Context, q querier) error { // an attempt whose reply was lost leaves a node that expires
		return q.QueryRow(ctx, `INSERT INTO truehop.node (name, expires, serves, draining) VALUES ($1, clock_timestamp() + $2, $3, $4) RETURNING id`,
			l.holder, l.term, serves, draining).Scan(&node)
	})
	if err != nil {
		return 0, err
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	l.leases.node, l.leases.term = node, term{sent, l.term}
	select {
	case <-l.closed:
		return 0, errClosed()
	default:
	}
	l.leases.renewing.Go(func() {
		if keep(l.closed, l.term, func() (bool, error) { return l.renew(node) }) {
			l.lose()
		}
	})
	return node, nil
}

// keep renews leases that last for term until they are over for good, which it reports by true, or closed is. An attempt that fails is
// made again soon.
func keep(closed <-chan struct{}, term time.Duration, renew func() (alive bool, err error)) (over bool) {
	pause := term / renewals
	for {
		select {
		case <-closed:
			return false
		case <-time.After(pause):
		}
		pause = term / renewals
		switch alive, err := renew(); {
		case err != nil:
			pause /= renewalTries
		case !alive:
			return true
		}
	}
}

// renew renews the leases of a node by one row. It reports false where they are over.
func (l *Ledger) renew(node int64) (alive bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), l.term/renewals)
	defer cancel()
	sent := l.now()
	var draining bool
	ask := func(ctx context.Context, q querier) error {
		alive = true
		err := q.QueryRow(ctx, `UPDATE truehop.node SET expires = clock_timestamp() + $2 WHERE id = $1 AND expires > clock_timestamp() RETURNING draining`,
			node, l.term).Scan(&draining)
		if errors.Is(err, pgx.ErrNoRows) {
			alive, err = false, nil
		}
		return err
	}
	first, end := context.WithTimeout(ctx, l.term/renewals/2)
	err = l.readBy(first, l.keeper, ask)
	end()
	if err != nil { // as where the server has no room for another connection
		err = l.read(ctx, ask)
	}
	if err != nil || !alive {
		return false, err
	}
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	l.leases.term = term{sent, l.term}
	l.leases.draining = draining
	return true, nil
}

// lose gives up all leases, because they are over. Accounts with work under way become orphans.
func (l *Ledger) lose() {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	l.leases.losses += len(l.leases.held)
	if l.leases.orphans == nil {
		l.leases.orphans = map[string]bool{}
	}
	for account, h := range l.leases.held {
		if h.working {
			l.leases.orphans[account] = true
		}
	}
	l.leases.held, l.leases.node, l.leases.term = nil, 0, term{}
}

// leave hands all leases back. Nothing is at work under them.
func (l *Ledger) leave() {
	l.leases.renewing.Wait()
	l.leases.mu.Lock()
	node := l.leases.node
	l.leases.held, l.leases.node, l.leases.term = nil, 0, term{}
	l.leases.mu.Unlock()
	if node == 0 {
		return
	}
	// Where the database is away the leases end by themselves.
	ctx, cancel := context.WithTimeout(context.Background(), l.term/renewals)
	defer cancel()
	_ = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM truehop.node WHERE id = $1", node); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE truehop.lease SET node = NULL, expires = '-infinity' WHERE node = $1", node)
		return err
	})
}
