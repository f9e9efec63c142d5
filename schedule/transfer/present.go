package transfer

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/received"
)

// ClientRules say what is presented where the client is not simply known.
type ClientRules struct {
	// Unfiltered has all messages go through [Pass.Plain]: the other rules have no effect.
	Unfiltered bool
	// Unknown is for messages whose client was not found, or must not be presented.
	Unknown NoClient
	// Internal is for messages that began at the upstream, as far as [received] can prove that.
	Internal NoClient
	// StandIns are the addresses that stand for such clients.
	StandIns StandIns
	// Never are further networks that must not be presented, see [inject.Client.Safe].
	Never []netip.Prefix
	// Submission is for messages that an authenticated user gave the upstream.
	Submission Submission
	// Name is where the client's name comes from.
	Name NameSource
	// StaleAfter is the age, by the upstream's own stamp, from which on a client is not presented any
	// more: an address that was clean then may be listed today. 0 means never.
	StaleAfter time.Duration
	// Stale is for messages whose client was seen longer ago than that. If a stand-in is presented, it is the
	// one for an unknown client.
	Stale NoClient
}

// Submission is what is presented for mail submitted at the upstream itself.
type Submission uint8

const (
	// SubmissionRelay presents the upstream's host that vouched for the user.
	SubmissionRelay Submission = iota
	// SubmissionClient presents the user's own address.
	SubmissionClient
	// SubmissionUnavailable presents neither: the message counts as one without a client.
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
	// Asked: the MTA is asked, and given the client of the [Presentation].
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

// Presentation is what the MTA is given as a message's client, if it is asked at all.
type Presentation struct {
	Treatment Treatment
	// Client is whom to present; without an address it is [UNAVAILABLE].
	Client inject.Client
	// StandIn says that Client is not the message's own.
	StandIn bool
	// Lookup says that the client's name is still to be looked up, and given to it by [WithName].
	Lookup bool
	// Why says why the message's own client is not presented, and where the message is held what can be done
	// about it. It is "" where the client is presented.
	Why string
}

// What helps where a message is held because of its client. Each part between semicolons is short enough
// to be shown whole wherever a reason is shown.
const (
	nameTheHosts = "name mx and internal, or provider, so that the client is found; or "
	showTheUser  = "set submission: client; or "
	tryAgain     = "; then truehop retry"
)

// Present decides what the MTA is given as the client that b shows in chain.
func Present(chain *received.Chain, b received.Boundary, rules ClientRules, now time.Time) Presentation {
	switch {
	case rules.Unfiltered:
		return Presentation{Treatment: AskedPlain, Why: "filter is false for the account"}
	case b.Internal(): // no host to be named could change that
		return rules.instead(b, rules.internal("the mail began at the upstream: "+b.Why, ""))
	case !b.Found:
		return rules.instead(b, rules.unknown("the client is not known: "+b.Why, nameTheHosts))
	}
	if rules.StaleAfter > 0 && b.Hop >= 0 && b.Hop < len(chain.Hops) {
		// Today's block lists say nothing about who had the address back then.
		if seen := chain.Hops[b.Hop].Time; !seen.IsZero() && now.Sub(seen) > rules.StaleAfter {
			return rules.instead(b, noClient{"the client was seen longer ago than stale_after", "", rules.Stale, "on_stale", rules.StandIns.withDefaults().Unknown})
		}
	}
	who, whose, help := b.Client, "the client's address, ", ""
	none := rules.unknown
	if b.Authenticated {
		none = rules.internal // handed in at the upstream, whoever may be shown for it
		switch rules.Submission {
		case SubmissionUnavailable:
			return rules.instead(b, none("a user logged in at the upstream, and submission is unavailable", ""))
		case SubmissionRelay:
			help = showTheUser
			if b.Submission == nil || !b.Submission.Addr.IsValid() {
				return rules.instead(b, none("a user logged in at the upstream, and the address of the host that took the login is not recorded", help))
			}
			who, whose = *b.Submission, "a user logged in at the upstream, and the address of the host that took the login, "
		}
	}
	if why := inject.Forbidden(who.Addr, rules.Never); why != "" {
		return rules.instead(b, none(whose+who.Addr.String()+", is "+why, help))
	}
	if standIns := rules.StandIns.withDefaults(); slices.Contains([]netip.Addr{standIns.Unknown, standIns.Internal}, who.Addr.Unmap()) {
		// The MTA has rules for these that a sender must not get by naming them.
		return rules.instead(b, rules.unknown(whose+who.Addr.String()+", is one that stands for clients", help))
	}
	client := inject.Client{Addr: who.Addr, HELO: who.HELO, Port: who.Port, ESMTP: b.ESMTP}
	if !b.Authenticated && b.Hop >= 0 && b.Hop < len(chain.Hops) {
		// Postfix and Exim write "with ESMTP" for a client that says EHLO, so "with SMTP" proves that it said HELO. qmail writes
		// SMTP for all, others write what they like.
		h := chain.Hops[b.Hop]
		client.SMTP = slices.Contains([]string{"postfix", "exim"}, h.Form) && strings.EqualFold(h.With, "SMTP")
	}
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
