package config

import "testing"

// Addresses may hold letters beyond ASCII, before the @ and behind it (RFC 6531), and nothing that no address holds.
func TestMailbox(t *testing.T) {
	for address, good := range map[string]bool{
		"joe@example.org": true, "jürgen@example.org": true, "joe@bücher.example": true, "jürgen@bücher.example": true, "用户@例え.example": true,
		"joe@xn--bcher-kva.example": true,
		"joe":                       false, "@bücher.example": false, "jür gen@example.org": false, "jür\u00a0gen@example.org": false, "jür\u2028gen@example.org": false, "jür\u200bgen@example.org": false,
		"j\xfcrgen@example.org": false, "joe@bü cher.example": false, "joe@-bücher.example": false, "joe@b\xfccher.example": false, "joe@bücher.example.": false, "joe@bücher..example": false,
		"joe@\u202eexample.org": false,
	} {
		if why := mailbox(address); (why == "") != good {
			t.Errorf("%q: %q, want it taken: %v", address, why, good)
		}
	}
}
