package received

import (
	"fmt"
	"net/netip"
)

// A Survey counts the boundaries of many messages of one mailbox. One message says
// little about a policy; many that end alike say that it misses a host. The zero value
// is ready for use.
type Survey struct {
	hidden  int // a private peer stands where the client should
	clients int // a host out on the Internet was found
	gates   count
	relays  count
}

// fewest is how many messages of one client are more than a chance.
const fewest = 3

// A count says how often each address was the client, and which was the most frequent.
type count struct {
	of   map[netip.Addr]int
	most netip.Addr
}

func (c *count) add(a netip.Addr) {
	if c.of == nil {
		c.of = map[netip.Addr]int{}
	}
	c.of[a]++
	if c.of[a] > c.of[c.most] {
		c.most = a
	}
}

// Add counts the boundary of one message.
func (s *Survey) Add(b Boundary) {
	switch b.Outcome {
	case OutcomePrivatePeer:
		s.hidden++
	case OutcomeClient:
		s.clients++
		if b.own {
			s.relays.add(b.Client.Addr)
		}
	case OutcomeGateway:
		s.clients++
		s.gates.add(b.Client.Addr)
	}
}

// Findings says what the messages have in common that points to a policy which does not
// fit the provider, one sentence each, none if there is nothing of the kind. Nothing is
// said of fewer than least messages, nor of a single correspondent.
func (s *Survey) Findings(least int) []string {
	var found []string
	several := max(least, fewest)
	seen := s.clients + s.hidden
	if s.hidden >= least && 2*s.hidden > seen {
		which := "most"
		if s.clients == 0 {
			which = "all"
		}
		found = append(found, fmt.Sprintf("your provider's MX shows private peers only in %s of %d messages: a gateway, a balancer or NAT hides the clients. "+
			"Ask the provider to pass their addresses on, and set edge, so that no field below is ever believed; if these peers are hosts of its own, name the MX behind them in mx", which, seen))
	}
	if a := s.gates.most; s.gates.of[a] >= several && 2*s.gates.of[a] > seen {
		found = append(found, fmt.Sprintf("%s is the client of %d of %d messages, and it belongs to a filter service, or the provider checked another address: a gateway stands before your provider, name it in gateways", a, s.gates.of[a], seen))
	}
	if a := s.relays.most; s.relays.of[a] >= several && 2*s.relays.of[a] > seen {
		found = append(found, fmt.Sprintf("%s is the client of %d of %d messages, and it has a name or an address of the provider's own: it seems to be an inner relay. "+
			"Name it in internal, or its network in internal_nets, so that the client behind it is found", a, s.relays.of[a], seen))
	}
	return found
}

// peerIsWriters reports whether the peer of a hop belongs to its writer, by the name that the
// writer recorded, or by an address of the same network. It decides nothing: one such
// client may be a customer, a colleague, or a list. See [Survey].
func peerIsWriters(h *Hop) bool {
	name := h.Name
	if name == "" && !softwareOf(h.Form).verifies {
		name = h.HELO
	}
	if sameOrg(name, h.By) {
		return true
	}
	if !Public(h.ByAddr) || h.ByAddr.Is4() != h.Addr.Is4() {
		return false
	}
	bits := 24
	if h.Addr.Is6() {
		bits = 48
	}
	network, err := h.ByAddr.Prefix(bits)
	return err == nil && network.Contains(h.Addr)
}
