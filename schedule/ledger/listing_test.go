package ledger

import (
	"database/sql"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// listing is a Listing with all that it may hold.
func listing() Listing {
	return Listing{Validity: 7, Next: 11, Messages: 10, ModSeq: 1 << 62, Whole: time.UnixMilli(1_800_000_000_000), Due: 5 * time.Second, Rules: "keep"}
}

func wantListing(t *testing.T, l *Ledger, folder string, want Listing) {
	t.Helper()
	if got := must[Listing](t)(l.LastListing(t.Context(), "work", folder)); got != want {
		t.Errorf("the last listing of %s is %+v, want %+v", folder, got, want)
	}
}

// TestListingIsOfThisLedger: a copy may be older than the mailbox, and what is damaged says nothing.
func TestListingIsOfThisLedger(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string){
		"a copy": func(t *testing.T, path string) {
			octets := must[[]byte](t)(os.ReadFile(path))
			if err := os.Rename(path, path+".old"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, octets, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"damaged": func(t *testing.T, path string) {
			db := must[*sql.DB](t)(connect(path, "rw", 1, 100))
			if _, err := db.Exec("UPDATE listing SET messages = messages + 1"); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := t.TempDir()
		l := open(t, dir)
		if err := l.SetLastListing(t.Context(), "work", "INBOX", listing()); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		spoil(t, filepath.Join(dir, fileName))
		l = open(t, dir)
		t.Log(name)
		wantListing(t, l, "INBOX", Listing{})
	}
}

// TestUpgradeFromVersion7: it remembered no listing, can be read before it is upgraded, and remembers one after.
func TestUpgradeFromVersion7(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	r := record("1", Delivered)
	put(t, l, r)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	db := must[*sql.DB](t)(connect(filepath.Join(dir, fileName), "rw", 1, 100))
	if _, err := db.Exec("DROP TABLE listing; DROP TABLE source; PRAGMA user_version = 7"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(l *Ledger) {
		t.Helper()
		wantListing(t, l, "INBOX", Listing{})
		if rs := list(t, l, Filter{}); len(rs) != 1 || !reflect.DeepEqual(rs[0].Key, r.Key) || rs[0].State != Delivered {
			t.Errorf("it holds %+v", rs)
		}
	}
	reader := must[*Ledger](t)(OpenReadOnly(t.Context(), dir))
	check(reader)
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	check(l)
	if err := l.SetLastListing(t.Context(), "work", "INBOX", listing()); err != nil {
		t.Fatal(err)
	}
	wantListing(t, l, "INBOX", listing())
}

// TestBriefsOfSomeUIDs: they are those of Briefs, of these UIDs alone.
func TestBriefsOfSomeUIDs(t *testing.T) {
	l := open(t, t.TempDir())
	gone := record("4", Delivered)
	gone.Disposed, gone.Absent = true, true
	other := record("5", Delivered)
	other.Validity++
	put(t, l, record("1", Delivered), record("2", Deferred), record("3", Held), gone, other)
	all := must[map[string][]Brief](t)(l.Briefs(t.Context(), "work", "INBOX", 7))
	some := must[map[string][]Brief](t)(l.BriefsOf(t.Context(), "work", "INBOX", 7, []string{"2", "3", "4", "5", "6"}))
	delete(all, "1")
	if len(all) != 2 || !reflect.DeepEqual(some, all) {
		t.Errorf("they are %+v, want %+v", some, all)
	}
}
