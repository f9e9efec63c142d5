package ledger

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func refusal(t *testing.T, l *Ledger, account string) Refusal {
	t.Helper()
	return must[Refusal](t)(l.Refusal(t.Context(), account))
}

// TestRefusalOutlivesTheProcess: what was recorded is there when the ledger is opened again, for that account alone, until it
// is taken back.
func TestRefusalOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	now := time.UnixMilli(1_800_000_000_000)
	want := Refusal{Times: 3, Last: now, Next: now.Add(time.Hour), Told: true, Basis: "as it was", Reason: "LOGIN: no"}
	l := open(t, dir)
	if err := l.SetRefusal(t.Context(), "work", Refusal{Times: 2, Last: now}); err != nil {
		t.Fatal(err)
	}
	if err := l.SetRefusal(t.Context(), "work", want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, dir)
		if got, other := refusal(t, l, "work"), refusal(t, l, "home"); got != want || other != (Refusal{}) {
			t.Errorf("%+v of work, %+v of home", got, other)
		}
	}
	if err := l.SetRefusal(t.Context(), "work", Refusal{}); err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, l, "work"); got != (Refusal{}) {
		t.Errorf("taken back, it is %+v", got)
	}
	if err := l.SetRefusal(t.Context(), "", want); KindOf(err) != Invalid {
		t.Errorf("no account: %v", err)
	}
	long := Refusal{Times: 1, Last: now, Next: now, Reason: strings.Repeat("x", 2*maxText)}
	if err := l.SetRefusal(t.Context(), "work", long); err != nil {
		t.Fatal(err)
	}
	if got := len(refusal(t, l, "work").Reason); got != maxText {
		t.Errorf("the reason has %d octets", got)
	}
}

// TestUpgradeFromVersion4: it knew no refusals, kept all else, and can be read before it is upgraded.
func TestUpgradeFromVersion4(t *testing.T) {
	r := record("1", Delivered)
	r.Fingerprint = Fingerprint{1, 2, 3}
	dir := version6(t, r)
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	if _, err := db.Exec(undoVersion6 + "DROP TABLE login; PRAGMA user_version = 4"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	reader := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	if got := refusal(t, reader, "work"); got != (Refusal{}) {
		t.Errorf("before the upgrade it has %+v", got)
	}
	if rs := list(t, reader, Filter{}); len(rs) != 1 || rs[0].Fingerprint != r.Fingerprint {
		t.Errorf("before the upgrade: %+v", rs)
	}
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	want := Refusal{Times: 1, Last: time.UnixMilli(1), Next: time.UnixMilli(2)}
	l := open(t, dir)
	if rs := list(t, l, Filter{}); len(rs) != 1 || rs[0].Fingerprint != r.Fingerprint {
		t.Errorf("after the upgrade: %+v", rs)
	}
	if err := l.SetRefusal(t.Context(), "work", want); err != nil {
		t.Fatal(err)
	}
	if got := refusal(t, l, "work"); got != want {
		t.Errorf("after the upgrade it has %+v", got)
	}
}
