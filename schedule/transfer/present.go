package transfer

import (
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
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
		if b.Outcome == received.OutcomeInternal || b.Outcome == received.OutcomeWebmail {
			return rules.unknown(b, why, sayUnknown) // no host to be named could change that
		}
		return rules.unknown(b, why, nameTheHosts+sayUnknown)
	}
	if stale(chain, b, rules.StaleAfter, now) {
		return rules.stale(b)
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

// stale is for a message whose client was seen too long ago.
func (r ClientRules) stale(b received.Boundary) Presentation {
	const why = "the client was seen longer ago than stale_after"
	switch r.Stale {
	case StaleUnavailable:
		return Presentation{Client: inject.Client{ESMTP: b.ESMTP}, Why: why}
	case StalePlain:
		return Presentation{Treatment: AskedPlain, Why: why}
	}
	return Presentation{Treatment: HeldBack, Why: why + whyHeld + sayStale + tryAgain}
}

// stale reports whether the client was seen too long ago to be judged by what is known of
// its address today.
func stale(chain *received.Chain, b received.Boundary, after time.Duration, now time.Time) bool {
	if after <= 0 || b.Hop < 0 || b.Hop >= len(chain.Hops) {
		return false
	}
	seen := chain.Hops[b.Hop].Time
	return !seen.IsZero() && now.Sub(seen) > after
}
