package transfer_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

// TestPresent: what the MTA is told of each kind of client under each rule. A client of whom nothing can be
// told is [UNAVAILABLE] only where a person has said so.
func TestPresent(t *testing.T) {
	addr := netip.MustParseAddr
	then := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	client := received.Client{Addr: addr("203.0.113.1"), Name: "host1.example.org", HELO: "helo1.example.org", Port: 1025}
	shown := inject.Client{Addr: client.Addr, Name: client.Name, ReverseName: client.Name, HELO: client.HELO, Port: 1025, ESMTP: true}
	home := received.Client{Addr: addr("203.0.113.2"), HELO: "laptop"}
	relay := &received.Client{Addr: addr("203.0.113.3"), Name: "out.example.net", HELO: "out.example.net"}
	nobody := inject.Client{ESMTP: true}
	found := func(c received.Client) received.Boundary {
		return received.Boundary{Found: true, Client: c, ESMTP: true}
	}
	login := func(relay *received.Client) received.Boundary {
		return received.Boundary{Found: true, Client: home, ESMTP: true, Authenticated: true, Submission: relay}
	}
	lost := func(o received.Outcome) received.Boundary {
		return received.Boundary{Hop: -1, ESMTP: true, Outcome: o, Why: "no trace"}
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		b      received.Boundary
		rules  transfer.ClientRules
		want   transfer.Treatment
		client inject.Client
		lookup bool
		why    []string // parts of the reason; none for a client that is presented
	}{
		{"known", found(client), transfer.ClientRules{}, transfer.Asked, shown, false, nil},
		{"known, looked up all the same", found(client), transfer.ClientRules{Name: transfer.LookedUpName}, transfer.Asked, inject.Client{Addr: client.Addr, HELO: client.HELO, Port: client.Port, ESMTP: true}, true, nil},
		{"known, without a name", found(home), transfer.ClientRules{}, transfer.Asked, inject.Client{Addr: home.Addr, HELO: "laptop", ESMTP: true}, true, nil},

		{"not found", lost(received.OutcomeForeign), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false,
			[]string{"the client is not known: no trace", "[UNAVAILABLE]", "postgrey", "name mx and internal, or provider", "on_unknown_client: unavailable", "skip", "truehop retry"}},
		{"not found, skip", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.SkipUnknown}, transfer.Skipped, inject.Client{}, false, []string{"no trace"}},
		{"not found, unavailable", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"no trace"}},
		{"written at the upstream", lost(received.OutcomeWebmail), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"what helps: set on_unknown_client: unavailable"}},

		{"private", found(received.Client{Addr: addr("10.1.2.3"), HELO: "x"}), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"10.1.2.3, is private"}},
		{"loopback as IPv6", found(received.Client{Addr: addr("::ffff:127.0.0.1")}), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"is loopback"}},
		{"private within 6to4", found(received.Client{Addr: addr("2002:a01:203::1")}), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"a form of 10.1.2.3"}},
		{"never to be presented", found(client), transfer.ClientRules{Never: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}, transfer.HeldBack, inject.Client{}, false, []string{"203.0.113.1, is never to be presented"}},
		{"private, skip", found(received.Client{Addr: addr("10.1.2.3")}), transfer.ClientRules{Unknown: transfer.SkipUnknown}, transfer.Skipped, inject.Client{}, false, []string{"is private"}},
		{"private, unavailable", found(received.Client{Addr: addr("10.1.2.3"), Name: "x.example", HELO: "x"}), transfer.ClientRules{Unknown: transfer.PresentUnavailable, Name: transfer.LookedUpName}, transfer.Asked, nobody, false, []string{"is private"}},

		{"login, by the relay", login(relay), transfer.ClientRules{}, transfer.Asked, inject.Client{Addr: relay.Addr, Name: relay.Name, ReverseName: relay.Name, HELO: relay.HELO, ESMTP: true}, false, nil},
		{"login, no relay recorded", login(nil), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"is not recorded", "set submission: client"}},
		{"login, the relay's address not recorded", login(&received.Client{HELO: "out"}), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"is not recorded"}},
		{"login, the relay's address is private", login(&received.Client{Addr: addr("10.0.0.1")}), transfer.ClientRules{}, transfer.HeldBack, inject.Client{}, false, []string{"10.0.0.1, is private", "set submission: client"}},
		{"login, no relay recorded, unavailable", login(nil), transfer.ClientRules{Unknown: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"is not recorded"}},
		{"login, by the user", login(nil), transfer.ClientRules{Submission: transfer.SubmissionClient}, transfer.Asked, inject.Client{Addr: home.Addr, HELO: "laptop", ESMTP: true}, true, nil},
		{"login, nobody", login(relay), transfer.ClientRules{Submission: transfer.SubmissionUnavailable}, transfer.Asked, nobody, false, []string{"submission is unavailable"}},

		{"stale", found(client), transfer.ClientRules{StaleAfter: day, Unknown: transfer.SkipUnknown}, transfer.HeldBack, inject.Client{}, false, []string{"longer ago than stale_after", "set on_stale: plain, or unavailable"}},
		{"stale, plain", found(client), transfer.ClientRules{StaleAfter: day, Stale: transfer.StalePlain}, transfer.AskedPlain, inject.Client{}, false, []string{"stale_after"}},
		{"stale, unavailable", found(client), transfer.ClientRules{StaleAfter: day, Stale: transfer.StaleUnavailable}, transfer.Asked, nobody, false, []string{"stale_after"}},
		{"not stale yet", found(client), transfer.ClientRules{StaleAfter: 3 * day}, transfer.Asked, shown, false, nil},
		{"not found is not stale", lost(received.OutcomeForeign), transfer.ClientRules{StaleAfter: day, Stale: transfer.StalePlain}, transfer.HeldBack, inject.Client{}, false, []string{"no trace"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := &received.Chain{Hops: []received.Hop{{Time: then}}}
			got := transfer.Present(chain, c.b, c.rules, then.Add(2*day))
			if got.Treatment != c.want || got.Client != c.client || got.Lookup != c.lookup {
				t.Errorf("%+v\nwant %v, %+v, lookup %v", got, c.want, c.client, c.lookup)
			}
			if len(c.why) == 0 && got.Why != "" {
				t.Errorf("a reason where none is needed: %s", got.Why)
			}
			for _, part := range c.why {
				if !strings.Contains(got.Why, part) {
					t.Errorf("the reason lacks %q: %s", part, got.Why)
				}
			}
		})
	}
}

// TestUnknownClientIsHeldUnlessSomebodySaysOtherwise: the rule where nothing is configured, for each road that
// leads to a client of whom nothing can be told. One such message, told to the MTA as [UNAVAILABLE], ends filters
// behind it.
func TestUnknownClientIsHeldUnlessSomebodySaysOtherwise(t *testing.T) {
	w := newWorld(t)
	w.pass.Client.Never = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}
	w.store.Add("", []byte("Subject: number 1\r\n\r\nno Received at all\r\n"))
	w.store.Add("", []byte("Received: from x.example (x.example [203.0.113.8])\r\n\tby elsewhere.example (Postfix) with ESMTP id 4X;\r\n\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\nSubject: number 2\r\n\r\n"))
	w.store.Add("", []byte("Received: from x.example (x.example [203.0.113.9])\r\n\tby mx.example.net (Postfix) with ESMTPSA id 4X;\r\n\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\nSubject: number 3\r\n\r\n"))
	w.add(7)
	if s := w.run(); s.Held != 4 || s.WantPerson() != 4 || w.mta.tries != 0 {
		t.Errorf("summary %+v, and the MTA was asked %d times; want all four held", s, w.mta.tries)
	}
	w.left(4)
	w.states(map[ledger.State]int{ledger.Held: 4})
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if !strings.Contains(r.Why, "on_unknown_client: unavailable") || r.Client != "" {
			t.Errorf("message %s: client %q, the record does not say what the choices are: %s", r.UID, r.Client, r.Why)
		}
	}
	for _, e := range w.events {
		if e.Kind == transfer.Verdict && !strings.Contains(e.Why, "postgrey") {
			t.Errorf("message %s: the event does not say why: %s", e.Ref.UID, e.Why)
		}
	}
}
