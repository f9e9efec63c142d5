package received

import (
	"net/netip"
	"strings"
	"testing"
)

// line writes a Postfix field.
func line(helo, peer, by string) string {
	return "Received: from " + helo + " (" + peer + ") by " + by + " (Postfix) with ESMTP id 4A" + date
}

// TestBoundary walks under a policy that names the hosts.
func TestBoundary(t *testing.T) {
	lmtp := "Received: from mx.example.org ([10.0.0.2]) by store.example.org with LMTP id a1" + date
	nets := own
	nets.InternalNets = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	gateway := nets
	gateway.MX = []string{"mx.example.org", "*.gateway.example"}
	for _, tt := range []struct {
		name    string
		policy  Policy
		header  string
		outcome Outcome
		addr    string
	}{
		{"the MX alone", own, mxHop, OutcomeClient, "192.0.2.10"},
		{"store and MX", own, lmtp + mxHop, OutcomeClient, "192.0.2.10"},
		{"forged below", own, lmtp + mxHop + lmtp + lie, OutcomeClient, "192.0.2.10"},
		{"a loopback hop forged below", own, lmtp + mxHop + line("localhost", "localhost [127.0.0.1]", "mx.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"unparseable at the boundary", own, lmtp + line("a", "b [198.51.100.7]) (c [192.0.2.10]", "mx.example.org") + lie, OutcomeUnparseable, ""},
		{"a fetcher's line below", own, mxHop + "Received: from pop.example.org [203.0.113.4] by localhost with POP3 (fetchmail-6.4.37)" + date + lie, OutcomeClient, "192.0.2.10"},
		{"a fetcher of ours on top", own, "Received: from pop.example.org [203.0.113.4] by localhost with POP3 (fetchmail-6.4.37)" + date + lmtp + mxHop, OutcomeClient, "192.0.2.10"},
		{"a fetcher further down", own, lmtp + "Received: from pop.example.org [203.0.113.4] by localhost with POP3 (fetchmail-6.4.37)" + date + mxHop, OutcomeForeign, ""},
		{"no Received field", own, "X-Originating-IP: [198.51.100.7]\r\n", OutcomeNoReceived, ""},
		{"all hops internal", own, lmtp + ownHop, OutcomeInternal, ""},
		{"another provider below", own, line("fwd.example.net", "fwd.example.net [192.0.2.40]", "mx.example.org") + line("good", "good [198.51.100.7]", "mx.example.net"), OutcomeClient, "192.0.2.40"},
		{"a foreign writer", own, lmtp + line("good", "good [198.51.100.7]", "mail.elsewhere.example"), OutcomeForeign, ""},
		{"a private client, or a gateway", own, line("pc", "pc [192.168.1.9]", "mx.example.org"), OutcomePrivatePeer, ""},
		{"a CGNAT client, or a gateway", own, line("pc", "pc [100.64.1.1]", "mx.example.org"), OutcomePrivatePeer, ""},
		{"mapped loopback", own, line("pc", "pc [IPv6:::ffff:127.0.0.1]", "mx.example.org"), OutcomeInternal, ""},
		{"an octal address", own, line("pc", "pc [010.1.1.1]", "mx.example.org") + lie, OutcomeUnparseable, ""},
		{"the name claims to be ours", own, line("mx2.example.org", "mx2.example.org [192.0.2.10]", "mx.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"the name claims to be localhost", own, line("localhost", "localhost [192.0.2.10]", "mx.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"a client past the MX", own, line("mx.example.org", "dsl.isp.example [192.0.2.10]", "store.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"a client past the MX, no name", own, line("mx.example.org", "unknown [192.0.2.10]", "store.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"our MX by a verified name", own, line("mx.example.org", "mx.example.org [203.0.113.5]", "store.example.org") + mxHop, OutcomeClient, "192.0.2.10"},
		{"the same, but networks are given", nets, line("mx.example.org", "mx.example.org [192.0.2.10]", "store.example.org") + lie, OutcomeClient, "192.0.2.10"},
		{"LMTP from a public address, networks are given", nets, "Received: from mx.example.org ([192.0.2.10]) by store.example.org with LMTP id a1" + date + lie, OutcomeClient, "192.0.2.10"},
		{"LMTP from the writer of the next field", own, "Received: from mx.example.org ([203.0.113.5]) by store.example.org with LMTP id a1" + date + mxHop, OutcomeClient, "192.0.2.10"},
		{"LMTP from a public address", own, "Received: from evil.example ([198.51.100.9]) by store.example.org with LMTP id a1" + date + mxHop, OutcomeAmbiguous, ""},
		{"an internal network", nets, line("relay", "unknown [203.0.113.5]", "mx.example.org") + mxHop, OutcomeClient, "192.0.2.10"},
		{"a gateway that is configured", gateway, line("gw", "gw.gateway.example [203.0.113.5]", "mx.example.org") + line("x", "y [192.0.2.10]", "mx1.gateway.example"), OutcomeClient, "192.0.2.10"},
		{"a local program", own, "Received: by mx.example.org (Postfix, from userid 33) id 4A" + date + lie, OutcomeAmbiguous, ""},
		{"a local program, and nothing from outside", own, "Received: by mx.example.org (Postfix, from userid 33) id 4A" + date, OutcomeInternal, ""},
		{"a filter that hands back what came from outside, Exim", own, "Received: from Debian-exim by mx.example.org with spam-scanned (Exim 4.71) id 1ixXyV-0004Sd-9K" + date + mxHop, OutcomeAmbiguous, ""},
		{"the same, qmail", own, "Received: (qmail 19328 invoked by uid 1008); 15 Jan 2024 10:00:01 -0000\r\n" + mxHop, OutcomeAmbiguous, ""},
		{"a qmail remark", own, "Received: (qmail 1 invoked by uid 89); 15 Jan 2024 10:00:00 -0000\r\n" + mxHop, OutcomeClient, "192.0.2.10"},
		{"another remark", own, "Received: (Haraka outbound)" + date + mxHop, OutcomeUnparseable, ""},
		{"no policy", Policy{}, mxHop, OutcomeNoPolicy, ""},
		{"internal networks alone are no policy", Policy{InternalNets: nets.InternalNets}, mxHop, OutcomeNoPolicy, ""},
		{"dates do not count", own, lmtp + strings.Replace(mxHop, "2024", "1970", 1) + strings.Replace(lie, "2024", "2036", 1), OutcomeClient, "192.0.2.10"},
		{"the MX's SPF result agrees", own, "Received-SPF: pass (x) client-ip=192.0.2.10; receiver=mx.example.org\r\n" + mxHop, OutcomeClient, "192.0.2.10"},
		{"the MX's SPF result contradicts", own, "Received-SPF: pass (x) client-ip=203.0.113.9; receiver=mx.example.org\r\n" + mxHop, OutcomeConflict, ""},
		{"somebody's SPF result contradicts", own, "Received-SPF: pass (x) client-ip=203.0.113.9; receiver=mx.example.com\r\n" + mxHop, OutcomeClient, "192.0.2.10"},
		{"an SPF result further down", own, mxHop + lie + "Received-SPF: pass (x) client-ip=203.0.113.9; receiver=mx.example.org\r\n", OutcomeClient, "192.0.2.10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ReadChain([]byte(tt.header + "\r\n"))
			b := c.Boundary(tt.policy)
			addr := ""
			if b.Found {
				addr = b.Client.Addr.String()
			}
			if b.Outcome != tt.outcome || addr != tt.addr {
				t.Errorf("%s %q, want %s %q: %s", b.Outcome, addr, tt.outcome, tt.addr, b.Why)
			}
			mustBeSafe(t, c, b)
		})
	}
}

// TestHandedIn: a program on the provider's host handed the message in. It began there only if nothing below shows a
// client, or may hide one: a filter, a forwarding and a list hand in what came from outside.
func TestHandedIn(t *testing.T) {
	auto, _ := Profile("auto")
	pickup := "Received: by mx.example.org (Postfix, from userid 112) id 4A" + date
	lmtp := "Received: from mx.example.org by mx.example.org with LMTP id Yx (envelope-from <a@example.com>) for <u@example.org>" + date
	unreadable := "Received: from evil.example (unknown [192.0.2.66]) by mx.example.org (Postfix) with ESMTP id 4B\r\n\tfor <\"user+)\"@example.org>" + date
	loopback := line("localhost", "localhost [127.0.0.1]", "mx.example.org")
	for _, tt := range []struct {
		name, below string
		outcome     Outcome
	}{
		{"a client's field", mxHop, OutcomeAmbiguous},
		{"a client's field, unreadable by a recipient of his choice", unreadable, OutcomeAmbiguous},
		{"a field that nobody can read", "Received: hello\r\n", OutcomeAmbiguous},
		{"a delivery by LMTP, as before a pipe", lmtp + mxHop, OutcomeAmbiguous},
		{"the same, and the client's field unreadable", lmtp + unreadable, OutcomeAmbiguous},
		{"a second queue", "Received: by mx.example.org (Postfix) id 4A" + date + mxHop, OutcomeAmbiguous},
		{"a filter on the loopback interface", loopback + mxHop, OutcomeAmbiguous},
		{"a second program", pickup + mxHop, OutcomeAmbiguous},
		{"a second program, qmail's", "Received: (qmail 19328 invoked by uid 1008); 15 Jan 2024 10:00:01 -0000\r\n" + mxHop, OutcomeAmbiguous},
		{"a peer that may hide a client", line("pc", "unknown [172.17.0.1]", "mx.example.org"), OutcomeAmbiguous},
		{"a peer that is not recorded", "Received: by mx.example.org (Postfix) with ESMTP id 4A" + date, OutcomeAmbiguous},
		{"a fetcher", "Received: from pop.example.org [203.0.113.4] by mx.example.org with POP3 (fetchmail-6.4.37)" + date, OutcomeAmbiguous},
		{"nothing", "", OutcomeInternal},
		{"a delivery by LMTP alone", lmtp, OutcomeInternal},
		{"the loopback interface alone", loopback, OutcomeInternal},
		{"a second program alone", pickup, OutcomeInternal},
		{"a user who logged in", "Received: from pc (dsl.example.net [192.0.2.77]) by mx.example.org (Postfix) with ESMTPSA id 4B" + date, OutcomeInternal},
		{"a user's browser", "Received: from 192.0.2.77 (SquirrelMail authenticated user u) by mx.example.org with HTTP" + date, OutcomeInternal},
		{"a delivery by LMTP of what a host that is not known took", lmtp + line("evil.example", "evil.example [192.0.2.66]", "mx.elsewhere.example"), OutcomeAmbiguous},
		{"a field of somebody else's", line("a", "b [198.51.100.7]", "mail.elsewhere.example"), OutcomeInternal},
	} {
		for _, p := range []Policy{own, auto} {
			for _, above := range []string{pickup, ownHop + pickup} {
				c := ReadChain([]byte(above + tt.below + "\r\n"))
				b := c.Boundary(p)
				if b.Outcome != tt.outcome || b.Found {
					t.Errorf("%s, %q: %s, want %s: %s", tt.name, p.Provider, b.Outcome, tt.outcome, b.Why)
				}
				mustBeSafe(t, c, b)
			}
		}
	}
}

// TestHops is the override by position.
func TestHops(t *testing.T) {
	foreign := line("a", "b [192.0.2.10]", "mx.elsewhere.example")
	for _, tt := range []struct {
		name    string
		policy  Policy
		header  string
		outcome Outcome
		hop     int
	}{
		{"the first", Policy{Hops: 1}, mxHop + lie, OutcomeClient, 0},
		{"the second", Policy{Hops: 2}, ownHop + mxHop + lie, OutcomeClient, 1},
		{"nobody is asked who wrote", Policy{Hops: 2}, ownHop + foreign, OutcomeClient, 1},
		{"unless the policy says", Policy{Hops: 2, MX: own.MX}, ownHop + foreign, OutcomeForeign, -1},
		{"past the end", Policy{Hops: 3}, ownHop + mxHop, OutcomeForeign, -1},
		{"a private peer", Policy{Hops: 1}, ownHop + mxHop, OutcomeUnsafe, -1},
		{"unparseable above", Policy{Hops: 2}, "Received: hello\r\n" + mxHop, OutcomeUnparseable, -1},
		{"a remark at the position", Policy{Hops: 1}, "Received: (qmail 1 invoked by uid 89); 15 Jan 2024 10:00:00 -0000\r\n" + mxHop, OutcomeClient, 1},
		{"with auto", Policy{Provider: "auto", Hops: 2}, ownHop + mxHop, OutcomeClient, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ReadChain([]byte(tt.header + "\r\n"))
			b := c.Boundary(tt.policy)
			if b.Outcome != tt.outcome || b.Hop != tt.hop {
				t.Errorf("%s at %d, want %s at %d: %s", b.Outcome, b.Hop, tt.outcome, tt.hop, b.Why)
			}
			mustBeSafe(t, c, b)
		})
	}
}

// The submission host is described as the host behind it saw it.
func TestSubmissionHost(t *testing.T) {
	c := ReadChain([]byte(line("submit.example.org", "submit.example.org [203.0.113.5]", "store.example.org") +
		"Received: from [192.168.1.5] (dsl.example.net [192.0.2.77]) by submit.example.org (Postfix) with ESMTPSA id 4B" + date + "\r\n"))
	p := Policy{MX: []string{"submit.example.org"}, Internal: []string{"store.example.org"}}
	b := c.Boundary(p)
	if b.Outcome != OutcomeSubmission || !b.Found || !b.Authenticated || b.Submission == nil {
		t.Fatalf("%s: %s", b.Outcome, b.Why)
	}
	want := Client{Addr: netip.MustParseAddr("203.0.113.5"), Name: "submit.example.org", HELO: "submit.example.org"}
	if *b.Submission != want {
		t.Errorf("the submission host is %+v, want %+v", *b.Submission, want)
	}
}

// A provider that changes its form gets no answer, not a wrong one.
func TestChangedForm(t *testing.T) {
	p, _ := Profile("gmail")
	const inside = "Received: by 2002:a05:6214:2a8b:b0:6c1:77d0:4e12 with SMTP id k9csp815231edo" + date
	for _, changed := range []string{
		"Received: from mail.example.com peer 192.0.2.10 by mx.google.com with ESMTPS id x1" + date,
		"Received: by mx.google.com from [192.0.2.10] with ESMTPS id x1" + date,
		"Received: from mail.example.com (mail.example.com. <192.0.2.10>) by mx.google.com with ESMTPS id x1" + date,
		"Received: from mail.example.com (192.0.2.10; mail.example.com) by mx-in.google.com with ESMTPS id x1" + date,
	} {
		if b := ReadChain([]byte(inside + changed + lie + "\r\n")).Boundary(p); b.Found {
			t.Errorf("%s gives %v: %s", changed, b.Client.Addr, b.Why)
		}
	}
}

// TestReturnPathAmongTheMessagesFields: Exchange Online puts Return-Path below the boundary, where a
// sender could write one too. It counts only if the provider's own SPF result names its domain.
func TestReturnPathAmongTheMessagesFields(t *testing.T) {
	const top = "Authentication-Results: spf=pass (sender IP is 198.51.100.24)\r\n smtp.mailfrom=example.net; dkim=none\r\n" +
		"Received: from mx1.example.net (198.51.100.24) by\r\n AM4PEPF00027A5D.mail.protection.outlook.com (10.167.16.71) with Microsoft\r\n SMTP Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.8182.16\r\n via Frontend Transport; Mon, 23 Nov 2026 14:12:05 +0000\r\n"
	outlook, ok := Profile("outlook")
	if !ok {
		t.Fatal("no profile outlook")
	}
	for _, c := range []struct{ name, fields, want string }{
		{"proven", "Return-Path: billing@example.net\r\n", "billing@example.net"},
		{"another domain", "Return-Path: billing@bank.example\r\n", ""},
		{"two of them", "Return-Path: billing@example.net\r\nReturn-Path: other@example.net\r\n", ""},
		{"null", "Return-Path: <>\r\n", ""},
		{"none", "", ""},
	} {
		b := ReadChain([]byte(top + c.fields + "Subject: x\r\n\r\n")).Boundary(outlook)
		if !b.Found || b.Sender != c.want {
			t.Errorf("%s: found %v (%s), sender %q, want %q", c.name, b.Found, b.Why, b.Sender, c.want)
		}
	}
}

// TestBoundaryThatIsNotRecorded: what the MX did not write down is not looked for in the fields below,
// and a relay of the provider's own is not the client.
func TestBoundaryThatIsNotRecorded(t *testing.T) {
	store := "Received: from mx.example.org ([10.0.0.2]) by store.example.org with LMTP id a1" + date
	inner := func(peer, with string) string {
		return "Received: from " + peer + " by store.example.org " + with + date
	}
	const exchange = "(10.0.0.3) with Microsoft SMTP Server id 15.1.2507.1"
	nets := own
	nets.InternalNets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	broken := line("a", "b [198.51.100.7]) (c [192.0.2.10]", "mx.example.org")
	wide := Policy{MX: own.MX, Internal: []string{"*.example.org"}}
	for _, tt := range []struct {
		name    string
		policy  Policy
		header  string
		outcome Outcome
		addr    string
	}{
		{"the MX wrote no peer", own, store + "Received: by mx.example.org (Postfix) with ESMTPS id 4A" + date + lie, OutcomeUnparseable, ""},
		{"nor did it on top of all", own, "Received: by mx.example.org with SMTP id 4A" + date + lie, OutcomeUnparseable, ""},
		{"a second queue of the MX", own, store + "Received: by mx.example.org (Postfix) id 4A" + date + mxHop, OutcomeClient, "192.0.2.10"},
		{"a store that writes no peer", own, "Received: by store.example.org with SMTP id 4A" + date + mxHop, OutcomeClient, "192.0.2.10"},
		{"webmail from a private address", own, store + "Received: from [10.0.0.9] ([10.0.0.9]) by mx.example.org with HTTP (HTTP/1.1 POST)" + date + lie, OutcomeWebmail, ""},
		{"a name that only looks like the MX's", wide, store + line("good", "good [198.51.100.7]", "m\u0445.example.org"), OutcomeForeign, ""},
		{"our MX by a verified name, its field unreadable", own, line("mx.example.org", "mx.example.org [203.0.113.5]", "store.example.org") + broken, OutcomeAmbiguous, ""},
		{"our MX by a verified name, its field missing", own, line("mx.example.org", "mx.example.org [203.0.113.5]", "store.example.org") + line("x", "y [198.51.100.7]", "mx.example.com"), OutcomeAmbiguous, ""},
		{"a customer by a verified name", wide, line("mx.example.org", "dsl-17.example.org [203.0.113.5]", "store.example.org") + lie, OutcomeClient, "203.0.113.5"},
		{"the MX's name, networks are given", nets, line("mx.example.org", "mx.example.org [203.0.113.5]", "store.example.org") + broken, OutcomeClient, "203.0.113.5"},
		{"Exchange past the MX, under its name", own, inner("mx.example.org (192.0.2.10)", exchange) + lie, OutcomeAmbiguous, ""},
		{"Exchange past the MX, under another", own, inner("client.example (192.0.2.10)", exchange) + lie, OutcomeClient, "192.0.2.10"},
		{"qmail past the MX, under its name", own, inner("unknown (HELO mx.example.org) (192.0.2.10)", "with SMTP") + lie, OutcomeAmbiguous, ""},
		{"the same, networks are given", nets, inner("unknown (HELO mx.example.org) (192.0.2.10)", "with SMTP") + lie, OutcomeClient, "192.0.2.10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ReadChain([]byte(tt.header + "\r\n"))
			b := c.Boundary(tt.policy)
			addr := ""
			if b.Found {
				addr = b.Client.Addr.String()
			}
			if b.Outcome != tt.outcome || addr != tt.addr {
				t.Errorf("%s %q, want %s %q: %s", b.Outcome, addr, tt.outcome, tt.addr, b.Why)
			}
			mustBeSafe(t, c, b)
		})
	}
}

// TestExchangeOnlineInside: a user who logs in there may call himself by the name of one of its hosts, and
// write that host's field below. A name counts only together with an address of the service's own.
func TestExchangeOnlineInside(t *testing.T) {
	const mx = "AM0FT001.mail.protection.outlook.com"
	hop := func(helo, peer, by, own string) string {
		return "Received: from " + helo + " (" + peer + ") by " + by + " (" + own + ") with Microsoft SMTP Server id 15.20.7181.15" + date
	}
	top := hop("AM0PR02.eurprd01.prod.outlook.com", "2603:10a6:20b::5", "AM0PR01.eurprd01.prod.outlook.com", "2603:10a6:20b::6")
	below := hop("good.example", "198.51.100.7", mx, "10.13.0.1")
	profile, _ := Profile("outlook")
	auto, _ := Profile("auto")
	hosts := Policy{MX: profile.MX, Internal: profile.Internal}
	for _, p := range []Policy{profile, auto, hosts} {
		for _, tt := range []struct {
			peer string
			want bool
		}{
			{"2603:10a6:20b::9", true}, {"2a01:111:f400::9", true}, {"104.47.1.1", true}, {"10.167.1.1", true},
			{"52.133.1.1", false}, {"40.113.72.205", false}, {"2603:1020:201::9", false},
			{"192.0.2.10", false}, {"2001:470::9", false}, {"53.0.0.1", false},
		} {
			c := ReadChain([]byte(top + hop("AM0FT001.eop-eur01.prod.protection.outlook.com", tt.peer, "AM0PR02.eurprd01.prod.outlook.com", "2603:10a6:20b::5") + below + "\r\n"))
			b := c.Boundary(p)
			if b.Found != tt.want || tt.want && b.Hop != 2 || !tt.want && b.Outcome != OutcomeAmbiguous {
				t.Errorf("%q, %s: %s at %d: %s", p.Provider, tt.peer, b.Outcome, b.Hop, b.Why)
			}
			mustBeSafe(t, c, b)
		}
	}
}
