package received

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// infer walks without being told whom to trust. The topmost field is the
// upstream's: nobody stands above it. If its writer belongs to a built-in
// provider, that profile's rules hold. Else each further field must follow
// from the one above: its writer is the peer that the field above shows, or a
// host of the same registered domain, and that peer is internal by its
// address, or a relay by a verified name of that domain.
func (w *walk) infer() Boundary {
	if w.policy.Provider == "auto" {
		if pr := w.chain.recognise(); pr != nil {
			q := pr.policy()
			q.Hops = w.policy.Hops
			q.InternalNets = append(q.InternalNets, w.policy.InternalNets...)
			return w.chain.Boundary(q)
		}
	}
	if w.policy.org != "" {
		w.orgs = append(w.orgs, w.policy.org)
	}
	return w.run()
}

// recognise returns the built-in provider whose hosts wrote the first field
// with a full host name, reached over internal peers only.
func (c *Chain) recognise() *profile {
	for i := range c.Hops {
		h := &c.Hops[i]
		if h.Err != nil || i > 8 {
			return nil
		}
		for j := range builtin {
			if pr := &builtin[j]; len(pr.marks) > 0 && matchAny(pr.marks, h.By) && pr.shaped(h) {
				return pr
			}
		}
		if h.Kind != Noise && (registered(h.By) != "" || Public(h.Addr)) {
			return nil
		}
	}
	return nil
}

// consistent reports whether the writer of hop i is the host that the field
// above names as its peer, or another host of the same domain.
func (w *walk) consistent(i int) bool {
	h := &w.chain.Hops[i]
	if !w.policy.formFits(h.Form) {
		return false
	}
	org := registered(h.By)
	known := org == "" || slices.Contains(w.orgs, org)
	switch {
	case w.above(i) == nil, known:
	case sameHost(h.By, w.above(i).HELO), sameHost(h.By, w.above(i).Name), sameHost(h.By, w.above(i).By):
	default:
		return false
	}
	if !known {
		w.orgs = append(w.orgs, org)
	}
	return true
}

// above returns the nearest field above i that is no remark.
func (w *walk) above(i int) *Hop {
	for i--; i >= 0; i-- {
		if h := &w.chain.Hops[i]; h.Kind != Noise {
			return h
		}
	}
	return nil
}

// publicAuto judges a public peer where no policy says what is internal. A
// peer whose verified name is of the writer's own domain may be a relay of
// the provider, or one of its customers. It is taken for a relay only if it
// wrote the next field.
func (w *walk) publicAuto(i int) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	const why = "it is the first public peer"
	var next *Hop
	if i+1 < len(w.chain.Hops) {
		next = &w.chain.Hops[i+1]
	}
	if next == nil || next.Err != nil || next.By == "" || customer(h.Name, h.Addr) && sameOrg(h.Name, h.By) {
		return w.answer(i, why), stop
	}
	related := sameOrg(next.By, h.By)
	if h.NameVerified && relay(h, next) {
		w.last = i + 1
		return Boundary{}, goOn
	}
	if related && next.Kind == Local {
		return w.answer(i, why), stop // whoever the peer is, nothing stands behind it
	}
	if related && !strings.EqualFold(next.By, h.By) {
		return w.none(i+1, OutcomeAmbiguous, "the first public peer could be a relay of the provider: the field below names another host of the same domain"), giveUp
	}
	return w.answer(i, why), stop
}

// registered returns the registered domain of a host name, in lower case;
// empty for addresses, single labels and names of private use.
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
	return da && db && strings.EqualFold(la, lb) && (sameOrg(a, b) || isMicrosoft(a) && isMicrosoft(b))
}

func isMicrosoft(h string) bool {
	switch registered(h) {
	case "outlook.com", "office365.com", "exchangelabs.com":
		return true
	}
	return false
}

// exchangeOnline are networks of Exchange Online's servers: those its documentation lists
// ("Exchange Online Protection IP addresses", now and in earlier years), and those that
// its servers write when they speak to each other.
var exchangeOnline = [...]netip.Prefix{
	netip.MustParsePrefix("2603:1000::/24"),
	netip.MustParsePrefix("2a01:111::/32"),
	netip.MustParsePrefix("13.101.0.0/16"),
	netip.MustParsePrefix("20.176.0.0/13"),
	netip.MustParsePrefix("23.103.128.0/17"),
	netip.MustParsePrefix("40.64.0.0/10"),
	netip.MustParsePrefix("52.96.0.0/12"),
	netip.MustParsePrefix("52.132.0.0/14"),
	netip.MustParsePrefix("65.55.88.0/24"),
	netip.MustParsePrefix("65.55.169.0/24"),
	netip.MustParsePrefix("94.245.120.64/26"),
	netip.MustParsePrefix("104.47.0.0/17"),
	netip.MustParsePrefix("134.170.132.0/24"),
	netip.MustParsePrefix("134.170.140.0/24"),
	netip.MustParsePrefix("157.55.234.0/24"),
	netip.MustParsePrefix("157.56.110.0/23"),
	netip.MustParsePrefix("157.56.112.0/24"),
	netip.MustParsePrefix("207.46.51.64/26"),
	netip.MustParsePrefix("207.46.100.0/24"),
	netip.MustParsePrefix("207.46.163.0/24"),
	netip.MustParsePrefix("213.199.154.0/24"),
	netip.MustParsePrefix("213.199.180.0/24"),
	netip.MustParsePrefix("216.32.180.0/23"),
}

func isExchangeOnline(a netip.Addr) bool {
	for _, n := range exchangeOnline {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// relay reports whether the peer of h, whose name is verified and of the
// writer's domain, is a relay that wrote next: by the name it gave, and
// either a close neighbour of that writer or named for the purpose, right
// below the registered domain, where providers do not put their customers.
func relay(h, next *Hop) bool {
	if !sameOrg(h.Name, h.By) || !sameOrg(next.By, h.By) {
		return false
	}
	if !sameHost(h.HELO, next.By) && !sameHost(h.Name, next.By) {
		return false
	}
	label, parent, _ := strings.Cut(h.Name, ".")
	if rented(h.Name) {
		return false
	}
	if !strings.EqualFold(parent, registered(h.Name)) {
		_, other, _ := strings.Cut(next.By, ".")
		return !strings.EqualFold(h.Name, next.By) && strings.EqualFold(parent, other)
	}
	for _, w := range relayWords {
		if hasPrefixFold(label, w) {
			return true
		}
	}
	return false
}

// relayWords begin the names of hosts that stand between an MX and a store.
var relayWords = [...]string{"mx", "relay", "mta", "inbound", "filter", "gateway"}

// rentedWords begin the names of machines that providers rent out or that
// belong to their users, and of the domains that hold those.
var rentedWords = [...]string{
	"cloud", "compute", "cpe", "dedi", "guest", "host", "instance", "lab", "lan", "nat", "node", "pc",
	"reseller", "rev", "root", "server", "srv", "student", "user", "vm", "wifi", "wlan",
}

// rented reports whether a name may be that of a machine that somebody else
// than the provider commands: by such a word, or by a number of three digits.
func rented(name string) bool {
	host := strings.TrimSuffix(strings.ToLower(name), registered(name))
	for part := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < 'a' || r > 'z' }) {
		for _, w := range rentedWords {
			if strings.HasPrefix(part, w) {
				return true
			}
		}
	}
	for part := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < '0' || r > '9' }) {
		if len(part) > 2 {
			return true
		}
	}
	return false
}

// customerWords are words that providers put into the names of their
// customers' lines and rented servers. They count at the beginning of a word:
// "dynamic", "customer", "dip0".
var customerWords = [...]string{
	"adsl", "broadband", "cable", "client", "cust", "dhcp", "dial", "dip", "dsl", "dyn",
	"home", "kunde", "mobile", "pool", "ppp", "static", "vdsl", "vps", "xdsl",
}

// customer reports whether a name looks like one that a provider gives to a
// customer's line or rented server: parts of the address in it, or a word for
// such lines. Such a host must not pass for one of the provider's own.
func customer(name string, a netip.Addr) bool {
	name = strings.ToLower(name)
	host := strings.TrimSuffix(name, registered(name))
	for part := range strings.FieldsFuncSeq(host, func(r rune) bool { return r < 'a' || r > 'z' }) {
		for _, w := range customerWords {
			if strings.HasPrefix(part, w) {
				return true
			}
		}
	}
	if !a.Is4() {
		return false
	}
	b := a.As4()
	n := 0
	for _, o := range b {
		if hasNumber(host, strconv.Itoa(int(o))) {
			n++
		}
	}
	return n >= 3 || strings.Contains(host, hex4(b))
}

// hasNumber reports whether n stands in s as a whole run of digits, leading
// zeros aside.
func hasNumber(s, n string) bool {
	for i := 0; i < len(s); {
		if s[i] < '0' || s[i] > '9' {
			i++
			continue
		}
		j := i
		for j < len(s) && s[j] >= '0' && s[j] <= '9' {
			j++
		}
		run := strings.TrimLeft(s[i:j], "0")
		if run == n || run == "" && n == "0" {
			return true
		}
		i = j
	}
	return false
}

func hex4(b [4]byte) string {
	const d = "0123456789abcdef"
	var out [8]byte
	for i, o := range b {
		out[2*i], out[2*i+1] = d[o>>4], d[o&15]
	}
	return string(out[:])
}

// Auto returns the policy for an account whose upstream is host, such as
// "imap.example.org": the built-in profile of its provider, or one that
// infers the provider's hosts from each chain. It prefers no answer to a
// wrong one; a policy that names the hosts gives more answers. It relies on
// the provider to write a field on top, as RFC 5321, 4.4 demands: where one
// does not, only a policy that names the hosts is safe. host may be empty.
func Auto(host string) Policy {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for i := range builtin {
		if matchAny(builtin[i].accounts, host) {
			return builtin[i].policy()
		}
	}
	return Policy{Provider: "auto", org: registered(host)}
}
