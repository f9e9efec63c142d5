package ledger

import (
	"context"
	"errors"
	"slices"
)

// What MTAs made of known clients is kept as proof that they still judge: see [Proof]. Judgements are numbered
// in the order in which they were recorded, all targets together; a clock may be set, and this order cannot.

// judgementsKept bounds the judgements that are remembered, and so the rows of the table.
const judgementsKept = 1 << 14

// schemaJudged is the table of judgements: for each target and client the number of the last time that its mail was
// taken, the one at which the pass began that last had it refused, 0 for never, and the number of the last of both.
const schemaJudged = `
CREATE TABLE judged (
	target  TEXT NOT NULL,
	client  TEXT NOT NULL,
	taken   INTEGER NOT NULL,
	refused INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	PRIMARY KEY (target, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX judged_last ON judged (last);
`

const insertJudged = `INSERT INTO judged (target, client, taken, refused, last)
VALUES (?1, ?2, iif(?3, ?4, 0), iif(?3, 0, ?5), ?4)
ON CONFLICT (target, client) DO UPDATE SET
	taken = iif(?3, ?4, taken), refused = iif(?3, refused, ?5), last = ?4`

// Judgement is what an MTA made of a message whose client it knew.
type Judgement struct {
	// Target names the MTA, and the way in which clients are presented to it.
	Target string
	// Client is the address that it was shown; "" where it was shown none, which is no judgement of a client.
	Client string
	// Taken says that it took the message, else it refused it.
	Taken bool
	// Pass is what [Ledger.NextJudgement] returned when the pass began.
	Pass int64
}

// NextJudgement returns the number of the next judgement.
func (l *Ledger) NextJudgement(ctx context.Context) (next int64, err error) {
	err = l.db.QueryRowContext(ctx, "SELECT 1 + coalesce(max(last), 0) FROM judged").Scan(&next)
	return next, l.readError(err)
}

// PutJudged is [Ledger.Replace] for a message that an MTA has taken or refused. It sets r.Judged, and records the
// judgement with the verdict or not at all.
func (l *Ledger) PutJudged(ctx context.Context, r Record, replaced []Key, j Judgement) error {
	return l.beginJudged(ctx, r, replaced, j, false).Wait()
}

// BeginJudged begins what [Ledger.PutJudged] does and does not wait for it. What is written afterwards is durable with it or
// after it, never before. Where nothing is, it waits a few milliseconds for what may come, so that one transaction serves both.
func (l *Ledger) BeginJudged(ctx context.Context, r Record, replaced []Key, j Judgement) Pending {
	return l.beginJudged(ctx, r, replaced, j, true)
}

func (l *Ledger) beginJudged(ctx context.Context, r Record, replaced []Key, j Judgement, patient bool) Pending {
	if err := checkAll(r); err != nil {
		return Pending{err: err}
	}
	apply := func(tx *tx) error {
		if err := tx.judge(j); err != nil {
			return err
		}
		r.Judged = tx.judgement
		return tx.replace(&r, replaced)
	}
	return l.begin(ctx, write{apply: apply, mayUseReserve: r.State.endsAttempt(), patient: patient})
}

// judge records a judgement and leaves its number, or that of the last one where it is none, in t.judgement. Only the first of a
// transaction has to look it up: nobody else writes meanwhile.
func (t *tx) judge(j Judgement) error {
	if !t.numbered {
		if err := t.latest.QueryRow().Scan(&t.judgement); err != nil {
			return err
		}
		t.numbered = true
	}
	if j.Client == "" {
		return nil
	}
	t.judgement++
	t.judges = true
	_, err := t.judged.Exec(cut(j.Target), cut(j.Client), flag(j.Taken), t.judgement, j.Pass)
	return err
}

// checkAll refuses records that cannot be stored.
func checkAll(rs ...Record) error {
	for i := range rs {
		if err := rs[i].check(); err != nil {
			return err
		}
		if canonical(string(rs[i].State)) == "" {
			return &Error{Kind: Invalid, Op: "no such state: " + string(rs[i].State)}
		}
	}
	return nil
}

// Proof is what a target made of known clients of late.
type Proof struct{ taken, refused []int64 }

// Since returns how many clients had mail taken after the judgement of this number ([Record.Judged]), and how many had
// mail refused by passes that began after it: thirty refusals of one pass would else speak against one another. A
// client may be among both.
func (p Proof) Since(judged int64) (taken, refused int) {
	after := func(numbers []int64) int {
		i, _ := slices.BinarySearch(numbers, judged+1)
		return len(numbers) - i
	}
	return after(p.taken), after(p.refused)
}

// Proof returns what is remembered of a target.
func (l *Ledger) Proof(ctx context.Context, target string) (p Proof, err error) {
	if l.version < 3 {
		return p, l.unchanged(ctx, nil) // a ledger that is only read, and has no judgements yet
	}
	rows, err := l.db.QueryContext(ctx, "SELECT taken, refused FROM judged WHERE target = ?", cut(target))
	if err != nil {
		return p, l.readError(err)
	}
	defer func() { err = errors.Join(err, l.readError(rows.Close())) }()
	for rows.Next() {
		var taken, refused int64
		if err := rows.Scan(&taken, &refused); err != nil {
			return Proof{}, l.readError(err)
		}
		p.taken, p.refused = append(p.taken, taken), append(p.refused, refused)
	}
	slices.Sort(p.taken)
	slices.Sort(p.refused)
	return p, l.readError(rows.Err())
}
