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
// told has a stand-in, and is [UNAVAILABLE] only where a person has said so.
func TestPresent(t *testing.T) {
	addr := netip.MustParseAddr
	then := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	client := received.Client{Addr: addr("203.0.113.1"), Name: "host1.example.org", HELO: "helo1.example.org", Port: 1025}
	shown := inject.Client{Addr: client.Addr, Name: client.Name, ReverseName: client.Name, HELO: client.HELO, Port: 1025, ESMTP: true}
	home := received.Client{Addr: addr("203.0.113.2"), HELO: "laptop"}
	relay := &received.Client{Addr: addr("203.0.113.3"), Name: "out.example.net", HELO: "out.example.net"}
	nobody := inject.Client{ESMTP: true}
	unknown := inject.Client{Addr: addr("192.0.0.8"), ESMTP: true}
	internal := inject.Client{Addr: addr("198.18.0.8"), ESMTP: true}
	other := transfer.StandIns{Unknown: addr("198.51.100.1"), Internal: addr("198.51.100.2")}
	never := func(network string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(network)} }
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
		{"known, without a filter", found(client), transfer.ClientRules{Unfiltered: true}, transfer.AskedPlain, inject.Client{}, false, []string{"filter is false for the account"}},
		{"not found, without a filter, whatever the rule", lost(received.OutcomeForeign), transfer.ClientRules{Unfiltered: true, Unknown: transfer.Hold}, transfer.AskedPlain, inject.Client{}, false, []string{"filter is false for the account"}},
		{"known, looked up all the same", found(client), transfer.ClientRules{Name: transfer.LookedUpName}, transfer.Asked, inject.Client{Addr: client.Addr, HELO: client.HELO, Port: client.Port, ESMTP: true}, true, nil},
		{"known, without a name", found(home), transfer.ClientRules{}, transfer.Asked, inject.Client{Addr: home.Addr, HELO: "laptop", ESMTP: true}, true, nil},

		{"not found", lost(received.OutcomeForeign), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"the client is not known: no trace", "192.0.0.8 stands for it"}},
		{"not found, another stand-in", lost(received.OutcomeForeign), transfer.ClientRules{StandIns: other}, transfer.Asked, inject.Client{Addr: other.Unknown, ESMTP: true}, false, []string{"198.51.100.1 stands for it"}},
		{"not found, hold", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.Hold}, transfer.HeldBack, inject.Client{}, false,
			[]string{"the client is not known: no trace", "held by on_unknown_client", "name mx and internal, or provider", "set on_unknown_client: present", "truehop retry"}},
		{"not found, skip", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.Skip}, transfer.Skipped, inject.Client{}, false, []string{"no trace"}},
		{"not found, plain", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.SendPlain}, transfer.AskedPlain, inject.Client{}, false, []string{"no trace"}},
		{"not found, unavailable", lost(received.OutcomeForeign), transfer.ClientRules{Unknown: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"no trace"}},
		{"a stand-in that is never to be presented", lost(received.OutcomeForeign), transfer.ClientRules{Never: never("192.0.0.0/24")}, transfer.HeldBack, inject.Client{}, false, []string{"192.0.0.8, is never to be presented", "truehop retry"}},
		{"a stand-in that a host may have", lost(received.OutcomeForeign), transfer.ClientRules{StandIns: transfer.StandIns{Unknown: addr("127.0.0.1")}}, transfer.HeldBack, inject.Client{}, false, []string{"127.0.0.1, is one that a host may have"}},

		{"written in the webmail", lost(received.OutcomeWebmail), transfer.ClientRules{Unknown: transfer.Hold}, transfer.Asked, internal, false, []string{"began at the upstream", "198.18.0.8 stands for it"}},
		{"handed in there", lost(received.OutcomeInternal), transfer.ClientRules{Unknown: transfer.Skip}, transfer.Asked, internal, false, []string{"began at the upstream"}},
		{"login from an address that is not recorded", lost(received.OutcomeSubmission), transfer.ClientRules{StandIns: other}, transfer.Asked, inject.Client{Addr: other.Internal, ESMTP: true}, false, []string{"198.51.100.2 stands for it"}},
		{"internal, hold", lost(received.OutcomeWebmail), transfer.ClientRules{Internal: transfer.Hold}, transfer.HeldBack, inject.Client{}, false, []string{"held by on_internal", "what helps: set on_internal: present"}},
		{"internal, skip", lost(received.OutcomeWebmail), transfer.ClientRules{Internal: transfer.Skip}, transfer.Skipped, inject.Client{}, false, []string{"began at the upstream"}},
		{"internal, plain", lost(received.OutcomeWebmail), transfer.ClientRules{Internal: transfer.SendPlain}, transfer.AskedPlain, inject.Client{}, false, []string{"began at the upstream"}},
		{"internal, unavailable", lost(received.OutcomeWebmail), transfer.ClientRules{Internal: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"began at the upstream"}},

		{"private", found(received.Client{Addr: addr("10.1.2.3"), Name: "x.example", HELO: "x"}), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"10.1.2.3, is private"}},
		{"loopback as IPv6", found(received.Client{Addr: addr("::ffff:127.0.0.1")}), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"is loopback"}},
		{"private within 6to4", found(received.Client{Addr: addr("2002:a01:203::1")}), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"a form of 10.1.2.3"}},
		{"never to be presented", found(client), transfer.ClientRules{Never: never("203.0.113.0/24")}, transfer.Asked, unknown, false, []string{"203.0.113.1, is never to be presented"}},
		{"private, hold", found(received.Client{Addr: addr("10.1.2.3"), HELO: "x"}), transfer.ClientRules{Unknown: transfer.Hold}, transfer.HeldBack, inject.Client{}, false, []string{"10.1.2.3, is private", "what helps: set on_unknown_client: present"}},
		{"private, skip", found(received.Client{Addr: addr("10.1.2.3")}), transfer.ClientRules{Unknown: transfer.Skip}, transfer.Skipped, inject.Client{}, false, []string{"is private"}},
		{"private, unavailable", found(received.Client{Addr: addr("10.1.2.3"), Name: "x.example", HELO: "x"}), transfer.ClientRules{Unknown: transfer.PresentUnavailable, Name: transfer.LookedUpName}, transfer.Asked, nobody, false, []string{"is private"}},
		{"the stand-in for unknown clients itself", found(received.Client{Addr: addr("192.0.0.8"), Name: "x.example"}), transfer.ClientRules{Unknown: transfer.Hold}, transfer.HeldBack, inject.Client{}, false, []string{"192.0.0.8, is one that stands for clients"}},
		{"the stand-in for internal mail itself", found(received.Client{Addr: addr("198.18.0.8"), Name: "x.example"}), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"198.18.0.8, is one that stands for clients"}},
		{"the stand-in as a mapped address", found(received.Client{Addr: addr("::ffff:198.18.0.8")}), transfer.ClientRules{}, transfer.Asked, unknown, false, []string{"is one that stands for clients"}},

		{"login, by the relay", login(relay), transfer.ClientRules{}, transfer.Asked, inject.Client{Addr: relay.Addr, Name: relay.Name, ReverseName: relay.Name, HELO: relay.HELO, ESMTP: true}, false, nil},
		{"login, taken by the MX itself", login(nil), transfer.ClientRules{Unknown: transfer.Hold}, transfer.Asked, internal, false, []string{"is not recorded"}},
		{"login, the relay's address not recorded", login(&received.Client{HELO: "out"}), transfer.ClientRules{}, transfer.Asked, internal, false, []string{"is not recorded"}},
		{"login, the relay's address is private", login(&received.Client{Addr: addr("10.0.0.1")}), transfer.ClientRules{Internal: transfer.Hold}, transfer.HeldBack, inject.Client{}, false, []string{"10.0.0.1, is private", "set submission: client", "or set on_internal: present"}},
		{"login, no relay recorded, unavailable", login(nil), transfer.ClientRules{Internal: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"is not recorded"}},
		{"login, by the user", login(nil), transfer.ClientRules{Submission: transfer.SubmissionClient}, transfer.Asked, inject.Client{Addr: home.Addr, HELO: "laptop", ESMTP: true}, true, nil},
		{"login, by the user, who must not be shown", login(nil), transfer.ClientRules{Submission: transfer.SubmissionClient, Never: never("203.0.113.2/32")}, transfer.Asked, internal, false, []string{"never to be presented"}},
		{"login, neither", login(relay), transfer.ClientRules{Submission: transfer.SubmissionUnavailable}, transfer.Asked, internal, false, []string{"submission is unavailable"}},

		{"stale", found(client), transfer.ClientRules{StaleAfter: day, Unknown: transfer.Skip}, transfer.Asked, unknown, false, []string{"longer ago than stale_after"}},
		{"stale, hold", found(client), transfer.ClientRules{StaleAfter: day, Stale: transfer.Hold}, transfer.HeldBack, inject.Client{}, false, []string{"longer ago than stale_after", "set on_stale: present"}},
		{"stale, plain", found(client), transfer.ClientRules{StaleAfter: day, Stale: transfer.SendPlain}, transfer.AskedPlain, inject.Client{}, false, []string{"stale_after"}},
		{"stale, unavailable", found(client), transfer.ClientRules{StaleAfter: day, Stale: transfer.PresentUnavailable}, transfer.Asked, nobody, false, []string{"stale_after"}},
		{"not stale yet", found(client), transfer.ClientRules{StaleAfter: 3 * day}, transfer.Asked, shown, false, nil},
		{"not found is not stale", lost(received.OutcomeForeign), transfer.ClientRules{StaleAfter: day, Stale: transfer.SendPlain}, transfer.Asked, unknown, false, []string{"no trace"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := &received.Chain{Hops: []received.Hop{{Time: then}}}
			got := transfer.Present(chain, c.b, c.rules, then.Add(2*day))
			if got.Treatment != c.want || got.Client != c.client || got.Lookup != c.lookup {
				t.Errorf("%+v\nwant %v, %+v, lookup %v", got, c.want, c.client, c.lookup)
			}
			if standIn := got.Client == unknown || got.Client == internal || got.Client.Addr == other.Unknown || got.Client.Addr == other.Internal; got.StandIn != standIn {
				t.Errorf("%+v: it is said to be a stand-in: %v", got.Client, got.StandIn)
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

// TestStandInIsSpaceWithoutHosts: what could be a host's address, carry rights, or fail at an MTA without IPv6, stands for nobody.
func TestStandInIsSpaceWithoutHosts(t *testing.T) {
	never := []netip.Prefix{netip.MustParsePrefix("198.18.7.0/24")}
	for a, fit := range map[string]bool{
		"192.0.0.8": true, "192.0.2.0": true, "192.0.2.255": true, "198.18.0.0": true, "198.19.255.255": true, "198.51.100.9": true, "203.0.113.9": true,
		"192.0.0.2": false, "192.0.0.9": false, "192.0.0.170": false, "198.17.255.255": false, "198.20.0.0": false, "192.0.3.0": false, "198.18.7.1": false,
		"127.0.0.1": false, "10.0.0.1": false, "0.0.0.0": false, "100.64.0.1": false, "240.0.0.1": false, "8.8.8.8": false,
		"::1": false, "2001:db8::1": false, "::ffff:192.0.0.8": false, "2002:c000:8::1": false, "fe80::1%eth0": false,
	} {
		if why := transfer.WhyNotStandIn(netip.MustParseAddr(a), never); (why == "") != fit {
			t.Errorf("%s: %q, want fit: %v", a, why, fit)
		}
	}
	if transfer.WhyNotStandIn(netip.Addr{}, nil) == "" {
		t.Error("no address at all is fit")
	}
	for _, a := range []netip.Addr{transfer.UnknownStandIn, transfer.InternalStandIn} {
		if why := transfer.WhyNotStandIn(a, nil); why != "" {
			t.Errorf("the default %s is %s", a, why)
		}
	}
}

// everyRoadToNoClient adds messages whose clients cannot be told, or must not be, and two that never had one.
func everyRoadToNoClient(w *world) {
	const date = ";\r\n\tMon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\n"
	w.pass.Client.Never = []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}
	w.store.Add("", []byte("Subject: number 1\r\n\r\nno Received at all\r\n"))
	w.store.Add("", []byte("Received: from x.example (x.example [203.0.113.8])\r\n\tby elsewhere.example (Postfix) with ESMTP id 4X"+date+"Subject: number 2\r\n\r\n"))
	w.store.Add("", []byte("Received: from x.example (x.example [203.0.113.9])\r\n\tby mx.example.net (Postfix) with ESMTPSA id 4X"+date+"Subject: number 3\r\n\r\n"))
	w.add(7)
	w.store.Add("", []byte("Received: by mx.example.net (Postfix, from userid 1000)\r\n\tid 4X"+date+"Subject: number 8\r\n\r\n"))
}

// TestStandInForEveryRoad: the rule where nothing is configured. The MTA always gets an address, which no sender chose.
func TestStandInForEveryRoad(t *testing.T) {
	w := newWorld(t)
	everyRoadToNoClient(w)
	if s := w.run(); s.Delivered != 5 {
		t.Errorf("summary %+v, want all five delivered", s)
	}
	want := map[string]string{"1": "192.0.0.8", "2": "192.0.0.8", "3": "198.18.0.8", "7": "192.0.0.8", "8": "198.18.0.8"}
	for _, got := range w.mta.taken {
		_, number, _ := strings.Cut(got.body, "Subject: number ")
		number, _, _ = strings.Cut(number, "\r\n")
		c := got.client
		if c.Addr.String() != want[number] || c.Name != "" || c.ReverseName != "" || c.HELO != "" || c.NameTemporary {
			t.Errorf("message %s: presented %+v, want %s and nothing else", number, c, want[number])
		}
	}
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Client != "192.0.0.8" && r.Client != "198.18.0.8" || !strings.Contains(r.Why, r.Client+" stands for it") {
			t.Errorf("message %s: client %q, why %q; want what the MTA was told", r.UID, r.Client, r.Why)
		}
	}
}

// TestRefusedUnderAStandInIsHeld: a refusal of an address that is not the client's says nothing about the message, so that it is
// never disposed of, for whatever recipient, and neither helps nor hinders the proof that the MTA takes mail.
func TestRefusedUnderAStandInIsHeld(t *testing.T) {
	w := newWorld(t)
	w.pass.Plain, w.pass.Quarantine = &mta{}, "spam@example.org"
	w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
		r := accept()
		r.Outcome, r.Stage, r.Reply = inject.Refused, "RCPT", inject.Reply{Code: 550, Enhanced: "5.7.1", Text: "SPF fail"}
		r.Presented = m.Client
		return r
	}
	everyRoadToNoClient(w)
	if s := w.run(); s.Held != 5 || s.WantPerson() != 5 {
		t.Errorf("summary %+v, want all five held", s)
	}
	w.left(5)
	w.states(map[ledger.State]int{ledger.Held: 5})
	for _, e := range w.events {
		if e.Kind == transfer.Verdict && !strings.Contains(e.Why, "not its own") {
			t.Errorf("message %s: the event does not say why: %s", e.Ref.UID, e.Why)
		}
	}
	proof, err := w.ledger.Proof(t.Context(), w.pass.Target)
	if err != nil {
		t.Fatal(err)
	}
	if taken, refused := proof.Since(0); taken != 0 || refused != 0 {
		t.Errorf("of known clients %d were taken and %d refused, want none of either", taken, refused)
	}
}

// TestStandInsEndNoPass: what several of them meet one after the other is not taken for the MTA's trouble, and does not
// interrupt a row of known clients that meet it.
func TestStandInsEndNoPass(t *testing.T) {
	broken := func(m *inject.Message, _ int) inject.Receipt {
		r := accept()
		r.Outcome, r.Stage, r.Presented = inject.Deferred, "RCPT", m.Client
		r.Err = &inject.Error{Kind: inject.Protocol, Op: "RCPT", Text: "out of step"}
		return r
	}
	w := newWorld(t)
	w.mta.verdict = broken
	everyRoadToNoClient(w)
	if s := w.run(); s.Deferred != 5 || w.mta.tries != 5 {
		t.Errorf("stand-ins alone: summary %+v after %d tries, want each deferred", s, w.mta.tries)
	}

	w = newWorld(t)
	w.mta.verdict = func(m *inject.Message, n int) inject.Receipt {
		if m.Client.Addr == transfer.UnknownStandIn {
			return accept()
		}
		return broken(m, n)
	}
	w.add(11)
	w.add(12)
	w.store.Add("", []byte("Subject: number 1\r\n\r\nno Received at all\r\n"))
	for n := range 5 {
		w.add(13 + n)
	}
	if s, err := w.try(); err == nil || s.Delivered != 1 || w.mta.tries != 4 {
		t.Errorf("between known clients: error %v, summary %+v after %d tries; want the pass ended by the third of them", err, s, w.mta.tries)
	}
}

// TestHoldByRule: where a person wants it so, the MTA is asked nothing, and the record says what the choices are.
func TestHoldByRule(t *testing.T) {
	w := newWorld(t)
	w.pass.Client.Unknown, w.pass.Client.Internal = transfer.Hold, transfer.Hold
	everyRoadToNoClient(w)
	if s := w.run(); s.Held != 5 || s.WantPerson() != 5 || w.mta.tries != 0 {
		t.Errorf("summary %+v, and the MTA was asked %d times; want all held", s, w.mta.tries)
	}
	w.left(5)
	records, err := w.ledger.List(t.Context(), ledger.Filter{Account: "work"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if !strings.Contains(r.Why, ": present; then truehop retry") || r.Client != "" {
			t.Errorf("message %s: client %q, the record does not say what the choices are: %s", r.UID, r.Client, r.Why)
		}
	}
}

// TestClientOfUnknownAge: a field without a time that can be read does not make its client stale.
func TestClientOfUnknownAge(t *testing.T) {
	chain := &received.Chain{Hops: []received.Hop{{}}}
	b := received.Boundary{Found: true, Client: received.Client{Addr: netip.MustParseAddr("203.0.113.1")}}
	if p := transfer.Present(chain, b, transfer.ClientRules{StaleAfter: time.Hour}, time.Now()); p.Client.Addr != b.Client.Addr {
		t.Errorf("presented %v because of %q", p.Client.Addr, p.Why)
	}
}
