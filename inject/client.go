package inject

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
	// ESMTP says that it said EHLO.
	ESMTP bool
	// Port is the client's port, 0 if unknown.
	Port uint16
	// DestAddr and DestPort are where the client connected to, zero if unknown.
	DestAddr netip.Addr
	DestPort uint16
}

const (
	unavailable = "[UNAVAILABLE]"
	tempUnavail = "[TEMPUNAVAIL]"

	// maxValue is Postfix's limit for an encoded attribute value, in octets.
	maxValue = 255
	// maxCommand is RFC 5321 section 4.5.3.1.4 without the CRLF.
	maxCommand = 510
)

// attributes in the order in which they are sent. Authorisation is decided anew after
// each command, by name and address: they come last, so that a split set keeps the
// right to send its last part. NAME follows REVERSE_NAME because a NAME sets both.
var attributes = [...]string{"HELO", "PROTO", "PORT", "LOGIN", "DESTADDR", "DESTPORT", "REVERSE_NAME", "NAME", "ADDR"}

// AllAttributes returns the names of all attributes that this package knows.
func AllAttributes() []string { return slices.Clone(attributes[:]) }

// Safe returns the client as it may be presented, and the reason if that differs in
// substance. An address that may carry rights at the MTA (loopback, private,
// link-local, shared, multicast, unspecified, or in never), in whatever disguise,
// makes everything unavailable. So does no address: a name alone would still pass
// for a resolved client. Names that are none, or claim what only the MTA may
// claim ("unknown", "localhost"), become unavailable.
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

// Forbidden says why addr must not be presented as a client, "" if it may be: [Client.Safe]
// presents nobody in its place.
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
	if v4, ok := embedded(addr); ok {
		if why := forbidden(v4, never); why != "" {
			return "a form of " + v4.String() + ", which is " + why
		}
	}
	return ""
}

// reservedRanges are the ranges of RFC 6890 that may carry rights at an MTA. The ranges
// for documentation and benchmarks are not among them: nobody trusts these.
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

var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4  = netip.MustParsePrefix("2002::/16")
	mapping = netip.MustParsePrefix("::ffff:0:0:0/96")
)

// embedded returns the IPv4 address within NAT64 (RFC 6052), 6to4 (RFC 3056) and
// IPv4-translated (RFC 2765) addresses.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr), mapping.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo4.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// Commands returns the XCLIENT commands, without CRLF and each at most 510 octets,
// that set every attribute in offered which this package knows. An unknown value is
// sent as [UNAVAILABLE], never left out: attributes outlive the message they were
// set for. LOGIN is never anything else, because it would make the session authenticated.
func (c Client) Commands(offered []string) []string {
	return commands("XCLIENT", attributes[:], offered, c.attribute)
}

// commands builds the commands for the attributes of order that are in offered.
func commands(verb string, order, offered []string, value func(string) string) []string {
	var out []string
	line := append(make([]byte, 0, maxCommand), verb...)
	for _, a := range order {
		if !slices.ContainsFunc(offered, func(o string) bool { return strings.EqualFold(o, a) }) {
			continue
		}
		pair := " " + a + "=" + value(a)
		// NAME and ADDR go together: a NAME alone could cost the right to send ADDR.
		need := len(pair)
		if a == "NAME" {
			need += len(" ADDR=IPV6:") + 39
		}
		if len(line)+need > maxCommand {
			out = append(out, string(line))
			line = append(line[:0], verb...)
		}
		line = append(line, pair...)
	}
	if len(line) == len(verb) {
		return out
	}
	return append(out, string(line))
}

// attribute returns the value to send for one attribute, encoded.
func (c Client) attribute(name string) string {
	switch name {
	case "NAME":
		return c.nameValue(c.Name)
	case "REVERSE_NAME":
		if c.Name != "" {
			return c.nameValue(c.Name)
		}
		return c.nameValue(c.ReverseName)
	case "ADDR":
		return addrValue(c.Addr)
	case "DESTADDR":
		return addrValue(c.DestAddr)
	case "PORT":
		return portValue(c.Port)
	case "DESTPORT":
		return portValue(c.DestPort)
	case "HELO":
		return heloValue(c.HELO)
	case "PROTO": // knows no [UNAVAILABLE]
		if c.ESMTP {
			return "ESMTP"
		}
		return "SMTP"
	}
	return unavailable // LOGIN
}

func (c Client) nameValue(name string) string {
	if h, ok := hostname(name); ok && h != "" {
		return h
	}
	if c.NameTemporary {
		return tempUnavail
	}
	return unavailable
}

func addrValue(a netip.Addr) string {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.Zone() != "":
		return unavailable
	case a.Is6():
		return "IPV6:" + a.String()
	}
	return a.String()
}

func portValue(p uint16) string {
	if p == 0 {
		return unavailable
	}
	return strconv.Itoa(int(p))
}

func heloValue(helo string) string {
	if v := xtext(helo); v != "" && len(v) <= maxValue {
		return v
	}
	return unavailable
}

// without returns c with one attribute unavailable, everything but ADDR if it names none.
func (c Client) without(attribute string) Client {
	switch attribute {
	case "NAME", "REVERSE_NAME": // sent from one and the same name
		c.Name, c.ReverseName, c.NameTemporary = "", "", false
	case "HELO":
		c.HELO = ""
	case "PORT":
		c.Port = 0
	case "DESTADDR":
		c.DestAddr = netip.Addr{}
	case "DESTPORT":
		c.DestPort = 0
	default:
		return Client{Addr: c.Addr, ESMTP: c.ESMTP}
	}
	return c
}
