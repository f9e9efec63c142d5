package received

import (
	"net/netip"
	"strings"
)

// Ranges that no client on the Internet can have. The documentation ranges
// are missing on purpose: see [Public].
var (
	sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598, CGNAT
	thisNetwork = netip.MustParsePrefix("0.0.0.0/8")     // RFC 1122, 3.2.1.3
	reserved4   = netip.MustParsePrefix("240.0.0.0/4")   // RFC 1112, 4; holds the broadcast address
	ietf4       = netip.MustParsePrefix("192.0.0.0/24")  // RFC 6890
	benchmark4  = netip.MustParsePrefix("198.18.0.0/15") // RFC 2544
	compatible6 = netip.MustParsePrefix("::/96")         // RFC 4291, 2.5.5.1, deprecated
	siteLocal6  = netip.MustParsePrefix("fec0::/10")     // RFC 3879, deprecated
	discard6    = netip.MustParsePrefix("100::/64")      // RFC 6666
	translate6  = netip.MustParsePrefix("64:ff9b::/96")  // RFC 6052, an IPv4 address behind NAT64
	local64     = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour   = netip.MustParsePrefix("2002::/16") // RFC 3056, an IPv4 address in 6to4
)

// Public reports whether a may be the address of an SMTP client out on the
// Internet. It is false for loopback, private, link-local, shared (CGNAT),
// multicast, unspecified and reserved addresses, for addresses with a zone,
// and for IPv6 addresses that carry such an IPv4 address. Presented to an MTA
// as a client, those would carry the rights of a local one.
//
// The documentation ranges of RFC 5737 and RFC 3849 count as public.
func Public(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is4() {
		return !sharedSpace.Contains(a) && !thisNetwork.Contains(a) && !reserved4.Contains(a) &&
			!ietf4.Contains(a) && !benchmark4.Contains(a)
	}
	switch {
	case compatible6.Contains(a), siteLocal6.Contains(a), discard6.Contains(a), local64.Contains(a):
		return false
	case translate6.Contains(a):
		b := a.As16()
		return Public(netip.AddrFrom4([4]byte(b[12:16])))
	case sixToFour.Contains(a):
		b := a.As16()
		return Public(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return true
}

// parseAddr reads an address as an MTA writes it: dotted IPv4, IPv6 in any
// spelling of RFC 4291 with or without the IPv6: tag of RFC 5321, 4.1.3.
// IPv4 in IPv6 becomes IPv4, a zone is dropped. Octal, hexadecimal, short and
// plain-number IPv4 are refused: two readers would read two addresses.
func parseAddr(s string) (netip.Addr, bool) {
	if hasPrefixFold(s, "ipv6:") {
		s = s[5:]
		if strings.IndexByte(s, ':') < 0 {
			return netip.Addr{}, false
		}
	}
	if !looksLikeAddr(s) {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, false
	}
	return a.WithZone("").Unmap(), true
}

// looksLikeAddr is a cheap test that keeps host names away from
// netip.ParseAddr, whose errors cost an allocation.
func looksLikeAddr(s string) bool {
	if len(s) < 2 || len(s) > 64 {
		return false
	}
	dots, colons := 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		case c == '.':
			dots++
		case c == ':':
			colons++
		case c == '%':
			return colons >= 2
		default:
			return false
		}
	}
	if colons >= 2 {
		return true
	}
	return dots == 3 && s[0] >= '0' && s[0] <= '9'
}

// parseAddrPort reads an address that may have a port behind it, in the ways
// MTAs write that: "1.2.3.4:25", "[2001:db8::1]:25", "2001:db8::1", and the
// "[1.2.3.4:25" that is left of Momentum's "([[1.2.3.4:25])".
func parseAddrPort(s string) (netip.Addr, uint16, bool) {
	s = strings.TrimPrefix(s, "[")
	if a, ok := parseAddr(s); ok {
		return a, 0, true
	}
	i := strings.LastIndexByte(s, ':')
	if i <= 0 || i == len(s)-1 {
		return netip.Addr{}, 0, false
	}
	port, ok := parsePort(s[i+1:])
	if !ok {
		return netip.Addr{}, 0, false
	}
	host, bracket := strings.CutSuffix(s[:i], "]")
	a, ok := parseAddr(host)
	if !bracket && strings.IndexByte(host, ':') >= 0 {
		return netip.Addr{}, 0, false // the port may be the last group of IPv6
	}
	return a, port, ok
}

// addrPort is parseAddrPort in the writer's way.
func (w *software) addrPort(s string) (netip.Addr, uint16, bool) {
	if i := strings.LastIndexByte(s, '.'); w.dotPort && strings.Count(s, ".") == 4 {
		if port, ok := parsePort(s[i+1:]); ok {
			a, ok := parseAddr(s[:i])
			return a, port, ok
		}
	}
	return parseAddrPort(s)
}

// parsePort reads a decimal port of one to five digits.
func parsePort(s string) (uint16, bool) {
	if s == "" || len(s) > 5 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return uint16(n), n > 0 && n <= 65535
}
