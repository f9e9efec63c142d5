package received

import (
	"net/netip"
	"slices"
	"strings"
)

// A gatewayService is a filter service that stands before a provider's MX. It is known by the names of its hosts; the networks
// that it delivers from change, and [Policy.Gateways] takes them beside its name.
type gatewayService struct {
	name  string
	hosts []string // as they name themselves after "by", and by their verified names
	inner []string // hosts that hand on to each other from private addresses, and show a public one for a client
}

// gatewayServices are the names that [Policy.Gateways] takes beside patterns.
var gatewayServices = [...]gatewayService{
	// In public archives its hosts write their fields as *.ess.aws.cudaops.com, and deliver as *.ess.barracuda.com and
	// *.ess.REGION.barracuda.com.
	{name: "barracuda", hosts: []string{"*.ess.barracudanetworks.com", "*.barracudanetworks.com", "*.ess.barracuda.com", "*.ess.*.barracuda.com", "*.ess.aws.cudaops.com"}},
	{name: "cisco", hosts: []string{"*.iphmx.com"}},
	// In public archives of 2026 its hosts write their fields under names of one label, mx-gate31-hz12.
	{name: "hornetsecurity", hosts: []string{"*.antispameurope.com", "*.hornetsecurity.com", "mx-gate*-*"}},
	{name: "mimecast", hosts: []string{"*.mimecast.com"}},
	{name: "proofpoint", hosts: []string{"*.pphosted.com", "*.ppe-hosted.com", "*.ppops.net"}, inner: []string{"*.ppe-hosted.com"}},
	{name: "sophos", hosts: []string{"*.prod.hydra.sophos.com", "*.hydra.sophos.com"}},
}

// GatewayServices returns the names of the filter services that [Policy.Gateways]
// knows, sorted.
func GatewayServices() []string {
	var names []string
	for i := range gatewayServices {
		names = append(names, gatewayServices[i].name)
	}
	return names
}

// gates are the gateways of a policy, by host patterns and by networks.
type gates struct {
	hosts []string
	nets  []netip.Prefix
	inner []string // see gatewayService
}

// gatesOf takes the patterns of a policy apart: names of services, networks, hosts.
func gatesOf(patterns []string) gates {
	var g gates
	for _, p := range patterns {
		if net, err := netip.ParsePrefix(p); err == nil {
			g.nets = append(g.nets, net)
			continue
		}
		if a, ok := parseAddr(p); ok {
			g.nets = append(g.nets, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		i := slices.IndexFunc(gatewayServices[:], func(s gatewayService) bool { return strings.EqualFold(s.name, p) })
		if i < 0 {
			g.hosts = append(g.hosts, p)
			continue
		}
		g.hosts = append(g.hosts, gatewayServices[i].hosts...)
		g.inner = append(g.inner, gatewayServices[i].inner...)
	}
	return g
}

func (g *gates) contain(a netip.Addr) bool {
	return slices.ContainsFunc(g.nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// gateway goes on behind the gateway that is the peer of hop i. The gateway must have
// written the next field: under one of the names that the policy gives, or, if it gives
// networks only, under the name that it called itself.
func (w *walk) gateway(i int) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	if i+1 >= len(w.chain.Hops) {
		return w.none(i, OutcomeAmbiguous, "a gateway handed the message on and wrote no field"), end
	}
	next := &w.chain.Hops[i+1]
	wrote := matchAny(w.gates.hosts, next.By) || w.gates.contain(next.ByAddr)
	if len(w.gates.hosts) == 0 {
		wrote = wrote || sameHost(h.HELO, next.By) || sameOrg(h.HELO, next.By)
	}
	if next.Err == nil && !wrote {
		return w.none(i+1, OutcomeForeign, "the field below the gateway's was not written by a gateway of the policy"), end
	}
	w.behind = true
	return Boundary{}, goOn
}

// mayBeGateway reports whether the peer of hop i calls itself by the name of a
// gateway, although nobody verified it.
func (w *walk) mayBeGateway(i int) bool {
	h := &w.chain.Hops[i]
	if h.NameVerified {
		return false
	}
	return matchAny(w.gates.hosts, h.HELO) || matchAny(w.gates.hosts, h.Name)
}

// withinService reports whether hop i is behind the gateway of a service, and a hand-over between
// two of its hosts, the second of which wrote the next field.
func (w *walk) withinService(i int) bool {
	if !w.behind || i+1 >= len(w.chain.Hops) {
		return false
	}
	h, next := &w.chain.Hops[i], &w.chain.Hops[i+1]
	inner := func(host string) bool { return matchAny(w.gates.inner, host) }
	return next.Err == nil && inner(h.By) && inner(h.HELO) && inner(next.By)
}
