package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

func openTable(t *testing.T, url string) *Accounts {
	t.Helper()
	a, err := OpenAccounts(t.Context(), Options{URL: url}, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func add(t *testing.T, a *Accounts, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := a.Add(t.Context(), Account{Name: name, Settings: []byte(`{"user": "joe"}`), Enabled: true}); err != nil {
			t.Fatal(err)
		}
	}
}

func namesOf(rows []Account) (names []string) {
	for _, r := range rows {
		names = append(names, r.Name)
	}
	return names
}

// TestAccounts: a row comes back as it was written, and a change is written only by who has seen the row as it is.
func TestAccounts(t *testing.T) {
	a := openTable(t, postgrestest.New(t))
	ctx := t.Context()
	row := Account{Name: "work", Settings: []byte(`{"host": "imap.example.com", "user": "j\\\"ö\u0001", "folders": ["\\Junk"], "port": 993}`), Enabled: true, Secret: []byte{0, 1, 255}}
	if err := a.Add(ctx, row); err != nil {
		t.Fatal(err)
	}
	if err := a.Add(ctx, row); !errors.Is(err, ErrExists) {
		t.Errorf("a second row of the same name: %v", err)
	}
	add(t, a, "home")
	all, err := a.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := namesOf(all); !slices.Equal(got, []string{"home", "work"}) {
		t.Fatalf("rows %v", got)
	}
	read := all[1]
	const want = `{"host": "imap.example.com", "port": 993, "user": "j\\\"ö\u0001", "folders": ["\\Junk"]}`
	if string(read.Settings) != want || !slices.Equal(read.Secret, row.Secret) || !read.Enabled || read.Changed.IsZero() {
		t.Errorf("read %+v", read)
	}
	if len(all[0].Secret) != 0 {
		t.Errorf("a row without a password has %v", all[0].Secret)
	}
	read.Enabled, read.Secret = false, nil
	if written, err := a.Change(ctx, read); err != nil || !written {
		t.Fatalf("written %v, %v", written, err)
	}
	if written, err := a.Change(ctx, read); err != nil || written {
		t.Errorf("a row that another has changed is overwritten: %v, %v", written, err)
	}
	if rows, err := a.OfUser(ctx, "joe"); err != nil || !slices.Equal(namesOf(rows), []string{"home"}) {
		t.Errorf("of the user: %v, %v", namesOf(rows), err)
	}
	if n, err := a.Remove(ctx, []string{"work", "nobody"}); err != nil || n != 1 {
		t.Errorf("removed %d, %v", n, err)
	}
	for _, name := range []string{"", "../x", "A", strings.Repeat("a", 64), ".a", "a b"} {
		if err := a.Add(ctx, Account{Name: name, Settings: []byte("{}")}); err == nil {
			t.Errorf("%q names a row", name)
		}
	}
	if err := a.Add(ctx, Account{Name: "list", Settings: []byte("[]")}); err == nil {
		t.Error("settings are a list")
	}
}

// TestAccountsDifference: what was written since is found by comparing, also a row that was removed and added again.
func TestAccountsDifference(t *testing.T) {
	url := postgrestest.New(t)
	a := openTable(t, url)
	add(t, a, "one", "two", "three")
	known := map[string]time.Time{}
	see := func(want, wantGone string) {
		t.Helper()
		rows, gone, err := a.Difference(t.Context(), known)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(namesOf(rows), " "); got != want || strings.Join(gone, " ") != wantGone {
			t.Errorf("differ %q, gone %q; want %q and %q", got, gone, want, wantGone)
		}
		for _, r := range rows {
			known[r.Name] = r.Changed
		}
		for _, name := range gone {
			delete(known, name)
		}
	}
	see("one three two", "")
	see("", "")
	// Twice in one transaction, in which the clock of the transaction stands.
	postgrestest.Exec(t, url, "UPDATE truehop.account SET enabled = false WHERE name = 'two'")
	see("two", "")
	postgrestest.Exec(t, url, "DELETE FROM truehop.account WHERE name = 'one'")
	see("", "one")
	postgrestest.Exec(t, url, "UPDATE truehop.account SET name = 'four' WHERE name = 'three'")
	see("four", "three")
	// The clock of the database may be set back: a change shows all the same.
	postgrestest.Exec(t, url, `ALTER TABLE truehop.account DISABLE TRIGGER account_changed`)
	postgrestest.Exec(t, url, `UPDATE truehop.account SET changed = '2999-01-01' WHERE name = 'two'`)
	postgrestest.Exec(t, url, `ALTER TABLE truehop.account ENABLE TRIGGER account_changed`)
	see("two", "")
	postgrestest.Exec(t, url, "UPDATE truehop.account SET enabled = true WHERE name = 'two'")
	see("two", "")
}

// TestAccountsChangedNeverGoesBack: each change of a row has a later time than the one before, also where the clock of the database was set back
// and so may come to a time again which somebody has seen.
func TestAccountsChangedNeverGoesBack(t *testing.T) {
	url := postgrestest.New(t)
	add(t, openTable(t, url), "one")
	postgrestest.Exec(t, url, `ALTER TABLE truehop.account DISABLE TRIGGER account_changed;
		UPDATE truehop.account SET changed = '2999-01-01 00:00:00Z';
		ALTER TABLE truehop.account ENABLE TRIGGER account_changed`)
	last := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range 3 {
		postgrestest.Exec(t, url, "UPDATE truehop.account SET enabled = NOT enabled")
		changed := postgrestest.Ask[time.Time](t, url, "SELECT changed FROM truehop.account")
		if want := last.Add(time.Microsecond); !changed.Equal(want) {
			t.Errorf("change %d is of %v, want %v", n+1, changed.UTC(), want)
		}
		last = changed
	}
}

// listen is a Listen that runs until the test ends. It returns what is told: names, "all" without any.
func listen(t *testing.T, a *Accounts) (told chan string, ended chan error) {
	t.Helper()
	told, ended = make(chan string), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		ended <- a.Listen(ctx, time.Hour, func(names []string) error {
			text := strings.Join(names, " ")
			if names == nil {
				text = "all"
			}
			select {
			case told <- text:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return told, ended
}

// TestAccountsListen: every change is told, by whomever and however it is made; many at once perhaps as one that names none.
func TestAccountsListen(t *testing.T) {
	url := postgrestest.New(t)
	a := openTable(t, url)
	told, _ := listen(t, a)
	if got := <-told; got != "all" {
		t.Fatalf("it begins with %q", got)
	}
	for _, c := range []struct {
		sql   string
		names int
		want  string // of the first and the last
	}{
		{"INSERT INTO truehop.account (name) VALUES ('b'), ('a')", 2, "a b"},
		{"UPDATE truehop.account SET enabled = false WHERE name = 'a'", 1, "a a"},
		{"UPDATE truehop.account SET name = 'c' WHERE name = 'a'", 2, "a c"},
		{"DELETE FROM truehop.account WHERE name = 'c'", 1, "c c"},
		{"TRUNCATE truehop.account", 0, "all"},
		{fmt.Sprintf("INSERT INTO truehop.account (name) SELECT 'n' || n FROM generate_series(1, %d) n", mostNamed+1), mostNamed + 1, "n1 n999"},
		{"INSERT INTO truehop.account (name) VALUES ('last')", 1, "last last"},
	} {
		postgrestest.Exec(t, url, c.sql)
		// A busy machine may tell of one transaction in two parts.
		var names []string
		for got := range told {
			if names = append(names, strings.Fields(got)...); got == "all" || len(names) == c.names {
				break
			}
		}
		slices.Sort(names)
		if got := names[0] + " " + names[len(names)-1]; got != c.want && names[0] != "all" {
			t.Errorf("%.40s… tells %q, want %q", c.sql, got, c.want)
		} else if names[0] == "all" && c.names > 0 && c.names <= mostNamed {
			t.Errorf("%.40s… tells of all", c.sql)
		}
	}
}

// TestAccountsListenEnds: who listens on a connection that is lost is told, and does not wait for ever.
func TestAccountsListenEnds(t *testing.T) {
	url := postgrestest.New(t)
	a := openTable(t, url)
	told, ended := listen(t, a)
	<-told
	postgrestest.Sever(t, url)
	err := <-ended
	if ledger.KindOf(err) != ledger.Away {
		t.Errorf("it ends with %v", err)
	}
	ended <- err // for the cleanup
	again, _ := listen(t, a)
	if got := <-again; got != "all" {
		t.Errorf("the next one begins with %q", got)
	}
}
