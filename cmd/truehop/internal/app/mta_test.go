package app

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/inject"
)

// TestOwnAddressesAreNeverPresented: mail that names one of this host's addresses as its client must not get the
// rights that the MTA gives its own host.
func TestOwnAddressesAreNeverPresented(t *testing.T) {
	extra := netip.MustParsePrefix("198.51.100.0/24")
	got := dialogue(&config.Target{NeverPresent: []netip.Prefix{extra}}).Never
	for _, want := range []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), extra} {
		if !slices.Contains(got, want) {
			t.Errorf("%v is not among what is never presented: %v", want, got)
		}
	}
}

// TestProofIsOfOneTarget: what proves that a target judges clients proves nothing of another, nor of the same by another way.
// The one without a name keeps what was proved before targets had names.
func TestProofIsOfOneTarget(t *testing.T) {
	here, there := config.Endpoint{Network: "unix", Address: "/run/a"}, config.Endpoint{Network: "tcp", Address: "mx.example.org:25"}
	targets := []config.Target{
		{Name: "main", Address: here}, {Name: "other", Address: here}, {Name: "third", Address: here}, {Name: "main", Address: there},
		{Name: "main", Address: here, Protocol: inject.LMTP}, {Name: "main", Address: here, Carrier: inject.XFORWARD}, {Name: "main", Address: here, XClient: inject.Off},
	}
	seen := map[string]int{}
	for i := range targets {
		name := Target(&targets[i])
		if other, twice := seen[name]; twice {
			t.Errorf("targets %d and %d prove for one another, as %q", other, i, name)
		}
		seen[name] = i
	}
	if got, want := Target(&targets[0]), "unix:/run/a smtp xclient xclient:required"; got != want {
		t.Errorf("main is %q, want %q as it was", got, want)
	}
}
