package ledger

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
)

// judge records that a target took or refused mail of a client, in a pass of its own, and returns the record.
func judge(t *testing.T, l *Ledger, uid string, s State, target, client string) Record {
	t.Helper()
	pass := must[int64](t)(l.NextJudgement(t.Context()))
	return judgeIn(t, l, pass, uid, s, target, client)
}

// judgeIn is judge in the pass that began at this number.
func judgeIn(t *testing.T, l *Ledger, pass int64, uid string, s State, target, client string) Record {
	t.Helper()
	if err := l.PutJudged(t.Context(), record(uid, s), nil, Judgement{Target: target, Client: client, Taken: s == Delivered, Pass: pass}); err != nil {
		t.Fatal(err)
	}
	found := list(t, l, Filter{UID: uid})
	if len(found) != 1 || found[0].State != s {
		t.Fatalf("of %s there is %+v", uid, found)
	}
	return found[0]
}

// wantSince wants so many clients taken and refused by target since a judgement.
func wantSince(t *testing.T, l *Ledger, target string, judged int64, taken, refused int) {
	t.Helper()
	if gotTaken, gotRefused := must[Proof](t)(l.Proof(t.Context(), target)).Since(judged); gotTaken != taken || gotRefused != refused {
		t.Errorf("%s since %d: %d taken and %d refused, want %d and %d", target, judged, gotTaken, gotRefused, taken, refused)
	}
}

// TestProofIsBounded: a mailbox that gets mail of ever new clients does not fill the ledger.
func TestProofIsBounded(t *testing.T) {
	l := open(t, t.TempDir())
	first := judge(t, l, "1", Refused, "mta", "203.0.113.1")
	// As if all but the last judgements had been long ago.
	if _, err := l.writer.tx.conn.ExecContext(t.Context(), "INSERT INTO judged VALUES ('mta', '203.0.113.2', ?1, 0, ?1)", first.Judged+judgementsKept-1); err != nil {
		t.Fatal(err)
	}
	wantSince(t, l, "mta", 0, 1, 1)
	judge(t, l, "2", Delivered, "mta", "203.0.113.3")
	wantSince(t, l, "mta", 0, 2, 0)
}

// TestVersion2KnewNoJudgements adds what version 3 has to a ledger that version 2 wrote.
func TestVersion2KnewNoJudgements(t *testing.T) {
	parted := record("1", PartlyRefused)
	parted.Verdicts = []Verdict{{"b@example.net", Delivered, "250 ok"}}
	dir := version6(t, parted, record("2", Refused))
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	undo := undoVersion6 + "DROP TABLE login; DROP INDEX record_unfinished; DROP TABLE judged; DROP TABLE origin; DROP TABLE caught_up; PRAGMA user_version = 2"
	for _, column := range []string{"listed", "acknowledged", "breaks", "charges", "octets", "dotsent", "judged", "fingerprint"} {
		undo += "; ALTER TABLE record DROP COLUMN " + column
	}
	if _, err := db.Exec(undo); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	same := func(l *Ledger) {
		t.Helper()
		found := fmt.Sprint(len(list(t, l, Filter{})))
		for _, r := range list(t, l, Filter{}) {
			found += fmt.Sprintf(", %s %s %d %v %d", r.UID, r.State, len(r.Verdicts), r.DotSent, r.Judged)
		}
		if want := "2, 1 partly-refused 1 false 0, 2 refused 0 false 0"; found != want {
			t.Errorf("found %s, want %s", found, want)
		}
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	same(looking)
	wantSince(t, looking, "mta", 0, 0, 0)
	if err := looking.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	same(l)
	judge(t, l, "3", Delivered, "mta", "203.0.113.1")
	wantSince(t, l, "mta", 0, 1, 0)
}

// TestDamagedProofIsNoticed: what decides whether a message is labelled, or deleted, is guarded as its state is.
func TestDamagedProofIsNoticed(t *testing.T) {
	for column, change := range map[string]string{"dotsent": "1 - dotsent", "judged": "judged - 1"} {
		for _, before := range []bool{false, true} {
			l := open(t, t.TempDir())
			r := record("1", Refused)
			r.DotSent = before
			r.Judged = int64(len(strconv.FormatBool(before)))
			put(t, l, r)
			if got := list(t, l, Filter{}); len(got) != 1 || got[0].DotSent != r.DotSent || got[0].Judged != r.Judged {
				t.Errorf("stored %+v, want %+v", got, r)
			}
			if _, err := l.writer.tx.conn.ExecContext(t.Context(), "UPDATE record SET "+column+" = "+change); err != nil {
				t.Fatal(err)
			}
			if _, err := l.List(t.Context(), Filter{}); KindOf(err) != Corrupt {
				t.Errorf("%s changed from %v: List: %v, want Kind corrupt", column, before, err)
			}
		}
	}
}
