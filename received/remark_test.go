package received

import (
	"strings"
	"testing"
)

// TestHELOOfManyWords has a client say a phrase, which Postfix writes as it is: a clause or a comment
// in it would leave a spammer without an address. The line end behind the address shows what is his.
func TestHELOOfManyWords(t *testing.T) {
	const writer = "\r\n\tby mx.example.org (Postfix) with ESMTPS id 4B\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000"
	const tls = "\r\n\t(using TLSv1.3 with cipher X (256/256 bits)\r\n\t key-exchange X25519)\r\n\t(No client certificate requested)"
	for _, tt := range []struct{ helo, want string }{
		{"mail.example.com", "mail.example.com"},
		{"[192.168.1.5]", "[192.168.1.5]"},
		{"[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"},
		{"by", "by"},
		{"a by b", "a?by?b"},
		{"x (authenticated)", "x??authenticated?"},
		{"x(", "x?"},
		{"x)", "x?"},
		{`"x`, "?x"},
		{"[198.51.100.7](x", "?198.51.100.7??x"},
		{"x ([198.51.100.7]) by mx.example.org (Postfix); x (", "x???198.51.100.7???by?mx.example.org??Postfix???x??"},
	} {
		for _, remarks := range []string{"", tls} {
			h := Parse([]byte(" from " + tt.helo + " (client.example [192.0.2.10])" + remarks + writer))
			if h.Err != nil || h.Addr != real || h.HELO != tt.want || h.By != "mx.example.org" || h.Authenticated {
				t.Errorf("EHLO %s: %s", tt.helo, describe(h))
			}
		}
	}
	// Where the field was folded anew the line ends are no sign.
	folded := " from x ([198.51.100.7])\r\n\tby mx.example.org (Postfix) with ESMTP; x (client.example [192.0.2.10])" + writer
	for _, field := range []string{folded, strings.Replace(folded, "from x", "from a (b", 1)} {
		if h := Parse([]byte(field)); h.Err == nil || h.Addr.IsValid() {
			t.Errorf("folded anew: %s", describe(h))
		}
	}
}

// TestSenderWithParentheses has a client say a sender that ends the comment in which the writer puts
// him: a clause or a parenthesis behind it would leave a spammer without an address.
func TestSenderWithParentheses(t *testing.T) {
	const (
		exim = " from mail.example.com ([192.0.2.10] helo=x)\r\n\tby mx.example.org with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n\t(Exim 4.96)\r\n" +
			"\t(envelope-from <%>)\r\n\tid 1rPAbc-0001xY-2z\r\n\tfor user@example.org;\r\n\tMon, 15 Jan 2024 10:00:00 +0000"
		sendmail = " from x (mail.example.com [192.0.2.10])\r\n\tby mx.example.org (8.17.1/8.17.1) with ESMTP id 40F\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000\r\n" +
			"\t(envelope-from %)"
	)
	for _, tt := range []struct{ sender, want string }{
		{"a@example.com", "a@example.com"},
		{`"a b"@example.com`, `"a b"@example.com`},
		{`"a)b"@example.com`, ""},
		{`"a(b"@example.com`, ""},
		{`"a) by b (c"@example.com`, ""},
		{`"a) for boss@example.org (b"@example.com`, ""},
		{`"a)\"; ("@example.com`, ""},
	} {
		for _, form := range []string{exim, sendmail} {
			h := Parse([]byte(strings.Replace(form, "%", tt.sender, 1)))
			if h.Err != nil || h.Addr != real || h.EnvelopeFrom != tt.want || h.By != "mx.example.org" || strings.Trim(h.For, "<>") != "user@example.org" || h.Time.IsZero() {
				t.Errorf("MAIL FROM:<%s>: %s", tt.sender, describe(h))
			}
		}
	}
	folded := " from x ([198.51.100.7])\r\n\t(envelope-from ( (mail.example.com [192.0.2.10])\r\n\tby mx.example.org (Postfix) with ESMTP id 4B; Mon, 15 Jan 2024 10:00:00 +0000"
	if h := Parse([]byte(folded)); h.Err == nil || h.Addr.IsValid() {
		t.Errorf("folded anew: %s", describe(h))
	}
}
