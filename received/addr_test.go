package received

import (
	"net/netip"
	"testing"
)

// An address that an MTA may give rights to is not public, in whatever form it is written.
func TestPublic(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"192.0.2.10", true}, {"198.51.100.7", true}, {"203.0.113.9", true}, {"2001:db8::1", true}, // documentation
		{"8.8.8.8", true}, {"100.63.255.255", true}, {"100.128.0.1", true}, {"2a01:111:f400::1", true},
		{"127.0.0.1", false}, {"127.255.255.254", false}, {"::1", false}, {"::ffff:127.0.0.1", false}, {"::127.0.0.1", false},
		{"0.0.0.0", false}, {"0.1.2.3", false}, {"::", false},
		{"10.0.0.1", false}, {"172.16.0.1", false}, {"172.31.255.255", false}, {"192.168.1.1", false}, {"::ffff:10.0.0.1", false},
		{"100.64.0.1", false}, {"100.127.255.255", false},
		{"169.254.1.1", false}, {"fe80::1", false}, {"fe80::1%eth0", false}, {"2001:db8::1%eth0", false},
		{"fc00::1", false}, {"fd12::1", false}, {"fec0::1", false},
		{"224.0.0.1", false}, {"239.1.1.1", false}, {"ff02::1", false}, {"ff0e::1", false},
		{"240.0.0.1", false}, {"255.255.255.255", false}, {"192.0.0.1", false}, {"198.18.0.1", false}, {"100::1", false},
		{"64:ff9b::10.0.0.1", false}, {"64:ff9b::192.0.2.10", true}, {"64:ff9b:1::1", false},
		{"2002:7f00:1::1", false}, {"2002:c000:20a::1", true},
	} {
		if got := Public(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("Public(%s) is %v", tt.addr, got)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

// Each spelling gives one canonical address. A spelling that two readers could read differently gives none.
func TestParseAddrPort(t *testing.T) {
	for _, tt := range []struct{ in, addr string }{
		{"192.0.2.10", "192.0.2.10"},
		{"192.0.2.10:25", "192.0.2.10"},
		{"[192.0.2.10:25", "192.0.2.10"},
		{"[2001:db8::1]:25", "2001:db8::1"},
		{"2001:DB8:0:0:0::1", "2001:db8::1"},
		{"IPv6:2001:db8::1", "2001:db8::1"},
		{"ipv6:2001:db8::1", "2001:db8::1"},
		{"::ffff:192.0.2.10", "192.0.2.10"},
		{"IPv6:::ffff:c000:020a", "192.0.2.10"},
		{"fe80::1%7", "fe80::1"},
		{"IPv6:192.0.2.10", ""}, {"010.1.1.1", ""}, {"192.0.2.010", ""}, {"0x7f.0.0.1", ""}, {"1.2.3", ""},
		{"2130706433", ""}, {"192.0.2.10.", ""}, {"192.0.2.256", ""}, {"192.0.2.10:99999", ""}, {"192.0.2.10:", ""},
		{"192.0.2.10:0", ""}, {"192.0.2.1O", ""}, {"2001:db8:::1", ""}, {"1:2:3:4:5:6:7:8:9", ""}, {"", ""}, {":", ""}, {"unknown", ""},
	} {
		a, _, ok := parseAddrPort(tt.in)
		if got := a.String(); ok != (tt.addr != "") || ok && got != tt.addr {
			t.Errorf("parseAddrPort(%q) is %v, %v; want %q", tt.in, a, ok, tt.addr)
		}
	}
}
