package received

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Policy says whose Received fields are trusted: the hosts of the upstream
// provider. The zero value trusts nobody and gives no answer.
type Policy struct {
	// Provider names the profile the policy comes from. "auto", "generic",
	// "postfix" and "exim" infer the provider's hosts from the chain itself,
	// as long as MX and Internal are empty.
	Provider string

	// MX are the hosts that face the Internet, as they name themselves after
	// "by". The first public peer of one of them is the client.
	//
	// A pattern is a host name; ".example.org" or "*.example.org" for all
	// names below it; or a name with * inside a label ("mx*.example.org").
	// A star never reaches across a dot, except as the whole first label. For
	// writers that give an address instead of a name: an address, a prefix in
	// CIDR form, or the beginning of an address and a star ("10.*").
	MX []string

	// Internal are the hosts behind them: stores, filters, relays. A peer of
	// theirs is the upstream's own if its address is not public or is in
	// InternalNets. Without InternalNets, it is also the upstream's own if it
	// wrote the next field and its name in that domain is verified. The servers
	// of Exchange Online record no names: there the HELO name and an address of
	// that service take the place of the name. A public peer that has the name
	// of an own host but did not write the next field gives no answer. Any
	// other public peer is the client.
	Internal []string

	// InternalNets are public networks of the upstream's own. If there are
	// any, addresses alone decide who is internal, never names.
	InternalNets []netip.Prefix

	// Gateways stand before the MX: filter services, or gateways of the recipient's
	// own. The walk goes on behind them, and their first public peer is the client.
	// Each is the name of a service ([GatewayServices]), a host pattern as in MX, or
	// a network or an address. A peer counts as a gateway by its address or by its
	// verified name. Exchange Online and Gmail record no verified names: there give
	// the networks too.
	Gateways []string

	// Edge says that the hosts of MX speak to clients on the Internet only. A peer of
	// theirs without a public address is then no answer, even over loopback: it
	// hides the client.
	Edge bool

	// Hops, if above 0, is an override by position: the Hops-th Received
	// field from the top, 1 for the topmost, shows the client. All fields down
	// to it must be parseable. MX and Internal, if given, must still match.
	Hops int

	profile *profile // of a built-in provider
	org     string   // inferring: registered domain of the account's host
}

// Validate reports the first pattern that fits no host, in MX, Internal or Gateways, or
// a rule that cannot hold: Edge or Internal without MX or a profile.
func (p *Policy) Validate() error {
	for _, list := range [...]struct {
		field    string
		patterns []string
	}{{"MX", p.MX}, {"Internal", p.Internal}, {"Gateways", p.Gateways}} {
		for _, pattern := range list.patterns {
			_, noNetwork := netip.ParsePrefix(pattern)
			_, isAddr := parseAddr(pattern)
			name := strings.ReplaceAll(strings.TrimPrefix(strings.TrimSuffix(pattern, "."), "."), "*", "x")
			isHost := isName(name) && !strings.Contains(name, "..")
			if noNetwork != nil && !isAddr && !isAddrPattern(pattern) && !isHost {
				return fmt.Errorf("received: %s: %.60q is no host name, pattern or network", list.field, pattern)
			}
		}
	}
	if len(p.MX) == 0 && p.profile == nil && p.Hops <= 0 {
		switch {
		case len(p.Internal) > 0:
			return errors.New("received: Internal needs MX: without a host that faces the Internet no client is ever found")
		case p.Edge:
			return errors.New("received: Edge says something of MX, which is empty")
		}
	}
	return nil
}

// matchAny reports whether host fits one of the patterns.
func matchAny(patterns []string, host string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchHost(p, host) })
}

// matchHost reports whether pattern fits host: the name of a writer, or its
// address if it names itself by one. See [Policy].
func matchHost(pattern, host string) bool {
	if a, ok := parseAddr(host); ok {
		// The pattern is its beginning and a star, a prefix that contains it, or the address.
		if strings.HasSuffix(pattern, "*") {
			return isAddrPattern(pattern) && strings.HasPrefix(a.String(), strings.ToLower(pattern[:len(pattern)-1]))
		}
		if p, err := netip.ParsePrefix(pattern); err == nil {
			return p.Contains(a)
		}
		b, ok := parseAddr(pattern)
		return ok && a == b
	}
	host = strings.TrimSuffix(host, ".")
	pattern = strings.TrimSuffix(pattern, ".")
	if host == "" || len(host) > maxName || pattern == "" || isAddrPattern(pattern) {
		return false
	}
	if rest, ok := strings.CutPrefix(pattern, "*."); ok {
		return hasSuffixLabels(host, rest)
	}
	if rest, ok := strings.CutPrefix(pattern, "."); ok {
		return hasSuffixLabels(host, rest)
	}
	for {
		pl, prest, pmore := strings.Cut(pattern, ".")
		hl, hrest, hmore := strings.Cut(host, ".")
		if pmore != hmore || !matchLabel(pl, hl) {
			return false
		}
		if !pmore {
			return true
		}
		pattern, host = prest, hrest
	}
}

// hasSuffixLabels reports whether host is below a domain that fits the pattern
// suffix: it has at least one label more.
func hasSuffixLabels(host, suffix string) bool {
	n := strings.Count(suffix, ".") + 1
	for i := len(host) - 1; i > 0; i-- {
		if host[i] != '.' {
			continue
		}
		if n--; n == 0 {
			return matchHost(suffix, host[i+1:])
		}
	}
	return false
}

// matchLabel matches one label against a pattern with any number of stars. It
// takes time in proportion to the product of both lengths, without recursion.
func matchLabel(pattern, label string) bool {
	p, l, star, mark := 0, 0, -1, 0
	for l < len(label) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, l
			p++
		case p < len(pattern) && lower(pattern[p]) == lower(label[l]):
			p++
			l++
		case star >= 0:
			mark++
			p, l = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// isAddrPattern reports whether pattern is the beginning of an address and a
// star. Such a pattern must not fit a name such as "10.example".
func isAddrPattern(pattern string) bool {
	head, ok := strings.CutSuffix(pattern, "*")
	if !ok || head == "" || strings.Trim(head, "0123456789abcdefABCDEF.:") != "" {
		return false
	}
	if strings.HasSuffix(head, ".") {
		return head[0] >= '0' && head[0] <= '9'
	}
	return strings.HasSuffix(head, ":")
}
