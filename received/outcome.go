package received

import (
	"net/netip"
)

// An Outcome names what a walk found.
type Outcome string

// The outcomes. Only a client, a gateway, a webmail or a submission whose
// address is recorded gives a client to present: see [Boundary.Found]. A webmail or a
// submission without an address is internal: see [Boundary.Internal]. With the others
// the client is unknown: see [Boundary.Err].
const (
	OutcomeClient      Outcome = "client"       // a server out on the Internet: also a forwarder, a mailing list
	OutcomeGateway     Outcome = "gateway"      // as client, but the provider's SPF result is about a hop further out
	OutcomeSubmission  Outcome = "submission"   // a user of the provider logged in over SMTP
	OutcomeWebmail     Outcome = "webmail"      // a user of the provider wrote it in a browser
	OutcomeInternal    Outcome = "internal"     // the mail never left the provider
	OutcomeNoReceived  Outcome = "no-received"  // there is no Received field
	OutcomeUnparseable Outcome = "unparseable"  // a field inside the trusted run cannot be read
	OutcomeForeign     Outcome = "foreign"      // a field inside the trusted run was written by another host
	OutcomeAmbiguous   Outcome = "ambiguous"    // the peer could be a relay of the provider or the client
	OutcomeConflict    Outcome = "conflict"     // the provider's own fields name two addresses
	OutcomeUnsafe      Outcome = "unsafe"       // the address is not a public one
	OutcomePrivatePeer Outcome = "private-peer" // a host that may face the Internet shows a private peer: a gateway, a balancer or NAT may stand before it
	OutcomeNoPolicy    Outcome = "no-policy"    // nobody is trusted
)

// Error returns the outcome's name, so that an outcome serves as the reason that
// [Boundary.Err] gives: errors.Is(b.Err(), received.OutcomePrivatePeer).
func (o Outcome) Error() string { return string(o) }

// Internal reports whether the mail began at the provider: handed in by a program
// or in the webmail, written in its store, or submitted by a user whose address is
// not shown. No client on the Internet brought it, and no other field can tell of one.
// What a sender outside could forge is never internal.
func (b *Boundary) Internal() bool {
	switch b.Outcome {
	case OutcomeInternal, OutcomeWebmail, OutcomeSubmission:
		return !b.Found
	}
	return false
}

// Err says why the client is unknown. It is nil if the client was found, and if there
// never was one. errors.Is compares it with the outcomes, and with the errors of
// [Parse] where a field could not be read.
func (b *Boundary) Err() error {
	if b.Found || b.Internal() {
		return nil
	}
	return &unknownError{outcome: b.Outcome, why: b.Why, cause: b.cause}
}

// An unknownError is the reason for a client that is not known.
type unknownError struct {
	outcome Outcome
	why     string
	cause   error
}

func (e *unknownError) Error() string { return "received: " + e.why }

func (e *unknownError) Unwrap() []error {
	if e.cause == nil {
		return []error{e.outcome}
	}
	return []error{e.outcome, e.cause}
}

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

	cause error // of a field that cannot be read
	own   bool  // the client belongs to the host that saw it; see peerIsWriters
}
