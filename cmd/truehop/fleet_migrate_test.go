//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestMigrateIsCutShortAnywhere: Ctrl-C ends migrate wherever it is, also while the database says nothing, and without waiting for its reply. What it came
// from is as it was, and the next run goes on and ends whole.
func TestMigrateIsCutShortAnywhere(t *testing.T) {
	t.Parallel() // it mostly waits
	accounts := map[string]int{"club": 3, "home": 4000, "work": 40}
	server := postgrestest.Start(t)
	from := t.TempDir()
	fillFile(t, from, accounts)
	config := filepath.Join(t.TempDir(), "truehop.yaml")
	text := "inject: {address: \"127.0.0.1:1\"}\naccounts: {work: {host: imap.example.net, user: u, password: p, recipients: [alice@example.net]}}\nstate_dir: " + t.TempDir() + "\nlease: " + fleetLease.String() + "\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	through := func(l *link, database string) string { return strings.ReplaceAll(database, server.Dir, l.dir) }
	whole := newLink(t, server.Dir)
	must(t, exitOK, "migrate", "--config", config, "--from", from, "--to", through(whole, server.New(t)))

	said := whole.heard()
	for where, after := range map[string]int{"at the first word": 1, "at the leases": 4000, "in the large account": said / 2, "near the end": said * 9 / 10} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			from := t.TempDir() // of its own: who moves an account has its lock
			fillFile(t, from, accounts)
			database := ""
			for { // how much is said depends on how long it takes, by the renewals of leases
				database = server.New(t)
				l := newLink(t, server.Dir)
				if cutMigrateShort(t, l, after, "--config", config, "--from", from, "--to", through(l, database)) {
					break
				}
				if after = min(after, l.heard()) * 9 / 10; after == 0 {
					t.Fatal("it says nothing")
				}
			}
			if now := countFile(t, from); !maps.Equal(now, accounts) {
				t.Errorf("what it came from has %v, want %v", now, accounts)
			}
			migrateOnceFree(t, "--config", config, "--from", from, "--to", database)
			for account, want := range accounts {
				const count = "SELECT count(*)::int FROM truehop.record JOIN truehop.mailbox ON id = mailbox WHERE account = $1"
				if got := postgrestest.Ask[int](t, database, count, account); got != want {
					t.Errorf("after the next run the database has %d messages of %s, want %d", got, account, want)
				}
			}
		})
	}
}

// cutMigrateShort interrupts migrate when so many octets have been said over its link and the database says nothing more. It returns false where migrate ended
// before that.
func cutMigrateShort(t *testing.T, l *link, after int, args ...string) bool {
	t.Helper()
	holds := l.holdAfter(after)
	p := command(t, context.WithoutCancel(t.Context()), append([]string{"migrate"}, args...)...)
	p.start(t)
	ended := make(chan int, 1)
	go func() { ended <- p.wait(t) }()
	select {
	case <-holds:
	case code := <-ended:
		if code != exitOK {
			t.Fatalf("it ended with %d\n%s", code, &p.stderr)
		}
		return false
	}
	defer func() { close(l.held) }()
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-ended:
		if code != exitInterrupted {
			t.Errorf("it ended with %d\n%s", code, &p.stderr)
		}
	case <-time.After(50 * time.Second): // the database has a minute for each reply
		t.Error("it does not end")
		_ = p.Process.Kill()
		<-ended
	}
	return true
}

// migrateOnceFree has migrate go on, as soon as the leases are over of one that could not hand them back.
func migrateOnceFree(t *testing.T, args ...string) {
	t.Helper()
	for until := time.Now().Add(fleetPatience); ; {
		p := command(t, t.Context(), append([]string{"migrate"}, args...)...)
		p.start(t)
		switch code := p.wait(t); {
		case code == exitOK:
			return
		case code != exitLater, time.Now().After(until):
			t.Fatalf("the next run ended with %d\n%s", code, &p.stderr)
		}
	}
}

// exitInterrupted is what SIGINT ends a command with.
const exitInterrupted = 128 + int(syscall.SIGINT)

// fillFile makes a record in a file with so many messages of each account.
func fillFile(t *testing.T, dir string, accounts map[string]int) {
	t.Helper()
	l, err := ledger.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for account, count := range accounts {
		var records []ledger.Record
		for n := range count {
			key := ledger.Key{Account: account, Folder: "INBOX", Validity: 1, UID: fmt.Sprint(n)}
			records = append(records, ledger.Record{Key: key, State: ledger.Delivered, Reply: "250 ok"})
		}
		if err := l.PutAll(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
}

// countFile returns how many messages of each account a record in a file has.
func countFile(t *testing.T, dir string) map[string]int {
	t.Helper()
	l, err := ledger.OpenReadOnly(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	records, err := l.List(t.Context(), ledger.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, r := range records {
		counts[r.Account]++
	}
	return counts
}
