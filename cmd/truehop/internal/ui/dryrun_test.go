package ui

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestDryRunWritesRowsAsTheyCome: each row is written when its event comes, and not at the end.
func TestDryRunWritesRowsAsTheyCome(t *testing.T) {
	var out strings.Builder
	d := NewDryRun(&out, config.FullAddress)
	written := func(want string) {
		t.Helper()
		if out.String() != want {
			t.Errorf("wrote %q, want %q", out.String(), want)
		}
		out.Reset()
	}
	long := "a-name-that-is-longer-than-most-of-them.example.net"
	verdict := func(uid, name string) transfer.Event {
		return transfer.Event{Kind: transfer.Verdict, Account: "work", Ref: fetch.Ref{UID: uid}, State: string(ledger.Delivered), Heading: ledger.Heading{Subject: "number " + uid},
			Receipt: inject.Receipt{Stage: "RCPT", Presented: inject.Client{Addr: netip.MustParseAddr("192.0.2.7"), Name: name, HELO: "helo.example.net"}}}
	}
	d.Add(transfer.Event{Kind: transfer.Listed, Account: "work", Folder: "INBOX", Plan: transfer.Counts{Listed: 9, New: 9}, NotAsked: 6})
	d.Add(transfer.Event{Kind: transfer.Listed, Account: "work", Folder: "Junk", Plan: transfer.Counts{Listed: 3, New: 3}})
	written("")
	d.Add(verdict("1", "mail.example.net"))
	written("ACCOUNT  UID     CLIENT           NAME                      HELO                      THE MTA WOULD SAY         MESSAGE\n" +
		"work     1       192.0.2.7        mail.example.net          helo.example.net          take it                   \"number 1\"\n")
	d.Add(verdict("2", long))
	written("work     2       192.0.2.7        " + long + "  helo.example.net          take it                   \"number 2\"\n")
	d.Add(verdict("3", "\x1b[2J\nwork 4"))
	written("work     3       192.0.2.7        ?[2J?work 4                                          helo.example.net          take it                   \"number 3\"\n")
	d.Add(transfer.Event{Kind: transfer.NotRetrieved, Account: "work", Ref: fetch.Ref{UID: "4"}, Err: errors.New("too large")})
	written("work     4       -                -                                                    -                         not asked: too large      -\n")
	d.End(3, true)
	written("dry run of 4 messages: 3 taken, 1 not fetched\nwork, INBOX: only the newest 3 of 9 messages; --last 9 asks about all\n")
}

// TestDryRunTellsOfEarlierMail: what a pass would do upstream with what earlier ones have delivered is told.
func TestDryRunTellsOfEarlierMail(t *testing.T) {
	var out strings.Builder
	d := NewDryRun(&out, config.FullAddress)
	d.Add(transfer.Event{Kind: transfer.Listed, Account: "work", Folder: "INBOX", Disposals: map[fetch.Disposal]int{{Action: fetch.Delete}: 3, {Action: fetch.Move, Target: "Junk"}: 1}})
	d.End(50, true)
	want := "nothing new\nwork, INBOX: 3 messages of earlier passes would be deleted upstream\nwork, INBOX: 1 message of earlier passes would be moved to Junk upstream\n"
	if out.String() != want {
		t.Errorf("it says %q, want %q", out.String(), want)
	}
}

// TestDryRunOfNothing: nothing is said to be new only where all was looked at.
func TestDryRunOfNothing(t *testing.T) {
	for complete, want := range map[bool]string{true: "nothing new\n", false: ""} {
		var out strings.Builder
		NewDryRun(&out, config.FullAddress).End(50, complete)
		if out.String() != want {
			t.Errorf("complete %v: %q", complete, out.String())
		}
	}
}
