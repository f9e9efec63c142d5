package ledger

import (
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// schemaOf6 is the schema of version 6 as it was.
const schemaOf6 = `
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

CREATE TABLE clock (
	account TEXT PRIMARY KEY,
	at      INTEGER NOT NULL,
	ran     INTEGER NOT NULL,
	latest  INTEGER NOT NULL,
	base    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX record_unfinished ON record (mailbox, uid, hash) WHERE state IN ('sending', 'deferred', 'doubt', 'lost');
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
CREATE TABLE judged (
	target  TEXT NOT NULL,
	client  TEXT NOT NULL,
	taken   INTEGER NOT NULL,
	refused INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	PRIMARY KEY (target, client)
) STRICT, WITHOUT ROWID;
CREATE INDEX judged_last ON judged (last);
CREATE TABLE login (
	account TEXT PRIMARY KEY,
	times   INTEGER NOT NULL,
	last    INTEGER NOT NULL,
	next    INTEGER NOT NULL,
	told    INTEGER NOT NULL,
	basis   TEXT NOT NULL,
	reason  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE told (
	account TEXT PRIMARY KEY,
	what    TEXT NOT NULL,
	since   INTEGER NOT NULL,
	at      INTEGER NOT NULL,
	times   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// undoVersion6 takes from a ledger of version 6 what version 5 did not have.
const undoVersion6 = `DROP TABLE told; ALTER TABLE record DROP COLUMN author; ALTER TABLE record DROP COLUMN subject;
	ALTER TABLE record DROP COLUMN messageid; ALTER TABLE record DROP COLUMN dated;`

// version6 makes a ledger of version 6 in a directory of its own, with these records in mailbox 1.
func version6(t *testing.T, rs ...Record) (dir string) {
	t.Helper()
	dir = t.TempDir()
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rwc", 1, 100))
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(schemaOf6 + "PRAGMA application_id = " + strconv.Itoa(applicationID) + "; PRAGMA user_version = 6; BEGIN")
	m := mailbox{"work", "INBOX", 7}
	exec("INSERT INTO mailbox VALUES (1, ?, ?, ?, ?)", m.account, m.folder, int64(m.validity), m.checksum(1))
	for _, r := range rs {
		guarded := [][]byte{[]byte(r.UID), r.Hash[:], []byte(r.State), []byte(r.Token)}
		var verdicts []byte
		if r.Verdicts != nil {
			verdicts = must[[]byte](t)(json.Marshal(r.Verdicts))
		}
		judged := r.DotSent || r.Judged != 0
		if r.Verdicts != nil || judged {
			guarded = append(guarded, verdicts)
		}
		if judged {
			guarded = append(guarded, binary.BigEndian.AppendUint64([]byte{byte(flag(r.DotSent))}, uint64(r.Judged)))
		}
		exec("INSERT INTO record VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			[]byte(r.UID), r.Hash[:], string(r.State), flag(r.Disposed), flag(r.Absent), r.Size, r.Token, r.Attempts, r.Doubts,
			millis(r.First), millis(r.Last), millis(r.Next), crc(1, guarded...),
			r.Client, r.HELO, r.Sender, r.Recipients, r.Code, r.Reply, r.QueueID, r.Why, string(verdicts), r.Ran.Milliseconds(), r.Listed,
			millis(r.Acknowledged), r.Breaks, r.Charges, r.Octets, flag(r.DotSent), r.Judged, r.Fingerprint.bytes(),
			r.Heading.From, r.Heading.Subject, r.Heading.MessageID, millis(r.Heading.Date))
	}
	exec("COMMIT")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUpgradeFromVersion6: every record is as it was, before the upgrade and after it, those that are hidden from a pass too, and
// what is damaged is told as it was.
func TestUpgradeFromVersion6(t *testing.T) {
	var rs []Record
	all := States()
	for n := range 2*upgradeBatch + 3 { // more than are in memory at once
		r := record(strconv.Itoa(n), all[n%len(all)])
		r.Disposed, r.Absent = n&1 != 0, n&2 != 0
		if n%3 == 0 {
			r.Listed, r.Ran, r.Judged, r.Octets, r.Breaks, r.Charges = 1240, 127*time.Millisecond, 5, 300, 2, 1
			r.DotSent, r.Fingerprint, r.Acknowledged, r.Heading = true, Fingerprint{1, 2, 3}, r.Last, heading()
			r.Verdicts = []Verdict{{"b@example.net", Delivered, "250 ok"}}
		}
		rs = append(rs, r)
	}
	dir := version6(t, rs...)
	check := func(l *Ledger) {
		t.Helper()
		found := map[string]Record{}
		for _, r := range list(t, l, Filter{}) {
			found[r.UID] = r
		}
		briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
		upstream := 0
		for _, want := range rs {
			if got := found[want.UID]; !reflect.DeepEqual(got, want) {
				t.Errorf("found %+v, want %+v", got, want)
			}
			settled := want.Disposed && want.Absent
			if got := briefs[want.UID]; len(got) == 0 != settled {
				t.Errorf("of %s a pass sees %+v", want.UID, got)
			}
			if !want.Disposed && !want.Absent {
				upstream++
			}
		}
		if got := len(list(t, l, Filter{Upstream: true})); got != upstream || len(found) != len(rs) {
			t.Errorf("%d are upstream of %d, want %d of %d", got, len(found), upstream, len(rs))
		}
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	check(looking)
	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it is upgraded once
		l := open(t, dir)
		check(l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageOutlivesTheUpgrade: the upgrade makes no sum that fits what is damaged.
func TestDamageOutlivesTheUpgrade(t *testing.T) {
	for _, damage := range []string{"token = 'other'", "disposed = 2", "absent = -1", "sum = sum + 1", "dotsent = 2", "dotsent = 257"} {
		t.Run(damage, func(t *testing.T) {
			damaged := record("2", Delivered)
			damaged.DotSent = true
			dir := version6(t, record("1", Delivered), damaged)
			change(t, dir, "UPDATE record SET "+damage+" WHERE uid = CAST('2' AS BLOB)")
			for range 2 {
				l := open(t, dir)
				wantDamaged(t, l)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestDamageOutlivesTheUpgradeFromVersion1: nor does the first upgrade, which changes the state of records.
func TestDamageOutlivesTheUpgradeFromVersion1(t *testing.T) {
	damaged := record("2", Refused)
	damaged.Code = 451 // which makes it held
	dir := version1(t, record("1", Delivered), damaged)
	change(t, dir, "UPDATE record SET token = 'other' WHERE uid = CAST('2' AS BLOB)")
	for range 2 {
		l := open(t, dir)
		wantDamaged(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpgradeThatDoesNotFindARecordIsUndone: what the upgrade does not come to in the order of the keys would count as damaged for
// ever: here it stands before the first mailbox that there can be.
func TestUpgradeThatDoesNotFindARecordIsUndone(t *testing.T) {
	dir := version6(t, record("1", Delivered), record("2", Delivered))
	first := mailbox{"work", "INBOX", 8}
	change(t, dir, fmt.Sprintf("INSERT INTO mailbox (id, account, folder, validity, sum) VALUES (%d, 'work', 'INBOX', 8, %d);"+
		" UPDATE record SET mailbox = %[1]d WHERE uid = CAST('2' AS BLOB)", int64(math.MinInt64), first.checksum(math.MinInt64)))
	if _, err := Open(t.Context(), dir); KindOf(err) != Corrupt || !strings.Contains(err.Error(), "1 of 2 are found in the order of their keys") {
		t.Fatalf("Open: %v, want Kind corrupt and the reason", err)
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	if looking.version != 6 {
		t.Errorf("the ledger has version %d", looking.version)
	}
	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHashOfAnotherLengthIsDamage: even where the sum fits.
func TestHashOfAnotherLengthIsDamage(t *testing.T) {
	for _, length := range []int{0, 31, 33} {
		r := row{mailbox: 1, uid: []byte("1"), hash: make([]byte, length), disposed: flagOff, absent: flagOff, guarded: guarded{state: []byte(Delivered)}}
		r.sum = r.checksum(r.mailbox, r.uid, r.hash)
		if s, _, err := r.sound(schemaVersion); !errors.Is(err, errUnsound) {
			t.Errorf("%d octets: %q, %v", length, s, err)
		}
	}
	r := row{mailbox: 1, uid: []byte("1"), hash: make([]byte, 32), disposed: flagOff, absent: flagOff, guarded: guarded{state: []byte(Delivered)}}
	r.sum = r.checksum(r.mailbox, r.uid, r.hash)
	if s, _, err := r.sound(schemaVersion); s != Delivered || err != nil {
		t.Errorf("32 octets: %q, %v", s, err)
	}
}

// wantNoUID wants n records without a UID, each of them once in a brief and each of them still to be changed by its key.
func wantNoUID(t *testing.T, l *Ledger, n int) {
	t.Helper()
	if briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))[""]; len(briefs) != n {
		t.Fatalf("a pass sees %d records without a UID, want %d", len(briefs), n)
	}
	var keys []Key
	for _, r := range list(t, l, Filter{}) {
		if r.UID == "" {
			keys = append(keys, r.Key)
		}
	}
	if err := errors.Join(l.SetListed(t.Context(), keys[0], 4711), l.SetDisposed(t.Context(), keys), l.SetAbsent(t.Context(), keys[1:], true)); err != nil {
		t.Fatal(err)
	}
	briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))[""]
	if len(briefs) != 1 || briefs[0].Hash != keys[0].Hash || briefs[0].Listed != 4711 || !briefs[0].Disposed {
		t.Errorf("after the change a pass sees %+v", briefs)
	}
	if err := l.Remove(t.Context(), keys); err != nil {
		t.Fatal(err)
	}
	for _, r := range list(t, l, Filter{}) {
		if r.UID == "" {
			t.Fatalf("%+v was not removed", r)
		}
	}
}

// withoutUID returns n records as an account has them whose server gives no UIDs.
func withoutUID(n int, s State) (rs []Record) {
	for i := range n {
		r := record("", s)
		binary.BigEndian.PutUint32(r.Hash[:], uint32(i))
		rs = append(rs, r)
	}
	return rs
}

// TestUpgradeWithoutUIDs: a POP3 server without UIDL leaves the hash alone to tell its messages apart. The records of the mailbox
// behind them are upgraded, too.
func TestUpgradeWithoutUIDs(t *testing.T) {
	const many = 2*upgradeBatch + 5
	for name, ledgerOf := range map[string]func(*testing.T, ...Record) string{"version 1": version1, "version 6": version6} {
		t.Run(name, func(t *testing.T) {
			dir := ledgerOf(t, append(withoutUID(many, Held), record("1", Deferred), record("2", Held))...)
			l := open(t, dir)
			briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
			if len(briefs["1"]) != 1 || len(briefs["2"]) != 1 {
				t.Errorf("of those with a UID a pass sees %+v and %+v", briefs["1"], briefs["2"])
			}
			wantNoUID(t, l, many)
		})
	}
}

// TestUpgradeHoldsWhatHasNoUID: what version 1 called refused is held, whether the server gave it a UID or not.
func TestUpgradeHoldsWhatHasNoUID(t *testing.T) {
	rs := withoutUID(3, Refused)
	for i := range rs {
		rs[i].Code = 451
	}
	l := open(t, version1(t, rs...))
	if held := list(t, l, Filter{States: []State{Held}}); len(held) != len(rs) {
		t.Errorf("%d of %d are held", len(held), len(rs))
	}
}

// TestUpgradeThatMissesARecordIsUndone: a record that is not found by the key that it was read with would count as damaged for ever.
func TestUpgradeThatMissesARecordIsUndone(t *testing.T) {
	for name, ledgerOf := range map[string]func(*testing.T, ...Record) string{"1": version1, "6": version6} {
		t.Run("version "+name, func(t *testing.T) {
			refused := record("2", Refused)
			refused.Code = 451
			dir := ledgerOf(t, record("1", Delivered), refused)
			change(t, dir, `CREATE TRIGGER missed BEFORE UPDATE ON record WHEN OLD.uid = CAST('2' AS BLOB) BEGIN SELECT RAISE(IGNORE); END`)
			_, err := Open(t.Context(), dir)
			if KindOf(err) != Corrupt || !strings.Contains(err.Error(), "not found by its key") || !strings.Contains(err.Error(), "format "+strconv.Itoa(schemaVersion)) {
				t.Fatalf("Open: %v, want Kind corrupt and the reason", err)
			}
			looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
			if strconv.FormatInt(looking.version, 10) != name || len(list(t, looking, Filter{States: []State{Delivered, Refused}})) != 2 {
				t.Errorf("the ledger has version %d", looking.version)
			}
			if err := looking.Close(); err != nil {
				t.Fatal(err)
			}
			change(t, dir, "DROP TRIGGER missed")
			if rs := list(t, open(t, dir), Filter{}); len(rs) != 2 {
				t.Errorf("%d records, want 2", len(rs))
			}
		})
	}
}
