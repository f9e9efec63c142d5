package transfer

import (
	"strings"
	"testing"
)

// FuzzRecipient: whatever the upstream wrote down, what comes out is an address in a domain of ours
// that no mail system takes for anything else.
func FuzzRecipient(f *testing.F) {
	for _, seed := range []string{
		"", "@", "joe@example.org", "example.org-joe@example.org", "-oQ/tmp@example.org", "|cmd@example.org", "/file@example.org",
		"joe%elsewhere.example@example.org", "elsewhere!joe@example.org", "<a@b>NOTIFY=NEVER@example.org", "\"a b\"@example.org",
		"a@example.org\r\nDATA@example.org", "a..b@example.org", ".a@example.org", "a.@example.org", "a@EXAMPLE.org", "a@b@example.org", "ü@example.org",
	} {
		f.Add(seed)
	}
	rule := RecipientRule{From: "delivered-to", Domains: []string{"example.org"}, StripPrefix: "example.org-"}
	f.Fuzz(func(t *testing.T, address string) {
		got, why := rule.accept(address)
		if (got == "") == (why == "") {
			t.Fatalf("%q gives %q and %q: want a recipient or a reason", address, got, why)
		}
		if got == "" {
			return
		}
		local, domain, _ := strings.Cut(got, "@")
		if !strings.EqualFold(domain, "example.org") || !strings.HasSuffix(address, got) {
			t.Errorf("%q gives %q", address, got)
		}
		if local == "" || strings.ContainsAny(local, "@%!|<>()[],;:\\\"`$ \t\r\n\x00\x7f") || strings.ContainsRune("-./", rune(local[0])) || strings.Contains(local, "..") {
			t.Errorf("%q gives the local part %q", address, local)
		}
		for _, c := range []byte(local) {
			if c < 0x21 || c > 0x7e {
				t.Errorf("%q gives an octet %#x", address, c)
			}
		}
	})
}
