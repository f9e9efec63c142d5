package postgres

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/truehop/truehop/schedule/ledger"
)

const (
	// maxGroup bounds how many callers one transaction serves.
	maxGroup = 256
	// patience and verdictPatience are the defaults of those of [Options].
	patience        = 5 * time.Second
	verdictPatience = time.Minute
	// company is how long a write that nobody is kept waiting by waits for others, to share their flush: by then the
	// session that began it has come to its next message, if there is one.
	company = 10 * time.Millisecond
)

// write is one caller's change on its way to the writer.
type write struct {
	// accounts are those whose leases the write needs, epochs what this process held when it was begun.
	accounts []string
	epochs   []int64
	// bulk, if not nil, says that it is too large to be sent together with others. Until the commit the end of this context rolls it back.
	bulk context.Context
	// verdict says that it is what an MTA made of a message that may have been put to it whole.
	verdict bool
	// patient says that nobody is kept waiting by it, so that it may wait for company.
	patient bool
	// judgement, if not nil, is recorded with it.
	judgement *ledger.Judgement
	// queue adds its statements.
	queue func(*batch) error
	done  chan error
}

// writer sends the writes of this process, in the order in which they came. Its goroutine, run, ends by stop.
type writer struct {
	name string
	pool *pgxpool.Pool
	// wake has something when writes wait.
	wake  chan struct{}
	quit  chan struct{}
	ended chan struct{}
	// patience and verdictPatience are those of [Options], pause is the time between two attempts.
	patience, verdictPatience, pause time.Duration
	// reply is replyTime.
	reply time.Duration
	// groups counts transactions with judgements.
	groups int
	// broken are sessions that broke under a group. They are run's, as pace is.
	broken []session
	pace   pace

	mu      sync.Mutex
	waiting []*write
	alarm   *time.Timer // ends the patience of those that wait; nil before the first
	closed  bool
}

// begin hands a change to the writer. Once it is begun, ctx no longer matters.
func (l *Ledger) begin(ctx context.Context, w *write) error {
	if l.writer == nil {
		return l.onlyRead()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, account := range w.accounts {
		epoch := l.leases.epoch(account)
		if epoch == 0 {
			return &ledger.Error{Kind: ledger.Fenced, Op: "account " + account + " is not locked", Path: l.name}
		}
		w.epochs = append(w.epochs, epoch)
	}
	for _, account := range w.accounts {
		if now, is := l.visits.unwritten(account); is {
			queue := w.queue
			w.queue = func(b *batch) error {
				b.putPass(account, now.began, now)
				return queue(b)
			}
		}
	}
	w.done = make(chan error, 1)
	if !l.writer.enqueue(w) {
		return errClosed()
	}
	return nil
}

// write hands a change to the writer and waits until it is durable. Once the writer has taken it, ctx no longer matters, but to one in bulk.
func (l *Ledger) write(ctx context.Context, w *write) error {
	if err := l.begin(ctx, w); err != nil {
		return err
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if l.writer.withdraw(w) {
			return ctx.Err()
		}
		return <-w.done
	}
}

// stop ends run after the group in hand. Writes that still wait fail.
func (w *writer) stop() {
	w.mu.Lock()
	w.closed = true
	waiting := w.waiting
	w.waiting = nil
	if w.alarm != nil {
		w.alarm.Stop()
	}
	w.mu.Unlock()
	answer(waiting, errClosed())
	close(w.quit)
	<-w.ended
}

// enqueue adds a write to those that wait. It returns false where the writer takes none any more.
func (w *writer) enqueue(each *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.waiting = append(w.waiting, each)
	switch {
	case !each.patient, len(w.waiting) >= maxGroup:
		w.rouse()
	case len(w.waiting) > 1: // the first has set the alarm, or roused run
	case w.alarm == nil:
		w.alarm = time.AfterFunc(company, w.rouse)
	default:
		w.alarm.Reset(company)
	}
	return true
}

// rouse tells run that writes wait.
func (w *writer) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // it has been told
	}
}

// withdraw takes back a write. It returns false where the writer has taken it.
func (w *writer) withdraw(each *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.Index(w.waiting, each)
	if i < 0 {
		return false
	}
	w.waiting = slices.Delete(w.waiting, i, i+1)
	return true
}

// take returns the writes that wait, as many as one transaction serves. One in bulk comes alone.
func (w *writer) take() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxGroup)
	if i := slices.IndexFunc(w.waiting[:n], func(each *write) bool { return each.bulk != nil }); i >= 0 {
		n = max(i, 1)
	}
	group := slices.Clone(w.waiting[:n])
	if w.waiting = slices.Delete(w.waiting, 0, n); len(w.waiting) > 0 {
		w.rouse()
	}
	return group
}

// run serves all writes that wait at a time as one group.
func (w *writer) run() {
	defer close(w.ended)
	for {
		select {
		case <-w.wake:
			w.gather()
			if group := w.take(); len(group) > 0 {
				w.serve(group)
			}
		case <-w.quit:
			return
		}
	}
}

// serve commits a group and answers each caller. A write whose lease has passed on fails alone. While the database is away
// it tries again: a group may be written twice, because it says what is and not what changes, and because nobody else has written
// meanwhile what its leases protect.
func (w *writer) serve(group []*write) {
	began := time.Now()
	for len(group) > 0 {
		err := w.commit(group)
		switch {
		case err == nil:
			now := time.Now()
			w.pace.took, w.pace.until, w.pace.callers = now.Sub(began), now, impatient(group)+w.callers()
			answer(group, nil)
			return
		case kindOf(err) == ledger.Fenced:
			group, err = w.dropFenced(group)
			if err == nil {
				continue
			}
		case !again(err) && len(group) > 1:
			for i := range group { // one of them is to blame
				w.serve(group[i : i+1])
			}
			return
		}
		away := time.Since(began)
		if !again(err) || away >= w.verdictPatience || !w.wait() {
			answer(group, failed("write failed", w.name, err))
			return
		}
		if away >= w.patience {
			group = w.turnAway(group, err)
		}
		w.pool.Reset()
	}
}

// wait waits before the next attempt. It returns false once the writer is to end.
func (w *writer) wait() bool {
	select {
	case <-w.quit:
		return false
	case <-time.After(w.pause):
		return true
	}
}

// turnAway fails the writes that are no verdicts, of this group and of those that wait, and returns the rest of the group.
func (w *writer) turnAway(group []*write, cause error) []*write {
	verdict := func(each *write) bool { return each.verdict }
	other := func(each *write) bool { return !each.verdict }
	w.mu.Lock()
	away := slices.DeleteFunc(slices.Concat(group, w.waiting), verdict)
	w.waiting = slices.DeleteFunc(w.waiting, other)
	w.mu.Unlock()
	answer(away, failed("write failed", w.name, cause))
	return slices.DeleteFunc(group, other)
}

func answer(group []*write, err error) {
	for _, each := range group {
		each.done <- err
	}
}

// leasesOf returns the leases that a group needs, in the order in which all processes lock them.
func leasesOf(group []*write) (accounts []string, epochs []int64) {
	type lease struct {
		account string
		epoch   int64
	}
	need := map[lease]bool{}
	for _, each := range group {
		for i, account := range each.accounts {
			need[lease{account, each.epochs[i]}] = true
		}
	}
	for l := range need {
		accounts, epochs = append(accounts, l.account), append(epochs, l.epoch)
	}
	return accounts, epochs
}

// dropFenced fails the writes of a group whose leases have passed on, and returns the others.
func (w *writer) dropFenced(group []*write) ([]*write, error) {
	ctx, cancel := context.WithTimeout(context.Background(), w.reply)
	defer cancel()
	accounts, _ := leasesOf(group)
	rows, err := w.pool.Query(ctx, "SELECT account, epoch, holder FROM truehop.lease WHERE account = ANY($1)", accounts)
	if err != nil {
		return group, err
	}
	defer rows.Close()
	epochs, holders := map[string]int64{}, map[string]string{}
	for rows.Next() {
		var account, holder string
		var epoch int64
		if err := rows.Scan(&account, &epoch, &holder); err != nil {
			return group, err
		}
		epochs[account], holders[account] = epoch, holder
	}
	if err := rows.Err(); err != nil {
		return group, err
	}
	var kept []*write
	for _, each := range group {
		var passed string
		for i, account := range each.accounts {
			if epochs[account] != each.epochs[i] {
				passed = account
			}
		}
		if passed == "" {
			kept = append(kept, each)
			continue
		}
		each.done <- &ledger.Error{Kind: ledger.Fenced, Op: "account " + passed + " has been taken over", Path: w.name, Holder: holders[passed],
			Advice: "nothing is to be done: whoever has it goes on"}
	}
	return kept, nil
}

// commit runs a group in one transaction. An error that is not of a connection means that nothing of it is in the database.
func (w *writer) commit(group []*write) (err error) {
	ctx, cancel := context.WithTimeout(cmp.Or(group[0].bulk, context.Background()), w.reply)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer w.release(conn)
	if err := w.endBroken(ctx, conn); err != nil {
		return err
	}
	if group[0].bulk != nil {
		return w.commitBulk(group[0], conn)
	}
	b := &batch{}
	b.fence(leasesOf(group))
	b.judge(group, w)
	for _, each := range group {
		if err := each.queue(b); err != nil {
			return err
		}
	}
	// Without BEGIN all statements up to the end of the batch are one transaction (PostgreSQL, 55.2.3).
	return conn.SendBatch(ctx, &b.Batch).Close()
}

// commitBulk runs one large write in a transaction of its own, a part at a time. Each step has the time of a group: a commit may wait for a
// standby that is away, and so would all that comes behind it.
func (w *writer) commitBulk(each *write, conn *pgxpool.Conn) error {
	within := func(parent context.Context, step func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(parent, w.reply)
		defer cancel()
		return step(ctx)
	}
	var tx pgx.Tx
	err := within(each.bulk, func(ctx context.Context) (err error) {
		tx, err = conn.Begin(ctx)
		return err
	})
	if err != nil {
		return err
	}
	b := &batch{}
	b.send = func() error {
		sent := b.Batch
		b.Batch.QueuedQueries = nil
		return within(each.bulk, func(ctx context.Context) error { return tx.SendBatch(ctx, &sent).Close() })
	}
	b.fence(leasesOf([]*write{each}))
	err = each.queue(b)
	if err == nil {
		err = b.send()
	}
	if err == nil {
		return within(context.Background(), tx.Commit)
	}
	return errors.Join(err, within(context.Background(), tx.Rollback))
}
