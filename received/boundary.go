package received

import (
	"net/netip"
	"strings"
)

// An Outcome names what a walk found.
type Outcome string

// The outcomes. Only Client, Gateway and Submission with a recorded address
// give a client to present.
const (
	OutcomeClient      Outcome = "client"      // a server out on the Internet: also a forwarder, a mailing list
	OutcomeGateway     Outcome = "gateway"     // as client, but the provider's SPF result is about a hop further out
	OutcomeSubmission  Outcome = "submission"  // a user of the provider logged in over SMTP
	OutcomeWebmail     Outcome = "webmail"     // a user of the provider wrote it in a browser
	OutcomeInternal    Outcome = "internal"    // the mail never left the provider
	OutcomeNoReceived  Outcome = "no-received" // there is no Received field
	OutcomeUnparseable Outcome = "unparseable" // a field inside the trusted run cannot be read
	OutcomeForeign     Outcome = "foreign"     // a field inside the trusted run was written by another host
	OutcomeAmbiguous   Outcome = "ambiguous"   // the peer could be a relay of the provider or the client
	OutcomeConflict    Outcome = "conflict"    // the provider's own fields name two addresses
	OutcomeUnsafe      Outcome = "unsafe"      // the address is not a public one
	OutcomeNoPolicy    Outcome = "no-policy"   // nobody is trusted
)

// A Client is the SMTP client that the provider's MX saw.
type Client struct {
	Addr netip.Addr // always [Public]
	Name string     // only if the writer verified it
	HELO string     // the client's own words
	Port uint16     // 0 if not recorded
}

// A Boundary is the result of a walk down a [Chain].
type Boundary struct {
	// Found says that Client may be presented. Where it is false, the client
	// is unknown, and nothing from the chain may stand in for it.
	Found  bool
	Client Client

	// Hop is the index in Chain.Hops of the field that shows the client, or
	// -1. Trusted is the number of fields, from the top, that the provider's
	// own hosts wrote.
	Hop     int
	Trusted int

	ESMTP         bool // the client said EHLO
	Authenticated bool // the client logged in: a user of the provider

	// Submission is the host that vouched for an authenticated client: HELO is
	// the name it gives itself. Its address, and a verified name, are set only
	// where it or the host behind it recorded them.
	Submission *Client

	Recipient string // envelope recipient, if the trusted part records it
	Sender    string // envelope sender, if the trusted part records it

	Confirmed bool   // a field of the provider's own names the same address
	Provider  string // the profile used, or "auto"
	Outcome   Outcome
	Why       string // one sentence
}

// Boundary walks the chain from the top to the first field whose peer is
// outside the provider. Each field on the way must have been written by a
// host that p trusts; where one was not, or cannot be read, there is no
// answer. It never looks below that: what stands there is the sender's.
func (c *Chain) Boundary(p Policy) Boundary {
	w := walk{chain: c, policy: &p}
	if w.infers = p.infers(); w.infers {
		return w.infer()
	}
	return w.run()
}

// A walk goes down one chain under one policy.
type walk struct {
	chain  *Chain
	policy *Policy
	infers bool
	orgs   []string // inferring: the registered domains of the run so far
	last   int      // 1 + index of the last public peer that counted as the provider's own
}

// A verdict says what a hop's peer is.
type verdict uint8

const (
	goOn   verdict = iota // the provider's own: look at the next field
	stop                  // the answer is here
	giveUp                // there is no answer
)

func (w *walk) run() Boundary {
	hops := w.chain.Hops
	if len(hops) == 0 {
		return w.none(0, OutcomeNoReceived, "the message has no Received field")
	}
	if !w.infers && len(w.policy.MX) == 0 && len(w.policy.Internal) == 0 && w.policy.Hops <= 0 {
		return w.none(0, OutcomeNoPolicy, "the policy trusts no host")
	}
	for i := range hops {
		b, v := w.step(i)
		if v != goOn {
			return b
		}
	}
	if w.policy.Hops > 0 {
		return w.none(len(hops), OutcomeForeign, "the chain has fewer Received fields than the policy's hops")
	}
	return w.bottom(len(hops))
}

// step judges the hop at i.
func (w *walk) step(i int) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	if h.Err != nil {
		return w.none(i, OutcomeUnparseable, "a field that the provider should have written cannot be trusted: "+strings.TrimPrefix(h.Err.Error(), "received: ")), giveUp
	}
	if h.Kind == Noise {
		if h.Form == "qmail" {
			return Boundary{}, goOn
		}
		return w.none(i, OutcomeUnparseable, "a remark without a writer stands where the provider should have written"), giveUp
	}
	if w.policy.Hops > 0 {
		return w.byPosition(i)
	}
	mx, own := w.trusts(i)
	if !mx && !own {
		return w.none(i, OutcomeForeign, "the next field was written by a host that is not the provider's"), giveUp
	}
	return w.peer(i, mx)
}

// byPosition follows the policy's Hops.
func (w *walk) byPosition(i int) (Boundary, verdict) {
	p := w.policy
	if len(p.MX)+len(p.Internal) > 0 {
		if mx, own := w.trusts(i); !mx && !own {
			return w.none(i, OutcomeForeign, "a field above the configured position was written by a host that is not the provider's"), giveUp
		}
	}
	if i+1 < p.Hops {
		return Boundary{}, goOn
	}
	return w.answer(i, "it is at the configured position"), stop
}

// trusts reports whether the writer of hop i is an MX of the provider, or
// another host of its own.
func (w *walk) trusts(i int) (mx, own bool) {
	h := &w.chain.Hops[i]
	if !isASCII(h.By) {
		return false, false // no host has such a name, and one may look like the provider's
	}
	if w.infers {
		ok := w.consistent(i)
		return ok, ok
	}
	mx = matchAny(w.policy.MX, h.By)
	return mx, mx || matchAny(w.policy.Internal, h.By)
}

// peer judges who spoke to the writer of hop i.
func (w *walk) peer(i int, mx bool) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	switch {
	case h.Kind == Fetch:
		if i == 0 && !w.infers && !mx {
			return Boundary{}, goOn // a fetcher of the user's own, on top of all
		}
		return w.none(i, OutcomeForeign, "a mail fetcher stands inside the provider's part"), giveUp
	case h.Kind == Local:
		return w.origin(i, OutcomeInternal, "a program on one of the provider's hosts handed the message in")
	case h.Kind == MAPI:
		return w.origin(i, OutcomeInternal, "the message was written in the provider's own store")
	case h.Kind == LMTP && w.byName() && Public(h.Addr) && !w.listed(h.Addr):
		return w.lmtp(i)
	case h.Kind == LMTP && !Public(h.Addr):
		return Boundary{}, goOn // RFC 2033, 5: not over a wide area network
	case h.Kind == HTTP && !Public(h.Addr) && (h.Authenticated || !storeSpeaksHTTP(h.Form)):
		return w.origin(i, OutcomeWebmail, "the message was written in the provider's webmail")
	case h.Authenticated && h.Kind != HTTP && !w.listed(h.Addr):
		return w.submission(i), stop
	case !h.Addr.IsValid(), h.AddrUncertain:
		return w.unrecorded(i, mx)
	case mx && w.policy.profile != nil && w.policy.profile.edge && !Public(h.Addr):
		return w.none(i, OutcomeUnsafe, "the provider's MX records a peer without a public address"), giveUp
	case w.policy.internalAddr(h.Addr):
		return Boundary{}, goOn
	case h.Kind == HTTP && h.Form != "exchange":
		return w.answer(i, "it is the browser of a user of the provider's webmail"), stop
	}
	return w.public(i, mx)
}

// lmtp judges a public peer of a store. No client out on the Internet speaks
// LMTP to a provider; the peer must still be the writer of the next field.
func (w *walk) lmtp(i int) (Boundary, verdict) {
	h := &w.chain.Hops[i]
	if i+1 < len(w.chain.Hops) && sameHost(h.HELO, w.chain.Hops[i+1].By) {
		return Boundary{}, goOn
	}
	return w.none(i+1, OutcomeAmbiguous, "a store of the provider has a public peer that did not write the next field"), giveUp
}

// byName reports whether the name of a public peer may show that it is the
// provider's own. A policy that gives networks has said what is; then
// addresses alone decide.
func (w *walk) byName() bool { return len(w.policy.InternalNets) == 0 }

// listed reports whether a is in a network that the policy names.
func (w *walk) listed(a netip.Addr) bool {
	for _, n := range w.policy.InternalNets {
		if a.IsValid() && n.Contains(a) {
			return true
		}
	}
	return false
}

// unrecorded judges a field without a peer's address.
func (w *walk) unrecorded(i int, mx bool) (Boundary, verdict) {
	switch h := &w.chain.Hops[i]; {
	case h.Kind == ByOnly && mx && indexFold(h.With, "SMTP") >= 0:
		// Somebody spoke SMTP to a host that faces the Internet: it may have been the sender.
		return w.none(i, OutcomeUnparseable, "the provider's MX does not record who spoke to it"), giveUp
	case h.Kind == ByOnly:
		return Boundary{}, goOn
	case h.Kind == HTTP:
		return w.origin(i, OutcomeWebmail, "the message was written in the provider's webmail")
	default:
		return w.none(i, OutcomeUnparseable, "the provider's field does not record the peer's address"), giveUp
	}
}

// public judges a peer with a public address.
func (w *walk) public(i int, mx bool) (Boundary, verdict) {
	if w.infers {
		return w.publicAuto(i)
	}
	if mx {
		return w.answer(i, "it is the first public peer of the provider's MX"), stop
	}
	if w.linked(i) {
		return Boundary{}, goOn
	}
	if w.policy.profile != nil || w.kin(i) {
		return w.none(i, OutcomeAmbiguous, "an inner host of the provider has a peer that is not known to be the provider's"), giveUp
	}
	return w.answer(i, "it is a public peer that spoke to an inner host of the provider"), stop
}

// linked reports whether the public peer of the inner host that wrote hop i
// is one of the provider's own: the writer of the next field, by a name the
// client could not choose; or, among the servers of Exchange Online, which
// record no such name, by the name it gave and an address of that service.
func (w *walk) linked(i int) bool {
	if i+1 >= len(w.chain.Hops) {
		return false
	}
	h, next := &w.chain.Hops[i], &w.chain.Hops[i+1]
	if h.Addr == h.ByAddr {
		return true // it spoke to itself
	}
	if !w.byName() || next.Err != nil || next.By == "" {
		return false
	}
	if mx, own := w.trusts(i + 1); !mx && !own {
		return false
	}
	if h.NameVerified {
		return !customer(h.Name, h.Addr) && (sameHost(h.Name, next.By) || sameHost(h.HELO, next.By) && sameOrg(h.Name, next.By))
	}
	return h.Form == "exchange" && isMicrosoft(h.By) && isExchangeOnline(h.Addr) && sameHost(h.HELO, next.By)
}

// kin reports whether the public peer of an inner host may be one of the
// provider's own although nothing links it to the next field: then it is not
// the client, and what stands below it is not believed.
func (w *walk) kin(i int) bool {
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

// storeSpeaksHTTP reports whether a field of this form with HTTP is the
// delivery to a store. Elsewhere it is a user at a browser.
func storeSpeaksHTTP(form string) bool { return form == "yahoo" || form == "exchange" }

// origin is the end of a chain that began inside the provider. Where the
// provider is inferred, a relay stepped over may have been none: then it is
// the client, because nothing stands behind it.
func (w *walk) origin(i int, o Outcome, why string) (Boundary, verdict) {
	if w.last > 0 {
		return w.answer(w.last-1, "it is the outermost host that handed the message on, and "+why), stop
	}
	b := w.none(i+1, o, why)
	b.Authenticated = o == OutcomeWebmail
	return b, giveUp
}

// bottom is the end of a chain whose every field is the provider's.
func (w *walk) bottom(n int) Boundary {
	b, _ := w.origin(n-1, OutcomeInternal, "every field is the provider's own and shows no peer outside")
	return b
}

// submission is the answer for a hop where a user logged in.
func (w *walk) submission(i int) Boundary {
	h := &w.chain.Hops[i]
	var b Boundary
	if Public(h.Addr) {
		b = w.answer(i, "a user of the provider logged in there")
		if !b.Found {
			return b
		}
	} else {
		b = w.none(i+1, OutcomeSubmission, "a user of the provider logged in, from an address that is not recorded or not public")
		w.envelope(&b, i)
	}
	b.Outcome = OutcomeSubmission
	b.Authenticated = true
	b.ESMTP = h.ESMTP
	b.Submission = w.vouching(i)
	return b
}

// vouching describes the writer of hop i as a client: as the host behind it
// saw it, or as it says itself.
func (w *walk) vouching(i int) *Client {
	h := &w.chain.Hops[i]
	c := &Client{HELO: h.By}
	if above := w.above(i); above != nil && Public(above.Addr) && !above.AddrUncertain {
		c.Addr = above.Addr
		if above.NameVerified {
			c.Name = above.Name
		}
	} else if Public(h.ByAddr) {
		c.Addr = h.ByAddr
	}
	return c
}

// answer makes the peer of hop i the client, unless its address may not be
// presented or the provider's own fields say another.
func (w *walk) answer(i int, why string) Boundary {
	h := &w.chain.Hops[i]
	if !Public(h.Addr) || h.AddrUncertain || w.listed(h.Addr) {
		return w.none(i, OutcomeUnsafe, "the peer's address is not recorded or not one that may be presented")
	}
	agree, contradict, outside := w.proofs(i)
	if contradict {
		return w.none(i, OutcomeConflict, "the provider's own fields name two different clients")
	}
	if p := w.policy.profile; p != nil && p.needsProof(h) && !agree {
		return w.none(i, OutcomeConflict, "the provider's field that should confirm the client is missing")
	}
	b := Boundary{
		Found:     true,
		Client:    Client{Addr: h.Addr, HELO: h.HELO, Port: h.Port},
		Hop:       i,
		Trusted:   i + 1,
		ESMTP:     h.ESMTP,
		Confirmed: agree,
		Provider:  w.policy.Provider,
		Outcome:   OutcomeClient,
		Why:       h.By + " received the message from " + h.Addr.String() + ": " + why,
	}
	if h.NameVerified {
		b.Client.Name = h.Name
	}
	if h.Kind == HTTP {
		b.Outcome, b.Authenticated = OutcomeWebmail, true
	}
	if outside && !agree && b.Outcome == OutcomeClient {
		b.Outcome = OutcomeGateway
		b.Why += "; its SPF result is about another address, as behind an inbound gateway"
	}
	w.envelope(&b, i)
	return b
}

// none is a walk without an answer; i fields were trusted.
func (w *walk) none(i int, o Outcome, why string) Boundary {
	return Boundary{Hop: -1, Trusted: i, Provider: w.policy.Provider, Outcome: o, Why: why}
}

// envelope fills in the sender and the recipient from fields that stand above
// hop i, and from the trusted hops themselves.
func (w *walk) envelope(b *Boundary, i int) {
	e := &w.chain.Envelope
	if len(e.ReturnPath) > 0 && e.ReturnPath[0].At <= i {
		b.Sender = e.ReturnPath[0].Address
	} else if b.Sender = w.chain.Hops[i].EnvelopeFrom; b.Sender == "" {
		b.Sender = w.proven(i)
	}
	if len(e.Recipients) > 0 && e.Recipients[0].At <= i {
		b.Recipient = e.Recipients[0].Address
		return
	}
	for j := 0; j <= i; j++ {
		if f := w.chain.Hops[j].For; f != "" {
			b.Recipient = f
			return
		}
	}
}

// proofs compares hop i with what the provider's other fields say. Fields
// above the hop are the provider's: one that names another address is a
// contradiction, unless that is the peer of a field further down, to which the
// provider was told to look through a gateway (Exchange Online's enhanced
// filtering). A field right below the hop may be the provider's or the
// sender's: it can confirm, and it can be about a hop further out.
func (w *walk) proofs(i int) (agree, contradict, outside bool) {
	h := &w.chain.Hops[i]
	for _, p := range w.chain.Proofs {
		if p.At > i+1 || !w.wrote(&p, i) || w.policy.internalAddr(p.Addr) {
			continue // an internal address is about a hop further up
		}
		switch {
		case p.Addr == h.Addr:
			agree = true
		case p.At <= i && !w.below(i, p.Addr):
			contradict = true
		default:
			outside = true
		}
	}
	return agree, contradict, outside
}

// proven returns the address in a Return-Path that stands among the message's own
// fields, where Exchange Online puts it and where anybody could: only if it is the
// one such field and its domain is the one that the provider's SPF check names.
func (w *walk) proven(i int) string {
	e := &w.chain.Envelope
	if len(e.ReturnPath) != 1 {
		return ""
	}
	address := e.ReturnPath[0].Address
	domain := address[strings.LastIndexByte(address, '@')+1:]
	for _, p := range w.chain.Proofs {
		checked := p.Sender[strings.LastIndexByte(p.Sender, '@')+1:]
		if p.At <= i && p.Addr == w.chain.Hops[i].Addr && w.wrote(&p, i) && domain != "" && strings.EqualFold(checked, domain) {
			return address
		}
	}
	return ""
}

// below reports whether a is the peer of a hop below i.
func (w *walk) below(i int, a netip.Addr) bool {
	for _, h := range w.chain.Hops[i+1:] {
		if h.Addr == a {
			return true
		}
	}
	return false
}

// wrote reports whether the proof p is about hop i and from its writer, as
// far as it says who wrote it.
func (w *walk) wrote(p *Proof, i int) bool {
	h := &w.chain.Hops[i]
	if pr := w.policy.profile; pr != nil && len(pr.proofs) > 0 {
		return pr.accepts(p, i)
	}
	return p.Writer != "" && strings.EqualFold(p.Writer, h.By)
}
