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
			database := server.New(t)
			l := newLink(t, server.Dir)
			holds := l.holdAfter(after)
			p := command(t, context.WithoutCancel(t.Context()), "migrate", "--config", config, "--from", from, "--to", through(l, database))
			p.start(t)
			ended := make(chan int, 1)
			go func() { ended <- p.wait(t) }()
			select {
			case <-holds:
			case <-time.After(fleetPatience):
				t.Fatalf("it has not said %d octets of %d", after, said)
			}
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
			close(l.held)
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
