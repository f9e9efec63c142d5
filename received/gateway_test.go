package received

import "testing"

// TestGateways: a filter service or a gateway of the recipient's own stands before the provider.
func TestGateways(t *testing.T) {
	outlook, _ := Profile("outlook")
	gmail, _ := Profile("gmail")
	auto, _ := Profile("auto")
	with := func(p Policy, gateways ...string) Policy {
		p.Gateways = gateways
		return p
	}
	const (
		frontend = " with Microsoft SMTP Server (version=TLS1_2) id 15.20.7181.15 via Frontend Transport" + date
		eop      = "Received: from gate3.filter.example (203.0.113.60) by X1.mail.protection.outlook.com (10.13.1.1)" + frontend
		google   = "Received: by 2002:a05:6214:2a8b:b0:6c1:77d0:4e12 with SMTP id k9csp815231edo" + date +
			"Received: from gate3.filter.example (gate3.filter.example. [203.0.113.60]) by mx.google.com with ESMTPS id x1" + date
	)
	spf := "Received-SPF: Pass (protection.outlook.com: x) receiver=protection.outlook.com; client-ip=203.0.113.60; helo=gate3.filter.example\r\n"
	postfix := line("gate3.filter.example", "gate3.filter.example [203.0.113.60]", "mx.example.org")
	filter := line("out.sender.example", "out.sender.example [192.0.2.25]", "gate3.filter.example")
	scanned := "Received: from localhost (localhost [127.0.0.1]) by gate3.filter.example (Postfix) with ESMTP id 4A" + date
	passed := line("gate1.filter.example", "gate1.filter.example [203.0.113.61]", "gate3.filter.example") +
		line("out.sender.example", "out.sender.example [192.0.2.25]", "gate1.filter.example")
	essentials := func(helo, peer, by string) string {
		return "Received: from " + helo + " (" + peer + ") by " + by + ".ppe-hosted.com (PPE Hosted ESMTP Server) with ESMTPS id 4A" + date
	}
	for _, tt := range []struct {
		name    string
		policy  Policy
		header  string
		outcome Outcome
		addr    string
	}{
		{"Microsoft 365, gateway not named", outlook, eop + filter, OutcomeClient, "203.0.113.60"},
		{"Microsoft 365", with(outlook, "*.filter.example", "203.0.113.0/24"), eop + filter, OutcomeClient, "192.0.2.25"},
		{"Microsoft 365, its check is about the gateway", with(outlook, "*.filter.example", "203.0.113.0/24"), spf + eop + filter, OutcomeClient, "192.0.2.25"},
		{"Microsoft 365 by auto", with(auto, "*.filter.example", "203.0.113.0/24"), eop + filter, OutcomeClient, "192.0.2.25"},
		{"Microsoft 365, the network alone", with(outlook, "203.0.113.0/24"), eop + filter, OutcomeClient, "192.0.2.25"},
		{"Microsoft 365, the name alone, which nobody verified", with(outlook, "*.filter.example"), eop + filter, OutcomeAmbiguous, ""},
		{"Microsoft 365, another client says that it is the gateway", with(outlook, "*.filter.example", "203.0.113.0/28"), eop + forgery("gate3.filter.example"), OutcomeAmbiguous, ""},
		{"Workspace", with(gmail, "*.filter.example", "203.0.113.60"), google + filter, OutcomeClient, "192.0.2.25"},
		{"a host of one's own, by its verified name", with(own, "*.filter.example"), postfix + filter, OutcomeClient, "192.0.2.25"},
		{"the same by auto", with(auto, "*.filter.example"), postfix + filter, OutcomeClient, "192.0.2.25"},
		{"a client that is not the gateway", with(own, "*.filter.example"), mxHop + forgery("gate3.filter.example"), OutcomeClient, "192.0.2.10"},
		{"the gateway hands over to itself", with(own, "*.filter.example"), postfix + scanned + filter, OutcomeClient, "192.0.2.25"},
		{"the gateway hands over to another", with(own, "*.filter.example"), postfix + passed, OutcomeClient, "192.0.2.25"},
		{"the gateway wrote no field", with(own, "*.filter.example"), postfix + forgery("mail.bank.example"), OutcomeForeign, ""},
		{"the gateway wrote nothing at all", with(own, "*.filter.example"), postfix, OutcomeAmbiguous, ""},
		{"the gateway's field cannot be read", with(own, "*.filter.example"), postfix + "Received: hello\r\n", OutcomeUnparseable, ""},
		{"the gateway sees private peers", with(own, "*.filter.example"), postfix + line("mail.sender.example", "unknown [10.0.0.1]", "gate3.filter.example") + forgery("mail.sender.example"), OutcomePrivatePeer, ""},
		{"a service, by its preset", with(own, "proofpoint"), line("mx0a.pphosted.com", "mx0a.pphosted.com [148.163.135.1]", "mx.example.org") +
			"Received: from pps.filterd (m1.ppops.net [127.0.0.1]) by mx0a.pphosted.com (8.18.1.2/8.18.1.2) with ESMTP id 4A" + date +
			"Received: from out.sender.example (out.sender.example [192.0.2.25]) by mx0a.pphosted.com (PPS) with ESMTPS id 4A" + date, OutcomeClient, "192.0.2.25"},
		{"Proofpoint Essentials, whose hosts hand on from private addresses", with(own, "proofpoint"), line("dispatch1-us1.ppe-hosted.com", "dispatch1-us1.ppe-hosted.com [148.163.129.48]", "mx.example.org") +
			essentials("engine.ppe-hosted.com", "unknown [10.7.65.235]", "dispatch1-us1") + essentials("out.sender.example", "out.sender.example [192.0.2.25]", "mx1-us1"), OutcomeClient, "192.0.2.25"},
		{"the same, and the peer is none of them", with(own, "proofpoint"), line("dispatch1-us1.ppe-hosted.com", "dispatch1-us1.ppe-hosted.com [148.163.129.48]", "mx.example.org") +
			essentials("mail.sender.example", "unknown [10.7.65.235]", "dispatch1-us1") + forgery("mail.sender.example"), OutcomePrivatePeer, ""},
		{"Barracuda", with(own, "barracuda"), line("outbound-ip23b.ess.barracuda.com", "outbound-ip23b.ess.barracuda.com [209.222.82.220]", "mx.example.org") +
			"Received: from out.sender.example (out.sender.example [192.0.2.25]) by mx-inbound17-131.us-east-2b.ess.aws.cudaops.com (version=TLSv1.2 cipher=X bits=256 verify=NO)" + date, OutcomeClient, "192.0.2.25"},
		{"Barracuda in another region", with(own, "barracuda"), line("egress-ip4a.ess.de.barracuda.com", "egress-ip4a.ess.de.barracuda.com [18.184.203.227]", "mx.example.org") +
			"Received: from out.sender.example (unknown [192.0.2.25]) by mx-inbound40-42.eu-central-1c.ess.aws.cudaops.com" + date, OutcomeClient, "192.0.2.25"},
		{"Barracuda, not named, is told", own, line("egress-ip4a.ess.de.barracuda.com", "egress-ip4a.ess.de.barracuda.com [18.184.203.227]", "mx.example.org"), OutcomeGateway, "18.184.203.227"},
		{"Hornetsecurity", with(own, "hornetsecurity"), line("relay-p07-hz12.hornetsecurity.com", "relay-p07-hz12.hornetsecurity.com [94.100.139.207]", "mx.example.org") +
			"Received: from out.sender.example ([192.0.2.25]) by mx-gate31-hz12" + date, OutcomeClient, "192.0.2.25"},
		{"a service that is not named is told", own, line("mx0a.pphosted.com", "mx0a.pphosted.com [148.163.135.1]", "mx.example.org"), OutcomeGateway, "148.163.135.1"},
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
