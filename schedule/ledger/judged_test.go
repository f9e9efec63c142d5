package ledger

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"
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

func TestProofCountsClientsSinceARefusal(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const mta, other = "mta", "other"
	wantSince(t, l, mta, 0, 0, 0)
	judge(t, l, "1", Delivered, mta, "203.0.113.1")
	refused := judge(t, l, "2", Refused, mta, "203.0.113.2")
	wantSince(t, l, mta, refused.Judged, 0, 0) // what came before does not count, nor the refusal itself
	wantSince(t, l, mta, 0, 1, 1)
	judge(t, l, "3", Delivered, mta, "203.0.113.3")
	judge(t, l, "4", Delivered, mta, "203.0.113.3") // one client counts once
	judge(t, l, "5", Delivered, mta, "")            // and an unknown one never
	judge(t, l, "6", Refused, mta, "")
	judge(t, l, "7", Delivered, other, "203.0.113.4") // each target for itself
	wantSince(t, l, mta, refused.Judged, 1, 0)
	judge(t, l, "8", Delivered, mta, "203.0.113.2")
	judge(t, l, "9", Refused, mta, "203.0.113.3")
	wantSince(t, l, mta, refused.Judged, 2, 1)
	last := judge(t, l, "10", Refused, mta, "")
	wantSince(t, l, mta, last.Judged, 0, 0)
	judge(t, l, "11", Delivered, mta, "203.0.113.9")
	wantSince(t, l, mta, last.Judged, 1, 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	looking := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	defer looking.Close()
	wantSince(t, looking, mta, refused.Judged, 3, 1)
	if b := must[map[string][]Brief](t)(looking.Briefs(t.Context(), refused.Account, refused.Folder, refused.Validity))["2"]; len(b) != 1 || b[0].Judged != refused.Judged {
		t.Errorf("in brief it is %+v, want judgement %d", b, refused.Judged)
	}
}

// TestRefusalsOfOnePassDoNotCountAgainstOneAnother: what is taken in the same pass counts as soon as it follows.
func TestRefusalsOfOnePassDoNotCountAgainstOneAnother(t *testing.T) {
	l := open(t, t.TempDir())
	judge(t, l, "1", Delivered, "mta", "203.0.113.1")
	pass := must[int64](t)(l.NextJudgement(t.Context()))
	first := judgeIn(t, l, pass, "2", Refused, "mta", "203.0.113.2")
	judgeIn(t, l, pass, "3", Refused, "mta", "203.0.113.3")
	judgeIn(t, l, pass, "4", Delivered, "mta", "203.0.113.4")
	last := judgeIn(t, l, pass, "5", Refused, "mta", "203.0.113.5")
	wantSince(t, l, "mta", first.Judged, 1, 0)
	wantSince(t, l, "mta", last.Judged, 0, 0)
	judge(t, l, "6", Refused, "mta", "203.0.113.3") // the next pass begins right behind it
	wantSince(t, l, "mta", first.Judged, 1, 1)
	wantSince(t, l, "mta", last.Judged, 0, 1)
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

func TestAJudgementThatIsNotRecordedDoesNotCount(t *testing.T) {
	l := open(t, t.TempDir())
	if err := l.PutJudged(t.Context(), record("1", "odd"), nil, Judgement{Target: "mta", Client: "203.0.113.1", Taken: true}); KindOf(err) != Invalid {
		t.Errorf("a state that does not exist: %v", err)
	}
	wantSince(t, l, "mta", 0, 0, 0)
}

func TestClockIsReadWithoutMovingIt(t *testing.T) {
	l := open(t, t.TempDir())
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if ran := must[time.Duration](t)(l.Ran(t.Context(), "work")); ran != 0 {
		t.Errorf("before the first pass it ran for %v", ran)
	}
	for _, at := range []time.Time{now, now.Add(time.Hour)} {
		must[time.Duration](t)(l.Tick(t.Context(), "work", at))
	}
	if ran := must[time.Duration](t)(l.Ran(t.Context(), "work")); ran != time.Hour {
		t.Errorf("it ran for %v, want an hour", ran)
	}
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
