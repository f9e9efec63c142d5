package received

import (
	"net/netip"
	"slices"
)

// byName reports whether the name of a public peer may show that it is one of
// the provider's own. If the policy names networks, addresses alone decide.
func (w *walk) byName() bool { return len(w.policy.InternalNets) == 0 }

// listed reports whether a is in a network that the policy names.
func (w *walk) listed(a netip.Addr) bool {
	return slices.ContainsFunc(w.policy.InternalNets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// wroteNext reports whether the public peer of the inner host that wrote hop i
// wrote the next field, and is therefore one of the provider's own. The name must
// be one that the client could not choose. The servers of Exchange Online record
// no such name: there the HELO name counts, with an address of that service.
func (w *walk) wroteNext(i int) bool {
	if i+1 >= len(w.chain.Hops) {
		return false
	}
	h, next := &w.chain.Hops[i], &w.chain.Hops[i+1]
	if h.Addr == h.ByAddr {
		return true // the host spoke to itself
	}
	if !w.byName() || next.Err != nil || next.By == "" {
		return false
	}
	if _, own := w.trusts(i + 1); !own {
		return false
	}
	helo := sameHost(h.HELO, next.By)
	switch {
	case !h.NameVerified:
		return helo && h.Form == "exchange" && isMicrosoft(h.By) &&
			slices.ContainsFunc(exchangeOnline[:], func(n netip.Prefix) bool { return n.Contains(h.Addr) })
	case customer(h.Name, h.Addr):
		return false
	}
	if helo && sameOrg(h.Name, next.By) {
		return true
	}
	return sameHost(h.Name, next.By)
}

// mayBeOwn reports whether the public peer of an inner host may be one of the
// provider's own although it did not write the next field. Then it is not the
// client, and nothing below it is believed.
func (w *walk) mayBeOwn(i int) bool {
	h := &w.chain.Hops[i]
	switch {
	case !w.byName():
		return false
	case h.NameVerified:
		return w.named(h.Name) && !customer(h.Name, h.Addr)
	case h.Form == "exchange" && isMicrosoft(h.By):
		return true
	case h.Form == "postfix", h.Form == "exim", h.Form == "sendmail":
		return false // they would have verified the name of such a peer
	}
	return w.named(h.HELO) || w.named(h.Name)
}

// named reports whether a host of this name is one that the policy trusts.
func (w *walk) named(host string) bool {
	return matchAny(w.policy.MX, host) || matchAny(w.policy.Internal, host)
}

