package inject

import (
	"fmt"
	"net/netip"
	"strings"
)

// Client is the SMTP client to present: always the complete set of attributes.
type Client struct {
	// Addr is the client's address; the zero Addr is an unknown client.
	Addr netip.Addr
	// Name is the name that Addr resolves to and that resolves to Addr, or "".
	Name string
	// NameTemporary says that Name is "" because the lookup failed temporarily.
	NameTemporary bool
	// ReverseName is the name that Addr resolves to, whether or not that name
	// resolves to Addr, or "".
	ReverseName string
	// HELO is what the client gave with HELO or EHLO: any octets.
	HELO string
	// ESMTP says that it said EHLO, and SMTP that it is known to have said HELO; neither, that nothing is known of that.
	// XCLIENT's PROTO says it to the MTA, and the greeting in the client's name, which follows, overrides that: it is
	// HELO for a client with SMTP where that loses nothing, else EHLO.
	ESMTP, SMTP bool
	// Port is the client's port, 0 if unknown.
	Port uint16
	// DestAddr and DestPort are where the client connected to, zero if unknown.
	DestAddr netip.Addr
	DestPort uint16
}

// Safe returns the client as it may be presented, and the reason if that differs in
// substance. An address that may carry rights at the MTA (loopback, private,
// link-local, shared, multicast, unspecified, or in never), in whatever form, makes
// everything unavailable. So does a missing address, because a name alone would make the
// client look resolved. What is no host name, and names that only the MTA may use
// ("unknown", "localhost"), become unavailable.
func (c Client) Safe(never []netip.Prefix) (Client, string) {
	blank := Client{ESMTP: c.ESMTP}
	if !c.Addr.IsValid() {
		if c == blank {
			return blank, ""
		}
		return blank, "no client address: all attributes unavailable"
	}
	c.Addr = c.Addr.Unmap()
	if why := forbidden(c.Addr, never); why != "" {
		return blank, fmt.Sprintf("client address %s is %s: all attributes unavailable", c.Addr.WithZone(""), why)
	}
	var reasons []string
	for _, n := range []struct {
		attribute string
		value     *string
	}{{"NAME", &c.Name}, {"REVERSE_NAME", &c.ReverseName}} {
		name, ok := hostname(*n.value)
		if !ok {
			reasons = append(reasons, fmt.Sprintf("%s %q is no host name: unavailable", n.attribute, sanitize(*n.value)))
		}
		*n.value = name
	}
	if c.Name != "" {
		c.NameTemporary = false
		// A verified name is the reverse name that was verified.
		c.ReverseName = c.Name
	}
	if len(xtext(c.HELO)) > maxValue {
		reasons = append(reasons, "HELO is longer than 255 octets: unavailable")
		c.HELO = ""
	}
	if !c.DestAddr.IsValid() || c.DestAddr.Zone() != "" {
		c.DestAddr = netip.Addr{}
	}
	c.DestAddr = c.DestAddr.Unmap()
	return c, strings.Join(reasons, "; ")
}

// Forbidden says why addr must not be presented as a client, "" if it may be. [Client.Safe] makes
// such a client unavailable.
func Forbidden(addr netip.Addr, never []netip.Prefix) string { return forbidden(addr.Unmap(), never) }

// forbidden is Forbidden for an address that is not mapped.
func forbidden(addr netip.Addr, never []netip.Prefix) string {
	if addr.Zone() != "" {
		return "of a zone"
	}
	for _, p := range never {
		if p.Contains(addr) {
			return "never to be presented"
		}
	}
	for _, r := range reservedRanges {
		if r.prefix.Contains(addr) {
			return r.why
		}
	}
	var v4 netip.Addr
	switch b := addr.As16(); {
	case nat64.Contains(addr), translated.Contains(addr):
		v4 = netip.AddrFrom4([4]byte(b[12:16]))
	case sixTo4.Contains(addr):
		v4 = netip.AddrFrom4([4]byte(b[2:6]))
	default:
		return ""
	}
	if why := forbidden(v4, never); why != "" {
		return "a form of " + v4.String() + ", which is " + why
	}
	return ""
}

// reservedRanges are the ranges of RFC 6890 that may carry rights at an MTA. The ranges
// for documentation and benchmarks are not among them: no MTA trusts these.
var reservedRanges = [...]struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},
	{netip.MustParsePrefix("fc00::/7"), "private"},
	{netip.MustParsePrefix("fec0::/10"), "private"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("100.64.0.0/10"), "shared address space"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("::/96"), "unspecified or IPv4-compatible"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "local translation"},
}

// Networks of IPv6 addresses that hold one of IPv4: NAT64 (RFC 6052), IPv4-translated (RFC 2765)
// and 6to4 (RFC 3056).
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	translated = netip.MustParsePrefix("::ffff:0:0:0/96")
	sixTo4     = netip.MustParsePrefix("2002::/16")
)
