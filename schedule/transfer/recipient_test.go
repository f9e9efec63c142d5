package transfer_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truehop/truehop/fetch"
	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
	"github.com/truehop/truehop/schedule/transfer"
)

const (
	innerHop = "Received: from mx.example.net (mx.example.net [10.0.0.1])\r\n\tby store.example.net (Postfix) with LMTP id 7Q\r\n\tfor <inner@example.org>; Mon, 23 Nov 2026 12:00:01 +0000 (UTC)\r\n"
	outerHop = "Received: from helo.example.com (host.example.com [203.0.113.9])\r\n\tby mx.example.net (Postfix) with ESMTPS id 4X\r\n\tfor <outer@example.org>; Mon, 23 Nov 2026 12:00:00 +0000 (UTC)\r\n"
	rest     = "To: cc@example.org\r\nCc: other@example.org\r\nSubject: number 1\r\n\r\nbody\r\n"
)

// multidrop is a world whose mailbox holds the mail of example.org and example.net.
func multidrop(t *testing.T, from transfer.RecipientField) *world {
	w := newWorld(t)
	w.pass.Recipients = nil
	w.pass.Recipient = transfer.RecipientRule{From: from, Domains: []string{"example.org", "example.net"}, StripPrefix: "example.org-"}
	w.pass.Policy.Internal = []string{"store.example.net"}
	return w
}

// TestRecipient: where the recipient of a message in a multidrop mailbox comes from, and when there is
// none.
func TestRecipient(t *testing.T) {
	chain := innerHop + outerHop
	for _, c := range []struct {
		name string
		from transfer.RecipientField
		mail string
		want string // the recipient, or
		held string // why there is none
	}{
		{"top", "delivered-to", "Delivered-To: joe@example.org\r\n" + chain, "joe@example.org", ""},
		{"between the upstream's hosts", "delivered-to", innerHop + "Delivered-To: joe@example.org\r\n" + outerHop, "joe@example.org", ""},
		{"the topmost wins", "delivered-to", "Delivered-To: joe@example.org\r\n" + innerHop + "Delivered-To: list@example.org\r\n" + outerHop, "joe@example.org", ""},
		{"case of name and domain", "delivered-to", "DELIVERED-TO: <Joe@Example.ORG>\r\n" + chain, "Joe@Example.ORG", ""},
		{"another domain of ours", "x-original-to", "X-Original-To: joe@example.net\r\n" + chain, "joe@example.net", ""},
		{"the same twice", "envelope-to", "Envelope-To: joe@example.org\r\nEnvelope-To: JOE@example.org\r\n" + chain, "joe@example.org", ""},
		{"only the configured field", "x-envelope-to", "Delivered-To: a@example.org\r\nX-Envelope-To: b@example.org\r\n" + chain, "b@example.org", ""},
		{"X-Delivered-To", "x-delivered-to", "Delivered-To: a@example.org\r\nX-Delivered-To: b@example.org\r\n" + chain, "b@example.org", ""},
		{"X-Original-To beside Delivered-To", "x-original-to", "Delivered-To: a@example.org\r\nX-Original-To: b@example.org\r\n" + chain, "b@example.org", ""},
		{"Envelope-To beside Delivered-To", "envelope-to", "Delivered-To: a@example.org\r\nEnvelope-To: b@example.org\r\n" + chain, "b@example.org", ""},
		{"prefix of a virtual domain", "delivered-to", "Delivered-To: example.org-joe@example.org\r\n" + chain, "joe@example.org", ""},
		{"FOR of the upstream's host", transfer.ReceivedFor, chain, "inner@example.org", ""},
		{"FOR of the MX", transfer.ReceivedFor, strings.Replace(chain, "\r\n\tfor <inner@example.org>", "", 1), "outer@example.org", ""},

		{"To and Cc are never asked", "delivered-to", chain, "", "wrote no delivered-to"},
		{"another field is never asked", "delivered-to", "X-Envelope-To: joe@example.org\r\n" + chain, "", "wrote no delivered-to"},
		{"forged below the boundary", "delivered-to", chain + "Delivered-To: joe@example.org\r\n", "", "wrote no delivered-to"},
		{"forged chain below", transfer.ReceivedFor, strings.Replace(strings.Replace(chain, "\r\n\tfor <inner@example.org>", "", 1), "\r\n\tfor <outer@example.org>", "", 1) + outerHop, "", "no Received field of the upstream"},
		{"two different recipients", "delivered-to", "Delivered-To: a@example.org\r\nDelivered-To: b@example.org\r\n" + chain, "", "more than one delivered-to"},
		{"one recipient 10,000 times", "delivered-to", strings.Repeat("Delivered-To: a@example.org\r\n", 10_000) + chain, "a@example.org", ""},
		{"a foreign domain", "delivered-to", "Delivered-To: joe@elsewhere.example\r\n" + chain, "", "none of the domains"},
		{"a subdomain is foreign", "delivered-to", "Delivered-To: joe@sub.example.org\r\n" + chain, "", "none of the domains"},
		{"nothing is trusted", "delivered-to", "Delivered-To: joe@example.org\r\n", "", "nothing in the header is the upstream's"},
		{"written by nobody known", "delivered-to", "Delivered-To: joe@example.org\r\n" + strings.ReplaceAll(outerHop, "mx.example.net", "mx.example.com"), "", "nothing in the header is the upstream's"},
		{"empty", "delivered-to", "Delivered-To: <>\r\n" + chain, "", "no address"},
		{"no domain", "delivered-to", "Delivered-To: joe\r\n" + chain, "", "no address"},
		{"two in one", "delivered-to", "Delivered-To: a@example.org, b@example.org\r\n" + chain, "", "no address"},

		{"unsafe local part: option", "delivered-to", "Delivered-To: -oQ/tmp@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: option behind the prefix", "delivered-to", "Delivered-To: example.org--oQ/tmp@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: command", "delivered-to", "Delivered-To: |cmd@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: file", "delivered-to", "Delivered-To: /file@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: route", "delivered-to", "Delivered-To: joe%elsewhere.example@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: bang path", "delivered-to", "Delivered-To: elsewhere!joe@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: parameter", "delivered-to", "Delivered-To: <a@b>NOTIFY=NEVER@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: quoted", "delivered-to", "Delivered-To: \"joe\"@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: eight bit", "delivered-to", "Delivered-To: jürgen@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: nothing but the prefix", "delivered-to", "Delivered-To: example.org-@example.org\r\n" + chain, "", "not safe"},
		{"unsafe local part: too long", "delivered-to", "Delivered-To: " + strings.Repeat("x", 65) + "@example.org\r\n" + chain, "", "not safe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := multidrop(t, c.from)
			w.store.Add("", []byte(c.mail+rest))
			w.run()
			if c.held == "" {
				w.delivered(1)
				if len(w.mta.taken) == 1 && strings.Join(w.mta.taken[0].to, " ") != c.want {
					t.Errorf("delivered to %q, want %s", w.mta.taken[0].to, c.want)
				}
				return
			}
			w.delivered()
			w.left(1)
			w.states(map[ledger.State]int{ledger.Held: 1})
			if why := w.events[len(w.events)-1].Why; !strings.Contains(why, c.held) {
				t.Errorf("held because %q, want %q", why, c.held)
			}
		})
	}
}

// TestRecipientUnknown: an address that the MTA does not know is that message's matter, which is held, and
// delays no other, however many of them come in a row. That the MTA does not take the domain is everybody's.
func TestRecipientUnknown(t *testing.T) {
	for _, c := range []struct {
		name string
		said inject.Reply
		// stops says that such messages of three clients for three recipients in a row end the pass.
		stops bool
	}{
		{"user unknown", inject.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}, false},
		{"without a status code", inject.Reply{Code: 550, Text: "No such user"}, false},
		{"mailbox closed", inject.Reply{Code: 550, Enhanced: "5.2.1", Text: "Mailbox disabled"}, false},
		{"relay", inject.Reply{Code: 554, Enhanced: "5.7.1", Text: "<nobody@example.org>: Relay access denied"}, true},
		{"bad domain", inject.Reply{Code: 550, Enhanced: "5.1.2", Text: "Bad destination"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := multidrop(t, "delivered-to")
			w.pass.OnRefused = fetch.Disposal{Action: fetch.Delete}
			w.mta.verdict = func(m *inject.Message, _ int) inject.Receipt {
				if strings.HasPrefix(m.To[0], "nobody") {
					return inject.Receipt{Outcome: inject.Refused, Stage: "RCPT", Reply: c.said}
				}
				return accept()
			}
			n := 0
			put := func(to string) {
				n++
				w.store.Add("", fmt.Appendf(nil, "Delivered-To: %s@example.org\r\n%s%s%d", to, outerHop, rest, n))
			}
			for _, to := range []string{"nobody", "nobody", "joe", "nobody", "nobody"} {
				put(to)
			}
			if s := w.run(); s.Held != 4 || s.Delivered != 1 {
				t.Errorf("summary %+v, want four held and one delivered", s)
			}
			for range 3 {
				put("nobody")
			}
			w.run()
			w.states(map[ledger.State]int{ledger.Delivered: 1, ledger.Held: 7})
			for n := range 3 {
				raw := strings.ReplaceAll(outerHop+rest, "203.0.113.", "203.0.113.1"+strconv.Itoa(n))
				w.store.Add("", fmt.Appendf(nil, "Delivered-To: nobody%d@example.org\r\n%sagain", n, raw))
			}
			if _, err := w.try(); (err != nil) != c.stops {
				t.Errorf("with three clients and recipients in a row the pass ended with %v", err)
			}
			for range 5 {
				w.clock = w.clock.Add(24 * time.Hour)
				w.run()
			}
			w.left(10)
		})
	}
}
