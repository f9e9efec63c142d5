package ledger

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// heading is one with all its parts.
func heading() Heading {
	return Heading{From: "Zoë <zoe@example.org>", Subject: "Grüße", MessageID: "1@example.org", Date: time.UnixMilli(1_700_000_000_000)}
}

// TestHeadingIsKept: what names a message is there when the ledger is opened again, and takes no more room than other text.
func TestHeadingIsKept(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	named, long := record("1", Delivered), record("2", Delivered)
	named.Heading = heading()
	long.Heading = Heading{From: strings.Repeat("f", 2*maxText), Subject: strings.Repeat("s", 2*maxText), MessageID: strings.Repeat("m", 2*maxText)}
	put(t, l, named, long)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if got := list(t, l, Filter{UID: "1"})[0].Heading; got != heading() {
		t.Errorf("the ledger has %+v", got)
	}
	if found := list(t, l, Filter{MessageID: heading().MessageID}); len(found) != 1 || found[0].UID != "1" {
		t.Errorf("by its Message-ID is found %+v", found)
	}
	if found := list(t, l, Filter{MessageID: "another"}); len(found) != 0 {
		t.Errorf("by another Message-ID is found %+v", found)
	}
	got := list(t, l, Filter{UID: "2"})[0].Heading
	if len(got.From) != maxText || len(got.Subject) != maxText || len(got.MessageID) != maxText || !got.Date.IsZero() {
		t.Errorf("of a long one the ledger has %+v", got)
	}
	named.Heading = Heading{}
	put(t, l, named)
	if got := list(t, l, Filter{UID: "1"})[0].Heading; got != (Heading{}) {
		t.Errorf("written anew, it is %+v", got)
	}
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

// TestToldOutlivesTheProcess: what was told of an account is known at the next start, for that account alone, until it is
// taken back.
func TestToldOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	want := Told{What: "no route", Since: time.UnixMilli(1_800_000_000_000), At: time.UnixMilli(1_800_000_100_000), Times: 7}
	l := open(t, dir)
	for _, told := range []Told{{What: "before", Times: 1}, want} {
		if err := l.SetTold(t.Context(), "work", told); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	if got, other := must[Told](t)(l.Told(t.Context(), "work")), must[Told](t)(l.Told(t.Context(), "home")); got != want || other != (Told{}) {
		t.Errorf("%+v of work, %+v of home", got, other)
	}
	if err := l.SetTold(t.Context(), "work", Told{}); err != nil {
		t.Fatal(err)
	}
	if got := must[Told](t)(l.Told(t.Context(), "work")); got != (Told{}) {
		t.Errorf("taken back, it is %+v", got)
	}
	if err := l.SetTold(t.Context(), "", want); KindOf(err) != Invalid {
		t.Errorf("no account: %v", err)
	}
}
