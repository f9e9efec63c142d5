package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/truehop/truehop/fetch/fetchtest"
	"github.com/truehop/truehop/inject/injecttest"
)

var matrixAll = flag.Bool("matrix.all", false, "try everything at every server, however long it takes")

// TestMatrix tries the program with real servers, each started for it alone: see matrixRows.
func TestMatrix(t *testing.T) {
	for _, row := range matrixRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server := row.start(t)
			if server.Version != row.version {
				t.Logf("tried with %s %s; README tells of %s", row.name, server.Version, row.version)
			}
			restart := func() { *server = *row.start(t) }
			if got := strings.Contains(row.protocols, "IMAP"); got != (server.IMAP != nil) {
				t.Errorf("README says %s", row.protocols)
			}
			if got := strings.Contains(row.protocols, "POP3"); got != (server.POP3 != nil) {
				t.Errorf("README says %s", row.protocols)
			}
			if server.IMAP != nil {
				t.Run("imap", func(t *testing.T) { row.try(t, server, restart, "imap", imapTrials) })
			}
			if server.POP3 != nil {
				t.Run("pop3", func(t *testing.T) { row.try(t, server, restart, "pop3", pop3Trials) })
			}
		})
	}
}

// trial is one thing that is tried with a server.
type trial struct {
	name string
	do   func(testing.TB, *visit)
	// once is tried with each program, not with each way of setting it up, unless -matrix.all is given; long with one only.
	once, long bool
}

var imapTrials = []trial{
	{name: "check", do: tryCheck},
	{name: "run, run again", do: tryTwice},
	{name: "delete", do: tryDelete},
	{name: "move", do: tryMove},
	{name: "flag", once: true, do: tryFlag},
	{name: "folders", once: true, do: tryFolders},
	{name: "IDLE", once: true, do: tryIdle},
	{name: "cut connections", long: true, do: tryCut},
	{name: "1,000 messages", long: true, do: tryThousand},
	{name: "30 MB", long: true, do: tryLarge},
}

var pop3Trials = []trial{
	{name: "check", do: tryCheck},
	{name: "run, run again", do: tryTwice},
	{name: "delete", do: tryDelete},
	{name: "cut connections", long: true, do: tryCut},
	{name: "1,000 messages", long: true, do: tryThousand},
	{name: "30 MB", long: true, do: tryLarge},
}

// try does the trials one after the other. Each leaves the inbox empty.
func (row matrixRow) try(t *testing.T, server *fetchtest.Server, restart func(), protocol string, trials []trial) {
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) {
			if why := row.without[protocol+" "+trial.name]; why != "" {
				t.Skip(why)
			}
			switch {
			case *matrixAll:
			case trial.long && !row.longTrials:
				t.Skip("-matrix.all tries it with this server")
			case trial.once && row.variant:
				t.Skip("-matrix.all tries it with every setting of this server")
			}
			do := func(t testing.TB) {
				v := newVisit(t, row, server, protocol)
				defer v.empty(t)
				trial.do(t, v)
			}
			if server.Crashes == nil {
				do(t)
				return
			}
			outlive(t, func() int { return server.Crashes() }, restart, do)
		})
	}
}

// visit is one installation of the program for one server, with an MTA of its own.
type visit struct {
	dir      string
	row      matrixRow
	server   *fetchtest.Server
	front    *fetchtest.Front
	protocol string
	mta      *injecttest.Server
	accepted chan struct{}
}

func newVisit(t testing.TB, row matrixRow, server *fetchtest.Server, protocol string) *visit {
	t.Helper()
	v := &visit{dir: t.TempDir(), row: row, server: server, protocol: protocol, accepted: make(chan struct{}, 10_000)}
	v.front = server.IMAP
	if protocol == "pop3" {
		v.front = server.POP3
	}
	v.mta = injecttest.New(injecttest.Options{Accepted: func(injecttest.Message) { v.accepted <- struct{}{} }})
	t.Cleanup(func() { _ = v.mta.Close() })
	if _, err := v.mta.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(v.dir, "password"), []byte(server.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return v
}

// config writes the configuration with these keys of the account and returns its path. What is called state keeps its
// ledger apart from others.
func (v *visit) config(t testing.TB, state string, lines ...string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(v.front.Addr)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("state_dir: %s\ninject:\n  address: %s\naccounts:\n  work:\n    protocol: %s\n    host: localhost\n    port: %s\n    tls_ca_file: %s\n    user: %s\n    password_file: %s\n    recipients: [alice@example.org]\n    mx: [mx.example.net]\n    first_run: deliver\n    flood_limit: 10000\n    retry_min: 1s\n",
		filepath.Join(v.dir, state), v.mta.Addr(), v.protocol, port, v.server.CAFile, v.server.User, filepath.Join(v.dir, "password"))
	if v.protocol == "imap" {
		lines = slices.Concat(v.row.imap, lines)
	}
	for _, l := range lines {
		text += "    " + l + "\n"
	}
	path := filepath.Join(v.dir, state+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// deliver puts the messages of these numbers into a folder upstream.
func (v *visit) deliver(t testing.TB, folder string, from, to int) {
	t.Helper()
	var all [][]byte
	for n := from; n <= to; n++ {
		all = append(all, matrixMail(n))
	}
	v.server.Owner.Deliver(t, folder, all...)
}

// matrixMail is the n-th message.
func matrixMail(n int) []byte {
	return bytes.Replace(clientMail(1+n%250), []byte("Subject: number"), fmt.Appendf(nil, "Subject: matrix %d of", n), 1)
}

var matrixSubject = regexp.MustCompile(`(?m)^Subject: matrix (\d+) of`)

// wantDelivered wants the messages of these numbers to be at the MTA, each whole and once, and no other.
func (v *visit) wantDelivered(t testing.TB, from, to int) {
	t.Helper()
	copies := map[string]int{}
	for _, m := range v.mta.Messages() {
		found := matrixSubject.FindSubmatch(m.Data)
		if found == nil || !bytes.HasSuffix(m.Data, []byte("\r\n\r\nline\r\n..two dots\r\n.\r\n")) {
			t.Errorf("a message is not what it was:\n%.2000s", m.Data)
			continue
		}
		copies[string(found[1])]++
	}
	for n := from; n <= to; n++ {
		if got := copies[fmt.Sprint(n)]; got != 1 {
			t.Errorf("message %d was delivered %d times", n, got)
		}
		delete(copies, fmt.Sprint(n))
	}
	if len(copies) > 0 {
		t.Errorf("delivered beside what was to be: %v", copies)
	}
}

// wantLeft wants that many messages in a folder upstream.
func (v *visit) wantLeft(t testing.TB, folder string, want int) {
	t.Helper()
	if got := v.server.Owner.Count(t, folder); got != want {
		t.Errorf("%d messages are in %s upstream, want %d", got, folder, want)
	}
}

// empty has the program take out what a trial left in the inbox.
func (v *visit) empty(t testing.TB) {
	t.Helper()
	if v.server.Owner.Count(t, "INBOX") > 0 {
		must(t, exitOK, "run", "--config", v.config(t, "empty", "on_delivered: delete"))
	}
	v.wantLeft(t, "INBOX", 0)
}

func tryCheck(t testing.TB, v *visit) {
	v.deliver(t, "INBOX", 1, 3)
	p := must(t, exitOK, "check", "--config", v.config(t, "state"))
	if !strings.Contains(p.stdout.String(), "3 messages") {
		t.Errorf("check does not say how many messages there are:\n%s", &p.stdout)
	}
	v.wantLeft(t, "INBOX", 3)
}

func tryTwice(t testing.TB, v *visit) {
	config := v.config(t, "state")
	v.deliver(t, "INBOX", 1, 3)
	must(t, exitOK, "run", "--config", config)
	v.wantDelivered(t, 1, 3)
	must(t, exitOK, "run", "--config", config)
	v.wantDelivered(t, 1, 3)
	v.deliver(t, "INBOX", 4, 4)
	must(t, exitOK, "run", "--config", config)
	v.wantDelivered(t, 1, 4)
	v.wantLeft(t, "INBOX", 4)
}

func tryDelete(t testing.TB, v *visit) {
	v.deliver(t, "INBOX", 1, 3)
	must(t, exitOK, "run", "--config", v.config(t, "state", "on_delivered: delete"))
	v.wantDelivered(t, 1, 3)
	v.wantLeft(t, "INBOX", 0)
}

func tryMove(t testing.TB, v *visit) {
	v.deliver(t, "INBOX", 1, 3)
	must(t, exitOK, "run", "--config", v.config(t, "state", "on_delivered: move:"+v.server.Prefix+"Done", "create_folders: true"))
	v.wantDelivered(t, 1, 3)
	v.wantLeft(t, "INBOX", 0)
	v.wantLeft(t, "Done", 3)
}

func tryFlag(t testing.TB, v *visit) {
	mark, flag := "flag:Handled", "Handled"
	if v.row.noKeywords {
		mark, flag = "seen", `\Seen`
	}
	v.deliver(t, "INBOX", 1, 3)
	must(t, exitOK, "run", "--config", v.config(t, "state", "on_delivered: "+mark))
	v.wantDelivered(t, 1, 3)
	if got := v.server.Owner.Flagged(t, "INBOX", flag); got != 3 {
		t.Errorf("%d messages have the flag %s, want 3", got, flag)
	}
}

func tryFolders(t testing.TB, v *visit) {
	v.server.Owner.Create(t, "Lists")
	v.deliver(t, "INBOX", 1, 2)
	v.deliver(t, "Lists", 3, 5)
	config := v.config(t, "state", "on_delivered: delete", "folders: [INBOX, "+v.server.Prefix+"Lists]")
	must(t, exitOK, "run", "--config", config)
	v.wantDelivered(t, 1, 5)
	v.wantLeft(t, "INBOX", 0)
	v.wantLeft(t, "Lists", 0)
}

func tryIdle(t testing.TB, v *visit) {
	if v.row.silent && !*matrixAll {
		t.Skip("-matrix.all waits until a server is asked that announces nothing")
	}
	v.deliver(t, "INBOX", 1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := command(t, ctx, "serve", "--config", v.config(t, "state", `schedule: "@every 24h"`, "on_delivered: delete", "idle_renewal: 30s"))
	p.start(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Wait() // the code is asked below
	}()
	for n := 1; n <= 3; n++ {
		if n > 1 {
			v.deliver(t, "INBOX", n, n)
		}
		select {
		case <-v.accepted:
		case <-ended:
			t.Fatalf("serve ended before message %d arrived\n%s", n, &p.stderr)
		}
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if got := p.ProcessState.ExitCode(); got != exitOK {
		t.Errorf("serve ended with %d\n%s", got, &p.stderr)
	}
	v.wantDelivered(t, 1, 3)
}

// tryCut ends the connections ever later, then never: what is left undone is done by passes that say so as long as anything is
// left, and nothing twice. One pass asks for few of the messages at which sessions ended, so it takes more than one.
func tryCut(t testing.TB, v *visit) {
	const messages = 20
	config := v.config(t, "state", "on_delivered: delete")
	v.deliver(t, "INBOX", 1, messages)
	for _, octets := range []int64{10, 100, 400, 900, 1500, 2500, 4000, 7000} {
		v.front.CutAfter(octets)
		p := command(t, t.Context(), "run", "--config", config)
		p.start(t)
		if got := p.wait(t); got == exitInternal || got < 0 {
			t.Fatalf("cut after %d octets, run ended with %d\n%s", octets, got, &p.stderr)
		}
	}
	v.front.CutAfter(0)
	for pass := 1; ; pass++ {
		must(t, exitOK, "retry", "--config", config, "work", "--all")
		p := command(t, t.Context(), "run", "--config", config)
		p.start(t)
		got := p.wait(t)
		if got == exitOK {
			break
		}
		if got != exitLater || pass > messages {
			t.Fatalf("pass %d ended with %d\n%s", pass, got, &p.stderr)
		}
	}
	if v.front.Cuts() < 4 {
		t.Errorf("only %d connections were cut", v.front.Cuts())
	}
	v.wantDelivered(t, 1, messages)
	v.wantLeft(t, "INBOX", 0)
}

func tryThousand(t testing.TB, v *visit) {
	v.deliver(t, "INBOX", 1, 1000)
	must(t, exitOK, "run", "--config", v.config(t, "state", "on_delivered: delete"))
	v.wantDelivered(t, 1, 1000)
	v.wantLeft(t, "INBOX", 0)
}

func tryLarge(t testing.TB, v *visit) {
	large := append(bytes.TrimSuffix(matrixMail(1), []byte("line\r\n..two dots\r\n.\r\n")),
		bytes.Repeat([]byte(strings.Repeat("a line of a large attachment ", 2)+"\r\n"), 30<<20/60)...)
	v.server.Owner.Deliver(t, "INBOX", large)
	must(t, exitOK, "run", "--config", v.config(t, "state", "on_delivered: delete"))
	all := v.mta.Messages()
	if len(all) != 1 {
		t.Fatalf("%d messages were delivered, want 1", len(all))
	}
	_, want, _ := bytes.Cut(large, []byte("\r\n\r\n"))
	if _, got, _ := bytes.Cut(all[0].Data, []byte("\r\n\r\n")); !bytes.Equal(got, want) {
		t.Errorf("the large message has a body of %d octets, want the %d that were sent", len(got), len(want))
	}
	v.wantLeft(t, "INBOX", 0)
}
