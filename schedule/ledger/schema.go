package ledger

import (
	"context"
	"database/sql"
	"encoding/binary"
	"hash/crc32"
	"net/url"
	"strconv"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// applicationID marks the file as a ledger: "Thop".
const applicationID = 0x54686f70

// schemaVersion is the user_version that this program writes. It reads versions 1 to 8 as well, and
// makes them this one when it opens them for writing.
const schemaVersion = 9

// schema is version 9. Times are milliseconds since 1970, 0 for none. UID is
// a BLOB because it is any octets. What guards a record is told in row.go. A mailbox is
// found by reading them all: they are few, and a damaged index would hide one.
const schema = `
CREATE TABLE opened (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
INSERT INTO opened VALUES (1, 0);
CREATE TABLE mailbox (
	id       INTEGER PRIMARY KEY,
	account  TEXT NOT NULL,
	folder   TEXT NOT NULL,
	validity INTEGER NOT NULL,
	sum      INTEGER NOT NULL
) STRICT;
CREATE TABLE record (
	mailbox    INTEGER NOT NULL,
	uid        BLOB NOT NULL,
	hash       BLOB NOT NULL,
	state      TEXT NOT NULL,
	disposed   INTEGER NOT NULL,
	absent     INTEGER NOT NULL,
	size       INTEGER NOT NULL,
	token      TEXT NOT NULL,
	attempts   INTEGER NOT NULL,
	doubts     INTEGER NOT NULL,
	first      INTEGER NOT NULL,
	last       INTEGER NOT NULL,
	next       INTEGER NOT NULL,
	sum        INTEGER NOT NULL,
	client     TEXT NOT NULL,
	helo       TEXT NOT NULL,
	sender     TEXT NOT NULL,
	recipients TEXT NOT NULL,
	code       INTEGER NOT NULL,
	reply      TEXT NOT NULL,
	queueid    TEXT NOT NULL,
	why        TEXT NOT NULL,
	verdicts   TEXT NOT NULL DEFAULT '',
	ran        INTEGER NOT NULL DEFAULT 0,
	listed     INTEGER NOT NULL DEFAULT 0,
	acknowledged INTEGER NOT NULL DEFAULT 0,
	breaks     INTEGER NOT NULL DEFAULT 0,
	charges    INTEGER NOT NULL DEFAULT 0,
	octets     INTEGER NOT NULL DEFAULT 0,
	dotsent    INTEGER NOT NULL DEFAULT 0,
	judged     INTEGER NOT NULL DEFAULT 0,
	fingerprint BLOB NOT NULL DEFAULT x'',
	author     TEXT NOT NULL DEFAULT '',
	subject    TEXT NOT NULL DEFAULT '',
	messageid  TEXT NOT NULL DEFAULT '',
	dated      INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (mailbox, uid, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_hash ON record (hash);
CREATE TABLE pass (
	account   TEXT PRIMARY KEY,
	began     INTEGER NOT NULL,
	ended     INTEGER NOT NULL,
	ok        INTEGER NOT NULL,
	listed    INTEGER NOT NULL,
	delivered INTEGER NOT NULL,
	deferred  INTEGER NOT NULL,
	refused   INTEGER NOT NULL,
	held      INTEGER NOT NULL,
	doubt     INTEGER NOT NULL,
	error     TEXT NOT NULL,
	success   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
` + schemaClock + schemaOf3 + schemaJudged + schemaLogin + schemaTold + schemaListing + schemaSource

// schemaClock is the table of [Ledger.Tick], in milliseconds.
const schemaClock = `
CREATE TABLE clock (
	account TEXT PRIMARY KEY,
	at      INTEGER NOT NULL,
	ran     INTEGER NOT NULL,
	latest  INTEGER NOT NULL,
	base    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// schemaOf3 is what version 3 has beside new columns: an index of what [Ledger.Unfinished] returns, and the tables
// of [Ledger.Trust].
const schemaOf3 = `
CREATE INDEX record_unfinished ON record (mailbox, uid, hash) WHERE ` + unfinished + `;
CREATE TABLE origin (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	inode    INTEGER NOT NULL,
	born     INTEGER NOT NULL,
	restores INTEGER NOT NULL
) STRICT;
INSERT INTO origin VALUES (1, 0, 0, 0);
CREATE TABLE caught_up (
	account  TEXT NOT NULL,
	folder   TEXT NOT NULL,
	restores INTEGER NOT NULL,
	PRIMARY KEY (account, folder)
) STRICT, WITHOUT ROWID;
`

// unfinished is the condition of [Ledger.Unfinished]. SQLite uses an index for it only if it has the same words.
const unfinished = `state IN ('sending', 'deferred', 'doubt', 'lost')`

// connect opens path with the given URI mode ("ro", "rw"), at most conns
// connections of cacheKiB page cache each.
func connect(path, mode string, conns, cacheKiB int, pragmas ...string) (*sql.DB, error) {
	q := url.Values{
		"mode": {mode},
		"_pragma": append([]string{
			"busy_timeout(10000)",
			"trusted_schema(0)",
			"cell_size_check(1)",
			"temp_store(MEMORY)",
			"cache_size(-" + strconv.Itoa(cacheKiB) + ")",
		}, pragmas...),
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// connectWriter opens path for its only writing connection.
func connectWriter(path string) (*sql.DB, error) {
	return connect(path, "rw", 1, 2048,
		"journal_mode(WAL)", "synchronous(FULL)",
		"wal_autocheckpoint("+strconv.Itoa(walPages)+")",
		// A bulk write leaves a large WAL; cut it back once it is checkpointed.
		"journal_size_limit("+strconv.Itoa(walSize)+")")
}

// verify refuses a database that is no ledger, or one of a version that is not known, and returns
// the version. It reads only.
func verify(ctx context.Context, db *sql.DB, path string) (version int64, err error) {
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return 0, failed("cannot be read", path, err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, failed("cannot be read", path, err)
	}
	switch {
	case id != applicationID:
		return 0, &Error{Kind: Corrupt, Op: "is a database, but not a ledger", Path: path, Advice: hintCorrupt}
	case version > schemaVersion:
		return 0, &Error{Kind: Version, Op: "has format " + strconv.FormatInt(version, 10) +
			", newer than " + strconv.Itoa(schemaVersion), Path: path, Advice: hintVersion}
	case version < 1:
		return 0, &Error{Kind: Corrupt, Op: "has format " + strconv.FormatInt(version, 10) +
			", which never was", Path: path, Advice: hintCorrupt}
	}
	// All records of a damaged mailbox would be out of sight.
	rows, err := db.QueryContext(ctx, "SELECT id, account, folder, validity, sum FROM mailbox")
	if err != nil {
		return version, failed("cannot be read", path, err)
	}
	defer rows.Close()
	for rows.Next() {
		var m mailbox
		var id, validity, sum int64
		if err := rows.Scan(&id, &m.account, &m.folder, &validity, &sum); err != nil {
			return version, failed("cannot be read", path, err)
		}
		m.validity = uint32(validity)
		if int64(m.validity) != validity || m.checksum(id) != sum {
			return version, &Error{Kind: Corrupt, Op: "cannot be trusted: a mailbox is damaged", Path: path, Advice: hintCorrupt}
		}
	}
	return version, failed("cannot be read", path, rows.Err())
}

// checkDatabase reads the whole file and refuses one that is damaged. It holds the indexes against the table, too
// (quick_check would not): one that is damaged hides records, and what they say was delivered would be delivered again.
func checkDatabase(ctx context.Context, db *sql.DB, path string) error {
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&said); err != nil {
		return failed("cannot be checked", path, err)
	}
	if said != "ok" {
		return &Error{Kind: Corrupt, Op: "is damaged: " + cut(said), Path: path, Advice: hintCorrupt}
	}
	var orphans bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM record
		WHERE mailbox NOT IN (SELECT id FROM mailbox))`).Scan(&orphans); err != nil {
		return failed("cannot be checked", path, err)
	}
	if orphans {
		return &Error{Kind: Corrupt, Op: "is damaged: records belong to no mailbox", Path: path, Advice: hintCorrupt}
	}
	return nil
}

func (m *mailbox) checksum(id int64) int64 {
	return crc(id, []byte(m.account), []byte(m.folder), binary.BigEndian.AppendUint32(nil, m.validity))
}

func crc(id int64, parts ...[]byte) int64 {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 128), uint64(id))
	for _, part := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// cut bounds a text before it is stored or shown.
func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}
