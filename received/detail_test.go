package received

import (
	"slices"
	"strings"
	"testing"
)

// TestDetails reads what a field says beside the client: the way, TLS, all recipients, the zone.
func TestDetails(t *testing.T) {
	const by = " by mx.example.org (Postfix) with ESMTPS id 4A"
	for _, tt := range []struct {
		name, field                string
		via, version, cipher, zone string
		to                         []string
	}{
		{"Postfix", "from a (a.example [192.0.2.10])\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n\t key-exchange X25519 server-signature RSA-PSS (2048 bits))\r\n\t(No client certificate requested)\r\n\tby mx.example.org (Postfix) with ESMTPS id 4A\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0100 (CET)",
			"", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "+0100", []string{"user@example.org"}},
		{"Exchange", "from a.example (192.0.2.10) by b.example (10.0.0.1) with Microsoft SMTP Server (version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.1.1 via Frontend Transport; Mon, 15 Jan 2024 10:00:00 +0000",
			"Frontend Transport", "TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "+0000", nil},
		{"Gmail", "from a.example (a.example. [192.0.2.10]) by mx.google.com with ESMTPS id x1 for <user@gmail.com> (version=TLS1_3 cipher=TLS_AES_128_GCM_SHA256 bits=128/128); Mon, 15 Jan 2024 02:00:00 -0800 (PST)",
			"", "TLSv1.3", "TLS_AES_128_GCM_SHA256", "-0800", []string{"user@gmail.com"}},
		{"Exim", "from a.example ([192.0.2.10]) by mx.example.org with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384 (Exim 4.96) (envelope-from <a@a.example>) id 1rPAbc-0001xY-2z for user@example.org; Mon, 15 Jan 2024 10:00:00 +0000",
			"", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "+0000", []string{"user@example.org"}},
		{"Exim of earlier years", "from a.example ([192.0.2.10]) by mx.example.org with esmtps (TLSv1.2:ECDHE-RSA-AES256-GCM-SHA384:256) (Exim 4.84) id 1brmdT-0002PM-4t; Mon, 15 Jan 2024 10:00:00 +0000",
			"", "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "+0000", nil},
		{"qmail", "from unknown (HELO a.example) (192.0.2.10) by mx.example.org with AES256-SHA encrypted SMTP; 15 Jan 2024 10:00:00 -0000", "", "", "AES256-SHA", "-0000", nil},
		{"T-Online", "from a.example ([192.0.2.10]) by mailin7.example.org with (TLSv1.3:TLS_AES_256_GCM_SHA384 encrypted) esmtp id 1vaUJg-0uW7E77; Mon, 15 Jan 2024 10:00:00 +0100", "", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "+0100", nil},
		{"Axigen", "from a.example (192.0.2.10) by mx.example.org (Axigen) with (ECDHE-RSA-AES128-GCM-SHA256 encrypted) ESMTPS id 7B77A7; Mon, 15 Jan 2024 10:00:00 +0000", "", "", "ECDHE-RSA-AES128-GCM-SHA256", "+0000", nil},
		{"Cisco", "from a.example ([192.0.2.10]) by mx.example.org with ESMTP/TLS/AES128-SHA; 15 Jan 2024 10:00:00 -0400", "", "", "AES128-SHA", "-0400", nil},
		{"a list", "(majordomo@vger.kernel.org) by vger.kernel.org via listexpand id S1 (ORCPT <rfc822;u@example.org>); Mon, 15 Jan 2024 10:00:00 EST", "listexpand", "", "", "EST", nil},
		{"two recipients", "from a (a.example [192.0.2.10])" + by + " for <u@example.org>, <v@example.org>; Mon, 15 Jan 2024 10:00:00 +0000", "", "", "", "+0000", []string{"u@example.org", "v@example.org"}},
		{"three, joined", "from a (a.example [192.0.2.10])" + by + " for u@example.org,v@example.org w@example.org; Mon, 15 Jan 2024 10:00:00 +0000", "", "", "", "+0000", []string{"u@example.org,v@example.org", "w@example.org"}},
		{"a remark behind the recipient", "from a (a.example [192.0.2.10])" + by + " for <u@example.org> (sender <x@example.com>) remark; Mon, 15 Jan 2024 10:00:00 +0000", "", "", "", "+0000", []string{"u@example.org"}},
		{"two clauses", "from a (a.example [192.0.2.10])" + by + " for <u@example.org> for <v@example.org>; Mon, 15 Jan 2024 10:00:00 +0000", "", "", "", "+0000", []string{"u@example.org", "v@example.org"}},
		{"a version that is none", "from a (a.example [192.0.2.10]) (using TLSv9 with cipher X) by mx.example.org (Postfix) with ESMTPS id 4A; 15 Jan 2024 10:00:00", "", "", "X", "", nil},
		{"no date", "from a (a.example [192.0.2.10])" + by, "", "", "", "", nil},
	} {
		h := Parse([]byte(tt.field))
		for _, v := range []struct{ what, got, want string }{
			{"via", h.Via, tt.via}, {"version", h.TLSVersion, tt.version}, {"cipher", h.TLSCipher, tt.cipher},
			{"zone", h.Zone, tt.zone}, {"raw text", h.Raw, tt.field},
		} {
			if v.got != v.want {
				t.Errorf("%s: the %s is %q, want %q", tt.name, v.what, v.got, v.want)
			}
		}
		if tt.cipher != "" && !h.TLS && tt.name != "a version that is none" {
			t.Errorf("%s: the session was encrypted", tt.name)
		}
		if h.Err != nil || !slices.Equal(h.Recipients(), tt.to) {
			t.Errorf("%s: the recipients are %q, want %q; %v", tt.name, h.Recipients(), tt.to, h.Err)
		}
	}
}

// TestPosition: a field knows its number in the chain, one that stands for what was not read, too.
func TestPosition(t *testing.T) {
	c := ReadChain([]byte(ownHop + mxHop + "Received : x\r\nno field\r\n"))
	if len(c.Hops) != 4 {
		t.Fatalf("%d hops", len(c.Hops))
	}
	for i := range c.Hops {
		if c.Hops[i].Position != i+1 {
			t.Errorf("hop %d has the position %d", i, c.Hops[i].Position)
		}
	}
	if h := Parse([]byte(strings.Repeat("x", maxField+1))); h.Raw != "" || h.Position != 0 {
		t.Errorf("a field too long to be read keeps %d octets", len(h.Raw))
	}
}
