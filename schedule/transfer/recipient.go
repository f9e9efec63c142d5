package transfer

import (
	"fmt"
	"strings"

	"github.com/truehop/truehop/received"
)

// RecipientRule finds the envelope recipient of each message of a mailbox that holds the mail of
// whole domains (multidrop). The zero value means that [Pass.Recipients] are the recipients.
//
// Only what the upstream's own hosts wrote counts, and of that the topmost. Where it is missing, ambiguous,
// no plain address or outside the domains, the message is held: it is never guessed from To or
// Cc, and never given to somebody else.
type RecipientRule struct {
	// From is where the upstream records the recipient, "" for none of these.
	From RecipientField
	// Domains are those that recipients may be in, compared without regard to case.
	Domains []string
	// StripPrefix is taken off the local part where it begins with it: qmail puts the name of a
	// virtual domain there.
	StripPrefix string
}

// RecipientField is the header field in which an upstream records the envelope recipient, in lower case.
type RecipientField string

// ReceivedFor is the FOR clause of the Received fields (RFC 5321 section 4.4).
const ReceivedFor RecipientField = "received-for"

// find returns the recipient of a message, or why there is none. The topmost of the configured fields counts: one
// above the last trusted Received field is the upstream's, one below it the sender's.
func (r *RecipientRule) find(chain *received.Chain, b received.Boundary) (recipient, why string) {
	if b.Trusted == 0 {
		return "", "nothing in the header is the upstream's for certain, so nothing says who the recipient is"
	}
	if r.From == ReceivedFor {
		for i := range chain.Hops[:min(b.Trusted, len(chain.Hops))] {
			if recipient = chain.Hops[i].For; recipient != "" {
				return r.accept(recipient)
			}
		}
		return "", "no Received field of the upstream has a FOR clause with the recipient"
	}
	found, at := false, 0
	for _, f := range chain.Envelope.Recipients {
		switch {
		case f.At >= b.Trusted, !strings.EqualFold(f.Name, string(r.From)):
		case !found:
			found, at, recipient = true, f.At, f.Address
		case f.At == at && !strings.EqualFold(f.Address, recipient):
			return "", fmt.Sprintf("the upstream wrote more than one %s, for different recipients", r.From)
		}
	}
	if !found {
		return "", fmt.Sprintf("the upstream wrote no %s", r.From)
	}
	return r.accept(recipient)
}

// accept checks an address against the rule. It is the choice of whoever wrote to the upstream: nothing
// that a mail system could take for an option, a route, a file or a command gets through.
func (r *RecipientRule) accept(address string) (recipient, why string) {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || len(address) > 254 {
		return "", fmt.Sprintf("the recipient in %s is no address", r.From)
	}
	local, domain := strings.TrimPrefix(address[:at], r.StripPrefix), address[at+1:]
	if !containsFold(r.Domains, domain) {
		return "", fmt.Sprintf("the recipient in %s is in none of the domains of this account", r.From)
	}
	// A dot-atom (RFC 5321 section 4.1.2) without the characters that route mail (! and %) or mean something to a
	// delivery agent where they come first.
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789#&'*+-/=?^_{}~."
	length := 1 <= len(local) && len(local) <= 64
	dots := strings.HasSuffix(local, ".") || strings.Contains(local, "..")
	odd := strings.Trim(local, plain) != "" // it stops at any other character
	if !length || dots || odd || strings.ContainsRune("-./", rune(local[0])) {
		return "", fmt.Sprintf("the recipient in %s has a local part that is not safe to use", r.From)
	}
	return local + "@" + domain, ""
}
