package transfer

import (
	"cmp"
	"net/netip"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
)

// StandIns are the addresses that the MTA is shown in place of a client's own. The protocol has a word for a
// client that is not known, ADDR=[UNAVAILABLE], and filters behind an MTA cannot bear it: some die of it, and
// some take it for localhost. What they bear is an address that no host has: SPF and DMARC refuse forgeries that
// seem to come from there. There are two, so that the MTA can have a rule for each.
type StandIns struct {
	// Unknown is for a client that cannot be told, or must not be shown. The zero Addr is [UnknownStandIn].
	Unknown netip.Addr
	// Internal is for mail that began at the upstream and has no client. The zero Addr is [InternalStandIn].
	Internal netip.Addr
}

// The stand-ins where none are configured: the dummy address of RFC 7600, and one of the range for
// benchmarks (RFC 2544). Unlike the ranges for documentation, neither is in the lists of addresses that
// filters score as forged.
var (
	UnknownStandIn  = netip.AddrFrom4([4]byte{192, 0, 0, 8})
	InternalStandIn = netip.AddrFrom4([4]byte{198, 18, 0, 8})
)

func (s StandIns) withDefaults() StandIns {
	return StandIns{cmp.Or(s.Unknown, UnknownStandIn), cmp.Or(s.Internal, InternalStandIn)}
}

// hostless is the IPv4 space that no host of the Internet can have (RFC 6890, RFC 7600). The rest of
// 192.0.0.0/24 has hosts: those behind DS-Lite, and anycast services.
var hostless = [...]netip.Prefix{
	netip.MustParsePrefix("192.0.0.8/32"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
}

// WhyNotStandIn says why addr cannot stand for a client, where never are the networks that are not presented. It returns
// "" where it can. An address of IPv6 cannot: an MTA without IPv6 does not take it.
func WhyNotStandIn(addr netip.Addr, never []netip.Prefix) string {
	for _, space := range hostless {
		if space.Contains(addr) {
			if why := inject.Forbidden(addr, never); why != "" {
				return why
			}
			return ""
		}
	}
	return "one that a host may have; want one of 192.0.0.8, 198.18.0.0/15, 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24"
}

// NoClient is what happens to a message of which the MTA is not given the client itself.
type NoClient uint8

const (
	// PresentStandIn gives the MTA a stand-in.
	PresentStandIn NoClient = iota
	// SendPlain sends the message through [Pass.Plain], where no rule asks for the client.
	SendPlain
	// Hold keeps it upstream and records it as held, for a person.
	Hold
	// Skip leaves it upstream for good, and nobody is asked to look.
	Skip
	// PresentUnavailable gives the MTA [UNAVAILABLE] in every attribute, also in ADDR.
	PresentUnavailable
)

// noClient is a reason why the MTA is not given the client itself.
type noClient struct {
	// why says it to a person, and help what else than the rule could change it.
	why, help string
	// rule is what happens, and key what it is called in a configuration.
	rule NoClient
	key  string
	// standIn is the address for it.
	standIn netip.Addr
}

// unknown is the reason for a client that cannot be told, or must not be shown.
func (r ClientRules) unknown(why, help string) noClient {
	return noClient{why, help, r.Unknown, "on_unknown_client", r.StandIns.withDefaults().Unknown}
}

// internal is the reason for mail that began at the upstream.
func (r ClientRules) internal(why, help string) noClient {
	return noClient{why, help, r.Internal, "on_internal", r.StandIns.withDefaults().Internal}
}

// instead is the presentation of a message for which n holds.
func (r ClientRules) instead(b received.Boundary, n noClient) Presentation {
	switch n.rule {
	case SendPlain:
		return Presentation{Treatment: AskedPlain, Why: n.why}
	case Skip:
		return Presentation{Treatment: Skipped, Why: "skipped, " + n.why}
	case PresentUnavailable:
		return Presentation{Client: inject.Client{ESMTP: b.ESMTP}, Why: n.why}
	case PresentStandIn:
		unfit := WhyNotStandIn(n.standIn, r.Never)
		if unfit == "" {
			return Presentation{Client: inject.Client{Addr: n.standIn, ESMTP: b.ESMTP}, StandIn: true, Why: n.why + "; " + n.standIn.String() + " stands for it"}
		}
		return Presentation{Treatment: HeldBack, Why: n.why + "; held, because the address that would stand for it, " + n.standIn.String() + ", is " + unfit + tryAgain}
	}
	return Presentation{Treatment: HeldBack, Why: n.why + "; held by " + n.key + "; what helps: " + n.help + "set " + n.key + ": present" + tryAgain}
}
