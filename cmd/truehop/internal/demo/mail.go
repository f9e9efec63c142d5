package demo

import "strings"

// mail is one message of the demo's upstreams. Names and addresses are
// those set aside for documentation (RFC 2606, RFC 5737, RFC 3849).
type mail struct {
	account string
	// from is the author's name, subject the subject, and what describes the case that the message shows.
	from, subject, what string
	arrives             bool // the MTA takes it in the end
	header              string
	size                int // octets of body, for the one that is too large
}

// mails are the demo's messages, in the shapes that these receivers really write.
func mails() []mail {
	return []mail{
		{account: "gmail", from: "Science Letters", subject: "Your week in science", what: "a newsletter", arrives: true,
			header: gmail("news.example.org", "news.example.org", "203.0.113.25", "letters@news.example.org")},
		{account: "gmail", from: "Grand Lottery", subject: "You have won 1,000,000", what: "on a block list",
			header: gmail("win-7ap2k", "", "192.0.2.66", "winner@lottery.example")},
		{account: "outlook", from: "Example Energy", subject: "Invoice for November", what: "an invoice", arrives: true,
			header: outlook("mx1.example.net", "198.51.100.24", "billing@example.net")},
		{account: "outlook", from: "Copier, 2nd floor", subject: "Scanned document", what: "a machine in an office",
			header: outlook("printer.local", "198.51.100.99", "scan@example.net")},
		{account: "yahoo", from: "Jo Meyer", subject: "Re: Lunch on Friday?", what: "a reply", arrives: true,
			header: yahoo("out1.example.com", "203.0.113.77", "jo@example.com")},
		{account: "yahoo", from: "Jo Meyer", subject: "All photos of the holidays", what: "larger than the MTA takes",
			header: yahoo("out2.example.com", "203.0.113.78", "jo@example.com"), size: 96 << 10},
		{account: "fastmail", from: "Hikers", subject: "[hikers] The walk on Sunday", what: "a mailing list", arrives: true,
			header: fastmail("lists.example.org", "lists.example.org", "203.0.113.90", "owner@lists.example.org")},
		{account: "fastmail", from: "Your Bank", subject: "Your account is locked", what: "not the bank",
			header: fastmail("mail.bank.example", "dyn-66.example.net", "192.0.2.166", "service@bank.example") + forged},
		{account: "postfix", from: "Dean's Office", subject: "The spring term", what: "never seen before", arrives: true,
			header: postfix("relay.example.edu", "relay.example.edu", "198.51.100.140", "dean@example.edu")},
		{account: "postfix", from: "Ada Six", subject: "Minutes of Monday", what: "over IPv6", arrives: true,
			header: postfix("six.example.org", "six.example.org", "IPv6:2001:db8:25::6", "ada@example.org")},
		{account: "exim", from: "Example Shop", subject: "Your order has shipped", what: "an order", arrives: true,
			header: exim("shop.example.com", "203.0.113.130", "orders@shop.example.com")},
		{account: "exim", from: "Kim", subject: "Notes for the talk", what: "a client that nobody knows",
			header: "\nFrom: <draft@example.com>\n"},
	}
}

// raw is the message as the upstream holds it.
func (m mail) raw() []byte {
	body := "This is a message of truehop's demo: " + m.what + ".\n.\n.. and two lines with dots, which must arrive as they are.\n"
	if m.size > len(body) {
		body += strings.Repeat("All work and no play makes a large attachment, seventy octets a line..\n", (m.size-len(body))/72)
	}
	header := strings.Replace(m.header, "\nFrom: <", "\nFrom: \""+m.from+"\" <", 1)
	text := strings.TrimPrefix(header, "\n") + "Subject: " + m.subject + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=us-ascii\n\n" + body
	return []byte(strings.ReplaceAll(text, "\n", "\r\n"))
}

// fill puts values into a template: HELO, the looked-up name, address, sender.
func fill(template, helo, name, addr, sender string) string {
	return strings.NewReplacer("{helo}", helo, "{name}", name, "{addr}", addr, "{sender}", sender,
		"{domain}", sender[strings.IndexByte(sender, '@')+1:]).Replace(template)
}

func gmail(helo, name, addr, sender string) string {
	peer := "([{addr}])"
	if name != "" {
		peer = "({name}. [{addr}])"
	}
	return fill(`Delivered-To: demo@gmail.com
Received: by 2002:a05:6402:1c0a:b0:5c9:58e0:2f6d with SMTP id ck10csp1204938edb;
        Mon, 23 Nov 2026 06:11:02 -0800 (PST)
X-Received: by 2002:a17:907:9454:b0:a9e:c947:c2f5 with SMTP id a640c23a62f3a-aa50990ae3amr1077766b.11.1763907062000;
        Mon, 23 Nov 2026 06:11:02 -0800 (PST)
Return-Path: <{sender}>
Received: from {helo} `+peer+`
        by mx.google.com with ESMTPS id 4fb4d7f45d1cf-5cfcb5c1234si4711402a12.301.2026.11.23.06.11.01
        for <demo@gmail.com>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Mon, 23 Nov 2026 06:11:01 -0800 (PST)
Received-SPF: pass (google.com: domain of {sender} designates {addr} as permitted sender) client-ip={addr};
Authentication-Results: mx.google.com;
       spf=pass (google.com: domain of {sender} designates {addr} as permitted sender) smtp.mailfrom={sender}
From: <{sender}>
`, helo, name, addr, sender)
}

func outlook(helo, addr, sender string) string {
	return fill(`Received: from AM0PR03MB4711.eurprd03.prod.outlook.com (2603:10a6:208:aa::15)
 by DB9PR03MB0815.eurprd03.prod.outlook.com with HTTPS; Mon, 23 Nov 2026
 14:12:07 +0000
Received: from AS9PR06CA0123.eurprd06.prod.outlook.com (2603:10a6:20b:467::8)
 by AM0PR03MB4711.eurprd03.prod.outlook.com (2603:10a6:208:aa::15) with
 Microsoft SMTP Server (version=TLS1_2,
 cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.8158.21; Mon, 23 Nov
 2026 14:12:05 +0000
Received: from AM4PEPF00027A5D.eurprd04.prod.outlook.com
 (2603:10a6:20b:467:cafe::2c) by AS9PR06CA0123.outlook.office365.com
 (2603:10a6:20b:467::8) with Microsoft SMTP Server (version=TLS1_3,
 cipher=TLS_AES_256_GCM_SHA384) id 15.20.8182.17 via Frontend Transport; Mon,
 23 Nov 2026 14:12:05 +0000
Authentication-Results: spf=pass (sender IP is {addr})
 smtp.mailfrom={domain}; dkim=none (message not signed)
 header.d=none;dmarc=bestguesspass action=none header.from={domain};
Received-SPF: Pass (protection.outlook.com: domain of {domain} designates
 {addr} as permitted sender) receiver=protection.outlook.com;
 client-ip={addr}; helo={helo}; pr=C
Received: from {helo} ({addr}) by
 AM4PEPF00027A5D.mail.protection.outlook.com (10.167.16.71) with Microsoft
 SMTP Server (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20.8182.16
 via Frontend Transport; Mon, 23 Nov 2026 14:12:05 +0000
From: <{sender}>
Return-Path: {sender}
X-MS-Exchange-Organization-ExpirationStartTime: 23 Nov 2026 14:12:05.3541 (UTC)
`, helo, "", addr, sender)
}

func yahoo(helo, addr, sender string) string {
	return fill(`X-Apparently-To: demo@yahoo.com; Mon, 23 Nov 2026 14:13:02 +0000
Return-Path: <{sender}>
Received: from 127.0.0.1
 by atlas-production.v2-mail-prod1-ir2.omega.yahoo.com pod-id atlas--production-ir2-6b5f7d9d4c-x2x7q.ir2.yahoo.com with HTTP; Mon, 23 Nov 2026 14:13:02 +0000
X-Originating-Ip: [{addr}]
Received-SPF: pass (domain of {domain} designates {addr} as permitted sender)
Authentication-Results: atlas-production.v2-mail-prod1-ir2.omega.yahoo.com;
 spf=pass smtp.mailfrom={domain};
Received: from {addr} (EHLO {helo})
 by 10.253.60.210 with SMTPs
 (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256);
 Mon, 23 Nov 2026 14:13:01 +0000
From: <{sender}>
`, helo, "", addr, sender)
}

func fastmail(helo, name, addr, sender string) string {
	return fill(`Return-Path: <{sender}>
Received: from phl-compute-06.internal (phl-compute-06.phl.internal [10.202.2.46])
	 by sloti22d1t06 (Cyrus 3.13.0-alpha0-1108-g3a29173c6d-fm-20261031.005-g3a29173c) with LMTPA;
	 Mon, 23 Nov 2026 09:14:21 -0500
Received: from phl-mx-01.messagingengine.com ([10.202.2.200])
  by phl-compute-06.internal (LMTPProxy); Mon, 23 Nov 2026 09:14:21 -0500
Received: from phl-mx-01.messagingengine.com (localhost [127.0.0.1])
    by phl-mx-01.messagingengine.com (Authentication Milter) with ESMTP
    id 4D2C31E0A7F;
    Mon, 23 Nov 2026 09:14:20 -0500
Authentication-Results: phl-mx-01.messagingengine.com;
    spf=pass smtp.mailfrom={sender} smtp.helo={helo};
    iprev=pass smtp.remote-ip={addr} ({name});
Received-SPF: pass
    ({domain}: Sender is authorized to use '{sender}' in 'mfrom' identity (mechanism 'ip4:{addr}' matched))
    receiver=phl-mx-01.messagingengine.com;
    identity=mailfrom;
    envelope-from="{sender}";
    helo={helo};
    client-ip={addr}
Received: from {helo} ({name} [{addr}])
	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
	 key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)
	(No client certificate requested)
	by phl-mx-01.messagingengine.com (Postfix) with ESMTPS id 9F4C01E0061
	for <demo@fastmail.com>; Mon, 23 Nov 2026 09:14:20 -0500 (EST)
From: <{sender}>
`, helo, name, addr, sender)
}

func postfix(helo, name, addr, sender string) string {
	return fill(`Return-Path: <{sender}>
Delivered-To: demo@mail.example
Received: from mx.mail.example
	by store.mail.example with LMTP
	id 8KqNLk8bI2dxTgAA9j0aYQ
	(envelope-from <{sender}>)
	for <demo@mail.example>; Mon, 23 Nov 2026 15:15:11 +0100
Received: from {helo} ({name} [{addr}])
	(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)
	 key-exchange X25519 server-signature ECDSA (prime256v1) server-digest SHA256)
	(No client certificate requested)
	by mx.mail.example (Postfix) with ESMTPS id 4XyZ9k2tXhz3wQm
	for <demo@mail.example>; Mon, 23 Nov 2026 15:15:11 +0100 (CET)
From: <{sender}>
`, helo, name, addr, sender)
}

func exim(helo, addr, sender string) string {
	return fill(`Return-path: <{sender}>
Envelope-to: demo@host.example
Delivery-date: Mon, 23 Nov 2026 15:16:40 +0100
Received: from {helo} ([{addr}])
	by mx.host.example with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384
	(Exim 4.98)
	(envelope-from <{sender}>)
	id 1tEdKq-00000000Abc-1x2Y
	for demo@host.example;
	Mon, 23 Nov 2026 15:16:40 +0100
From: <{sender}>
`, helo, "", addr, sender)
}

// forged is what a sender wrote below, to look like mail that Fastmail had from a bank.
const forged = `Received: from mail.bank.example (mail.bank.example [198.51.100.200])
	by phl-mx-02.messagingengine.com (Postfix) with ESMTPS id 1A2B3C4D5E6
	for <demo@fastmail.com>; Mon, 23 Nov 2026 09:10:00 -0500 (EST)
X-Originating-IP: [198.51.100.200]
`
