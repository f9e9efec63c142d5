package received

import (
	"net/netip"
	"slices"
	"strings"
)

// A profile is what is known about one provider.
type profile struct {
	name     string
	accounts []string // hosts of the provider's POP3 and IMAP servers
	marks    []string // writers by which auto knows the provider
	mx       []string
	internal []string
	nets     []string
	proofs   []string // proof fields of the provider, in lower case
	writer   []string // hosts that sign them; empty where they are not signed
	confirm  []string // writers whose hop counts only if a proof agrees
	users    string   // the host that names itself for the peer of one user's mail to another
	edge     bool     // the MX has no peers inside: one without a public address is no answer

	// Relays of the provider's own that call themselves otherwise than they are
	// named: a HELO name counts together with one of these.
	relays  []string       // by a verified name
	service []netip.Prefix // by an address of the service's own, in fields of this form
	form    string
}

// serves reports whether the peer of a hop has an address of the service's own.
func (pr *profile) serves(h *Hop) bool {
	return h.Form == pr.form && slices.ContainsFunc(pr.service, func(n netip.Prefix) bool { return n.Contains(h.Addr) })
}

func (pr *profile) policy() Policy {
	p := Policy{Provider: pr.name, MX: slices.Clone(pr.mx), Internal: slices.Clone(pr.internal), Edge: pr.edge, profile: pr}
	for _, n := range pr.nets {
		p.InternalNets = append(p.InternalNets, netip.MustParsePrefix(n))
	}
	return p
}

// inferring are the names of the policies that infer the provider's hosts:
// "auto" knows the built-in providers, "generic" does not, "postfix" and
// "exim" are generic for one software with Dovecot and amavis behind it.
var inferring = [...]string{"auto", "exim", "generic", "postfix"}

// Profile returns the policy of a built-in provider, or one of "auto",
// "generic", "postfix" and "exim", which name no hosts and infer them.
func Profile(name string) (Policy, bool) {
	name = strings.ToLower(name)
	if slices.Contains(inferring[:], name) {
		return Policy{Provider: name}, true
	}
	for i := range builtin {
		if builtin[i].name == name {
			return builtin[i].policy(), true
		}
	}
	return Policy{}, false
}

// Profiles returns the names of the built-in policies, sorted.
func Profiles() []string {
	names := slices.Clone(inferring[:])
	for i := range builtin {
		names = append(names, builtin[i].name)
	}
	slices.Sort(names)
	return names
}
