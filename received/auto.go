package received

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// recognise returns the built-in provider whose host wrote the first field with a
// full host name, if only internal peers stand above it; else nil.
func (c *Chain) recognise() *profile {
	for i := range c.Hops {
		h := &c.Hops[i]
		if h.Err != nil || i > 8 {
			return nil
		}
		for j := range builtin {
			pr := &builtin[j]
			if !matchAny(pr.marks, h.By) {
				continue
			}
			// An address does not tell the provider. There the way of writing has to fit.
			named := !h.ByAddr.IsValid() || !looksLikeAddr(h.By)
			smtp := h.Kind == ByOnly && hasPrefixFold(h.With, "SMTP")
			store := h.Kind == HTTP && !h.Addr.IsValid()
			if named || smtp || store {
				return pr
			}
		}
		if h.Kind == Noise {
			continue
		}
		if registered(h.By) != "" || Public(h.Addr) {
			return nil
		}
	}
	return nil
}

// consistent is the rule where no policy names the provider's hosts. The topmost
// field is the provider's: nobody stands above it. Each further one must follow
// from the field above: its writer is the peer that the field above shows, or a
// host of a registered domain that is known by then.
func (w *walk) consistent(i int) bool {
	h := &w.chain.Hops[i]
	switch w.policy.Provider {
	case "postfix":
		if !slices.Contains([]string{"postfix", "dovecot", "amavis", "generic"}, h.Form) {
			return false
		}
	case "exim":
		if !slices.Contains([]string{"exim", "dovecot", "amavis"}, h.Form) {
			return false
		}
	}
	org := registered(h.By)
	if org == "" || slices.Contains(w.orgs, org) {
		return true
	}
	if above := w.above(i); above != nil && !sameHost(h.By, above.By) {
		peer := "" // by a verified name, or by what it said over LMTP or the loopback interface
		switch {
		case above.Kind == LMTP, above.Addr.IsLoopback():
			peer = above.HELO
		case above.NameVerified:
			peer = above.Name
		}
		if !sameHost(h.By, peer) {
			return false
		}
	}
	w.orgs = append(w.orgs, org)
	return true
}

// above returns the nearest hop above i that is not a remark, or nil.
func (w *walk) above(i int) *Hop {
	for i--; i >= 0; i-- {
		if h := &w.chain.Hops[i]; h.Kind != Noise {
			return h
		}
	}
	return nil
}

// inferredPeer decides what a public peer is where no policy says what is
// internal. A peer whose name is of the writer's own domain may be a relay of the
// provider's or one of its customers. A proof can tell; a name cannot.
func (w *walk) inferredPeer(i int) (Boundary, verdict) {
	const why = "it is the first public peer"
	h := &w.chain.Hops[i]
	var below *Hop
	if i+1 < len(w.chain.Hops) {
		below = &w.chain.Hops[i+1]
	}
	own := sameOrg(h.Name, h.By)
	verifies := softwareOf(h.Form).verifies
	if !verifies {
		own = own || sameOrg(h.HELO, h.By)
	}
	switch {
	case !own, verifies && !h.NameVerified, sameOrg(h.Name, h.By) && customer(h.Name, h.Addr):
		return w.answer(i, why), end
	case w.known(i), w.proofLinks(i):
		return Boundary{}, goOn
	case w.proven(i, h.Addr):
		return w.answer(i, why+", and the provider's own check says so"), end
	case below == nil:
		return w.answer(i, why), end
	case sameOrg(below.By, h.By) && below.Kind == Local:
		return w.answer(i, why), end // whoever the peer is, nothing stands behind it
	case h.NameVerified && below.Err == nil && registered(below.By) != "" && !sameOrg(below.By, h.By):
		return w.answer(i, why), end // nor is what stands behind it the provider's
	}
	return w.none(i, OutcomeAmbiguous, "the first public peer could be a relay of the provider: its name is of the same domain; name it in internal, or its network in internal_nets"), end
}

// registered returns the registered domain of a host name, in lower case. It is
// empty for addresses, single labels and names for private use.
func registered(host string) string {
	host = strings.TrimSuffix(host, ".")
	if len(host) > maxName {
		return ""
	}
	i := strings.LastIndexByte(host, '.')
	if i <= 0 || i == len(host)-1 {
		return ""
	}
	if _, isAddr := parseAddr(host); isAddr {
		return ""
	}
	host = strings.ToLower(host)
	switch host[i+1:] {
	case "internal", "local", "localdomain", "lan", "home", "corp", "intern", "localhost":
		return ""
	}
	org, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return org
}

func sameOrg(a, b string) bool {
	org := registered(a)
	return org != "" && org == registered(b)
}

// sameHost reports whether two names are of one host: equal, or equal in the
// first label within one registered domain. Exchange Online names a host
// X.eop-nam02.prod.protection.outlook.com and X.mail.protection.outlook.com.
func sameHost(a, b string) bool {
	a, b = strings.TrimSuffix(a, "."), strings.TrimSuffix(b, ".")
	if a == "" || b == "" {
		return false
	}
	if strings.EqualFold(a, b) {
		return true
	}
	la, _, da := strings.Cut(a, ".")
	lb, _, db := strings.Cut(b, ".")
	if !da || !db || !strings.EqualFold(la, lb) {
		return false
	}
	microsoft := isMicrosoft(a) && isMicrosoft(b)
	return microsoft || sameOrg(a, b)
}

func isMicrosoft(h string) bool {
	switch registered(h) {
	case "outlook.com", "office365.com", "exchangelabs.com":
		return true
	}
	return false
}

// customerWords begin words in the names of customers' lines and rented servers:
// "dynamic", "customer", "dip0".
var customerWords = [...]string{
	"adsl", "broadband", "cable", "client", "cust", "dhcp", "dial", "dip", "dsl", "dyn",
	"home", "kunde", "mobile", "pool", "ppp", "static", "vdsl", "vps", "xdsl",
}

// customer reports whether a name looks like one that a provider gives to a
// customer's line or rented server: it has parts of the address in it, or a word
// for such lines. Such a host must not pass for one of the provider's own.
func customer(name string, a netip.Addr) bool {
	name = strings.ToLower(name)
	host := strings.TrimSuffix(name, registered(name))
	for letters := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < 'a' || r > 'z' }) {
		if slices.ContainsFunc(customerWords[:], func(w string) bool { return strings.HasPrefix(letters, w) }) {
			return true
		}
	}
	if !a.Is4() {
		return false
	}
	octets := a.As4()
	if strings.Contains(host, hex.EncodeToString(octets[:])) {
		return true
	}
	var numbers []string
	for digits := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < '0' || r > '9' }) {
		numbers = append(numbers, cmp.Or(strings.TrimLeft(digits, "0"), "0"))
	}
	found := 0
	for _, o := range octets {
		if i := slices.Index(numbers, strconv.Itoa(int(o))); i >= 0 {
			found++
			numbers = slices.Delete(numbers, i, i+1) // mx1 is not 10.1.1.1
		}
	}
	return found >= 3
}

// Auto returns the policy for an account on the server host, such as
// "imap.example.org": the built-in profile of its provider, or else a policy that
// infers the provider's hosts from each chain. host may be empty.
//
// Auto prefers no answer to a wrong one; a policy that names the hosts gives more
// answers. It relies on the provider to write a field on top, as RFC 5321, 4.4
// demands. For a provider that does not, only a policy that names the hosts is
// safe.
func Auto(host string) Policy {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i := range builtin {
		if matchAny(builtin[i].accounts, host) {
			return builtin[i].policy()
		}
	}
	return Policy{Provider: "auto", org: registered(host)}
}
