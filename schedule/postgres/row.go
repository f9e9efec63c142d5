package postgres

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
)

// batch gathers the statements of a transaction.
type batch struct {
	pgx.Batch
	// send, if not nil, sends what has been gathered, so that no more than partSize statements are in memory.
	send func() error
}

const partSize = 512

// exec adds a statement.
func (b *batch) exec(sql string, args ...any) { b.Queue(sql, args...) }

// fence adds the check of the leases that the transaction needs. It comes first.
func (b *batch) fence(accounts []string, epochs []int64) {
	if len(accounts) > 0 {
		b.exec("SELECT truehop.fence($1, $2)", accounts, epochs)
	}
}

// judge adds the judgements of a group, in the same order in all processes, so that none waits for another in a circle. They come
// before the records, which have the number of the last.
func (b *batch) judge(group []*write, w *writer) {
	var js []*ledger.Judgement
	for _, each := range group {
		if each.judgement != nil && each.judgement.Client != "" {
			js = append(js, each.judgement)
		}
	}
	if len(js) == 0 {
		return
	}
	slices.SortStableFunc(js, func(a, b *ledger.Judgement) int {
		if c := strings.Compare(a.Target, b.Target); c != 0 {
			return c
		}
		return strings.Compare(a.Client, b.Client)
	})
	for _, j := range js {
		b.exec(putJudgement, []byte(ledger.Cut(j.Target)), []byte(ledger.Cut(j.Client)), j.Taken, j.Pass)
	}
	if w.groups++; w.groups%forgetEvery == 1 {
		b.exec(forgetJudgements, ledger.JudgementsKept)
	}
}

// forgetEvery is after how many groups old judgements are forgotten.
const forgetEvery = 64

const putJudgement = `INSERT INTO truehop.judged AS j (target, client, taken, refused, last)
SELECT $1, $2, CASE WHEN $3 THEN n ELSE 0 END, CASE WHEN $3 THEN 0 ELSE $4::bigint END, n FROM nextval('truehop.judgement') AS n
ON CONFLICT (target, client) DO UPDATE SET last = excluded.last,
	taken = CASE WHEN $3 THEN excluded.taken ELSE j.taken END, refused = CASE WHEN $3 THEN j.refused ELSE excluded.refused END`

const forgetJudgements = `DELETE FROM truehop.judged WHERE (target, client) IN (SELECT target, client FROM truehop.judged
WHERE last <= (SELECT last_value FROM truehop.judgement) - $1::bigint ORDER BY target, client FOR UPDATE SKIP LOCKED)`

// theKeys are the rows of a list of keys; it stands behind FROM or USING.
const theKeys = `unnest($1::bigint[], $2::bytea[], $3::bytea[]) AS k (mailbox, uid, hash)
WHERE r.mailbox = k.mailbox AND r.uid = k.uid AND r.hash = k.hash`

// change adds a statement that ends with theKeys.
func (b *batch) change(sql string, at places, args ...any) {
	if len(at.ids) > 0 {
		b.exec(sql, append([]any{at.ids, at.uids, at.hashes}, args...)...)
	}
}

// recordColumns are those that a pass decides by, shownColumns those that only a person is shown.
const (
	recordColumns = `state, disposed, absent, size, listed, token, attempts, doubts, first, last, next, ran, dotsent, judged, fingerprint, breaks`
	shownColumns  = `recipients, verdicts, acknowledged, charges, octets, client, helo, sender, code, reply, queueid, why, author, subject, messageid, dated`
)

// putRecord inserts a record or replaces it.
func putRecord(judged string) string {
	var set []string
	for _, column := range strings.Split(recordColumns+", "+shownColumns, ", ") {
		set = append(set, column+" = excluded."+column)
	}
	return `INSERT INTO truehop.record (mailbox, uid, hash, ` + recordColumns + `, ` + shownColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, ` + judged + `, $18, $19,
	$20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)
ON CONFLICT (mailbox, uid, hash) DO UPDATE SET ` + strings.Join(set, ", ")
}

var (
	insertRecord = putRecord("$17")
	insertJudged = putRecord("$17 + (SELECT last_value FROM truehop.judgement)")
)

// put adds a record.
func (b *batch) put(mailbox int64, r ledger.Record) error { return b.putBy(insertRecord, mailbox, r) }

func (b *batch) putBy(sql string, mailbox int64, r ledger.Record) error {
	r = ledger.Kept(r)
	verdicts, err := ledger.VerdictsText(r.Verdicts)
	if err != nil {
		return err
	}
	fingerprint := []byte{}
	if r.Fingerprint != (ledger.Fingerprint{}) {
		fingerprint = r.Fingerprint[:]
	}
	b.exec(sql, mailbox, []byte(r.UID), r.Hash[:], string(r.State), r.Disposed, r.Absent, r.Size, r.Listed, []byte(r.Token), r.Attempts, r.Doubts,
		ledger.Millis(r.First), ledger.Millis(r.Last), ledger.Millis(r.Next), r.Ran.Milliseconds(), r.DotSent, r.Judged, fingerprint, r.Breaks,
		[]byte(r.Recipients), verdicts, ledger.Millis(r.Acknowledged), r.Charges, r.Octets, []byte(r.Client), []byte(r.HELO), []byte(r.Sender), r.Code,
		[]byte(r.Reply), []byte(r.QueueID), []byte(r.Why), []byte(r.Heading.From), []byte(r.Heading.Subject), []byte(r.Heading.MessageID),
		ledger.Millis(r.Heading.Date))
	if b.send != nil && b.Len() >= partSize {
		return b.send()
	}
	return nil
}

// row is a row of the table record as it is read.
type row struct {
	uid, hash, token, fingerprint []byte
	state                         string
	first, last, next, ran        int64
	ledger.Record
}

// into is where recordColumns are scanned into, with the key before them.
func (r *row) into() []any {
	return []any{&r.uid, &r.hash, &r.state, &r.Disposed, &r.Absent, &r.Size, &r.Listed, &r.token, &r.Attempts, &r.Doubts,
		&r.first, &r.last, &r.next, &r.ran, &r.DotSent, &r.Judged, &r.fingerprint, &r.Breaks}
}

// decode fills the Record from what was scanned.
func (r *row) decode() error {
	r.State = ledger.Known(r.state)
	if len(r.hash) != len(r.Hash) || r.State == "" {
		return errUnsound
	}
	copy(r.Hash[:], r.hash)
	r.UID, r.Token = string(r.uid), string(r.token)
	r.First, r.Last, r.Next = ledger.FromMillis(r.first), ledger.FromMillis(r.last), ledger.FromMillis(r.next)
	r.Ran = time.Duration(r.ran) * time.Millisecond
	r.Fingerprint = ledger.Fingerprint{}
	copy(r.Fingerprint[:], r.fingerprint)
	return nil
}

// shown is what a person is shown of a row.
type shown struct {
	folder, recipients, client, helo, sender, reply, queueid, why, author, subject, messageid []byte

	validity, acknowledged, dated int64
	verdicts                      string
}

// scan reads a row with account, folder and validity before it, and shownColumns behind.
func (s *shown) scan(rows pgx.Rows) (ledger.Record, error) {
	var r row
	into := append([]any{&r.Account, &s.folder, &s.validity}, r.into()...)
	into = append(into, &s.recipients, &s.verdicts, &s.acknowledged, &r.Charges, &r.Octets, &s.client, &s.helo, &s.sender, &r.Code,
		&s.reply, &s.queueid, &s.why, &s.author, &s.subject, &s.messageid, &s.dated)
	if err := rows.Scan(into...); err != nil {
		return ledger.Record{}, err
	}
	if err := r.decode(); err != nil {
		return ledger.Record{}, err
	}
	r.Folder, r.Validity = string(s.folder), uint32(s.validity)
	r.Recipients, r.Acknowledged = string(s.recipients), ledger.FromMillis(s.acknowledged)
	r.Client, r.HELO, r.Sender, r.Reply = string(s.client), string(s.helo), string(s.sender), string(s.reply)
	r.QueueID, r.Why = string(s.queueid), string(s.why)
	r.Heading = ledger.Heading{From: string(s.author), Subject: string(s.subject), MessageID: string(s.messageid), Date: ledger.FromMillis(s.dated)}
	if s.verdicts != "" && json.Unmarshal([]byte(s.verdicts), &r.Verdicts) != nil {
		return ledger.Record{}, errUnsound
	}
	return r.Record, nil
}

// errUnsound is a row that no truehop has written.
var errUnsound = errors.New("a record is damaged")
