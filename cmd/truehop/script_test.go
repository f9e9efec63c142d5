package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/postgres/postgrestest"
)

// TestMain lets the test binary be the program, so that scripts run what users run.
func TestMain(m *testing.M) {
	// Records in memory keep no test waiting for the disk; and what else has a file is no slower there.
	if err := os.Setenv("TMPDIR", postgrestest.Memory()); err != nil {
		panic(err)
	}
	testscript.Main(tests{m}, map[string]func(){
		"truehop": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"relay":   relay,
	})
}

// TestScripts runs testdata/script: the program as a user meets it, each exit code among it.
func TestScripts(t *testing.T) {
	testscript.Run(t, scriptParams("testdata/script"))
}

// TestScriptsOnPostgreSQL: what a user meets is the same where the record is in a database, but for the name of the place.
func TestScriptsOnPostgreSQL(t *testing.T) {
	postgrestest.New(t) // skips where there is none
	params := scriptParams("")
	for _, name := range []string{"history", "lost", "held", "partly"} {
		params.Files = append(params.Files, filepath.Join("testdata/script", name+".txtar"))
	}
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		env.Setenv("TRUEHOP_STATE", postgrestest.New(env.T().(testing.TB)))
		return setup(env)
	}
	testscript.Run(t, params)
}

// scriptParams is how the scripts of a directory are run.
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Values[embeddedKey{}] = &embedded{}
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "xdg-state"))
			// With the race detector each of some hundred commands would rest for a second before it ends.
			env.Setenv("GORACE", strings.TrimSpace("atexit_sleep_ms=0 "+os.Getenv("GORACE")))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"embed": embed, "upstream": upstreamHas, "mta": mtaHas, "plain": plainHas, "exit": exitIs, "await": await, "arrive": arrive,
			"vanish": vanish, "days": days, "older": older, "to": mtaTo, "labelled": labelled, "authority": authority, "empties": empties, "mistake": mistake, "afresh": afresh,
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("no such condition: %s", name)
			}
			return os.Geteuid() == 0, nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	}
}

// afresh removes the state directory, and the record wherever it is.
func afresh(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.RemoveAll(ts.MkAbs("state")))
	if database := ts.Getenv("TRUEHOP_STATE"); database != "" {
		ts.Check(postgrestest.Drop(database))
	}
}

// vanish takes all messages from the upstream, as another client of the mailbox does.
func vanish(ts *testscript.TestScript, _ bool, _ []string) {
	store := scriptWorld(ts).store
	store.Remove("", store.UIDs("")...)
}

// scriptPatience is how long a script waits for something, on a machine with much else to do.
const scriptPatience = 5 * time.Minute

// empties waits until no message is left in the upstream's inbox.
func empties(ts *testscript.TestScript, _ bool, _ []string) {
	store := scriptWorld(ts).store
	for {
		changed := store.Changed()
		if len(store.UIDs("")) == 0 {
			return
		}
		select {
		case <-changed:
		case <-time.After(scriptPatience):
			ts.Fatalf("nothing more leaves the inbox")
		}
	}
}

// upstreamHas N [FOLDER] wants that many messages to be left upstream.
func upstreamHas(ts *testscript.TestScript, neg bool, args []string) {
	folder := "INBOX"
	if len(args) > 1 {
		folder = args[1]
	}
	compare(ts, neg, args, len(scriptWorld(ts).store.UIDs(folder)), "messages upstream")
}

// mtaHas N wants the MTA to have taken that many messages.
func mtaHas(ts *testscript.TestScript, neg bool, args []string) {
	compare(ts, neg, args, len(scriptWorld(ts).mta.Messages()), "messages at the MTA")
}

// await N waits until the MTA has taken N messages more.
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		select {
		case <-scriptWorld(ts).accepted:
		case <-time.After(scriptPatience):
			ts.Fatalf("the MTA takes no more")
		}
	}
}

// arrive N adds the message of client 203.0.113.N upstream.
func arrive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: arrive N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	scriptWorld(ts).store.Add("INBOX", scriptMail(n))
}

// mtaTo N ADDR... wants the N-th message at the MTA to be for these recipients alone.
func mtaTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: to N ADDR...")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	taken := scriptWorld(ts).mta.Messages()
	if n < 1 || n > len(taken) {
		ts.Fatalf("the MTA has %d messages", len(taken))
	}
	if got := taken[n-1].To; !slices.Equal(got, args[1:]) {
		ts.Fatalf("message %d is for %q, want %q", n, got, args[1:])
	}
}

// labelled [N...] wants these messages at the MTA, counted from 1, and no others to be labelled as possible redeliveries.
func labelled(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("usage: labelled [N...], without !")
	}
	var got []string
	for n, m := range scriptWorld(ts).mta.Messages() {
		if bytes.Contains(m.Data, []byte("Truehop-Redelivery: possible\r\n")) {
			got = append(got, strconv.Itoa(n+1))
		}
	}
	if !slices.Equal(got, args) {
		ts.Fatalf("labelled are the messages %q, want %q", got, args)
	}
}

// scriptLedger opens the ledger of the account work for the length of one command.
func scriptLedger(ts *testscript.TestScript, use func(context.Context, app.Ledger)) {
	ctx := context.Background()
	record, err := app.OpenLedger(ctx, &config.Config{StateDir: ts.MkAbs("state"), State: ts.Getenv("TRUEHOP_STATE")})
	ts.Check(err)
	unlock, err := record.Lock("work")
	ts.Check(err)
	use(ctx, record)
	ts.Check(unlock())
	ts.Check(record.Close())
}

// days N lets the account's clock run for N days, as a pass on each would.
func days(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: days N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	scriptLedger(ts, func(ctx context.Context, record app.Ledger) {
		now := time.Now()
		for i := range n {
			_, err := record.Tick(ctx, "work", now.Add(time.Duration(i+1)*24*time.Hour))
			ts.Check(err)
		}
	})
}

// older N makes every message of the ledger N days older, and due.
func older(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: older N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	scriptLedger(ts, func(ctx context.Context, record app.Ledger) {
		found, err := record.List(ctx, ledger.Filter{Account: "work"})
		ts.Check(err)
		for i := range found {
			found[i].First, found[i].Next = found[i].First.AddDate(0, 0, -n), time.Now()
		}
		ts.Check(record.PutAll(ctx, found))
	})
}

// plainHas N wants the second MTA to have taken that many messages.
func plainHas(ts *testscript.TestScript, neg bool, args []string) {
	compare(ts, neg, args, len(scriptWorld(ts).plain.Messages()), "messages at the second MTA")
}

func compare(ts *testscript.TestScript, neg bool, args []string, got int, what string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: N, without !")
	}
	if args[0] != strconv.Itoa(got) {
		ts.Fatalf("%d %s, want %s", got, what, args[0])
	}
}

// exitIs CODE COMMAND ARGS... runs a command and wants this exit code.
func exitIs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		code, ok := strings.CutPrefix(err.Error(), "exit status ")
		if !ok {
			ts.Fatalf("%v", err)
		}
		got, err = strconv.Atoi(code)
		ts.Check(err)
	}
	if args[0] != strconv.Itoa(got) {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}
