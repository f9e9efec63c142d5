package received

import (
	"net/netip"
	"slices"
	"strings"
)

// A tie says what a public peer of an own host has to do with the next field.
type tie uint8

const (
	stranger  tie = iota // the peer is no host of the provider's own
	uncertain            // it may be one; then it is not the client, and what stands below may be its invention
	linked               // it is one, and it wrote the next field
)

// tie compares the public peer of hop i with the writer of the next field. A peer
// says of itself in HELO what it likes, and so does the field that it brings. What
// counts is what the writer of hop i verified: the peer's name, or its address.
func (w *walk) tie(i int, mx bool) tie {
	h := &w.chain.Hops[i]
	switch {
	case h.Addr == h.ByAddr:
		return linked // the host spoke to itself
	case w.byAddrOnly():
		return stranger
	case w.known(i), w.passesForOwn(i) && w.proofLinks(i):
		return linked
	case h.NameVerified && registered(h.Name) == "":
		return stranger // such as localhost, which no lookup gives for a public address
	case h.NameVerified && customer(h.Name, h.Addr):
		return stranger
	case h.NameVerified && w.named(h.Name):
		// A pattern for a whole domain fits each machine in it, a customer's too.
		if w.namedNarrowly(h.Name) && w.wroteNext(i, h.Name) {
			return linked
		}
		return uncertain
	case h.NameVerified:
		if sameOrg(h.Name, h.By) && w.wroteNext(i, h.HELO) {
			return uncertain
		}
		return stranger
	case softwareOf(h.Form).verifies:
		return stranger // the writer looked, and no name belongs to the address
	case w.policy.profile != nil && !mx:
		return uncertain
	case mx && w.policy.Edge:
		return stranger
	case mx && !w.wroteNext(i, h.HELO) && !w.wroteNext(i, h.Name):
		return stranger
	case w.named(h.HELO), w.named(h.Name), h.Form == "exchange" && isMicrosoft(h.By):
		return uncertain
	}
	return stranger
}

// passesForOwn reports whether the name of hop i's peer, verified where its writer verifies names, is one of the provider's: a proof may hold words of
// the sender's, and does not make a stranger a host of the provider's.
func (w *walk) passesForOwn(i int) bool {
	h := &w.chain.Hops[i]
	name := h.HELO
	if softwareOf(h.Form).verifies {
		if name = h.Name; !h.NameVerified {
			return false
		}
	}
	return w.named(name) || sameOrg(name, h.By)
}

// byAddrOnly reports whether addresses alone decide who is internal: the policy
// names networks and is not a built-in one, which knows more.
func (w *walk) byAddrOnly() bool {
	return len(w.policy.InternalNets) > 0 && w.policy.profile == nil
}

// listed reports whether a is in a network that the policy names.
func (w *walk) listed(a netip.Addr) bool {
	return slices.ContainsFunc(w.policy.InternalNets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// named reports whether a host of this name is one that the policy trusts.
func (w *walk) named(host string) bool {
	return matchAny(w.policy.MX, host) || matchAny(w.policy.Internal, host)
}

// namedNarrowly is named without the patterns for all names of a registered domain.
func (w *walk) namedNarrowly(host string) bool {
	narrow := func(pattern string) bool {
		domain := strings.TrimPrefix(strings.TrimPrefix(pattern, "*"), ".")
		org := registered(domain)
		whole := org == "" || strings.EqualFold(org, strings.TrimSuffix(domain, "."))
		if domain != pattern && whole {
			return false
		}
		return matchHost(pattern, host)
	}
	return slices.ContainsFunc(w.policy.MX, narrow) || slices.ContainsFunc(w.policy.Internal, narrow)
}

// wroteNext reports whether a host of this name wrote the field below hop i, and
// whether that field can be read and its writer is one of the provider's own.
func (w *walk) wroteNext(i int, name string) bool {
	if i+1 >= len(w.chain.Hops) {
		return false
	}
	next := &w.chain.Hops[i+1]
	if next.Err != nil || !sameHost(name, next.By) {
		return false
	}
	_, own := w.trusts(i + 1)
	return own
}

// known reports whether the peer of hop i is a relay that a built-in profile
// knows by its verified name or by its address, and calls itself by the name of
// the next field's writer. This holds under every policy that trusts the hosts of
// that provider.
func (w *walk) known(i int) bool {
	h := &w.chain.Hops[i]
	for j := range builtin {
		pr := &builtin[j]
		byName := h.NameVerified && matchAny(pr.relays, h.Name)
		byAddr := pr.serves(h)
		if !byName && !byAddr {
			continue
		}
		ours := matchAny(pr.mx, h.By) || matchAny(pr.internal, h.By)
		handsIn := byAddr && pr.form == "exchange" && w.fromFilter(i)
		if wrote := handsIn || w.wroteNext(i, h.HELO); !ours || !wrote {
			continue
		}
		// The reverse zone of a service's own addresses is the service's: a name in it says which host that is.
		if !byName && h.Name != "" && !w.wroteNext(i, h.Name) {
			continue
		}
		// A client access host of Exchange Online, which users log in to, takes no mail from the MX: that is a
		// hand-over which leaves the provider's stores.
		host, domain, _ := strings.Cut(h.By, ".")
		access := hasSuffixFold(strings.TrimRight(host, "0123456789"), "CA") && hasSuffixFold(domain, "prod.outlook.com")
		outward := access && pr.form == "exchange" && matchAny(pr.mx, w.chain.Hops[i+1].By)
		if !outward {
			return true
		}
	}
	return false
}

// fromFilter reports whether the peer of hop i gives the name of Exchange Online's filter instead of
// its own, as its hosts did in 2017, and one of them wrote the next field.
func (w *walk) fromFilter(i int) bool {
	if i+1 >= len(w.chain.Hops) || !foldEqual(w.chain.Hops[i].HELO, "inbound.mail.protection.outlook.com") {
		return false
	}
	by := w.chain.Hops[i+1].By
	return hasSuffixFold(by, ".prod.protection.outlook.com") && w.wroteNext(i, by)
}

// fromHotmail reports whether the private peer of hop i, at an MX of Exchange Online, is Hotmail's MX
// of the years until 2017. It names itself, and the proof shows that it saw the client. Elsewhere a
// private peer may be a balancer, and the next field the words of a sender who writes his own
// address there, with a name or a login that he has not.
func (w *walk) fromHotmail(i int) bool {
	h := &w.chain.Hops[i]
	return h.Form == "exchange" && isMicrosoft(h.By) && w.wroteNext(i, h.HELO) && w.chain.Hops[i+1].Form == "smtpsvc" && w.proofLinks(i)
}

// proofLinks reports whether the provider's own fields above hop i name the peer
// of the next field, which the provider's hosts wrote: a proof about that hop came
// up through the peer of this one.
func (w *walk) proofLinks(i int) bool {
	if i+1 >= len(w.chain.Hops) {
		return false
	}
	h, next := &w.chain.Hops[i], &w.chain.Hops[i+1]
	if next.Err != nil || next.AddrUncertain || !Public(next.Addr) || next.Addr == h.Addr {
		return false
	}
	if _, own := w.trusts(i + 1); !own {
		return false
	}
	if h.Addr.IsValid() && w.proven(i+1, h.Addr) {
		return false // the provider says that this peer was the client
	}
	return w.proven(i, next.Addr)
}

// proven reports whether a proof above hop i, where only the provider can have
// written it, names the address.
func (w *walk) proven(i int, a netip.Addr) bool {
	return slices.ContainsFunc(w.chain.Proofs, func(p Proof) bool { return p.At <= i && p.Addr == a && w.wrote(&p, i) })
}
