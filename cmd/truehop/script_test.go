package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
	"github.com/truehop/truehop/schedule/ledger"
)

// TestMain lets the test binary be the program, so that scripts run what users run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"truehop": func() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
		"relay":   relay,
	})
}

// TestScripts runs testdata/script: the program as a user meets it, each exit code among it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Values[embeddedKey{}] = &embedded{}
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "xdg"))
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "xdg-state"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"embed": embed, "upstream": upstreamHas, "mta": mtaHas, "plain": plainHas, "exit": exitIs, "await": await, "arrive": arrive,
			"vanish": vanish, "days": days, "older": older, "to": mtaTo, "labelled": labelled, "authority": authority, "empties": empties,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// embedded is what `embed` started for one script.
type embedded struct {
	store *fakeserver.Store
	mta   *injecttest.Server
	plain *injecttest.Server
	// tokens is the authorisation server, nil without oauth.
	tokens *fakeserver.Authority
	// accepted gets a value for each message that the MTA takes.
	accepted chan struct{}
}

type embeddedKey struct{}

// embed starts an upstream and an MTA and writes truehop.yaml for them. Its arguments:
//
//	protocol=imap|pop3   messages=N (clients 203.0.113.1 and so on)
//	listed=ADDR          refuses that client
//	also=ADDR            a second recipient
//	size=N               the largest message that the MTA takes
//	say=STAGE NTH REPLY  the MTA's reply at the Nth such stage, at all of them if 0
//	greylist             defers each message once
//	noxclient            the MTA offers no XCLIENT
//	down=mta|upstream    nobody listens there
//	cert=self            the upstream's certificate is of an unknown authority; expired, it is out of date; ends, it soon will be
//	garbage              the upstream does not speak its protocol
//	plain                a second MTA takes what is not to be judged
//	multidrop=DOMAIN     the recipient comes from the Received fields, in that domain
//	once                 the POP3 server removes at QUIT what was retrieved, and lets one session in at a time
//	large=OCTETS         a message of that size behind the others, of which LIST says that it has 1,000
//	nokeywords           the IMAP server keeps no keywords
//	header=OCTETS        each message has a header field of that length
//	breaks=N             the upstream closes the connection in the middle of message N
//	oauth=FLOW           the upstream takes OAuth 2 tokens alone, which are obtained so
//	expires=N            all access tokens end, and the session with them, in the middle of message N, once
//	folder=NAME          another message in that folder, of the client 203.0.113.101 and so on; a use behind a comma: folder=Bulk,\Junk
//	config=LINE          adds a line to the account
func embed(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("embed cannot fail")
	}
	o := map[string]string{"protocol": "imap", "messages": "1"}
	extra, faults, folders := "", []injecttest.Fault(nil), map[string]string{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		if key == "config" {
			extra += "    " + value + "\n"
		}
		if key == "folder" {
			name, use, _ := strings.Cut(value, ",")
			folders[name] = use
		}
		if key == "say" {
			words := strings.SplitN(value, " ", 3)
			nth, err := strconv.Atoi(words[1])
			ts.Check(err)
			faults = append(faults, injecttest.Fault{Stage: injecttest.Stage(words[0]), Nth: nth, Reply: words[2]})
		}
		o[key] = value
	}
	has := func(key string) bool { _, ok := o[key]; return ok }
	rules := injecttest.Rules{Greylist: has("greylist"), NoReverse: "550"}
	if has("listed") {
		rules.Listed = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(o["listed"]), 32)}
	}
	w := scriptWorld(ts)
	w.accepted = make(chan struct{}, 1000)
	mtaOptions := injecttest.Options{
		Rules: rules, Recipients: []string{"alice@example.net", o["also"]}, Faults: faults,
		Accepted: func(injecttest.Message) { w.accepted <- struct{}{} },
	}
	if has("size") {
		limit, err := strconv.ParseInt(o["size"], 10, 64)
		ts.Check(err)
		mtaOptions.SizeLimit = limit
	}
	if has("noxclient") {
		mtaOptions.XCLIENT = []string{}
	}
	w.store, w.mta = fakeserver.NewStore(), injecttest.New(mtaOptions)
	mta := w.mta
	ts.Defer(func() { ts.Check(mta.Close()) })
	_, err := w.mta.Start()
	ts.Check(err)
	count, err := strconv.Atoi(o["messages"])
	ts.Check(err)
	for i, name := range slices.Sorted(maps.Keys(folders)) {
		w.store.Add(name, scriptMail(101+i))
	}
	var under atomic.Pointer[net.Conn] // the session with the upstream
	for n := range count {
		raw := scriptMail(n + 1)
		if octets, err := strconv.Atoi(o["header"]); err == nil {
			raw = bytes.Replace(raw, []byte("Subject:"), []byte("X-Long: "+strings.Repeat("x", octets)+"\r\nSubject:"), 1)
		}
		open := func() io.Reader { return bytes.NewReader(raw) }
		if strconv.Itoa(n+1) == o["breaks"] {
			open = func() io.Reader {
				return io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), closing{under.Load()})
			}
		}
		if strconv.Itoa(n+1) == o["expires"] {
			var once sync.Once
			open = func() io.Reader {
				var r io.Reader = bytes.NewReader(raw)
				once.Do(func() {
					w.tokens.Expire()
					r = io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), closing{under.Load()})
				})
				return r
			}
		}
		w.store.AddMessage("INBOX", fakeserver.Message{Size: int64(len(raw)), Open: open})
	}
	if size, err := strconv.ParseInt(o["large"], 10, 64); err == nil {
		w.store.AddMessage("INBOX", fakeserver.Message{Size: size, Open: func() io.Reader {
			return io.LimitReader(io.MultiReader(bytes.NewReader(scriptMail(250)), endless{}), size)
		}})
	}
	ca := fakeserver.NewCA()
	proof := "password_file: " + ts.MkAbs("password")
	if has("oauth") {
		w.tokens = &fakeserver.Authority{ClientID: "truehop-test", Rotate: true, Interval: time.Second}
		proof = startScriptAuthority(ts, w.tokens, o["oauth"])
	}
	upstream := startScriptUpstream(ts, w, ca, o, folders, &under)
	address := w.mta.Addr().String()
	if has("plain") {
		w.plain = injecttest.New(injecttest.Options{XCLIENT: []string{}})
		plain := w.plain
		ts.Defer(func() { ts.Check(plain.Close()) })
		at, err := w.plain.Start()
		ts.Check(err)
		address += "\n  plain: " + at.String()
	}
	switch o["down"] {
	case "mta":
		address = unusedAddr(ts)
	case "upstream":
		upstream = unusedAddr(ts)
	}
	host, port, err := net.SplitHostPort(upstream)
	ts.Check(err)
	recipients := "recipients: [alice@example.net]"
	if has("also") {
		recipients = "recipients: [alice@example.net, " + o["also"] + "]"
	}
	if has("multidrop") {
		recipients = "recipient_from: received-for\n    recipient_domains: [" + o["multidrop"] + "]"
	}
	config := fmt.Sprintf("state_dir: %s\ninject:\n  address: %s\naccounts:\n  work:\n    protocol: %s\n    host: %s\n    port: %s\n    tls_ca_file: %s\n    user: u\n    %s\n    %s\n    mx: [mx.example.net]\n%s",
		ts.MkAbs("state"), address, o["protocol"], host, port, ts.MkAbs("ca.pem"), proof, recipients, extra)
	ts.Check(os.WriteFile(ts.MkAbs("truehop.yaml"), []byte(config), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("password"), []byte("secret-canary\n"), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca.PEM(), 0o600))
}

// scriptWorld is where embed leaves its servers.
func scriptWorld(ts *testscript.TestScript) *embedded {
	w, ok := ts.Value(embeddedKey{}).(*embedded)
	if !ok {
		ts.Fatalf("no world in this script")
	}
	return w
}

// closing closes a connection when it is read from.
type closing struct{ conn *net.Conn }

func (c closing) Read([]byte) (int, error) {
	_ = (*c.conn).Close()
	return 0, net.ErrClosed
}

func startScriptUpstream(ts *testscript.TestScript, w *embedded, ca *fakeserver.CA, o, folders map[string]string, under *atomic.Pointer[net.Conn]) string {
	leaf := fakeserver.Leaf{NotAfter: time.Now().AddDate(0, 3, 0)}
	if o["cert"] == "expired" {
		leaf.NotAfter = time.Now().Add(-time.Minute)
	}
	if o["cert"] == "ends" {
		leaf.NotAfter = time.Now().Add(75 * time.Hour)
	}
	cert := ca.Issue(leaf)
	if o["cert"] == "self" {
		cert = fakeserver.SelfSigned(fakeserver.Leaf{})
	}
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	_, bare := o["nokeywords"]
	var valid func(string) bool
	if w.tokens != nil {
		valid = w.tokens.Valid
	}
	serve := (&fakeserver.IMAP{Store: w.store, User: "u", Password: "secret-canary", ValidToken: valid, TLS: secure, Implicit: true, NoKeywords: bare, Attributes: folders}).Serve
	if o["protocol"] == "pop3" {
		_, once := o["once"]
		serve = (&fakeserver.POP3{
			Store: w.store, User: "u", Password: "secret-canary", ValidToken: valid, TLS: secure, Implicit: true, Once: once, Exclusive: once,
			Size: func(m fakeserver.Message) int64 { return min(m.Size, 1000) },
		}).Serve
	}
	if o["breaks"]+o["expires"] != "" {
		whole := serve
		serve = func(conn net.Conn) {
			under.Store(&conn)
			whole(conn)
		}
	}
	if _, garbage := o["garbage"]; garbage {
		serve = func(conn net.Conn) {
			c := tls.Server(conn, secure)
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close()
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	s := fakeserver.Serve(listener, serve)
	ts.Defer(s.Close)
	return s.Addr()
}

// endless is a text without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	const line = "a line and another line and another one\r\n"
	n := 0
	for len(p)-n >= len(line) {
		n += copy(p[n:], line)
	}
	return n + copy(p[n:], strings.Repeat("\n", len(p)-n)), nil
}

// unusedAddr is an address where nobody listens.
func unusedAddr(ts *testscript.TestScript) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer l.Close()
	return l.Addr().String()
}

// scriptMail is a message that the client 203.0.113.N sent.
func scriptMail(n int) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf(`Return-Path: <sender%[1]d@example.org>
Received: from host%[1]d.example.org (host%[1]d.example.org [203.0.113.%[1]d])
	by mx.example.net (Postfix) with ESMTPS id 4XyZ%[1]d
	for <alice@example.net>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)
Subject: canary-subject %[1]d

canary-body
`, n), "\n", "\r\n"))
}

// vanish takes all messages from the upstream, as another client of the mailbox does.
func vanish(ts *testscript.TestScript, _ bool, _ []string) {
	store := scriptWorld(ts).store
	store.Remove("", store.UIDs("")...)
}

// empties waits until no message is left in the upstream's inbox.
func empties(ts *testscript.TestScript, _ bool, _ []string) {
	store := scriptWorld(ts).store
	for {
		changed := store.Changed()
		if len(store.UIDs("")) == 0 {
			return
		}
		<-changed
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
		<-scriptWorld(ts).accepted
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
func scriptLedger(ts *testscript.TestScript, use func(context.Context, *ledger.Ledger)) {
	ctx := context.Background()
	record, err := ledger.Open(ctx, ts.MkAbs("state"))
	ts.Check(err)
	use(ctx, record)
	ts.Check(record.Close())
}

// days N lets the account's clock run for N days, as a pass on each would.
func days(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: days N")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	scriptLedger(ts, func(ctx context.Context, record *ledger.Ledger) {
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
	scriptLedger(ts, func(ctx context.Context, record *ledger.Ledger) {
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
