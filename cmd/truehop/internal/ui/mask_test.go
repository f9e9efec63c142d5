package ui

import (
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestAddressesInWhatPeersSay: an address within a reply is shown no further than the sender's own is.
func TestAddressesInWhatPeersSay(t *testing.T) {
	for _, c := range []struct{ text, domain, none string }{
		{"RCPT 550 5.1.1 <joe@example.org>: unknown", "RCPT 550 5.1.1 <...@example.org>: unknown", "RCPT 550 5.1.1 <->: unknown"},
		{"joe@example.org.", "...@example.org.", "-."},
		{"no mail for joe@example.org, ann@example.net: sorry", "no mail for ...@example.org, ...@example.net: sorry", "no mail for -, -: sorry"},
		{`<"joe q"@example.org> is no user`, "<...@example.org> is no user", "<-> is no user"},
		{`"@example.org`, "...@example.org", "-"},
		{"rfc822;joe@[192.0.2.1]", "rfc822;...@[192.0.2.1]", "rfc822;-"},
		{"joe@a@example.org x", "...@example.org x", "- x"},
		{"o'joe@example.org", "...@example.org", "-"},
		{"a @ b, @example.org", "a @ b, @example.org", "a @ b, @example.org"},
		{"joe@", "...@", "-"},
		{"451 4.3.0 later", "451 4.3.0 later", "451 4.3.0 later"},
	} {
		for how, want := range map[config.AddressDetail]string{config.FullAddress: c.text, config.DomainOnly: c.domain, config.NoAddress: c.none} {
			if got := maskWithin(c.text, how); got != want {
				t.Errorf("%v of %q: got %q, want %q", how, c.text, got, want)
			}
		}
	}
}
