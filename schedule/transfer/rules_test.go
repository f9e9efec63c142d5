package transfer_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// Each value of each rule, seen at its far end: in what the MTA gets, or in the ledger.

// TestNameOfTheClient: the name that the upstream verified is presented, or the one that the DNS gives now.
func TestNameOfTheClient(t *testing.T) {
	const nameless = "Received: from helo1.example.org (unknown [203.0.113.1])\r\n\tby mx.example.net (Postfix) with ESMTP id 4X;\r\n\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\nSubject: number 1\r\n\r\n"
	for _, c := range []struct {
		rule  transfer.NameSource
		mail  string
		want  string
		asked int
	}{
		{transfer.RecordedName, string(mail(1)), "host1.example.org", 0},
		{transfer.RecordedName, nameless, "dns.example.org", 1},
		{transfer.LookedUpName, string(mail(1)), "dns.example.org", 1},
		{transfer.LookedUpName, nameless, "dns.example.org", 1},
	} {
		w := newWorld(t)
		asked := 0
		w.pass.Client.Name = c.rule
		w.pass.LookupName = func(_ context.Context, addr netip.Addr) transfer.Name {
			if asked++; addr != netip.MustParseAddr("203.0.113.1") {
				t.Errorf("the name of %v is asked for", addr)
			}
			return transfer.Name{Verified: "dns.example.org", Reverse: "dns.example.org"}
		}
		w.store.Add("", []byte(c.mail))
		w.run()
		w.delivered(1)
		got := w.mta.taken[0].client
		if got.Name != c.want || got.ReverseName != c.want || asked != c.asked {
			t.Errorf("%v: presented as %q and %q after %d questions, want %q after %d", c.rule, got.Name, got.ReverseName, asked, c.want, c.asked)
		}
	}
}

// TestClientOfASubmission: whom each rule presents for mail of a user who logged in at the upstream.
func TestClientOfASubmission(t *testing.T) {
	const byRelay = "Received: from submit.example.net (submit.example.net [198.51.100.9])\r\n\tby store.example.net (Postfix) with ESMTPS id 4X; Mon, 23 Nov 2026 12:00:01 +0000\r\n" +
		"Received: from laptop (home.example.org [203.0.113.10])\r\n\tby submit.example.net (Postfix) with ESMTPSA id 4Y; Mon, 23 Nov 2026 12:00:00 +0000\r\nSubject: number 1\r\n\r\n"
	for rule, want := range map[transfer.Submission]inject.Client{
		transfer.SubmissionRelay:       {Addr: netip.MustParseAddr("198.51.100.9"), Name: "submit.example.net", ReverseName: "submit.example.net", HELO: "submit.example.net", ESMTP: true},
		transfer.SubmissionClient:      {Addr: netip.MustParseAddr("203.0.113.10"), Name: "home.example.org", ReverseName: "home.example.org", HELO: "laptop", ESMTP: true},
		transfer.SubmissionUnavailable: {Addr: transfer.InternalStandIn, ESMTP: true},
	} {
		w := newWorld(t)
		w.pass.Policy = received.Policy{MX: []string{"submit.example.net"}, Internal: []string{"store.example.net"}}
		w.pass.Client.Submission = rule
		w.store.Add("", []byte(byRelay))
		w.run()
		w.delivered(1)
		if got := w.mta.taken[0].client; got != want {
			t.Errorf("%v: presented as %+v, want %+v", rule, got, want)
		}
	}
}

// TestFirstRun: what each rule does with a mailbox that the ledger has never seen, which keeps its messages and
// holds more than the limit, or not more.
func TestFirstRun(t *testing.T) {
	for _, c := range []struct {
		rule  transfer.FirstAction
		limit int
		stops bool
		want  map[ledger.State]int
	}{
		{transfer.Ask, 2, true, map[ledger.State]int{}},
		{transfer.Ask, 3, false, map[ledger.State]int{ledger.Delivered: 3}},
		{transfer.DeliverAll, 2, false, map[ledger.State]int{ledger.Delivered: 3}},
		{transfer.DeliverAll, 3, false, map[ledger.State]int{ledger.Delivered: 3}},
		{transfer.AdoptAll, 2, false, map[ledger.State]int{ledger.Adopted: 3}},
		{transfer.AdoptAll, 3, false, map[ledger.State]int{ledger.Adopted: 3}},
	} {
		w := keeping(t, false)
		w.pass.Flood = transfer.Flood{Limit: c.limit, First: transfer.FirstRun{Action: c.rule}}
		for n := range 3 {
			w.add(n + 1)
		}
		if _, err := w.try(); (err != nil) != c.stops {
			t.Errorf("%v, limit %d: the pass ended with %v", c.rule, c.limit, err)
		}
		w.states(c.want)
		w.left(3)
	}
}

// TestGiveUp: a message that the MTA defers is given up after a time, or never.
func TestGiveUp(t *testing.T) {
	for after, want := range map[time.Duration]ledger.State{0: ledger.Deferred, 24 * time.Hour: ledger.Held} {
		w := newWorld(t)
		w.pass.Retry.GiveUp = after
		w.mta.verdict = func(*inject.Message, int) inject.Receipt {
			return reply(inject.Deferred, "RCPT", 450, "4.2.0", "later")
		}
		w.add(1)
		for range 30 {
			w.run()
			w.clock = w.clock.Add(w.pass.Retry.Max)
		}
		w.states(map[ledger.State]int{want: 1})
	}
}

// TestSenderOfLastResort: where nothing of the upstream's says who sent a message, or what it says cannot be a
// reverse-path, the configured sender stands in.
func TestSenderOfLastResort(t *testing.T) {
	whole := string(mail(1))
	without := whole[strings.Index(whole, "\n")+1:]
	for _, c := range []struct{ name, mail, sender, want string }{
		{"recorded", whole, "fallback@example.net", "sender1@example.org"},
		{"null", "Return-Path: <>\r\n" + without, "fallback@example.net", ""},
		{"not recorded", without, "fallback@example.net", "fallback@example.net"},
		{"not recorded, none configured", without, "", ""},
		{"recorded below the trusted fields", without[:strings.Index(without, "Subject:")] + whole, "fallback@example.net", "fallback@example.net"},
		{"several, the first by the upstream", "Return-Path: <first@example.org>\r\nReturn-Path: <second@example.org>\r\n" + whole, "fallback@example.net", "first@example.org"},
		{"several, all below the trusted fields", without[:strings.Index(without, "Subject:")] + "Return-Path: <first@example.org>\r\n" + whole, "fallback@example.net", "fallback@example.net"},
		{"several, one below the trusted fields", whole[:strings.Index(whole, "Subject:")] + "Return-Path: <forged@example.com>\r\nReturn-Path: <>\r\n" + whole[strings.Index(whole, "Subject:"):], "fallback@example.net", "sender1@example.org"},
		{"no domain", "Return-Path: <joe>\r\n" + without, "fallback@example.net", "fallback@example.net"},
		{"a domain that is none", "Return-Path: <joe@a..b>\r\n" + without, "fallback@example.net", "fallback@example.net"},
	} {
		w := newWorld(t)
		w.pass.Sender = c.sender
		w.store.Add("", []byte(c.mail))
		w.run()
		if len(w.mta.taken) != 1 || w.mta.taken[0].from != c.want {
			t.Errorf("%s: %+v, want it from %q", c.name, w.mta.taken, c.want)
		}
	}
}

// TestOrder: a name that takes long holds up its own message only, unless the order of the mailbox is to be kept.
func TestOrder(t *testing.T) {
	for ordered, want := range map[bool][]int{true: {1, 2, 3}, false: {2, 3, 1}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.pass.Ordered, w.pass.Client.Name = ordered, transfer.LookedUpName
			w.pass.LookupName = func(_ context.Context, addr netip.Addr) transfer.Name {
				switch addr.As4()[3] {
				case 1:
					time.Sleep(time.Minute) // of the bubble
				case 3:
					time.Sleep(time.Second)
				}
				return transfer.Name{}
			}
			for n := range 3 {
				w.add(n + 1)
			}
			w.run()
			w.delivered(want...)
		})
	}
}

// TestAdoptingLeavesWhatIsUnderWay: a person who adopts the unknown messages means no message that waits for another attempt.
func TestAdoptingLeavesWhatIsUnderWay(t *testing.T) {
	w := keeping(t, false)
	w.mta.verdict = always(reply(inject.Deferred, "RCPT", 450, "4.2.0", "greylisted"))
	w.add(1)
	w.run()
	w.mta.verdict = nil
	w.add(2)
	w.clock = w.clock.Add(time.Hour)
	w.pass.Flood.Adopt = true
	if s := w.run(); s.Adopted != 1 || s.Delivered != 1 {
		t.Errorf("summary %+v, want the new message adopted and the other one delivered", s)
	}
	w.delivered(1)
	w.states(map[ledger.State]int{ledger.Adopted: 1, ledger.Delivered: 1})
}
