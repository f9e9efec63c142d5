package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

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
//	tls=MODE             the upstream speaks TLS so: starttls; old, from the first octet, and no version above 1.1
//	login=REPLY          the upstream refuses all who log in by IMAP, in these words
//	socket               the MTA listens at the UNIX socket mta.sock
//	proxy                the MTA waits for a header of the PROXY protocol
//	garbage              the upstream does not speak its protocol
//	plain                a second MTA takes what is not to be judged
//	multidrop=DOMAIN     the recipient comes from the Received fields, in that domain
//	once                 the POP3 server removes at QUIT what was retrieved, and lets one session in at a time
//	large=OCTETS         a message of that size behind the others, of which LIST says that it has 1,000
//	nokeywords           the IMAP server keeps no keywords
//	relayed              another host of the upstream has passed each message on, with a program that nobody knows
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
	_, mtaOptions.PROXY = o["proxy"]
	w.store, w.mta = fakeserver.NewStore(), injecttest.New(mtaOptions)
	mta := w.mta
	ts.Defer(func() { ts.Check(mta.Close()) })
	if has("socket") {
		ts.Check(w.mta.Listen("unix", ts.MkAbs("mta.sock")))
	} else {
		_, err := w.mta.Start()
		ts.Check(err)
	}
	count, err := strconv.Atoi(o["messages"])
	ts.Check(err)
	for i, name := range slices.Sorted(maps.Keys(folders)) {
		w.store.Add(name, scriptMail(101+i))
	}
	var under atomic.Pointer[net.Conn] // the session with the upstream
	for n := range count {
		raw := scriptMail(n + 1)
		if has("relayed") {
			raw = append([]byte("Received: from mx.example.net by store7 (Inhouse 1.0) id 77; Mon, 23 Nov 2026 12:00:01 +0000\r\n"), raw...)
		}
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
	if has("socket") {
		address = "unix:" + address
	}
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
	if o["tls"] == "old" {
		secure.MinVersion, secure.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	}
	implicit := o["tls"] != "starttls"
	var says func(verb, _ string) (string, bool)
	if reply := o["login"]; reply != "" {
		says = func(verb, _ string) (string, bool) {
			return "%T " + reply + "\r\n", verb == "LOGIN" || verb == "AUTHENTICATE"
		}
	}
	_, bare := o["nokeywords"]
	var valid func(string) bool
	if w.tokens != nil {
		valid = w.tokens.Valid
	}
	serve := (&fakeserver.IMAP{Store: w.store, User: "u", Password: "secret-canary", ValidToken: valid, TLS: secure, Implicit: implicit, NoKeywords: bare, Attributes: folders, Reply: says}).Serve
	if o["protocol"] == "pop3" {
		_, once := o["once"]
		serve = (&fakeserver.POP3{
			Store: w.store, User: "u", Password: "secret-canary", ValidToken: valid, TLS: secure, Implicit: implicit, Once: once, Exclusive: once,
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

// scriptTB is a script as injecttest wants a test.
type scriptTB struct{ *testscript.TestScript }

func (scriptTB) Helper()                             {}
func (s scriptTB) Cleanup(f func())                  { s.Defer(f) }
func (s scriptTB) Errorf(format string, args ...any) { s.Fatalf(format, args...) }
func (s scriptTB) Skipf(format string, args ...any)  { s.Fatalf(format, args...) }

// unusedAddr is an address where nobody listens until the script ends.
func unusedAddr(ts *testscript.TestScript) string { return injecttest.Port(scriptTB{ts}) }

// scriptMail is a message that the client 203.0.113.N sent.
func scriptMail(n int) []byte {
	return []byte(strings.ReplaceAll(fmt.Sprintf(`Return-Path: <sender%[1]d@example.org>
Received: from host%[1]d.example.org (host%[1]d.example.org [203.0.113.%[1]d])
	by mx.example.net (Postfix) with ESMTPS id 4XyZ%[1]d
	for <alice@example.net>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)
Subject: canary-subject %[1]d
Message-ID: <canary-%[1]d@example.org>

canary-body
`, n), "\n", "\r\n"))
}
