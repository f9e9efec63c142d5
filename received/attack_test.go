package received

import (
	"strings"
	"testing"
)

// TestAttacks tries what a sender can write below the trusted run, and what he can say to it, against
// inference, built-in profiles and policies that name hosts. [chosen] is the address that he wants to be
// taken for; his own is 203.0.113.66. No policy may give the first, and none may take his mail for mail
// that never had a client.
func TestAttacks(t *testing.T) {
	auto, _ := Profile("auto")
	gmail, _ := Profile("gmail")
	outlook, _ := Profile("outlook")
	icloud, _ := Profile("icloud")
	yahoo, _ := Profile("yahoo")
	fastmail, _ := Profile("fastmail")
	kernel, _ := Profile("kernel.org")
	yandex, _ := Profile("yandex")
	strato, _ := Profile("strato")
	proton, _ := Profile("proton")
	tonline, _ := Profile("t-online")
	named := Policy{MX: []string{"mx.uni.example"}, Internal: []string{"store.uni.example", "scan2.uni.example"}}
	wide := Policy{MX: []string{"mx.uni.example"}, Internal: []string{"*.uni.example", "localhost"}}
	edge := wide
	edge.Edge = true
	gated := named
	gated.Gateways = []string{"*.filter.example", "203.0.113.0/28"}
	all := []Policy{auto, named, wide, edge, gated, Auto("imap.uni.example")}

	const (
		attacker = "evil.example [203.0.113.66]"
		nameless = "unknown [203.0.113.66]"
		frontend = " with Microsoft SMTP Server (version=TLS1_2, cipher=X) id 15.20.7181.15 via Frontend Transport" + date
		secure   = " with Microsoft SMTP Server (version=TLS1_2, cipher=X) id 15.20.7181.15" + date
	)
	mx := func(helo, peer string) string { return line(helo, peer, "mx.uni.example") }
	lmtp := "Received: from mx.uni.example ([10.0.0.2]) by store.uni.example with LMTP id a1" + date
	google := "Received: by 2002:a05:6214:2a8b:b0:6c1:77d0:4e12 with SMTP id k9csp815231edo" + date +
		"Received: from evil.example (evil.example. [203.0.113.66]) by mx.google.com with ESMTPS id x1" + date
	eop := "Received: from A1.eurprd08.prod.outlook.com (2603:10a6:20b:5::9) by B1.eurprd08.prod.outlook.com (2603:10a6:102:5::8)" + secure +
		"Received: from evil.example (203.0.113.66) by X1.mail.protection.outlook.com (10.13.1.1)" + frontend
	hotmail := "Received: from COL004-MC7F77.hotmail.com (10.152.92.70) by BN3NAM04FT007.mail.protection.outlook.com (10.152.92.71)" + frontend
	stored := "Received: from postback7c.mail.yandex.net (postback7c.mail.yandex.net [2a02:6b8:c03:500::107]) by mail-notsolitesrv-production-main-7.vla.yp-c.yandex.net (notsolitesrv) with LMTPS id a3" + date +
		"Received: from mail-nwsmtp-mxfront-production-main-7.vla.yp-c.yandex.net (mail-nwsmtp-mxfront-production-main-7.vla.yp-c.yandex.net [2a02:6b8:c0d:700::7]) by postback7c.mail.yandex.net (Yandex) with ESMTPS id a2" + date
	for _, tt := range []struct {
		name     string
		policies []Policy
		header   string
	}{
		// The MX sees a private peer: the client's words are all that tells of him.
		{"private peer, HELO of an inner host", all, mx("store.uni.example", "unknown [10.1.1.1]") + forgery("store.uni.example")},
		{"private peer, HELO of the MX in capitals with a final dot", all, mx("MX.UNI.EXAMPLE.", "unknown [10.1.1.1]") + forgery("mx.uni.example")},
		{"private peer, HELO is its own address", all, mx("[10.1.1.1]", "unknown [10.1.1.1]") + forgery("[10.1.1.1]")},
		{"private peer mapped into IPv6", all, mx("mx.uni.example", "unknown [IPv6:::ffff:10.1.1.1]") + forgery("mx.uni.example")},
		{"link-local peer", all, mx("mx.uni.example", "unknown [IPv6:fe80::1]") + forgery("mx.uni.example")},
		{"shared address space", all, mx("scan2.uni.example", "unknown [100.64.0.1]") + forgery("scan2.uni.example")},
		{"private peer, forged remark of qmail's", all, mx("mx.uni.example", "unknown [10.1.1.1]") + "Received: (qmail 1 invoked from network); 15 Jan 2024 10:00:00 -0000\r\n" + forgery("mx.uni.example")},
		{"private peer, forged LMTP", all, mx("mx.uni.example", "unknown [10.1.1.1]") + "Received: from mx.uni.example ([127.0.0.1]) by mx.uni.example with LMTP id a1" + date + forgery("mx.uni.example")},
		{"private peer, forged webmail", all, mx("mx.uni.example", "unknown [10.1.1.1]") + "Received: from 198.51.100.7 by mx.uni.example with HTTP" + date},
		{"private peer, forged login", all, mx("mx.uni.example", "unknown [10.1.1.1]") + "Received: from pc (pc [198.51.100.7]) (Authenticated sender: u) by mx.uni.example (Postfix) with ESMTPSA id 4A" + date},
		{"private peer, a proof copied below", all, mx("mx.uni.example", "unknown [10.1.1.1]") + "Authentication-Results: mx.uni.example; spf=pass smtp.remote-ip=198.51.100.7\r\n" + forgery("mx.uni.example")},
		{"private peer of a store, HELO of the MX's sister", []Policy{auto, named}, line("mx.uni.example.evil.example", "unknown [10.1.1.1]", "store.uni.example") + forgery("mx.uni.example.evil.example")},

		// A machine of the provider's domain, or one that says so.
		{"HELO of an inner host, foreign name", all, mx("scan2.uni.example", attacker) + forgery("scan2.uni.example")},
		{"HELO of an inner host, no name", all, mx("scan2.uni.example", nameless) + forgery("scan2.uni.example")},
		{"HELO of the MX, folded and in capitals", all, strings.Replace(mx("MX.Uni.Example", attacker), " by ", "\r\n\t\r\n by ", 1) + forgery("MX.Uni.Example")},
		{"a customer's line says it is an inner host", all, mx("scan2.uni.example", "dsl-203-0-113-66.uni.example [203.0.113.66]") + forgery("scan2.uni.example")},
		{"a student's machine says it is an inner host", all, mx("scan2.uni.example", "bob.dorm.uni.example [203.0.113.66]") + forgery("scan2.uni.example")},
		{"a name in the domain that is not verified", all, "Received: from scan2.uni.example (scan2.uni.example [203.0.113.66] (may be forged)) by mx.uni.example (8.17.1/8.17.1) with ESMTP id 4A" + date + forgery("scan2.uni.example")},
		{"qmail shows the HELO for the name", all, qmailLine("scan2.uni.example", "203.0.113.66", "mx.uni.example") + forgery("scan2.uni.example")},
		{"a name that holds the domain", all, mx("store.uni.example", "store.uni.example.evil.example [203.0.113.66]") + forgery("store.uni.example")},
		{"a writer whose name begins like the MX", all, mx("evil.example", attacker) + forgery("mx.uni.example.evil.example")},
		{"localhost by a public address", all, mx("localhost", "localhost [203.0.113.66]") + "Received: from x (x [198.51.100.7]) by localhost (Postfix) with ESMTP id 4A" + date},
		{"the MX's own name by a reverse zone of his", all, mx("mx.uni.example", "mx.uni.example. [203.0.113.66]") + forgery("elsewhere.example")},

		// Fields of the provider's copied below the boundary.
		{"the whole run copied below", all, mx("evil.example", attacker) + lmtp + forgery("mx.uni.example")},
		{"the whole run copied below one that a store shows", all, lmtp + mx("evil.example", attacker) + lmtp + forgery("mx.uni.example")},
		{"proofs copied below", all, lmtp + mx("evil.example", attacker) + "Received-SPF: pass (mx.uni.example: x) client-ip=198.51.100.7; receiver=mx.uni.example\r\nX-Originating-IP: 198.51.100.7\r\n" + forgery("mx.uni.example")},
		{"an SPF result with a sender that looks like an address", all, "Received-SPF: pass (mx.uni.example: domain of client-ip=198.51.100.7'@evil.example designates 203.0.113.66 as permitted sender) client-ip=203.0.113.66\r\n" +
			mx("mx.uni.example", attacker) + forgery("mx.uni.example")},
		{"the same where the MX sees a private peer", all, "Authentication-Results: mx.uni.example; spf=pass smtp.mailfrom=client-ip=198.51.100.7'@evil.example\r\n" +
			mx("mx.uni.example", "unknown [10.1.1.1]") + forgery("mx.uni.example")},
		{"a hand-in of a program below", all, mx("evil.example", attacker) + "Received: by mx.uni.example (Postfix, from userid 0) id 4A" + date},
		{"two hosts in one field", all, "Received: from evil.example (evil.example [203.0.113.66]) by mx.uni.example (Postfix) with ESMTP id 4A by mx.uni.example" + date + forgery("mx.uni.example")},
		{"HELO that closes the comment", all, mx("x) (y [198.51.100.7]", attacker)},
		{"HELO that opens one", all, mx("x ([198.51.100.7]) by mx.uni.example (", attacker)},
		{"a login that ends its remark", all, "Received: from pc (evil.example [203.0.113.66]) (Authenticated sender: u) by mx.uni.example [198.51.100.7]) by mx.uni.example (Postfix) with ESMTPA id 4A" + date},
		{"a certificate with a field in it", all, "Received: from pc (evil.example [203.0.113.66]) (Client CN \"x\", Issuer \"y) by mx.uni.example ([198.51.100.7])\" (not verified)) by mx.uni.example (Postfix) with ESMTPS id 4A" + date},
		{"HELO that tells of a login", all, mx("x (Authenticated sender: user)", attacker)},
		{"the same behind his own address", all, mx("x ([203.0.113.66]) (authenticated)", attacker)},
		{"a sender that tells of a login", all, `Received: from evil.example ([203.0.113.66]) by mx.uni.example (envelope-sender <"a) (authenticated) (b"@evil.example>) with ESMTP id 4A` + date},
		{"a sender that tells of LMTP", all, `Received: from mx.uni.example ([203.0.113.66]) by mx.uni.example (envelope-sender <"a) with LMTP (b"@evil.example>) with ESMTP id 4A` + date + forgery("mx.uni.example")},
		{"a sender that tells of a local agent", all, `Received: from evil.example ([203.0.113.66]) by mx.uni.example (envelope-sender <"a) (DragonFly (b"@evil.example>) with ESMTP id 4A` + date},
		{"a field name with a space, and one in capitals", all, mx("evil.example", attacker) + "Received : from x (x [198.51.100.7]) by mx.uni.example (Postfix)" + date + "RECEIVED: from x (x [198.51.100.7]) by mx.uni.example (Postfix)" + date},

		// The built-in providers.
		{"Gmail's own lines below", []Policy{auto, gmail}, google + google + "Received: from x (x. [198.51.100.7]) by mx.google.com with ESMTPS id x2" + date},
		{"Gmail, HELO of a host of Google's", []Policy{auto, gmail}, strings.ReplaceAll(google, "from evil.example", "from mail-ej1-f41.google.com") + "Received: by mail-ej1-f41.google.com with SMTP id x" + date + "Received: from x (x. [198.51.100.7]) by mx.google.com with ESMTPS id x2" + date},
		{"Gmail, a private peer", []Policy{auto, gmail}, strings.ReplaceAll(google, "203.0.113.66", "10.0.0.9") + "Received: from x (x. [198.51.100.7]) by mx.google.com with ESMTPS id x2" + date},
		{"Outlook's own lines below", []Policy{auto, outlook}, eop + eop + "Received: from bank.example (198.51.100.7) by X9.mail.protection.outlook.com (10.13.1.1)" + frontend},
		{"Outlook, HELO of a host of the service", []Policy{auto, outlook}, strings.ReplaceAll(eop, "from evil.example", "from X9.mail.protection.outlook.com") + "Received: from bank.example (198.51.100.7) by X9.mail.protection.outlook.com (10.13.1.1)" + frontend},
		{"Outlook, a rented machine of IPv6 says it is a hub", []Policy{auto, outlook}, strings.ReplaceAll(strings.ReplaceAll(eop, "from evil.example", "from A9.eurprd08.prod.outlook.com"), "203.0.113.66", "2603:1020:201:10::9") +
			"Received: from A9.eurprd08.prod.outlook.com (2603:10a6:20b:5::9) by A9.eurprd08.prod.outlook.com (2603:10a6:20b:5::9) with mapi id 15.20.7181.15" + date},
		{"Outlook, HELO of the filter, to an inner host", []Policy{auto, outlook}, "Received: from inbound.mail.protection.outlook.com (203.0.113.66) by DM7PR07CA0007.outlook.office365.com (10.172.77.7)" + frontend +
			"Received: from bank.example (198.51.100.7) by BY2NAM07FT007.eop-nam07.prod.protection.outlook.com (10.152.92.71)" + frontend},
		{"Outlook, HELO of the filter, to the MX", []Policy{auto, outlook}, strings.ReplaceAll(eop, "from evil.example", "from inbound.mail.protection.outlook.com") +
			"Received: from bank.example (198.51.100.7) by BY2NAM07FT007.eop-nam07.prod.protection.outlook.com (10.152.92.71)" + frontend},
		{"Hotmail, a private peer without a proof", []Policy{auto, outlook}, hotmail + forgery("COL004-MC7F77.hotmail.com")},
		{"Hotmail, a proof of the sender's own address", []Policy{auto, outlook}, "Received-SPF: Pass (protection.outlook.com: x) client-ip=203.0.113.66\r\n" + hotmail + forgery("COL004-MC7F77.hotmail.com")},
		{"Hotmail, a proof below", []Policy{auto, outlook}, hotmail + "Received-SPF: Pass (protection.outlook.com: x) client-ip=198.51.100.7\r\n" + forgery("COL004-MC7F77.hotmail.com")},
		{"Hotmail, HELO of another MX", []Policy{auto, outlook}, "Received-SPF: Pass (protection.outlook.com: x) client-ip=203.0.113.66\r\n" + hotmail +
			"Received: from COL004-MC7F78.hotmail.com ([203.0.113.66]) by COL004-MC7F77.hotmail.com with Microsoft SMTPSVC(7.5.7601.23143)" + date + forgery("COL004-MC7F78.hotmail.com")},
		{"AOL, HELO of another MX", []Policy{auto, yahoo}, "Received: from rly-me07.mx.aol.com (rly-me07.mail.aol.com [172.20.83.7]) by air-me07.mail.aol.com (v126.13) with ESMTP id 1" + date +
			"Received: from rly-me08.mx.aol.com (evil.example [203.0.113.66]) by rly-me07.mx.aol.com (v125.7) with ESMTP id 1" + date + forgery("rly-me08.mx.aol.com")},
		{"iCloud, HELO of the MX", []Policy{auto, icloud}, "Received: from p00-icloudmta-smtpin-us-west-1 ([17.1.1.1]) by p00-mailgateway-smtp-1 (mailgateway 1) with SMTP id 1" + date +
			"Received: from p00-icloudmta-smtpin-us-west-1 (unknown [203.0.113.66]) by p00-icloudmta-smtpin-us-west-1 (Postfix) with ESMTPS id 4A" + date + forgery("p00-icloudmta-smtpin-us-west-1")},
		{"iCloud, HELO of an MX that users log in to", []Policy{auto, icloud}, "Received: from xx77p00im-qukt07070707.me.com by p77-mailgateway-smtp-7 (mailgateway 1) with SMTP id 1" + date +
			line("xx77p00im-qukt07070708.me.com", attacker, "xx77p00im-qukt07070707.me.com") + forgery("xx77p00im-qukt07070708.me.com")},
		{"Yandex, HELO of another MX", []Policy{auto, yandex}, stored + "Received: from mail-nwsmtp-mxfront-production-main-8.vla.yp-c.yandex.net (unknown [203.0.113.66]) by mail-nwsmtp-mxfront-production-main-7.vla.yp-c.yandex.net (mxfront) with ESMTPS id a1" + date +
			forgery("mail-nwsmtp-mxfront-production-main-8.vla.yp-c.yandex.net")},
		{"Yandex, a machine of its network under a name of its own", []Policy{auto, yandex}, stored + "Received: from mail-nwsmtp-mxfront-production-main-8.vla.yp-c.yandex.net (evil.example [2a02:6b8:c0d:700::66]) by mail-nwsmtp-mxfront-production-main-7.vla.yp-c.yandex.net (mxfront) with ESMTPS id a1" + date +
			forgery("mail-nwsmtp-mxfront-production-main-8.vla.yp-c.yandex.net")},
		{"Yandex, the webmail's host below", []Policy{auto, yandex}, stored + "Received: from evil.example (evil.example [203.0.113.66]) by mail-nwsmtp-mxfront-production-main-7.vla.yp-c.yandex.net (mxfront) with ESMTPS id a1" + date +
			"Received: from mail.yandex.ru (2a02:6b8:c0d:700::77 [2a02:6b8:c0d:700::77]) by mail-nwsmtp-mxback-production-main-7.vla.yp-c.yandex.net (mxback) with HTTPS id a0" + date},
		{"Yahoo, the proof below", []Policy{auto, yahoo}, "Received: from 127.0.0.1 by atlas1.free.mail.ne1.yahoo.com with HTTPS" + date + "X-Originating-Ip: [203.0.113.66]\r\n" +
			"Received: from 203.0.113.66 (EHLO evil.example) by 10.1.2.3 with SMTPs (version=TLS1_3 cipher=X)" + date + "X-Originating-Ip: [198.51.100.7]\r\n" +
			"Received: from 198.51.100.7 (EHLO x) by 10.1.2.3 with SMTPs (version=TLS1_3 cipher=X)" + date},
		{"Yahoo, a store that shows the MX by its address, the MX's HELO", []Policy{auto, yahoo}, "Received: from 10.1.2.3 by atlas7.free.mail.ne1.yahoo.com with HTTPS" + date + "X-Originating-Ip: [203.0.113.66]\r\n" +
			"Received: from 203.0.113.66 (EHLO 10.1.2.3) by 10.1.2.3 with SMTPs (version=TLS1_3 cipher=X)" + date + "X-Originating-Ip: [198.51.100.7]\r\n" +
			"Received: from 198.51.100.7 (EHLO x) by 10.1.2.3 with SMTPs (version=TLS1_3 cipher=X)" + date},
		{"Yahoo, the same store without the MX's field", []Policy{auto, yahoo}, "Received: from 10.1.2.3 by atlas7.free.mail.ne1.yahoo.com with HTTPS" + date + "X-Originating-Ip: [203.0.113.66]\r\n" +
			"Received: from 198.51.100.7 (EHLO x) by 10.1.2.3 with SMTPs (version=TLS1_3 cipher=X)" + date},
		{"Fastmail, an inner slot below", []Policy{auto, fastmail}, line("evil.example", attacker, "mx1.messagingengine.com") + "Received: from slot1 ([10.0.0.1]) by slot2 (Cyrus) with LMTPA" + date + forgery("mx1.messagingengine.com")},
		{"Strato, a certificate that tells of a login", []Policy{auto, strato}, `Received: from evil.example ([203.0.113.66]) by smtpin.rzone.de (RZmta 49.6.6 OK) with ESMTPS id x9 (using TLSv1.3 with cipher X (256 bits)) (Client CN "x) (authenticated) (y", Issuer "z" (not verified))` + date},
		{"Proton, a user's field below", []Policy{auto, proton}, line("mail.protonmail.ch", attacker, "mailin051.protonmail.ch") + "Received: from mail.protonmail.ch by mail.protonmail.ch" + date},
		{"Proton, the same with a protocol, on top", []Policy{auto, proton}, "Received: from mail.protonmail.ch by mail.protonmail.ch with ESMTP" + date + forgery("mail.protonmail.ch")},
		{"T-Online, a balancer, a proof of the sender's own address, a forged login from there", []Policy{auto, tonline}, "Received-SPF: pass (mailin7.mgt.mul.t-online.de: x) client-ip=203.0.113.66; receiver=mailin7.mgt.mul.t-online.de\r\n" +
			"Received: from mailin8.mgt.mul.t-online.de ([10.1.1.1]) by mailin7.mgt.mul.t-online.de with esmtp id 1vaUJg-0uW7E77" + date +
			"Received: from bank.example ([203.0.113.66]) (Authenticated sender: user) by mailin8.mgt.mul.t-online.de with ESMTPSA id 1vaUJg-0uW7E78" + date},
		{"kernel.org, HELO of its relay", []Policy{auto, kernel}, line("smtp.kernel.org", attacker, "dfw.source.kernel.org") + "Received: by smtp.kernel.org (Postfix) id 4A" + date + forgery("smtp.kernel.org")},

		// Gateways.
		{"HELO of a gateway", []Policy{gated}, mx("gate3.filter.example", attacker) + forgery("gate3.filter.example")},
		{"HELO of a gateway, no name", []Policy{gated}, mx("gate3.filter.example", nameless) + forgery("gate3.filter.example")},
		{"a gateway's private peer says it is the gateway", []Policy{gated}, mx("gate3.filter.example", "gate3.filter.example [203.0.113.5]") +
			line("gate3.filter.example", "unknown [10.0.0.1]", "gate3.filter.example") + forgery("gate3.filter.example")},
		{"the gateway's client says it is the gateway", []Policy{gated}, mx("gate3.filter.example", "gate3.filter.example [203.0.113.5]") +
			line("gate3.filter.example", attacker, "gate3.filter.example") + forgery("gate3.filter.example")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ReadChain([]byte(tt.header + "\r\n"))
			for i, p := range tt.policies {
				b := c.Boundary(p)
				if b.Client.Addr == chosen || b.Submission != nil && b.Submission.Addr == chosen {
					t.Errorf("policy %d gives an address that the sender chose: %s", i, b.Why)
				}
				if b.Internal() {
					t.Errorf("policy %d takes it for mail without a client: %s", i, b.Why)
				}
				if b.Authenticated && !strings.HasPrefix(tt.name, "a login") {
					t.Errorf("policy %d takes the sender for a user of the provider's: %s", i, b.Why)
				}
				mustBeSafe(t, c, b)
			}
		})
	}
}
