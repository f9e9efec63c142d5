package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/cmd/truehop/internal/demo"
	"github.com/truehop/truehop/fetch/fakeserver"
	"github.com/truehop/truehop/inject/injecttest"
)

// TestExplainTellsWhatRunPresents: under every rule about clients, explain over the mailbox and explain over files
// by the account's rules show what a run and a dry run do with each message: the very commands that present its
// client, the other listener, or nothing.
func TestExplainTellsWhatRunPresents(t *testing.T) {
	for name, rule := range map[string]struct {
		inject, account string
		// does says for some messages what is done with them, and what is presented: so the rule is seen to hold.
		does map[string]string
	}{
		"none": {does: map[string]string{"known": "present NAME=host1.example.org ADDR=203.0.113.1", "nameless": "present NAME=now2.example.org ADDR=203.0.113.2",
			"no trace": "present ADDR=192.0.0.8", "written by another": "present ADDR=192.0.0.8", "private": "present ADDR=192.0.0.8",
			"login by a relay": "present ADDR=198.51.100.9", "login without a relay": "present ADDR=198.18.0.8", "old": "present ADDR=203.0.113.6"}},
		"on_unknown_client: skip":  {account: "on_unknown_client: skip", does: map[string]string{"no trace": "skip", "written by another": "skip", "private": "skip"}},
		"on_unknown_client: hold":  {account: "on_unknown_client: hold", does: map[string]string{"no trace": "hold", "private": "hold", "login without a relay": "present ADDR=198.18.0.8"}},
		"on_unknown_client: plain": {account: "on_unknown_client: plain", does: map[string]string{"no trace": "plain"}},
		"on_internal: hold":        {account: "on_internal: hold", does: map[string]string{"no trace": "present ADDR=192.0.0.8", "login without a relay": "hold"}},
		"on_internal: plain":       {account: "on_internal: plain", does: map[string]string{"login without a relay": "plain"}},
		"other stand-ins": {inject: "unknown_client_address: 192.0.2.8, internal_client_address: 192.0.2.9",
			does: map[string]string{"no trace": "present ADDR=192.0.2.8", "login without a relay": "present ADDR=192.0.2.9"}},
		"on_unknown_client: unavailable": {account: "on_unknown_client: unavailable", does: map[string]string{"no trace": "present ADDR=[UNAVAILABLE]"}},
		"submission: client": {account: "submission: client", does: map[string]string{"login by a relay": "present ADDR=203.0.113.10",
			"login without a relay": "present ADDR=203.0.113.11"}},
		"submission: unavailable":               {account: "submission: unavailable", does: map[string]string{"login by a relay": "present ADDR=198.18.0.8"}},
		"client_name: lookup":                   {account: "client_name: lookup", does: map[string]string{"known": "present NAME=now1.example.org ADDR=203.0.113.1"}},
		"stale_after":                           {account: "stale_after: 30d", does: map[string]string{"known": "present ADDR=203.0.113.1", "old": "hold"}},
		"stale_after and on_stale: plain":       {account: "stale_after: 30d, on_stale: plain", does: map[string]string{"old": "plain"}},
		"stale_after and on_stale: present":     {account: "stale_after: 30d, on_stale: present", does: map[string]string{"old": "present ADDR=192.0.0.8"}},
		"stale_after and on_stale: unavailable": {account: "stale_after: 30d, on_stale: unavailable", does: map[string]string{"old": "present ADDR=[UNAVAILABLE]", "no trace": "present ADDR=192.0.0.8"}},
		"never_present":                         {inject: "never_present: [203.0.113.1/32]", does: map[string]string{"known": "present ADDR=192.0.0.8", "nameless": "present ADDR=203.0.113.2"}},
		"never_present and on_unknown_client":   {inject: "never_present: [203.0.113.1/32]", account: "on_unknown_client: unavailable", does: map[string]string{"known": "present ADDR=[UNAVAILABLE]"}},
		"xclient: off":                          {inject: "xclient: off", does: map[string]string{"known": "present", "no trace": "present"}},
		"carrier: xforward":                     {inject: "carrier: xforward", does: map[string]string{"known": "present", "no trace": "present"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newPresenting(t, rule.inject, rule.account)
			explained := w.explain(t, "work", "--last", "99")
			if files := w.explain(t, append([]string{"--account", "work", "--"}, w.files...)...); !maps.EqualFunc(files, explained, shown.equal) {
				t.Errorf("over files it says\n%v\nover the mailbox\n%v", files, explained)
			}
			for _, args := range [][]string{{"run", "--dry-run"}, {"run"}} {
				if did := w.run(t, args...); !maps.EqualFunc(did, explained, shown.equal) {
					for n, m := range presentedMails() {
						if !did[n].equal(explained[n]) {
							t.Errorf("%v, %s:\n%v, but explain says\n%v", args, m.name, did[n], explained[n])
						}
					}
				}
			}
			for n, m := range presentedMails() {
				want, ok := rule.does[m.name]
				does, client, _ := strings.Cut(want, " ")
				got := explained[n]
				if right := got.does == does && strings.Contains(strings.Join(got.xclient, " "), client); ok && !right {
					t.Errorf("%s: %v, want %s", m.name, got, want)
				}
			}
		})
	}
}

// shown is what is done with one message, and the commands that present its client.
type shown struct {
	does    string // present, plain, or nothing of both
	xclient []string
}

func (s shown) equal(other shown) bool {
	asked := func(does string) string {
		if does == "hold" || does == "skip" {
			return ""
		}
		return does
	}
	return asked(s.does) == asked(other.does) && slices.Equal(s.xclient, other.xclient)
}

// presentedMails are messages of every kind that a rule is about. The n-th comes from mN@example.org.
func presentedMails() []struct{ name, received string } {
	now := time.Now()
	recent, old := now.Add(-time.Hour).Format(time.RFC1123Z), now.AddDate(0, 0, -60).Format(time.RFC1123Z)
	line := func(from, by, with, date string) string {
		return fmt.Sprintf("Received: from %s\r\n\tby %s (Postfix) with %s id 4XyZ; %s\r\n", from, by, with, date)
	}
	return []struct{ name, received string }{
		{"known", line("helo1.example.org (host1.example.org [203.0.113.1])", "mx.example.net", "ESMTPS", recent)},
		{"nameless", line("helo2.example.org (unknown [203.0.113.2])", "mx.example.net", "SMTP", recent)},
		{"nameless to the DNS as well", line("helo3.example.org (unknown [203.0.113.3])", "mx.example.net", "ESMTP", recent)},
		{"IPv6", line("helo4.example.org (host4.example.org [IPv6:2001:4860::4])", "mx.example.net", "ESMTPS", recent)},
		{"odd HELO", line("=?utf-8?q?x+y=3D?= (host5.example.org [203.0.113.5])", "mx.example.net", "ESMTP", recent)},
		{"old", line("helo6.example.org (host6.example.org [203.0.113.6])", "mx.example.net", "ESMTPS", old)},
		{"no trace", ""},
		{"written by another", line("helo8.example.org (host8.example.org [203.0.113.8])", "mx.example.com", "ESMTPS", recent)},
		{"private", line("helo9.example.org (host9.example.org [10.1.2.3])", "mx.example.net", "ESMTPS", recent)},
		{"login by a relay", line("submit.example.net (submit.example.net [198.51.100.9])", "store.example.net", "ESMTPS", recent) +
			line("laptop (home10.example.org [203.0.113.10])", "submit.example.net", "ESMTPSA", recent)},
		{"login without a relay", line("laptop (home11.example.org [203.0.113.11])", "mx.example.net", "ESMTPSA", recent)},
	}
}

// presenting is a mailbox with those messages, two MTAs and a configuration.
type presenting struct {
	dir, config string
	files       []string
	mta, plain  *injecttest.Server
}

func newPresenting(t *testing.T, injectLine, accountLine string) *presenting {
	t.Helper()
	w := &presenting{dir: t.TempDir()}
	store, ca := fakeserver.NewStore(), fakeserver.NewCA()
	for n, m := range presentedMails() {
		raw := fmt.Sprintf("Return-Path: <m%d@example.org>\r\n%sSubject: %s\r\n\r\nbody\r\n", n, m.received, m.name)
		store.Add("INBOX", []byte(raw))
		w.files = append(w.files, w.write(t, strconv.Itoa(n), raw))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{Certificates: []tls.Certificate{ca.Issue(fakeserver.Leaf{})}}
	upstream := fakeserver.Serve(listener, (&fakeserver.IMAP{Store: store, User: "u", Password: "p", TLS: secure, Implicit: true}).Serve)
	t.Cleanup(upstream.Close)
	dns, err := demo.StartDNS(t.Context(), map[netip.Addr]string{
		netip.MustParseAddr("203.0.113.1"): "now1.example.org", netip.MustParseAddr("203.0.113.2"): "now2.example.org",
		netip.MustParseAddr("2001:4860::4"): "now4.example.org", netip.MustParseAddr("203.0.113.11"): "now11.example.org",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	o := injecttest.Options{Record: true, XFORWARD: []string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}}
	w.mta, w.plain = injecttest.New(o), injecttest.New(injecttest.Options{Record: true, XCLIENT: []string{}})
	for _, s := range []*injecttest.Server{w.mta, w.plain} {
		if _, err := s.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	_, port, _ := strings.Cut(upstream.Addr(), ":")
	w.config = w.write(t, "truehop.yaml", fmt.Sprintf(`state_dir: %s
resolver: {server: %q}
inject: {address: %q, plain: %q, connections: 1, %s}
accounts:
  work: {host: localhost, port: %s, tls_ca_file: %s, user: u, password_file: %s, recipients: [alice@example.net], mx: [mx.example.net, submit.example.net], internal: [store.example.net], %s}
`, filepath.Join(w.dir, "state"), dns.Addr(), w.mta.Addr(), w.plain.Addr(), injectLine,
		port, w.write(t, "ca.pem", string(ca.PEM())), w.write(t, "password", "p\n"), accountLine))
	return w
}

func (w *presenting) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// explain returns what explain says, by the number of the message.
func (w *presenting) explain(t *testing.T, args ...string) map[int]shown {
	t.Helper()
	p := must(t, exitOK, append([]string{"explain", "--json", "--config", w.config}, args...)...)
	says := map[int]shown{}
	for line := range strings.Lines(p.stdout.String()) {
		var o struct {
			XCLIENT []string `json:"xclient"`
			Run     struct{ Does string }
		}
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		says[len(says)] = shown{o.Run.Does, o.XCLIENT}
	}
	if len(says) != len(w.files) {
		t.Fatalf("%d messages are explained, want %d\n%s", len(says), len(w.files), &p.stdout)
	}
	return says
}

// run runs truehop and returns what the MTAs were told, by the number of the message.
func (w *presenting) run(t *testing.T, args ...string) map[int]shown {
	t.Helper()
	before := map[*injecttest.Server]int{w.mta: len(w.mta.Transcript()), w.plain: len(w.plain.Transcript())}
	p := command(t, t.Context(), append(args, "--config", w.config)...)
	p.start(t)
	if code := p.wait(t); code != exitOK && code != exitPerson {
		t.Fatalf("truehop %v ended with %d\n%s%s", args, code, &p.stdout, &p.stderr)
	}
	did := map[int]shown{}
	for n := range w.files {
		did[n] = shown{}
	}
	for server, does := range map[*injecttest.Server]string{w.mta: "present", w.plain: "plain"} {
		var xclient []string
		for _, line := range server.Transcript()[before[server]:] {
			if strings.HasPrefix(line, "C: XCLIENT ") {
				xclient = append(xclient, strings.TrimPrefix(line, "C: "))
			}
			var n int
			if _, err := fmt.Sscanf(line, "C: MAIL FROM:<m%d@example.org>", &n); err == nil {
				did[n] = shown{does, xclient}
				xclient = nil
			}
		}
	}
	return did
}
