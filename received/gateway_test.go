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
