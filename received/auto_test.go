package received

import (
	"net/netip"
	"testing"
)

// A customer's host must not pass for a relay, nor a relay for a customer's.
func TestCustomer(t *testing.T) {
	for _, tt := range []struct {
		name, addr string
		want       bool
	}{
		{"ip-203-0-113-5.example.org", "203.0.113.5", true},
		{"203-0-113-5.dc.example.org", "203.0.113.5", true},
		{"5.113.0.203.example.org", "203.0.113.5", true},
		{"h203000113005.example.org", "203.0.113.5", false}, // one run of digits is not taken apart
		{"cb007105.example.org", "203.0.113.5", true},
		{"p5483b7c0.dip0.example.org", "203.0.113.5", true},
		{"dynamic-17.example.org", "203.0.113.5", true},
		{"c1.customers.example.org", "203.0.113.5", true},
		{"vps-17.example.org", "203.0.113.5", true},
		{"host.adsl.example.org", "2001:db8::1", true},
		{"relay.example.org", "203.0.113.5", false},
		{"mx5.example.org", "203.0.113.5", false},
		{"mail.pool-party.example.org", "203.0.113.5", true},
		{"carpool.example.org", "203.0.113.5", false},
		{"mx.dynamics.example", "203.0.113.5", false}, // the domain's own name does not count
	} {
		if got := customer(tt.name, netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("customer(%q, %s) is %v", tt.name, tt.addr, got)
		}
	}
}

func TestSameHost(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"mx.example.org", "MX.example.org.", true},
		{"mx.sub.example.org", "mx.example.org", true},
		{"mx.example.org", "mx.example.com", false},
		{"mx.example.org", "mx2.example.org", false},
		{"AM0.eop-eur04.prod.protection.outlook.com", "AM0.mail.protection.outlook.com", true},
		{"AM0.eurprd03.prod.outlook.com", "AM0.outlook.office365.com", true},
		{"AM0.evil.example", "AM0.outlook.office365.com", false},
		{"mx.co.uk", "mx.ac.uk", false},
		{"localhost", "localhost", true},
		{"", "", false},
	} {
		if got := sameHost(tt.a, tt.b); got != tt.want {
			t.Errorf("sameHost(%q, %q) is %v", tt.a, tt.b, got)
		}
	}
}

func TestRegistered(t *testing.T) {
	for host, want := range map[string]string{
		"mx.example.org": "example.org", "a.b.example.co.uk.": "example.co.uk", "EXAMPLE.org": "example.org",
		"localhost": "", "compute5.internal": "", "host.local": "", "org": "", "co.uk": "", "192.0.2.1": "", "2001:db8::1": "", "": "", ".": "", "a..b": "",
	} {
		if got := registered(host); got != want {
			t.Errorf("registered(%q) is %q, want %q", host, got, want)
		}
	}
}

// A rented server whose name is verified may call itself by the name of a neighbour. It passes for a
// relay only if its own name is one that providers give to their own hosts.
func TestIsRelay(t *testing.T) {
	for _, tt := range []struct {
		name, next string
		want       bool
	}{
		{"wormhole.dmz.example.org", "smtp.dmz.example.org", true},
		{"out2.dmz.example.org", "smtp.dmz.example.org", true},
		{"relay.example.org", "smtp.dmz.example.org", true},
		{"smtp.dmz.example.org", "smtp.dmz.example.org", false}, // the rest is that it says who it is, not who it is next to
		{"wormhole.lan.example.org", "smtp.dmz.example.org", false},
		{"node-xy.dmz.example.org", "smtp.dmz.example.org", false},
		{"vm7.cloud.example.org", "smtp.cloud.example.org", false},
		{"alice.cloud.example.org", "smtp.cloud.example.org", false},
		{"srv12345.dmz.example.org", "smtp.dmz.example.org", false},
		{"alice.hosted.example.org", "smtp.hosted.example.org", false},
		{"bob.servers.example.org", "smtp.servers.example.org", false},
		{"wlan5.guests.example.org", "smtp.guests.example.org", false},
		{"h00417.dmz.example.org", "smtp.dmz.example.org", false},
	} {
		h := Hop{HELO: tt.next, Name: tt.name, NameVerified: true, By: "mx.example.org", Addr: netip.MustParseAddr("203.0.113.5")}
		if got := isRelay(&h, &Hop{By: tt.next}); got != tt.want {
			t.Errorf("%s in front of %s: %v", tt.name, tt.next, got)
		}
	}
}
