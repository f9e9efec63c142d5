package received

import (
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Boundary walks the chain from the top to the first field whose peer is
// outside the provider. Each field on the way must have been written by a host
// that p trusts. If one was not, or cannot be read, there is no answer. The walk
// never looks below that: those fields may be the sender's.
func (c *Chain) Boundary(p Policy) Boundary {
	w := walk{chain: c, policy: &p, gates: gatesOf(p.Gateways)}
	w.infers = p.profile == nil && len(p.MX)+len(p.Internal) == 0 && slices.Contains(inferring[:], p.Provider)
	if !w.infers {
		return w.run()
	}
	if p.Provider == "auto" {
		if pr := c.recognise(); pr != nil {
			q := pr.policy()
			q.Hops = p.Hops
			q.InternalNets = append(q.InternalNets, p.InternalNets...)
			q.Gateways = p.Gateways
			q.Edge = q.Edge || p.Edge
			return c.Boundary(q)
		}
	}
	if p.org != "" {
		w.orgs = append(w.orgs, p.org)
	}
	return w.run()
}

// A walk goes down one chain under one policy.
type walk struct {
	chain  *Chain
	policy *Policy
	infers bool // no policy names the provider's hosts; see consistent
	gates  gates
	behind bool     // the walk is behind a gateway: the fields are the gateways'
	orgs   []string // inferring: the registered domains of the fields so far
}

// A verdict says whether a walk goes on below a hop.
type verdict uint8

const (
	goOn verdict = iota // the peer is the provider's own
	end                 // the walk ends here, with a client or without
)

func (w *walk) run() Boundary {
	p, hops := w.policy, w.chain.Hops
	if len(hops) == 0 {
		return w.none(0, OutcomeNoReceived, "the message has no Received field")
	}
	named := len(p.MX)+len(p.Internal) > 0
	if !w.infers && !named && p.Hops <= 0 {
		return w.none(0, OutcomeNoPolicy, "the policy trusts no host")
	}
	for i := range hops {
		h := &hops[i]
		switch {
		case h.Err != nil:
			b := w.none(i, OutcomeUnparseable, "a field that the provider should have written cannot be trusted: "+strings.TrimPrefix(h.Err.Error(), "received: "))
			b.cause = h.Err
			return b
		case h.Kind == Noise && softwareOf(h.Form).remarks:
			continue
		case h.Kind == Local && h.By == "":
			return w.handedIn(i, "a user of one of the provider's hosts handed the message in")
		case h.Kind == Noise:
			return w.none(i, OutcomeUnparseable, "a remark without a writer stands where the provider should have written")
		}
		if p.Hops > 0 {
			if _, own := w.trusts(i); named && !own {
				return w.none(i, OutcomeForeign, "a field above the configured position was written by a host that is not the provider's")
			}
			if i+1 >= p.Hops { // above, if a remark of qmail's stands at the position
				return w.answer(i, "it is at the configured position")
			}
			continue
		}
		mx, own := w.trusts(i)
		if !own {
			return w.none(i, OutcomeForeign, "the next field was written by a host that is not the provider's")
		}
		if b, v := w.peer(i, mx); v != goOn {
			return b
		}
	}
	if p.Hops > 0 {
		return w.none(len(hops), OutcomeForeign, "the chain has fewer Received fields than the policy's hops")
	}
	return w.origin(len(hops)-1, OutcomeInternal, "every field is the provider's own and shows no peer outside")
}

// handedIn decides about a message that somebody on the provider's host handed in, as hop i shows. It began there, unless
// what stands below shows a client or may hide one: a content filter, a forwarding and a list hand in what came from
// outside. What stands below may be the program's own invention as well, so it is no client's to be believed.
func (w *walk) handedIn(i int, why string) Boundary {
	nameless := w.chain.Hops[i].By == "" // a remark of qmail's; the field below is of the same host
	passed := false                      // whether it came over hosts of the provider's before that
below:
	for j := i + 1; j < len(w.chain.Hops); j++ {
		h := &w.chain.Hops[j]
		remark := h.Kind == Local && h.By == ""
		remark = remark || h.Kind == Noise
		if remark && h.Err == nil {
			continue
		}
		mx, own := w.trusts(j)
		switch {
		case h.Err != nil: // a sender may have seen to it that nobody can read the field that shows him
		case !own && !nameless && !passed:
			break below
		case !own && !nameless: // a host that is not known gave it to one of the provider's
		case h.Kind == Local:
			continue
		default:
			b, v := w.peer(j, mx)
			if v == goOn {
				passed = true
				continue
			}
			if b.Authenticated || b.Internal() {
				break below
			}
		}
		return w.none(i, OutcomeAmbiguous, "a program on the provider's host handed the message in, and a field below shows "+
			"that it may have come from outside: a filter, a list or a forwarding")
	}
	return w.origin(i, OutcomeInternal, why)
}

// trusts reports whether the writer of hop i is a host of the provider's own, and
// whether it is an MX.
func (w *walk) trusts(i int) (mx, own bool) {
	by := w.chain.Hops[i].By
	if strings.ContainsFunc(by, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return false, false // no host has such a name, and it may be made to look like the provider's
	}
	if w.behind {
		ok := matchAny(w.gates.hosts, by) || w.gates.contain(w.chain.Hops[i].ByAddr) || len(w.gates.hosts) == 0
		return ok, ok
	}
	if w.infers {
		ok := w.consistent(i)
		return ok, ok
	}
	mx = matchAny(w.policy.MX, by)
	return mx, mx || matchAny(w.policy.Internal, by)
}

// peer decides what the peer is that spoke to the writer of hop i. The order of
// the cases matters: each relies on those before it.
func (w *walk) peer(i int, mx bool) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	public, unknown := Public(h.Addr), !h.Addr.IsValid() || h.AddrUncertain
	// The stores of Yahoo and Exchange speak HTTP. Elsewhere HTTP is a user's browser.
	toStore := softwareOf(h.Form).storeHTTP && !h.Authenticated
	edge := mx && w.policy.Edge && !w.behind
	const webmail = "the message was written in the provider's webmail"
	switch {
	case h.Kind == Fetch && i == 0 && !w.infers && !mx:
		return Boundary{}, goOn // the user's own fetcher, on top of everything
	case h.Kind == Fetch:
		return w.none(i, OutcomeForeign, "a mail fetcher stands inside the provider's part"), end
	case h.Kind == Local:
		return w.handedIn(i, "a program on one of the provider's hosts handed the message in"), end
	case h.Kind == MAPI:
		return w.origin(i, OutcomeInternal, "the message was written in the provider's own store"), end
	case h.Kind == LMTP && public && !w.byAddrOnly():
		// No client on the Internet speaks LMTP to a provider. The peer must still be the writer of the next field.
		if i+1 < len(w.chain.Hops) && sameHost(h.HELO, w.chain.Hops[i+1].By) {
			return Boundary{}, goOn
		}
		return w.none(i+1, OutcomeAmbiguous, "a store of the provider has a public peer that did not write the next field"), end
	case h.Kind == LMTP && !public:
		return Boundary{}, goOn // RFC 2033, 5: not over a wide area network
	case h.Kind == HTTP && !public && !toStore:
		return w.origin(i, OutcomeWebmail, webmail), end
	case h.Authenticated && h.Kind != HTTP && !w.relayLoggedIn(h):
		return w.submission(i), end
	case unknown && h.Kind == ByOnly && mx && indexFold(h.With, "SMTP") >= 0:
		// Somebody spoke SMTP to a host that faces the Internet. It may have been the sender.
		return w.none(i, OutcomeUnparseable, "the provider's MX does not record who spoke to it; if the field that shows the client always stands at one place, give its number in hops"), end
	case unknown && h.Kind == ByOnly:
		return Boundary{}, goOn
	case unknown && h.Kind == HTTP:
		return w.origin(i, OutcomeWebmail, webmail), end
	case unknown && !mx && !w.infers && h.Err == nil && w.wroteNext(i, h.HELO) && matchAny(w.policy.MX, w.chain.Hops[i+1].By):
		return Boundary{}, goOn // it names the MX, and no client speaks to an inner host
	case unknown && w.betweenUsers(h):
		return w.origin(i, OutcomeInternal, "a user of the provider's wrote to another"), end
	case unknown:
		return w.none(i, OutcomeUnparseable, "the provider's field does not record the peer's address"), end
	case edge && !public && !w.fromHotmail(i):
		return w.none(i, OutcomePrivatePeer, "the provider's MX shows a peer without a public address"), end
	case w.listed(h.Addr):
		return Boundary{}, goOn
	case h.Addr.IsLoopback() && w.passedOn(i):
		return w.none(i, OutcomePrivatePeer, "a program on the provider's host speaks in a foreign name: a proxy there may hide the client"), end
	case h.Addr.IsLoopback():
		return Boundary{}, goOn
	case !public && w.hidesClient(i, mx):
		return w.none(i, OutcomePrivatePeer, "the peer is private, and only its own words say which host it is: a gateway, a balancer or NAT may hide the client"), end
	case !public:
		return Boundary{}, goOn
	case w.gates.contain(h.Addr), h.NameVerified && matchAny(w.gates.hosts, h.Name):
		return w.gateway(i)
	case w.behind:
		return w.answer(i, "it is the first public peer of the gateway before the provider"), end
	case w.mayBeGateway(i):
		return w.none(i, OutcomeAmbiguous, "the peer calls itself a gateway, and the provider did not verify its name: name its networks in gateways"), end
	case h.Kind == HTTP && !toStore && w.policy.profile != nil && w.policy.profile.serves(h):
		return w.origin(i, OutcomeWebmail, webmail), end // and handed over by a host of the webmail's
	case h.Kind == HTTP && h.Form != "exchange":
		return w.answer(i, "it is the browser of a user of the provider's webmail"), end
	case w.infers:
		return w.inferredPeer(i)
	}
	switch w.tie(i, mx) {
	case linked:
		return Boundary{}, goOn
	case uncertain:
		if w.named(h.HELO) || w.named(h.Name) {
			return w.none(i, OutcomeAmbiguous, "the peer has a name that the policy lists, and either nobody verified it or it did not write the next field; if it is the provider's, name its network in internal_nets"), end
		}
		return w.none(i, OutcomeAmbiguous, "the peer may be one of the provider's own, and what it is was not verified; name it in internal, or its network in internal_nets"), end
	}
	if mx {
		return w.answer(i, "it is the first public peer of the provider's MX"), end
	}
	return w.answer(i, "it is a public peer that spoke to an inner host of the provider"), end
}

// relayLoggedIn reports whether the peer of a hop that logged in is a relay: one in a network that the account's
// owner names. A network of the built-in provider's is its balancer's, which hides the user's address.
func (w *walk) relayLoggedIn(h *Hop) bool {
	pr := w.policy.profile
	switch {
	case h.AddrUncertain: // it may be the user's word
		return false
	case pr == nil:
		return w.listed(h.Addr)
	}
	own := slices.ContainsFunc(pr.nets, func(n string) bool { return netip.MustParsePrefix(n).Contains(h.Addr) })
	return !own && w.listed(h.Addr)
}

// betweenUsers reports whether a hop is the one of a user's mail to another, which no client brought.
func (w *walk) betweenUsers(h *Hop) bool {
	pr := w.policy.profile
	return pr != nil && pr.users != "" && h.Err == nil && h.With == "" && foldEqual(h.By, pr.users) && foldEqual(h.HELO, pr.users)
}

// hidesClient reports whether the private peer of hop i may hide a client. It does
// not where its verified name is that of the next field's writer, or where the
// policy says that the writer of hop i is an inner host and the peer does not call
// itself by a foreign domain. Short names and names for private use are nobody's.
func (w *walk) hidesClient(i int, mx bool) bool {
	h := &w.chain.Hops[i]
	switch {
	case h.NameVerified && w.isHostName(i, mx) && w.wroteNext(i, h.Name): // in this order: wroteNext learns domains
		return false
	case h.Form == "exchange" && isMicrosoft(h.By):
		return false // Exchange Online's MX is known by its name
	case mx && w.proofLinks(i), w.withinService(i):
		return false
	case h.Kind == HTTP && w.wroteNext(i, h.Addr.String()):
		return false // a store shows the MX by the address that the MX calls itself by
	case i+1 >= len(w.chain.Hops):
		return !h.NameVerified || !strings.EqualFold(h.Name, h.By) // else the host spoke to itself
	case mx:
		return true
	}
	org := registered(h.HELO)
	return org != "" && org != registered(h.By) && !w.named(h.HELO)
}

// isHostName reports whether the verified name of hop i's private peer says which host it is. A balancer that writes no
// field has a name, too: which clouds and Docker give to each address (traefik.proxy_default), systemd to the gateway
// (_gateway), a router at home to all behind it (nas.fritz.box), or that a pattern for a whole domain fits. A sender may
// know it, and write a field in that name. So where the hosts are inferred, it must be of a domain that is known by now.
func (w *walk) isHostName(i int, mx bool) bool {
	h := &w.chain.Hops[i]
	switch {
	case w.infers:
		org := registered(h.Name)
		known := org == registered(h.By) || slices.Contains(w.orgs, org)
		return org != "" && known && !customer(h.Name, h.Addr)
	case mx && w.policy.profile == nil:
		return w.namedNarrowly(h.Name)
	}
	return true
}

// passedOn reports whether the loopback peer of hop i calls itself by a foreign domain, as a
// proxy does that passes the client's HELO on and writes no field. What stands below is then
// the client's. Names outside the domains of the Internet, such as pps.filterd, are a program's
// own. A client that calls itself by the provider's domain or by a short name is not seen through: [Policy.Edge] is for that.
func (w *walk) passedOn(i int) bool {
	h := &w.chain.Hops[i]
	org, by := registered(h.HELO), registered(h.By)
	if org == "" || by == "" || org == by || slices.Contains(w.orgs, org) || w.named(h.HELO) {
		return false
	}
	suffix, icann := publicsuffix.PublicSuffix(org)
	return icann || strings.Contains(suffix, ".")
}
