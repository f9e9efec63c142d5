package postgres_test

import (
	"testing"
	"time"

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
