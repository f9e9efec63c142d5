package postgres_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

func open(t *testing.T, url string) *postgres.Ledger {
	t.Helper()
	l, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func lock(t *testing.T, l *postgres.Ledger, account string) (unlock func() error) {
	t.Helper()
	unlock, err := l.Lock(account)
	if err != nil {
		t.Fatal(err)
	}
	return unlock
}

var record = ledger.Record{Key: ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: "1", Hash: [32]byte{1}},
	State: ledger.Sending, First: time.UnixMilli(1000), Last: time.UnixMilli(2000), Token: "token"}

// TestWriteOfALeaseThatPassedOnIsRefusedAlone: the account that another process has taken over is refused, others are not.
func TestWriteOfALeaseThatPassedOnIsRefusedAlone(t *testing.T) {
	url := postgrestest.New(t)
	first, second := open(t, url), open(t, url)
	lock(t, first, "work")
	lock(t, first, "home")
	if _, err := second.Lock("work"); ledger.KindOf(err) != ledger.Busy {
		t.Errorf("a second holder gets %v; want that the account is busy", err)
	}
	if err := second.Put(t.Context(), record); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("a write without a lease gets %v; want that it is fenced", err)
	}
	if err := first.Put(t.Context(), record); err != nil {
		t.Error(err)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.lease SET node = NULL, expires = '-infinity' WHERE account = 'work'")
	lock(t, second, "work")
	delivered := record
	delivered.State = ledger.Delivered
	home := record
	home.Account = "home"
	pending := first.BeginJudged(t.Context(), delivered, nil, ledger.Judgement{Target: "local", Client: "192.0.2.1", Taken: true})
	if err := first.Put(t.Context(), home); err != nil {
		t.Errorf("the other account's write: %v", err)
	}
	if err := pending.Wait(); ledger.KindOf(err) != ledger.Fenced {
		t.Errorf("the write of a lease that has passed on gets %v; want that it is fenced", err)
	}
	found, err := second.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil || len(found) != 1 || found[0].State != ledger.Sending {
		t.Errorf("the new holder finds %v, %v; want the record as it was before", found, err)
	}
}

// TestSeveredSessionsAreReplaced: sessions that the server has ended, as by a restart, are noticed by nobody.
func TestSeveredSessionsAreReplaced(t *testing.T) {
	url := postgrestest.New(t)
	l := open(t, url)
	unlock := lock(t, l, "work")
	for step, do := range map[string]func() error{
		"a write":  func() error { return l.Put(t.Context(), record) },
		"a read":   func() error { _, err := l.Briefs(t.Context(), "work", "INBOX", 7); return err },
		"a lock":   func() error { _, err := l.Lock("home"); return err },
		"a change": func() error { return l.SetDisposed(t.Context(), []ledger.Key{record.Key}) },
	} {
		var reads sync.WaitGroup // so that there are several sessions
		for range 5 {
			reads.Go(func() { _, _ = l.Counts(t.Context(), "") })
		}
		reads.Wait()
		postgrestest.Sever(t, url)
		if err := do(); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
	postgrestest.Sever(t, url)
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

// TestOnlyADatabaseThatKeepsItsWord is used: the way there is protected, its commits wait for the disk, and its format is known.
func TestOnlyADatabaseThatKeepsItsWord(t *testing.T) {
	for name, url := range map[string]string{
		"no protection":               "postgres://u@db.example.net/x?sslmode=disable",
		"protection if there is some": "postgres://u@db.example.net/x?sslmode=prefer",
		"any certificate":             "postgres://u@db.example.net/x?sslmode=require",
		"a certificate of any name":   "host=db.example.net sslmode=verify-ca",
		"a password in sight":         "postgres://u:secret@localhost/x",
		"no address":                  "postgres://u@db.example.net:port/x",
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
		if ledger.KindOf(err) != ledger.Misnamed || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v; want that it is refused", name, err)
		}
	}
	refused := errors.New("not dialled")
	dialled := 0
	unusable := postgres.Options{URL: "postgres://u@192.0.2.1/x", Dial: func(context.Context, string, string) (net.Conn, error) {
		dialled++
		return nil, refused
	}}
	if _, err := postgres.Open(t.Context(), unusable); ledger.KindOf(err) != ledger.Away || dialled == 0 {
		t.Errorf("without sslmode: %v, dialled %d times; want that it is tried, with a verified certificate", err, dialled)
	}

	url := postgrestest.New(t)
	if _, err := postgres.OpenReadOnly(t.Context(), postgres.Options{URL: url}); ledger.KindOf(err) != ledger.NotFound {
		t.Errorf("an empty database, to be read: %v", err)
	}
	open(t, url)
	weak := url + "&options=-csynchronous_commit%3Doff"
	if mode := postgrestest.Ask[string](t, weak, "SHOW synchronous_commit"); mode != "off" {
		t.Fatalf("the test does not weaken commits: %s", mode)
	}
	looking := open(t, weak)
	if mode := postgres.Setting(t.Context(), looking, "synchronous_commit"); mode != "on" {
		t.Errorf("synchronous_commit is %s", mode)
	}
	postgrestest.Exec(t, url, "UPDATE truehop.format SET version = 99")
	for _, opened := range []func(context.Context, postgres.Options) (*postgres.Ledger, error){postgres.Open, postgres.OpenReadOnly} {
		if _, err := opened(t.Context(), postgres.Options{URL: url}); ledger.KindOf(err) != ledger.Version {
			t.Errorf("a newer format: %v", err)
		}
	}
}

// TestSchemaIsMadeOnce: of several processes that find an empty database one makes the schema.
func TestSchemaIsMadeOnce(t *testing.T) {
	url := postgrestest.New(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			l, err := postgres.Open(t.Context(), postgres.Options{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			_ = l.Close()
		})
	}
	all.Wait()
}

// TestStatementThatTakesTooLong: a server that ends a statement because of its time limit has answered; it is not away.
func TestStatementThatTakesTooLong(t *testing.T) {
	url := postgrestest.New(t)
	open(t, url) // makes the tables
	// The limit holds for what opens the ledger too, which under load has taken more than a third of a second.
	l := open(t, url+"&options=-cstatement_timeout%3D5s")
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	if _, err := other.Exec(t.Context(), "BEGIN; LOCK TABLE truehop.record"); err != nil {
		t.Fatal(err)
	}
	_, err = l.Counts(t.Context(), "")
	var e *ledger.Error
	if !errors.As(err, &e) || e.Kind != ledger.Slow || !strings.Contains(e.Hint(), "statement_timeout") {
		t.Errorf("%v; want that the database is slow, and a hint", err)
	}
}

// TestMailboxThatWasRemoved: an administrator removes what the record has of an account that was given up. When it comes back, services that knew it
// before record what they deliver, so that nothing of it is delivered twice.
func TestMailboxThatWasRemoved(t *testing.T) {
	url := postgrestest.New(t)
	l := open(t, url)
	if err := l.Serve(t.Context(), []string{"work"}); err != nil {
		t.Fatal(err)
	}
	if taken, err := l.Take(t.Context(), 1, nil); err != nil || len(taken) != 1 { // kept between passes
		t.Fatalf("taken: %v, %v", taken, err)
	}
	pass := func() (known int) {
		t.Helper()
		unlock := lock(t, l, "work")
		briefs, err := l.Briefs(t.Context(), "work", "INBOX", 7)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(l.Put(t.Context(), record), unlock()); err != nil {
			t.Fatal(err)
		}
		return len(briefs)
	}
	pass()
	postgrestest.Exec(t, url, "DELETE FROM truehop.record; DELETE FROM truehop.mailbox")
	if known := pass(); known != 0 {
		t.Errorf("the first pass afterwards knows %d messages", known)
	}
	if known := pass(); known != 1 {
		t.Errorf("the second pass afterwards knows %d messages, want the one that the first has recorded", known)
	}
}

// TestDatabaseThatCameBackFromADump: its folders are in question until a pass has seen all of them.
func TestDatabaseThatCameBackFromADump(t *testing.T) {
	url := postgrestest.New(t)
	listing := ledger.Listing{Validity: 7, Next: 2, Messages: 1}
	trust := func(want ledger.Trust) {
		t.Helper()
		l := open(t, url)
		unlock := lock(t, l, "work")
		last, err := l.LastListing(t.Context(), "work", "INBOX")
		if believed := last == listing; err != nil || believed != (want == ledger.Complete) {
			t.Errorf("trust %v: the last listing is %+v, %v", want, last, err)
		}
		if got, err := l.Trust(t.Context(), "work", "INBOX"); err != nil || got != want {
			t.Errorf("trust %v, %v; want %v", got, err, want)
		}
		if err := errors.Join(l.CaughtUp(t.Context(), "work", "INBOX"), l.SetLastListing(t.Context(), "work", "INBOX", listing), unlock(), l.Close()); err != nil {
			t.Fatal(err)
		}
	}
	trust(ledger.Unseen)
	trust(ledger.Complete)
	postgrestest.Exec(t, url, "UPDATE truehop.origin SET relation = relation + 1") // as where the tables were made anew
	trust(ledger.Outdated)
	trust(ledger.Complete)
}

// TestDatabaseThatDoesNotWriteToTheDisk: a server with fsync = off is refused.
func TestDatabaseThatDoesNotWriteToTheDisk(t *testing.T) {
	url := postgrestest.Start(t).New(t)
	postgrestest.Exec(t, url, "ALTER SYSTEM SET fsync = off")
	for postgrestest.Ask[string](t, url, "SELECT current_setting('fsync') FROM pg_reload_conf()") == "on" { // until the signal has arrived
	}
	_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if ledger.KindOf(err) != ledger.Permission || !strings.Contains(err.Error(), "fsync = off") {
		t.Errorf("it is opened: %v", err)
	}
}

// TestDeathAfterATick: the clock of an account that was moved in a pass goes with the next write, also where one before has brought the begin of the pass. A
// process that dies then has not moved it for nothing.
func TestDeathAfterATick(t *testing.T) {
	url := postgrestest.New(t)
	l := open(t, url)
	lock(t, l, "work")
	ctx, began := t.Context(), time.UnixMilli(1_000_000)
	tick := func(now time.Time) time.Duration {
		t.Helper()
		ran, err := l.Tick(ctx, "work", now)
		if err != nil {
			t.Fatal(err)
		}
		return ran
	}
	tick(began)
	if err := l.PassBegan(ctx, "work", ledger.Pass{Began: began}); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(ctx, record); err != nil {
		t.Fatal(err)
	}
	ran := tick(began.Add(time.Minute))
	if ran != time.Minute {
		t.Fatalf("the account was looked after for %v", ran)
	}
	delivered := record
	delivered.State = ledger.Delivered
	if err := l.Put(ctx, delivered); err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, url).Ran(ctx, "work"); err != nil || got != ran { // all that the next process knows
		t.Errorf("the next process finds %v, %v; want %v", got, err, ran)
	}
}

// TestStandbyIsNotAsked: a server that only follows another may know less than that, and is refused by all who would decide something by what it
// says; by those who only look, too. So is one that becomes a standby while the record is open.
func TestStandbyIsNotAsked(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.New(t)
	before := open(t, url)
	lock(t, before, "work")
	if err := before.Put(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	if err := server.Demote(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() }) // a standby drops no database
	if known := postgrestest.Ask[int](t, url, "SELECT count(*)::int FROM truehop.record"); known != 1 {
		t.Fatalf("the standby shows %d messages, want 1: this proves nothing", known)
	}
	refused := func(who string, err error) {
		t.Helper()
		var refused *ledger.Error
		if !errors.As(err, &refused) || refused.Kind != ledger.Permission || !strings.Contains(refused.Op, "is a standby") || !strings.Contains(refused.Advice, "name the primary") {
			t.Errorf("%s: %v", who, err)
		}
	}
	_, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	refused("who works", err)
	_, err = postgres.OpenReadOnly(t.Context(), postgres.Options{URL: url})
	refused("who looks", err)
	_, err = postgres.OpenAccounts(t.Context(), postgres.Options{URL: url}, true)
	refused("who reads accounts", err)
	_, err = before.Unfinished(t.Context(), "work")
	refused("who had it open", err)
}

// TestUpgradeFromVersion1: the table that it did not have is made, and its records stay.
func TestUpgradeFromVersion1(t *testing.T) {
	url := postgrestest.New(t)
	l, err := postgres.Open(t.Context(), postgres.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := l.Lock("work")
	if err != nil {
		t.Fatal(err)
	}
	record := ledger.Record{Key: ledger.Key{Account: "work", Folder: "INBOX", Validity: 1, UID: "1"}, State: ledger.Delivered}
	if err := errors.Join(l.Put(t.Context(), record), unlock(), l.Close()); err != nil {
		t.Fatal(err)
	}
	postgrestest.Exec(t, url, "DROP TABLE truehop.source")
	postgrestest.Exec(t, url, "UPDATE truehop.format SET version = 1")
	l = open(t, url)
	counts, err := l.Counts(t.Context(), "work")
	if err != nil || counts[ledger.Delivered] != 1 {
		t.Errorf("counts %v, %v", counts, err)
	}
	if sources, err := l.Sources(t.Context(), "work"); err != nil || len(sources) != 0 {
		t.Errorf("sources %q, %v", sources, err)
	}
}
