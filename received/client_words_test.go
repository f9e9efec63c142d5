package received

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestWordsOfTheClientElsewhere puts marks of the forms where clients and senders have their words beside the HELO: the name that is looked up, the
// recipient, a certificate, the answer of an ident server. None gives another address than the client's, a name that nobody verified, a login, or a
// field of another kind.
func TestWordsOfTheClientElsewhere(t *testing.T) {
	for _, tt := range []struct{ name, field string }{
		{"name that begins as a remark", "from x([198.51.100.7]) (tls.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same, behind a sender", "from x([198.51.100.7]) (tls.example.com [192.0.2.10]) by mx.example.org (envelope-sender <a@example.com>) with ESMTPS id 8b"},
		{"name that begins as a login", "from x([192.0.2.10]) (authenticated.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"name that begins as a remark, of a local client", "from x(y[local]) (tls.example.com [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"name that begins as a remark and is no plain one", "from x([198.51.100.7]) (tls=1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with a login", "from x([192.0.2.10]) (auth=1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with another address", "from x([198.51.100.7]) (auth=1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with a colon", "from x([198.51.100.7]) (tls:1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with a sign of an address", "from x([198.51.100.7]) (tls@1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with a bracket", "from x([198.51.100.7]) (tls[1.evil.example [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"the same with blanks in the writer's", "from x([192.0.2.10]) (authenticated[1.evil.example [ 192.0.2.10 ]) by mx.example.org with ESMTPS id 4B"},
		{"HELO with an address, of a program on the host", "from x([198.51.100.7]) (host.example.org [local]) by host.example.org (OpenSMTPD) with ESMTP id 700fd087"},
		{"name that begins as a remark, before a slash", "from 198.51.100.7 (HELO y) (tls.example.com/192.0.2.10) by mx.example.org with SMTP id 1"},
		{"the same with a blank", "from x([198.51.100.7]) (tls.example.com 192.0.2.10) by mx.example.org with ESMTPS id 1"},
		{"name that is HELO", "from x([198.51.100.7]) (helo [192.0.2.10]) by mx.example.org (Haraka/3.0.3) with ESMTPS id 4B"},
		{"name that is HELO, by a writer without brackets", "from x([198.51.100.7]) (helo 192.0.2.10) by mx.example.org with ESMTPS id 4B"},
		{"name that is envelope-from, by a writer without brackets", "from x([198.51.100.7]) (envelope-from 192.0.2.10) by mx.example.org with ESMTPS id 4B"},
		{"name that is HELO, by a writer that nobody knows", "from x([198.51.100.7]) (helo [192.0.2.10]) by mx.example.org with ESMTPS id 4B"},
		{"name that is a remark, behind a comment in front", "(from x) from y ([198.51.100.7]) (tls [192.0.2.10]) by mx.example.org (NAVGW 2.5.1.18) with SMTP id M2"},
		{"recipient with the mark of a program's mail", `from mail.example.com (mail.example.com [192.0.2.10]) by mx.example.org (Postcow) with ESMTPS id 4B for <"user+(DragonFly)"@example.org>`},
		{"the same without quotation marks", "from mail.example.com (mail.example.com [192.0.2.10]) by mx.example.org (Postcow) with ESMTPS id 4B for <user+(DragonFly)@example.org>"},
		{"recipient with the mark of a writer that verifies", `from bank.example (unknown [192.0.2.10]) by mx.example.org (Postcow) with ESMTPS id 4B for <"user+(Exim)"@example.org>`},
		{"certificate with a mark, Strato", `from mail.example.com ([192.0.2.10]) by smtpin.rzone.de (RZmta 49.6.6 OK) with ESMTPS id x9 (using TLSv1.3 with cipher X (256 bits)) (Client CN "x) (DragonFly) (y", Issuer "z" (not verified)) for <user@example.org>`},
		{"certificate with the mark of a writer that verifies, Strato", `from bank.example ([192.0.2.10]) by smtpin.rzone.de (RZmta 49.6.6 OK) with ESMTPS id x9 (using TLSv1.3 with cipher X (256 bits)) (Client CN "x) (Exim) (y", Issuer "z" (not verified)) for <user@example.org>`},
		{"HELO, chasquid of years ago", `from [192.0.2.10] ([198.51.100.7]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from "a@example.com")`},
		{"the same without brackets", `from [192.0.2.10] (198.51.100.7) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from "a@example.com")`},
		{"sender with a login, chasquid", `from mail.example.com ([192.0.2.10]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from "a)(authenticated)(b@example.com")`},
		{"recipient with a protocol of the writer's stores", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a() with mapi b"@example.org>`},
		{"recipient with a protocol of its own host", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a() with local b"@example.org>`},
		{"recipient with a protocol of a hop within", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a() with LMTP b"@example.org>`},
		{"recipient that ends the bracket, with a protocol", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a>b with LMTP c"@example.org>`},
		{"the same behind a quoted mark", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a\"> with LMTP c"@example.org>`},
		{"name that is HELO, and a login", "from x[192.0.2.10](AUTH: LOGIN y) (helo [192.0.2.10]) by mx.example.org with ESMTP id 4B"},
		{"the same behind the address alone", "from 192.0.2.10(authenticated) (helo [192.0.2.10]) by mx.example.org with ESMTP id 4B"},
		{"the same with brackets", "from [192.0.2.10](AUTH: LOGIN y) (helo [192.0.2.10]) by mx.example.org with ESMTP id 4B"},
		{"name that is envelope-from, by a writer that nobody knows", "from [198.51.100.7](AUTH: LOGIN y) (envelope-from [192.0.2.10]) by mx.example.org with ESMTP id 4B"},
		{"name that is HELO, chasquid", `from [198.51.100.7] (helo [192.0.2.10]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from "a@example.com")`},
		{"recipient with a protocol of a login", `from mail.example.com (192.0.2.10) by pmta.example.org id h2 for <"a() with esmtpa b"@example.org>`},
		{"HELO that opens a comment which the recipient closes, MDaemon", `from x(y[198.51.100.7])by[mx.example.org]( [192.0.2.10] by mx.example.org [10.0.0.1] with ESMTP (MDaemon PRO v20.0.1) for <"a)"@example.org>`},
		{"the same with blanks", `from x (y [198.51.100.7]) by mx.example.org ( [192.0.2.10] by mx.example.org with SMTP for <"a)"@example.org>`},
		{"certificate with a login, all in one line", `from mail.example.com (mail.example.com [192.0.2.10]) (Client CN "x) (authenticated) (y", Issuer "z" (not verified)) by mx.example.org (Postcow) with ESMTPS id 4B`},
		{"HELO that is the only address", "from 198.51.100.7 (HELO y) (mail.example.com/192.0.2.10) by mx.example.org with SMTP id 1"},
		{"ident, Exim of years ago", "from mail.example.com (x.example) [192.0.2.10.1033] (authenticated) by mx.example.org with smtp (Exim 3.36) id 18TqZk-0003aC-00"},
	} {
		h := Parse([]byte(tt.field + "; Mon, 15 Jan 2024 10:00:00 +0000"))
		switch {
		case h.Authenticated, h.Err == nil && h.Kind != SMTP, h.Addr.IsValid() && h.Addr != real, h.NameVerified && h.Name != "mail.example.com":
			t.Errorf("%s: %s", tt.name, describe(h))
		}
	}
}

// TestHonestNamesThatLookLikeRemarks: the name that was looked up may begin as a remark does.
func TestHonestNamesThatLookLikeRemarks(t *testing.T) {
	for _, name := range []string{"smtp-auth.example.com", "client-192-0-2-10.example.com", "tls1.example.com", "smtpauth2.example.com", "authenticated.example.com"} {
		for writer, verifies := range map[string]bool{"(Postfix) with ESMTPS": true, "(8.17.1/8.17.1) with ESMTPS": true, "(Haraka/3.0.3) with ESMTPS": false} {
			field := "from out." + name + " (" + name + " [192.0.2.10]) (using TLSv1.2 with cipher X (256/256 bits)) (No client certificate requested) by mx.example.org " + writer +
				" id 4B; Mon, 15 Jan 2024 10:00:00 +0000"
			h := Parse([]byte(field))
			if h.Addr != real || h.Name != name || h.NameVerified != verifies || h.Authenticated || h.HELO != "out."+name || !h.TLS || h.Err != nil {
				t.Errorf("%s: %s", field, describe(h))
			}
		}
	}
}

// TestHELOThatIsAnAddress: it is in no writer's way that shows the client's address elsewhere, and of a user who logged in chasquid shows nothing else.
func TestHELOThatIsAnAddress(t *testing.T) {
	for _, tt := range []struct {
		name, field, helo string
		certain           bool
	}{
		{"chasquid", "from 198.51.100.7 ([192.0.2.10]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from \"a@example.com\")", "198.51.100.7", true},
		{"Yahoo without TLS", "from 192.0.2.10 (EHLO [192.168.1.5]) by 10.253.233.86 with SMTP", "[192.168.1.5]", true},
		{"Yahoo without TLS, and the client's own address", "from 192.0.2.10 (EHLO [192.0.2.10]) by 10.253.233.86 with SMTP", "[192.0.2.10]", true},
		{"the same in another spelling", "from 192.0.2.10 (EHLO [IPv6:::ffff:192.0.2.10]) by 10.253.233.86 with SMTP", "[IPv6:::ffff:192.0.2.10]", true},
		{"Yahoo without TLS, and an address of somebody else's", "from 192.0.2.10 (EHLO [198.51.100.7]) by 10.253.233.86 with SMTP", "", false},
		{"a name that is EHLO", "from 198.51.100.7 (EHLO [192.0.2.10]) by 10.253.233.86 with SMTP", "", false},
		{"qmail", "from unknown (HELO [192.168.1.5]) (192.0.2.10) by mx.example.org with SMTP", "[192.168.1.5]", true},
		{"a HELO that is a part of the client's own address", "from x([192.0.2.1]) (helo [192.0.2.10]) by mx.example.org with ESMTPS id 4B", "", false},
		{"the same without brackets", "from x([192.0.2.1]) (helo 192.0.2.10) by mx.example.org with ESMTPS id 1", "", false},
		{"chasquid, of a user", "from [198.51.100.7] by mx.example.org (chasquid) with ESMTPSA tls X (over submission, TLS-1.3, envelope from \"a@example.com\")", "", false},
		{"the same with a comment of his", "from [198.51.100.7](x) by mx.example.org (chasquid) with ESMTPSA tls X (over submission, TLS-1.3, envelope from \"a@example.com\")", "", false},
		{"the same in a comment of his", "from x([198.51.100.7]) by mx.example.org (chasquid) with ESMTPSA tls X (over submission, TLS-1.3, envelope from \"a@example.com\")", "", false},
		{"the same, years ago", "from x(198.51.100.7:25) (authenticated as user@example.org) by mx.example.org (chasquid) (over submission TLS-1.3-X) (envelope from \"a@example.com\")", "", false},
		{"chasquid, today or years ago", "from [198.51.100.7] ([192.0.2.10]) by mx.example.org (chasquid) with ESMTPS tls X (over SMTP, TLS-1.3, envelope from \"a@example.com\")", "", false},
	} {
		h := Parse([]byte(tt.field + "; Mon, 15 Jan 2024 10:00:00 +0000"))
		certain := h.Addr == real && !h.AddrUncertain && h.Err == nil
		chosen := h.Addr.IsValid() && h.Addr != real && !h.AddrUncertain
		if certain != tt.certain || chosen || certain && h.HELO != tt.helo {
			t.Errorf("%s: %s", tt.name, describe(h))
		}
	}
}

// nameParts are what a name may be built of that a client's DNS gives: words that begin remarks, or stand for what there is not.
var nameParts = [...]string{
	"tls", "ssl", "using", "version", "auth", "authenticated", "smtp-auth", "smtpauth", "client", "client-1", "no", "helo", "ehlo", "ident", "account", "envelope-from", "proxying",
	"unknown", "localhost", "local", "port", "id", "for", "by", "from", "with", "via", "qmail", "postfix", "mx", "x",
}

// TestMixedNamesOfTheClient puts mixtures of them in the place of each name in testdata that was looked up. Alone a plain name with a dot does no
// harm: the address is read, and the name. With other words in the HELO it does not make them more than they are, nor does a name that is no plain
// one, nor one before a slash.
func TestMixedNamesOfTheClient(t *testing.T) {
	text, err := os.ReadFile("testdata/fields.txt")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	places := 0
	for block := range strings.SplitSeq(string(text), "\n\n") {
		_, field, _ := strings.Cut(block, "\n")
		field, _, _ = strings.Cut(field, "\n= ")
		field = string(wire(field))
		plain := Parse([]byte(field))
		isThere := plain.Name != "" && strings.Count(field, plain.Name) == 1 && !strings.Contains(plain.By, plain.Name)
		if plain.Err != nil || !plain.Addr.IsValid() || !isThere {
			continue
		}
		places++
		for range 200 {
			name := nameParts[random.IntN(len(nameParts))]
			for range random.IntN(3) {
				name += []string{".", ".", "-", "-", "=", ":"}[random.IntN(6)] + nameParts[random.IntN(len(nameParts))]
			}
			if random.IntN(3) > 0 {
				name += ".example.com"
			}
			named := strings.Replace(field, plain.Name, name, 1)
			h := Parse([]byte(named))
			isPlain := isName(name) && strings.Contains(name, ".")
			asItIs := h.Addr == plain.Addr && h.Name == name && h.Kind == plain.Kind
			if isPlain && !asItIs {
				t.Errorf("%s\ngives %s", named, describe(h))
			}
			if random.IntN(4) == 0 { // some writers have no brackets
				named = strings.Replace(named, name+" ["+plain.Addr.String()+"]", name+"/"+plain.Addr.String(), 1)
			}
			if !isOnlyThere(plain.HELO, field, &plain) || strings.Contains(name, plain.HELO) || !Public(plain.Addr) {
				continue // a private address has no name of the client's choosing
			}
			var words strings.Builder
			for range 1 + random.IntN(4) {
				words.WriteString(strings.ReplaceAll(fragments[random.IntN(len(fragments))], "ADDR", plain.Addr.String()))
			}
			mixed := strings.Replace(named, plain.HELO, words.String(), 1)
			h = Parse([]byte(mixed))
			hidden := plain.Authenticated && h.Kind == SMTP
			switch {
			case h.Err != nil, !h.Addr.IsValid():
			case h.Addr != plain.Addr && !h.AddrUncertain, h.Kind != plain.Kind && !hidden, h.NameVerified && h.Name != name:
				t.Errorf("%s\ngives %s", mixed, describe(h))
			}
		}
	}
	if places < 50 {
		t.Errorf("only %d places", places)
	}
}
