package received

import (
	"slices"
	"strings"
)

// origin ends the walk of a message that began inside the provider.
func (w *walk) origin(i int, o Outcome, why string) Boundary {
	b := w.none(i+1, o, why)
	b.Authenticated = o == OutcomeWebmail
	return b
}

// submission is the answer for a hop where a user logged in.
func (w *walk) submission(i int) Boundary {
	h := &w.chain.Hops[i]
	var b Boundary
	if Public(h.Addr) && !h.AddrUncertain && !w.listed(h.Addr) {
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
	// What the provider's other fields say. Proofs above the hop are the provider's. One that names another address
	// contradicts, unless that address is the peer of a field further down: Exchange Online can be told to look through
	// a gateway (enhanced filtering). A proof right below the hop may be the provider's or the sender's: it can agree,
	// or be about a hop further out.
	agree, contradict, outside := false, false, false
	above, below := w.chain.Hops[:i], w.chain.Hops[i+1:]
	for _, p := range w.chain.Proofs {
		if p.At > i+1 || !w.wrote(&p, i) || !Public(p.Addr) || w.listed(p.Addr) {
			continue // a proof with an internal address is about a hop further up
		}
		switch {
		case p.Addr == h.Addr:
			agree = true
		case slices.ContainsFunc(above, func(a Hop) bool { return a.Addr == p.Addr }): // a check of a gateway or a relay
		case p.At <= i && !slices.ContainsFunc(below, func(b Hop) bool { return b.Addr == p.Addr }):
			contradict = true
		default:
			outside = true
		}
	}
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
		own:       peerIsWriters(h),
	}
	if h.NameVerified {
		b.Client.Name = h.Name
	}
	if h.Kind == HTTP {
		b.Outcome, b.Authenticated = OutcomeWebmail, true
	}
	if b.Outcome == OutcomeClient && !w.behind {
		service := slices.IndexFunc(gatewayServices[:], func(s gatewayService) bool { return h.NameVerified && matchAny(s.hosts, h.Name) })
		if service >= 0 {
			b.Outcome = OutcomeGateway
			b.Why += "; it belongs to the filter service " + gatewayServices[service].name + ": if that stands before your provider, name it in gateways"
		} else if outside && !agree {
			b.Outcome = OutcomeGateway
			b.Why += "; its SPF result is about another address: if a gateway stands before your provider, name it in gateways"
		}
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
	b.Sender = w.chain.Hops[i].EnvelopeFrom
	switch {
	case len(e.ReturnPath) > 0 && e.ReturnPath[0].At <= i:
		b.Sender = e.ReturnPath[0].Address
	case len(e.ReturnPath) == 1 && b.Sender == "":
		// Exchange Online puts it among the message's own fields, and anybody could. So it counts only if it is the
		// only one and its domain is the one that the provider's SPF check names.
		address := e.ReturnPath[0].Address
		domain := address[strings.LastIndexByte(address, '@')+1:]
		for _, p := range w.chain.Proofs {
			checked := p.Sender[strings.LastIndexByte(p.Sender, '@')+1:]
			about := p.At <= i && p.Addr == w.chain.Hops[i].Addr && w.wrote(&p, i)
			if about && domain != "" && strings.EqualFold(checked, domain) {
				b.Sender = address
			}
		}
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

// wrote reports whether the writer of hop i wrote the proof p about that hop. A
// profile says which fields its provider writes and which hosts sign them.
func (w *walk) wrote(p *Proof, i int) bool {
	pr := w.policy.profile
	if pr == nil || len(pr.proofs) == 0 {
		by := w.chain.Hops[i].By
		own := strings.EqualFold(p.Writer, by) || sameOrg(p.Writer, by)
		return p.Writer != "" && own
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
