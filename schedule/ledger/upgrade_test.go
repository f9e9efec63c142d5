package ledger

import (
	"database/sql"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// schemaOf1 is the schema of version 1 as it was.
const schemaOf1 = `
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
	PRIMARY KEY (mailbox, uid, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_hash ON record (hash);
CREATE INDEX record_live ON record (mailbox, uid, hash) WHERE disposed = 0 OR absent = 0;
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
`

// version1 makes a ledger of version 1 in a directory of its own, with these records in mailbox 1.
func version1(t *testing.T, rs ...Record) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rwc", 1, 100))
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(schemaOf1 + "PRAGMA application_id = " + strconv.Itoa(applicationID) + "; PRAGMA user_version = 1; BEGIN")
	m := mailbox{"work", "INBOX", 7}
	exec("INSERT INTO mailbox VALUES (1, ?, ?, ?, ?)", m.account, m.folder, int64(m.validity), m.checksum(1))
	for _, r := range rs {
		sum := crc(1, []byte(r.UID), r.Hash[:], []byte(r.State), []byte(r.Token))
		exec("INSERT INTO record VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", []byte(r.UID), r.Hash[:], string(r.State),
			flag(r.Disposed), flag(r.Absent), r.Size, r.Token, r.Attempts, r.Doubts, millis(r.First), millis(r.Last), millis(r.Next), sum,
			r.Client, r.HELO, r.Sender, r.Recipients, r.Code, r.Reply, r.QueueID, r.Why)
	}
	exec("COMMIT")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// wantStates wants these states, by UID.
func wantStates(t *testing.T, l *Ledger, want map[string]State) {
	t.Helper()
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	for _, r := range list(t, l, Filter{}) {
		if r.State != want[r.UID] || r.Recipients != "b@example.net" || r.Verdicts != nil || r.Ran != FirstFormat {
			t.Errorf("%s is %+v, want it %s and all else as it was", r.UID, r, want[r.UID])
		}
		if b := briefs[r.UID]; len(b) != 1 || b[0].State != r.State || b[0].Token != r.Token {
			t.Errorf("%s in brief is %+v", r.UID, b)
		}
	}
	if len(briefs) != len(want) {
		t.Errorf("%d records, want %d", len(briefs), len(want))
	}
}

func TestUpgradeFromVersion1(t *testing.T) {
	as := func(uid string, s State, code int) Record {
		r := record(uid, s)
		r.Code = code
		return r
	}
	unknown, bare := as("unknown recipient", Refused, 550), as("no enhanced code", Refused, 550)
	unknown.Reply, bare.Reply = "550 5.1.1 no such user", "550  no such user"
	gone := as("refused and deleted", Refused, 451)
	gone.Disposed = true
	dir := version1(t, as("delivered", Delivered, 250), as("deferred", Deferred, 451), as("held", Held, 0), as("sending", Sending, 0),
		as("refused by the MTA", Refused, 554), as("deferred for too long", Refused, 451), as("not sayable", Refused, 0), unknown, bare, gone)
	before := map[string]State{"delivered": Delivered, "deferred": Deferred, "held": Held, "sending": Sending,
		"refused by the MTA": Refused, "deferred for too long": Refused, "not sayable": Refused, "unknown recipient": Refused, "no enhanced code": Refused, "refused and deleted": Refused}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	wantStates(t, looking, before) // status and history need no upgrade
	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}
	after := before
	after["deferred for too long"], after["not sayable"] = Held, Held
	after["unknown recipient"], after["no enhanced code"] = Held, Held
	for range 2 { // it is upgraded once
		l := open(t, dir)
		wantStates(t, l, after)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := open(t, dir)
	parted := record("delivered", PartlyRefused)
	parted.Verdicts = []Verdict{{"b@example.net", Delivered, "250 ok"}}
	put(t, l, parted)
	if _, err := l.Tick(t.Context(), "work", time.Now()); err != nil {
		t.Error(err)
	}
	if got := list(t, l, Filter{States: []State{PartlyRefused}}); len(got) != 1 || len(got[0].Verdicts) != 1 {
		t.Errorf("after the upgrade %+v is there", got)
	}
}

// TestUnfinishedUsesItsIndex: each pass asks, and a ledger of years holds a million records that are finished.
func TestUnfinishedUsesItsIndex(t *testing.T) {
	for name, dir := range map[string]string{"new": t.TempDir(), "upgraded": version1(t, record("0", Deferred))} {
		t.Run(name, func(t *testing.T) {
			l := open(t, dir)
			other := record("another account's", Deferred)
			other.Account = "home"
			put(t, l, record("1", Sending), record("2", Deferred), record("3", Doubt), record("4", Lost), record("5", Delivered), record("6", Held), other)
			found := must[[]Record](t)(l.Unfinished(t.Context(), "work"))
			want := 4
			if name == "upgraded" {
				want++
			}
			if len(found) != want {
				t.Errorf("%d unfinished records, want %d: %+v", len(found), want, found)
			}
			rows := must[*sql.Rows](t)(l.db.Query("EXPLAIN QUERY PLAN SELECT account, folder, validity, "+shownColumns+", "+rowColumns(l.version)+" FROM record"+
				" JOIN (SELECT id, account, folder, validity FROM mailbox) ON id = mailbox WHERE "+unfinished+
				" AND +mailbox IN (SELECT id FROM mailbox WHERE account = ?) ORDER BY last DESC, mailbox, uid, hash", "work"))
			defer rows.Close()
			var plan string
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				plan += detail + "; "
			}
			if !strings.Contains(plan, "record_unfinished") {
				t.Errorf("SQLite reads %s", plan)
			}
		})
	}
}

// An older program that is still at work would not know what the new one writes.
func TestUpgradeWaitsForTheOlderProgram(t *testing.T) {
	dir := version1(t, record("1", Delivered))
	older, alone, err := useDir(t.Context(), dir)
	if err != nil || !alone {
		t.Fatal(alone, err)
	}
	defer older.Close()
	if err := unix.Flock(int(older.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir); KindOf(err) != Busy {
		t.Errorf("Open: %v, want Kind busy", err)
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	defer looking.Close()
	wantStates(t, looking, map[string]State{"1": Delivered})
}

// TestReaderAcrossAnUpgrade: who has the ledger open for reading meanwhile is told so, and neither that there are no messages nor
// that they are damaged.
func TestReaderAcrossAnUpgrade(t *testing.T) {
	ctx := t.Context()
	for name, read := range map[string]func(*Ledger) error{
		"Ran":       func(l *Ledger) error { _, err := l.Ran(ctx, "work"); return err },
		"Turns":     func(l *Ledger) error { _, err := l.Turns(ctx, "work"); return err },
		"Proof":     func(l *Ledger) error { _, err := l.Proof(ctx, "mta"); return err },
		"Trust":     func(l *Ledger) error { _, err := l.Trust(ctx, "work", "INBOX"); return err },
		"Refusal":   func(l *Ledger) error { _, err := l.Refusal(ctx, "work"); return err },
		"Told":      func(l *Ledger) error { _, err := l.Told(ctx, "work"); return err },
		"List":      func(l *Ledger) error { _, err := l.List(ctx, Filter{}); return err },
		"upstream":  func(l *Ledger) error { _, err := l.List(ctx, Filter{Upstream: true}); return err },
		"Briefs":    func(l *Ledger) error { _, err := l.Briefs(ctx, "work", "INBOX", 7); return err },
		"Counts":    func(l *Ledger) error { _, err := l.CountsByAccount(ctx, []string{"work"}); return err },
		"Overviews": func(l *Ledger) error { _, err := l.Overviews(ctx, []string{"work"}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			dir := version1(t, record("1", Deferred))
			looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
			defer looking.Close()
			if err := read(looking); err != nil {
				t.Fatal(err)
			}
			writing := open(t, dir)
			if err := read(looking); KindOf(err) != Busy || !strings.Contains(err.Error(), "format "+strconv.Itoa(schemaVersion)) {
				t.Errorf("%v, want Kind busy and the format", err)
			}
			if rs := must[[]Record](t)(writing.List(t.Context(), Filter{})); len(rs) != 1 {
				t.Errorf("after the upgrade there are %+v", rs)
			}
			again := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
			defer again.Close()
			if err := errors.Join(read(again), read(writing)); err != nil {
				t.Error(err)
			}
		})
	}
}

// What decides who gets a message again is guarded as its state is.
func TestDamagedVerdictIsNoticed(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	parted := record("1", PartlyRefused)
	parted.Verdicts = []Verdict{{"b@example.net", Delivered, "250 ok"}}
	put(t, l, parted)
	if _, err := l.writer.tx.conn.ExecContext(t.Context(), "UPDATE record SET verdicts = replace(verdicts, 'b@', 'c@')"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.List(t.Context(), Filter{}); KindOf(err) != Corrupt {
		t.Errorf("List: %v, want Kind corrupt", err)
	}
	if _, err := l.Briefs(t.Context(), "work", "INBOX", 7); KindOf(err) != Corrupt {
		t.Errorf("Briefs: %v, want Kind corrupt", err)
	}
}

// TestUpgradeFromVersion3: a record has no fingerprint until it is written anew.
func TestUpgradeFromVersion3(t *testing.T) {
	dir := version6(t, record("1", Delivered))
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	if _, err := db.Exec(undoVersion6 + "DROP TABLE login; ALTER TABLE record DROP COLUMN fingerprint; PRAGMA user_version = 3"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	reader := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	if rs := list(t, reader, Filter{}); len(rs) != 1 || rs[0].Fingerprint != (Fingerprint{}) {
		t.Errorf("before the upgrade: %+v", rs)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	r := list(t, l, Filter{})[0]
	if r.Fingerprint != (Fingerprint{}) {
		t.Errorf("made up: %+v", r)
	}
	r.Fingerprint = Fingerprint{1, 2, 3}
	put(t, l, r)
	brief := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))["1"][0]
	if got := list(t, l, Filter{})[0]; got.Fingerprint != r.Fingerprint || brief.Fingerprint != r.Fingerprint {
		t.Errorf("got %v and %v", got.Fingerprint, brief.Fingerprint)
	}
}

// TestUpgradeFromVersion2: what version 2 knew is there, and nothing that it did not know is made up.
func TestUpgradeFromVersion2(t *testing.T) {
	dir := version1(t, record("1", Deferred), record("2", Delivered))
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	conn := must[*sql.Conn](t)(db.Conn(t.Context()))
	if err := upgradeFrom1(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	verdicts := []Verdict{{"b@example.net", Delivered, "250 ok"}}
	text := must[[]byte](t)(json.Marshal(verdicts))
	r := record("2", Delivered)
	for _, change := range []string{
		"UPDATE record SET ran = 7000, verdicts = ?1, sum = ?2 WHERE uid = CAST('2' AS BLOB)", "PRAGMA user_version = 2",
	} {
		args := []any{string(text), crc(1, []byte(r.UID), r.Hash[:], []byte(r.State), []byte(r.Token), text)}
		if !strings.Contains(change, "?") {
			args = nil
		}
		if _, err := conn.ExecContext(t.Context(), change, args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(conn.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	check := func(l *Ledger) {
		t.Helper()
		for _, r := range list(t, l, Filter{Unacknowledged: true}) {
			if r.Listed != 0 || !r.Acknowledged.IsZero() {
				t.Errorf("%s has what version 2 did not know: %+v", r.UID, r)
			}
			if known := r.Ran == 7*time.Second && len(r.Verdicts) == 1; known != (r.UID == "2") {
				t.Errorf("%s: ran %v, verdicts %v", r.UID, r.Ran, r.Verdicts)
			}
		}
		if n := len(must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))); n != 2 {
			t.Errorf("%d records, want 2", n)
		}
		wantTrust(t, l, "INBOX", Complete)
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	check(looking)
	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	check(l)
	if found := must[[]Record](t)(l.Unfinished(t.Context(), "work")); len(found) != 1 || found[0].UID != "1" {
		t.Errorf("unfinished is %+v", found)
	}
}

// TestUpgradeFromVersion8: which mailboxes its records are of it did not know, and a reader is told nothing of them until then.
func TestUpgradeFromVersion8(t *testing.T) {
	dir := t.TempDir()
	l := must[*Ledger](t)(Open(t.Context(), dir))
	put(t, l, record("1", Delivered))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	if _, err := db.Exec("DROP TABLE source; PRAGMA user_version = 8"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	reader := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	if sources := must[map[string]string](t)(reader.Sources(t.Context(), "work")); len(sources) != 0 {
		t.Errorf("before the upgrade: %q", sources)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if rs := list(t, l, Filter{}); len(rs) != 1 || rs[0].State != Delivered {
		t.Errorf("the records are %+v", rs)
	}
	if err := l.SetSource(t.Context(), Source{Account: "work", Folder: "INBOX", Mailbox: "alice at imap.example.com"}); err != nil {
		t.Fatal(err)
	}
	if sources := must[map[string]string](t)(l.Sources(t.Context(), "work")); len(sources) != 1 {
		t.Errorf("after it: %q", sources)
	}
}
