package ledger

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// change executes a statement in the file of a ledger that is closed.
func change(t *testing.T, dir, query string) {
	t.Helper()
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// TestFlagThatIsNoneIsDamage: a record whose flag is neither on nor off is told as any other that is damaged, and stops no write.
func TestFlagThatIsNoneIsDamage(t *testing.T) {
	for _, damage := range []string{"dotsent = 2", "dotsent = -1", "dotsent = 257"} {
		t.Run(damage, func(t *testing.T) {
			l := open(t, t.TempDir())
			damaged := record("1", Delivered)
			put(t, l, damaged)
			change(t, l.dir, "UPDATE record SET "+damage)
			wantDamaged(t, l)
			if err := l.SetListed(t.Context(), damaged.Key, 4711); err != nil {
				t.Errorf("SetListed: %v", err)
			}
			wantDamaged(t, l)
			put(t, l, damaged)
			if briefs := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7)); len(briefs["1"]) != 1 {
				t.Errorf("written anew, a pass sees %+v", briefs)
			}
		})
	}
}

// TestDamagedValueBesideTheRecords: what no sum guards is read as far as it says something, and a mailbox that cannot be is damaged.
func TestDamagedValueBesideTheRecords(t *testing.T) {
	l := open(t, t.TempDir())
	put(t, l, record("1", Delivered))
	if err := errors.Join(l.PassEnded(t.Context(), "work", Pass{Began: time.UnixMilli(1), Ended: time.UnixMilli(2), OK: true, Listed: 1}),
		l.SetRefusal(t.Context(), "work", Refusal{Times: 3, Told: true})); err != nil {
		t.Fatal(err)
	}
	change(t, l.dir, "UPDATE pass SET ok = 3; UPDATE login SET told = 3")
	if last, _, err := l.LastPass(t.Context(), "work"); err != nil || last.OK || last.Listed != 1 {
		t.Errorf("LastPass: %+v, %v, want a pass that is not known to be OK", last, err)
	}
	if r, err := l.Refusal(t.Context(), "work"); err != nil || r.Times != 3 {
		t.Errorf("Refusal: %+v, %v", r, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, l.dir, "UPDATE mailbox SET validity = validity | (1 << 32)")
	refused(t, l.dir, Corrupt, "a mailbox is damaged")
}

// wantDamaged wants a damaged record to be told by all that could act on it.
func wantDamaged(t *testing.T, l *Ledger) {
	t.Helper()
	if rs, err := l.List(t.Context(), Filter{Upstream: true}); KindOf(err) != Corrupt {
		t.Errorf("List: %+v, %v, want Kind corrupt", rs, err)
	}
	if briefs, err := l.Briefs(t.Context(), "work", "INBOX", 7); KindOf(err) != Corrupt {
		t.Errorf("Briefs: %+v, %v, want Kind corrupt", briefs, err)
	}
}

// TestDamagedFlagHidesNothing: a message is settled and gone only where its record says exactly that. 0 and 1 were the flags of
// older versions, and differ by one bit.
func TestDamagedFlagHidesNothing(t *testing.T) {
	for _, damage := range []string{"disposed = 0", "disposed = 1", "absent = 0", "absent = 1", "absent = -1", "disposed = absent + 1",
		"absent = " + sqlOn + " & 0xffffff", "disposed = " + sqlOff + " | 0xff", "disposed = 1, absent = 1"} {
		t.Run(damage, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			damaged := record("1", Delivered)
			damaged.Disposed = strings.HasPrefix(damage, "absent")
			damaged.Absent = strings.HasPrefix(damage, "disposed")
			put(t, l, damaged)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			change(t, dir, "UPDATE record SET "+damage)
			l = open(t, dir)
			if briefs, err := l.Briefs(t.Context(), "work", "INBOX", 7); KindOf(err) != Corrupt {
				t.Errorf("Briefs: %+v, %v, want Kind corrupt", briefs, err)
			}
			if rs, err := l.List(t.Context(), Filter{}); KindOf(err) != Corrupt {
				t.Errorf("List: %+v, %v, want Kind corrupt", rs, err)
			}
		})
	}
}

// TestCodeOfFlags: no damage to one octet makes one code of the other, or of a flag of older versions.
func TestCodeOfFlags(t *testing.T) {
	if strconv.Itoa(flagOff) != sqlOff || strconv.Itoa(flagOn) != sqlOn {
		t.Fatalf("SQLite is told %s and %s, the program %d and %d", sqlOff, sqlOn, flagOff, flagOn)
	}
	codes := []int32{flagOff, flagOn, 0, 1} // a code takes four octets, which is serial type 4
	for i, a := range codes[:2] {
		for _, b := range codes[i+1:] {
			for shift := 0; shift < 32; shift += 8 {
				if byte(a>>shift) == byte(b>>shift) {
					t.Errorf("%#x and %#x have octet %d in common", uint32(a), uint32(b), shift/8)
				}
			}
		}
	}
}

// TestEverythingDecisiveIsGuarded: whatever a pass decides by, damage to it is told; what only a person is shown stops nothing.
func TestEverythingDecisiveIsGuarded(t *testing.T) {
	shown := " " + strings.ReplaceAll(shownColumns+", "+headingColumns, ",", "") + " "
	dir := t.TempDir()
	l := open(t, dir)
	columns := must[*sql.Rows](t)(l.db.Query("SELECT name, type FROM pragma_table_info('record')"))
	kinds := map[string]string{}
	for columns.Next() {
		var name, kind string
		if err := columns.Scan(&name, &kind); err != nil {
			t.Fatal(err)
		}
		kinds[name] = kind
	}
	if err := columns.Close(); err != nil || len(kinds) < 30 {
		t.Fatalf("%d columns: %v", len(kinds), err)
	}
	for name, kind := range kinds {
		put(t, l, record("1", Delivered))
		to := map[string]string{"INTEGER": "1 - " + name, "TEXT": "'x' || " + name, "BLOB": "x'00'"}[kind]
		if name == "mailbox" {
			to = "2"
			put(t, l, Record{Key: Key{Account: "work", Folder: "INBOX", Validity: 8}, State: Adopted})
		}
		if _, err := l.writer.tx.conn.ExecContext(t.Context(), "UPDATE record SET "+name+" = "+to+" WHERE token = 'tok-1'"); err != nil {
			t.Fatal(err)
		}
		_, err := l.List(t.Context(), Filter{})
		if told, want := KindOf(err) == Corrupt, !strings.Contains(shown, " "+name+" "); told != want {
			t.Errorf("%s changed: %v, told is to be %v", name, err, want)
		}
		if _, err := l.writer.tx.conn.ExecContext(t.Context(), "DELETE FROM record"); err != nil {
			t.Fatal(err)
		}
	}
}
