package ledger

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"
)

func refusal(t *testing.T, l *Ledger, account string) Refusal {
	t.Helper()
	return must[Refusal](t)(l.Refusal(t.Context(), account))
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
