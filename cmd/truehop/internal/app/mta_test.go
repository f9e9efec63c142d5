package app

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
)

// TestOwnAddressesAreNeverPresented: mail that names one of this host's addresses as its client must not get the
// rights that the MTA gives its own host.
func TestOwnAddressesAreNeverPresented(t *testing.T) {
	extra := netip.MustParsePrefix("198.51.100.0/24")
	got := dialogue(&config.Inject{NeverPresent: []netip.Prefix{extra}}).Never
	for _, want := range []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), extra} {
		if !slices.Contains(got, want) {
			t.Errorf("%v is not among what is never presented: %v", want, got)
		}
	}
}
