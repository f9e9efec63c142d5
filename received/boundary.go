package received

import (
	"net/netip"
	"slices"
	"strings"
)

// An Outcome names what a walk found.
type Outcome string

// The outcomes. Only a client, a gateway, a webmail or a submission whose
// address is recorded gives a client to present: see [Boundary.Found].
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
	// Found says that Client may be presented. If it is false, the client is
	// unknown, and no other address of the chain may be presented in its place.
	Found  bool
	Client Client

	// Hop is the index in Chain.Hops of the field that shows the client, or
	// -1. Trusted is the number of fields, from the top, that the provider's
	// own hosts wrote.
	Hop     int
	Trusted int

	ESMTP         bool // the client said EHLO
	Authenticated bool // the client logged in: a user of the provider

	// Submission is the host that an authenticated client logged in to; nil
	// for other clients. HELO is the name that the host gives itself. Its
	// address and its verified name are set only if the host itself, or the
	// one behind it, recorded them.
	Submission *Client

	Recipient string // envelope recipient, if the trusted part records it
	Sender    string // envelope sender, if the trusted part records it

	Confirmed bool   // a field of the provider's own names the same address
	Provider  string // the profile used, or "auto"
	Outcome   Outcome
	Why       string // one sentence
}

// Boundary walks the chain from the top to the first field whose peer is
// outside the provider. Each field on the way must have been written by a host
// that p trusts. If one was not, or cannot be read, there is no answer. The walk
// never looks below that: those fields may be the sender's.
func (c *Chain) Boundary(p Policy) Boundary {
	w := walk{chain: c, policy: &p}
	w.infers = p.profile == nil && len(p.MX)+len(p.Internal) == 0 && slices.Contains(inferring[:], p.Provider)
	if !w.infers {
		return w.run()
	}
	if p.Provider == "auto" {
		if pr := c.recognise(); pr != nil {
			q := pr.policy()
			q.Hops = p.Hops
			q.InternalNets = append(q.InternalNets, p.InternalNets...)
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
	infers bool     // no policy names the provider's hosts; see consistent
	orgs   []string // inferring: the registered domains of the fields so far
	relay  int      // 1 + index of the last hop whose public peer counted as a relay, or 0
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
			return w.none(i, OutcomeUnparseable, "a field that the provider should have written cannot be trusted: "+strings.TrimPrefix(h.Err.Error(), "received: "))
		case h.Kind == Noise && h.Form == "qmail":
			continue
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

// trusts reports whether the writer of hop i is a host of the provider's own, and
// whether it is an MX.
func (w *walk) trusts(i int) (mx, own bool) {
	by := w.chain.Hops[i].By
	if strings.ContainsFunc(by, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return false, false // no host has such a name, and it may be made to look like the provider's
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
	public := Public(h.Addr)
	unknown := !h.Addr.IsValid() || h.AddrUncertain
	// The stores of Yahoo and Exchange speak HTTP. Elsewhere HTTP is a user's browser.
	storeForm := h.Form == "yahoo" || h.Form == "exchange"
	toStore := storeForm && !h.Authenticated
	edge := mx && w.policy.profile != nil && w.policy.profile.edge
	const webmail = "the message was written in the provider's webmail"
	switch {
	case h.Kind == Fetch && i == 0 && !w.infers && !mx:
		return Boundary{}, goOn // the user's own fetcher, on top of everything
	case h.Kind == Fetch:
		return w.none(i, OutcomeForeign, "a mail fetcher stands inside the provider's part"), end
	case h.Kind == Local:
		return w.origin(i, OutcomeInternal, "a program on one of the provider's hosts handed the message in"), end
	case h.Kind == MAPI:
		return w.origin(i, OutcomeInternal, "the message was written in the provider's own store"), end
	case h.Kind == LMTP && public && w.byName():
		// No client on the Internet speaks LMTP to a provider. The peer must
		// still be the writer of the next field.
		if i+1 < len(w.chain.Hops) && sameHost(h.HELO, w.chain.Hops[i+1].By) {
			return Boundary{}, goOn
		}
		return w.none(i+1, OutcomeAmbiguous, "a store of the provider has a public peer that did not write the next field"), end
	case h.Kind == LMTP && !public:
		return Boundary{}, goOn // RFC 2033, 5: not over a wide area network
	case h.Kind == HTTP && !public && !toStore:
		return w.origin(i, OutcomeWebmail, webmail), end
	case h.Authenticated && h.Kind != HTTP && !w.listed(h.Addr):
		return w.submission(i), end
	case unknown && h.Kind == ByOnly && mx && indexFold(h.With, "SMTP") >= 0:
		// Somebody spoke SMTP to a host that faces the Internet. It may have been the sender.
		return w.none(i, OutcomeUnparseable, "the provider's MX does not record who spoke to it"), end
	case unknown && h.Kind == ByOnly:
		return Boundary{}, goOn
	case unknown && h.Kind == HTTP:
		return w.origin(i, OutcomeWebmail, webmail), end
	case unknown:
		return w.none(i, OutcomeUnparseable, "the provider's field does not record the peer's address"), end
	case edge && !public:
		return w.none(i, OutcomeUnsafe, "the provider's MX records a peer without a public address"), end
	case !public, w.listed(h.Addr):
		return Boundary{}, goOn
	case h.Kind == HTTP && h.Form != "exchange":
		return w.answer(i, "it is the browser of a user of the provider's webmail"), end
	case w.infers:
		return w.inferredPeer(i)
	case mx:
		return w.answer(i, "it is the first public peer of the provider's MX"), end
	case w.wroteNext(i):
		return Boundary{}, goOn
	case w.policy.profile != nil, w.mayBeOwn(i):
		return w.none(i, OutcomeAmbiguous, "an inner host of the provider has a peer that is not known to be the provider's"), end
	}
	return w.answer(i, "it is a public peer that spoke to an inner host of the provider"), end
}

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

// origin ends the walk of a message that began inside the provider. If the
// provider is inferred, the last host that counted as a relay may be a customer's:
// nothing stands behind it, so it is the client.
func (w *walk) origin(i int, o Outcome, why string) Boundary {
	if w.relay > 0 {
		return w.answer(w.relay-1, "it is the outermost host that handed the message on, and "+why)
	}
	b := w.none(i+1, o, why)
	b.Authenticated = o == OutcomeWebmail
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
	b.Submission = &Client{HELO: h.By}
	if above := w.above(i); above != nil && Public(above.Addr) && !above.AddrUncertain {
		b.Submission.Addr = above.Addr
		if above.NameVerified {
			b.Submission.Name = above.Name
		}
	} else if Public(h.ByAddr) {
		b.Submission.Addr = h.ByAddr
	}
	return b
}

// answer makes the peer of hop i the client, unless its address may not be
// presented or the provider's own fields name another one.
func (w *walk) answer(i int, why string) Boundary {
	h := &w.chain.Hops[i]
	if !Public(h.Addr) || h.AddrUncertain || w.listed(h.Addr) {
		return w.none(i, OutcomeUnsafe, "the peer's address is not recorded or not one that may be presented")
	}
	agree, contradict, outside := w.proofs(i)
	if contradict {
		return w.none(i, OutcomeConflict, "the provider's own fields name two different clients")
	}
	if p := w.policy.profile; p != nil && matchAny(p.confirm, h.By) && !agree {
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

// envelope fills in the sender and the recipient, from fields above hop i and
// from the trusted hops.
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

// proofs compares hop i with what the provider's other fields say. Proofs above
// the hop are the provider's. One that names another address contradicts, unless
// that address is the peer of a field further down: Exchange Online can be told
// to look through a gateway (enhanced filtering). A proof right below the hop may
// be the provider's or the sender's: it can agree, or be about a hop further out.
func (w *walk) proofs(i int) (agree, contradict, outside bool) {
	h, below := &w.chain.Hops[i], w.chain.Hops[i+1:]
	for _, p := range w.chain.Proofs {
		if p.At > i+1 || !w.wrote(&p, i) || !Public(p.Addr) || w.listed(p.Addr) {
			continue // a proof with an internal address is about a hop further up
		}
		switch {
		case p.Addr == h.Addr:
			agree = true
		case p.At <= i && !slices.ContainsFunc(below, func(b Hop) bool { return b.Addr == p.Addr }):
			contradict = true
		default:
			outside = true
		}
	}
	return agree, contradict, outside
}

// proven returns the address of a Return-Path among the message's own fields.
// Exchange Online puts it there, and anybody could. So it counts only if it is the
// only one and its domain is the one that the provider's SPF check names.
func (w *walk) proven(i int) string {
	e := &w.chain.Envelope
	if len(e.ReturnPath) != 1 {
		return ""
	}
	address := e.ReturnPath[0].Address
	domain := address[strings.LastIndexByte(address, '@')+1:]
	for _, p := range w.chain.Proofs {
		checked := p.Sender[strings.LastIndexByte(p.Sender, '@')+1:]
		about := p.At <= i && p.Addr == w.chain.Hops[i].Addr && w.wrote(&p, i)
		if about && domain != "" && strings.EqualFold(checked, domain) {
			return address
		}
	}
	return ""
}

// wrote reports whether the writer of hop i wrote the proof p about that hop. A
// profile says which fields its provider writes and which hosts sign them.
func (w *walk) wrote(p *Proof, i int) bool {
	pr := w.policy.profile
	if pr == nil || len(pr.proofs) == 0 {
		return p.Writer != "" && strings.EqualFold(p.Writer, w.chain.Hops[i].By)
	}
	switch {
	case !slices.ContainsFunc(pr.proofs, func(f string) bool { return strings.EqualFold(f, p.Field) }):
		return false
	case len(pr.writer) > 0:
		return p.Writer != "" && matchAny(pr.writer, p.Writer)
	}
	if p.Writer == "" {
		return p.At <= i
	}
	return p.At == i
}
