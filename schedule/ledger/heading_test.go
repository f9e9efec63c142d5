package ledger

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

// heading is one with all its parts.
func heading() Heading {
	return Heading{From: "Zoë <zoe@example.org>", Subject: "Grüße", MessageID: "1@example.org", Date: time.UnixMilli(1_700_000_000_000)}
}

// TestUpgradeFromVersion5: its records have no heading, can be read before it is upgraded, and get one when they are written
// anew; its refusals stay, and nothing was told.
func TestUpgradeFromVersion5(t *testing.T) {
	r := record("1", Deferred)
	r.Fingerprint = Fingerprint{1, 2, 3}
	dir := version6(t, r)
	refused := Refusal{Times: 1, Last: time.UnixMilli(1), Next: time.UnixMilli(2)}
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	if _, err := db.Exec("INSERT INTO login VALUES ('work', 1, 1, 2, 0, '', '');" + undoVersion6 + "PRAGMA user_version = 5"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(l *Ledger) {
		t.Helper()
		rs := list(t, l, Filter{})
		if len(rs) != 1 || rs[0].Heading != (Heading{}) || rs[0].Fingerprint != r.Fingerprint {
			t.Errorf("it holds %+v", rs)
		}
		if found := list(t, l, Filter{MessageID: "x"}); len(found) != 0 {
			t.Errorf("by a Message-ID is found %+v", found)
		}
		if found := must[[]Record](t)(l.Unfinished(t.Context(), "work")); len(found) != 1 {
			t.Errorf("unfinished is %+v", found)
		}
		if got := must[Told](t)(l.Told(t.Context(), "work")); got != (Told{}) {
			t.Errorf("told was %+v", got)
		}
		if got := refusal(t, l, "work"); got != refused {
			t.Errorf("the refusal is %+v", got)
		}
	}
	reader := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	check(reader)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	l := open(t, dir)
	check(l)
	r.Heading = heading()
	put(t, l, r)
	if got := list(t, l, Filter{})[0].Heading; got != heading() {
		t.Errorf("written anew, it has %+v", got)
	}
}
