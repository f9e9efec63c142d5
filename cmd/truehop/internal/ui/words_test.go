package ui

import (
	"net/netip"
	"testing"

	"github.com/truehop/truehop/inject"
)

// TestPresented: that the MTA was told of an unknown client is not the same as that it was told nothing.
func TestPresented(t *testing.T) {
	for want, r := range map[string]inject.Receipt{
		"192.0.2.7":   {Stage: "dot", Presented: inject.Client{Addr: netip.MustParseAddr("192.0.2.7")}, ClientGiven: true},
		"unavailable": {Stage: "dot", ClientGiven: true},
		"-":           {Stage: "connect"},
	} {
		if got := presented(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
