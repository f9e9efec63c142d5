package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
)

// tx is the writing connection with its prepared statements. Only the writer's
// goroutine uses it, and no context interrupts it: what was begun ends.
type tx struct {
	conn                              *sql.Conn
	insert, disposed, absent, removed *sql.Stmt
	row, listed, caughtUp             *sql.Stmt
	find, add                         *sql.Stmt
	passed, clock, ticked             *sql.Stmt
	latest, judged, forgotten         *sql.Stmt
	refused, let                      *sql.Stmt
	begin, commit                     *sql.Stmt
	// judgement is the number of the last one, where numbered says that this transaction has read it, and judges that it
	// has recorded others.
	judgement        int64
	numbered, judges bool
	// mailboxes caches the ids of table mailbox; a rollback empties it.
	mailboxes map[mailbox]int64
}

type mailbox struct {
	account, folder string
	validity        uint32
}

// shownColumns are, beside those of a [Heading], what nothing is decided by.
const shownColumns = `client, helo, sender, code, reply, queueid, why`

const insertRecord = `INSERT INTO record (mailbox, uid, hash, state, disposed, absent, size, token, attempts, doubts,
	first, last, next, sum, recipients, verdicts, ran, listed, acknowledged, breaks, charges, octets, dotsent, judged, fingerprint,
	` + shownColumns + `, ` + headingColumns + `)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (mailbox, uid, hash) DO UPDATE SET
	state = excluded.state, disposed = excluded.disposed, absent = excluded.absent,
	size = excluded.size, token = excluded.token,
	attempts = excluded.attempts, doubts = excluded.doubts,
	first = excluded.first, last = excluded.last, next = excluded.next, sum = excluded.sum,
	client = excluded.client, helo = excluded.helo, sender = excluded.sender,
	recipients = excluded.recipients, code = excluded.code, reply = excluded.reply,
	queueid = excluded.queueid, why = excluded.why,
	verdicts = excluded.verdicts, ran = excluded.ran,
	listed = excluded.listed, acknowledged = excluded.acknowledged,
	breaks = excluded.breaks, charges = excluded.charges, octets = excluded.octets,
	dotsent = excluded.dotsent, judged = excluded.judged, fingerprint = excluded.fingerprint,
	author = excluded.author, subject = excluded.subject,
	messageid = excluded.messageid, dated = excluded.dated`

const whereKey = ` WHERE mailbox = ?1 AND uid = ?2 AND hash = ?3`

const insertPass = `INSERT INTO pass VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, iif(?4, ?3, 0))
ON CONFLICT (account) DO UPDATE SET
	began = excluded.began, ended = excluded.ended, ok = excluded.ok, listed = excluded.listed,
	delivered = excluded.delivered, deferred = excluded.deferred, refused = excluded.refused,
	held = excluded.held, doubt = excluded.doubt, error = excluded.error,
	success = iif(excluded.ok, excluded.ended, success)`

func newTx(ctx context.Context, db *sql.DB) (*tx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &tx{conn: conn, mailboxes: make(map[mailbox]int64)}
	for _, p := range []struct {
		stmt **sql.Stmt
		sql  string
	}{
		{&t.begin, "BEGIN IMMEDIATE"},
		{&t.commit, "COMMIT"},
		{&t.insert, insertRecord},
		{&t.disposed, "UPDATE record SET disposed = " + sqlOn + whereKey},
		{&t.absent, "UPDATE record SET absent = ?4" + whereKey},
		{&t.row, "SELECT " + rowColumns(schemaVersion) + " FROM record" + whereKey},
		{&t.listed, "UPDATE record SET listed = ?4, sum = ?5" + whereKey},
		{&t.caughtUp, "REPLACE INTO caught_up SELECT ?, ?, restores FROM origin"},
		{&t.removed, "DELETE FROM record" + whereKey},
		{&t.passed, insertPass},
		{&t.find, "SELECT id FROM mailbox WHERE account = ? AND folder = ? AND validity = ?"},
		{&t.add, "INSERT INTO mailbox (id, account, folder, validity, sum) VALUES (?, ?, ?, ?, ?)"},
		{&t.clock, "SELECT at, ran, latest, base FROM clock WHERE account = ?"},
		{&t.latest, "SELECT coalesce(max(last), 0) FROM judged"},
		{&t.judged, insertJudged},
		{&t.forgotten, "DELETE FROM judged WHERE last <= ?"},
		{&t.refused, "REPLACE INTO login (account, times, last, next, told, basis, reason) VALUES (?, ?, ?, ?, ?, ?, ?)"},
		{&t.let, "DELETE FROM login WHERE account = ?"},
		{&t.ticked, "REPLACE INTO clock (account, at, ran, latest, base) VALUES (?, ?, ?, ?, ?)"},
	} {
		if *p.stmt, err = conn.PrepareContext(ctx, p.sql); err != nil {
			t.close()
			return nil, err
		}
	}
	return t, nil
}

func (t *tx) close() {
	for _, s := range []*sql.Stmt{t.begin, t.commit, t.insert, t.disposed, t.absent, t.removed, t.row, t.listed, t.caughtUp, t.find, t.add, t.passed, t.clock, t.ticked, t.latest, t.judged, t.forgotten, t.refused, t.let} {
		if s != nil {
			_ = s.Close()
		}
	}
	_ = t.conn.Close()
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.conn.ExecContext(context.Background(), query, args...)
	return err
}

// notBegun is why a transaction could not begin: nothing was applied.
type notBegun struct{ error }

func (e *notBegun) Unwrap() error { return e.error }

// run makes a transaction of what apply does. An error means that nothing of it is in the database.
func (t *tx) run(apply func() error) error {
	if _, err := t.begin.Exec(); err != nil {
		return &notBegun{err}
	}
	t.numbered, t.judges = false, false
	err := apply()
	if err == nil && t.judges { // once for all of a transaction
		_, err = t.forgotten.Exec(t.judgement - judgementsKept)
	}
	if err == nil {
		_, err = t.commit.Exec()
	}
	if err != nil {
		_ = t.exec("ROLLBACK") // its own error adds nothing: SQLite has often rolled back already
		clear(t.mailboxes)
	}
	return err
}

// mailbox returns the id of the mailbox of k. If there is none, add inserts it; else the id is 0.
func (t *tx) mailbox(k *Key, add bool) (int64, error) {
	m := mailbox{k.Account, k.Folder, k.Validity}
	if id, ok := t.mailboxes[m]; ok {
		return id, nil
	}
	var id int64
	err := t.find.QueryRow(m.account, m.folder, int64(m.validity)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) && !add {
		return 0, nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		// The transaction holds the only write lock, so that nobody adds it meanwhile.
		err = t.conn.QueryRowContext(context.Background(), "SELECT 1 + coalesce(max(id), 0) FROM mailbox").Scan(&id)
		if err == nil {
			_, err = t.add.Exec(id, m.account, m.folder, int64(m.validity), m.checksum(id))
		}
	}
	if err != nil {
		return 0, err
	}
	t.mailboxes[m] = id
	return id, nil
}

// change executes a statement for each key.
func (t *tx) change(keys []Key, stmt *sql.Stmt, args ...any) error {
	for i := range keys {
		k := &keys[i]
		id, err := t.mailbox(k, false)
		if err != nil {
			return err
		}
		if _, err := stmt.Exec(append([]any{id, []byte(k.UID), k.Hash[:]}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// remove removes the records with these keys. Their folders are to be listed anew, since a message without a record is new.
func (t *tx) remove(keys []Key) error {
	done := map[mailbox]bool{}
	for i := range keys {
		folder := mailbox{account: keys[i].Account, folder: keys[i].Folder}
		if done[folder] {
			continue
		}
		if err := t.outdateListing(folder.account, folder.folder); err != nil {
			return err
		}
		done[folder] = true
	}
	return t.change(keys, t.removed)
}

// replace removes the records of a message and puts r in their place.
func (t *tx) replace(r *Record, replaced []Key) error {
	if err := t.remove(replaced); err != nil {
		return err
	}
	return t.put(r)
}

func (t *tx) put(r *Record) error {
	id, err := t.mailbox(&r.Key, true)
	if err != nil {
		return err
	}
	uid, token := []byte(r.UID), cut(r.Token)
	verdicts := ""
	if len(r.Verdicts) > 0 {
		stored := slices.Clone(r.Verdicts)
		for i := range stored {
			stored[i].Reply = cut(stored[i].Reply)
		}
		text, err := json.Marshal(stored)
		if err != nil {
			return err
		}
		verdicts = string(text)
	}
	g := guarded{
		state: []byte(r.State), token: []byte(token), verdicts: []byte(verdicts), recipients: []byte(r.Recipients), fingerprint: r.Fingerprint.bytes(),
		dotSent: flag(r.DotSent), judged: r.Judged, size: r.Size, listed: r.Listed, attempts: int64(r.Attempts), doubts: int64(r.Doubts),
		first: millis(r.First), last: millis(r.Last), next: millis(r.Next), ran: r.Ran.Milliseconds(), acknowledged: millis(r.Acknowledged),
		breaks: int64(r.Breaks), charges: int64(r.Charges), octets: r.Octets,
	}
	_, err = t.insert.Exec(id, uid, r.Hash[:], string(r.State), codeOf(r.Disposed), codeOf(r.Absent), g.size, token, g.attempts, g.doubts,
		g.first, g.last, g.next, g.checksum(id, uid, r.Hash[:]), r.Recipients, verdicts, g.ran, g.listed, g.acknowledged,
		g.breaks, g.charges, g.octets, g.dotSent, g.judged, g.fingerprint,
		cut(r.Client), cut(r.HELO), cut(r.Sender), r.Code, cut(r.Reply), cut(r.QueueID), cut(r.Why),
		cut(r.Heading.From), cut(r.Heading.Subject), cut(r.Heading.MessageID), millis(r.Heading.Date))
	return err
}

// setListed records the size that the listing announces for a message. A record that is damaged stays so.
func (t *tx) setListed(k *Key, size int64) error {
	id, err := t.mailbox(k, false)
	if err != nil {
		return err
	}
	rows, err := t.row.Query(id, []byte(k.UID), k.Hash[:])
	if err != nil {
		return err
	}
	defer rows.Close()
	if !rows.Next() {
		return rows.Err()
	}
	var r row
	if err := rows.Scan(r.into()...); err != nil {
		return err
	}
	if _, _, err := r.sound(schemaVersion); err != nil {
		return nil // whoever reads it is told
	}
	r.listed = size
	sum := r.checksum(r.mailbox, r.uid, r.hash)
	if err := rows.Close(); err != nil {
		return err
	}
	_, err = t.listed.Exec(id, []byte(k.UID), k.Hash[:], size, sum)
	return err
}

func flag(on bool) int64 {
	if on {
		return 1
	}
	return 0
}
