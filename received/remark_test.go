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
