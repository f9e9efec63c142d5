package postgres

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// What follows is for processes that serve accounts together: each holds the leases of its share and keeps them between passes, so that a pass
// with nothing new writes nothing about them.

// Serve makes this process one of those that serve accounts, and has these accounts served, by whom it may be.
func (l *Ledger) Serve(ctx context.Context, accounts []string) error {
	for _, account := range accounts {
		if err := checkAccount(account); err != nil {
			return err
		}
	}
	l.leases.mu.Lock()
	l.leases.serves = true
	l.leases.mu.Unlock()
	node, err := l.enrol(ctx)
	if err != nil {
		return err
	}
	if err := l.exec(ctx, "UPDATE truehop.node SET serves = true WHERE id = $1", node); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(accounts)) // all processes lock rows in one order
	return l.exec(ctx, `INSERT INTO truehop.lease AS l (account, wanted) SELECT account, true FROM unnest($1::text[]) AS account
		WHERE NOT EXISTS (SELECT FROM truehop.lease WHERE lease.account = account.account AND wanted)
		ON CONFLICT (account) DO UPDATE SET wanted = true WHERE NOT l.wanted`, sorted)
}

// Unserve has nobody serve these accounts any more.
func (l *Ledger) Unserve(ctx context.Context, accounts []string) error {
	return l.exec(ctx, "UPDATE truehop.lease SET wanted = false WHERE account = ANY($1) AND wanted", accounts)
}

// Standing returns how the accounts are shared out now. A node whose leases were over becomes one anew, without any.
func (l *Ledger) Standing(ctx context.Context) (Standing, error) {
	node, err := l.enrol(ctx)
	if err != nil {
		return Standing{}, err
	}
	var s Standing
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		return q.QueryRow(ctx, `SELECT (SELECT count(*) FROM truehop.node WHERE serves AND NOT draining AND expires > clock_timestamp()),
			(SELECT count(*) FROM truehop.lease WHERE wanted), (SELECT count(*) FROM truehop.lease WHERE node = $1),
			coalesce((SELECT draining FROM truehop.node WHERE id = $1), false),
			(SELECT count(*) FROM truehop.lease WHERE wanted AND node IS NULL AND expires <= clock_timestamp() AND due <= clock_timestamp() - $2::interval),
			ARRAY(SELECT account FROM truehop.lease WHERE node = $1 AND asked IS NOT NULL)`, node, overdueAfter).
			Scan(&s.Nodes, &s.Accounts, &s.Held, &s.Draining, &s.Overdue, &s.Asked)
	})
	if err != nil {
		return s, err
	}
	held, now := l.leases.accounts()
	known := s.Held
	s.Held = len(held)
	if known == s.Held || now != node { // what was lost meanwhile was not handed back: a dot may be on its way
		return s, nil
	}
	// What was taken without the reply having come is nobody's work.
	return s, l.exec(ctx, `UPDATE truehop.lease SET node = NULL, expires = '-infinity' WHERE node = $1 AND account <> ALL($2)
		AND EXISTS (SELECT FROM truehop.node WHERE id = $1 AND expires > clock_timestamp())`, node, held)
}

// Held are the accounts whose leases this process holds: none where they could not be renewed in time, so that others may have them by now.
func (l *Ledger) Held() []string {
	l.leases.mu.Lock()
	over := l.leases.term.over(l.now())
	l.leases.mu.Unlock()
	if over {
		return nil
	}
	held, _ := l.leases.accounts()
	return held
}

// accounts are those whose leases were taken and neither handed back nor found lost, and the node that holds them.
func (l *leases) accounts() (held []string, node int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.AppendSeq(make([]string, 0, len(l.held)), maps.Keys(l.held)), l.node
}

// Losses counts the leases that this process has lost since it began.
func (l *Ledger) Losses() int {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	return l.leases.losses
}

// Taken is an account whose lease this process has taken.
type Taken struct {
	Account string
	// Due is when its next pass is due, as its last holder has told: in the past where he has not.
	Due time.Time
}

// Take takes at most n free leases of accounts that are to be served, those first whose next pass is due first. It leaves out the
// accounts in but. The leases are kept until [Ledger.HandOver].
func (l *Ledger) Take(ctx context.Context, n int, but []string) ([]Taken, error) {
	node, err := l.enrol(ctx)
	if err != nil {
		return nil, err
	}
	claim := rand.Text()
	var taken []Taken
	holdings := map[string]*holding{}
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		taken, holdings = nil, map[string]*holding{}
		if _, err := q.Exec(ctx, "SELECT truehop.bury()"); err != nil {
			return err
		}
		rows, err := q.Query(ctx, `WITH me AS (SELECT id FROM truehop.node WHERE id = $1 AND expires > clock_timestamp() AND NOT draining FOR SHARE),
			free AS (SELECT account, due FROM truehop.lease WHERE wanted AND node IS NULL AND expires <= clock_timestamp() AND account <> ALL(coalesce($4, ARRAY[]::text[]))
				ORDER BY due LIMIT $5 FOR UPDATE SKIP LOCKED)
			UPDATE truehop.lease SET node = me.id, holder = $2, claim = $3, epoch = epoch + `+epochStep+`, expires = 'infinity', asked = NULL, due = '-infinity'
			FROM me, free WHERE lease.account = free.account
			RETURNING lease.account, epoch, `+lostFor+`, CASE WHEN free.due = '-infinity' THEN NULL ELSE free.due END`, node, l.holder, claim, l.leases.withOrphans(but), n)
		if err != nil {
			return err
		}
		var t Taken
		var epoch int64
		var lost float64
		var due *time.Time
		_, err = pgx.ForEachRow(rows, []any{&t.Account, &epoch, &lost, &due}, func() error {
			t.Due = time.Time{}
			if due != nil {
				t.Due = *due
			}
			taken = append(taken, t)
			holdings[t.Account] = &holding{node: node, epoch: epoch, kept: true, sendingUntil: sendingUntil(time.Now(), seconds(lost), l.dotOver)}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	lost := func(t Taken) bool { return !l.leases.add(t.Account, holdings[t.Account]) }
	return slices.DeleteFunc(taken, lost), nil
}

// Leave keeps new work from beginning on the first n of these accounts on which none is under way, and returns them: they can be handed over.
func (l *Ledger) Leave(accounts []string, n int) (idle []string) {
	l.leases.mu.Lock()
	defer l.leases.mu.Unlock()
	for _, account := range accounts {
		if len(idle) >= n {
			break
		}
		if h := l.leases.held[account]; h != nil && !h.working {
			h.leaving = true
			idle = append(idle, account)
		}
	}
	return idle
}

// Decline answers those who have asked for the leases of these accounts that work on them is under way.
func (l *Ledger) Decline(ctx context.Context, accounts []string) error {
	if len(accounts) == 0 {
		return nil
	}
	l.leases.mu.Lock()
	node := l.leases.node
	l.leases.mu.Unlock()
	return l.exec(ctx, "UPDATE truehop.lease SET asked = NULL WHERE node = $1 AND account = ANY($2)", node, accounts)
}

// HandOver hands leases back, each with the time at which the next pass is due; to who has asked for one, else to whoever takes it. An account
// on which work is under way keeps its lease.
func (l *Ledger) HandOver(ctx context.Context, due map[string]time.Time) error {
	l.leases.mu.Lock()
	node := l.leases.node
	var accounts []string
	var epochs []int64
	var times []*time.Time
	for account, at := range due {
		h := l.leases.held[account]
		if h == nil || h.working {
			continue
		}
		accounts, epochs, times = append(accounts, account), append(epochs, h.epoch), append(times, &at)
		delete(l.leases.held, account)
	}
	l.leases.mu.Unlock()
	if len(accounts) == 0 {
		return nil
	}
	return l.exec(ctx, `UPDATE truehop.lease AS l SET node = n.id, holder = coalesce(n.name, ''), claim = '', epoch = l.epoch + `+epochStep+`, asked = NULL,
			due = d.due, expires = CASE WHEN n.id IS NULL THEN '-infinity' ELSE 'infinity' END::timestamptz
		FROM unnest($2::text[], $3::bigint[], $4::timestamptz[]) AS d (account, epoch, due)
			JOIN truehop.lease AS was USING (account) LEFT JOIN truehop.node AS n ON n.id = was.asked AND n.expires > clock_timestamp()
		WHERE l.account = d.account AND l.epoch = d.epoch AND l.node = $1`, node, accounts, epochs, times)
}

// Drain has the processes on a node hand over all their accounts, and take no others as long as they run. The node is the name of a
// process, as it holds leases, or of a machine. It returns the names of those processes.
func (l *Ledger) Drain(ctx context.Context, node string) (names []string, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `UPDATE truehop.node SET draining = true
			WHERE serves AND expires > clock_timestamp() AND (name = $1 OR name LIKE '% on ' || replace(replace(replace($1, '\', '\\'), '%', '\%'), '_', '\_')) RETURNING name`, node)
		if err != nil {
			return err
		}
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return names, err
}

// Node is a process that serves accounts.
type Node struct {
	Name     string
	Draining bool
	// Held is how many accounts it holds.
	Held int
}

// Nodes are the processes that serve accounts now.
func (l *Ledger) Nodes(ctx context.Context) (nodes []Node, err error) {
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		rows, err := q.Query(ctx, `SELECT name, draining, (SELECT count(*) FROM truehop.lease WHERE node = n.id)
			FROM truehop.node AS n WHERE serves AND expires > clock_timestamp() ORDER BY name`)
		if err != nil {
			return err
		}
		nodes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Node])
		return err
	})
	return nodes, err
}
