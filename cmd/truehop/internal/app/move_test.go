package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// fill writes something of each kind for several accounts.
func fill(t *testing.T, cfg *config.Config, place string) {
	t.Helper()
	ctx := t.Context()
	l, err := openAt(ctx, cfg, place, false)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1_700_000_000_123)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for a, account := range []string{"club", "home", "work"} {
		unlock, err := l.Lock(account)
		check(err)
		for i, state := range ledger.States() {
			uid := fmt.Sprintf("%d\xff\x00", i)
			r := ledger.Record{Key: ledger.Key{Account: account, Folder: "Gr\xfc\xdfe", Validity: 1<<32 - 1, UID: uid, Hash: sha256.Sum256([]byte(uid))}, State: state,
				Size: 1 << 40, Listed: 7, Token: "token", Attempts: 3, Doubts: 1, First: at, Last: at.Add(time.Duration(i) * time.Second), Next: at.Add(time.Hour),
				Client: "192.0.2.1", HELO: "\xfe", Sender: "a@example.org", Recipients: strings.Repeat("b@example.net ", 200), Code: 250, Reply: "ok", QueueID: "q", Why: "why",
				Ran: time.Minute, Acknowledged: at, Breaks: 1, Charges: 1, Octets: 9, DotSent: i%2 == 0, Fingerprint: ledger.Fingerprint{1, 2},
				Heading:  ledger.Heading{From: "a", Subject: "s", MessageID: "m", Date: at},
				Verdicts: []ledger.Verdict{{Address: "b@example.net", State: ledger.Delivered, Reply: "ok"}}, Disposed: i%3 == 0, Absent: i%4 == 0}
			check(l.Put(ctx, r))
			check(l.BeginJudged(ctx, r, nil, ledger.Judgement{Target: "mta", Client: fmt.Sprintf("203.0.113.%d", i), Taken: i%2 == 0}).Wait())
		}
		if a > 0 {
			check(l.PassEnded(ctx, account, ledger.Pass{Began: at, Ended: at.Add(time.Second), OK: a == 1, Listed: 9, Error: "error", Hint: "hint", Exit: 69}))
			_, err = l.Tick(ctx, account, at)
			check(err)
			check(l.CaughtUp(ctx, account, "INBOX"))
			check(l.SetSource(ctx, ledger.Source{Account: account, Folder: "INBOX", Mailbox: "alice at imap.example.com"}))
			check(l.SetRefusal(ctx, account, ledger.Refusal{Times: 2, Last: at, Next: at, Told: true, Basis: "b", Reason: "r"}))
			check(l.SetTold(ctx, account, ledger.Told{What: "what", Since: at, At: at, Times: 2}))
		}
		check(unlock())
	}
	check(l.Close())
}

// content is all that a place has.
func content(t *testing.T, cfg *config.Config, place string) (records []ledger.Record, beside ledger.Beside) {
	t.Helper()
	l, err := openAt(t.Context(), cfg, place, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if records, err = l.List(t.Context(), ledger.Filter{}); err != nil {
		t.Fatal(err)
	}
	if beside, err = l.Beside(t.Context()); err != nil {
		t.Fatal(err)
	}
	return records, beside
}

// TestMoveThereAndBack: a ledger goes into a database, in two attempts, and out of it into another file, and is the same.
func TestMoveThereAndBack(t *testing.T) {
	database := postgrestest.New(t)
	first, last := t.TempDir(), t.TempDir()
	cfg := &config.Config{StateDir: t.TempDir()}
	fill(t, cfg, first)
	wantRecords, wantBeside := content(t, cfg, first)

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := Move(ctx, cfg, first, database, func(string, int) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short after the first account it ends with %v", err)
	}
	each := len(ledger.States())
	nothing := func(string, int) {}
	if m, err := Move(t.Context(), cfg, first, database, nothing); err != nil || m != (Moved{Accounts: 3, Messages: 3 * each, Copied: 2 * each}) {
		t.Errorf("the second attempt: %+v, %v", m, err)
	}
	if m, err := Move(t.Context(), cfg, first, database, nothing); err != nil || m.Copied != 0 {
		t.Errorf("once more: %+v, %v", m, err)
	}
	if _, err := Move(t.Context(), cfg, database, last, nothing); err != nil {
		t.Error(err)
	}
	for _, place := range []string{database, last} {
		records, beside := content(t, cfg, place)
		if !reflect.DeepEqual(records, wantRecords) {
			t.Errorf("%s has %d records that are not the %d of before", place, len(records), len(wantRecords))
		}
		if !reflect.DeepEqual(beside, wantBeside) {
			t.Errorf("%s has beside them\n%+v\nwant\n%+v", place, beside, wantBeside)
		}
	}
	l, err := openAt(t.Context(), cfg, database, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if next, err := l.NextJudgement(t.Context()); err != nil || next != int64(3*each+1) {
		t.Errorf("the next judgement is number %d, %v; want %d", next, err, 3*each+1)
	}
}

// TestMoveRefusesOtherRows: nothing is written over, and what a pass works on is not moved.
func TestMoveRefusesOtherRows(t *testing.T) {
	cfg := &config.Config{StateDir: t.TempDir()}
	from := t.TempDir()
	fill(t, cfg, from)
	for name, account := range map[string]string{"an account more": "other", "another record of an account": "work"} {
		to := t.TempDir()
		l, err := ledger.Open(t.Context(), to)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Put(t.Context(), ledger.Record{Key: ledger.Key{Account: account, UID: "x"}, State: ledger.Delivered}); err != nil {
			t.Fatal(err)
		}
		var refused *MoveError
		_, err = Move(t.Context(), cfg, from, to, func(string, int) {})
		if !errors.As(err, &refused) || !strings.Contains(refused.Text, account) || refused.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
		if all, err := l.Counts(t.Context(), ""); err != nil || len(all) != 1 || all[ledger.Delivered] != 1 {
			t.Errorf("%s: afterwards it has %v, %v", name, all, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var refused *MoveError
	if _, err := Move(t.Context(), cfg, t.TempDir(), t.TempDir(), nil); !errors.As(err, &refused) {
		t.Errorf("from where there is none: %v", err)
	}
	l, err := ledger.Open(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	unlock, err := l.Lock("home")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Move(t.Context(), cfg, from, t.TempDir(), func(string, int) {}); ledger.KindOf(err) != ledger.Busy {
		t.Errorf("while a pass works on an account: %v", err)
	}
	if err := unlock(); err != nil { // a file that nothing refers to is closed at some time, and the lock is gone
		t.Error(err)
	}
}
