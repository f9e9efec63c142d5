package transfer

import (
	"net/netip"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
)

// ClientRules say what is presented where the client is not simply known. Their zero value
// presents nobody who is not.
type ClientRules struct {
	// Unknown is for messages whose client was not found, or must not be presented.
	Unknown UnknownClient
	// Never are further networks that must not be presented, see [inject.Client.Safe].
	Never []netip.Prefix
	// Submission is for messages that an authenticated user gave the upstream.
	Submission Submission
	// Name is where the client's name comes from.
	Name NameSource
	// StaleAfter is the age, by the upstream's own stamp, from which on a client is not presented any
	// more: an address that was clean then may be listed today. 0 means never.
	StaleAfter time.Duration
	// Stale is for messages whose client is.
	Stale StaleClient
}

// UnknownClient is what happens to a message whose client is not known. The protocol has a word
// for it, [UNAVAILABLE], that filters behind an MTA cannot bear: some die of it, and with them the
// MTA; some take it for localhost. So it is never said unasked.
type UnknownClient uint8

const (
	// HoldUnknown keeps it upstream and records it as held, for a person.
	HoldUnknown UnknownClient = iota
	// SkipUnknown leaves it upstream for good, and nobody is asked to look.
	SkipUnknown
	// PresentUnavailable injects it with [UNAVAILABLE] in every attribute.
	PresentUnavailable
)

// StaleClient is what happens to a message whose client was seen too long ago.
type StaleClient uint8

const (
	// HoldStale keeps it upstream and records it as held, for a person.
	HoldStale StaleClient = iota
	// StalePlain sends it through Plain, where no rule asks for the client.
	StalePlain
	// StaleUnavailable injects it with [UNAVAILABLE] in every attribute.
	StaleUnavailable
)

// Submission is what is presented for mail submitted at the upstream itself.
type Submission uint8

const (
	// SubmissionRelay presents the upstream's host that vouched for the user.
	SubmissionRelay Submission = iota
	// SubmissionClient presents the user's own address.
	SubmissionClient
	// SubmissionUnavailable presents nobody: [UNAVAILABLE] in every attribute.
	SubmissionUnavailable
)

// NameSource is where the name of a client comes from.
type NameSource uint8

const (
	// RecordedName is the one that the upstream verified and recorded; it is looked up where there is none.
	RecordedName NameSource = iota
	// LookedUpName prefers the DNS of now to it.
	LookedUpName
)

// Treatment is what becomes of a message because of its client.
type Treatment uint8

const (
	// Asked: the MTA is asked, and told the client of the [Presentation].
	Asked Treatment = iota
	// AskedPlain: it goes through [Pass.Plain], where no rule asks for the client.
	AskedPlain
	// HeldBack: it stays upstream for a person.
	HeldBack
	// Skipped: it stays upstream for good.
	Skipped
)

var treatmentNames = [...]string{"present", "plain", "hold", "skip"}

// String returns the treatment's name as explain shows it.
func (t Treatment) String() string { return treatmentNames[t] }

// Presentation is what the MTA is told of a message's client, if it is asked at all.
type Presentation struct {
	Treatment Treatment
	// Client is whom to present; without an address it is an unknown client.
	Client inject.Client
	// Lookup says that the client's name is still to be looked up, and given to it by [WithName].
	Lookup bool
	// Why says why the client is not presented, and where the message is held what can be done about
	// it. It is "" where the client is presented.
	Why string
}

// Why a message is held because of its client, and what helps. Each part between semicolons is short
// enough to be shown whole wherever a reason is shown.
const (
	whyHeld = "; held, because filters behind an MTA can die of a client that is [UNAVAILABLE] (postgrey), or take it for localhost and pass forgeries (opendmarc); what helps: "

	nameTheHosts = "name mx and internal, or provider, so that the client is found; or "
	sayUnknown   = "set on_unknown_client: unavailable (if nothing behind the MTA dies of it) or skip"
	sayStale     = "set on_stale: plain, or unavailable (if nothing behind the MTA dies of it)"
	tryAgain     = "; then truehop retry"
)

// Present decides what the MTA is told of the client that b shows in chain.
func Present(chain *received.Chain, b received.Boundary, rules ClientRules, now time.Time) Presentation {
	if !b.Found {
		why := "the client is not known: " + b.Why
		if b.Internal() {
			return rules.unknown(b, why, sayUnknown) // no host to be named could change that
		}
		return rules.unknown(b, why, nameTheHosts+sayUnknown)
	}
	if rules.StaleAfter > 0 && b.Hop >= 0 && b.Hop < len(chain.Hops) {
		// Today's block lists say nothing about who had the address back then.
		if seen := chain.Hops[b.Hop].Time; !seen.IsZero() && now.Sub(seen) > rules.StaleAfter {
			const why = "the client was seen longer ago than stale_after"
			switch rules.Stale {
			case StaleUnavailable:
				return Presentation{Client: inject.Client{ESMTP: b.ESMTP}, Why: why}
			case StalePlain:
				return Presentation{Treatment: AskedPlain, Why: why}
			}
			return Presentation{Treatment: HeldBack, Why: why + whyHeld + sayStale + tryAgain}
		}
	}
	who, whose, help := b.Client, "the client's address, ", sayUnknown
	if b.Authenticated {
		switch rules.Submission {
		case SubmissionUnavailable:
			return Presentation{Client: inject.Client{ESMTP: b.ESMTP}, Why: "a user logged in at the upstream, and submission is unavailable"}
		case SubmissionRelay:
			help = "set submission: client; or " + sayUnknown
			if b.Submission == nil || !b.Submission.Addr.IsValid() {
				return rules.unknown(b, "a user logged in at the upstream, and the address of the host that took the login is not recorded", help)
			}
			who, whose = *b.Submission, "a user logged in at the upstream, and the address of the host that took the login, "
		}
	}
	if why := inject.Forbidden(who.Addr, rules.Never); why != "" {
		return rules.unknown(b, whose+who.Addr.String()+", is "+why, help)
	}
	client := inject.Client{Addr: who.Addr, HELO: who.HELO, Port: who.Port, ESMTP: b.ESMTP}
	if rules.Name == LookedUpName || who.Name == "" {
		return Presentation{Client: client, Lookup: true}
	}
	client.Name, client.ReverseName = who.Name, who.Name
	return Presentation{Client: client}
}

// WithName returns c with the name that the DNS gives it now.
func WithName(c inject.Client, n Name) inject.Client {
	c.Name, c.ReverseName, c.NameTemporary = n.Verified, n.Reverse, n.Temporary
	return c
}

// unknown is for a message without a client that may be presented.
func (r ClientRules) unknown(b received.Boundary, why, help string) Presentation {
	switch r.Unknown {
	case PresentUnavailable:
		return Presentation{Client: inject.Client{ESMTP: b.ESMTP}, Why: why}
	case SkipUnknown:
		return Presentation{Treatment: Skipped, Why: "skipped, " + why}
	}
	return Presentation{Treatment: HeldBack, Why: why + whyHeld + help + tryAgain}
}
