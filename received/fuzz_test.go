package received

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// real is the peer in the fuzzed fields; a HELO may say anything else.
var real = netip.MustParseAddr("192.0.2.10")

// heloFields are fields of each form with places for the client's words: % is
// the HELO, # the sender, the login or the certificate's name.
var heloFields = [...]string{
	"from % (mail.example.com [192.0.2.10]) by mx.example.org (Postfix) with ESMTP id 4B for <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000 (UTC)",
	"from % (unknown [192.0.2.10]) (using TLSv1.3 with cipher X (256/256 bits)) (No client certificate requested) by mx.example.org (Postfix) with ESMTPS id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com ([192.0.2.10]:43210 helo=%) by mx.example.org with esmtp (Exim 4.96) (envelope-from <a@example.com>) id 1rPAbc-0001xY-2z for user@example.org; Mon, 15 Jan 2024 10:00:00 +0000",
	"from [192.0.2.10] (port=43210 helo=% ident=x) by mx.example.org with esmtp (Exim 4.96) id 1rPAbc-0001xY-2z; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com (HELO %) (192.0.2.10) by mx.example.org with SMTP; 15 Jan 2024 10:00:00 -0000",
	"from unknown (HELO x) (%@192.0.2.10) by mx.example.org with SMTP; 15 Jan 2024 10:00:00 -0000",
	"from 192.0.2.10 (EHLO %) by 10.253.233.86 with SMTPs (version=TLS1_3 cipher=X); Mon, 15 Jan 2024 10:00:00 +0000",
	"from 127.0.0.1 (EHLO %) (192.0.2.10) by mta1.mail.bf1.yahoo.com with SMTPS; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (IDENT:%@mail.example.com [192.0.2.10] (may be forged)) by mx.example.org (8.17.1/8.17.1) with ESMTP id 40F; Mon, 15 Jan 2024 10:00:00 GMT",
	"from % (192.0.2.10) by X.mail.protection.outlook.com (10.13.30.111) with Microsoft SMTP Server (version=TLS1_2, cipher=X) id 15.20.7181.29 via Frontend Transport; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com. [192.0.2.10]) by mx.google.com with ESMTPS id x1 for <user@gmail.com> (version=TLS1_3 bits=256/256); Mon, 15 Jan 2024 02:00:00 -0800 (PST)",
	"from % ([192.0.2.10]) by mx.example.org with Microsoft SMTPSVC(8.5); Mon, 15 Jan 2024 10:00:00 +0100",
	"from [192.0.2.10] ([192.0.2.10:60938] helo=%) by mta1.example.org (ecelerity 4.3 r(Core:4.3.1.0)) with ESMTPS id BD/7B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com ([192.0.2.10]:5003 \"EHLO %\" rhost-flags-OK) by vger.kernel.org with ESMTP id S1 (ORCPT <rfc822;l@vger.kernel.org>); Mon, 15 Jan 2024 10:00:00 +0000",
	"from [192.0.2.10] (account user@example.org HELO %) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPA id 1; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % ([192.0.2.10]) by mx-ha.gmx.net (mxgmx014 [212.227.15.9]) with ESMTPS (Nemesis) id 1M; Mon, 15 Jan 2024 10:00:00 +0100",
	"from % (mail.example.com [192.0.2.10]) by mx.example.org (envelope-sender <#>) with ESMTPS id 8b; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10]) (using TLSv1.3 with cipher X (256/256 bits)) (Client CN \"#\", Issuer \"R3\" (not verified)) by mx.example.org (Postfix) with ESMTPS id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10]) (Authenticated sender: #) by mx.example.org (Postfix) with ESMTPA id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [::ffff:192.0.2.10]) (AUTH: LOGIN #, TLS: X) by mx.example.org with esmtp; Mon, 15 Jan 2024 10:00:00 +0000 id 0B.65",
	"from mail.example.com ([192.0.2.10] helo=% ident=#) by mx.example.org with esmtp (Exim 4.96) (envelope-from <#>) id 1rPAbc-0001xY-2z; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % [192.0.2.10] by mx.example.org [10.0.0.1] with ESMTP (MDaemon PRO v20.0.1) for <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10])\r\n\tby mx.example.org (Postfix) with ESMTP id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10])\r\n\t(Client CN \"#\", Issuer \"#\" (not verified))\r\n\tby mx.example.org (Postfix) with ESMTPS id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from [192.0.2.10] (HELO %) by mx.example.org (CommuniGate Pro SMTP 6.3.3) with ESMTPS id 1; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com ([192.0.2.10]) (envelope-from <#>) by mx.example.org with ESMTPS id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com(192.0.2.10), claiming to be \"%\" by mx.example.org via smap (V2.1); Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com ([192.0.2.10] helo=%) by mx.example.org with esmtps id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
	"from unknown (HELO %) ([192.0.2.10]) by mx.example.org with ESMTP; 15 Jan 2024 10:00:00 -0000",
	"from % (mail.example.com [192.0.2.10]) by mx.example.org (Postcow) with ESMTPS id 4B for <\"#\"@example.org>; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B for <\"#\"@example.org>; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (192.0.2.10) by pmta.example.org id h2 for <\"#\"@example.org>; Mon, 15 Jan 2024 10:00:00 +0000 (envelope-from <#>)",
	"from % ([192.0.2.10]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from \"#\"); Mon, 15 Jan 2024 10:00:00 +0000",
	"from [192.0.2.10] (%) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from \"#\"); Mon, 15 Jan 2024 10:00:00 +0000",
	"from % [192.0.2.10] by mx.example.org [10.0.0.1] with ESMTP (MDaemon PRO v20.0.1) for <\"#\"@example.org>; Mon, 15 Jan 2024 10:00:00 +0000",
	"from mail.example.com (%) [192.0.2.10.1033] (#) by mx.example.org with smtp (Exim 3.36) id 18TqZk-0003aC-00; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % ([192.0.2.10]) by smtpin.rzone.de (RZmta 49.6.6 OK) with ESMTPS id x9 (using TLSv1.3 with cipher X (256 bits)) (Client CN \"#\", Issuer \"z\" (not verified)) for <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000",
	"from % (mail.example.com [192.0.2.10]) (Client CN \"#\", Issuer \"z\" (not verified)) by mx.example.org (Postcow) with ESMTPS id 4B; Mon, 15 Jan 2024 10:00:00 +0000",
}

// asQuoted returns s as it may stand between the quotation marks of a recipient, whom the MTA has read (RFC 5321 section 4.1.2).
func asQuoted(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }

// FuzzHELO puts words of the client's choosing where each form has them. The
// address must be the peer's, or in doubt; never one out of those words. Nor do those words make
// him a user who logged in, or the field one of another kind.
func FuzzHELO(f *testing.F) {
	for _, s := range []string{
		"client.example", "[198.51.100.7]", "198.51.100.7", "evil([198.51.100.7])", "x (y [198.51.100.7]) by mx.example.org (Postfix) with ESMTP id 9; Mon, 15 Jan 2024 10:00:00 +0000",
		"x ([198.51.100.7]) by mx.example.org (", "x ([198.51.100.7]) by mx.example.org \"", "by", "x helo=[198.51.100.7]", "x) ([198.51.100.7]", `x\) ([198.51.100.7] \(`,
		"x [198.51.100.7]", "x\" [198.51.100.7]", "x; Mon, 15 Jan 2024 10:00:00 +0000", "x ([198.51.100.7]) by a.outlook.com with MailboxResubmission", "<", "a ident=[198.51.100.7]",
		"account x HELO y [198.51.100.7]", "198.51.100.7 with plain", "x) ([198.51.100.7]) (a(b)", "a(b)", "[198.51.100.7] helo=x", "x) (y [198.51.100.7]) (z", "x) (198.51.100.7", "x), claiming to be y (198.51.100.7",
	} {
		f.Add(s, "a")
	}
	const date = "; Mon, 15 Jan 2024 10:00:00 +0000"
	for _, s := range []struct{ words, others string }{
		{"x ([198.51.100.7]) by mx.example.org with ESMTP" + date + " (", "a"},
		{"x) ([198.51.100.7]) by mx.example.org with ESMTP" + date + " ((", "a"},
		{"x([198.51.100.7])by[mx.example.org](", `"a)"@example.com`},
		{"x ([198.51.100.7]) (using TLS", "a) b"},
		{"x ([198.51.100.7]) (HELO y", "a)b"},
		{"198.51.100.7 (helo=y", "a)b"},
		{"( good.example 198.51.100.7 ident=", "a)b"},
		{"good.example (HELO x)", "a"},
		{"[198.51.100.7])(HELO ", "a"},
		{"[198.51.100.7])(TLS", "a"},
		{"x (authenticated)", `"a) (authenticated) (b"@example.com`},
		{"x]) (AUTH: ", `"a) (authenticated) (b"@example.com`},
		{"x) ([192.0.2.10]) (authenticated) (y", `"a) (account x HELO b"@example.com`},
		{"x) (user@192.0.2.10 with login) (HELO y", "a"},
		{"x) (user@192.0.2.10 with login", "a"},
		{"x\" (authenticated) \"y", "a"},
		{"x ([192.0.2.10]) (AUTH: LOGIN y)", `"a) with local (b"@example.com`},
		{"x (user@192.0.2.10 with plain)", "a>) with LMTP (b@example.com"},
	} {
		f.Add(s.words, s.others)
	}
	clean := strings.NewReplacer("\r", "", "\n", "", "\x00", "") // they end the command
	f.Fuzz(func(t *testing.T, words, others string) {
		others = clean.Replace(others)
		client := strings.NewReplacer("%", clean.Replace(words), `<"#"@`, `<"`+asQuoted(others)+`"@`, "#", others)
		for _, form := range heloFields {
			field := client.Replace(form)
			h := Parse([]byte(field))
			plain := Parse([]byte(strings.NewReplacer("%", "x", "#", "a").Replace(form)))
			if h.Err == nil && h.Authenticated && !plain.Authenticated {
				t.Errorf("%s\ntells of a login", field)
			}
			hidden := plain.Authenticated && h.Kind == SMTP // by the user himself, and the address is his
			if h.Err == nil && h.Addr.IsValid() && h.Kind != plain.Kind && !hidden {
				t.Errorf("%s\nis taken for %s", field, h.Kind)
			}
			if h.Err == nil && h.Addr.IsValid() && h.Addr != real && !h.AddrUncertain {
				t.Errorf("%s\ngives %v", field, h.Addr)
			}
			if h.Err == nil && h.NameVerified && h.Name != "mail.example.com" {
				t.Errorf("%s\ngives the name %q", field, h.Name)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		f.Fatal(err)
	}
	for block := range strings.SplitSeq(string(text), "\n\n") {
		_, field, _ := strings.Cut(block, "\n")
		field, _, _ = strings.Cut(field, "\n= ")
		f.Add(wire(field))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		h := Parse(value)
		remark := h.Kind == Noise
		if h.Form == "qmail" && h.Kind == Local {
			remark = true
		}
		if h.Err == nil && !remark && h.By == "" {
			t.Error("a field without a writer is taken for good")
		}
		if h.NameVerified && (h.Name == "" || !h.Addr.IsValid()) {
			t.Error("a verified name without a name, or without an address")
		}
		if h.Addr.Is4In6() || h.Addr.Zone() != "" {
			t.Errorf("%v is not canonical", h.Addr)
		}
		mustBeDetailed(t, h, value)
		if again := Parse(value); describe(again) != describe(h) {
			t.Error("two readings differ")
		}
	})
}

// mustBeDetailed checks what a field says beside the client.
func mustBeDetailed(t *testing.T, h Hop, value []byte) {
	t.Helper()
	if len(value) <= maxField && h.Raw != string(value) {
		t.Errorf("the raw text is %q", h.Raw)
	}
	to := h.Recipients()
	if (h.For == "") != (len(to) == 0) || strings.Join(to[:min(len(to), 1)], "") != h.For {
		t.Errorf("the recipients are %q, and the first is %q", to, h.For)
	}
	known := h.TLS && slices.Contains(tlsVersions[:], h.TLSVersion)
	if h.TLSVersion != "" && !known {
		t.Errorf("TLS is %v, and its version %q", h.TLS, h.TLSVersion)
	}
	if h.Zone != "" && h.Time.IsZero() {
		t.Errorf("the zone of no date is %q", h.Zone)
	}
}

func FuzzChain(f *testing.F) {
	addFixtures(f)
	f.Fuzz(func(t *testing.T, header []byte) {
		c := ReadChain(header)
		if len(c.Hops) > maxHops+1 || len(c.Proofs) > maxProofs || len(c.Envelope.Recipients) > maxEnv || len(c.Envelope.ReturnPath) > maxEnv {
			t.Errorf("%d hops, %d proofs: over the limits", len(c.Hops), len(c.Proofs))
		}
		for i := range c.Hops {
			if c.Hops[i].Position != i+1 {
				t.Errorf("hop %d has the position %d", i, c.Hops[i].Position)
			}
		}
		for _, p := range c.Proofs {
			if !p.Addr.IsValid() || p.At > len(c.Hops) {
				t.Errorf("proof %+v", p)
			}
		}
	})
}

// FuzzBoundary holds each boundary against the rules, and checks that nothing
// below the boundary can move it.
func FuzzBoundary(f *testing.F) {
	addFixtures(f)
	f.Fuzz(func(t *testing.T, header []byte) {
		c := ReadChain(header)
		for _, name := range Profiles() {
			p, _ := Profile(name)
			b := c.Boundary(p)
			mustBeSafe(t, c, b)
			mustBeTrusted(t, c, b, p)
		}
		mustBeTrusted(t, c, c.Boundary(own), own)

		below := ReadChain(append([]byte(ownHop+mxHop+"X: y\r\n"), header...)).Boundary(own)
		if !below.Found || below.Hop != 1 || below.Client.Addr != real {
			t.Errorf("text below the boundary moves it: %+v", below)
		}
	})
}

// mustBeTrusted checks that all fields down to the boundary were written by
// hosts of the policy's.
func mustBeTrusted(t *testing.T, c *Chain, b Boundary, p Policy) {
	t.Helper()
	if !b.Found || len(p.MX) == 0 { // a policy without hosts infers them
		return
	}
	for i, h := range c.Hops[:b.Hop+1] {
		if h.Kind != Noise && !matchAny(p.MX, h.By) && !matchAny(p.Internal, h.By) {
			t.Errorf("%s: field %d by %q is not the provider's, and the boundary is at %d", p.Provider, i, h.By, b.Hop)
		}
	}
}

func addFixtures(f *testing.F) {
	files, err := filepath.Glob("testdata/chains/*.eml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		header, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(header)
	}
}
