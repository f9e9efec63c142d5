package ui

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// golden holds what a person sees in so many columns against a file of testdata/golden, and wants no line to be wider.
func golden(t *testing.T, name string, columns int, print func(Page)) {
	t.Helper()
	var b strings.Builder
	print(Page{&b, columns})
	got := b.String()
	path := filepath.Join("testdata", "golden", fmt.Sprintf("%s-%d.txt", name, columns))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("in %d columns %s is\n%s\nwant\n%s", columns, name, got, want)
	}
	for line := range strings.Lines(b.String()) {
		if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); n > columns {
			t.Errorf("%s: %d columns of %d: %q", name, n, columns, line)
		}
	}
}

// shownRecords are messages of the ledger in the states that a person asks about.
func shownRecords() []ledger.Record {
	key := func(uid string) ledger.Key {
		return ledger.Key{Account: "work", Folder: "INBOX", Validity: 7, UID: uid}
	}
	return []ledger.Record{
		{Key: key("113"), State: ledger.Deferred, Token: "q3c4m2p7lfhx6vbtno5a", First: noon().Add(-10 * time.Minute), Last: noon().Add(-5 * time.Minute), Next: noon().Add(5 * time.Minute),
			Client: "198.51.100.140", Reply: "450 4.2.0 <me@example.org>: Recipient address rejected: Greylisted", Heading: ledger.Heading{From: "Dean's Office <dean@example.edu>", Subject: "The spring term"}},
		{Key: key("112"), State: ledger.Refused, Token: "z7k2w5j4rdgy3esunq6b", First: noon().Add(-26 * time.Hour), Last: noon().Add(-26 * time.Hour), Client: "192.0.2.66",
			Reply:   "554 5.7.1 Service unavailable; Client host [192.0.2.66] blocked using zen.example.net; https://zen.example.net/query/192.0.2.66",
			Heading: ledger.Heading{From: "Grand Lottery <winner@lottery.example>", Subject: "You have won 1,000,000"}},
		{Key: key("111"), State: ledger.Held, Token: "a5n6x3t4mchq2vbkro7d", First: noon().AddDate(0, 0, -4), Last: noon().AddDate(0, 0, -4),
			Why: "60123456 octets are more than max_size", Heading: ledger.Heading{From: "界界 <jo@example.com>", Subject: "写真"}},
		{Key: key("110"), State: ledger.Delivered, Token: "b2m7y4s3ldgr5wcjnp6e", First: noon().Add(-time.Hour), Last: noon().Add(-time.Hour), Client: "203.0.113.25", QueueID: "4XyZ9k2tXhz3wQm",
			Reply: "250 2.0.0 Ok: queued as 4XyZ9k2tXhz3wQm", Heading: ledger.Heading{From: "Science Letters <letters@news.example.org>", Subject: "Your week in science"}},
	}
}

// shownEvents are what a dry run finds.
func shownEvents() []transfer.Event {
	letters := ledger.Heading{From: "Science Letters <letters@news.example.org>", Subject: "Your week in science"}
	lottery := ledger.Heading{From: "Grand Lottery <winner@lottery.example>", Subject: "You have won 1,000,000"}
	known := inject.Client{Addr: netip.MustParseAddr("203.0.113.25"), Name: "news.example.org", HELO: "news.example.org"}
	listed := inject.Client{Addr: netip.MustParseAddr("192.0.2.66"), HELO: "mail.lottery.example"}
	verdict := func(uid string, state ledger.State, h ledger.Heading) transfer.Event {
		return transfer.Event{Kind: transfer.Verdict, Account: "work", Ref: fetch.Ref{UID: uid}, State: string(state), Heading: h}
	}
	taken, refused, held := verdict("113", ledger.Delivered, letters), verdict("112", ledger.Refused, lottery), verdict("111", ledger.Held, ledger.Heading{})
	taken.Receipt = inject.Receipt{Stage: "RCPT", Presented: known}
	refused.Receipt = inject.Receipt{Stage: "RCPT", Presented: listed, Reply: inject.Reply{Code: 554, Enhanced: "5.7.1",
		Text: "Service unavailable; Client host [192.0.2.66] blocked using zen.example.net"}}
	held.Why = "larger than max_size: 60123456 octets, max_size is 52428800"
	return []transfer.Event{
		{Kind: transfer.Listed, Account: "work", Folder: "INBOX", NotAsked: 12, Disposals: map[fetch.Disposal]int{{Action: fetch.Delete}: 109}},
		taken, refused, held,
		{Kind: transfer.NotRetrieved, Account: "home", Ref: fetch.Ref{UID: "7"}, Err: errors.New("RETR: the connection broke")},
	}
}

// shownStatuses are accounts as a person finds them on the day after.
func shownStatuses() []*AccountStatus {
	minutesAgo := func(n int) time.Time { return noon().Add(-time.Duration(n) * time.Minute) }
	pass := ledger.Pass{Began: minutesAgo(5), Ended: minutesAgo(5).Add(1234 * time.Millisecond), OK: true, Listed: 112, Delivered: 4, Deferred: 1, Refused: 1}
	well := NewAccountStatus("work", pass, pass.Ended, map[ledger.State]int{ledger.Delivered: 109, ledger.Deferred: 1, ledger.Refused: 1, ledger.Held: 1}, shownRecords()[:3], nil)
	failed := ledger.Pass{Began: minutesAgo(2), Ended: minutesAgo(2), Exit: 69, Error: "connect to imap.example.net:993: dial tcp 203.0.113.7:993: connect: connection refused",
		Hint: "nobody listens there: correct accounts.home.port, or wait until the server runs again"}
	down := NewAccountStatus("home", failed, noon().AddDate(0, 0, -3), nil, nil, nil)
	refused := NewAccountStatus("old", failed, time.Time{}, nil, nil, nil)
	refused.SetRefusal(ledger.Refusal{Times: 3, Last: minutesAgo(20), Next: noon().Add(40 * time.Minute), Reason: `AUTHENTICATE PLAIN: server said "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"`})
	return []*AccountStatus{down, NewAccountStatus("new", ledger.Pass{}, time.Time{}, nil, nil, nil), refused, well}
}

// shownChecks are what check finds: nothing, something to know, and something that is wrong.
func shownChecks() []*Checked {
	mailbox := &Checked{Kind: checkedAccount, Name: "work", Text: "work: imap at imap.example.net:993, TLS implicit, user me@example.com"}
	mailbox.Folder("INBOX", &fetch.Listing{Refs: make([]fetch.Ref, 112)})
	mailbox.Holds(112, 1)
	mailbox.Warn("clients: known of none of the last 5 messages: the provider's field does not record the peer's address", "name provider, or mx and internal, or hops; truehop explain work --last 5 shows each")
	broken := &Checked{Kind: checkedAccount, Name: "home", Text: "home: pop3 at pop.example.net:995, TLS implicit, user me"}
	broken.Fail(&fetch.Error{Kind: fetch.TLS, Op: "TLS with pop.example.net:995", Err: errors.New("tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T12:00:00Z is after 2026-11-20T00:00:00Z"),
		Advice: "the certificate expired on 2026-11-20: its owner has to renew it; or this host's clock is wrong"})
	return []*Checked{CheckState("/var/lib/truehop", "truehop"), mailbox, broken}
}

// TestGoldenTables: what status, history and check show at 80 and at 100 columns, whole.
func TestGoldenTables(t *testing.T) {
	defer func(zone *time.Location) { time.Local = zone }(time.Local)
	time.Local = time.UTC // the zone's name stands in heads of columns
	for _, columns := range []int{80, 100} {
		golden(t, "status", columns, func(w Page) {
			all := shownStatuses()
			PrintTotals(w, all)
			for _, s := range all {
				s.Print(w, "/var/lib/truehop", noon())
			}
		})
		golden(t, "dry-run", columns, func(w Page) {
			d := NewDryRun(w, config.FullAddress)
			for _, e := range shownEvents() {
				d.Add(e)
			}
			d.End(50, true)
		})
		golden(t, "settings", columns, func(w Page) {
			PrintSettings(w, []config.Setting{
				{Key: "state_dir", Value: "/var/lib/truehop", Origin: "default"}, {Key: "inject.unknown_client_address", Value: "192.0.0.8", Origin: "default"},
				{Key: "accounts.work.password_command", Value: "***", Origin: "/etc/truehop/conf.d/work.yaml:5"},
				{Key: "accounts.work.folders", Value: "[INBOX, Lists/announcements, Lists/discussion, Archive/2026]", Origin: "environment TRUEHOP_ACCOUNTS__WORK__FOLDERS"},
			})
		})
		golden(t, "explain", columns, func(w Page) {
			chain := received.ReadChain([]byte("Received: from mail.example.org (mail.example.org [203.0.113.25])\r\n\tby mx-ingress-17.inbound.example.net (Postfix) with ESMTPS id 4A\r\n\tfor <me@example.net>; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n"))
			b := chain.Boundary(received.Policy{MX: []string{"*.inbound.example.net"}})
			x := Explanation{Chain: chain, Boundary: b, Run: transfer.Presentation{Client: inject.Client{Addr: b.Client.Addr}}, Section: "inject", Carrier: "xclient",
				Commands: []string{"XCLIENT NAME=mail.example.org ADDR=203.0.113.25 PORT=[UNAVAILABLE] PROTO=ESMTP HELO=mail.example.org LOGIN=[UNAVAILABLE]"},
				Heading:  ledger.Heading{From: "Science Letters <letters@news.example.org>", Subject: "Your week in science, and what else there is"}}
			if err := x.Print(w, "work/113", false); err != nil {
				t.Fatal(err)
			}
		})
		golden(t, "history", columns, func(w Page) { PrintHistory(w, shownRecords(), noon()) })
		for name, all := range map[string]bool{"check": false, "check-verbose": true} {
			golden(t, name, columns, func(w Page) {
				found := shownChecks()
				for _, c := range found {
					c.Print(w, all)
				}
				PrintConclusion(w, found)
			})
		}
	}
}

// TestSay: a line that is too long goes on below, indented a little more; a pipe gets it as it is.
func TestSay(t *testing.T) {
	for _, c := range []struct {
		columns    int
		text, want string
	}{
		{0, "  a line that a pipe gets whole", "  a line that a pipe gets whole\n"},
		{20, "  short", "  short\n"},
		{20, "  twenty and one wide", "  twenty and one\n    wide\n"},
		{20, "two lines\n  the second of which is long", "two lines\n  the second of\n    which is long\n"},
		{20, "界界界界界界界界界界界", "界界界界界界界界界界\n  界\n"},
	} {
		var b strings.Builder
		say(Page{&b, c.columns}, c.text)
		if b.String() != c.want {
			t.Errorf("%q in %d columns is %q, want %q", c.text, c.columns, &b, c.want)
		}
	}
}
