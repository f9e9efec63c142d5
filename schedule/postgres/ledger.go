// Package postgres is the home of the record of package ledger for those who work from several machines: a schema named
// truehop in a database of PostgreSQL. It keeps the same promises: a write is durable when it returns, here and at the
// synchronous standbys; no record expires; and one process at a time works on an account, by a lease.
//
// One goroutine of a process sends all writes that wait as one transaction, in one round trip, so that one flush serves them all.
// Each group says under which epoch of which lease its writes were made, and what another process has taken over meanwhile
// is refused: see [Ledger.Lock].
//
// A schema that came back from a dump is noticed, as another file is by package ledger, and its folders are in question until a pass has seen all of them. A
// cluster that was taken back to an earlier time in place, or a standby that was promoted without all commits, cannot be noticed: hence
// the synchronous standby.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/truehop/truehop/schedule/ledger"
)

// Ledger is an open record. Its methods mean what those of [ledger.Ledger] do, and may be called from several goroutines. Errors are of
// type [*ledger.Error], but for those of a context or of Options.Password, returned as they are.
type Ledger struct {
	name     string // of the database, for people
	holder   string
	readOnly bool
	pool     *pgxpool.Pool
	// keeper has one connection, by which leases are renewed: reads and writes that keep all others busy must not delay that. Only where it cannot
	// be had one of theirs serves. It is nil if readOnly.
	keeper *pgxpool.Pool
	writer *writer // nil if readOnly
	leases leases
	// term is how long leases last, dotOver how long something of a dot may still arrive after the end of one, now the clock that says so.
	term, dotOver time.Duration
	now           func() time.Duration
	enrolling     sync.Mutex // held while this process becomes a node
	boxes         mailboxes
	visits        visits
	close         sync.Once
	closed        chan struct{}
}

// Open opens the record, and creates its schema where there is none.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	l, err := open(ctx, o, false)
	if err != nil {
		return nil, err
	}
	if err := l.read(ctx, func(ctx context.Context, _ querier) error { return noteOrigin(ctx, l.pool) }); err != nil {
		l.pool.Close()
		return nil, err
	}
	alone := o
	alone.Connections = 1
	if l.keeper, _, err = dial(ctx, alone, false); err != nil {
		l.pool.Close()
		return nil, err
	}
	l.writer = &writer{name: l.name, pool: l.pool, patience: cmp.Or(o.Patience, patience), verdictPatience: cmp.Or(o.VerdictPatience, verdictPatience),
		pause: 100 * time.Millisecond, reply: replyTime, wake: make(chan struct{}, 1), quit: make(chan struct{}), ended: make(chan struct{})}
	go l.writer.run()
	return l, nil
}

// OpenReadOnly opens the record for reading. It creates nothing, and returns an error of Kind [ledger.NotFound] if there is none.
func OpenReadOnly(ctx context.Context, o Options) (*Ledger, error) {
	return open(ctx, o, true)
}

func open(ctx context.Context, o Options, readOnly bool) (*Ledger, error) {
	pool, name, err := dial(ctx, o, readOnly)
	if err != nil {
		return nil, err
	}
	l := &Ledger{name: name, holder: o.Holder, readOnly: readOnly, pool: pool, closed: make(chan struct{}),
		term: cmp.Or(o.Term, leaseTerm), dotOver: cmp.Or(o.DotOver, dotOver), now: boottime}
	if l.holder == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown"
		}
		l.holder = "pid " + strconv.Itoa(os.Getpid()) + " on " + host
	}
	if err := migrate(ctx, pool, name, readOnly); err != nil {
		pool.Close()
		return nil, err
	}
	return l, nil
}

// Close ends the write in hand, hands back all leases, and closes the connections. Later calls do nothing.
func (l *Ledger) Close() error {
	l.close.Do(func() {
		close(l.closed)
		if l.writer != nil {
			l.writer.stop()
			l.leave()
			l.keeper.Close()
		}
		l.pool.Close()
	})
	return nil
}

// querier is what asks the database: the pool, or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readTries is how often a question is asked that found its connection broken.
const readTries = 3

// read asks the database something that may be asked twice, as a connection that broke may have to. A connection that waited in the
// pool may have died long ago.
func (l *Ledger) read(ctx context.Context, ask func(context.Context, querier) error) error {
	return l.readBy(ctx, l.pool, ask)
}

// readBy is read by the connections of a pool.
func (l *Ledger) readBy(ctx context.Context, pool *pgxpool.Pool, ask func(context.Context, querier) error) error {
	for try := 1; ; try++ {
		err := ctx.Err()
		if err == nil {
			within, cancel := context.WithTimeout(ctx, replyTime)
			err = ask(within, pool)
			cancel()
		}
		select {
		case <-l.closed:
			if err != nil {
				return errClosed()
			}
		default:
		}
		var known *ledger.Error
		switch {
		case err == nil, errors.As(err, &known):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case try == readTries, !again(err):
			return failed("cannot be read", l.name, err)
		}
		pool.Reset()
	}
}

func (l *Ledger) onlyRead() error {
	return &ledger.Error{Kind: ledger.Permission, Op: "is open for reading only", Path: l.name}
}

// Put inserts r, or replaces the record of the same key, and returns once that is durable.
func (l *Ledger) Put(ctx context.Context, r ledger.Record) error {
	return l.Replace(ctx, r, nil)
}

// PutAll is [Ledger.Put] for several records: all are written, or none.
func (l *Ledger) PutAll(ctx context.Context, rs []ledger.Record) error {
	return l.PutSeq(ctx, slices.Values(rs))
}

// PutSeq is [Ledger.PutAll] for records that need not be in memory at once. It goes through them several times.
func (l *Ledger) PutSeq(ctx context.Context, rs iter.Seq[ledger.Record]) error {
	count := 0
	accounts := map[string]bool{}
	ids := map[mailbox]int64{}
	for r := range rs {
		if err := ledger.Check(r); err != nil {
			return err
		}
		if _, known := ids[mailboxOf(&r.Key)]; !known {
			id, err := l.mailbox(ctx, &r.Key, true)
			if err != nil {
				return err
			}
			ids[mailboxOf(&r.Key)] = id
		}
		accounts[r.Account] = true
		count++
	}
	if count == 0 {
		return nil
	}
	w := &write{queue: func(b *batch) error {
		for r := range rs {
			if err := b.put(ids[mailboxOf(&r.Key)], r); err != nil {
				return err
			}
		}
		return nil
	}}
	if count > maxGroup {
		w.bulk = ctx
	}
	for account := range accounts {
		w.accounts = append(w.accounts, account)
	}
	return l.write(ctx, w)
}

// Replace is [Ledger.Put] for a message that had other records before: they go in the same transaction.
func (l *Ledger) Replace(ctx context.Context, r ledger.Record, replaced []ledger.Key) error {
	w, err := l.replacing(ctx, r, replaced, nil)
	if err != nil {
		return err
	}
	return l.write(ctx, w)
}

// replacing is the write of Replace, or with a judgement that of BeginJudged.
func (l *Ledger) replacing(ctx context.Context, r ledger.Record, replaced []ledger.Key, j *ledger.Judgement) (*write, error) {
	if err := ledger.Check(r); err != nil {
		return nil, err
	}
	id, err := l.mailbox(ctx, &r.Key, true)
	if err != nil {
		return nil, err
	}
	gone, err := l.places(ctx, replaced)
	if err != nil {
		return nil, err
	}
	// What was put off without a dot is put off again.
	putOff := r.State == ledger.Deferred || r.State == ledger.Held
	judged := j != nil && !putOff
	return &write{accounts: []string{r.Account}, judgement: j, verdict: r.DotSent || judged, queue: func(b *batch) error {
		b.outdateListings(replaced)
		b.change("DELETE FROM truehop.record r USING "+theKeys, gone)
		if j == nil {
			return b.put(id, r)
		}
		r.Judged = 0 // it gets the number of this judgement
		return b.putBy(insertJudged, id, r)
	}}, nil
}

// PutJudged is [Ledger.Replace] for a message that an MTA has taken or refused. It sets r.Judged, and records the judgement
// with the verdict or not at all.
func (l *Ledger) PutJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement) error {
	return l.beginJudged(ctx, r, replaced, j, false).Wait()
}

// BeginJudged begins what [Ledger.PutJudged] does and does not wait for it. What is written afterwards is durable with it or
// after it, never before. Where nothing is, it waits a few milliseconds for what may come, so that one transaction serves both.
func (l *Ledger) BeginJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement) ledger.Pending {
	return l.beginJudged(ctx, r, replaced, j, true)
}

func (l *Ledger) beginJudged(ctx context.Context, r ledger.Record, replaced []ledger.Key, j ledger.Judgement, patient bool) ledger.Pending {
	w, err := l.replacing(ctx, r, replaced, &j)
	if err != nil {
		return ledger.NotBegun(err)
	}
	w.patient = patient
	if err := l.begin(ctx, w); err != nil {
		return ledger.NotBegun(err)
	}
	return ledger.Begun(w.done)
}

// SetDisposed records that these messages are settled upstream, in one transaction. Keys without a record are ignored.
func (l *Ledger) SetDisposed(ctx context.Context, keys []ledger.Key) error {
	return l.change(ctx, keys, "UPDATE truehop.record r SET disposed = true FROM "+theKeys)
}

// SetAbsent records whether a complete listing held these messages, in one transaction. Keys without a record are ignored.
func (l *Ledger) SetAbsent(ctx context.Context, keys []ledger.Key, absent bool) error {
	return l.change(ctx, keys, "UPDATE truehop.record r SET absent = $4 FROM "+theKeys, absent)
}

// SetListed records the size that the listing announces for a message. A key without a record is ignored.
func (l *Ledger) SetListed(ctx context.Context, key ledger.Key, size int64) error {
	return l.change(ctx, []ledger.Key{key}, "UPDATE truehop.record r SET listed = $4 FROM "+theKeys, size)
}

// Remove deletes the records with these keys, in one transaction, and has their folders listed anew. Keys without a record are ignored.
func (l *Ledger) Remove(ctx context.Context, keys []ledger.Key) error {
	return l.changing(ctx, keys, func(b *batch, at places) {
		b.outdateListings(keys)
		b.change("DELETE FROM truehop.record r USING "+theKeys, at)
	})
}

// change executes a statement for some keys.
func (l *Ledger) change(ctx context.Context, keys []ledger.Key, sql string, args ...any) error {
	return l.changing(ctx, keys, func(b *batch, at places) { b.change(sql, at, args...) })
}

// changing writes something about some keys.
func (l *Ledger) changing(ctx context.Context, keys []ledger.Key, queue func(*batch, places)) error {
	at, err := l.places(ctx, keys)
	if err != nil || len(at.ids) == 0 {
		return err
	}
	w := &write{queue: func(b *batch) error {
		queue(b, at)
		return nil
	}}
	for _, k := range keys {
		if !slices.Contains(w.accounts, k.Account) {
			w.accounts = append(w.accounts, k.Account)
		}
	}
	return l.write(ctx, w)
}

// places are keys as the table record has them.
type places struct {
	ids          []int64
	uids, hashes [][]byte
}

// places finds the mailboxes of keys. Those of which there is none have no record, and are left out.
func (l *Ledger) places(ctx context.Context, keys []ledger.Key) (p places, err error) {
	for i := range keys {
		if err := keys[i].Check(); err != nil {
			return p, err
		}
		id, err := l.mailbox(ctx, &keys[i], false)
		if err != nil {
			return p, err
		}
		if id != 0 {
			p.ids, p.uids, p.hashes = append(p.ids, id), append(p.uids, []byte(keys[i].UID)), append(p.hashes, keys[i].Hash[:])
		}
	}
	return p, nil
}

// mailbox is what the table mailbox gives a number.
type mailbox struct {
	account, folder string
	validity        uint32
}

func mailboxOf(k *ledger.Key) mailbox { return mailbox{k.Account, k.Folder, k.Validity} }

// mailboxes are the numbers that are known, by account. They are asked for anew under each lock: in between somebody may have removed the rows of
// an account that was given up and has come back, and what is written by a number without its row is read by nobody.
type mailboxes struct {
	mu  sync.Mutex
	ids map[string]map[mailbox]int64
}

func (m *mailboxes) set(of mailbox, id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ids == nil {
		m.ids = map[string]map[mailbox]int64{}
	}
	if m.ids[of.account] == nil {
		m.ids[of.account] = map[mailbox]int64{}
	}
	m.ids[of.account][of] = id
}

// forget forgets those of an account.
func (m *mailboxes) forget(account string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ids, account)
}

// mailbox returns the number of the mailbox of k. If there is none, add inserts it; else the number is 0.
func (l *Ledger) mailbox(ctx context.Context, k *ledger.Key, add bool) (id int64, err error) {
	of := mailboxOf(k)
	l.boxes.mu.Lock()
	id = l.boxes.ids[of.account][of]
	l.boxes.mu.Unlock()
	if id != 0 {
		return id, nil
	}
	if err := checkAccount(k.Account); err != nil {
		return 0, err
	}
	find := "SELECT id FROM truehop.mailbox WHERE account = $1 AND folder = $2 AND validity = $3"
	args := []any{of.account, []byte(of.folder), int64(of.validity)}
	err = l.read(ctx, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, find, args...).Scan(&id)
		if !errors.Is(err, pgx.ErrNoRows) || !add || l.readOnly {
			return err
		}
		if _, err := q.Exec(ctx, "INSERT INTO truehop.mailbox (account, folder, validity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", args...); err != nil {
			return err
		}
		return q.QueryRow(ctx, find, args...).Scan(&id)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		l.boxes.set(of, id)
	}
	return id, err
}

// CaughtUp records that a pass has seen all of a folder: the record can be believed about it from now on.
func (l *Ledger) CaughtUp(ctx context.Context, account, folder string) error {
	if err := (&ledger.Key{Account: account, Folder: folder}).Check(); err != nil {
		return err
	}
	return l.write(ctx, &write{accounts: []string{account}, queue: func(b *batch) error {
		b.exec(`INSERT INTO truehop.caught_up AS c (account, folder, restores) SELECT $1, $2, restores FROM truehop.origin
			ON CONFLICT (account, folder) DO UPDATE SET restores = excluded.restores WHERE c.restores <> excluded.restores`, account, []byte(folder))
		return nil
	}})
}

// SetRefusal records that the credentials of an account are refused, or with the zero value that they are not. It needs no
// lock, for a login by hand clears it while a pass may be under way.
func (l *Ledger) SetRefusal(ctx context.Context, account string, r ledger.Refusal) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	return l.write(ctx, &write{queue: func(b *batch) error {
		if r == (ledger.Refusal{}) {
			b.exec("DELETE FROM truehop.login WHERE account = $1", account)
			return nil
		}
		b.putRefusal(account, r)
		return nil
	}})
}

func (b *batch) putRefusal(account string, r ledger.Refusal) {
	b.exec(`INSERT INTO truehop.login (account, times, last, next, told, basis, reason) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (account) DO UPDATE SET times = excluded.times, last = excluded.last, next = excluded.next,
			told = excluded.told, basis = excluded.basis, reason = excluded.reason`,
		account, r.Times, ledger.Millis(r.Last), ledger.Millis(r.Next), r.Told, []byte(ledger.Cut(r.Basis)), []byte(ledger.Cut(r.Reason)))
}

// SetTold records what is told of an account, or with the zero value that nothing is any more. It needs no lock, for what a pass
// ended with is told after it.
func (l *Ledger) SetTold(ctx context.Context, account string, t ledger.Told) error {
	if err := checkAccount(account); err != nil {
		return err
	}
	return l.write(ctx, &write{queue: func(b *batch) error {
		if t == (ledger.Told{}) {
			b.exec("DELETE FROM truehop.told WHERE account = $1", account)
			return nil
		}
		b.putTold(account, t)
		return nil
	}})
}

func (b *batch) putTold(account string, t ledger.Told) {
	b.exec(`INSERT INTO truehop.told (account, what, since, at, times) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account) DO UPDATE SET what = excluded.what, since = excluded.since, at = excluded.at, times = excluded.times`,
		account, []byte(ledger.Cut(t.What)), ledger.Millis(t.Since), ledger.Millis(t.At), t.Times)
}
