package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Briefs returns the records of one generation of a folder, by UID. It leaves out messages
// that were disposed of and have gone since: an account that deletes what it fetched has many
// of those. They share one backing array: about 270 octets for each message.
func (l *Ledger) Briefs(ctx context.Context, account, folder string, validity uint32) (map[string][]Brief, error) {
	return l.BriefsBut(ctx, account, folder, validity, nil)
}

// BriefsBut returns what [Ledger.Briefs] does, but for the UIDs whose records are at rest, as atRest reports: those take no memory. It is called
// for each UID in turn, and must not use the ledger. nil is for none.
func (l *Ledger) BriefsBut(ctx context.Context, account, folder string, validity uint32, atRest func([]Brief) bool) (map[string][]Brief, error) {
	slab, err := l.briefs(ctx, account, folder, validity, atRest, l.lives())
	if err != nil {
		return nil, err
	}
	return byUID(slab), nil
}

// lives is the condition of Briefs, in the words of the file's version.
func (l *Ledger) lives() string {
	if l.version < 7 {
		return `(disposed = 0 OR absent = 0)`
	}
	return live
}

// byUID makes a map of briefs that are sorted by their UIDs.
func byUID(slab []Brief) map[string][]Brief {
	byUID := make(map[string][]Brief, len(slab))
	for from := 0; from < len(slab); {
		to := from + 1
		for to < len(slab) && slab[to].UID == slab[from].UID {
			to++
		}
		byUID[slab[from].UID] = slab[from:to:to]
		from = to
	}
	return byUID
}

// briefs returns the records that fit a condition and are not at rest, by UID and content.
func (l *Ledger) briefs(ctx context.Context, account, folder string, validity uint32, atRest func([]Brief) bool, condition string, arg ...any) (slab []Brief, err error) {
	defer func() { err = l.unchanged(ctx, err) }()
	from := ` FROM record WHERE mailbox =
		(SELECT id FROM mailbox WHERE account = ? AND folder = ? AND validity = ?)
		AND ` + condition + "\n"
	args := append([]any{account, folder, int64(validity)}, arg...)
	var count int // only a hint: the writer goes on
	if atRest == nil {
		if err := l.db.QueryRowContext(ctx, "SELECT count(*)"+from, args...).Scan(&count); err != nil {
			return nil, l.readError(err)
		}
	}
	rows, err := l.db.QueryContext(ctx, "SELECT "+rowColumns(l.version)+from+"ORDER BY uid, hash", args...)
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	slab = make([]Brief, 0, count)
	group := 0 // where the records of the last UID begin
	var r row
	into := r.into()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, l.readError(err)
		}
		b := Brief{
			UID: string(r.uid), Token: string(r.token), Disposed: r.disposed == flagOn, Absent: r.absent == flagOn,
			Attempts: int(r.attempts), Doubts: int(r.doubts), Size: r.size, Listed: r.listed, Suspect: r.breaks > 0,
			Next: fromMillis(r.next), First: fromMillis(r.first), Ran: time.Duration(r.ran) * time.Millisecond,
			DotSent: r.dotSent != 0, Judged: r.judged,
		}
		copy(b.Fingerprint[:], r.fingerprint)
		if b.State, b.Hash, err = r.sound(l.version); err != nil {
			return nil, l.readError(err)
		}
		if group < len(slab) && slab[group].UID != b.UID {
			slab, group = WithoutThoseAtRest(slab, group, atRest)
		}
		slab = append(slab, b)
	}
	slab, _ = WithoutThoseAtRest(slab, group, atRest)
	return slab, l.readError(rows.Err())
}

// WithoutThoseAtRest returns a slab of briefs without those of its last UID, which begin at group, if they are at rest, and where those of the next one
// begin. It is for homes of the record, see [Ledger.BriefsBut].
func WithoutThoseAtRest(slab []Brief, group int, atRest func([]Brief) bool) ([]Brief, int) {
	if atRest != nil && group < len(slab) && atRest(slab[group:]) {
		return slab[:group], group
	}
	return slab, len(slab)
}

func (l *Ledger) readError(err error) error {
	if err != nil && l.closing.Load() {
		return errClosed()
	}
	path := filepath.Join(l.dir, fileName)
	if errors.Is(err, errUnsound) {
		return &Error{Kind: Corrupt, Op: "cannot be trusted", Path: path, Advice: hintCorrupt, Err: err}
	}
	return failed("cannot be read", path, err)
}

// unchanged returns err, or that another process has brought the file to another format since it was opened: what was read by the
// old one says nothing then. Where the format is still the same afterwards it was so during the reading, for it never goes back.
func (l *Ledger) unchanged(ctx context.Context, err error) error {
	if !l.readOnly || ctx.Err() != nil {
		return err // nobody upgrades a ledger that is open for writing
	}
	var now int64
	if cause := l.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&now); cause != nil {
		return cmp.Or(err, l.readError(cause))
	}
	if now == l.version {
		return err
	}
	return &Error{Kind: Busy, Op: "has been brought to format " + strconv.FormatInt(now, 10) + " since it was opened",
		Path: filepath.Join(l.dir, fileName), Advice: "run the command again"}
}

// ByHash returns the records of a folder, of all generations, that have this content.
func (l *Ledger) ByHash(ctx context.Context, account, folder string, hash [sha256.Size]byte) ([]Record, error) {
	return l.records(ctx, "hash = ? AND account = ? AND folder = ?", 0, hash[:], account, folder)
}

// ByHashAnywhere returns the records of all folders of an account that have this content.
func (l *Ledger) ByHashAnywhere(ctx context.Context, account string, hash [sha256.Size]byte) ([]Record, error) {
	return l.records(ctx, "hash = ? AND account = ?", 0, hash[:], account)
}

// Unfinished returns the records of an account, of all folders and generations, that are sending, deferred, in doubt or lost,
// those changed last first.
func (l *Ledger) Unfinished(ctx context.Context, account string) ([]Record, error) {
	// A + keeps SQLite from reading all records of the account.
	return l.records(ctx, unfinished+" AND +mailbox IN (SELECT id FROM mailbox WHERE account = ?)", 0, account)
}

// List returns the records that f selects, those changed last first.
func (l *Ledger) List(ctx context.Context, f Filter) ([]Record, error) {
	conds, args := []string{"TRUE"}, []any(nil)
	and := func(cond string, arg ...any) {
		conds, args = append(conds, cond), append(args, arg...)
	}
	if f.Account != "" {
		and("mailbox IN (SELECT id FROM mailbox WHERE account = ?)", f.Account)
	}
	if f.UID != "" {
		and("uid = ?", []byte(f.UID))
	}
	if len(f.Tokens) > 0 {
		text, err := json.Marshal(f.Tokens)
		if err != nil {
			return nil, err
		}
		and("token IN (SELECT value FROM json_each(?))", string(text)) // one query for any number: it stays prepared
	}
	if f.Client != "" {
		and("client = ?", f.Client)
	}
	if f.Sender != "" {
		and("sender = ?", f.Sender)
	}
	if f.QueueID != "" {
		and("queueid = ?", f.QueueID)
	}
	if f.MessageID != "" && l.version < 6 {
		and("FALSE") // of none it is known
	} else if f.MessageID != "" {
		and("messageid = ?", f.MessageID)
	}
	if !f.Since.IsZero() {
		and("last >= ?", millis(f.Since))
	}
	if f.Upstream {
		and(l.whereUpstream())
	}
	if f.Unacknowledged && l.version >= 3 {
		and("acknowledged = 0")
	}
	if len(f.States) > 0 {
		var states []any
		for _, s := range f.States {
			states = append(states, string(s))
		}
		and("state IN (?"+strings.Repeat(", ?", len(states)-1)+")", states...)
	}
	return l.records(ctx, strings.Join(conds, " AND "), f.Limit, args...)
}

func (l *Ledger) records(ctx context.Context, where string, limit int, args ...any) (rs []Record, err error) {
	defer func() { err = l.unchanged(ctx, err) }()
	heading := headingColumns
	if l.version < 6 {
		heading = noHeading
	}
	query := "SELECT account, folder, validity, " + shownColumns + ", " + heading + ", " + rowColumns(l.version) + " FROM record" +
		" JOIN (SELECT id, account, folder, validity FROM mailbox) ON id = mailbox" +
		" WHERE " + where + " ORDER BY last DESC, mailbox, uid, hash"
	if limit > 0 {
		query += " LIMIT " + strconv.Itoa(limit)
	}
	rows, err := l.queries.ask(ctx, l.db, query, args...)
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		var dated int64
		var as row
		if err := rows.Scan(append([]any{&r.Account, &r.Folder, &r.Validity, &r.Client, &r.HELO, &r.Sender, &r.Code, &r.Reply, &r.QueueID, &r.Why,
			&r.Heading.From, &r.Heading.Subject, &r.Heading.MessageID, &dated}, as.into()...)...); err != nil {
			return nil, l.readError(err)
		}
		r.UID, r.Token, r.Recipients = string(as.uid), string(as.token), string(as.recipients)
		r.Disposed, r.Absent, r.Size, r.Listed = as.disposed == flagOn, as.absent == flagOn, as.size, as.listed
		r.Attempts, r.Doubts, r.DotSent, r.Judged = int(as.attempts), int(as.doubts), as.dotSent != 0, as.judged
		r.First, r.Last, r.Next = fromMillis(as.first), fromMillis(as.last), fromMillis(as.next)
		r.Ran, r.Acknowledged, r.Heading.Date = time.Duration(as.ran)*time.Millisecond, fromMillis(as.acknowledged), fromMillis(dated)
		r.Breaks, r.Charges, r.Octets = int(as.breaks), int(as.charges), as.octets
		copy(r.Fingerprint[:], as.fingerprint)
		if r.State, r.Hash, err = as.sound(l.version); err != nil {
			return nil, l.readError(err)
		}
		if len(as.verdicts) > 0 && json.Unmarshal(as.verdicts, &r.Verdicts) != nil {
			return nil, l.readError(errUnsound)
		}
		rs = append(rs, r)
	}
	return rs, l.readError(rows.Err())
}

// Generations returns the UIDVALIDITYs under which a folder has records, the
// lowest first.
func (l *Ledger) Generations(ctx context.Context, account, folder string) (validities []uint32, err error) {
	rows, err := l.queries.ask(ctx, l.db, `SELECT validity FROM mailbox WHERE account = ? AND folder = ?
		AND EXISTS (SELECT 1 FROM record WHERE mailbox = id) ORDER BY validity`, account, folder)
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var validity uint32
		if err := rows.Scan(&validity); err != nil {
			return nil, l.readError(err)
		}
		validities = append(validities, validity)
	}
	return validities, l.readError(rows.Err())
}

// Folders returns the folders of an account that have records, by name.
func (l *Ledger) Folders(ctx context.Context, account string) (names []string, err error) {
	rows, err := l.db.QueryContext(ctx, "SELECT DISTINCT folder FROM mailbox WHERE account = ? ORDER BY folder", account)
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, l.readError(err)
		}
		names = append(names, name)
	}
	return names, l.readError(rows.Err())
}

// Turns returns when the folders of an account last had their turn, by name.
func (l *Ledger) Turns(ctx context.Context, account string) (map[string]Turn, error) {
	if l.version == 1 { // it did not record that
		return nil, l.unchanged(ctx, nil)
	}
	rows, err := l.db.QueryContext(ctx, `SELECT folder, max(iif(attempts > 1, 0, ran + 1)), max(iif(attempts > 1, ran + 1, 0)),
		max(state IN ('sending', 'deferred', 'doubt')) FROM mailbox JOIN record ON mailbox = id
		WHERE account = ? AND state <> ? GROUP BY folder`, account, string(Adopted))
	if err != nil {
		return nil, l.readError(err)
	}
	defer rows.Close()
	turns := map[string]Turn{}
	for rows.Next() {
		var folder string
		var first, again int64
		var waiting bool
		if err := rows.Scan(&folder, &first, &again, &waiting); err != nil {
			return nil, l.readError(err)
		}
		turns[folder] = Turn{Waiting: waiting, First: time.Duration(first) * time.Millisecond, Again: time.Duration(again) * time.Millisecond}
	}
	return turns, l.readError(rows.Err())
}

// LastPass returns the last pass that began over account, and when one last
// ended OK. Both are zero if there was none.
func (l *Ledger) LastPass(ctx context.Context, account string) (last Pass, lastSuccess time.Time, err error) {
	var began, ended, success, ok int64
	var failure string
	err = l.db.QueryRowContext(ctx, `SELECT began, ended, ok, listed, delivered, deferred, refused, held, doubt,
		error, success FROM pass WHERE account = ?`, account).Scan(&began, &ended, &ok, &last.Listed,
		&last.Delivered, &last.Deferred, &last.Refused, &last.Held, &last.InDoubt, &failure, &success)
	if errors.Is(err, sql.ErrNoRows) {
		return Pass{}, time.Time{}, nil
	}
	if err != nil {
		return Pass{}, time.Time{}, l.readError(err)
	}
	last.Began, last.Ended, last.OK = fromMillis(began), fromMillis(ended), ok == flag(true)
	last.setFailure(failure)
	return last, fromMillis(success), nil
}
