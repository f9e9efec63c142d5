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
