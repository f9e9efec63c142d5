package transfer

import (
	"slices"
	"strings"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/ledger"
)

// recipientState says how one recipient fared. Only a 5xx that the MTA said of the message or its own client is a
// refusal, which a policy for refused mail may act upon.
func (a *attempt) recipientState(r inject.RecipientReceipt) ledger.State {
	switch r.Outcome {
	case inject.Delivered:
		return ledger.Delivered
	case inject.InDoubt:
		return ledger.Doubt
	case inject.Withheld:
		return ledger.Held
	case inject.Refused:
		if a.otherCause(r) != "" {
			return ledger.Held
		}
		return ledger.Refused
	}
	return ledger.Deferred
}

// combinedState is the state of a message whose recipients stand so: as long as one waits, the message does.
func combinedState(recipients []ledger.State) ledger.State {
	has := func(s ledger.State) bool { return slices.Contains(recipients, s) }
	missed := has(ledger.Refused) || has(ledger.Held)
	switch {
	case has(ledger.Doubt):
		return ledger.Doubt
	case has(ledger.Deferred), len(recipients) == 0:
		return ledger.Deferred
	case has(ledger.Delivered) && missed:
		return ledger.PartlyRefused
	case has(ledger.Delivered):
		return ledger.Delivered
	case has(ledger.Held):
		return ledger.Held
	}
	return ledger.Refused
}

// What a 5xx says where it is not about the message or its client.
const (
	causeRecipient = "this reply is about the recipient, not about the message: correct recipients, or have the MTA take their mail"
	causeSeveral   = "the MTA takes no such message for several recipients: name one, and let the MTA pass it on to the others"
	causeRoute     = "the MTA cannot route it, or takes it for a loop"
	causeSize      = "larger than the MTA takes, or has room for"
	causeParameter = "the MTA does not know a parameter that it was sent, or misses one"
	causeMTA       = "the MTA itself is set up wrongly: see its log"
	causeStandIn   = "the address that stands for its client was refused, not its own: give the MTA rules for that address, or send such mail to inject.plain; then truehop retry"
)

// RefusesRecipient reports whether a 5xx to RCPT is about the recipient, and neither about the message nor about its client.
func RefusesRecipient(r inject.Reply) bool { return otherCause("RCPT", r) == causeRecipient }

// otherCause returns what the 5xx for a recipient is about where that is neither the message nor its own client, else "".
func (a *attempt) otherCause(r inject.RecipientReceipt) string {
	if cause := otherCause(r.Stage, r.Reply); cause != "" {
		return cause
	}
	if a.standIn && a.receipt.Presented.Addr.IsValid() {
		return causeStandIn
	}
	return ""
}

// otherCause returns what a 5xx at a stage is about where that is neither the message nor its client, else "".
// The enhanced status code decides (RFC 3463 section 3), and where there is none, what RFC 5321
// section 4.2.2 says of the code.
func otherCause(stage string, r inject.Reply) string {
	switch {
	case r.Enhanced == "5.3.4", r.Enhanced == "5.3.1", r.Enhanced == "5.2.3", r.Code == 552 && r.Enhanced == "":
		return causeSize
	case r.Code == 555, r.Enhanced == "5.6.3", r.Enhanced == "5.6.7":
		return causeParameter
	case r.Enhanced == "5.3.3", r.Enhanced == "5.3.5":
		return causeMTA
	case r.Enhanced == "5.5.3" && stage != "MAIL": // too many recipients
		return causeSeveral
	}
	switch stage {
	case "MAIL": // before the recipient was named
		if r.Enhanced == "5.5.4" {
			return causeParameter
		}
		return ""
	case "RCPT":
		// 551 and 556 (RFC 7504) are about the recipient, others unless an enhanced code says what they are about.
		byCode := r.Code == 551 || r.Code == 556
		unspecific := r.Enhanced == "" && slices.Contains([]int{501, 550, 553}, r.Code)
		incomplete := r.Enhanced == "5.5.2" && strings.Contains(r.BehindQuotes(), "recipient address rejected")
		switch {
		case r.Enhanced == "5.5.4":
			return causeParameter
		case byCode, unspecific, incomplete, deniesRelay(r):
			return causeRecipient
		}
	case "DATA", "dot":
	default:
		return ""
	}
	_, detail, _ := strings.Cut(r.Enhanced, ".")
	subject, _, _ := strings.Cut(detail, ".")
	switch subject {
	case "1":
		// These are about the sender's address.
		if !slices.Contains([]string{"5.1.7", "5.1.8", "5.1.9"}, r.Enhanced) {
			return causeRecipient
		}
	case "2":
		return causeRecipient
	case "4":
		return causeRoute
	}
	return ""
}

// deniesRelay reports whether a reply says that the MTA is not responsible for the recipient's domain, for which there is
// no status code of its own: the words of Postfix, sendmail, Exim, Exchange, and qmail.
func deniesRelay(r inject.Reply) bool {
	text := r.BehindQuotes()
	return slices.ContainsFunc([]string{"relay access denied", "relaying denied", "relay denied", "relay not permitted", "relaying not",
		"relaying is not", "unable to relay", "not permitted to relay", "allowed rcpthosts"}, func(words string) bool { return strings.Contains(text, words) })
}
