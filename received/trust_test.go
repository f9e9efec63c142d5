package received

import (
	"errors"
	"net/netip"
	"testing"
)

// A chosen address is one that the sender wrote into a field of his own. No policy may give it.
var chosen = netip.MustParseAddr("198.51.100.7")

// forgery writes a field that the sender made up, as if host had written it.
func forgery(host string) string {
	return line("bank.example", "bank.example [198.51.100.7]", host)
}

func qmailLine(helo, addr, by string) string {
	return "Received: from " + helo + " (HELO " + helo + ") (" + addr + ") by " + by + " with ESMTP" + date
}

// TestBelief walks chains in which a host says more of itself than its neighbour verified. addr is
// the answer, "" where there is none.
func TestBelief(t *testing.T) {
	auto, _ := Profile("auto")
	outlook, _ := Profile("outlook")
	kernel, _ := Profile("kernel.org")
	hosts := Policy{MX: []string{"mx.uni.example"}, Internal: []string{"store.uni.example", "scan2.uni.example"}}
	wide := Policy{MX: []string{"mx.uni.example"}, Internal: []string{"*.uni.example"}}
	const frontend = " with Microsoft SMTP Server (version=TLS1_2) id 15.20.7181.15 via Frontend Transport" + date
	hub := "Received: from B1.eurprd08.prod.outlook.com (2603:10a6:102:5::8) by A1.eurprd08.prod.outlook.com (2603:10a6:20b:5::9) with HTTPS" + date
	proxied := Policy{MX: []string{"mx.example.org"}}
	named := Policy{MX: []string{"mx.example.org"}, Internal: []string{"scan.example.net"}}
	edge := hosts
	edge.Edge = true
	for _, tt := range []struct {
		name     string
		policies []Policy
		header   string
		outcome  Outcome
		addr     string
	}{
		{"the MX sees a gateway, and the client a foreign name", []Policy{auto, hosts, wide, edge},
			line("mail.sender.example", "unknown [172.22.1.1]", "mx.uni.example") + forgery("mail.sender.example"), OutcomePrivatePeer, ""},
		{"the MX sees a gateway, and the client the MX's name", []Policy{auto, hosts, wide, edge},
			line("mx.uni.example", "unknown [172.22.1.1]", "mx.uni.example") + forgery("mx.uni.example"), OutcomePrivatePeer, ""},
		{"the MX sees a gateway, and the client a short name", []Policy{auto, hosts, wide, edge},
			line("anything", "anything.local [10.9.8.7]", "mx.uni.example") + forgery("mx.uni.example"), OutcomePrivatePeer, ""},
		{"the MX sees a gateway that has a name", []Policy{auto, hosts, edge},
			line("mx.uni.example", "gw.uni.example [172.22.1.1]", "mx.uni.example") + forgery("mx.uni.example"), OutcomePrivatePeer, ""},
		{"the MX sees a gateway, and nothing stands below", []Policy{auto, hosts, wide, edge},
			line("pc", "unknown [172.22.1.1]", "mx.uni.example"), OutcomePrivatePeer, ""},
		{"the MX sees a gateway, and a local hand-over is forged below", []Policy{auto, hosts, wide, edge},
			line("mx.uni.example", "unknown [172.22.1.1]", "mx.uni.example") + "Received: by mx.uni.example (Postfix, from userid 33) id 4A" + date, OutcomePrivatePeer, ""},
		{"an inner host sees a private peer of a foreign name", []Policy{auto, hosts},
			line("mail.sender.example", "unknown [172.22.1.1]", "store.uni.example") + forgery("mx.uni.example"), OutcomePrivatePeer, ""},
		{"a new domain on the word of HELO", []Policy{auto},
			"Received: from mail.sender.example ([10.0.0.9]) by inbox7 with ESMTP id 4A" + date + forgery("mail.sender.example"), OutcomePrivatePeer, ""},
		{"a proxy on the MX, and the client's HELO", []Policy{auto, proxied},
			line("mail.example.com", "localhost [127.0.0.1]", "mx.example.org") + forgery("mail.example.com"), OutcomePrivatePeer, ""},
		{"a proxy on the MX, and the field looks like the MX's", []Policy{auto, proxied},
			line("mail.example.com", "localhost [127.0.0.1]", "mx.example.org") + forgery("mx.example.org"), OutcomePrivatePeer, ""},
		{"a proxy on the MX, and nothing below", []Policy{auto, proxied},
			line("mail.example.com", "localhost [127.0.0.1]", "mx.example.org"), OutcomePrivatePeer, ""},
		{"a filter on the MX under a name of its own", []Policy{auto, proxied},
			line("pps.filterd", "localhost [127.0.0.1]", "mx.example.org") + line("mail.example.com", "unknown [192.0.2.25]", "mx.example.org"), OutcomeClient, "192.0.2.25"},
		{"a filter on the MX that the policy names", []Policy{named},
			line("scan.example.net", "localhost [127.0.0.1]", "mx.example.org") + line("mail.example.com", "unknown [192.0.2.25]", "scan.example.net"), OutcomeClient, "192.0.2.25"},
		{"a machine in the provider's domain", []Policy{auto, wide},
			line("mail.cs.uni.example", "bob.cs.uni.example [203.0.113.66]", "mx.uni.example") + forgery("mail.cs.uni.example"), OutcomeAmbiguous, ""},
		{"the same where the hosts are named", []Policy{hosts},
			line("mail.cs.uni.example", "bob.cs.uni.example [203.0.113.66]", "mx.uni.example") + forgery("mail.cs.uni.example"), OutcomeClient, "203.0.113.66"},
		{"a rented machine named like a relay", []Policy{auto, wide},
			line("mx9.uni.example", "mx9.uni.example [203.0.113.66]", "mx.uni.example") + forgery("mx9.uni.example"), OutcomeAmbiguous, ""},
		{"a machine behind the MX that says it is the MX", []Policy{hosts},
			line("mx.uni.example", "bob.cs.uni.example [203.0.113.66]", "store.uni.example") + forgery("mx.uni.example"), OutcomeAmbiguous, ""},
		{"the same where all of the domain is internal", []Policy{wide},
			line("mx.uni.example", "bob.cs.uni.example [203.0.113.66]", "store.uni.example") + forgery("mx.uni.example"), OutcomeAmbiguous, ""},
		{"a machine behind the MX that writes a field of its own", []Policy{wide},
			line("bob.uni.example", "bob.uni.example [203.0.113.66]", "store.uni.example") + forgery("bob.uni.example"), OutcomeAmbiguous, ""},
		{"a customer's script", []Policy{auto, hosts},
			"Received: (qmail 23123 invoked by uid 10001); 15 Jan 2024 10:00:00 -0000\r\n" + forgery("mx.uni.example"), OutcomeAmbiguous, ""},
		{"a customer's script behind sSMTP", []Policy{auto, hosts},
			"Received: by store.uni.example (sSMTP sendmail emulation)" + date + forgery("mx.uni.example"), OutcomeAmbiguous, ""},
		{"a proof that holds the sender's words, and no relay", []Policy{kernel},
			"Received: from smtp.subspace.kernel.org (relay.kernel.org [52.25.139.140]) by ny.mirrors.kernel.org (Postfix) with ESMTPS id 4B" + date +
				line("localhost.localdomain", "localhost.localdomain [127.0.0.1]", "smtp.subspace.kernel.org") +
				"Authentication-Results: smtp.subspace.kernel.org; dkim=pass (2048-bit key) header.d=evil.example header.i=x client-ip=198.51.100.7 y@evil.example header.b=\"QX+wc9+i\"\r\n" +
				line("evil.example", "evil.example [203.0.113.66]", "smtp.subspace.kernel.org") +
				"Authentication-Results: smtp.subspace.kernel.org; arc=none smtp.client-ip=203.0.113.66\r\n" + forgery("smtp.subspace.kernel.org"), OutcomeClient, "203.0.113.66"},
		{"a proof in which the sender ends the quotation", []Policy{hosts},
			"Received-SPF: none (x) receiver=mx.uni.example; identity=mailfrom; envelope-from=\"x\\\" client-ip=198.51.100.7 y@evil.example\"; helo=evil.example; client-ip=203.0.113.66\r\n" +
				line("evil.example", "evil.example [203.0.113.66]", "mx.uni.example") + forgery("mx.uni.example"), OutcomeClient, "203.0.113.66"},
		{"a machine rented at Azure, in a network that was Exchange Online's", []Policy{outlook},
			"Authentication-Results: spf=none (sender IP is 2a01:111:f100:3002::66) smtp.mailfrom=evil.example; dkim=none\r\n" +
				"Received: from X9.mail.protection.outlook.com (2a01:111:f100:3002::66) by AM0EUR04FT023.mail.protection.outlook.com (10.13.30.111)" + frontend +
				"Received: from bank.example (198.51.100.7) by X9.mail.protection.outlook.com (10.13.1.1)" + frontend, OutcomeClient, "2a01:111:f100:3002::66"},
		{"a private MX, whose name and address hold the same number", []Policy{auto},
			line("mx1.uni.example", "mx1.uni.example [10.1.1.1]", "store.uni.example") + line("out.sender.example", "out.sender.example [192.0.2.25]", "mx1.uni.example"), OutcomeClient, "192.0.2.25"},
		{"a private MX of the account's domain, behind a store with a short name", []Policy{Auto("imap.uni.example"), Provider("postfix").Policy("imap.uni.example")},
			line("mx1.uni.example", "mx1.uni.example [10.1.1.1]", "inbox7") + line("out.sender.example", "out.sender.example [192.0.2.25]", "mx1.uni.example"), OutcomeClient, "192.0.2.25"},
		{"a balancer with the name that a cloud gives it", []Policy{auto},
			line("evil.example", "ip-10-0-1-5.eu-west-1.compute.internal [10.0.1.5]", "mx.uni.example") + forgery("ip-10-0-1-5.eu-west-1.compute.internal"), OutcomePrivatePeer, ""},
		{"a NAT gateway by the name that systemd gives it", []Policy{auto},
			line("evil.example", "_gateway [172.17.0.1]", "mx.uni.example") + forgery("_gateway"), OutcomePrivatePeer, ""},
		{"a balancer with a name of one label", []Policy{auto},
			line("evil.example", "traefik [172.18.0.2]", "mx.uni.example") + forgery("traefik"), OutcomePrivatePeer, ""},
		{"a balancer with the name that Docker gives it", []Policy{auto},
			line("evil.example", "traefik.proxy_default [172.18.0.2]", "mx.uni.example") + forgery("traefik.proxy_default"), OutcomePrivatePeer, ""},
		{"the same in a network that is called proxy", []Policy{auto},
			line("evil.example", "traefik.proxy [172.18.0.2]", "mx.uni.example") + forgery("traefik.proxy"), OutcomePrivatePeer, ""},
		{"a balancer in a zone for private use", []Policy{auto},
			line("evil.example", "lb1.lan [192.168.1.2]", "mx.uni.example") + forgery("lb1.lan"), OutcomePrivatePeer, ""},
		{"a balancer at home, where the router's domain is one of the Internet", []Policy{auto},
			line("evil.example", "nas.fritz.box [192.168.178.20]", "mx.uni.example") + forgery("nas.fritz.box"), OutcomePrivatePeer, ""},
		{"a balancer with a name of another cloud", []Policy{auto},
			line("evil.example", "haproxy-1.us-central1-a.c.proj.internal [10.128.0.7]", "mx.uni.example") + forgery("haproxy-1.us-central1-a.c.proj.internal"), OutcomePrivatePeer, ""},
		{"a balancer with a name that a wide pattern fits", []Policy{wide},
			line("evil.example", "lb1.uni.example [10.0.1.5]", "mx.uni.example") + forgery("lb1.uni.example"), OutcomePrivatePeer, ""},
		{"a rented machine that says it is Exchange Online", []Policy{auto, outlook},
			hub + "Received: from X9.mail.protection.outlook.com (40.113.72.205) by B1.eurprd08.prod.outlook.com (2603:10a6:102:5::8)" + frontend +
				"Received: from bank.example (198.51.100.7) by X9.mail.protection.outlook.com (100.127.1.1)" + frontend, OutcomeAmbiguous, ""},
		{"a client access host and the service's own network, in the wrong direction", []Policy{auto, outlook},
			hub + "Received: from X9.mail.protection.outlook.com (2603:10a6:102:5::77) by B1CA0033.eurprd08.prod.outlook.com (2603:10a6:102:5::8)" + frontend +
				"Received: from bank.example (198.51.100.7) by X9.mail.protection.outlook.com (100.127.1.1)" + frontend, OutcomeAmbiguous, ""},
		{"a forged relay of the provider's below a foreign client", []Policy{auto, hosts, wide},
			line("spam.example", "spam.example [203.0.113.66]", "mx.uni.example") + forgery("relay.uni.example"), OutcomeClient, "203.0.113.66"},
		{"a forged relay of the provider's below a client without a name", []Policy{auto, hosts, wide},
			line("relay.uni.example", "unknown [203.0.113.66]", "mx.uni.example") + forgery("relay.uni.example"), OutcomeClient, "203.0.113.66"},
		{"sendmail says that the name may be forged", []Policy{auto, hosts, wide},
			"Received: from relay.uni.example (relay.uni.example [203.0.113.66] (may be forged)) by mx.uni.example (8.17.1/8.17.1) with ESMTP id 4A" + date + forgery("relay.uni.example"), OutcomeClient, "203.0.113.66"},
		{"a filter of the provider's own that hands back to the MX", []Policy{hosts},
			line("scan2.uni.example", "scan2.uni.example [203.0.113.80]", "mx.uni.example") +
				"Received: from mx.uni.example ([10.0.0.5]) by scan2.uni.example (amavisd-new, port 10024) with ESMTP id 4A" + date +
				line("out.sender.example", "out.sender.example [192.0.2.25]", "mx.uni.example"), OutcomeClient, "192.0.2.25"},
		{"the same where all of the domain is internal: no client, and not the filter", []Policy{wide, auto},
			line("scan2.uni.example", "scan2.uni.example [203.0.113.80]", "mx.uni.example") +
				"Received: from mx.uni.example ([10.0.0.5]) by scan2.uni.example (amavisd-new, port 10024) with ESMTP id 4A" + date +
				line("out.sender.example", "out.sender.example [192.0.2.25]", "mx.uni.example"), OutcomeAmbiguous, ""},
		{"a host that the policy lists as internal, and no field of its own", []Policy{hosts},
			line("scan2.uni.example", "scan2.uni.example [203.0.113.80]", "mx.uni.example") + forgery("elsewhere.example"), OutcomeAmbiguous, ""},
		{"a relay that nobody verified, of the writer's own name", []Policy{auto},
			qmailLine("gate.uni.example", "203.0.113.82", "uni.example") + qmailLine("out.sender.example", "192.0.2.25", "uni.example"), OutcomeAmbiguous, ""},
		{"a relay that nobody verified, and a short name below", []Policy{auto},
			"Received: from p-in7.uni.example ([203.0.113.83]) by p-store3.uni.example (InterMail vM.9.01) with ESMTP id 4A" + date +
				"Received: from out.sender.example ([192.0.2.25]) by relaysmtp with ESMTP id 4A" + date, OutcomeAmbiguous, ""},
		{"the same, and the provider's own proof names its peer", []Policy{auto},
			"Authentication-Results: uni.example; iprev=pass smtp.remote-ip=192.0.2.25\r\n" +
				qmailLine("gate.uni.example", "203.0.113.82", "uni.example") + qmailLine("out.sender.example", "192.0.2.25", "uni.example"), OutcomeClient, "192.0.2.25"},
		{"the provider's own proof names the relay-like peer", []Policy{auto},
			"Authentication-Results: uni.example; iprev=pass smtp.remote-ip=203.0.113.82\r\n" +
				qmailLine("berg06.uni.example", "203.0.113.82", "uni.example") + qmailLine("app.uni.example", "192.168.0.3", "berg06.uni.example"), OutcomeClient, "203.0.113.82"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, p := range tt.policies {
				c := ReadChain([]byte(tt.header + "\r\n"))
				b := c.Boundary(p)
				addr := ""
				if b.Found {
					addr = b.Client.Addr.String()
				}
				if b.Client.Addr == chosen {
					t.Errorf("policy %d gives an address that the sender chose: %s", i, b.Why)
				}
				if b.Outcome != tt.outcome || addr != tt.addr {
					t.Errorf("policy %d gives %s %q, want %s %q: %s", i, b.Outcome, addr, tt.outcome, tt.addr, b.Why)
				}
				if b.Err() != nil && !errors.Is(b.Err(), b.Outcome) {
					t.Errorf("policy %d: the reason %v is not the outcome", i, b.Err())
				}
				mustBeSafe(t, c, b)
			}
		})
	}
}

// TestAnswers tells apart a client that was found, mail that never had one, and a client that cannot
// be told.
func TestAnswers(t *testing.T) {
	store := "Received: from mx.example.org ([10.0.0.2]) by store.example.org with LMTP id a1" + date
	for _, tt := range []struct {
		name, header string
		internal     bool
		reasons      []error
	}{
		{"found", mxHop, false, nil},
		{"handed in by a program", store + "Received: by mx.example.org (Postfix, from userid 33) id 4A" + date, true, nil},
		{"written in the webmail", store + "Received: from [10.0.0.9] ([10.0.0.9]) by mx.example.org with HTTP (HTTP/1.1 POST)" + date, true, nil},
		{"submitted, and the address is not shown", "Received: by mx.example.org (Postfix) with ESMTPSA id 4B" + date, true, nil},
		{"submitted, and the address is the user's word", "Received: from [IPV6:2001:db8:17::10]\r\n\tby mx.example.org (chasquid) with ESMTPSA" + date, true, nil},
		{"the same with a comment of his", "Received: from [198.51.100.7](x) by mx.example.org (chasquid) with ESMTPSA" + date, true, nil},
		{"a login in a client's word, which is all there is", "Received: from 198.51.100.7(authenticated) by mx.example.org with ESMTP" + date, false, []error{OutcomeUnparseable}},
		{"no field at all", "Subject: x\r\n", false, []error{OutcomeNoReceived}},
		{"a foreign writer", store + line("a", "b [192.0.2.10]", "mx.example.com"), false, []error{OutcomeForeign}},
		{"two addresses", line("a", "b [198.51.100.7]) (c [192.0.2.10]", "mx.example.org"), false, []error{OutcomeUnparseable, ErrTwoAddresses}},
		{"a private peer", line("pc", "pc [192.168.1.9]", "mx.example.org"), false, []error{OutcomePrivatePeer}},
	} {
		b := ReadChain([]byte(tt.header + "\r\n")).Boundary(own)
		if b.Internal() != tt.internal {
			t.Errorf("%s: internal is %v: %s", tt.name, b.Internal(), b.Why)
		}
		if known := b.Found || b.Internal(); known != (b.Err() == nil) {
			t.Errorf("%s: the error is %v", tt.name, b.Err())
		}
		for _, reason := range tt.reasons {
			if !errors.Is(b.Err(), reason) {
				t.Errorf("%s: %v is not %v", tt.name, b.Err(), reason)
			}
		}
		if errors.Is(b.Err(), OutcomeConflict) {
			t.Errorf("%s: %v is a conflict", tt.name, b.Err())
		}
	}
}
